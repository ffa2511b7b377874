/** What goes back to the pool and what never does, in which order it is taken, how many there may be, and the books. */
import { strict as assert } from "node:assert";
import { byPath, echoed, reply, serve } from "../support/behaviours.js";
import { auditBooks } from "../support/books.js";
import { request, requestWithBody } from "../support/client.js";
import type { Handler, OriginConnection, Script } from "../support/origin.js";
import { whileFrozen } from "../support/proxy.js";
import { scenario } from "../support/scene.js";
import { clientsOf, connectionOf } from "../support/traffic.js";
import { pause } from "../support/wire.js";

/** Answers with the number of the connection, each connection later than the one before. */
const staggered: Script = serve(async (_, connection) => {
  if (connection.id < 4) await pause(40 * (connection.id + 1));
  await connection.send(reply(200, JSON.stringify({ connection: connection.id })));
});

scenario("S0-11 the connection that came back last is the first to be used", { origin: staggered }, async (scene) => {
  const clients = await clientsOf(scene, 4);
  await Promise.all(clients.map((client) => client.ask("GET /a")));
  assert.equal(scene.origin.accepted, 4);
  for (let n = 0; n < 3; n += 1) assert.equal(await connectionOf(clients[n] ?? assert.fail()), 3);
});

scenario(
  "S0-11 the connection that has been idle longest is the first to be closed",
  { origin: staggered, originSettings: { targetIdle: 2 } },
  async (scene) => {
    await Promise.all((await clientsOf(scene, 4)).map((client) => client.ask("GET /a")));
    await scene.origin.sees("the surplus closed", (origin) => origin.open.length === 2);
    assert.deepEqual(
      scene.origin.open.map((one) => one.id),
      [2, 3],
    );
    assert.equal(await scene.counter("origin_closes_evicted"), 2);
  },
);

const send =
  (...pieces: string[]): Handler =>
  (_, connection) =>
    connection.send(...pieces);
const sendAndClose =
  (...pieces: string[]): Handler =>
  async (_, connection) => {
    await connection.send(...pieces);
    await connection.close();
  };

const NEVER_KEPT: readonly (readonly [string, Handler, string])[] = [
  ["its answer said close", send(reply(200, "x", "Connection: close").toString()), "origin_closes_not_kept"],
  ["its answer ended with it", sendAndClose("HTTP/1.1 200 OK\r\n\r\nx"), "origin_closes_not_kept"],
  ["it is of HTTP/1.0", send("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"), "origin_closes_not_kept"],
  [
    "it had bytes behind its answer",
    send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n"),
    "origin_closes_stray_bytes",
  ],
  ["its answer was cut", sendAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), "origin_closes_fault"],
  [
    "its chunks broke",
    send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nz\r\n"),
    "origin_closes_fault",
  ],
];

for (const [why, handler, counter] of NEVER_KEPT) {
  scenario(`S0-12 S4-16 a connection is not used again when ${why}`, { origin: serve(handler) }, async (scene) => {
    const [client] = await clientsOf(scene, 1);
    await client?.send(request("GET /a"));
    await client?.answerOrPart();
    scene.origin.script = serve(send(reply(200, "good").toString()));
    const [other] = await clientsOf(scene, 1);
    assert.equal((await other?.ask("GET /b"))?.body.toString(), "good");
    assert.equal(scene.origin.accepted, 2);
    assert.equal(await scene.counter(counter as "origin_closes_fault"), 1);
  });
}

scenario(
  "S0-12 S4-16 a connection is kept after an answer of HTTP/1.0 that says so",
  { origin: serve(send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx")) },
  async (scene) => {
    const [client] = await clientsOf(scene, 1);
    for (let n = 0; n < 3; n += 1) assert.equal((await client?.ask("GET /a"))?.status, 200);
    assert.equal(scene.origin.accepted, 1);
  },
);

for (const [what, spoil] of [
  ["a byte", (script: { send(bytes: string): Promise<void> }) => script.send("x")],
  ["an end", (script: { close(): Promise<void> }) => script.close()],
  ["a half end", (script: { halfClose(): Promise<void> }) => script.halfClose()],
  ["an error", (script: { reset(): Promise<void> }) => script.reset()],
] as const) {
  scenario(`S0-13 ${what} evicts an idle connection before an unrepeatable request gets it`, {}, async (scene) => {
    const [client] = await clientsOf(scene, 1);
    assert.ok(client !== undefined);
    for (let n = 0; n < 5; n += 1) {
      assert.equal(await connectionOf(client), n);
      await scene.sees("origin_connections_idle", 1);
      await spoil(scene.origin.lastConnection);
      await scene.sees(what === "a byte" ? "origin_closes_stray_bytes" : "origin_closes_by_origin", n + 1);
    }
    assert.equal((await client.post("POST /last", "once")).status, 200);
    assert.equal(await scene.counter("origin_repeats"), 0);
  });
}

/** What spoils an idle connection in the very turn that takes it, and what is said of the connection. */
const SPOILT = [
  ["POST", "a byte", (origin: OriginConnection) => origin.send("x"), "origin_closes_stray_bytes"],
  ["POST", "an end", (origin: OriginConnection) => origin.halfClose(), "origin_closes_by_origin"],
  ["POST", "an error", (origin: OriginConnection) => origin.reset(), "origin_closes_by_origin"],
  ["GET", "a byte", (origin: OriginConnection) => origin.send("x"), "origin_closes_stray_bytes"],
] as const;

for (const [method, what, spoil, counter] of SPOILT)
  scenario(
    `S0-13 ${what} that comes in the turn that takes the connection is seen by a look that does not wait (${method})`,
    { apart: true, settings: { routes: [{ forwardTo: "app", unrepeatable: "reuse" }] } },
    async (scene) => {
      const [client] = await clientsOf(scene, 1);
      assert.ok(client !== undefined);
      assert.equal(await connectionOf(client, "GET /warm"), 0);
      await scene.sees("origin_connections_idle", 1);
      // The request is told of first: the connection is taken before anybody reads what the origin did.
      await whileFrozen(scene.proxy.pid, async () => {
        await client.send(method === "POST" ? requestWithBody("POST /once", "x") : request("GET /once"));
        await spoil(scene.origin.connections[0] ?? assert.fail());
      });
      const answer = await client.answer(method);
      assert.equal(answer.status, 200);
      assert.equal(echoed(answer).connection, 1, "another connection took it");
      assert.equal(await scene.counter("origin_new_stale"), 1, "the idle one was taken, looked at, and let go");
      await scene.sees(counter, 1);
      assert.equal(await scene.counter("origin_repeats"), 0);
      assert.equal(await scene.counter("origin_failures"), 0);
      assert.deepEqual(
        scene.origin.requests.map((one) => one.target),
        ["/warm", "/once"],
      );
    },
  );

/** Holds an answer until it is told. */
function held(): { readonly script: Script; release(): void } {
  const gates: (() => void)[] = [];
  return {
    script: serve(async (_, connection) => {
      await new Promise<void>((resolve) => gates.push(resolve));
      await connection.send(reply(200, JSON.stringify({ connection: connection.id })));
    }),
    release: () => {
      for (const open of gates.splice(0)) open();
    },
  };
}

for (const [where, originSettings] of [
  ["a target", { targetConnections: 1 }],
  ["an origin", { connections: 1 }],
] as const) {
  const hold = held();
  scenario(
    `S0-17 at the limit of ${where} one waits in line and the next is a 503 that says when to come again`,
    { origin: hold.script, originSettings, settings: { pool: { queueLengthMax: 1 } } },
    async (scene) => {
      const [first, second, third] = await clientsOf(scene, 3);
      assert.ok(first !== undefined && second !== undefined && third !== undefined);
      await first.send(request("GET /1"));
      await scene.origin.sees("the first", (origin) => origin.requests.length === 1);
      await second.send(request("GET /2"));
      await scene.sees("pool_queue_length", 1);
      const refused = await third.ask("GET /3");
      assert.equal(refused.status, 503);
      assert.match(refused.fields.one("retry-after") ?? "", /^\d+$/);
      hold.release();
      assert.equal((await first.answer()).status, 200);
      await scene.origin.sees("the second", (origin) => origin.requests.length === 2);
      hold.release();
      assert.equal((await second.answer()).status, 200);
      assert.equal(scene.origin.accepted, 1);
      assert.equal(await scene.counter("origin_fault_pool_full"), 1);
    },
  );
}

scenario(
  "S0-17 at the limit of the process an idle connection to another origin gives way before anybody waits",
  {
    origins: { one: serve((_, c) => c.send(reply(200, "1"))), two: serve((_, c) => c.send(reply(200, "2"))) },
    settings: {
      pool: { connectionsMax: 1 },
      routes: [{ match: { path: "/one" }, forwardTo: "one" }, { forwardTo: "two" }],
    },
  },
  async (scene) => {
    const [client] = await clientsOf(scene, 1);
    for (const path of ["/one", "/two", "/one", "/two"]) assert.equal((await client?.ask(`GET ${path}`))?.status, 200);
    assert.equal(await scene.counter("origin_closes_evicted"), 3);
    assert.equal(await scene.counter("pool_queued"), 0);
  },
);

scenario(
  "S0-17 ready connections are there before the first request, and again after they were lost",
  { workers: 2, originSettings: { standby: 3, idleMs: 1_000 } },
  async (scene) => {
    const open = (): number => scene.origin.open.length;
    await scene.origin.sees("three ready connections", () => open() === 3);
    assert.equal(await scene.counter("requests"), 0);
    for (const connection of scene.origin.open) await connection.close();
    await scene.origin.sees("three others", () => open() === 3 && scene.origin.accepted === 6);
    await scene.origin.sees("their idle time", () => scene.origin.accepted >= 9);
    await scene.origin.sees("three after it", () => open() === 3);
    const [client] = await clientsOf(scene, 1);
    assert.equal((await client?.post("POST /a", "x"))?.status, 200);
    assert.equal(await scene.counter("origin_new_standby"), 1);
  },
);

/** An origin for every way a connection can end. */
const moods = byPath({
  "/good": send(reply(200, "x").toString()),
  "/close": send(reply(200, "x", "Connection: close").toString()),
  "/stray": send(`${reply(200, "x").toString()}stray`),
  "/cut": sendAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
  "/leave": async (_, connection) => {
    await connection.send(reply(200, "x"));
    await connection.close();
  },
  "/die": (_, connection) => connection.reset(),
  "/upgrade": async (_, connection) => {
    await connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhello");
    await connection.close();
  },
  "/slow": async (_, connection) => {
    await pause(30);
    await connection.send(reply(200, "x"));
  },
});

const PATHS = ["/good", "/good", "/good", "/close", "/stray", "/cut", "/leave", "/die", "/slow"] as const;

scenario(
  "S0-18 the sums of the books hold under load with every kind of end, and again at rest",
  {
    workers: 2,
    origins: { app: moods, alone: moods, young: moods },
    originOptions: { record: false },
    settings: (origins) => ({
      origins: {
        app: { targets: [origins["app"]?.url ?? ""], requests: 2, targetIdle: 2, standby: 1 },
        alone: { targets: [origins["alone"]?.url ?? ""], match: ["none"] },
        young: { targets: [origins["young"]?.url ?? ""], ageMs: 40, idleMs: 100 },
      },
      routes: [
        { match: { header: { "X-To": "alone" } }, forwardTo: "alone" },
        { match: { header: { "X-To": "young" } }, forwardTo: "young" },
        { match: { header: { "X-To": "fresh" } }, forwardTo: "app", unrepeatable: "fresh" },
        { forwardTo: "app" },
      ],
    }),
  },
  async (scene) => {
    const play = async (who: number): Promise<void> => {
      for (let n = 0; n < 60; n += 1) {
        const [client] = await clientsOf(scene, 1, false);
        assert.ok(client !== undefined);
        const path = PATHS[(n * 5 + who) % PATHS.length] ?? "/good";
        const to = `X-To: ${["app", "alone", "young", "fresh"][(n + who) % 4]}`;
        if (n % 10 === 3) await client.send(request("GET /upgrade", to, "Connection: upgrade", "Upgrade: chat"));
        else await client.send(request(`POST ${path}`, to, "Content-Length: 1"), "x");
        if (n % 10 !== 7) await client.answerOrPart("POST");
        await client.reset();
      }
    };
    // Whether a connection opened ahead is there while the load is on is chance: one is taken before it.
    await scene.sees("origin_connections_idle", 1);
    const [early] = await clientsOf(scene, 1, false);
    assert.equal((await early?.post("POST /good", "x", "X-To: app"))?.status, 200);
    await Promise.all(Array.from({ length: 12 }, (_, who) => play(who)));
    const stats = await scene.proxy.stats();
    const { counters } = stats.all;
    for (const name of [
      "origin_new_no_idle",
      "origin_new_policy",
      "origin_new_not_shared",
      "origin_new_standby",
      "origin_closes_by_origin",
      "origin_closes_stray_bytes",
      "origin_closes_not_kept",
      "origin_closes_requests",
      "origin_closes_fault",
      "origin_closes_tunnel_end",
    ] as const) {
      assert.ok(counters[name] > 0, `${name} was never counted`);
    }
    // The scene ends with the whole sweep; here at least nothing may be below zero while connections are open.
    assert.deepEqual(
      auditBooks(stats).filter((complaint) => complaint.includes("below zero")),
      [],
    );
  },
);
