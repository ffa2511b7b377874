/** Bytes by chance at a listener of HTTP/2: frames of every type, flag and stream; nobody else notices, nothing is left. */
import { strict as assert } from "node:assert";
import { byPath, reply } from "../support/behaviours.js";
import { encodeFields, indexed, literal, remembered, tableSize } from "../support/hpack.js";
import { frame, headers, PREFACE, settings } from "../support/http2-frames.js";
import { requestFields } from "../support/http2-messages.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** Connections of each seed. */
const CONNECTIONS = 150;
const GOOD = encodeFields(requestFields("GET /small"));
const POST = encodeFields(requestFields("POST /small"));

/** Numbers that a seed decides. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

/** A header block: right, half right, or by chance. */
function block(roll: (sides: number) => number): Buffer {
  switch (roll(7)) {
    case 0:
      return GOOD;
    case 1:
      return POST;
    case 2:
      return Buffer.concat([GOOD, remembered("x-kept", String(roll(1_000))), indexed(62 + roll(3))]);
    case 3:
      return Buffer.concat([tableSize(roll(8_192)), GOOD]);
    case 4:
      return Buffer.concat([GOOD, literal("x-long", "x".repeat(roll(20_000)), roll(2) === 0)]);
    case 5:
      return GOOD.subarray(0, roll(GOOD.length));
    default:
      return Buffer.from(Array.from({ length: roll(60) }, () => roll(256)));
  }
}

/** A frame: of any type, often nearly right. */
function anyFrame(roll: (sides: number) => number): Buffer {
  const stream = [0, 1, 3, 5, 2, roll(50), 2 ** 31 - 1][roll(7)] ?? 0;
  const type = roll(12);
  const flags = [0, 1, 4, 5, 8, 0x20, roll(256)][roll(7)] ?? 0;
  if (type === 1 || type === 9) return frame(type, stream, block(roll), { flags });
  if (type === 4 && roll(2) === 0) return settings({ initialWindowSize: roll(2 ** 17), headerTableSize: roll(10_000) });
  const lengths = [0, 4, 5, 6, 8, 16_384, 16_385, roll(100)];
  const payload = Buffer.alloc(lengths[roll(lengths.length)] ?? 0, roll(256));
  const lies = roll(30) === 0 ? { length: roll(2 ** 24) } : {};
  return frame(type, stream, payload, { flags, ...lies });
}

for (const seed of [1, 2, 3])
  scenario(
    `frames by chance, seed ${seed}: the books balance, and somebody else is served all the while`,
    {
      workers: 2,
      originOptions: { record: false },
      origin: byPath({ "/small": (_, connection) => connection.send(reply(200, "small")) }),
      settings: priorKnowledge({
        timeouts: { clientHeadMs: 500, clientIdleMs: 500, clientBodyMs: 500, clientWriteMs: 500 },
      }),
    },
    async (scene) => {
      const roll = dice(seed);
      for (let n = 0; n < CONNECTIONS; n += 1) {
        const client = await scene.client({ record: false });
        const pieces = [PREFACE, ...(roll(10) > 0 ? [settings()] : [])];
        if (roll(2) === 0) pieces.push(headers(1, roll(2) === 0 ? GOOD : POST, { end: roll(2) === 0 }));
        for (let more = roll(12); more > 0; more -= 1) pieces.push(anyFrame(roll));
        const bytes = Buffer.concat(pieces);
        if (roll(3) === 0) {
          const cut = roll(bytes.length);
          await client.send(bytes.subarray(0, cut));
          await pause(1);
          await client.send(bytes.subarray(cut));
        } else await client.send(bytes);
        if (roll(3) === 0) await client.reset();
        else if (roll(2) === 0) await client.halfClose();
        if (n % 10 === 0) {
          const other = await openHttp2(scene);
          assert.equal((await other.ask("GET /small")).status, 200);
          await other.close();
        }
      }
      await scene.sees("exchanges_open", 0);
      await scene.sees("http2_streams_open", 0);
      await scene.sees("http2_connections_open", 0);
      assert.equal(await scene.counter("client_closes_worker_lost"), 0);
    },
  );
