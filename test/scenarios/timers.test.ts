/** Timers: who keeps us waiting is told so, or closed in silence where there is nothing to tell. */
import { strict as assert } from "node:assert";
import { reply, serve, slowly } from "../support/behaviours.js";
import { chunk, request } from "../support/client.js";
import { takes } from "../support/lateness.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** A wait that began now must have lasted about this long; the wheel is coarse. */
async function lasts(ms: number, wait: () => Promise<unknown>, slack = 700): Promise<void> {
  await takes(ms * 0.8, ms + slack, wait);
}

const SHORT = {
  clientHeadMs: 300,
  clientBodyMs: 300,
  clientIdleMs: 300,
  clientWriteMs: 500,
  clientLingerMs: 200,
} as const;

scenario("a head that stops is answered 408 and closed", { settings: { timeouts: SHORT } }, async (scene) => {
  const client = await scene.client();
  await client.send("GET /a HTTP/1.1\r\nHost: a");
  await lasts(300, async () => assert.equal((await client.answer()).status, 408));
  assert.equal(await client.seesClose(), "end");
  assert.equal(scene.origin.receivedBytes, 0);
});

scenario(
  "a head that drips is answered 408 all the same: the timer is for the whole head",
  { settings: { timeouts: SHORT } },
  async (scene) => {
    const client = await scene.client();
    const dripping = client.sendSlowly([..."GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], 40);
    await lasts(300, async () => assert.equal((await client.answer()).status, 408));
    await dripping;
  },
);

scenario(
  "the timer of a second head begins with its first byte",
  { settings: { timeouts: { ...SHORT, clientIdleMs: 5_000 } } },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await pause(500);
    await client.send("GET /b HT");
    await lasts(300, async () => assert.equal((await client.answer()).status, 408));
  },
);

scenario(
  "a body that stops is answered 408, and the origin sees no end of it",
  { settings: { timeouts: SHORT } },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /a", "Content-Length: 10"), "hello");
    await lasts(300, async () => assert.equal((await client.answer()).status, 408));
    await client.seesClose();
    await scene.origin.sees("the end of its connection", (origin) => origin.open.length === 0);
    assert.equal(scene.origin.requests.filter((one) => one.complete).length, 0);
  },
);

scenario("a body that drips but moves is not cut", { settings: { timeouts: SHORT } }, async (scene) => {
  const client = await scene.client();
  await client.send(request("POST /a", "Transfer-Encoding: chunked"));
  for (let n = 0; n < 8; n += 1) {
    await client.send(chunk(String(n)));
    await pause(120);
  }
  await client.send("0\r\n\r\n");
  assert.equal((await client.answer()).status, 200);
});

scenario("an idle connection is closed in silence", { settings: { timeouts: SHORT } }, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  await lasts(300, async () => assert.equal(await client.seesClose(), "end"));
  assert.equal(await scene.counter("client_closes_idle_timeout"), 1);
  assert.equal(await scene.counter("answers_4xx"), 0);
});

scenario("a connection that never speaks is closed", { settings: { timeouts: SHORT } }, async (scene) => {
  const client = await scene.client();
  await client.wire.until("the close", (_, ending) => (ending === "open" ? undefined : ending));
});

scenario(
  "a reader that takes nothing is given up, and its origin connection with it",
  {
    settings: { timeouts: SHORT },
    origin: async (connection) => {
      await connection.request();
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
      for (let n = 0; n < 1_600 && connection.wire.ending === "open" && !connection.wire.socket.destroyed; n += 1)
        await connection.send(Buffer.alloc(65_536));
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /big"));
    await client.head();
    client.wire.stopReading();
    await scene.sees("exchanges_open", 0);
    await scene.sees("client_connections_open", 0);
    client.wire.resumeReading();
  },
);

scenario(
  "a reader that is slow but takes something is not given up",
  {
    settings: { timeouts: SHORT },
    origin: serve((_, connection) => connection.send(reply(200, Buffer.alloc(3_000_000, "z")))),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /big"));
    for (let n = 0; n < 10; n += 1) {
      client.wire.stopReading();
      await pause(150);
      client.wire.resumeReading();
      await pause(5);
    }
    assert.equal((await client.answer()).body.length, 3_000_000);
  },
  { timeoutMs: 30_000 },
);

scenario(
  "an origin that keeps silent is a 504, and its connection is not used again",
  {
    originSettings: { firstByteMs: 250 },
    origin: serve(async (asked, connection) => {
      if (asked.target === "/silent") await pause(900);
      await connection.send(reply(200, asked.target));
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await lasts(250, async () => assert.equal((await client.ask("GET /silent")).status, 504));
    assert.equal((await client.ask("GET /next")).body.toString(), "/next");
    assert.equal(scene.origin.last.connection.id, 1);
  },
);

scenario(
  "S3-05 a late answer after a first-byte timeout reaches nobody",
  {
    workers: 2,
    originSettings: { firstByteMs: 120 },
    origin: serve(async (asked, connection) => {
      if (asked.target.startsWith("/late")) await pause(100 + Math.random() * 40);
      await connection.send(reply(200, asked.target));
    }),
  },
  async (scene) => {
    await Promise.all(
      Array.from({ length: 16 }, async (_, who) => {
        const client = await scene.client();
        for (let n = 0; n < 25; n += 1) {
          const path = n % 2 === 0 ? `/late/${who}/${n}` : `/${who}/${n}`;
          const answer = await client.ask(`GET ${path}`);
          if (answer.status === 200) assert.equal(answer.body.toString(), path);
          else assert.equal(answer.status, 504);
        }
      }),
    );
  },
  { timeoutMs: 30_000 },
);

scenario(
  "an answer that stops between bytes is cut, and the client sees that it is",
  {
    originSettings: { betweenBytesMs: 250 },
    origin: slowly(["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"], 2_000),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a"));
    await lasts(250, async () => {
      const answer = await client.answerOrPart();
      assert.equal(answer.complete, false);
      assert.equal(answer.body.toString(), "hello");
    });
  },
);

scenario(
  "an answer that drips but moves is not cut",
  {
    originSettings: { betweenBytesMs: 250, firstByteMs: 250 },
    origin: slowly(["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", "a", "b", "c", "d", "e", "f"], 120),
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).body.toString(), "abcdef");
  },
);
