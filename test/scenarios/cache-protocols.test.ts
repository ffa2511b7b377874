/** One cache for all who come: HTTP/1.0, HTTP/1.1, HTTP/2 and TLS on either side, and several workers. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { serve } from "../support/behaviours.js";
import { caching, counting, fresh, isHit, told, untilHit } from "../support/cache.js";
import { chunk, request } from "../support/client.js";
import { withNodeOrigin } from "../support/http2-origins.js";
import { bothWays, openHttp2, priorKnowledge } from "../support/http2-scene.js";
import { bodyDigest, bodyPiece } from "../support/load.js";
import type { Script } from "../support/origin.js";
import { type SettingsOverlay, scenario } from "../support/scene.js";
import { TlsWorld } from "../support/tls.js";
import { overTls } from "../support/tls-origins.js";
import { pause } from "../support/wire.js";

const world = new TlsWorld();
const ROUTES = [{ forwardTo: "app", cache: true }] as never;
const CACHED: SettingsOverlay = { routes: ROUTES };
const MIB = 1 << 20;
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

bothWays(
  world,
  "HTTP/2 clients get hits, heads, conditions and ranges as others do",
  {
    origin: counting((a, n) => fresh(`${a.target} ${n}`, 60, 'ETag: "v"', "Content-Type: text/plain")),
    settings: CACHED,
  },
  async (open, scene) => {
    const peer = await open();
    const miss = await peer.ask("GET /a");
    assert.equal(told(miss), "fwd=uri-miss; stored; detail=uri_miss");
    const hit = await peer.ask("GET /a");
    assert.equal(told(hit), "hit; detail=fresh");
    assert.equal(hit.body.toString(), miss.body.toString());
    assert.equal(hit.fields.one("content-length"), "4");
    assert.equal((await peer.ask("HEAD /a")).body.length, 0);
    const not = await peer.ask("GET /a", { fields: [["if-none-match", '"v"']] });
    assert.equal(not.status, 304);
    const part = await peer.ask("GET /a", { fields: [["range", "bytes=0-1"]] });
    assert.deepEqual([part.status, part.body.toString()], [206, "/a"]);
    assert.equal(scene.origin.requests.length, 1);
  },
);

/** An origin whose answer comes late, and in two pieces. */
const inTwoPieces = (): Script =>
  serve(async (_, connection) => {
    await pause(200);
    await connection.send(
      "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n",
      chunk("one "),
    );
    await pause(300);
    await connection.send(chunk("two"), "0\r\n\r\n");
  });

scenario(
  "clients of HTTP/1.1 and HTTP/2 wait for one fetch, and read it while it arrives",
  {
    settings: priorKnowledge(CACHED),
    origin: inTwoPieces(),
  },
  async (scene) => {
    const client = await scene.client();
    const peer = await openHttp2(scene);
    await client.send(request("GET /a"));
    const streams = [await peer.request("GET /a"), await peer.request("GET /a")];
    for (const stream of streams)
      await peer.until("the first piece", () => peer.received(stream).head !== undefined || undefined);
    assert.equal((await client.answer()).body.toString(), "one two");
    for (const stream of streams) assert.equal((await peer.answer(stream)).body.toString(), "one two");
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "clients over TLS wait for one fetch, and read it while it arrives",
  {
    settings: world.settings({}, CACHED),
    origin: inTwoPieces(),
  },
  async (scene) => {
    const clients = [await scene.client({ tls: world.asks() }), await scene.client({ tls: world.asks() })];
    for (const client of clients) await client.send(request("GET /a"));
    for (const client of clients)
      await client.wire.until("the first piece", (got) => got.includes("one ") || undefined);
    for (const client of clients) assert.equal((await client.answer()).body.toString(), "one two");
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "a stream that is reset in the middle of a hit or of a fill disturbs no other",
  {
    settings: priorKnowledge(CACHED),
    origin: serve((_, connection) => connection.send(fresh(Buffer.alloc(4 * MIB, "x")))),
  },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept" });
    const [first, second] = [await peer.request("GET /a"), await peer.request("GET /a")];
    await peer.head(first);
    await peer.head(second);
    await peer.reset(first);
    const other = await openHttp2(scene);
    assert.equal((await other.ask("GET /a")).body.length, 4 * MIB);
    const third = await peer.request("GET /a");
    await peer.reset(second);
    await peer.reset(third);
    assert.equal((await other.ask("GET /a")).body.length, 4 * MIB);
    assert.equal(scene.origin.requests.length, 1);
  },
);

for (const secure of [false, true])
  test(`answers of an origin that speaks HTTP/2 are stored and read along${secure ? " (TLS)" : ""}`, {
    timeout: 60_000,
  }, async () => {
    let count = 0;
    await withNodeOrigin(
      (stream) => {
        count += 1;
        stream.respond({ ":status": 200, "cache-control": "max-age=60" });
        stream.write("one ");
        setTimeout(() => stream.end("two"), 300);
      },
      { secure, more: CACHED },
      async (scene) => {
        const clients = await Promise.all(Array.from({ length: 10 }, () => scene.client()));
        const answers = await Promise.all(clients.map((client) => client.ask("GET /a")));
        assert.deepEqual([...new Set(answers.map(({ body }) => body.toString()))], ["one two"]);
        assert.equal(count, 1);
        const client = clients[0] ?? assert.fail();
        assert.equal(isHit(await untilHit(client, "GET /a")), true);
      },
    );
  });

test("a stream of an origin that is reset in the middle is no whole answer", { timeout: 60_000 }, async () => {
  let count = 0;
  await withNodeOrigin(
    (stream) => {
      count += 1;
      stream.respond({ ":status": 200, "cache-control": "max-age=60" });
      if (count === 1) {
        stream.write("half");
        setTimeout(() => stream.destroy(new Error("broken")), 100);
      } else stream.end("whole");
    },
    { more: CACHED },
    async (scene) => {
      const client = await scene.client();
      await client.send(request("GET /a"));
      const part = await client.answerOrPart();
      assert.deepEqual([part.body.toString(), part.complete], ["half", false]);
      const next = await scene.client();
      assert.equal((await next.ask("GET /a")).body.toString(), "whole");
      assert.equal(count, 2);
    },
  );
});

scenario(
  "bodies around every edge come out of the cache as they went in, with an origin that speaks TLS",
  overTls({
    originOptions: { record: false },
    settings: CACHED,
    origin: serve(async (a, connection) => {
      const size = Number(a.target.slice(1));
      await connection.send(
        `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: ${size}\r\n\r\n`,
        bodyOf(size),
      );
    }),
  }),
  async (scene) => {
    const client = await scene.client({ record: false });
    for (const edge of [1, 4_096, 16_384, 65_536, 262_144, MIB])
      for (const size of [edge - 1, edge, edge + 1]) {
        assert.equal(sha((await client.ask(`GET /${size}`)).body), bodyDigest(size), `${size} bytes of a miss`);
        const hit = await untilHit(client, `GET /${size}`);
        assert.equal(isHit(hit), true);
        assert.equal(sha(hit.body), bodyDigest(size), `${size} bytes of a hit`);
        if (size < 10) continue;
        const part = await client.ask(`GET /${size}`, `Range: bytes=3-${size - 4}`);
        assert.equal(sha(part.body), sha(bodyOf(size).subarray(3, size - 3)), `${size} bytes less 6`);
      }
  },
);

/** The first `size` bytes of the endless body. */
function bodyOf(size: number): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < size; at += pieces.at(-1)?.length ?? 0) pieces.push(bodyPiece(at, size - at));
  return Buffer.concat(pieces);
}

scenario("clients of HTTP/1.0 get hits with their length", caching(counting()), async (scene) => {
  const first = await scene.client();
  await first.ask("GET /a");
  const client = await scene.client();
  await client.send("GET /a HTTP/1.0\r\nHost: a.example\r\n\r\n");
  const answer = await client.answer();
  assert.equal(told(answer), "hit; detail=fresh");
  assert.equal(answer.body.toString(), "/a 1");
  await client.seesClose();
});

scenario("what one worker stored, the others give", { ...caching(counting()), workers: 2 }, async (scene) => {
  const clients = await Promise.all(Array.from({ length: 40 }, () => scene.client()));
  for (const [index, client] of clients.entries()) {
    const answer = await client.ask("GET /a");
    assert.equal(isHit(answer), index > 0);
    assert.equal(answer.body.toString(), "/a 1");
  }
  const workers = (await scene.proxy.stats()).workers;
  const busy = workers.filter((worker) => worker.counters.cache_hits > 0);
  assert.equal(busy.length, 2, "both had some of the clients");
  assert.equal(scene.origin.requests.length, 1);
});

scenario(
  "a worker that dies in the middle of a fill leaves nothing half behind",
  {
    workers: 2,
    ...caching(
      counting(async (_, n) => {
        if (n === 1) await pause(500);
        return fresh(`n ${n}`);
      }),
    ),
  },
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => scene.client()));
    for (const client of clients) await client.send(request("GET /a"));
    await scene.sees("cache_misses", 10);
    await scene.proxy.provokePanic(0);
    await pause(1_000);
    const next = await scene.client();
    const answer = await next.ask("GET /a");
    assert.match(answer.body.toString(), /^n \d+$/);
  },
);
