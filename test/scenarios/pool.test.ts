/** The origin pool: what is reused and what never is, in which order, for how long, and how many. */
import { strict as assert } from "node:assert";
import { byPath, echo, echoed, reply, serve } from "../support/behaviours.js";
import { type RawClient, request } from "../support/client.js";
import { type Scene, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** Answers after `ms`, so that requests at the same time need connections at the same time. */
const after = (ms: number) =>
  serve(async (asked, connection) => {
    await pause(ms);
    await connection.send(reply(200, JSON.stringify({ target: asked.target, connection: connection.id })));
  });

/** `count` requests at once, each on its own client connection; which origin connections took them. */
async function burst(clients: readonly RawClient[], path = "/burst"): Promise<number[]> {
  return Promise.all(clients.map(async (client) => echoed(await client.ask(`GET ${path}`)).connection));
}

async function clientsOf(scene: Scene, count: number): Promise<RawClient[]> {
  return Promise.all(Array.from({ length: count }, () => scene.client()));
}

scenario("S0-11 the newest idle connection is used first", { origin: after(30) }, async (scene) => {
  const clients = await clientsOf(scene, 4);
  await burst(clients);
  assert.equal(scene.origin.accepted, 4);
  const [first] = clients;
  const used = [
    await burst(clients.slice(0, 1)),
    await burst(clients.slice(0, 1)),
    await burst(clients.slice(0, 1)),
  ].flat();
  assert.ok(first !== undefined && new Set(used).size === 1, `one after the other they used ${used.join(", ")}`);
  assert.equal(scene.origin.accepted, 4);
});

scenario("S0-13 a stray byte while idle evicts the connection before anybody gets it", {}, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  await scene.origin.lastConnection.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  await scene.sees("origin_connections_open", 0);
  assert.equal(await scene.counter("origin_closes_stray_bytes"), 1);
  assert.equal(echoed(await client.ask("GET /b")).connection, 1);
});

scenario("S0-13 a close while idle evicts the connection before anybody gets it", {}, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  await scene.origin.lastConnection.close();
  await scene.sees("origin_connections_open", 0);
  assert.equal(await scene.counter("origin_closes_by_origin"), 1);
  assert.equal(echoed(await client.post("POST /b", "x")).connection, 1);
});

scenario("S0-13 a reset while idle evicts the connection before anybody gets it", {}, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  await scene.origin.lastConnection.reset();
  await scene.sees("origin_connections_open", 0);
  assert.equal(echoed(await client.post("POST /b", "x")).connection, 1);
});

scenario("an idle connection is closed after its time", { originSettings: { idleMs: 200 } }, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  assert.equal(scene.origin.open.length, 1);
  await scene.origin.sees("the close", (origin) => origin.open.length === 0);
  assert.equal(await scene.counter("origin_closes_idle_timeout"), 1);
  assert.equal(echoed(await client.ask("GET /b")).connection, 1);
});

scenario("idleMs 0 keeps no connection", { originSettings: { idleMs: 0 } }, async (scene) => {
  const client = await scene.client();
  for (let n = 0; n < 3; n += 1) await client.ask("GET /a");
  assert.equal(scene.origin.accepted, 3);
});

scenario(
  "S3-06 a connection older than its age is not used again",
  { originSettings: { ageMs: 250 } },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await client.ask("GET /a");
    assert.equal(scene.origin.accepted, 1);
    await pause(450);
    await client.ask("GET /a");
    assert.equal(scene.origin.accepted, 2);
    assert.equal(await scene.counter("origin_closes_age"), 1);
  },
);

scenario("a connection carries no more requests than it may", { originSettings: { requests: 3 } }, async (scene) => {
  const client = await scene.client();
  const used: number[] = [];
  for (let n = 0; n < 9; n += 1) used.push(echoed(await client.ask("GET /a")).connection);
  assert.deepEqual(used, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
  assert.equal(await scene.counter("origin_closes_requests"), 3);
});

scenario(
  "no more idle connections are kept than targetIdle",
  { origin: after(40), originSettings: { targetIdle: 2 } },
  async (scene) => {
    await burst(await clientsOf(scene, 6));
    await scene.sees("origin_connections_idle", 2);
    await scene.origin.sees("the surplus closed", (origin) => origin.open.length === 2);
  },
);

scenario(
  "Keep-Alive: timeout of the origin is believed",
  {
    origin: serve((_, connection) => connection.send(reply(200, "x", "Keep-Alive: timeout=1"))),
  },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await scene.origin.sees(
      "the close before the origin's own second is over",
      (origin) => origin.open.length === 0,
      1_400,
    );
  },
);

scenario(
  "S0-12 a connection whose request body was not sent whole is not reused",
  {
    origin: async (connection) => {
      const head = await connection.head();
      await connection.send(reply(200, JSON.stringify({ target: head.target, connection: connection.id })));
      await connection.ended();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /half", "Content-Length: 1000"), "x");
    await client.answer();
    const other = await scene.client();
    assert.equal(echoed(await other.ask("GET /b")).connection, 1);
  },
);

scenario(
  "targetConnections: requests beyond it wait and are served in turn",
  {
    origin: after(30),
    originSettings: { targetConnections: 2 },
  },
  async (scene) => {
    const used = await burst(await clientsOf(scene, 10));
    assert.equal(scene.origin.accepted, 2);
    assert.ok(used.every((id) => id < 2));
    assert.equal(await scene.counter("pool_queued"), 8);
  },
);

scenario(
  "a request that waited too long for a connection is a 503",
  {
    origin: after(600),
    originSettings: { targetConnections: 1 },
    settings: { pool: { queueWaitMs: 150 } },
  },
  async (scene) => {
    const [a, b] = await clientsOf(scene, 2);
    assert.ok(a !== undefined && b !== undefined);
    const first = a.ask("GET /a");
    await pause(30);
    const answer = await b.ask("GET /b");
    assert.equal(answer.status, 503);
    assert.equal((await first).status, 200);
    assert.equal((await b.ask("GET /b2")).status, 200);
  },
);

scenario(
  "a full queue is a 503 at once",
  {
    origin: after(400),
    originSettings: { targetConnections: 1 },
    settings: { pool: { queueLengthMax: 1 } },
  },
  async (scene) => {
    const clients = await clientsOf(scene, 4);
    const answers = await Promise.all(
      clients.map(async (client, n) => {
        await pause(n * 20);
        return client.ask("GET /a");
      }),
    );
    assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, 200, 503, 503]);
    assert.ok((await scene.counter("origin_fault_pool_full")) >= 2);
  },
);

scenario(
  "a client that leaves the queue leaves no trace",
  {
    origin: after(200),
    originSettings: { targetConnections: 1 },
  },
  async (scene) => {
    const [a, b, c] = await clientsOf(scene, 3);
    assert.ok(a !== undefined && b !== undefined && c !== undefined);
    const first = a.ask("GET /a");
    await pause(20);
    await b.send(request("GET /b"));
    await scene.sees("pool_queue_length", 1);
    const third = c.ask("GET /c");
    await b.reset();
    assert.equal((await first).status, 200);
    assert.equal((await third).status, 200);
    await scene.sees("pool_queue_length", 0);
  },
);

scenario(
  "pool.connectionsMax holds over all origins, idle ones give way",
  {
    origins: { a: after(20), b: after(20) },
    settings: {
      pool: { connectionsMax: 2 },
      routes: [
        { match: { path: "/a" }, forwardTo: "a" },
        { match: { path: "/b" }, forwardTo: "b" },
      ],
    },
  },
  async (scene) => {
    const clients = await clientsOf(scene, 2);
    await burst(clients, "/a");
    await burst(clients, "/b");
    const open = (scene.origins["a"]?.open.length ?? 0) + (scene.origins["b"]?.open.length ?? 0);
    assert.ok(open <= 2, `${open} origin connections are open`);
    await burst(clients, "/a");
  },
);

scenario(
  "two targets share the requests by weight",
  {
    origins: { one: echo(), two: echo() },
    settings: (origins) => ({
      origins: {
        both: {
          targets: [
            { address: origins["one"]?.url ?? "", weight: 3 },
            { address: origins["two"]?.url ?? "", weight: 1 },
          ],
        },
      },
      routes: [{ forwardTo: "both" }],
    }),
  },
  async (scene) => {
    const client = await scene.client();
    for (let n = 0; n < 80; n += 1) await client.ask("GET /a");
    assert.equal(scene.origins["one"]?.requests.length, 60);
    assert.equal(scene.origins["two"]?.requests.length, 20);
  },
);

scenario(
  "a target that refuses connections costs a second try, not an answer",
  {
    origins: { one: echo(), two: echo() },
    settings: (origins) => ({
      origins: { both: { targets: [origins["one"]?.url ?? "", origins["two"]?.url ?? ""] } },
      routes: [{ forwardTo: "both" }],
    }),
  },
  async (scene) => {
    await scene.origins["two"]?.stop();
    const client = await scene.client();
    for (let n = 0; n < 10; n += 1) assert.equal((await client.post("POST /a", "body")).status, 200);
    assert.ok((await scene.counter("origin_next_targets")) > 0);
  },
);

scenario("an origin that is not there is a 502", { accessLog: true }, async (scene) => {
  await scene.origin.stop();
  const client = await scene.client();
  const answer = await client.ask("GET /a");
  assert.equal(answer.status, 502);
  assert.equal((await client.ask("GET /b")).status, 502, "the client's connection goes on");
  assert.equal(await scene.counter("origin_fault_connect_refused"), 2);
});

scenario(
  "answers never swap between clients that share origin connections",
  {
    workers: 2,
    origin: byPath({}),
  },
  async (scene) => {
    scene.origin.script = serve(async (asked, connection) => {
      if (Math.random() < 0.3) await pause(Math.random() * 5);
      await connection.send(reply(200, `${asked.target} ${asked.fields.one("x-who") ?? ""}`));
    });
    await Promise.all(
      (await clientsOf(scene, 24)).map(async (client, who) => {
        for (let n = 0; n < 100; n += 1)
          assert.equal((await client.ask(`GET /${who}/${n}`, `X-Who: ${who}`)).body.toString(), `/${who}/${n} ${who}`);
      }),
    );
  },
);
