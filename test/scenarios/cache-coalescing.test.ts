/** One fetch for everybody who asks for the same at once: who waits, for how long, and what becomes of them if it fails. */
import { strict as assert } from "node:assert";
import { reply, serve } from "../support/behaviours.js";
import { asked, type CacheUse, caching, fresh, isHit, stating, told, untilHit } from "../support/cache.js";
import { chunk, type RawClient, request } from "../support/client.js";
import type { OriginConnection, Script } from "../support/origin.js";
import { type Scene, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** An origin whose answers wait until the test lets them go. */
class Held {
  readonly waiting: { readonly connection: OriginConnection; readonly target: string }[] = [];

  readonly script: Script = serve((request, connection) => {
    this.waiting.push({ connection, target: request.target });
  });

  /** The connection of the request of this number, once it is there. */
  async at(number: number): Promise<OriginConnection> {
    for (let round = 0; round < 2_000; round += 1) {
      const found = this.waiting[number];
      if (found !== undefined) return found.connection;
      await pause(5);
    }
    throw new Error(`the origin got ${this.waiting.length} requests, and none number ${number}`);
  }
}

/** So many clients that have asked for a target. */
async function crowd(scene: Scene, count: number, target = "/a", ...fields: string[]): Promise<RawClient[]> {
  const clients = await Promise.all(Array.from({ length: count }, () => scene.client()));
  await Promise.all(clients.map((client) => client.send(request(`GET ${target}`, ...fields))));
  return clients;
}

/** Waits until so many requests wait for another one's answer or go to the origin. */
const missed = (scene: Scene, count: number): Promise<void> => scene.sees("cache_misses", count);

function held(
  promise: string,
  cache: CacheUse,
  play: (scene: Scene, origin: Held) => Promise<void>,
  workers = 1,
): void {
  const origin = new Held();
  scenario(promise, { ...caching(origin.script, cache), workers }, (scene) => play(scene, origin));
}

for (const workers of [1, 2])
  held(
    `50 clients that ask for one cold key cost one request of the origin (${workers} of workers)`,
    true,
    async (scene, origin) => {
      const clients = await crowd(scene, 50);
      await missed(scene, 50);
      await (await origin.at(0)).send(fresh("for all"));
      const answers = await Promise.all(clients.map((client) => client.answer()));
      for (const answer of answers) assert.equal(answer.body.toString(), "for all");
      assert.equal(scene.origin.requests.length, 1);
      const leaders = answers.filter((answer) => told(answer) === "fwd=uri-miss; stored; detail=uri_miss");
      assert.equal(leaders.length, 1, "one of them led");
      assert.equal(await scene.counter("cache_coalesced"), 49);
    },
    workers,
  );

held("followers read the answer while it arrives", true, async (scene, origin) => {
  const clients = await crowd(scene, 20);
  await missed(scene, 20);
  const connection = await origin.at(0);
  await connection.send(
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n",
    chunk("one "),
  );
  for (const client of clients) await client.wire.until("the first piece", (got) => got.includes("one ") || undefined);
  // Who comes in the middle of it reads it as well.
  const [late] = await crowd(scene, 1);
  await late?.wire.until("the first piece", (got) => got.includes("one ") || undefined);
  await connection.send(chunk("two"), "0\r\n\r\n");
  for (const client of [...clients, ...(late ? [late] : [])])
    assert.equal((await client.answer()).body.toString(), "one two");
  assert.equal(scene.origin.requests.length, 1);
  const first = clients[0] ?? assert.fail();
  const hit = await untilHit(first, "GET /a");
  assert.equal(hit.body.toString(), "one two");
  assert.equal(hit.fields.one("content-length"), "7");
});

held("a leader whose origin breaks releases the followers, who ask for themselves", true, async (scene, origin) => {
  const clients = await crowd(scene, 5);
  await missed(scene, 5);
  await (await origin.at(0)).send("HTTP/1.1 nonsense\r\n\r\n");
  for (const number of [1, 2, 3, 4]) await (await origin.at(number)).send(fresh(`own ${number}`));
  const answers = await Promise.all(clients.map((client) => client.answer()));
  const good = answers.filter((answer) => answer.status === 200);
  assert.equal(answers.length - good.length, 1, "only the leader is told of the failure");
});

held("a leader whose client leaves goes on for the followers", true, async (scene, origin) => {
  const leader = (await crowd(scene, 1))[0] ?? assert.fail();
  await missed(scene, 1);
  const followers = await crowd(scene, 5);
  await missed(scene, 6);
  await leader.reset();
  await pause(100);
  await (await origin.at(0)).send(fresh("still here"));
  for (const follower of followers) assert.equal((await follower.answer()).body.toString(), "still here");
  assert.equal(scene.origin.requests.length, 1);
});

held("a follower that leaves disturbs nobody", true, async (scene, origin) => {
  const clients = await crowd(scene, 6);
  await missed(scene, 6);
  for (const client of clients.slice(3)) await client.reset();
  await pause(50);
  await (await origin.at(0)).send(fresh("whole"));
  for (const client of clients.slice(0, 3)) {
    const answer = await client.answerOrPart();
    assert.equal(answer.body.toString(), "whole");
  }
  assert.equal(scene.origin.requests.length, 1);
});

held(
  "an answer that may not be stored releases all followers at once, and the next do not wait for each other",
  true,
  async (scene, origin) => {
    const clients = await crowd(scene, 4);
    await missed(scene, 4);
    await (await origin.at(0)).send(stating("Cache-Control: private", "for one"));
    // All three others ask at the same time: none waits for another.
    for (const number of [1, 2, 3]) await origin.at(number);
    for (const number of [1, 2, 3])
      await (await origin.at(number)).send(stating("Cache-Control: private", `own ${number}`));
    const bodies = (await Promise.all(clients.map((client) => client.answer()))).map((answer) =>
      answer.body.toString(),
    );
    assert.deepEqual(bodies.sort(), ["for one", "own 1", "own 2", "own 3"]);
    // The marker: two at once, and both reach the origin before either is answered.
    const next = await crowd(scene, 2);
    await origin.at(5);
    for (const number of [4, 5]) await (await origin.at(number)).send(stating("Cache-Control: private", "again"));
    for (const client of next) {
      const answer = await client.answer();
      assert.match(told(answer), /^fwd=miss; detail=uncacheable$/);
    }
  },
);

held("a marker goes when an answer is stored after all", true, async (scene, origin) => {
  const client = await scene.client();
  for (const [number, answer] of [stating("Cache-Control: no-store", "no"), fresh("yes")].entries()) {
    await client.send(request("GET /a"));
    await (await origin.at(number)).send(answer);
    await client.answer();
  }
  const hit = await untilHit(client, "GET /a");
  assert.equal(hit.body.toString(), "yes");
  assert.equal(isHit(hit), true);
});

held(
  "a follower waits as long as the route says, then asks for itself",
  { coalesce: { waitMs: 200 } },
  async (scene, origin) => {
    const leader = (await crowd(scene, 1))[0] ?? assert.fail();
    await missed(scene, 1);
    const began = Date.now();
    const follower = (await crowd(scene, 1))[0] ?? assert.fail();
    const own = await origin.at(1);
    const waited = Date.now() - began;
    assert.ok(waited >= 150 && waited < 5_000, `it waited ${waited} ms`);
    await own.send(fresh("own"));
    assert.equal((await follower.answer()).body.toString(), "own");
    await (await origin.at(0)).send(fresh("first"));
    assert.equal((await leader.answer()).body.toString(), "first");
  },
);

held("waitMs: 0 has nobody wait", { coalesce: { waitMs: 0 } }, async (scene, origin) => {
  const clients = await crowd(scene, 3);
  for (const number of [0, 1, 2]) await (await origin.at(number)).send(fresh("x"));
  for (const client of clients) await client.answer();
  assert.equal(asked(scene, "/a"), 3);
});

held(
  "a follower for which the answer varies asks for itself, beside others of its kind",
  true,
  async (scene, origin) => {
    const german = await crowd(scene, 3, "/a", "X-Lang: de");
    await missed(scene, 3);
    const english = await crowd(scene, 3, "/a", "X-Lang: en");
    await missed(scene, 6);
    await (await origin.at(0)).send(fresh("de", 60, "Vary: X-Lang"));
    await (await origin.at(1)).send(fresh("en", 60, "Vary: X-Lang"));
    for (const client of german) assert.equal((await client.answer()).body.toString(), "de");
    for (const client of english) assert.equal((await client.answer()).body.toString(), "en");
    assert.equal(scene.origin.requests.length, 2);
  },
);

scenario(
  "a slow follower does not hold up the others, nor the transfer",
  caching(serve((_, connection) => connection.send(fresh(Buffer.alloc(20_000_000, "x"))))),
  async (scene) => {
    const slow = await scene.client({ record: false });
    slow.wire.stopReading();
    await slow.send(request("GET /a"));
    await missed(scene, 1);
    const quick = await scene.client({ record: false });
    const answer = await quick.ask("GET /a");
    assert.equal(answer.body.length, 20_000_000);
    slow.wire.resumeReading();
    assert.equal((await slow.answer()).body.length, 20_000_000);
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "1,000 clients, one cold key, an origin that takes a second: one request, and everybody has it at the same time",
  {
    ...caching(
      serve(async (_, connection) => {
        await pause(1_000);
        await connection.send(fresh("x".repeat(1_000)));
      }),
    ),
    workers: 2,
  },
  async (scene) => {
    const clients = await crowd(scene, 1_000);
    const times: number[] = [];
    await Promise.all(
      clients.map(async (client) => {
        assert.equal((await client.answer()).body.length, 1_000);
        times.push(performance.now());
      }),
    );
    assert.equal(scene.origin.requests.length, 1);
    // This process reads a thousand sockets itself; what the proxy needs is measured by the load bench.
    assert.ok(Math.max(...times) - Math.min(...times) < 1_000, `within ${Math.max(...times) - Math.min(...times)} ms`);
  },
);

for (const [how, head, wrap, tail] of [
  ["chunked", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, "0\r\n\r\n"],
  [
    "Content-Length",
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 8\r\n\r\n",
    (text: string) => text,
    "",
  ],
  ["HTTP/1.0 until close", "HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\n", (text: string) => text, "close"],
] as const)
  held(`who asks in the middle of an answer reads it from its beginning: ${how}`, true, async (scene, origin) => {
    const first = (await crowd(scene, 1))[0] ?? assert.fail();
    const connection = await origin.at(0);
    await connection.send(head, wrap("half"));
    await first.wire.until("half", (got) => got.includes("half") || undefined);
    const old = await scene.client();
    await old.send(request("GET /a HTTP/1.0", "Host: a.example"));
    const second = (await crowd(scene, 1))[0] ?? assert.fail();
    for (const client of [old, second]) await client.wire.until("half", (got) => got.includes("half") || undefined);
    await connection.send(wrap("rest"), tail === "close" ? "" : tail);
    if (tail === "close") await connection.close();
    for (const client of [first, second, old]) assert.equal((await client.answer()).body.toString(), "halfrest");
    assert.equal(scene.origin.requests.length, 1);
    assert.equal((await untilHit(second, "GET /a")).body.toString(), "halfrest");
  });

held("a failure of the origin is told to each who waited, and is stored for nobody", true, async (scene, origin) => {
  const clients = await crowd(scene, 3);
  await missed(scene, 3);
  for (let number = 0; number < 3; number += 1) {
    const connection = await Promise.race([origin.at(number), pause(2_000)]);
    await connection?.send(reply(503, "not now"));
  }
  for (const client of clients) assert.equal((await client.answer()).status, 503);
  const next = (await crowd(scene, 1))[0] ?? assert.fail();
  await (await origin.at(3)).send(fresh("now"));
  assert.equal((await next.answer()).body.toString(), "now");
});
