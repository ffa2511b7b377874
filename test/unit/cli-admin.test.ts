/**
 * Promises of the commands that ask a running proxy: each test runs the real program against an admin API of its own.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Admin, startAdmin } from "../../src/admin/server.js";
import { readExplanation } from "../../src/control/curl-command.js";
import { parseExplainInput } from "../../src/control/explain.js";
import { ANYWHERE, adminSource } from "../support/admin.js";

const PROGRAM = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

let admin: Admin;
let folder = "";
let calls: unknown[] = [];

before(async () => {
  const source = adminSource([], {
    origins: () => ({
      origins: [{ name: "app", unresolved: "dns_timeout", policy: POLICY, targets: [] }],
      names: [],
    }),
    connections: () => Promise.resolve({ workers: [], silent: [0] }),
    explain: (input) => {
      const { method, path, host, headers } = parseExplainInput(input);
      calls.push(input);
      const target = { label: "127.0.0.1:9000", address: "127.0.0.1", port: 9000 };
      return readExplanation(
        JSON.stringify({ route: "all", action: "forward", target, request: { method, path, host, headers } }),
        () => null,
      );
    },
    drain: (origin, target, undo) => {
      calls.push([origin, target, undo]);
      return origin === "app" ? { concerned: 2, changed: undo ? 2 : 1 } : { concerned: 0, changed: 0 };
    },
  });
  admin = await startAdmin(ANYWHERE, source);
  folder = mkdtempSync(join(tmpdir(), "millrace-cli-admin-"));
});
beforeEach(() => {
  calls = [];
});
after(async () => {
  await admin.close();
  rmSync(folder, { recursive: true, force: true });
});

const POLICY = {
  check: null,
  passive: { level: 4, failures: 5, windowMs: 0, downMs: 1, downMsMax: 1 },
  ejection: null,
} as const;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function millrace(...options: readonly string[]): Promise<Ended> {
  return runProgram([...options, "--admin", `127.0.0.1:${admin.port}`]);
}

function runProgram(options: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, ...options], { env: { ...process.env, ...environment } });
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

describe("millrace explain", () => {
  it("S1-05 prints the decision and the equivalent curl command", async () => {
    const { code, out, err } = await millrace("explain", "GET", "https://www.example.org/a/../b", "-H", "A: b");
    assert.equal(code, 0, err);
    assert.deepEqual(calls, [{ method: "GET", url: "https://www.example.org/a/../b", headers: [["A", "b"]] }]);
    assert.match(out, /^route: all\naction: forward\ntarget:\n {2}label: 127\.0\.0\.1:9000\n/);
    assert.match(
      out,
      /by hand:\n {2}curl -v --http1\.1 --path-as-is -H 'Host: www\.example\.org' -H 'A: b' http:\/\/127\.0\.0\.1:9000\/a\/\.\.\/b\n$/,
    );
  });

  it("prints what the API answers with --json", async () => {
    const { out } = await millrace("explain", "PUT", "http://a/", "--json", "--client", "::1");
    assert.equal((JSON.parse(out) as { route: string }).route, "all");
    assert.deepEqual(calls, [{ method: "PUT", url: "http://a/", headers: [], clientAddress: "::1" }]);
  });

  it("exits with 2 for what is no request", async () => {
    const field = await millrace("explain", "GET", "http://a/", "-H", "nothing");
    assert.deepEqual([field.code, calls.length], [2, 0]);
    assert.match(field.err, /-H: "nothing" is not "Name: value"/);
    const url = await millrace("explain", "GET", "/path");
    assert.deepEqual([url.code, url.out], [2, ""]);
    assert.match(url.err, /refuses: url: must be http\(s\):\/\/host\/path/);
  });
});

describe("millrace drain", () => {
  it("drains a target and undoes it", async () => {
    const drained = await millrace("drain", "app", "[::1]:80");
    assert.deepEqual([drained.code, drained.out], [0, "app [::1]:80: draining (2 addresses, 1 already draining)\n"]);
    const undone = await millrace("drain", "app", "a:80", "--undo");
    assert.deepEqual([undone.code, undone.out], [0, "app a:80: undrained (2 addresses)\n"]);
    assert.deepEqual(calls, [
      ["app", "[::1]:80", false],
      ["app", "a:80", true],
    ]);
  });

  it("exits with 1 and says it when there is no such target", async () => {
    const { code, err } = await millrace("drain", "other", "a:80");
    assert.equal(code, 1);
    assert.match(err, /refuses: Origin "other" has no target "a:80"/);
  });
});

describe("millrace origins and connections", () => {
  it("print a table", async () => {
    assert.match((await millrace("origins")).out, /^ORIGIN +TARGET .*\napp +- +- +dns_timeout\n$/);
    assert.match((await millrace("connections")).out, /^0 connections of clients\n.*\nworker 0 did not answer\n$/);
    assert.deepEqual(JSON.parse((await millrace("connections", "--json")).out), { workers: [], silent: [0] });
  });
});

describe("a command that asks an admin API with a token", () => {
  const TOKEN = "0123456789abcdef";

  it("sends the one in its file or in the environment, over a socket file too, and says when it is refused", async (t) => {
    const path = join(folder, "admin.sock");
    const guarded = await startAdmin({ ...ANYWHERE, place: { kind: "unix", path }, token: TOKEN }, adminSource());
    t.after(() => guarded.close());
    const file = join(folder, "token");
    writeFileSync(file, `${TOKEN}\n`);
    const where = ["connections", "--json", "--admin", `unix:${path}`];
    const silent = { workers: [], silent: [1] };
    const byFile = await runProgram([...where, "--token-file", file]);
    assert.deepEqual([byFile.code, JSON.parse(byFile.out)], [0, silent], byFile.err);
    const byEnvironment = await runProgram(where, { MILLRACE_ADMIN__TOKEN: TOKEN });
    assert.deepEqual([byEnvironment.code, JSON.parse(byEnvironment.out)], [0, silent]);
    const without = await runProgram(where);
    assert.equal(without.code, 1);
    assert.match(without.err, /refuses: This call needs Authorization/);
    const missing = await runProgram([...where, "--token-file", join(folder, "none")]);
    assert.equal(missing.code, 2);
    assert.match(missing.err, /--token-file: cannot be read/);
  });

  it("says what is wrong with the address", async () => {
    const { code, err } = await runProgram(["origins", "--admin", "unix:relative"]);
    assert.equal(code, 2);
    assert.match(err, /--admin: "relative" is not an absolute path/);
  });
});

describe("millrace status, log-level and profile", () => {
  it("tell of a running proxy, and status ends with 1 while it is not ready", async (t) => {
    const { code, out } = await millrace("status");
    assert.equal(code, 0);
    assert.match(
      out,
      /^millrace 1\.2\.3, core 1\.2\.3, Node\.js 20\.0\.0, process 1\nrunning for 0 s, .*; plan 1\nready\n/,
    );
    const status = {
      ...adminSource().status(),
      whyNotReady: "A worker is missing.",
      workers: [{ worker: 0, ready: false, generation: 1 }],
    };
    const troubled = await startAdmin(ANYWHERE, adminSource([], { status: () => status }));
    t.after(() => troubled.close());
    const asked = await runProgram(["status", "--admin", `127.0.0.1:${troubled.port}`]);
    assert.equal(asked.code, 1);
    assert.match(asked.out, /^not ready: A worker is missing\.$/m);
    assert.match(asked.out, /^workers: 1, missing: 0;/m);
  });

  it("show and set the level of the log", async () => {
    assert.equal((await millrace("log-level")).out, "info\n");
    assert.equal((await millrace("log-level", "debug")).out, "debug\n");
    assert.equal((await millrace("log-level", "loud")).code, 2);
  });

  it("print a profile that DevTools reads", async () => {
    const { code, out } = await millrace("profile", "0", "--seconds", "0.1");
    assert.equal(code, 0);
    assert.deepEqual((JSON.parse(out) as { readonly nodes: unknown }).nodes, []);
    const missing = await millrace("profile", "7");
    assert.equal(missing.code, 1);
    assert.match(missing.err, /There is no worker "7"/);
  });
});
