/**
 * Promises of the control plane about origins, kept with the real core: names whose addresses change, targets that die
 * and come back, draining by hand, and explanations.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import { createMillrace, type Millrace, type SettingsInput } from "../../src/index.js";
import { type DnsServer, startDnsServer } from "../support/dns-server.js";
import { missing } from "../support/peers.js";
import { PATIENCE_MS, pause } from "../support/wire.js";

let dns: DnsServer;
before(async () => {
  dns = await startDnsServer();
});
after(() => dns.close());

/** An origin on an address of this host that answers with that address. */
async function originAt(test: TestContext, address: string, port = 0): Promise<{ server: Server; port: number }> {
  const server = createServer((_, response) => response.end(address));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, resolve);
  });
  test.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { server, port: (server.address() as AddressInfo).port };
}

async function proxyFor(test: TestContext, more: SettingsInput): Promise<{ proxy: Millrace; base: string }> {
  const proxy = createMillrace({
    workers: 2,
    listeners: ["127.0.0.1:0"],
    log: { level: "silent" },
    dns: { servers: [dns.address], refreshMinMs: 100, negativeMs: 100, timeoutMs: 300 },
    ...more,
  });
  test.after(() => proxy.stop({ deadlineMs: 0 }));
  const { listeners } = await proxy.start();
  return { proxy, base: `http://127.0.0.1:${listeners[0]?.port}` };
}

async function ask(base: string, path = "/"): Promise<string> {
  const answer = await fetch(base + path);
  const body = await answer.text();
  return answer.status === 200 ? body : String(answer.status);
}

/** Waits until so many connections are idle: a client has its answer a moment before that. */
async function atRest(proxy: Millrace, count: number): Promise<void> {
  const due = Date.now() + PATIENCE_MS;
  while (proxy.stats().all.counters.origin_connections_idle !== count) {
    assert.ok(Date.now() < due, `there are never ${count} idle connections`);
    await pause(5);
  }
}

/** Asks until the answer is as wanted. */
async function until(base: string, wanted: string): Promise<void> {
  const sinceMs = performance.now();
  let last = "";
  while (performance.now() - sinceMs < PATIENCE_MS) {
    last = await ask(base);
    if (last === wanted) return;
    await pause(25);
  }
  assert.equal(last, wanted, "not within 5 s");
}

describe("names of targets", () => {
  it("that change are followed, and the addresses that are gone get nothing more", async (t) => {
    const { port } = await originAt(t, "127.0.0.2");
    await originAt(t, "127.0.0.3", port);
    dns.set("app.test", { kind: "addresses", addresses: ["127.0.0.2"], ttlS: 0 });
    const { base } = await proxyFor(t, { origins: { app: { targets: `http://app.test:${port}` } } });
    assert.equal(await ask(base), "127.0.0.2");
    dns.set("app.test", { kind: "addresses", addresses: ["127.0.0.3"], ttlS: 0 });
    await until(base, "127.0.0.3");
    for (let turn = 0; turn < 50; turn++) assert.equal(await ask(base), "127.0.0.3");
  });

  it("that disappear or are not answered any more keep their last good addresses", async (t) => {
    const { port } = await originAt(t, "127.0.0.2");
    for (const script of [{ kind: "nxdomain" }, { kind: "servfail" }, { kind: "silence" }] as const) {
      dns.set("kept.test", { kind: "addresses", addresses: ["127.0.0.2"], ttlS: 0 });
      const { proxy, base } = await proxyFor(t, { origins: { app: { targets: `http://kept.test:${port}` } } });
      dns.set("kept.test", script);
      while (proxy.origins().names[0]?.fault === null) assert.equal(await ask(base), "127.0.0.2");
      for (let turn = 0; turn < 20; turn++) assert.equal(await ask(base), "127.0.0.2");
    }
  });

  it("that do not resolve at the start are answered 502 until they do, and escalate where a route says so", async (t) => {
    const { port } = await originAt(t, "127.0.0.2");
    dns.set("late.test", { kind: "nxdomain" });
    const { base } = await proxyFor(t, {
      origins: { late: { targets: `http://late.test:${port}` }, spare: { targets: `http://127.0.0.2:${port}` } },
      routes: [
        { match: { path: "/spare" }, forwardTo: "late", escalate: [{ on: ["dns_nxdomain"], to: "spare" }] },
        { forwardTo: "late" },
      ],
    });
    assert.equal(await ask(base), "502");
    assert.equal(await ask(base, "/spare"), "127.0.0.2");
    dns.set("late.test", { kind: "addresses", addresses: ["127.0.0.2"] });
    await until(base, "127.0.0.2");
  });
});

describe("S2-11 targets", () => {
  it("that die are skipped after a few failures no client sees, and come back when they live again", async (t) => {
    const first = await originAt(t, "127.0.0.2");
    await originAt(t, "127.0.0.3", first.port);
    const { proxy, base } = await proxyFor(t, {
      origins: {
        app: {
          targets: [`http://127.0.0.2:${first.port}`, `http://127.0.0.3:${first.port}`],
          health: { passive: { failures: 2, downMs: 300 } },
        },
      },
    });
    first.server.close();
    first.server.closeAllConnections();
    for (let turn = 0; turn < 40; turn++) assert.equal(await ask(base), "127.0.0.3");
    const state = () => proxy.origins().origins[0]?.targets[0]?.health.state;
    const sinceMs = performance.now();
    while (state() !== "down" && performance.now() - sinceMs < 2000) await ask(base);
    assert.notEqual(state(), "up");
    await originAt(t, "127.0.0.2", first.port);
    await until(base, "127.0.0.2");
    while (state() !== "up" && performance.now() - sinceMs < 6000) await ask(base);
    assert.equal(state(), "up");
  });

  it("that are drained by hand get no new requests, and are used again when it is undone", async (t) => {
    const { port } = await originAt(t, "127.0.0.2");
    await originAt(t, "127.0.0.3", port);
    const targets = [`http://127.0.0.2:${port}`, `http://127.0.0.3:${port}`];
    const { proxy, base } = await proxyFor(t, { origins: { app: { targets } } });
    const seen = async () => new Set(await Promise.all(Array.from({ length: 20 }, () => ask(base))));
    assert.equal((await seen()).size, 2);
    assert.deepEqual(proxy.drainTarget("app", `127.0.0.2:${port}`), { concerned: 1, changed: 1 });
    assert.deepEqual([...(await seen())], ["127.0.0.3"]);
    assert.equal(proxy.origins().origins[0]?.targets[0]?.idle, 0);
    proxy.drainTarget("app", `127.0.0.2:${port}`, { undo: true });
    assert.equal((await seen()).size, 2);
    assert.throws(() => proxy.drainTarget("app", "nobody:1"), { code: "MILLRACE_ARGUMENT" });
  });
});

describe("S1-05 explain", () => {
  it("names route, target and command, and sends nothing", async (t) => {
    const { port } = await originAt(t, "127.0.0.2");
    const { proxy } = await proxyFor(t, {
      origins: { app: { targets: `http://127.0.0.2:${port}` } },
      routes: [{ name: "api", match: { path: "/api/*" }, forwardTo: "app", rewrite: { prefix: "/v2" } }],
    });
    const before = proxy.stats().all.counters.origin_requests;
    const explained = proxy.explain({ url: "http://www.example.org/api/x?y" });
    assert.deepEqual([explained.route, explained.action, explained.origin], ["api", "forward", "app"]);
    assert.equal(explained.request?.path, "/v2/x?y");
    assert.match(explained.curl ?? "", new RegExp(`http://127\\.0\\.0\\.2:${port}/v2/x`));
    assert.equal(proxy.explain({ url: "http://www.example.org/other" }).action, "none");
    assert.equal(proxy.stats().all.counters.origin_requests, before);
    const { workers, silent } = await proxy.connections();
    assert.deepEqual([workers.length, silent], [2, []]);
  });

  it("says which target, connection, times, repeats and escalations a request would get, and why", async (t) => {
    const { port } = await originAt(t, "127.0.0.2");
    await originAt(t, "127.0.0.3", port);
    const { proxy, base } = await proxyFor(t, {
      origins: {
        app: { targets: [`http://127.0.0.2:${port}`, `http://127.0.0.3:${port}`], connectMs: 700, match: "both" },
        spare: { targets: `http://127.0.0.3:${port}` },
      },
      routes: [
        { forwardTo: "app", timeouts: { totalMs: 9000 }, escalate: [{ on: [503, "header_timeout"], to: "spare" }] },
      ],
    });
    proxy.drainTarget("app", `127.0.0.2:${port}`);
    const url = "http://WWW.example.org/x";
    const first = proxy.explain({ url });
    assert.deepEqual([first.target?.address, first.connection?.kind], ["127.0.0.3", "new"]);
    assert.match(first.identity ?? "", new RegExp(`^127\\.0\\.0\\.3:${port} .*app.*www\\.example\\.org`));
    assert.deepEqual(
      first.candidates?.map(({ state, usable, why }) => [state, usable, why]),
      [
        ["draining", false, "drained by hand"],
        ["up", true, "up"],
      ],
    );
    assert.deepEqual([first.timeouts?.connectMs, first.timeouts?.totalMs], [700, 9000]);
    assert.equal(first.retry?.repeatable, true);
    const [rule] = first.escalate ?? [];
    assert.deepEqual([rule?.to, rule?.applies, rule?.on.includes("header_timeout")], ["spare", true, true]);
    assert.equal(await ask(base), "127.0.0.3");
    await atRest(proxy, 1);
    assert.equal(proxy.explain({ url }).connection?.kind, "reused");
    const post = proxy.explain({ url, method: "POST", headers: { "Content-Length": "5" } });
    assert.deepEqual([post.retry?.repeatable, post.escalate?.[0]?.applies], [false, false]);
    const keyed = proxy.explain({ url, method: "POST", headers: { "Idempotency-Key": "k" } });
    assert.deepEqual([keyed.retry?.repeatable, keyed.escalate?.[0]?.applies], [true, true]);
  });

  const byHand = { skip: missing("curl") };
  it("the command gets of the target what the proxy gets, by the same path, Host and fields", byHand, async (t) => {
    const seen: unknown[] = [];
    const origin = createServer((request, response) => {
      const { method, url, headers } = request;
      const { host, "x-a": field, "x-forwarded-for": client, via } = headers;
      seen.push([method, url, host, field, client, via]);
      response.end("same");
    });
    await new Promise<void>((resolve) => origin.listen(0, "127.0.0.2", resolve));
    t.after(() => origin.close());
    const { port } = origin.address() as AddressInfo;
    const { proxy, base } = await proxyFor(t, {
      origins: { app: { targets: `http://127.0.0.2:${port}` } },
      routes: [{ match: { path: "/api/*" }, forwardTo: "app", rewrite: { prefix: "/v2" } }],
    });
    const fields = { "X-A": "it's" };
    assert.equal(await (await fetch(`${base}/api/x?y`, { method: "DELETE", headers: fields })).text(), "same");
    const { curl } = proxy.explain({ url: `${base}/api/x?y`, method: "DELETE", headers: fields });
    const { stdout } = await promisify(execFile)("sh", ["-c", (curl ?? "").replace("curl -v", "curl -sS")]);
    assert.equal(stdout, "same");
    assert.equal(seen.length, 2);
    assert.deepEqual(seen[1], seen[0]);
  });

  it("says by which fault a request would be refused that no route sees", async (t) => {
    const { proxy } = await proxyFor(t, { origins: { app: { targets: "http://127.0.0.2:9" } } });
    const url = "http://www.example.org/";
    for (const [input, status, fault] of [
      [{ url: "http://[::/" }, 400, "host_invalid"],
      [{ url, headers: { "Transfer-Encoding": "gzip" } }, 400, "coding_invalid"],
      [{ url, headers: { Expect: "gold" } }, 417, "expectation_failed"],
      [{ url, method: "CONNECT" }, 400, "bad_target"],
      [{ url, headers: { "X-A": "\u0001" } }, 400, "bad_field_value"],
    ] as const) {
      const explained = proxy.explain(input);
      assert.deepEqual([explained.action, explained.status, explained["fault"]], ["refuse", status, fault]);
      assert.equal(explained.curl, null);
    }
  });
});
