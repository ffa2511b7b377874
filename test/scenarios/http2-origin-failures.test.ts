/**
 * What goes wrong on connections of HTTP/2 to origins: streams that were not processed are sent again, whatever their
 * method; every other failure has the class it would have over HTTP/1, and ends its own stream and no other.
 */
import { strict as assert } from "node:assert";
import { chunk, request } from "../support/client.js";
import { data, goaway, headers, resetStream } from "../support/http2-frames.js";
import { FramedOrigin } from "../support/http2-origins.js";
import type { Http2Peer, PeerOptions } from "../support/http2-peer.js";
import { type Scene, type SceneOptions, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

type Play = (scene: Scene, origin: FramedOrigin) => Promise<void>;

/** A scene whose origin's frames are the test's. */
function framed(promise: string, play: Play, options: SceneOptions & { readonly peer?: PeerOptions } = {}): void {
  let origin = new FramedOrigin();
  scenario(
    promise,
    {
      ...options,
      originSettings: { httpVersions: ["2"], ...options.originSettings },
      origin: (connection) => origin.script(options.peer)(connection),
    },
    async (scene) => {
      await play(scene, origin);
      origin = new FramedOrigin();
    },
  );
}

/** Answers the next request of a peer. */
async function answerNext(peer: Http2Peer, body = "ok"): Promise<number> {
  const { stream } = await peer.nextRequest();
  await peer.respond(stream, 200);
  await peer.data(stream, Buffer.from(body), true);
  return stream;
}

framed(
  "as many streams run at once as the target allows; more requests get another connection",
  async (scene, origin) => {
    const clients = await Promise.all(Array.from({ length: 5 }, () => scene.client()));
    const answers = clients.map((client) => client.ask("GET /a"));
    for (const number of [0, 1, 2]) await origin.peer(number);
    for (const number of [0, 1, 2]) {
      const peer = await origin.peer(number);
      await answerNext(peer);
      if (number < 2) await answerNext(peer);
    }
    for (const { status } of await Promise.all(answers)) assert.equal(status, 200);
    assert.equal(origin.count, 3);
  },
  { peer: { settings: { maxConcurrentStreams: 2 } } },
);

framed(
  "where no further connection may be opened, a request waits for a stream that becomes free",
  async (scene, origin) => {
    const clients = await Promise.all(Array.from({ length: 3 }, () => scene.client()));
    const answers = clients.map((client) => client.ask("GET /a"));
    const peer = await origin.peer(0);
    for (let n = 0; n < 3; n += 1) await answerNext(peer);
    for (const { status } of await Promise.all(answers)) assert.equal(status, 200);
    assert.equal(origin.count, 1);
  },
  { peer: { settings: { maxConcurrentStreams: 1 } }, originSettings: { targetConnections: 1, targetIdle: 1 } },
);

for (const line of ["GET /a", "POST /a"]) {
  framed(
    `S3-07 a ${line.split(" ")[0]} above the last stream of a GOAWAY goes to a fresh connection`,
    async (scene, origin) => {
      const client = await scene.client();
      const answer = client.post(line, "a body");
      const first = await origin.peer(0);
      await first.nextRequest();
      await first.send(goaway(0));
      const second = await origin.peer(1);
      const { stream } = await second.nextRequest();
      assert.equal((await second.body(stream)).toString(), "a body");
      await second.respond(stream, 204, [], true);
      assert.equal((await answer).status, 204);
      await first.seesEnd();
      assert.equal(await scene.counter("origin_http2_unprocessed"), 1);
      assert.equal(await scene.counter("origin_http2_goaways"), 1);
    },
  );

  framed(
    `S3-07 a ${line.split(" ")[0]} that is refused (REFUSED_STREAM) goes to another connection`,
    async (scene, origin) => {
      const client = await scene.client();
      const answer = client.post(line, "a body");
      const first = await origin.peer(0);
      await first.reset((await first.nextRequest()).stream, "REFUSED_STREAM");
      const second = await origin.peer(1);
      const { stream } = await second.nextRequest();
      assert.equal((await second.body(stream)).toString(), "a body");
      await second.respond(stream, 204, [], true);
      assert.equal((await answer).status, 204);
      assert.equal(await scene.counter("origin_http2_unprocessed"), 1);
    },
  );
}

framed("streams below the last one of a GOAWAY are finished, new requests go elsewhere", async (scene, origin) => {
  const client = await scene.client();
  const answer = client.ask("GET /a");
  const first = await origin.peer(0);
  const { stream } = await first.nextRequest();
  await first.send(goaway(stream));
  await first.roundTrip();
  const other = await scene.client();
  const answered = other.ask("GET /b");
  await answerNext(await origin.peer(1), "elsewhere");
  assert.equal((await answered).body.toString(), "elsewhere");
  await first.respond(stream, 200);
  await first.data(stream, Buffer.from("here"), true);
  assert.equal((await answer).body.toString(), "here");
  await first.seesEnd();
});

framed("a reset before the answer is one before its head; a POST is not sent again", async (scene, origin) => {
  const client = await scene.client();
  const answer = client.post("POST /a", "a body");
  const peer = await origin.peer(0);
  await peer.reset((await peer.nextRequest()).stream, "INTERNAL_ERROR");
  assert.equal((await answer).status, 502);
  assert.equal(await scene.counter("origin_fault_reset_before_headers"), 1);
  assert.equal(origin.count, 1, "its connection goes on");
});

framed("a reset in an answer truncates it, and the other stream does not notice", async (scene, origin) => {
  const [one, two] = [await scene.client(), await scene.client()];
  await one.send(request("GET /one"));
  const peer = await origin.peer(0);
  const first = await peer.nextRequest();
  const answered = two.ask("GET /two");
  const second = await peer.nextRequest();
  await peer.respond(first.stream, 200);
  await peer.data(first.stream, Buffer.from("part"));
  await peer.reset(first.stream, "INTERNAL_ERROR");
  assert.equal((await one.answerOrPart()).complete, false);
  await peer.respond(second.stream, 200);
  await peer.data(second.stream, Buffer.from("whole"), true);
  assert.equal((await answered).body.toString(), "whole");
  assert.equal(await scene.counter("origin_fault_body_truncated"), 1);
});

framed("a body that is not as long as its length is malformed", async (scene, origin) => {
  const client = await scene.client();
  await client.send(request("GET /a"));
  const peer = await origin.peer(0);
  const { stream } = await peer.nextRequest();
  await peer.respond(stream, 200, [["content-length", "10"]]);
  await peer.data(stream, Buffer.from("short"), true);
  assert.equal((await client.answerOrPart()).complete, false);
  assert.equal(await scene.counter("origin_fault_body_malformed"), 1);
  assert.equal(await peer.resetOf(stream), "PROTOCOL_ERROR");
});

framed("a lost connection fails every stream on it, each with its class", async (scene, origin) => {
  const [one, two] = [await scene.client(), await scene.client()];
  await one.send(request("GET /one"));
  const peer = await origin.peer(0);
  const first = await peer.nextRequest();
  const answered = two.post("POST /two", "x");
  await peer.nextRequest();
  await peer.respond(first.stream, 200);
  await peer.data(first.stream, Buffer.from("part"));
  await one.head();
  await peer.close();
  assert.equal((await answered).status, 502);
  await one.wire.until("the end", (_, ending) => (ending === "open" ? undefined : ending));
  assert.equal(await scene.counter("origin_fault_eof_before_headers"), 1);
  assert.equal(await scene.counter("origin_fault_body_truncated"), 1);
});

framed(
  "S3-05 a stream that is silent for too long is reset alone",
  async (scene, origin) => {
    const [one, two] = [await scene.client(), await scene.client()];
    const answer = one.ask("GET /one");
    const peer = await origin.peer(0);
    const first = await peer.nextRequest();
    assert.equal((await answer).status, 504);
    assert.equal(await peer.resetOf(first.stream), "CANCEL");
    const answered = two.ask("GET /two");
    await answerNext(peer);
    assert.equal((await answered).status, 200);
    assert.equal(origin.count, 1);
  },
  { originSettings: { firstByteMs: 300 } },
);

framed("a client that leaves resets its stream and no other", async (scene, origin) => {
  const [one, two] = [await scene.client(), await scene.client()];
  await one.send(request("GET /one"));
  const peer = await origin.peer(0);
  const first = await peer.nextRequest();
  const answered = two.ask("GET /two");
  const second = await peer.nextRequest();
  await one.wire.reset();
  assert.equal(await peer.resetOf(first.stream), "CANCEL");
  await peer.respond(second.stream, 200, [], true);
  assert.equal((await answered).status, 200);
});

framed(
  "a connection without streams is closed with GOAWAY when its idle time is over",
  async (scene, origin) => {
    const client = await scene.client();
    const answer = client.ask("GET /a");
    const peer = await origin.peer(0);
    await answerNext(peer);
    await answer;
    assert.equal((await peer.goaway()).error, "NO_ERROR");
    await peer.seesEnd();
    assert.equal(await scene.counter("origin_closes_idle_timeout"), 1);
  },
  { originSettings: { idleMs: 200 } },
);

framed(
  "a connection that has carried as many requests as it may is closed behind the last",
  async (scene, origin) => {
    const client = await scene.client();
    for (const number of [0, 0, 1]) {
      const answer = client.ask("GET /a");
      await answerNext(await origin.peer(number));
      assert.equal((await answer).status, 200);
    }
    await (await origin.peer(0)).seesEnd();
    assert.equal(await scene.counter("origin_closes_requests"), 1);
  },
  { originSettings: { requests: 2 } },
);

framed("an answer waits for a client that does not read: the target gets no more window", async (scene, origin) => {
  const client = await scene.client({ record: false });
  client.wire.socket.pause();
  await client.send(request("GET /a"));
  const peer = await origin.peer(0);
  const { stream } = await peer.nextRequest();
  await peer.respond(stream, 200);
  let sent = 0;
  for (let silent = 0; silent < 20; ) {
    const room = Math.min(peer.room(stream), 16_384);
    if (room <= 0) {
      silent += 1;
      await pause(25);
      continue;
    }
    silent = 0;
    sent += room;
    await peer.data(stream, Buffer.alloc(room, 1));
    if (sent > 64 * 1024 * 1024) break;
  }
  assert.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken for a client that takes none`);
  client.wire.socket.resume();
  await peer.send(resetStream(stream, "CANCEL"));
});

framed("the answer may come before the request ended, and the request goes on", async (scene, origin) => {
  const client = await scene.client();
  await client.send(request("POST /a", "Transfer-Encoding: chunked"), chunk("one"));
  const peer = await origin.peer(0);
  const { stream } = await peer.nextRequest();
  await peer.send(headers(stream, Buffer.from([0x88]), { end: false }), data(stream, Buffer.from("first")));
  const head = await client.head();
  assert.equal(head.status, 200);
  await client.send(chunk("two"), "0\r\n\r\n");
  assert.equal((await peer.body(stream)).toString(), "onetwo");
  await peer.data(stream, Buffer.from("last"), true);
  assert.equal((await client.body(head)).body.toString(), "firstlast");
});
