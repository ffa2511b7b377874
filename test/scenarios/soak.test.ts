/**
 * Mixed load with random kills on both sides. Every answer carries the identity of its request; at the end the books
 * balance, no descriptor is left and memory is flat. `SOAK_SECONDS=600 node --test dist/test/scenarios/soak.test.js` for
 * the long one.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { reply, serve } from "../support/behaviours.js";
import { chunk, RawClient, request } from "../support/client.js";
import type { Request } from "../support/message.js";
import type { OriginConnection, Script } from "../support/origin.js";
import { residentBytes } from "../support/proxy.js";
import { Scene } from "../support/scene.js";
import { pause, show } from "../support/wire.js";

const SECONDS = Number(process.env["SOAK_SECONDS"] ?? "20");
const CLIENTS = 24;
/** Growth of the proxy's process after its first quarter, in bytes; one more MiB for every minute. */
const GROWTH_MAX = (16 + SECONDS / 60) * (1 << 20);

const chance = (share: number): boolean => Math.random() < share;
const upTo = (most: number): number => Math.floor(Math.random() * (most + 1));

/** The body every honest answer to a request has: its identity, repeated to its size. */
function bodyFor(identity: string, size: number): Buffer {
  return Buffer.alloc(Math.max(size, identity.length), `${identity};`);
}

/** An origin that mostly behaves: slow, chunked, closing, and now and then dying at the worst moment. */
const moody: Script = serve(async (asked, connection) => {
  const identity = asked.fields.one("x-identity") ?? "none";
  const body = bodyFor(identity, chance(0.05) ? upTo(400_000) : upTo(3_000));
  if (chance(0.1)) await pause(upTo(20));
  if (chance(0.01)) return connection.reset();
  if (chance(0.01)) return connection.close();
  await answerSomehow(asked, connection, identity, body);
});

async function answerSomehow(
  asked: Request,
  connection: OriginConnection,
  identity: string,
  body: Buffer,
): Promise<void> {
  const id = `X-Identity: ${identity}`;
  const mood = Math.random();
  if (asked.method === "HEAD")
    return connection.send(`HTTP/1.1 200 OK\r\n${id}\r\nContent-Length: ${body.length}\r\n\r\n`);
  if (mood < 0.55) return connection.send(reply(200, body, id));
  if (mood < 0.8) {
    await connection.send(`HTTP/1.1 200 OK\r\n${id}\r\nTransfer-Encoding: chunked\r\n\r\n`);
    for (let at = 0; at < body.length; at += 50_000) await connection.send(chunk(body.subarray(at, at + 50_000)));
    return connection.send("0\r\n\r\n");
  }
  if (mood < 0.86) {
    await connection.send(reply(200, body, id, "Connection: close"));
    return connection.close();
  }
  if (mood < 0.9) {
    await connection.send(`HTTP/1.1 200 OK\r\n${id}\r\n\r\n`, body);
    return connection.close();
  }
  if (mood < 0.93) {
    await connection.send(`HTTP/1.1 200 OK\r\n${id}\r\nContent-Length: ${body.length + 100}\r\n\r\n`, body);
    return connection.reset();
  }
  if (mood < 0.96) {
    await connection.send(reply(200, body, id));
    setTimeout(() => connection.wire.socket.destroy(), upTo(5));
    return;
  }
  if (mood < 0.98) return connection.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", reply(200, body, id));
  return connection.send(
    reply(200, body, id),
    "HTTP/1.1 200 OK\r\nX-Identity: poison\r\nContent-Length: 6\r\n\r\npoison",
  );
}

interface Tally {
  whole: number;
  broken: number;
  refused: number;
  gone: number;
}

/** One request of one client, by a random method and framing; false when the client's connection is of no more use. */
async function playOne(client: RawClient, identity: string, tally: Tally): Promise<boolean> {
  if (chance(0.08)) return playPipeline(client, identity, tally);
  const id = `X-Identity: ${identity}`;
  const kind = Math.random();
  const method = kind < 0.6 ? "GET" : kind < 0.65 ? "HEAD" : "POST";
  if (method !== "POST") await client.send(request(`${method} /${identity}`, id));
  else if (chance(0.5))
    await client.send(
      request(`POST /${identity}`, id, "Transfer-Encoding: chunked"),
      chunk("x".repeat(1 + upTo(9_000))),
      "0\r\n\r\n",
    );
  else {
    const size = upTo(40_000);
    await client.send(request(`POST /${identity}`, id, `Content-Length: ${size}`), "y".repeat(size));
  }
  if (chance(0.03)) {
    await pause(upTo(10));
    tally.gone += 1;
    await (chance(0.5) ? client.reset() : client.close());
    return false;
  }
  if (chance(0.02)) {
    client.wire.stopReading();
    await pause(upTo(60));
    client.wire.resumeReading();
  }
  const there = await client.wire.until(
    "an answer or the end",
    (unread, ending) => (unread.length > 0 ? true : ending === "open" ? undefined : false),
    20_000,
  );
  if (!there) {
    tally.broken += 1;
    return false;
  }
  return judge(client, method, identity, tally);
}

/** Several requests at once; their answers must come in order, each with its own identity. */
async function playPipeline(client: RawClient, identity: string, tally: Tally): Promise<boolean> {
  const count = 2 + upTo(4);
  const names = Array.from({ length: count }, (_, n) => `${identity}p${n}`);
  await client.send(...names.map((name) => request(`GET /${name}`, `X-Identity: ${name}`)));
  for (const name of names) {
    const there = await client.wire.until(
      "an answer or the end",
      (unread, ending) => (unread.length > 0 ? true : ending === "open" ? undefined : false),
      20_000,
    );
    if (!there) {
      tally.broken += 1;
      return false;
    }
    if (!(await judge(client, "GET", name, tally))) return false;
  }
  return true;
}

async function judge(client: RawClient, method: string, identity: string, tally: Tally): Promise<boolean> {
  const answer = await client.answerOrPart(method, 20_000);
  if (answer.status >= 500) tally.refused += 1;
  else {
    assert.equal(answer.status, 200);
    assert.equal(answer.fields.one("x-identity"), identity, `another's answer: ${answer.head}`);
    const wanted = bodyFor(identity, answer.body.length);
    const part = method === "HEAD" || answer.body.equals(wanted.subarray(0, answer.body.length));
    assert.ok(part, `another's bytes: ${show(answer.body)}`);
    if (answer.complete) tally.whole += 1;
    else tally.broken += 1;
  }
  return answer.complete && answer.fields.one("connection") !== "close";
}

async function playClient(scene: Scene, who: number, until: number, tally: Tally): Promise<void> {
  for (let n = 0; Date.now() < until; ) {
    const client = await RawClient.connect(scene.port, { record: false });
    try {
      for (let alive = true; alive && Date.now() < until; n += 1) alive = await playOne(client, `${who}-${n}`, tally);
    } finally {
      await client.close();
    }
  }
}

test(`mixed load with random kills for ${SECONDS} s: identities, books, descriptors, memory`, {
  timeout: (SECONDS + 60) * 1_000,
}, async () => {
  const scene = await Scene.open({
    origins: { a: moody, b: moody },
    originOptions: { record: false },
    apart: true,
    workers: 2,
    settings: (origins) => ({
      origins: {
        both: {
          targets: [origins["a"]?.url ?? "", origins["b"]?.url ?? ""],
          firstByteMs: 5_000,
          betweenBytesMs: 5_000,
        },
      },
      routes: [{ forwardTo: "both" }],
    }),
  });
  const tally: Tally = { whole: 0, broken: 0, refused: 0, gone: 0 };
  try {
    const until = Date.now() + SECONDS * 1_000;
    const playing = Promise.all(Array.from({ length: CLIENTS }, (_, who) => playClient(scene, who, until, tally)));
    await pause(SECONDS * 250);
    const early = residentBytes(scene.proxy.pid);
    await playing;
    const grown = residentBytes(scene.proxy.pid) - early;
    assert.ok(tally.whole > SECONDS * 50, JSON.stringify(tally));
    assert.ok(tally.whole > (tally.broken + tally.refused) * 4, JSON.stringify(tally));
    assert.ok(grown < GROWTH_MAX, `memory grew by ${(grown / (1 << 20)).toFixed(1)} MiB`);
    await scene.end();
  } finally {
    await scene.abandon();
  }
});
