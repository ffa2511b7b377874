/** Requests of HTTP/2 whose attempt failed: tried elsewhere, body and trailers and all, and never by half. */
import { strict as assert } from "node:assert";
import { byPath, echo, echoed, reply } from "../support/behaviours.js";
import type { FieldPair } from "../support/hpack.js";
import { openHttp2 } from "../support/http2-scene.js";
import { bodyDigest, bodyPiece } from "../support/load.js";
import type { Script } from "../support/origin.js";
import { type Origins, type SettingsOverlay, scenario } from "../support/scene.js";

const LISTENERS = [{ address: "127.0.0.1:0", httpVersions: ["1.1" as const, "2" as const] }];
const KEY: FieldPair = ["idempotency-key", '"8c1f"'];

/** One origin `app` with all origins of the scene as targets. */
const allTargets = (origins: Origins): SettingsOverlay => ({
  listeners: LISTENERS,
  limits: { replayBodyBytes: 1 << 20 },
  origins: { app: { targets: Object.values(origins).map((origin) => origin.url) } },
  routes: [{ forwardTo: "app", retry: { idempotencyKey: true } }],
});

/** The first connection to either target is reset when so many bytes came; all others echo. */
function firstResets(bytes: number): Readonly<Record<string, Script>> {
  let seen = 0;
  const script: Script = async (connection) => {
    seen += 1;
    if (seen > 1) return echo()(connection);
    await connection.head(60_000);
    await connection.wire.takeUpTo(bytes, 60_000);
    await connection.reset();
  };
  return { one: script, two: script };
}

for (const [what, size, bytes] of [
  ["a small body", 1_000, 0],
  ["a body that is not all here when its first target goes", 300_000, 100_000],
] as const)
  for (const told of [true, false])
    scenario(
      `${what}, ${told ? "by length" : "without one"}, reaches the second target whole, with its trailers`,
      { origins: firstResets(bytes), settings: allTargets },
      async (scene) => {
        const peer = await openHttp2(scene);
        const fields: FieldPair[] = [KEY, ...(told ? [["content-length", String(size)] as const] : [])];
        const trailers: FieldPair[] = [["x-sum", "42"]];
        const answer = await peer.ask("PUT /up", { body: bodyPiece(0, size), fields, ...(told ? {} : { trailers }) });
        assert.equal(answer.status, 200);
        const seen = echoed(answer);
        assert.equal(seen.digest, bodyDigest(size));
        assert.deepEqual(
          seen.trailers.map(([name, value]) => [name.toLowerCase(), value]),
          told ? [] : trailers,
        );
        assert.equal(Object.values(scene.origins).flatMap((origin) => origin.requests).length, 1, "once");
        assert.equal(await scene.counter("origin_next_targets"), 1);
      },
    );

scenario(
  "twenty streams at once whose first targets go are all answered by others, each with its own answer",
  {
    origins: { bad: (connection) => connection.head().then(() => connection.reset()), good: echo() },
    settings: allTargets,
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => peer.ask(`GET /${n}`)));
    for (const [n, answer] of answers.entries()) assert.equal(echoed(answer).target, `/${n}`);
  },
);

scenario(
  "a kept connection of HTTP/1 that went stale is repeated for a stream, and nobody notices",
  {
    settings: { listeners: LISTENERS },
    origin: byPath({
      "/last": async (_, connection) => {
        await connection.send(reply(200, "last"));
        await connection.close();
      },
      "/next": (_, connection) => connection.send(reply(200, "next")),
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    for (let turn = 0; turn < 30; turn += 1) {
      assert.equal((await peer.ask("GET /last")).body.toString(), "last");
      assert.equal((await peer.ask("GET /next")).body.toString(), "next");
    }
    assert.equal(await scene.counter("answers_5xx"), 0);
  },
);

scenario(
  "an escalation answers a stream as it answers a request of HTTP/1",
  {
    origins: { app: (connection) => connection.close(), spare: echo() },
    settings: (origins) => ({
      listeners: LISTENERS,
      origins: { spare: { targets: [origins["spare"]?.url ?? ""] } },
      routes: [{ forwardTo: "app", escalate: [{ to: "spare" }] }],
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const answer = await peer.ask("GET /a");
    assert.deepEqual([answer.status, echoed(answer).target], [200, "/a"]);
    assert.equal(await scene.counter("escalations"), 1);
  },
);
