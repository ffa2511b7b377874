/** Bodies over HTTP/2: flow control is back-pressure, in both directions, and one slow stream holds nobody else up. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { byPath, echoed, reply, serve } from "../support/behaviours.js";
import { FLAGS, paddedData } from "../support/http2-frames.js";
import { bothWays, openHttp2, priorKnowledge } from "../support/http2-scene.js";
import { bodyDigest, bodyPiece } from "../support/load.js";
import type { Handler, Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { TlsWorld } from "../support/tls.js";
import { pause } from "../support/wire.js";

const world = new TlsWorld();
const KIB = 1 << 10;
const MIB = 1 << 20;
/** What kernels hold between the origin and us on the loopback, whatever we read. */
const KERNEL_BYTES = 8 * MIB;

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The first `size` bytes of the endless body. */
function bodyOf(size: number): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < size; at += pieces.at(-1)?.length ?? 0) pieces.push(bodyPiece(at, size - at));
  return Buffer.concat(pieces);
}

/** Answers `/SIZE` with so many bytes of the endless body, by length. */
const sized: Handler = async (asked, connection) => {
  const size = Number(asked.target.slice(1));
  await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`, bodyOf(size));
};

bothWays(world, "sizes around every edge arrive whole, both ways", { origin: serve(sized) }, async (open) => {
  const peer = await open();
  for (const edge of [1, 16_384, 65_535, 65_536, 131_072, 262_144, MIB])
    for (const size of [edge - 1, edge, edge + 1]) {
      const answer = await peer.ask(`GET /${size}`);
      assert.deepEqual([answer.body.length, sha(answer.body)], [size, bodyDigest(size)]);
    }
});

bothWays(world, "uploads around every edge arrive whole", {}, async (open) => {
  const peer = await open();
  for (const edge of [16_384, 65_535, 262_144, MIB, 3 * MIB])
    for (const size of [edge - 1, edge, edge + 1]) {
      const seen = echoed(await peer.ask("POST /up", { body: bodyOf(size) }));
      assert.equal(seen.digest, bodyDigest(size), `${size} bytes`);
    }
});

scenario(
  "ten downloads and ten uploads of 1 MiB at once over one connection arrive whole",
  {
    settings: priorKnowledge(),
    origin: serve((asked, connection) =>
      asked.method === "GET"
        ? sized(asked, connection)
        : connection.send(reply(200, createHash("sha256").update(asked.body).digest("hex"))),
    ),
    originOptions: { record: false },
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const [body, digest] = [bodyOf(MIB), bodyDigest(MIB)];
    await Promise.all([
      ...Array.from({ length: 10 }, async () => assert.equal(sha((await peer.ask(`GET /${MIB}`)).body), digest)),
      ...Array.from({ length: 10 }, async () =>
        assert.equal((await peer.ask("POST /up", { body })).body.toString(), digest),
      ),
    ]);
  },
);

/** Sends without end, as fast as it is taken, and counts what the kernel took. */
function endless(sent: { bytes: number }): Script {
  return serve(async (_, connection) => {
    await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n");
    const piece = Buffer.alloc(256 * KIB, "x");
    while (connection.wire.ending === "open" && !connection.wire.socket.destroyed) {
      await connection.send(piece);
      sent.bytes += piece.length;
    }
  });
}

/** Waits until a figure moves no more. */
async function standsStill(figure: () => number): Promise<number> {
  for (let last = -1; ; await pause(300)) {
    const now = figure();
    if (now === last) return now;
    last = now;
  }
}

const slow = { bytes: 0 };
scenario(
  "S3-12 a client that gives no window stops the origin: little more is read than fits the buffers",
  { settings: priorKnowledge(), origin: endless(slow), originOptions: { record: false } },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept", bodies: false, settings: { initialWindowSize: 100_000 } });
    const stream = await peer.request("GET /endless");
    await peer.until("the window's worth", () => peer.received(stream).bytes === 65_535 || undefined);
    await standsStill(() => slow.bytes);
    const before = await scene.counter("origin_bytes_received");
    assert.ok(before < MIB, `${before} bytes were read, of which the client took 65,535`);
    assert.ok(slow.bytes < KERNEL_BYTES, `${slow.bytes} bytes left the origin`);
    // What is given is used, and nothing beyond it: the connection's window is the narrower one.
    await peer.give(stream, 50_000);
    await peer.until("more", () => peer.received(stream).bytes === 115_535 || undefined);
    await peer.give(stream, 500_000);
    await peer.until("still more", () => peer.received(stream).bytes === 615_535 || undefined);
    await peer.reset(stream);
    await scene.sees("exchanges_open", 0);
    await peer.roundTrip();
  },
);

scenario(
  "a stream without window holds no other stream up",
  {
    settings: priorKnowledge(),
    origin: serve((asked, connection) =>
      asked.target === "/other"
        ? connection.send(reply(200, bodyOf(20_000)))
        : connection.send("HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n", Buffer.alloc(4 * MIB)),
    ),
  },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept", settings: { initialWindowSize: 20_000 } });
    const stuck = [await peer.request("GET /endless"), await peer.request("GET /endless")];
    for (const stream of stuck)
      await peer.until("its window's worth", () => peer.received(stream).bytes === 20_000 || undefined);
    // 25,535 of the connection's window are left.
    assert.equal(sha((await peer.ask("GET /other")).body), bodyDigest(20_000));
    for (const stream of stuck) await peer.reset(stream);
    await scene.sees("exchanges_open", 0);
  },
);

scenario(
  "S3-12 an origin that takes nothing stops the client: no more is granted than the window and what kernels hold",
  {
    settings: priorKnowledge({ http2: { streamWindowBytes: 131_072, connectionWindowBytes: 262_144 } }),
    origin: async (connection) => {
      await connection.head();
      connection.wire.stopReading();
      await pause(2_500);
      connection.wire.resumeReading();
      await connection.wire.until("all of it", (unread) => (unread.includes("the end") ? true : undefined), 60_000);
      await connection.send(reply(200, "taken", "Connection: close"));
      await connection.close();
    },
    originOptions: { record: false },
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    assert.equal(peer.announced.initialWindowSize, 131_072);
    const stream = await peer.request("POST /up", { open: true });
    let sent = 0;
    const sending = (async () => {
      for (; sent < 40 * MIB; sent += 64 * KIB) await peer.upload(stream, Buffer.alloc(64 * KIB), false);
      await peer.upload(stream, "the end");
    })();
    const stopped = await standsStill(() => sent);
    assert.ok(stopped < KERNEL_BYTES + MIB, `${stopped} bytes were taken from the client`);
    await sending;
    assert.equal((await peer.answer(stream)).body.toString(), "taken");
  },
  { timeoutMs: 60_000 },
);

scenario(
  "a window that SETTINGS change below zero and above is kept to",
  { settings: priorKnowledge(), origin: serve(sized) },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept", settings: { initialWindowSize: 30_000 } });
    const stream = await peer.request("GET /60000");
    await peer.until("the first window", () => peer.received(stream).bytes === 30_000 || undefined);
    // RFC 9113 6.9.2: the stream's window is now -20,000.
    await peer.announce({ initialWindowSize: 10_000 });
    await peer.give(stream, 20_000);
    await peer.roundTrip();
    await pause(100);
    assert.equal(peer.received(stream).bytes, 30_000);
    await peer.announce({ initialWindowSize: 40_000 });
    assert.equal(sha((await peer.answer(stream)).body), bodyDigest(60_000));
  },
);

scenario("padding counts against the window and is no content", { settings: priorKnowledge() }, async (scene) => {
  const peer = await openHttp2(scene);
  const stream = await peer.request("POST /up", { open: true, fields: [["content-length", "10"]] });
  await peer.send(paddedData(stream, "hello", 255), paddedData(stream, "world", 0, true));
  assert.equal(echoed(await peer.answer(stream)).body, "helloworld");
  // All of it is given back: if padding were lost, the connection's window would be used up on the way.
  for (let turn = 0; turn < 300; turn += 1) {
    const next = await peer.request("POST /up", { open: true });
    await peer.send(...Array.from({ length: 20 }, () => paddedData(next, "x", 255)), paddedData(next, "y", 0, true));
    assert.equal(echoed(await peer.answer(next)).body, `${"x".repeat(20)}y`);
  }
});

scenario(
  "a slow reader and a fast one on one connection: both get all of it, each at its pace",
  { settings: priorKnowledge(), origin: serve(sized), originOptions: { record: false } },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept", settings: { initialWindowSize: 16_384 } });
    const [crawling, running] = [await peer.request(`GET /${200 * KIB}`), await peer.request(`GET /${2 * MIB}`)];
    let taken = 0;
    const run = (async () => {
      while (!peer.received(running).ended) {
        const there = peer.received(running).bytes;
        if (there > taken) await peer.give(running, there - taken);
        taken = there;
        await pause(1);
      }
    })();
    await run;
    assert.equal(peer.received(crawling).bytes, 16_384);
    await peer.give(crawling, 200 * KIB);
    assert.equal(sha((await peer.answer(crawling)).body), bodyDigest(200 * KIB));
    assert.equal(sha((await peer.answer(running)).body), bodyDigest(2 * MIB));
  },
);

scenario(
  "an answer streams: the first piece is there before the last, and its frames are not held back",
  {
    settings: priorKnowledge(),
    origin: byPath({
      "/stream": async (_, connection) => {
        await connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        await pause(150);
        await connection.send("3\r\ntwo\r\n0\r\n\r\n");
      },
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.request("GET /stream");
    await peer.until("the first piece", () => peer.received(stream).bytes === 3 || undefined);
    assert.ok(!peer.received(stream).ended);
    assert.equal((await peer.answer(stream)).body.toString(), "onetwo");
    const last = peer.frames.findLast(({ type }) => type === "DATA");
    assert.ok(last !== undefined && (last.flags & FLAGS.endStream) !== 0);
  },
);

scenario(
  "a client that measures the way by a PING beside each DATA, as gRPC's do, is no attacker",
  { settings: priorKnowledge(), origin: serve(sized), originOptions: { record: false } },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept", bodies: false });
    const stream = await peer.request(`GET /${8 * MIB}`);
    let pings = 0;
    for (let seen = 0; !peer.received(stream).ended; ) {
      const there = await peer.until("DATA", () =>
        peer.received(stream).bytes > seen ? peer.received(stream).bytes : undefined,
      );
      await peer.give(stream, there - seen);
      seen = there;
      await peer.roundTrip();
      pings += 1;
    }
    assert.equal(peer.received(stream).bytes, 8 * MIB);
    assert.ok(pings > 60, `${pings} times`);
    assert.equal(await scene.counter("http2_limit_pings"), 0);
  },
);
