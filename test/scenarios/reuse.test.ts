/**
 * How much is reused: in every scope and number of shards, one after the other and all at once, and every reason for a
 * new connection and for a close in the books. `REUSE_REQUESTS=10000` asks for five times what is asked here.
 */
import { strict as assert } from "node:assert";
import { fixed } from "../support/behaviours.js";
import { scenario } from "../support/scene.js";
import { atOnce, clientsOf, inTurn, reuseOf } from "../support/traffic.js";

/** Requests one after the other; a tenth of it is what each of 64 clients asks at once. */
const REQUESTS = Number(process.env["REUSE_REQUESTS"] ?? "2000");
/** No idle time ends a connection that a loaded machine leaves alone for seconds. */
const KEPT = { idleMs: 600_000 } as const;
const CLIENTS = 64;
const WORKERS = 2;

const POOLS = [
  ["thread", WORKERS, { scope: "thread" }],
  ["global", WORKERS, { scope: "global" }],
  ["hybrid", WORKERS, { scope: "hybrid" }],
  ["one shard without stealing", WORKERS, { shards: 1, steal: false }],
  ["two shards with stealing", WORKERS, { shards: 2, steal: true }],
  ["four workers, two shards without stealing", 4, { shards: 2, steal: false }],
  ["four workers, two shards with stealing", 4, { shards: 2, steal: true }],
  ["four workers, four shards with stealing", 4, { shards: 4, steal: true }],
] as const;

for (const [name, workers, pool] of POOLS) {
  const options = {
    workers,
    origin: fixed("hello"),
    originOptions: { record: false },
    originSettings: KEPT,
    settings: { pool },
  };

  scenario(
    `S0-01 ${REQUESTS} requests one after the other open at most two connections a worker (${name})`,
    options,
    async (scene) => {
      await inTurn(await clientsOf(scene, 8, false), REQUESTS);
      assert.ok(scene.origin.accepted <= workers * 2, `${scene.origin.accepted} connections were opened`);
      assert.ok((await reuseOf(scene)) >= 0.99);
    },
    { timeoutMs: 200_000 },
  );

  scenario(
    `S0-01 S0-14 ${CLIENTS} clients at once, ${REQUESTS / 10} requests each, reuse at least 99 % (${name})`,
    options,
    async (scene) => {
      await atOnce(await clientsOf(scene, CLIENTS, false), REQUESTS / 10);
      const reuse = await reuseOf(scene);
      assert.ok(reuse >= 0.99, `reuse is ${(reuse * 100).toFixed(3)} %`);
      assert.ok(scene.origin.accepted <= CLIENTS, `${scene.origin.accepted} connections for ${CLIENTS} clients`);
    },
    { timeoutMs: 200_000 },
  );
}

/** What one worker reuses under this load: the measure for two. */
let alone = 0;

scenario(
  "S0-02 the reuse of one worker alone, with 4 clients",
  { workers: 1, origin: fixed("hello"), originOptions: { record: false }, originSettings: KEPT },
  async (scene) => {
    await atOnce(await clientsOf(scene, 4, false), REQUESTS);
    alone = await reuseOf(scene);
    assert.ok(alone >= 0.999, `${alone}`);
  },
  { timeoutMs: 200_000 },
);

for (const scope of ["global", "hybrid"] as const) {
  scenario(
    `S0-02 two workers that share connections reuse as one does, within a point, and at least 99.9 % (${scope})`,
    {
      workers: WORKERS,
      origin: fixed("hello"),
      originOptions: { record: false },
      originSettings: KEPT,
      settings: { pool: { scope } },
    },
    async (scene) => {
      await atOnce(await clientsOf(scene, 4, false), REQUESTS);
      const { workers } = await scene.proxy.stats();
      for (const row of workers) assert.ok(row.counters.requests > 0, "both workers took requests");
      const reuse = await reuseOf(scene);
      assert.ok(reuse >= 0.999 && reuse >= alone - 0.01, `${reuse} against ${alone}`);
    },
    { timeoutMs: 200_000 },
  );
}
