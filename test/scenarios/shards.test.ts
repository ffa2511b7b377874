/** Shards and stealing: an idle connection of one worker serves all of them, unless the settings say otherwise. */
import { strict as assert } from "node:assert";
import { fixed, reply, serve } from "../support/behaviours.js";
import { type Scene, scenario } from "../support/scene.js";
import { pairOnTwoWorkers } from "../support/traffic.js";
import { pause } from "../support/wire.js";

/** 64 clients, each `count` requests one after the other; the reuse ratio of the whole. */
async function load(scene: Scene, clients: number, count: number): Promise<number> {
  const all = await Promise.all(Array.from({ length: clients }, () => scene.client({ record: false })));
  await Promise.all(
    all.map(async (client) => {
      for (let n = 0; n < count; n += 1) assert.equal((await client.ask("GET /a")).status, 200);
    }),
  );
  const { counters } = (await scene.proxy.stats()).all;
  assert.equal(counters.origin_requests, clients * count);
  return counters.origin_requests_reused / counters.origin_requests;
}

for (const [name, pool] of [
  ["a shard a worker, with stealing", { shards: 2, steal: true }],
  ["one shard for all", { shards: 1, steal: true }],
  ["a shard a worker, without stealing", { shards: 2, steal: false }],
] as const) {
  scenario(
    `S0-01 S0-14 64 clients on two workers reuse at least 99.5 % of the time: ${name}`,
    {
      workers: 2,
      origin: fixed("hello"),
      originOptions: { record: false },
      originSettings: { idleMs: 600_000 },
      settings: { pool },
    },
    async (scene) => {
      const ratio = await load(scene, 64, 300);
      assert.ok(ratio >= 0.995, `reuse is ${(ratio * 100).toFixed(3)} %`);
      const { workers } = await scene.proxy.stats();
      for (const row of workers) assert.ok(row.counters.requests > 2_000, "both workers took their share");
    },
    { timeoutMs: 200_000 },
  );
}

scenario(
  "the reuse ratio with 64 clients, two workers and stealing is at least 99.9 %",
  {
    workers: 2,
    origin: fixed("hello"),
    originOptions: { record: false },
    originSettings: { idleMs: 600_000 },
  },
  async (scene) => {
    const ratio = await load(scene, 64, 1_100);
    assert.ok(ratio >= 0.999, `reuse is ${(ratio * 100).toFixed(3)} %`);
  },
  { timeoutMs: 200_000 },
);

scenario(
  "S0-15 a worker without an idle connection takes the other's instead of opening one",
  { workers: 2, origin: fixed("hello") },
  async (scene) => {
    const { first, second } = await pairOnTwoWorkers(scene);
    for (let n = 0; n < 20; n += 1) {
      for (const client of [first, second]) {
        assert.equal((await client.ask("GET /a")).status, 200);
        // The answer leaves a moment before its connection rests.
        await scene.sees("origin_connections_idle", 1);
      }
    }
    assert.equal(scene.origin.accepted, 1);
    assert.ok((await scene.counter("origin_connections_stolen")) >= 20, "each change of workers is a steal");
  },
);

scenario(
  "steal: false gives each worker its own connections",
  { workers: 2, origin: fixed("hello"), settings: { pool: { shards: 2, steal: false } } },
  async (scene) => {
    const { first, second } = await pairOnTwoWorkers(scene);
    for (let n = 0; n < 20; n += 1) {
      await first.ask("GET /a");
      await second.ask("GET /a");
    }
    assert.equal(scene.origin.accepted, 2);
    assert.equal(await scene.counter("origin_connections_stolen"), 0);
  },
);

scenario(
  "a stolen connection that the origin then closes is evicted at its new place",
  { workers: 2, origin: fixed("hello") },
  async (scene) => {
    const { first, second } = await pairOnTwoWorkers(scene);
    for (let n = 0; n < 10; n += 1) {
      await first.ask("GET /a");
      await scene.sees("origin_connections_idle", 1);
      await second.ask("GET /a");
      await scene.origin.lastConnection.close();
      await scene.sees("origin_connections_open", 0);
    }
    assert.equal(scene.origin.accepted, 10);
    assert.equal(await scene.counter("origin_closes_by_origin"), 10);
  },
);

scenario(
  "the limit of a target holds over both workers, and waiting requests of either get what the other frees",
  {
    workers: 2,
    originSettings: { targetConnections: 2 },
    origin: serve(async (_, connection) => {
      await pause(5);
      await connection.send(reply(200, "x"));
    }),
  },
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 12 }, () => scene.client()));
    await Promise.all(
      clients.map(async (client) => {
        for (let n = 0; n < 20; n += 1) assert.equal((await client.ask("GET /a")).status, 200);
      }),
    );
    assert.ok(scene.origin.open.length <= 2, `${scene.origin.open.length} connections`);
    assert.ok((await scene.counter("pool_queued")) > 0);
  },
);
