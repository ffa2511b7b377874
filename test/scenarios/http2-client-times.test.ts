/** Times and leaving over HTTP/2: who keeps us waiting loses a stream or a connection, and a drain loses nobody. */
import { strict as assert } from "node:assert";
import { byPath, echoed, reply, serve } from "../support/behaviours.js";
import { encodeFields } from "../support/hpack.js";
import { headers, PREFACE, settings } from "../support/http2-frames.js";
import { requestFields } from "../support/http2-messages.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import { takes } from "../support/lateness.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { TlsWorld } from "../support/tls.js";
import { pause, within } from "../support/wire.js";

const SHORT = {
  clientHeadMs: 300,
  clientBodyMs: 300,
  clientIdleMs: 300,
  clientWriteMs: 400,
  clientLingerMs: 200,
} as const;
const world = new TlsWorld();

/** A wait that began now must have lasted about this long; the wheel is coarse. */
const lasts = (ms: number, wait: () => Promise<unknown>) => takes(ms * 0.8, ms + 700, wait);

const slow = (ms: number): Script =>
  serve(async (asked, connection) => {
    await pause(ms);
    await connection.send(reply(200, asked.target));
  });

scenario(
  "S3-04 a connection without streams is closed after clientIdleMs, with GOAWAY NO_ERROR",
  { settings: priorKnowledge({ timeouts: SHORT }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    await peer.ask("GET /a");
    await lasts(300, async () => assert.equal(await peer.seesEnd(), "NO_ERROR"));
    await scene.sees("client_closes_idle_timeout", 1);
  },
);

scenario(
  "S3-04 a connection with a stream is not idle, and PING does not keep one without",
  { settings: priorKnowledge({ timeouts: SHORT }), origin: slow(900) },
  async (scene) => {
    const peer = await openHttp2(scene);
    assert.equal((await peer.ask("GET /a")).status, 200);
    await lasts(300, async () => {
      for (let turn = 0; turn < 40 && peer.ending === "open"; turn += 1) {
        await peer.roundTrip().catch(() => undefined);
        await pause(50);
      }
      assert.equal(await peer.seesEnd(), "NO_ERROR");
    });
  },
);

for (const [what, begin] of [
  ["of the preface comes half", [PREFACE.subarray(0, 20)]],
  ["behind the preface come no SETTINGS", [PREFACE]],
  [
    "a header block does not end",
    [PREFACE, settings(), headers(1, encodeFields(requestFields("GET /a")), { endHeaders: false })],
  ],
] as const)
  scenario(
    `a connection is given up after clientHeadMs when ${what}`,
    { settings: priorKnowledge({ timeouts: { ...SHORT, clientIdleMs: 5_000 } }) },
    async (scene) => {
      const client = await scene.client();
      await client.send(...begin);
      await lasts(300, () => client.wire.takeAll());
      assert.equal(scene.origin.receivedBytes, 0);
      await scene.sees("client_connections_open", 0);
    },
  );

scenario(
  "a body that stops costs its stream: 408 or RST_STREAM, the origin sees no end, others go on",
  { settings: priorKnowledge({ timeouts: { ...SHORT, clientIdleMs: 5_000 } }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stopped = await peer.request("POST /up", { open: true, fields: [["content-length", "100"]] });
    await peer.data(stopped, "some");
    const { status, reset } = await takes(240, 1_200, () => peer.outcome(stopped));
    assert.ok(status === 408 || reset !== undefined, `status ${status}, reset ${reset}`);
    await scene.sees("exchanges_open", 0);
    assert.deepEqual(
      scene.origin.requests.filter(({ complete }) => complete),
      [],
    );
    assert.equal(await scene.counter("client_fault_body_timeout"), 1);
    assert.equal(await scene.counter("origin_failures"), 0);
    assert.equal(echoed(await peer.ask("GET /after")).target, "/after");
  },
);

scenario(
  "a body that drips but moves is not cut, while another stream's stands still",
  { settings: priorKnowledge({ timeouts: { ...SHORT, clientIdleMs: 5_000 } }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    const still = await peer.request("POST /still", { open: true });
    const drips = await peer.request("POST /drips", { open: true });
    for (let turn = 0; turn < 8; turn += 1) {
      await peer.data(drips, String(turn));
      await pause(120);
    }
    await peer.data(drips, "", true);
    assert.equal(echoed(await peer.answer(drips)).body, "01234567");
    const { status, reset } = await peer.outcome(still);
    assert.ok(status === 408 || reset !== undefined, `status ${status}, reset ${reset}`);
  },
);

scenario(
  "S3-14 an answer that waits for window longer than clientWriteMs is cancelled and counted; others go on",
  {
    settings: priorKnowledge({ timeouts: { ...SHORT, clientIdleMs: 5_000 } }),
    origin: byPath({
      "/big": async (_, connection) => {
        await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n", Buffer.alloc(500_000));
      },
      "/small": (_, connection) => connection.send(reply(200, "x")),
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept", settings: { initialWindowSize: 1_000 } });
    const big = await peer.request("GET /big");
    await peer.until("its window's worth", () => peer.received(big).bytes === 1_000 || undefined);
    await lasts(400, async () => assert.equal(await peer.resetOf(big), "CANCEL"));
    assert.equal(await scene.counter("http2_streams_stalled"), 1);
    assert.equal(await scene.counter("client_fault_client_write_timeout"), 1);
    await scene.sees("origin_connections_idle", 0);
    assert.equal((await peer.ask("GET /small")).status, 200);
    assert.equal(await scene.counter("origin_failures"), 0);
  },
);

scenario(
  "S3-14 a client that gives a little window now and then is not stalled",
  {
    settings: priorKnowledge({ timeouts: { ...SHORT, clientIdleMs: 5_000 } }),
    origin: serve((_, connection) => connection.send(reply(200, Buffer.alloc(20_000)))),
  },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept", settings: { initialWindowSize: 1_000 } });
    const stream = await peer.request("GET /big");
    for (let turn = 0; turn < 10; turn += 1) {
      await pause(150);
      await peer.give(stream, 100);
    }
    await peer.give(stream, 20_000);
    assert.equal((await peer.answer(stream)).body.length, 20_000);
    assert.equal(await scene.counter("http2_streams_stalled"), 0);
  },
);

for (const way of ["prior knowledge", "TLS"] as const)
  scenario(
    `S3-10 drain says GOAWAY twice, and requests under way finish (${way})`,
    {
      settings: way === "TLS" ? world.settings() : priorKnowledge(),
      origin: slow(600),
      workers: 2,
    },
    async (scene) => {
      const connection = way === "TLS" ? { tls: world.asks() } : {};
      const [busy, idle] = [await openHttp2(scene, { connection }), await openHttp2(scene, { connection })];
      const first = await busy.request("GET /1");
      await scene.origin.sees("the first", (origin) => origin.requests.length === 1);
      const stopping = scene.stop(10_000);
      // RFC 9113 6.8: the first says that the end comes, the second which streams still count.
      assert.deepEqual(await busy.goaway(), { error: "NO_ERROR", last: 2 ** 31 - 1 });
      const { error, last } = await busy.goaway();
      assert.equal(error, "NO_ERROR");
      assert.ok(last >= first && last < 100, String(last));
      assert.equal((await busy.answer(first)).body.toString(), "/1");
      assert.equal(await busy.seesEnd(), "NO_ERROR");
      assert.equal(await idle.seesEnd(), "NO_ERROR");
      await within(stopping, 5_000, "the stop");
    },
  );

scenario(
  "S3-10 a request that crosses the first GOAWAY is served",
  { settings: priorKnowledge(), origin: slow(300) },
  async (scene) => {
    // Its PING stays unanswered for a while: the client has not heard of the end yet.
    const peer = await openHttp2(scene, { slowPingMs: 200 });
    const first = await peer.request("GET /1");
    await scene.origin.sees("the first", (origin) => origin.requests.length === 1);
    const stopping = scene.stop(10_000);
    assert.equal((await peer.goaway()).last, 2 ** 31 - 1);
    const crossing = await peer.request("GET /2");
    for (const [stream, body] of [
      [first, "/1"],
      [crossing, "/2"],
    ] as const)
      assert.equal((await peer.answer(stream)).body.toString(), body);
    assert.ok((await peer.goaway()).last >= crossing);
    await peer.seesEnd();
    await within(stopping, 5_000, "the stop");
  },
);

scenario(
  "S3-10 a request behind the second GOAWAY is not served, and the client can tell",
  { settings: priorKnowledge(), origin: slow(800) },
  async (scene) => {
    const peer = await openHttp2(scene);
    const first = await peer.request("GET /1");
    await scene.origin.sees("the first", (origin) => origin.requests.length === 1);
    const stopping = scene.stop(10_000);
    await peer.goaway();
    const { last } = await peer.goaway();
    const late = await peer.request("GET /2");
    assert.ok(late > last);
    assert.equal((await peer.answer(first)).body.toString(), "/1");
    const { status, reset } = await peer.outcome(late);
    assert.ok(status === undefined && (reset === undefined || reset === "REFUSED_STREAM"), `${status} ${reset}`);
    assert.equal(scene.origin.requests.length, 1);
    await within(stopping, 5_000, "the stop");
  },
);

scenario(
  "S3-10 drain under load: of requests on many connections none that was taken is lost",
  {
    settings: priorKnowledge(),
    workers: 2,
    originOptions: { record: false },
    origin: serve(async (_, connection) => {
      await pause(Math.random() * 10);
      await connection.send(reply(200, "x".repeat(2_000)));
    }),
  },
  async (scene) => {
    const peers = await Promise.all(Array.from({ length: 10 }, () => openHttp2(scene)));
    let whole = 0;
    const play = peers.flatMap((peer) =>
      Array.from({ length: 8 }, async () => {
        for (;;) {
          if (peer.frames.some(({ type }) => type === "GOAWAY") || peer.ending !== "open") return;
          const stream = await peer.request("GET /");
          const { status, reset, whole: ended } = await peer.outcome(stream);
          const last = peer.frames.findLast(({ type }) => type === "GOAWAY")?.payload.readUInt32BE(0) ?? 2 ** 31 - 1;
          if (status === undefined && stream > last) return;
          assert.deepEqual([status, reset, ended], [200, undefined, true], `stream ${stream}, last ${last}`);
          assert.equal(peer.received(stream).bytes, 2_000);
          whole += 1;
        }
      }),
    );
    await pause(400);
    await scene.stop(10_000);
    await Promise.all(play);
    assert.ok(whole > 80, `${whole} answers`);
  },
);

scenario(
  "drain: the deadline ends what does not end by itself",
  { settings: priorKnowledge(), origin: slow(30_000) },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.request("GET /");
    await scene.origin.sees("the request", (origin) => origin.requests.length === 1);
    await takes(250, 2_500, () => scene.stop(300));
    assert.equal((await peer.outcome(stream)).status, undefined);
  },
);
