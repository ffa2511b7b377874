/**
 * Whether an origin's connection is kept and by whom it is used again: order and keys (S4-06), methods (S4-07), modes
 * for requests that must not be sent twice (S4-08), the race with the origin's close (S4-09, S4-10), targets that go
 * (S4-12), broken promises of a length (S4-14).
 */
import { strict as assert } from "node:assert";
import { byPath, echo, echoed, reply, serve } from "../support/behaviours.js";
import { type RawClient, request } from "../support/client.js";
import type { Script } from "../support/origin.js";
import { type Scene, scenario } from "../support/scene.js";
import { clientsOf } from "../support/traffic.js";
import { pause } from "../support/wire.js";

/** Answers after a moment, so that requests at the same time need connections at the same time. */
const slow: Script = serve(async (_, connection) => {
  await pause(40);
  await connection.send(reply(200, String(connection.id)));
});

/** As many idle connections as this. */
async function restMany(scene: Scene, count: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: count }, () => scene.client()));
  await Promise.all(clients.map((client) => client.ask("GET /fill")));
  await scene.sees("origin_connections_idle", count);
}

async function postFrom(scene: Scene, client: RawClient): Promise<string> {
  const answer = await client.post("POST /p", "body");
  assert.equal(answer.status, 200);
  await scene.sees("exchanges_open", 0);
  return answer.body.toString();
}

function unrepeatable(policy: "fresh" | "standby" | "reuse" | { readonly reuseIfRecentMs: number }) {
  return { routes: [{ forwardTo: "app", unrepeatable: policy }] };
}

scenario(
  "S4-06 the last connection put back is the first taken, and a list that ran empty is no list",
  { origin: slow },
  async (scene) => {
    await restMany(scene, 3);
    const client = await scene.client();
    const newest = (await client.ask("GET /a")).body.toString();
    for (let turn = 0; turn < 4; turn += 1) assert.equal((await client.ask("GET /a")).body.toString(), newest);
    for (const connection of scene.origin.open) await connection.close();
    await scene.sees("origin_connections_idle", 0);
    await client.ask("GET /a");
    await scene.sees("origin_connections_idle", 1);
  },
);

for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
  scenario(
    `S4-07 ${method} may take a connection that carried another request`,
    { settings: unrepeatable("fresh") },
    async (scene) => {
      const client = await scene.client();
      for (let turn = 0; turn < 4; turn += 1) assert.equal((await client.ask(`${method} /a`)).status, 200);
      assert.equal(scene.origin.accepted, 1);
    },
  );

for (const method of ["POST", "PATCH", "LOCK"])
  scenario(
    `S4-07 ${method} may not, unless an Idempotency-Key makes it repeatable`,
    { settings: unrepeatable("fresh") },
    async (scene) => {
      const client = await scene.client();
      for (let turn = 0; turn < 3; turn += 1) await client.post(`${method} /a`, "x");
      assert.equal(scene.origin.accepted, 3);
      for (let turn = 0; turn < 3; turn += 1) await client.post(`${method} /a`, "x", "Idempotency-Key: k");
      assert.equal(scene.origin.accepted, 3);
    },
  );

scenario(
  "S4-08 fresh: each gets a connection of its own, an idle one goes for it, the total does not grow",
  {
    origin: slow,
    settings: unrepeatable("fresh"),
  },
  async (scene) => {
    await restMany(scene, 3);
    const client = await scene.client();
    const seen = new Set<string>();
    for (let turn = 0; turn < 5; turn += 1) {
      seen.add(await postFrom(scene, client));
      await scene.sees("origin_connections_idle", 3);
      assert.equal(await scene.counter("origin_connections_open"), 3);
    }
    assert.equal(seen.size, 5);
    assert.equal(await scene.counter("origin_new_policy"), 5);
    assert.equal(await scene.counter("origin_closes_evicted"), 5);
  },
);

scenario(
  "S4-08 reuse: any connection that looks alive",
  { origin: slow, settings: unrepeatable("reuse") },
  async (scene) => {
    await restMany(scene, 2);
    const client = await scene.client();
    for (let turn = 0; turn < 5; turn += 1) await postFrom(scene, client);
    assert.equal(scene.origin.accepted, 2);
  },
);

scenario(
  "S4-08 reuseIfRecent: one that answered just now, else as fresh, and the total does not grow",
  {
    origin: slow,
    settings: unrepeatable({ reuseIfRecentMs: 600 }),
  },
  async (scene) => {
    await restMany(scene, 2);
    const client = await scene.client();
    for (let turn = 0; turn < 4; turn += 1) await postFrom(scene, client);
    assert.equal(scene.origin.accepted, 2);
    for (let turn = 0; turn < 3; turn += 1) {
      await pause(700);
      await postFrom(scene, client);
      await scene.sees("origin_connections_idle", 2);
      assert.equal(scene.origin.accepted, 3 + turn);
    }
    assert.equal(await scene.counter("origin_new_policy"), 3);
  },
);

scenario(
  "S4-08 standby: opens N ready connections, gives one to each request, and fills them up again",
  {
    originSettings: { standby: 2 },
    settings: unrepeatable("standby"),
  },
  async (scene) => {
    await scene.sees("origin_connections_idle", 2);
    assert.equal(scene.origin.receivedBytes, 0, "they carried nothing");
    const client = await scene.client();
    const used = new Set<number>();
    for (let turn = 0; turn < 4; turn += 1) {
      used.add(echoed(await client.post("POST /p", "x")).connection);
      await pause(400);
    }
    assert.equal(used.size, 4, "each took one that had carried nothing");
    assert.equal(await scene.counter("origin_new_standby"), 4);
    const ready = scene.origin.open.filter((one) => one.wire.receivedBytes === 0);
    assert.equal(ready.length, 2, "two are ready again");
  },
);

scenario(
  "S4-08 standby never takes more than the limits, and what is ready serves those who wait",
  {
    originSettings: { standby: 3, targetConnections: 3 },
    settings: { pool: { queueWaitMs: 1_000 } },
  },
  async (scene) => {
    await scene.sees("origin_connections_idle", 3);
    await pause(300);
    assert.equal(scene.origin.accepted, 3);
    const clients = await Promise.all(Array.from({ length: 6 }, () => scene.client()));
    const answers = await Promise.all(clients.map((client) => client.ask("GET /a")));
    assert.deepEqual(
      answers.map((answer) => answer.status),
      [200, 200, 200, 200, 200, 200],
    );
    assert.ok(scene.origin.open.length <= 3, `${scene.origin.open.length} connections`);
  },
);

/** The first use of a connection is answered; at its second request it ends without a byte. */
const dropsSecond: Script = async (connection) => {
  await connection.request();
  await connection.send(reply(200, String(connection.id)));
  if (connection.id === 0) {
    await connection.request();
    await connection.close();
    return;
  }
  for (;;) {
    await connection.request(60_000);
    await connection.send(reply(200, String(connection.id)));
  }
};

scenario(
  "S4-09 nothing came on a reused connection: again, at the same target, on one that carried nothing",
  {
    origin: dropsSecond,
    accessLog: true,
  },
  async (scene) => {
    const idle = await scene.client();
    assert.equal((await idle.ask("GET /a")).body.toString(), "0");
    assert.equal((await idle.ask("GET /b")).body.toString(), "1");
    assert.equal(await scene.counter("origin_repeats"), 1);
    assert.equal(await scene.counter("origin_new_repeat"), 1);
    assert.equal(await scene.counter("origin_next_targets"), 0);
    assert.equal((await idle.ask("GET /c")).body.toString(), "1", "and pooling is as before");
  },
);

scenario(
  "S4-09 the race cannot happen on a fresh connection: an end there is the origin's failure",
  {
    origin: async (connection) => {
      await connection.request();
      await connection.close();
    },
    settings: { routes: [{ forwardTo: "app", retry: false }] },
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 502);
    assert.equal(await scene.counter("origin_repeats"), 0);
    assert.equal(scene.origin.accepted, 1);
  },
);

for (const [why, promise, line, script, whyNot] of [
  [
    "a byte of the answer came",
    "answer begun",
    "GET /b",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "answer_begun",
  ],
  ["the method is not repeatable", "POST on a reused connection", "POST /b", "", "method_not_repeatable"],
] as const)
  scenario(
    `S4-10 not again once ${why} (${promise})`,
    {
      origin: async (connection) => {
        await connection.request();
        await connection.send(reply(200, "first"));
        await connection.request();
        await connection.send(script);
        await connection.close();
      },
      settings: unrepeatable("reuse"),
      accessLog: true,
    },
    async (scene) => {
      const client = await scene.client();
      await client.ask("GET /a");
      await client.send(request(line, ...(line.startsWith("POST") ? ["Content-Length: 0"] : [])));
      const answer = await client.answerOrPart();
      assert.ok(answer.status === 502 || !answer.complete);
      assert.equal(scene.origin.accepted, 1);
      assert.equal(await scene.counter("origin_repeats"), 0);
      const lines = await scene.accessLog(2);
      assert.equal(lines[1]?.["not_repeated"], whyNot);
    },
  );

scenario(
  "S4-10 not yet connected: always tried elsewhere, whatever the method",
  {
    settings: (origins) => ({
      origins: { app: { targets: ["http://127.0.0.1:9", origins["app"]?.url ?? ""] } },
    }),
  },
  async (scene) => {
    const client = await scene.client();
    for (let turn = 0; turn < 4; turn += 1) assert.equal((await client.post("POST /a", "x")).status, 200);
    assert.ok((await scene.counter("origin_fault_connect_refused")) >= 1);
  },
);

scenario(
  "S4-14 keep-alive promised without any length: taken to the end of the connection, which is used no more",
  {
    origin: byPath({
      "/ends": async (_, connection) => {
        await connection.send("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\n\r\nall of it");
        await connection.halfClose();
      },
      "/hangs": (_, connection) =>
        connection.send("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\n\r\nall of it"),
    }),
    originSettings: { betweenBytesMs: 200 },
  },
  async (scene) => {
    const client = await scene.client();
    for (let turn = 0; turn < 2; turn += 1) assert.equal((await client.ask("GET /ends")).body.toString(), "all of it");
    assert.equal(scene.origin.accepted, 2);
    await scene.sees("origin_closes_not_kept", 2);
    await client.send(request("GET /hangs"));
    const part = await client.answerOrPart();
    assert.equal(part.body.toString(), "all of it");
    assert.equal(part.complete, false, "nobody can tell whether that was all");
    assert.equal(await scene.counter("origin_fault_body_timeout"), 1);
  },
);

const PROMISES = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\npart of it";

scenario(
  "S4-14 an answer with a broken promise may pause for ten seconds however long others may, and is said once",
  {
    apart: true,
    workers: 2,
    processLog: true,
    origin: byPath({
      "/promises": (_, connection) => connection.send(PROMISES),
      "/plain": (_, connection) => connection.send("HTTP/1.1 200 OK\r\n\r\npart of it"),
    }),
    originSettings: { betweenBytesMs: 3_600_000 },
    settings: { log: { level: "warn" } },
  },
  async (scene) => {
    const plain = await scene.client();
    await plain.send(request("GET /plain"));
    const clients = await clientsOf(scene, 6);
    const beganMs = performance.now();
    for (const client of clients) await client.send(request("GET /promises"));
    await Promise.all(
      clients.map(async (client) => {
        const part = await client.answerOrPart("GET", 60_000);
        assert.deepEqual([part.body.toString(), part.complete], ["part of it", false]);
      }),
    );
    const tookMs = performance.now() - beganMs;
    assert.ok(tookMs >= 9_900, `${tookMs} ms`);
    assert.equal(await scene.counter("origin_fault_body_timeout"), clients.length);
    await scene.sees("exchanges_open", 1);
    assert.equal(plain.ending, "open", "no promise, no shorter bound");
    const told = scene.processLog().filter((line) => line["msg"] === "keep_alive_broken");
    assert.deepEqual(
      told.map((line) => [line["origin"], line["target"]]),
      [["app", scene.origin.url.replace("http://", "")]],
    );
  },
);

scenario("S4-12 a target that drains keeps no idle connection", { origin: echo(), workers: 2 }, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  const { millrace } = scene;
  const target = scene.origin.url.replace("http://", "");
  millrace.drainTarget("app", target);
  await scene.sees("origin_closes_target_gone", 1);
  assert.equal((await client.ask("GET /b")).status, 503);
  millrace.drainTarget("app", target, { undo: true });
  assert.equal((await client.ask("GET /c")).status, 200);
});
