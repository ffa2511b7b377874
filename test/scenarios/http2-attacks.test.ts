/**
 * Attacks on a listener of HTTP/2: each limit ends the attacker's connection with ENHANCE_YOUR_CALM and is counted;
 * a client on another connection goes on as if nothing were.
 */
import { strict as assert } from "node:assert";
import type { CounterName } from "../../src/index.js";
import { byPath, reply, serve } from "../support/behaviours.js";
import { encodeFields, literal } from "../support/hpack.js";
import { besieged, flood, isCalmed } from "../support/http2-attacks.js";
import {
  continuation,
  data,
  frame,
  headers,
  ping,
  priority,
  resetStream,
  settings,
  settingsAck,
  windowUpdate,
} from "../support/http2-frames.js";
import { requestFields } from "../support/http2-messages.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

const GET = encodeFields(requestFields("GET /slow"));
const POST = encodeFields(requestFields("POST /slow"));

/** Answers the others at once, and the attacker late. */
const origin: Script = byPath({
  "/bystander": (_, connection) => connection.send(reply(200, "x")),
  "/slow": async (_, connection) => {
    await pause(300);
    await connection.send(reply(200, "slow"));
  },
});

/** Numbers of streams the attacker uses, so many of them. */
function* streams(count: number): Generator<number> {
  for (let n = 0; n < count; n += 1) yield 2 * n + 1;
}

function* repeated(count: number, make: (n: number) => Buffer): Generator<Buffer> {
  for (let n = 0; n < count; n += 1) yield make(n);
}

interface Flood {
  readonly what: string;
  readonly limit: CounterName;
  /** Another limit that may be passed sooner. */
  readonly or?: CounterName;
  /** What the limit is set to, and may come in a second. */
  readonly allowed: number;
  readonly frames: (count: number) => Iterable<Buffer>;
}

const FLOODS: readonly Flood[] = [
  {
    what: "rapid reset: requests that are reset at once",
    limit: "http2_limit_resets",
    allowed: 200,
    *frames(count) {
      for (const stream of streams(count)) yield Buffer.concat([headers(stream, GET), resetStream(stream)]);
    },
  },
  {
    what: "rapid reset of uploads",
    limit: "http2_limit_resets",
    allowed: 200,
    *frames(count) {
      for (const stream of streams(count))
        yield Buffer.concat([headers(stream, POST, { end: false }), data(stream, "some"), resetStream(stream)]);
    },
  },
  {
    what: "MadeYouReset by a window that overflows",
    limit: "http2_limit_own_resets",
    or: "http2_limit_window_updates",
    allowed: 100,
    *frames(count) {
      for (const stream of streams(count))
        yield Buffer.concat([headers(stream, GET), windowUpdate(stream, 2 ** 31 - 1)]);
    },
  },
  {
    what: "MadeYouReset by a body longer than its length",
    limit: "http2_limit_own_resets",
    allowed: 100,
    *frames(count) {
      const head = encodeFields([...requestFields("POST /slow"), ["content-length", "1"]]);
      for (const stream of streams(count))
        yield Buffer.concat([headers(stream, head, { end: false }), data(stream, "more than one")]);
    },
  },
  {
    what: "MadeYouReset by requests that are malformed",
    limit: "http2_limit_own_resets",
    allowed: 100,
    *frames(count) {
      const bad = Buffer.concat([GET, literal("connection", "close")]);
      for (const stream of streams(count)) yield headers(stream, bad);
    },
  },
  {
    what: "SETTINGS",
    limit: "http2_limit_settings",
    allowed: 20,
    frames: (count) => repeated(count, (n) => settings({ initialWindowSize: 1_000 + n })),
  },
  {
    what: "empty SETTINGS",
    limit: "http2_limit_settings",
    allowed: 20,
    frames: (count) => repeated(count, () => settings()),
  },
  { what: "PING", limit: "http2_limit_pings", allowed: 50, frames: (count) => repeated(count, () => ping()) },
  {
    what: "WINDOW_UPDATE of the connection",
    limit: "http2_limit_window_updates",
    allowed: 200,
    frames: (count) => repeated(count, () => windowUpdate(0, 1)),
  },
  {
    what: "WINDOW_UPDATE of a stream",
    limit: "http2_limit_window_updates",
    allowed: 200,
    *frames(count) {
      yield headers(1, GET);
      yield* repeated(count, () => windowUpdate(1, 1));
    },
  },
  {
    what: "empty DATA",
    limit: "http2_limit_empty_frames",
    allowed: 100,
    *frames(count) {
      yield headers(1, POST, { end: false });
      yield* repeated(count, () => data(1, ""));
    },
  },
  {
    what: "PRIORITY",
    limit: "http2_limit_priorities",
    allowed: 200,
    frames: (count) => repeated(count, (n) => priority(2 * n + 1)),
  },
  {
    what: "frames of an unknown type",
    limit: "http2_limit_priorities",
    allowed: 200,
    frames: (count) => repeated(count, () => frame(0xbe, 0, "grease")),
  },
];

for (const { what, limit, or, allowed, frames } of FLOODS) {
  besieged(
    `a flood of ${what} ends with ENHANCE_YOUR_CALM, and others do not notice`,
    { origin },
    async (attacker, scene) => {
      await flood(attacker, frames(allowed * 10));
      await isCalmed(attacker, scene, limit, ...(or === undefined ? [] : [or]));
      const { counters } = (await scene.proxy.stats()).all;
      assert.ok(counters.http2_streams <= allowed * 2 + counters.answers_2xx + 10, `${counters.http2_streams} streams`);
    },
  );

  scenario(
    `as much of ${what} as the limit allows is let pass`,
    { origin, settings: priorKnowledge() },
    async (scene) => {
      const peer = await openHttp2(scene);
      // The connection's own first SETTINGS count as well.
      await flood(peer, frames(allowed - 2));
      const last = 2 * allowed + 1;
      await peer.send(headers(last, encodeFields(requestFields("GET /bystander"))));
      assert.equal((await peer.answer(last)).status, 200);
      assert.equal(await scene.counter(limit), 0);
      assert.equal(await scene.counter("client_closes_http2_calm"), 0);
    },
  );
}

const CONTINUATIONS: readonly (readonly [what: string, piece: Buffer])[] = [
  ["without a byte", Buffer.alloc(0)],
  ["of one byte each", Buffer.from([0])],
  ["of whole frames", literal("x-filler", "x".repeat(16_300))],
];

for (const [what, piece] of CONTINUATIONS)
  besieged(
    `a flood of CONTINUATION ${what} ends the connection, and others do not notice`,
    { origin },
    async (attacker, scene) => {
      const pieces = repeated(20_000, () => continuation(1, piece, false));
      await attacker.send(headers(1, GET, { endHeaders: false }));
      await flood(attacker, pieces);
      assert.equal(await attacker.seesEnd(), "ENHANCE_YOUR_CALM");
      await scene.sees("client_closes_http2_calm", 1);
    },
  );

scenario(
  "a header block of as many CONTINUATION frames as the settings allow is read; one more ends the connection",
  { origin, settings: priorKnowledge({ http2: { continuations: 3 } }) },
  async (scene) => {
    const block = Buffer.concat([
      encodeFields(requestFields("GET /bystander")),
      literal("x-filler", "x".repeat(2_000)),
    ]);
    const inFrames = (stream: number, count: number): Buffer[] => {
      const size = Math.ceil(block.length / count);
      return Array.from({ length: count }, (_, n) => {
        const piece = block.subarray(n * size, (n + 1) * size);
        return n === 0 ? headers(stream, piece, { endHeaders: false }) : continuation(stream, piece, n + 1 === count);
      });
    };
    const peer = await openHttp2(scene);
    await peer.send(...inFrames(1, 4));
    assert.equal((await peer.answer(1)).status, 200);
    await peer.send(...inFrames(3, 5));
    await isCalmed(peer, scene, "http2_limit_continuations");
  },
);

scenario(
  "WINDOW_UPDATE of nothing is a fault: its connection ends with PROTOCOL_ERROR, or its stream does",
  { origin, settings: priorKnowledge() },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.request("GET /slow");
    await peer.send(windowUpdate(stream, 0));
    const { reset, status } = await peer.outcome(stream);
    // RFC 9113 6.9 asks for the stream's end; 5.4.1 allows the connection's.
    assert.equal(status, undefined);
    if (reset === undefined) assert.equal(await peer.seesEnd(), "PROTOCOL_ERROR");
    else assert.equal(reset, "PROTOCOL_ERROR");
  },
);

besieged(
  "a client that floods with PING and reads nothing is ended, and what it does not read is not piled up",
  { origin },
  async (attacker, scene) => {
    attacker.wire.stopReading();
    await flood(
      attacker,
      repeated(200_000, () => ping()),
    );
    await scene.sees("client_closes_http2_calm", 1);
    attacker.wire.resumeReading();
    await attacker.seesEnd();
  },
);

besieged("acknowledgements of SETTINGS that nobody sent do no harm", { origin }, async (attacker, scene) => {
  await flood(
    attacker,
    repeated(20_000, () => settingsAck()),
  );
  const error = await Promise.race([attacker.seesEnd(), attacker.roundTrip().then(() => "alive")]);
  assert.ok(error === "ENHANCE_YOUR_CALM" || error === "PROTOCOL_ERROR" || error === "alive", String(error));
  assert.equal(await scene.counter("http2_limit_pings"), 0);
});

scenario(
  "limits are settings: a listener that allows three resets a second ends the fourth",
  { settings: priorKnowledge({ http2: { resetsPerS: 3 } }), origin: serve(() => undefined) },
  async (scene) => {
    const peer = await openHttp2(scene);
    for (let n = 0; n < 3; n += 1) await peer.reset(await peer.request("GET /slow"));
    await peer.roundTrip();
    await peer.reset(await peer.request("GET /slow"));
    assert.equal(await peer.seesEnd(), "ENHANCE_YOUR_CALM");
    assert.equal(await scene.counter("http2_limit_resets"), 1);
  },
);

scenario(
  "buckets fill again: three resets a second, second after second, are nobody's business",
  { settings: priorKnowledge({ http2: { resetsPerS: 3 } }), origin: serve(() => undefined) },
  async (scene) => {
    const peer = await openHttp2(scene);
    for (let n = 0; n < 9; n += 1) {
      await peer.reset(await peer.request("GET /slow"));
      await pause(400);
    }
    await peer.roundTrip();
    assert.equal(await scene.counter("client_closes_http2_calm"), 0);
  },
);
