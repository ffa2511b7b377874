/** Attacks on HTTP/2 by being slow or small: windows of a byte, windows of gigabytes that nobody reads, frames too late. */
import { strict as assert } from "node:assert";
import { byPath, reply } from "../support/behaviours.js";
import { MIB } from "../support/bounded.js";
import { encodeFields } from "../support/hpack.js";
import { besieged, flood } from "../support/http2-attacks.js";
import { data, headers, windowUpdate } from "../support/http2-frames.js";
import { requestFields } from "../support/http2-messages.js";
import type { Script } from "../support/origin.js";

const GET = encodeFields(requestFields("GET /big"));
/** Sent from one place of memory, however often. */
const BIG = Buffer.alloc(MIB);

const origin: Script = byPath({
  "/bystander": (_, connection) => connection.send(reply(200, "x")),
  "/big": async (_, connection) => {
    await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BIG.length}\r\n\r\n`);
    await connection.wire.send(BIG);
  },
});

besieged(
  "CVE-2019-9511 windows of one byte at a time cost nobody else anything, and are given up or served",
  { origin, originOptions: { record: false }, peer: { window: "kept", settings: { initialWindowSize: 0 } } },
  async (attacker) => {
    const streams = await Promise.all(Array.from({ length: 20 }, () => attacker.request("GET /big")));
    for (const stream of streams) await attacker.head(stream);
    const drops = function* (): Generator<Buffer> {
      for (let turn = 0; turn < 1_000; turn += 1) for (const stream of streams) yield windowUpdate(stream, 1);
    };
    for (const stream of streams) attacker.expects(stream, 1_000);
    await flood(attacker, drops());
    if (attacker.ending !== "open") return;
    for (const stream of streams) await attacker.reset(stream);
    const error = await Promise.race([attacker.seesEnd(), attacker.roundTrip().then(() => "alive")]);
    assert.ok(error === "alive" || error === "ENHANCE_YOUR_CALM", String(error));
  },
);

besieged(
  "CVE-2019-9517 a client that opens its windows wide and reads nothing is held to the buffers, then let go",
  {
    origin,
    originOptions: { record: false },
    settings: { timeouts: { clientWriteMs: 1_500 } },
    peer: { window: "kept", settings: { initialWindowSize: 2 ** 31 - 1 } },
  },
  async (attacker, scene) => {
    await attacker.give(0, 2 ** 30);
    attacker.wire.stopReading();
    for (let n = 0; n < 100; n += 1) await attacker.request("GET /big");
    await scene.sees("exchanges_open", 0);
    await scene.sees("client_connections_open", 1);
    const { counters } = (await scene.proxy.stats()).all;
    assert.ok(counters.client_bytes_sent < 20 * MIB, `${counters.client_bytes_sent} bytes were sent`);
    attacker.wire.resumeReading();
  },
);

besieged(
  "MadeYouReset by DATA behind the end of a request ends the connection, or is nobody's business",
  { origin },
  async (attacker, scene) => {
    const frames = function* (): Generator<Buffer> {
      for (let n = 0; n < 1_000; n += 1) yield Buffer.concat([headers(2 * n + 1, GET), data(2 * n + 1, "more")]);
    };
    await flood(attacker, frames());
    const error = await attacker.seesEnd();
    assert.ok(error === "ENHANCE_YOUR_CALM" || error === "STREAM_CLOSED" || error === "PROTOCOL_ERROR", String(error));
    await scene.sees("exchanges_open", 0);
  },
);
