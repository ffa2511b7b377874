/**
 * Promises of the command line: data on standard output, diagnostics on standard error, exit codes, every form of a
 * settings file. Each test runs the real program.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "millrace-cli-"));
after(() => rmSync(directory, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `millrace …` in the test's folder, with no settings in the environment. */
function millrace(options: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^MILLRACE_(?!NATIVE_PATH)/.test(name));
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PROGRAM, ...options], {
      cwd: directory,
      env: { ...Object.fromEntries(inherited), ...environment },
    });
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

/** Writes a file into the test's folder and returns its path. */
function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const GOOD = { origins: { api: { targets: "http://127.0.0.1:9000" } }, workers: 1 };

describe("millrace check", () => {
  it("says everything that is wrong on standard error and exits with 78", async () => {
    const path = file("bad.yaml", "workrs: 1\norigins: {api: {targets: []}}\n");
    const { code, out, err } = await millrace(["check", "-c", path, "--offline"]);
    assert.equal(code, 78);
    assert.equal(out, "");
    assert.match(err, /error: workrs \(line \d+\): is not a setting; did you mean "workers"\?/);
    assert.match(err, /error: origins\.api\.targets \(line \d+\): must name at least one/);
  });

  it("exits with 0 in spite of warnings, which it says", async () => {
    const routes = [{ forwardTo: "api" }, { forwardTo: "api", match: { path: "/a" } }];
    const { code, out, err } = await millrace(["check", "-c", file("odd.json", JSON.stringify({ ...GOOD, routes }))]);
    assert.equal(code, 0, err);
    assert.match(out, /odd\.json: ok \(1 warning\)/);
    assert.match(err, /warning: routes\[1\] \(line \d+\): can never match/);
  });

  it("says all of it as one line of JSON with --json", async () => {
    const bad = await millrace([
      "check",
      "--json",
      "--offline",
      "-c",
      file("bad2.yaml", "workrs: 1\norigins: {api: {targets: []}}\n"),
    ]);
    assert.deepEqual([bad.code, bad.err], [78, ""]);
    const { ok, errors } = JSON.parse(bad.out) as {
      readonly ok: boolean;
      readonly errors: readonly { path: string }[];
    };
    assert.deepEqual([ok, errors.map(({ path }) => path).sort()], [false, ["origins.api.targets", "workrs"]]);
    const good = await millrace(["check", "--json", "-c", file("good2.json", JSON.stringify(GOOD))]);
    assert.deepEqual([good.code, (JSON.parse(good.out) as { readonly ok: boolean }).ok], [0, true]);
    const broken = await millrace(["check", "--json", "-c", file("broken2.yaml", "origins:\n  a: [1\n")]);
    assert.deepEqual([broken.code, (JSON.parse(broken.out) as { readonly ok: boolean }).ok], [78, false]);
  });

  it("says line and column of what is not YAML", async () => {
    const { code, err } = await millrace(["check", "-c", file("broken.yaml", "origins:\n  a: [1\n")]);
    assert.equal(code, 78);
    assert.match(err, /broken\.yaml:3:1: /);
  });

  it("resolves names unless told to stay offline", async () => {
    const path = file("names.yaml", "origins: {api: {targets: 'http://no-such-name.invalid'}}\n");
    const online = await millrace(["check", "-c", path]);
    assert.equal(online.code, 78);
    assert.match(online.err, /the target name "no-such-name\.invalid" does not resolve/);
    assert.equal((await millrace(["check", "-c", path, "--offline"])).code, 0);
  });

  it("exits with 78 where there is no settings file", async () => {
    const { code, err } = await millrace(["check"]);
    assert.equal(code, 78);
    assert.match(err, /there is no millrace\.config/);
    assert.equal((await millrace(["check", "-c", "/no/such.yaml"])).code, 78);
  });
});

describe("settings files", () => {
  const typescript = `import { defineConfig } from "millrace";
const port: number = 9000;
export default defineConfig({ name: "typed", origins: { api: { targets: \`http://127.0.0.1:\${port}\` } } });
`;

  for (const [name, text] of [
    ["a.ts", typescript],
    [
      "a.mts",
      typescript.replace('import { defineConfig } from "millrace";', "const defineConfig = <T>(x: T): T => x;"),
    ],
    ["a.mjs", `export default ${JSON.stringify({ ...GOOD, name: "typed" })};`],
    ["b.mjs", typescript.replace(": number", "")],
    ["a.json", JSON.stringify({ $schema: "x", ...GOOD, name: "typed" })],
    ["a.yaml", "name: typed\norigins: {api: {targets: 127.0.0.1:9000}}\n"],
  ] as const) {
    it(`may be written as ${name.slice(1)}`, async () => {
      const { code, out, err } = await millrace(["print-config", "--json", "-c", file(name, text)]);
      assert.equal(code, 0, err);
      assert.equal((JSON.parse(out) as { name: string }).name, "typed");
    });
  }

  it("are found in the working directory, and overridden by the environment and then by options", async () => {
    file("millrace.config.yaml", "name: found\nworkers: 1\norigins: {api: {targets: 127.0.0.1:9000}}\n");
    try {
      const { out, err } = await millrace(["print-config", "--json", "--workers", "3"], {
        MILLRACE_WORKERS: "2",
        MILLRACE_LIMITS__HEAD_BYTES: "9000",
      });
      const settings = JSON.parse(out || err) as { name: string; workers: number; limits: { headBytes: number } };
      assert.deepEqual([settings.name, settings.workers, settings.limits.headBytes], ["found", 3, 9000]);
    } finally {
      rmSync(join(directory, "millrace.config.yaml"));
    }
  });

  it("that throw or export nothing are complained of without a stack", async () => {
    const thrown = await millrace(["check", "-c", file("throws.mjs", 'throw new Error("boom")')]);
    assert.equal(thrown.code, 78);
    assert.match(thrown.err, /throws\.mjs cannot be read: boom\n$/);
    const empty = await millrace(["check", "-c", file("empty.mjs", "export const a = 1;")]);
    assert.match(empty.err, /must export its settings: export default/);
  });
});

describe("millrace", () => {
  it("exits with 2 for what it does not know", async () => {
    assert.equal((await millrace(["run", "--bogus"])).code, 2);
    assert.equal((await millrace(["run", "--workers", "many"])).code, 2);
    assert.equal((await millrace(["run", "--to", "http://127.0.0.1:1", "-c", "x.yaml"])).code, 2);
    assert.equal((await millrace(["--help"])).code, 0);
  });

  it("refuses --to ftp in one sentence", async () => {
    const { code, err } = await millrace(["--to", "ftp://127.0.0.1:1"]);
    assert.equal(code, 78);
    assert.match(err, /"ftp:\/\/127\.0\.0\.1:1" is not an http:\/\/ or https:\/\/ address/);
  });

  it("prints the committed schema", async () => {
    const { code, out } = await millrace(["schema"]);
    assert.equal(code, 0);
    assert.equal((JSON.parse(out) as { title: string }).title, "Settings of Millrace");
  });

  it("names a port in use in one sentence and exits with 1", async (t) => {
    const taken = createServer();
    t.after(() => taken.close());
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as AddressInfo;
    const listen = `127.0.0.1:${port}`;
    const { code, err } = await millrace(["--listen", listen, "--to", "http://127.0.0.1:1", "--workers", "1"]);
    assert.equal(code, 1);
    assert.match(
      err,
      /^millrace: Listener "main" cannot listen on 127\.0\.0\.1:\d+: Address already in use \(another program/,
    );
    assert.doesNotMatch(err, /\n\s+at /);
  });

  it("says that nothing answers where no proxy runs", async () => {
    const { code, err } = await millrace(["stats", "--admin", "127.0.0.1:9"]);
    assert.equal(code, 1);
    assert.match(err, /the admin API at 127\.0\.0\.1:9 did not answer/);
  });
});
