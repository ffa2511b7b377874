/** Attacks on the memory of a listener of HTTP/2: what one connection may make us hold has a bound, whatever it does. */
import { strict as assert } from "node:assert";
import { byPath, reply, serve } from "../support/behaviours.js";
import { MIB } from "../support/bounded.js";
import { encodeFields, indexed, literal, remembered } from "../support/hpack.js";
import { besieged } from "../support/http2-attacks.js";
import { continuation, data, headers, windowUpdate } from "../support/http2-frames.js";
import { requestFields } from "../support/http2-messages.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import type { Script } from "../support/origin.js";
import { residentBytes } from "../support/proxy.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

const GET = encodeFields(requestFields("GET /bystander"));
/** The first entry of the dynamic table. */
const NEWEST = 62;

/** Sent from one place of memory, however often: what grows is the proxy's. */
const BIG = Buffer.alloc(MIB);

/** Answers the others at once, and the attacker with a mebibyte. */
const origin: Script = byPath({
  "/bystander": (_, connection) => connection.send(reply(200, "x")),
  "/big": async (_, connection) => {
    await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BIG.length}\r\n\r\n`);
    await connection.wire.send(BIG);
  },
});

for (const [what, field, references] of [
  ["one entry of 4,000 bytes, referred to 12,000 times", ["x-bomb", "x".repeat(4_000 - 38)], 12_000],
  ["one entry of a byte, referred to 12,000 times", ["x", ""], 12_000],
  ["crumbs of cookies, 12,000 times", ["cookie", "a"], 12_000],
] as const)
  besieged(`an HPACK bomb ends the connection, and is not unpacked: ${what}`, { origin }, async (attacker, scene) => {
    const repeated = Array.from({ length: references }, () => indexed(NEWEST));
    await attacker.send(headers(1, Buffer.concat([GET, remembered(field[0], field[1]), ...repeated])));
    assert.equal(await attacker.seesEnd(), "ENHANCE_YOUR_CALM");
    await scene.sees("client_closes_http2_calm", 1);
  });

besieged(
  "a small bomb, a hundred times, is answered 431 each time, and the header table is kept in step",
  { origin },
  async (attacker) => {
    const references = Array.from({ length: 20 }, () => indexed(NEWEST));
    for (let turn = 0; turn < 100; turn += 1) {
      const stream = attacker.nextStream();
      const field = remembered("x-bomb", String(turn).padStart(3_000, "x"));
      await attacker.send(headers(stream, Buffer.concat([GET, field, ...references])));
      assert.equal((await attacker.outcome(stream)).status, 431);
    }
    assert.equal((await attacker.ask("GET /bystander")).status, 200);
  },
);

scenario(
  "a header list beyond limits.headBytes is answered 431, one below passes, and what is announced is no less",
  { settings: priorKnowledge({ limits: { headBytes: 8_192 } }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    assert.ok((peer.announced.maxHeaderListSize ?? 0) >= 8_192, "never less than what is read");
    assert.equal((await peer.ask("GET /a", { fields: [["x-filler", "x".repeat(6_000)]] })).status, 200);
    assert.equal((await peer.ask("GET /a", { fields: [["x-filler", "x".repeat(9_000)]] })).status, 431);
    assert.equal(scene.origin.requests.length, 1);
    assert.equal((await peer.ask("GET /a")).status, 200);
  },
);

scenario(
  "more fields than limits.fieldCount are answered 431",
  { settings: priorKnowledge({ limits: { fieldCount: 20 } }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    const fields = (count: number) => Array.from({ length: count }, (_, n) => [`x-${n}`, "1"] as const);
    assert.equal((await peer.ask("GET /a", { fields: fields(15) })).status, 200);
    assert.equal((await peer.ask("GET /a", { fields: fields(25) })).status, 431);
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "a trailer section is held to the head's limits",
  { settings: priorKnowledge({ limits: { headBytes: 8_192 } }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.request("POST /a", { body: "x", trailers: [["x-filler", "x".repeat(9_000)]] });
    const { status, reset } = await peer.outcome(stream);
    assert.ok(status === 431 || status === 400 || reset !== undefined, `status ${status}, reset ${reset}`);
    await scene.sees("exchanges_open", 0);
    assert.deepEqual(
      scene.origin.requests.filter(({ complete }) => complete),
      [],
    );
  },
);

besieged(
  "zero-window hoarding: 40 answers of 1 MiB on each of two connections hold no more than their buffers, and go on",
  { origin, originOptions: { record: false }, peer: { window: "kept", settings: { initialWindowSize: 0 } } },
  async (attacker, scene) => {
    const all = [
      attacker,
      await openHttp2(scene, { bodies: false, window: "kept", settings: { initialWindowSize: 0 } }),
    ];
    const streams = Array.from({ length: 40 }, (_, n) => 2 * n + 1);
    for (const peer of all) for (const _ of streams) await peer.request("GET /big");
    // Heads need no window, and come whatever waits for some.
    for (const peer of all) await peer.until("the heads", () => peer.opened.length === streams.length || undefined);
    await pause(500);
    const received = await scene.counter("origin_bytes_received");
    // connectionBufferBytes for each connection, and for each origin connection what one read takes.
    assert.ok(received < 2 * (MIB + streams.length * 65_536) + MIB, `${received} bytes were read from origins`);
    for (const peer of all) {
      await peer.announce({ initialWindowSize: 2 * BIG.length });
      await peer.give(0, 2 ** 30);
    }
    for (const peer of all)
      for (const stream of streams)
        await peer.until(
          `answer ${stream}`,
          () => (peer.received(stream).ended && peer.received(stream).bytes) || undefined,
        );
    for (const peer of all) assert.ok(streams.every((stream) => peer.received(stream).bytes === BIG.length));
  },
);

besieged(
  "stalled streams are all cancelled after clientWriteMs, and counted one by one",
  {
    origin,
    originOptions: { record: false },
    peer: { window: "kept", settings: { initialWindowSize: 1 } },
    settings: { timeouts: { clientWriteMs: 400 } },
  },
  async (attacker, scene) => {
    const streams: number[] = [];
    for (let n = 0; n < 100; n += 1) streams.push(await attacker.request("GET /big"));
    for (const stream of streams) assert.equal(await attacker.resetOf(stream), "CANCEL");
    assert.equal(await scene.counter("http2_streams_stalled"), 100);
    assert.equal((await attacker.ask("HEAD /bystander")).status, 200);
  },
);

scenario(
  "streams beyond the number that is announced are refused unprocessed, and the rest answered",
  {
    settings: priorKnowledge({ http2: { streams: 10 } }),
    origin: serve(async (asked, connection) => {
      await pause(200);
      await connection.send(reply(200, asked.target));
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    assert.equal(peer.announced.maxConcurrentStreams, 10);
    const streams = [];
    for (let n = 0; n < 15; n += 1) streams.push(await peer.request(`GET /${n}`));
    for (const stream of streams.slice(10)) assert.equal(await peer.resetOf(stream), "REFUSED_STREAM");
    for (const [n, stream] of streams.slice(0, 10).entries())
      assert.equal((await peer.answer(stream)).body.toString(), `/${n}`);
    assert.equal(await scene.counter("http2_streams_refused"), 5);
    assert.equal(scene.origin.requests.length, 10);
    assert.equal((await peer.ask("GET /after")).status, 200);
  },
);

scenario(
  "what is refused keeps the header table in step",
  {
    settings: priorKnowledge({ http2: { streams: 1 } }),
    origin: serve(async (asked, connection) => {
      await pause(150);
      await connection.send(reply(200, asked.fields.one("x-kept") ?? "nothing"));
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const first = await peer.request("GET /1");
    const refused = peer.nextStream();
    await peer.send(headers(refused, Buffer.concat([GET, remembered("x-kept", "yes")])));
    assert.equal(await peer.resetOf(refused), "REFUSED_STREAM");
    await peer.answer(first);
    const next = peer.nextStream();
    await peer.send(headers(next, Buffer.concat([GET, indexed(NEWEST)])));
    assert.equal((await peer.answer(next)).body.toString(), "yes");
  },
);

scenario(
  "a window of the connection that overflows ends it with FLOW_CONTROL_ERROR",
  { settings: priorKnowledge() },
  async (scene) => {
    const peer = await openHttp2(scene);
    await peer.send(windowUpdate(0, 2 ** 31 - 1));
    assert.equal(await peer.seesEnd(), "FLOW_CONTROL_ERROR");
    await scene.sees("client_closes_http2_error", 1);
  },
);

scenario(
  "a window of a stream that overflows resets the stream with FLOW_CONTROL_ERROR",
  { settings: priorKnowledge(), origin: serve(() => undefined) },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.request("GET /a");
    await peer.send(windowUpdate(stream, 2 ** 31 - 1));
    assert.equal(await peer.resetOf(stream), "FLOW_CONTROL_ERROR");
    await scene.sees("exchanges_open", 0);
    const { counters } = (await scene.proxy.stats()).all;
    assert.equal(counters.http2_resets_by_us + counters.http2_resets_by_client, 1);
    await peer.roundTrip();
  },
);

scenario(
  "a client that sends more than its window is ended with FLOW_CONTROL_ERROR",
  {
    settings: priorKnowledge({ http2: { streamWindowBytes: 65_536 } }),
    origin: async (connection) => {
      await connection.head();
      connection.wire.stopReading();
      await connection.ended();
    },
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.request("POST /up", { open: true });
    for (
      let sent = 0;
      sent < 40 * MIB && peer.ending === "open" && peer.received(stream).reset === undefined;
      sent += 16_384
    )
      await peer.send(data(stream, Buffer.alloc(16_384)));
    const { reset } = await peer.outcome(stream);
    assert.ok(reset === "FLOW_CONTROL_ERROR" || (await peer.seesEnd()) === "FLOW_CONTROL_ERROR");
    for (const connection of scene.origin.connections) connection.wire.socket.destroy();
  },
);

besieged(
  "header blocks of whole frames, fifty in a row, are answered 431 and cost nobody else anything",
  { origin },
  async (attacker) => {
    const filler = literal("x-filler", "x".repeat(16_000));
    for (let turn = 0; turn < 50; turn += 1) {
      const stream = attacker.nextStream();
      await attacker.send(
        headers(stream, GET, { endHeaders: false }),
        ...Array.from({ length: 3 }, (_, n) => continuation(stream, filler, n === 2)),
      );
      assert.equal((await attacker.outcome(stream)).status, 431);
    }
  },
);

scenario(
  "an idle connection of HTTP/2 that has served costs little",
  { settings: priorKnowledge(), apart: true, origin, originOptions: { record: false } },
  async (scene) => {
    const warm = await Promise.all(Array.from({ length: 50 }, () => openHttp2(scene)));
    for (const peer of warm) await peer.ask("GET /bystander");
    const before = residentBytes(scene.proxy.pid);
    const peers = await Promise.all(Array.from({ length: 500 }, () => openHttp2(scene)));
    for (const peer of peers) await peer.ask("GET /bystander");
    await pause(300);
    const each = (residentBytes(scene.proxy.pid) - before) / peers.length;
    assert.ok(each < 32_768, `${(each / 1_024).toFixed(1)} KiB each`);
  },
);
