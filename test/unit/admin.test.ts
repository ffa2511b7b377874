/**
 * Promises of the admin API: what it answers, to whom, and what it refuses.
 */
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, describe, it } from "node:test";
import { type Admin, startAdmin } from "../../src/admin/server.js";
import type { Stats } from "../../src/control/stats.js";

interface Answer {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly allow: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

describe("the admin API", () => {
  let admin: Admin;
  let ready = true;

  before(async () => {
    const stats = { uptimeMs: 5 } as Stats;
    const plan = { address: "127.0.0.1", port: 0, hosts: ["edge.internal"] };
    admin = await startAdmin(plan, { stats: () => stats, isReady: () => ready });
  });
  after(() => admin.close());

  function ask(path: string, method = "GET", host?: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = { Host: host ?? `127.0.0.1:${admin.port}` };
      const asked = request({ host: "127.0.0.1", port: admin.port, path, method, headers }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.on("end", () => {
          const { "content-type": type, allow } = response.headers;
          const body = text === "" ? {} : (JSON.parse(text) as Answer["body"]);
          resolve({ status: response.statusCode, type, allow, body });
        });
      });
      asked.on("error", reject);
      asked.end();
    });
  }

  it("shows the books, and whether the proxy lives and serves", async () => {
    assert.deepEqual((await ask("/stats")).body, { uptimeMs: 5 });
    assert.equal((await ask("/livez?x=1")).status, 200);
    assert.equal((await ask("/readyz")).status, 200);
    assert.equal((await ask("/readyz", "HEAD")).status, 200);
    ready = false;
    const { status, type } = await ask("/readyz");
    ready = true;
    assert.deepEqual([status, type], [503, "application/problem+json"]);
  });

  it("refuses other paths and methods with a problem document", async () => {
    const missing = await ask("/config");
    assert.deepEqual([missing.status, missing.type, missing.body["status"]], [404, "application/problem+json", 404]);
    const posted = await ask("/stats", "POST");
    assert.deepEqual([posted.status, posted.allow], [405, "GET, HEAD"]);
  });

  it("answers only names of this machine and those configured", async () => {
    for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9", "edge.internal"]) {
      assert.equal((await ask("/livez", "GET", host)).status, 200, host);
    }
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"]) {
      assert.equal((await ask("/livez", "GET", host)).status, 421, host);
    }
  });

  it("names the address it cannot listen on", async () => {
    const taken = { address: "127.0.0.1", port: admin.port, hosts: [] };
    await assert.rejects(startAdmin(taken, { stats: () => ({}) as Stats, isReady: () => true }), {
      code: "MILLRACE_LISTEN",
      message: /Cannot listen for the admin API on 127\.0\.0\.1 port \d+: .*EADDRINUSE/,
    });
  });
});
