/** Leaving: what is in flight is answered, what is idle is closed, and nobody waits for ever. */
import { strict as assert } from "node:assert";
import { reply, serve, slowly } from "../support/behaviours.js";
import { chunk, RawClient, request } from "../support/client.js";
import { takes } from "../support/lateness.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { pause, within } from "../support/wire.js";

const slow = (ms: number): Script =>
  serve(async (_, connection) => {
    await pause(ms);
    await connection.send(reply(200, "slow"));
  });

/** New connections are refused once the acceptor has heard of the drain; one that slips in before is closed. */
async function refused(port: number): Promise<void> {
  const due = Date.now() + 300;
  for (;;) {
    const late = await RawClient.connect(port).catch(() => undefined);
    if (late === undefined) return;
    assert.ok(Date.now() < due, "connections are still accepted");
    await late.close();
    await pause(5);
  }
}

scenario(
  "S3-10 drain: what is in flight is answered with close, idle connections are closed, new ones refused",
  { origin: slow(400), workers: 2 },
  async (scene) => {
    const [busy, idle] = [await scene.client(), await scene.client()];
    await idle.ask("GET /");
    await busy.send(request("GET /"));
    await scene.origin.sees("the second request", (origin) => origin.requests.length === 2);
    const stopping = scene.stop(5_000);
    assert.equal(await idle.seesClose(), "end");
    await refused(scene.port);
    const answer = await busy.answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.fields.one("connection"), "close");
    assert.equal(await busy.seesClose(), "end");
    await within(stopping, 3_000, "the stop");
  },
);

scenario(
  "drain: an answer whose head is out already is finished, and then closed",
  {
    origin: slowly(
      [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunk("one"),
        chunk("two"),
        chunk("three"),
        "0\r\n\r\n",
      ],
      120,
    ),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /"));
    const head = await client.head();
    const stopping = scene.stop(5_000);
    assert.equal((await client.body(head)).body.toString(), "onetwothree");
    await client.seesClose();
    await stopping;
  },
);

scenario("drain: an upload under way is finished", {}, async (scene) => {
  const client = await scene.client();
  await client.send(request("POST /up", "Content-Length: 6"), "abc");
  await scene.origin.sees("the beginning", (origin) => origin.receivedBytes > 0);
  const stopping = scene.stop(5_000);
  await pause(100);
  await client.send("def");
  const answer = await client.answer();
  assert.equal(answer.status, 200);
  assert.equal(answer.fields.one("connection"), "close");
  await stopping;
});

scenario(
  "drain: pipelined requests that wait behind the one in flight end with a close, not with silence",
  { origin: slow(150) },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /1"), request("GET /2"), request("GET /3"));
    await scene.origin.sees("the first", (origin) => origin.requests.length >= 1);
    const stopping = scene.stop(5_000);
    const answer = await client.answer();
    assert.equal(answer.fields.one("connection"), "close");
    await client.seesClose();
    await stopping;
  },
);

scenario("drain: the deadline ends what does not end by itself", { origin: slow(30_000) }, async (scene) => {
  const client = await scene.client();
  await client.send(request("GET /"));
  await scene.origin.sees("the request", (origin) => origin.requests.length === 1);
  await takes(250, 2_500, () => scene.stop(300));
  await client.wire.until("the end", (_, ending) => (ending === "open" ? undefined : ending));
});

scenario("drain: a client that holds a half-sent head does not hold the exit", {}, async (scene) => {
  const client = await scene.client();
  await client.send("GET / HTTP/1.1\r\nHo");
  await pause(30);
  await takes(0, 3_000, () => scene.stop(1_000));
});

scenario(
  "drain under load: every request that was answered was answered whole, and no client is left hanging",
  {
    workers: 2,
    origin: serve(async (_, connection) => {
      await pause(Math.random() * 10);
      await connection.send(reply(200, "x".repeat(2_000)));
    }),
    originOptions: { record: false },
  },
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 40 }, () => scene.client()));
    let whole = 0;
    const play = clients.map(async (client) => {
      for (;;) {
        await client.send(request("GET /"));
        const there = await client.wire.until(
          "an answer or the end",
          (unread, ending) => (unread.length > 0 ? true : ending === "open" ? undefined : false),
          5_000,
        );
        if (!there) return;
        const answer = await client.answer();
        assert.equal(answer.status, 200);
        assert.equal(answer.body.length, 2_000);
        whole += 1;
        if (answer.fields.one("connection") === "close") return client.seesClose();
      }
    });
    await pause(300);
    await scene.stop(5_000);
    await Promise.all(play);
    assert.ok(whole > 40, `${whole} answers`);
  },
);

scenario("a proxy that was stopped starts again", {}, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /");
  await scene.stop(1_000);
  await client.wire.until("the end", (_, ending) => (ending === "open" ? undefined : ending));
});
