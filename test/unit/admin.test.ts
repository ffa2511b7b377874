/**
 * Promises of the admin API: what it answers, to whom, and what it refuses.
 */
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, it } from "node:test";
import { BODY_BYTES_MAX } from "../../src/admin/body.js";
import type { AdminSource } from "../../src/admin/routes.js";
import { type Admin, startAdmin } from "../../src/admin/server.js";
import { parseExplainInput } from "../../src/control/explain.js";
import type { Stats } from "../../src/control/stats.js";
import { MillraceError } from "../../src/shared/errors.js";
import { METRICS, readingOf } from "../support/metrics.js";

interface Answer {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly allow: string | undefined;
  readonly connection: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

describe("the admin API", () => {
  let admin: Admin;
  let ready = true;
  let failure: Error | null = null;
  const explained: unknown[] = [];
  const drained: string[] = [];

  const source: AdminSource = {
    stats: () => {
      if (failure !== null) throw failure;
      return { uptimeMs: 5 } as Stats;
    },
    metrics: () => readingOf(),
    whyNotReady: () => (ready ? null : "The proxy is starting, draining, or a worker is missing."),
    origins: () => ({ origins: [], names: [] }),
    certificates: () => ({ listeners: [], origins: [] }),
    connections: () => Promise.resolve({ workers: [], silent: [1] }),
    explain: (input) => {
      explained.push(input);
      parseExplainInput(input);
      return { route: "all", action: "forward", curl: null };
    },
    drain: (origin, target, undo) => {
      drained.push(`${undo ? "undrain" : "drain"} ${origin} ${target}`);
      if (origin !== "app") return { concerned: 0, changed: 0 };
      return { concerned: 2, changed: target === "still:80" ? 0 : 2 };
    },
  };

  before(async () => {
    admin = await startAdmin({ address: "127.0.0.1", port: 0, hosts: ["edge.internal"], metrics: METRICS }, source);
  });
  after(() => admin.close());

  function ask(path: string, { method = "GET", headers = {}, body }: Asked = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const all = { Host: `127.0.0.1:${admin.port}`, ...headers };
      const asked = request({ host: "127.0.0.1", port: admin.port, path, method, headers: all }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.on("end", () => {
          const { "content-type": type, allow, connection } = response.headers;
          const answered = text === "" ? {} : (JSON.parse(text) as Answer["body"]);
          resolve({ status: response.statusCode, type, allow, connection, body: answered });
        });
      });
      asked.on("error", reject);
      asked.end(body);
    });
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
  });

  it("answers only names of this machine and those configured", async () => {
    for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9", "edge.internal"]) {
      assert.equal((await ask("/livez", { headers: { Host: host } })).status, 200, host);
    }
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"]) {
      assert.equal(await refused("/livez", { headers: { Host: host } }), 421, host);
    }
  });

  it("takes no orders from pages of other sites", async () => {
    const asPage = (origin: string) => ({ method: "POST", headers: { Origin: origin } });
    for (const origin of ["http://evil.example", "null", "https://localhost.evil.example"]) {
      assert.equal(await refused("/targets/app/a:80/drain", asPage(origin)), 403, origin);
    }
    assert.equal((await ask("/targets/app/a:80/drain", asPage(`http://127.0.0.1:${admin.port}`))).status, 200);
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
    drained.length = 0;
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
    assert.deepEqual(drained, [
      "drain app [::1]:80",
      "drain app still:80",
      "undrain app still:80",
      "undrain app a:80",
      "drain other a:80",
    ]);
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
    const taken = { address: "127.0.0.1", port: admin.port, hosts: [], metrics: METRICS };
    await assert.rejects(startAdmin(taken, source), {
      code: "MILLRACE_LISTEN",
      message: /Cannot listen for the admin API on 127\.0\.0\.1 port \d+: .*EADDRINUSE/,
    });
  });
});
