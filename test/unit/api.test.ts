/**
 * Promises of the public API, with the real core: start, forward, count, stop, start again; several in one process;
 * errors with codes; a dead worker is replaced.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { after, before, describe, it, type TestContext } from "node:test";
import { createMillrace, type Millrace, MillraceError, type SettingsInput } from "../../src/index.js";
import { startDnsServer } from "../support/dns-server.js";

let origin: Server;
let originUrl = "";

before(async () => {
  origin = createServer((request, response) => response.end(`origin saw ${request.method} ${request.url}`));
  await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
  originUrl = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
});
after(() => {
  origin.close();
  origin.closeAllConnections();
});

/** A proxy in front of the origin, on a free port; stopped at the end of the test, however that ends. */
function proxyWith(test: TestContext, more: SettingsInput = {}): Millrace {
  const proxy = createMillrace({
    workers: 2,
    listeners: ["127.0.0.1:0"],
    log: { level: "silent" },
    origins: { app: { targets: originUrl } },
    ...more,
  });
  test.after(() => proxy.stop({ deadlineMs: 0 }));
  return proxy;
}

/** Asks through a proxy on a connection of its own. */
async function ask(port: number, path: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { Connection: "close" } });
  return `${answer.status} ${await answer.text()}`;
}

describe("createMillrace", () => {
  it("makes a proxy that forwards, counts, stops and starts again", async (t) => {
    const proxy = proxyWith(t);
    assert.equal(proxy.state, "stopped");
    for (let round = 0; round < 2; round++) {
      const { listeners, workers } = await proxy.start();
      assert.equal(workers, 2);
      const port = listeners[0]?.port ?? 0;
      assert.equal(await ask(port, "/a?b=1"), "200 origin saw GET /a?b=1");
      assert.equal(await ask(port, "/c"), "200 origin saw GET /c");
      const { all } = proxy.stats();
      assert.equal(all.counters.requests, 2, "counted anew after each start");
      assert.equal(
        all.counters.origin_requests,
        all.counters.origin_requests_new + all.counters.origin_requests_reused,
      );
      await proxy.stop({ deadlineMs: 2000 });
      assert.equal(proxy.state, "stopped");
      await assert.rejects(ask(port, "/"), "nobody listens any more");
    }
  });

  it("makes several that do not know each other", async (t) => {
    const [one, two] = [proxyWith(t, { workers: 1, name: "one" }), proxyWith(t, { workers: 1, name: "two" })];
    const [a, b] = await Promise.all([one.start(), two.start()]);
    assert.match(await ask(a.listeners[0]?.port ?? 0, "/1"), /^200/);
    assert.match(await ask(b.listeners[0]?.port ?? 0, "/2"), /^200/);
    await one.stop({ deadlineMs: 1000 });
    assert.match(await ask(b.listeners[0]?.port ?? 0, "/3"), /^200/);
    assert.equal(two.stats().all.counters.requests, 2);
    await two.stop({ deadlineMs: 1000 });
  });

  it("finds targets by name through the name servers of its settings", async (t) => {
    const server = await startDnsServer();
    t.after(() => server.close());
    server.set("app.test", { kind: "addresses", addresses: ["127.0.0.1"] });
    const targets = originUrl.replace("127.0.0.1", "app.test");
    const proxy = proxyWith(t, { workers: 1, dns: { servers: [server.address] }, origins: { app: { targets } } });
    const port = (await proxy.start()).listeners[0]?.port ?? 0;
    assert.equal(await ask(port, "/by-name"), "200 origin saw GET /by-name");
    assert.deepEqual([...server.asked].sort(), ["A app.test", "AAAA app.test"]);
    await proxy.stop({ deadlineMs: 1000 });
  });

  it("answers and redirects by itself where routes say so", async (t) => {
    const proxy = proxyWith(t, {
      workers: 1,
      routes: [
        { match: { path: "/down" }, answer: { status: 503, body: "later\n" } },
        { match: { path: "/old/*" }, redirect: { to: "https://new.example{path}", status: 302 } },
        { match: { path: "/api/*" }, forwardTo: "app", rewrite: { prefix: "/v2" } },
        { match: { path: "/strip/*" }, forwardTo: "app", rewrite: { prefix: "/" } },
      ],
    });
    const port = (await proxy.start()).listeners[0]?.port ?? 0;
    assert.equal(await ask(port, "/down"), "503 later\n");
    const redirected = await fetch(`http://127.0.0.1:${port}/old/x?y`, { redirect: "manual" });
    assert.deepEqual([redirected.status, redirected.headers.get("location")], [302, "https://new.example/old/x?y"]);
    await redirected.body?.cancel();
    assert.equal(await ask(port, "/api/users?x=1"), "200 origin saw GET /v2/users?x=1");
    assert.equal(await ask(port, "/api"), "200 origin saw GET /v2");
    assert.equal(await ask(port, "/strip/a/b"), "200 origin saw GET /a/b");
    assert.equal(await ask(port, "/strip"), "200 origin saw GET /");
    await proxy.stop({ deadlineMs: 1000 });
  });

  it("replaces a worker that panics within a second, while the other serves on", async (t) => {
    const proxy = proxyWith(t);
    const port = (await proxy.start()).listeners[0]?.port ?? 0;
    const sinceMs = performance.now();
    const replaced = once(proxy, "workerReplaced");
    proxy.provokePanic(0);
    const asking = setInterval(() => void ask(port, "/wake").catch(() => {}), 20);
    const [{ worker, reason }] = (await replaced) as [{ worker: number; reason: string }];
    clearInterval(asking);
    assert.ok(performance.now() - sinceMs < 1000, "within a second");
    assert.equal(worker, 0);
    assert.notEqual(reason, "");
    for (let turn = 0; turn < 20; turn++) assert.match(await ask(port, "/after"), /^200/);
    assert.equal(proxy.stats().workersReplaced, 1);
    await proxy.stop({ deadlineMs: 1000 });
  });
});

describe("errors", () => {
  it("name every complaint about the settings", () => {
    assert.throws(
      () => createMillrace({ workers: 0, origins: { app: { targets: [] } } } as SettingsInput),
      (thrown) =>
        thrown instanceof MillraceError && thrown.code === "MILLRACE_SETTINGS" && thrown.complaints.length === 2,
    );
  });

  it("name an address in use, and leave nothing behind", async (t) => {
    const taken = createTcpServer();
    t.after(() => taken.close());
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    const proxy = proxyWith(t, { listeners: [address] });
    await assert.rejects(proxy.start(), { code: "MILLRACE_LISTEN", message: new RegExp(address) });
    assert.equal(proxy.state, "stopped");
    await new Promise((resolve) => taken.close(resolve));
    await proxy.start();
    await proxy.stop({ deadlineMs: 0 });
  });

  it("name a method called at the wrong time", async (t) => {
    const proxy = proxyWith(t, { workers: 1 });
    assert.throws(() => proxy.stats(), { code: "MILLRACE_STATE" });
    const starting = proxy.start();
    await assert.rejects(proxy.start(), { code: "MILLRACE_STATE" });
    await assert.rejects(proxy.stop(), { code: "MILLRACE_STATE" });
    await starting;
    await Promise.all([proxy.stop({ deadlineMs: 0 }), proxy.stop()]);
    await proxy.stop();
  });
});
