/** Clients of HTTP/2 that do everything at once, by chance: whatever they do, the books balance and others are served. */
import { strict as assert } from "node:assert";
import { byPath, reply } from "../support/behaviours.js";
import { goaway } from "../support/http2-frames.js";
import type { Http2Peer } from "../support/http2-peer.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** They play until the one that behaves was answered so often. */
const ANSWERS = 250;

/** Numbers that a seed decides. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

const origin: Script = byPath({
  "/small": (_, connection) => connection.send(reply(200, "small")),
  "/slow": async (_, connection) => {
    await pause(30);
    await connection.send(reply(200, "slow"));
  },
  "/big": (_, connection) => connection.send(reply(200, Buffer.alloc(300_000, "b"))),
  "/cut": async (_, connection) => {
    await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\nsome");
    await connection.reset();
  },
  "/gone": (_, connection) => connection.close(),
});
const PATHS = ["/small", "/slow", "/big", "/cut", "/gone", "/small"];

/** One connection's life: streams that are answered, cancelled, left open or fed by drops, and an end of some kind. */
async function live(peer: Http2Peer, roll: (sides: number) => number, goesOn: () => boolean): Promise<number> {
  const whole: Promise<number>[] = [];
  while (goesOn() && peer.ending === "open") {
    const path = PATHS[roll(PATHS.length)] ?? "/small";
    const body = roll(3) === 0 ? Buffer.alloc(roll(100_000)) : undefined;
    const stream = await peer.request(`${body === undefined ? "GET" : "POST"} ${path}`, { open: body !== undefined });
    if (body !== undefined) void peer.upload(stream, body, roll(4) > 0, 3_000).catch(() => undefined);
    const fate = roll(6);
    if (fate === 0) await peer.reset(stream);
    else if (fate === 1) setTimeout(() => void peer.reset(stream), roll(50));
    else if (body === undefined && path === "/small")
      whole.push(peer.outcome(stream).then(({ whole: all }) => (all ? 1 : 0)));
    await pause(roll(30));
    if (roll(200) === 0) break;
  }
  const end = roll(4);
  if (end === 0) await peer.wire.reset();
  else if (end === 1) await peer.wire.halfClose();
  else if (end === 2) await peer.send(goaway(0));
  const outcomes = await Promise.allSettled(whole);
  await peer.close();
  return outcomes.reduce((sum, one) => sum + (one.status === "fulfilled" ? one.value : 0), 0);
}

for (const workers of [1, 3])
  scenario(
    `whatever twelve clients do by chance on ${workers} worker${workers === 1 ? "" : "s"}, one that behaves is always answered`,
    {
      workers,
      origin,
      originOptions: { record: false },
      settings: priorKnowledge({
        http2: { resetsPerS: 10_000, windowUpdatesPerS: 100_000 },
        timeouts: { clientWriteMs: 1_000, clientBodyMs: 1_000 },
      }),
    },
    async (scene) => {
      let [asked, answered] = [0, 0];
      const goesOn = (): boolean => asked < ANSWERS;
      const players = Array.from({ length: 12 }, async (_, n) => {
        const roll = dice(1 + n * 7_919 + workers);
        while (goesOn()) answered += await live(await openHttp2(scene, { bodies: false }), roll, goesOn);
      });
      const behaves = await openHttp2(scene, { bodies: false });
      try {
        for (; goesOn(); await pause(5)) {
          assert.equal((await behaves.ask("GET /small")).status, 200);
          asked += 1;
        }
      } finally {
        asked = ANSWERS;
        await Promise.allSettled(players);
      }
      await Promise.all(players);
      assert.ok(answered > 0);
      await behaves.close();
      await scene.sees("exchanges_open", 0);
      await scene.sees("http2_connections_open", 0);
      scene.origin.troubles.length = 0; // of uploads that were left, and ends that were meant
    },
  );
