/**
 * Promises of the admin API: what it answers, and what it refuses for what is asked. Who may ask is in
 * admin-guard.test.ts, the document in admin-openapi.test.ts.
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { BODY_BYTES_MAX } from "../../src/admin/body.js";
import { type Admin, startAdmin } from "../../src/admin/server.js";
import { parseExplainInput } from "../../src/control/explain.js";
import type { Stats } from "../../src/control/stats.js";
import { MillraceError } from "../../src/shared/errors.js";
import { ANYWHERE, type Asked, adminSource, askAt } from "../support/admin.js";

interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly allow: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

describe("the admin API", () => {
  let admin: Admin;
  let ready = true;
  let failure: Error | null = null;
  const explained: unknown[] = [];
  const moved: string[] = [];

  const source = adminSource(moved, {
    stats: () => {
      if (failure !== null) throw failure;
      return { uptimeMs: 5 } as Stats;
    },
    whyNotReady: () => (ready ? null : "The proxy is starting, draining, or a worker is missing."),
    explain: (input) => {
      explained.push(input);
      parseExplainInput(input);
      return { route: "all", action: "forward", curl: null };
    },
  });

  before(async () => {
    admin = await startAdmin(ANYWHERE, source);
  });
  after(() => admin.close());

  async function ask(path: string, asked: Asked = {}): Promise<Answer> {
    const { status, headers, text } = await askAt(admin.port, path, asked);
    const { "content-type": type, allow } = headers as Readonly<Record<string, string | undefined>>;
    return { status, type, allow, body: text === "" ? {} : (JSON.parse(text) as Answer["body"]) };
  }

  /** A refusal: its status, and that it is a problem document that says the same. */
  async function refused(path: string, asked: Asked = {}): Promise<number | undefined> {
    const { status, type, body } = await ask(path, asked);
    assert.equal(type, "application/problem+json");
    assert.equal(body["status"], status);
    assert.equal(typeof body["detail"], "string");
    return status;
  }

  const json = { "Content-Type": "application/json; charset=utf-8" };

  it("shows the books, and whether the proxy lives and serves", async () => {
    assert.deepEqual((await ask("/stats")).body, { uptimeMs: 5 });
    assert.deepEqual((await ask("/certificates")).body, { listeners: [], origins: [] });
    assert.equal((await ask("/livez?x=1")).status, 200);
    assert.equal((await ask("/readyz")).status, 200);
    assert.equal((await ask("/readyz", { method: "HEAD" })).status, 200);
    ready = false;
    assert.equal(await refused("/readyz"), 503);
    ready = true;
  });

  it("shows origins and connections", async () => {
    assert.deepEqual((await ask("/origins")).body, { origins: [], names: [] });
    assert.deepEqual((await ask("/connections")).body, { workers: [], silent: [1] });
  });

  it("refuses other paths and methods", async () => {
    assert.equal(await refused("/config"), 404);
    assert.equal(await refused("/targets/app/drain", { method: "POST" }), 404);
    const posted = await ask("/stats", { method: "POST" });
    assert.deepEqual([posted.status, posted.allow], [405, "GET, HEAD"]);
    const got = await ask("/targets/app/a:80/drain");
    assert.deepEqual([got.status, got.allow], [405, "POST"]);
    const put = await ask("/explain", { method: "PUT" });
    assert.deepEqual([put.status, put.allow], [405, "GET, HEAD, POST"]);
    const level = await ask("/log-level", { method: "DELETE" });
    assert.deepEqual([level.status, level.allow], [405, "GET, HEAD, PUT"]);
  });

  it("S1-05 explains a request given as JSON or in the query", async () => {
    explained.length = 0;
    const wanted = { url: "http://a.example/x?y", headers: [["A", "b"]] };
    const posted = await ask("/explain", { method: "POST", headers: json, body: JSON.stringify(wanted) });
    assert.deepEqual(posted.body, { route: "all", action: "forward", curl: null });
    const query = "url=http://a.example/x%3Fy&header=A:%20b&header=C:d&method=PUT&client=10.0.0.1";
    assert.equal((await ask(`/explain?${query}`)).status, 200);
    const headers = [
      ["A", " b"],
      ["C", "d"],
    ];
    const asked = { url: "http://a.example/x?y", headers, method: "PUT", clientAddress: "10.0.0.1" };
    assert.deepEqual(explained, [wanted, asked]);
  });

  it("refuses what is no request to explain", async () => {
    const post = (body: string, headers: Readonly<Record<string, string>> = json) =>
      refused("/explain", { method: "POST", headers, body });
    assert.equal(await post("{"), 400);
    assert.equal(await post("[]"), 400);
    assert.equal(await post('{"url":"ftp://x"}'), 400);
    assert.equal(await post("{}", { "Content-Type": "text/plain" }), 415);
    assert.equal(await refused("/explain", { method: "POST" }), 400, "no body at all");
    for (const query of ["", "url=http://a/&header=nothing", "url=http://a/&metod=GET", "url=http://a/&client=me"]) {
      assert.equal(await refused(`/explain?${query}`), 400, query);
    }
  });

  it("refuses bodies that are too large, announced or not, and closes the connection", async () => {
    const body = " ".repeat(BODY_BYTES_MAX + 1);
    const announced = await ask("/explain", { method: "POST", headers: json, body });
    assert.equal(announced.status, 413);
    const chunked = await ask("/explain", {
      method: "POST",
      headers: { ...json, "Transfer-Encoding": "chunked" },
      body,
    });
    assert.equal(chunked.status, 413);
  });

  it("drains a target and undoes it, once each", async () => {
    moved.length = 0;
    const { body } = await ask("/targets/app/%5B::1%5D:80/drain", { method: "POST" });
    assert.deepEqual(body, { origin: "app", target: "[::1]:80", state: "draining", concerned: 2, changed: 2 });
    assert.equal(
      (await ask("/targets/app/still:80/drain", { method: "POST" })).status,
      200,
      "drained already is drained",
    );
    assert.equal(await refused("/targets/app/still:80/undrain", { method: "POST" }), 409);
    assert.equal((await ask("/targets/app/a:80/undrain", { method: "POST" })).status, 200);
    assert.equal(await refused("/targets/other/a:80/drain", { method: "POST" }), 404);
    assert.equal(await refused("/targets/app/%ff/drain", { method: "POST" }), 400);
    assert.equal(await refused("/targets/app/a:80/drain", { method: "POST", headers: json, body: "{}" }), 400);
    assert.deepEqual(moved, [
      "drain app [::1]:80",
      "drain app still:80",
      "undrain app still:80",
      "undrain app a:80",
      "drain other a:80",
    ]);
  });

  it("changes the log level to one there is", async () => {
    moved.length = 0;
    assert.deepEqual((await ask("/log-level")).body, { level: "info" });
    const put = (body: unknown) => ({ method: "PUT", headers: json, body: JSON.stringify(body) });
    assert.deepEqual((await ask("/log-level", put({ level: "debug" }))).body, { level: "debug" });
    for (const body of [{ level: "loud" }, { level: 1 }, {}, [], null, { level: "debug", more: 1 }]) {
      assert.equal(await refused("/log-level", put(body)), 400, JSON.stringify(body));
    }
    assert.equal(await refused("/log-level", { method: "PUT" }), 400, "no body at all");
    assert.deepEqual(moved, ["log debug"]);
  });

  it("profiles a worker there is, for a time that is allowed", async () => {
    moved.length = 0;
    const post = (path: string) => ask(path, { method: "POST" });
    assert.deepEqual((await post("/workers/0/profile")).body["nodes"], []);
    assert.equal((await post("/workers/main/profile?seconds=0.5")).status, 200);
    assert.deepEqual(moved, ["profile 0 5000", "profile main 500"]);
    for (const seconds of ["0", "61", "-1", "x", "NaN", "Infinity"]) {
      assert.equal((await post(`/workers/0/profile?seconds=${seconds}`)).status, 400, seconds);
    }
    assert.equal((await post("/workers/0/profile?second=1")).status, 400);
    assert.equal((await post("/workers/1/profile")).status, 503);
    for (const worker of ["2", "-1", "x", "1e0", "acceptor"]) {
      assert.equal((await post(`/workers/${worker}/profile`)).status, 404, worker);
    }
  });

  it("answers what is no HTTP, and what it cannot do, with problems too", async () => {
    for (const [says, status] of [
      ["nonsense\r\n\r\n", 400],
      ["GET /livez HTTP/1.1\r\nHost: localhost\r\nBroken line\r\n\r\n", 400],
      [`GET /livez HTTP/1.1\r\nHost: localhost\r\nA: ${"x".repeat(20_000)}\r\n\r\n`, 431],
      ["GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", 421],
      ["GET /livez HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 421],
      ["CONNECT a.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405],
      ["GET /livez HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\r\n", 417],
      ["POST /explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400],
    ] as const) {
      const answer = await talk(admin.port, says);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), says.slice(0, 60));
      assert.match(answer, /content-type: application\/problem\+json/i);
      const body = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n"))) as { readonly status: number };
      assert.equal(body.status, status);
    }
  });

  it("says 409 when the proxy is not in a state for it, and 500 when it fails, and goes on", async () => {
    failure = new MillraceError("MILLRACE_STATE", "stats() was called while the proxy is stopping");
    assert.equal(await refused("/stats"), 409);
    failure = new Error("broken");
    assert.equal(await refused("/stats"), 500);
    failure = null;
    assert.equal((await ask("/stats")).status, 200);
  });

  it("names the address it cannot listen on", async () => {
    const place = { kind: "tcp", address: "127.0.0.1", port: admin.port } as const;
    await assert.rejects(startAdmin({ ...ANYWHERE, place }, source), {
      code: "MILLRACE_LISTEN",
      message: /Cannot listen for the admin API on 127\.0\.0\.1 port \d+: .*EADDRINUSE/,
    });
  });
});

/** Everything that comes back for these bytes until the connection ends. */
function talk(port: number, says: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(says));
    let heard = "";
    socket.setEncoding("latin1").on("data", (text: string) => (heard += text));
    socket.on("end", () => resolve(heard));
    socket.on("close", () => resolve(heard));
    socket.on("error", reject);
  });
}
