/** Answers on their way into the cache: what is not whole is not kept, what nobody waits for is ended or finished, what is too large passes. */
import { strict as assert } from "node:assert";
import { serve } from "../support/behaviours.js";
import { asked, type CacheUse, caching, counting, fresh, isHit, told, untilHit } from "../support/cache.js";
import { chunk, request } from "../support/client.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

const CHUNKED = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
const MIB = 1 << 20;

/** Answers that are cut or malformed: what is sent before the end, and how it ends. */
const BROKEN: readonly (readonly [string, string | Buffer, "close" | "reset"])[] = [
  [
    "shorter than its Content-Length",
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf",
    "close",
  ],
  [
    "reset within its Content-Length",
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf",
    "reset",
  ],
  ["without the last chunk", `${CHUNKED}4\r\nhalf\r\n`, "close"],
  ["cut within a chunk", `${CHUNKED}8\r\nhalf`, "reset"],
  ["with a chunk size that is none", `${CHUNKED}4\r\nhalf\r\nzz\r\n`, "close"],
  ["reset before its end is told by the close", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nhalf", "reset"],
];

for (const [what, bytes, end] of BROKEN)
  scenario(
    `an answer ${what} is never given to anybody else`,
    caching(
      serve(async (_, connection) => {
        await connection.send(bytes);
        await pause(50);
        await connection[end]();
      }),
    ),
    async (scene) => {
      for (let round = 1; round <= 2; round += 1) {
        const client = await scene.client();
        await client.send(request("GET /a"));
        const answer = await client.answerOrPart();
        assert.equal(answer.complete && answer.status === 200, false, "its client sees that it is not whole");
        assert.equal(asked(scene, "/a") >= round, true, "the origin is asked again");
      }
      assert.equal((await scene.proxy.stats()).all.counters.cache_stored, 0);
    },
  );

scenario(
  "what reads along with an answer that breaks is cut as well, and the next who asks begins anew",
  (() => {
    let count = 0;
    return caching(
      serve(async (_, connection) => {
        count += 1;
        if (count > 1) return connection.send(fresh("whole"));
        await connection.send(CHUNKED, chunk("half"));
        await pause(300);
        await connection.reset();
      }),
    );
  })(),
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => scene.client()));
    for (const client of clients) await client.send(request("GET /a"));
    for (const client of clients) {
      const answer = await client.answerOrPart();
      assert.equal(answer.complete, false);
    }
    const next = await scene.client();
    assert.equal((await next.ask("GET /a")).body.toString(), "whole");
  },
);

/** Sends the first part, and the rest when told. */
function inTwo(total: number, first: number): { readonly script: Script; go: () => void; ended: boolean } {
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const told = {
    ended: false,
    go: (): void => release(),
    script: serve(async (_, connection) => {
      await connection.send(
        `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: ${total}\r\n\r\n`,
        "x".repeat(first),
      );
      void connection.ended(60_000).then(
        () => {
          told.ended = true;
        },
        () => undefined,
      );
      await gate;
      if (connection.wire.ending === "open") await connection.send("x".repeat(total - first));
    }),
  };
  return told;
}

function leaving(promise: string, cache: CacheUse, [total, first]: readonly [number, number], goesOn: boolean): void {
  const origin = inTwo(total, first);
  scenario(promise, caching(origin.script, cache), async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a"));
    await client.wire.until("the first part", (got) => (got.length >= first ? true : undefined));
    await client.reset();
    if (goesOn) {
      await pause(100);
      origin.go();
      const next = await scene.client();
      const answer = await untilHit(next, "GET /a");
      assert.equal(answer.body.length, total);
      assert.equal(asked(scene, "/a"), 1);
    } else {
      await scene.sees("cache_fills_left", 1);
      await scene.origin.sees("the end of the transfer", () => origin.ended);
      origin.go();
    }
  });
}

const EXACT = { coalesce: { backgroundFillPercent: 50, backgroundFillBytes: 0 } } as const;
leaving("a fill goes on without its client when half of it is there", EXACT, [100_000, 60_000], true);
leaving("a fill without its client ends when less than half of it is there", EXACT, [100_000, 30_000], false);
leaving(
  "a fill goes on when little of it is missing",
  { coalesce: { backgroundFillBytes: 90_000 } },
  [100_000, 20_000],
  true,
);

scenario(
  "S4-17 a client that half-closes behind its request gets its answer, and the fill is kept",
  caching(
    serve(async (_, connection) => {
      await connection.send(CHUNKED, chunk("half "));
      await pause(200);
      await connection.send(chunk("closed"), "0\r\n\r\n");
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a"));
    await client.halfClose();
    assert.equal((await client.answer()).body.toString(), "half closed");
    await client.seesClose();
    const next = await scene.client();
    assert.equal((await untilHit(next, "GET /a")).body.toString(), "half closed");
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "a body longer than objectBytes passes whole and is not stored, with and without a length",
  caching(
    serve((a, connection) =>
      a.target === "/chunks"
        ? connection.send(CHUNKED, ...Array.from({ length: 20 }, () => chunk("x".repeat(1_000))), "0\r\n\r\n")
        : connection.send(fresh("x".repeat(20_000))),
    ),
    { objectBytes: 10_000 },
  ),
  async (scene) => {
    const client = await scene.client();
    for (const target of ["/length", "/chunks"])
      for (let round = 1; round <= 2; round += 1) {
        const answer = await client.ask(`GET ${target}`);
        assert.equal(answer.body.length, 20_000);
        assert.equal(isHit(answer), false);
        assert.equal(asked(scene, target), round);
      }
  },
);

scenario(
  "an object larger than half of the memory passes whole to all who wait for it, and memory stays bounded",
  caching(
    serve(async (_, connection) => {
      await connection.send(CHUNKED);
      for (let sent = 0; sent < 12; sent += 1) await connection.send(chunk(Buffer.alloc(MIB, "x")));
      await connection.send("0\r\n\r\n");
    }),
    true,
    { cache: { memoryBytes: 8 * MIB } },
  ),
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 3 }, () => scene.client({ record: false })));
    await Promise.all(clients.map((client) => client.send(request("GET /a"))));
    for (const client of clients) assert.equal((await client.answer()).body.length, 12 * MIB);
    await pause(200);
    assert.ok((await scene.counter("cache_bytes")) <= 8 * MIB);
    assert.equal(await scene.counter("cache_entries"), 0);
  },
);

scenario(
  "more than fits is evicted, memory stays within its budget, and what is asked for often stays",
  caching(
    counting((a) => fresh(a.target.padEnd(4_096, "x"))),
    true,
    { cache: { memoryBytes: 2 * MIB } },
  ),
  async (scene) => {
    const client = await scene.client();
    for (let number = 0; number < 3_000; number += 1) {
      const { body } = await client.ask(`GET /${number}`);
      assert.equal(body.length, 4_096);
      if (number % 5 === 0) await client.ask("GET /often");
    }
    await pause(600);
    const bytes = await scene.counter("cache_bytes");
    assert.ok(bytes > MIB && bytes <= 2 * MIB * 1.05, `${bytes} bytes are held`);
    assert.ok((await scene.counter("cache_evicted")) > 2_000);
    assert.equal(asked(scene, "/often"), 1);
  },
);

scenario(
  "trailers pass to who asked first, and the next gets the same content (RFC 9111 3)",
  caching(serve((_, connection) => connection.send(CHUNKED, chunk("body"), "0\r\nX-Sum: 1\r\n\r\n"))),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a", "TE: trailers")).trailers.one("x-sum"), "1");
    const hit = await untilHit(client, "GET /a", "TE: trailers");
    assert.equal(told(hit), "hit; detail=fresh");
    assert.equal(hit.body.toString(), "body");
  },
);

scenario(
  "interim answers pass while the final one is stored, and are not stored themselves",
  caching(
    serve((_, connection) => connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", fresh("final"))),
  ),
  async (scene) => {
    const client = await scene.client();
    const first = await client.ask("GET /a");
    assert.deepEqual(
      first.interim.map(({ status }) => status),
      [103],
    );
    const hit = await client.ask("GET /a");
    assert.equal(isHit(hit), true);
    assert.deepEqual(hit.interim, []);
    assert.equal(hit.body.toString(), "final");
  },
);

scenario(
  "stored is told of what is kept, and not of what proves longer than objectBytes when it is here",
  caching(
    serve(async (asks, connection) => {
      await connection.send(CHUNKED, chunk("x".repeat(Number(asks.target.slice(1)))), "0\r\n\r\n");
    }),
    { objectBytes: 1_000 },
  ),
  async (scene) => {
    const client = await scene.client();
    assert.equal(told(await client.ask("GET /900")), "fwd=uri-miss; stored; detail=uri_miss");
    assert.equal(told(await client.ask("GET /1100")), "fwd=uri-miss; detail=uri_miss");
  },
);

/** More than the buffers of two sockets hold. */
const LONG_BYTES = 40_000_000;

scenario(
  "S4-17 what a half-closed client was given out of the cache and did not hear to its end is counted",
  caching(counting(() => fresh(Buffer.alloc(LONG_BYTES, 97)))),
  async (scene) => {
    const first = await scene.client();
    await first.ask("GET /a");
    const wasted = async () => await scene.counter("half_closed_wasted_bytes");
    assert.equal(await wasted(), 0);
    const client = await scene.client();
    client.wire.socket.pause();
    await client.send(request("GET /a"));
    await client.halfClose();
    await pause(200);
    client.reset();
    for (let round = 0; (await wasted()) === 0 && round < 200; round += 1) await pause(10);
    const bytes = await wasted();
    assert.ok(bytes > 0 && bytes < LONG_BYTES, `${bytes} bytes`);
    assert.equal(scene.origin.requests.length, 1);
  },
);
