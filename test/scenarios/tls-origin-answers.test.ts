/**
 * Answers and bodies over TLS to origins: what is whole arrives whole, both ways; what was cut is never taken for whole,
 * and the word that TLS has for an end is what tells them apart.
 */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { reply, serve } from "../support/behaviours.js";
import { chunk, request, requestWithBody } from "../support/client.js";
import { lineOf } from "../support/failures.js";
import { takes } from "../support/lateness.js";
import type { OriginConnection, Script } from "../support/origin.js";
import { Scene, scenario } from "../support/scene.js";
import { overTls, speaking, trusting } from "../support/tls-origins.js";
import { PATIENCE_MS, pause, within } from "../support/wire.js";

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Answers with these bytes and ends in this way. */
function thenEnds(bytes: string, end: (connection: OriginConnection) => Promise<void>): Script {
  return serve(async (_, connection) => {
    await connection.send(bytes);
    // What was sent must have been read when a reset comes, or it would take it back.
    await pause(30);
    await end(connection);
    if (connection.wire.socket.destroyed) return;
    await connection.ended();
    await connection.close();
  });
}

const CLOSE_DELIMITED = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nas long as it is";

scenario(
  "S2-01 an answer that ends with its connection is whole when TLS said so",
  overTls({ origin: thenEnds(CLOSE_DELIMITED, (connection) => connection.close()) }),
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a");
    assert.deepEqual([answer.status, answer.body.toString()], [200, "as long as it is"]);
    assert.equal(await scene.counter("origin_failures"), 0);
  },
);

for (const [how, end] of [
  ["a FIN without the word of TLS", (connection: OriginConnection) => connection.cut()],
  ["a reset", (connection: OriginConnection) => connection.reset()],
] as const) {
  for (const [what, bytes] of [
    ["that ends with its connection", CLOSE_DELIMITED],
    ["with a length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nas long as it is"],
    ["in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nas long as it is\r\n"],
  ] as const) {
    scenario(
      `S2-01 an answer ${what}, cut by ${how} never looks whole`,
      overTls({ accessLog: true, origin: thenEnds(bytes, end) }),
      async (scene) => {
        const client = await scene.client();
        await client.send(request("GET /a"));
        const answer = await client.answerOrPart();
        assert.deepEqual([answer.status, answer.complete], [200, false], answer.head);
        assert.equal((await lineOf(scene, "/a"))["fault"], "body_truncated");
      },
    );
  }

  scenario(
    `S2-02 ${how} before any answer is called by its name`,
    overTls({ accessLog: true, origin: thenEnds("", end) }),
    async (scene) => {
      const client = await scene.client();
      assert.equal((await client.post("POST /a", "body")).status, 502);
      const wanted = how === "a reset" ? "reset_before_headers" : "eof_before_headers";
      assert.equal((await lineOf(scene, "/a"))["fault"], wanted);
    },
  );
}

scenario(
  "S2-01 a whole answer is whole, however its connection is cut behind it",
  overTls({ origin: thenEnds("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nas long as it is", (c) => c.cut()) }),
  async (scene) => {
    const client = await scene.client();
    for (let n = 1; n <= 3; n += 1) {
      assert.equal((await client.ask("GET /a")).body.toString(), "as long as it is");
      await scene.sees("origin_closes_by_origin", n);
    }
  },
);

/** Answers with what came, in the given number of pieces. */
const mirror: Script = serve((asked, connection) => connection.send(reply(200, asked.body)));

for (const [what, bytes] of [
  ["a byte", 1],
  ["just what fits a record", 16 * 1024],
  ["one byte more than a record", 16 * 1024 + 1],
  ["8 MiB", 8 << 20],
] as const) {
  scenario(
    `bodies over TLS arrive as they were sent, both ways: ${what}`,
    overTls({ origin: mirror }),
    async (scene) => {
      const client = await scene.client({ record: false });
      const body = randomBytes(bytes);
      for (const send of [
        requestWithBody("PUT /length", body),
        Buffer.concat([Buffer.from(request("PUT /chunks", "Transfer-Encoding: chunked")), chunk(body), chunk("")]),
      ]) {
        const sending = client.send(send);
        const answer = await client.answer("PUT", 60_000);
        await sending;
        assert.equal(digestOf(answer.body), digestOf(body));
      }
      assert.equal(scene.origin.accepted, 1);
    },
  );
}

scenario(
  "an origin that reads slowly over TLS gets all of a body, and one that is read slowly loses nothing",
  overTls({
    origin: async (connection) => {
      const head = await connection.head();
      connection.wire.stopReading();
      await pause(300);
      connection.wire.resumeReading();
      const body = await connection.body(head);
      await connection.send(reply(200, body.body));
      await connection.ended();
      await connection.close();
    },
  }),
  async (scene) => {
    const client = await scene.client({ record: false });
    const body = randomBytes(6 << 20);
    await client.send(requestWithBody("PUT /a", body));
    client.wire.stopReading();
    await pause(300);
    client.wire.resumeReading();
    const answer = await client.answer("PUT", 60_000);
    assert.equal(digestOf(answer.body), digestOf(body));
  },
);

test("a WebSocket goes to an origin over TLS, both ways, and ends as it was ended", { timeout: 60_000 }, async () => {
  const { cert, key } = speaking();
  const server = createServer({ cert: cert as string, key: key as string });
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo;
  const scene = await Scene.open({
    settings: {
      origins: { app: { targets: [`https://127.0.0.1:${port}`], tls: trusting() } },
      routes: [{ forwardTo: "app" }],
    },
  });
  try {
    const socket = new WebSocket(`ws://127.0.0.1:${scene.port}/chat`);
    await within(new Promise((resolve) => socket.once("open", resolve)), PATIENCE_MS, "the WebSocket's opening");
    for (const bytes of [1, 200, 70_000, 2 << 20]) {
      const sent = randomBytes(bytes);
      const back = new Promise<Buffer>((resolve) => socket.once("message", (data: Buffer) => resolve(data)));
      socket.send(sent);
      assert.equal(digestOf(await within(back, PATIENCE_MS, `${bytes} bytes back`)), digestOf(sent));
    }
    const closed = new Promise<number>((resolve) => socket.once("close", resolve));
    socket.close(4_000);
    assert.equal(await within(closed, PATIENCE_MS, "the WebSocket's end"), 4_000);
    await scene.sees("tunnels_open", 0);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await scene.end();
  } finally {
    await scene.abandon();
    server.close();
    sockets.close();
  }
});

/** Waits in a place of its own: connect is not slow here, so only what is limited ends it. */
const slowHandshake: Script = async (connection) => {
  await connection.ended(60_000);
  await connection.close();
};

for (const [what, times, mostMs, fault] of [
  ["the handshake's own", { connectMs: 60_000, firstByteMs: 60_000, tls: { handshakeMs: 200 } }, 2_000, "tls_timeout"],
  ["not the connection's", { connectMs: 50, firstByteMs: 50, tls: { handshakeMs: 400 } }, 2_500, "tls_timeout"],
] as const) {
  const { tls, ...origin } = times;
  scenario(
    `S1-08 the time for a handshake is ${what}`,
    {
      accessLog: true,
      origin: slowHandshake,
      settings: (origins) => ({
        origins: { app: { ...origin, targets: [`https://127.0.0.1:${origins["app"]?.port}`], tls: trusting(tls) } },
      }),
    },
    async (scene) => {
      const client = await scene.client();
      const answer = await takes(tls.handshakeMs - 20, mostMs, () => client.ask("GET /a"));
      assert.equal(answer.status, 504);
      assert.equal((await lineOf(scene, "/a"))["fault"], fault);
    },
  );
}

scenario(
  "S1-08 the time for the first byte begins when the handshake is over, and is its own",
  overTls({
    accessLog: true,
    origin: serve(() => undefined),
    originSettings: { connectMs: 60_000, firstByteMs: 200 },
    tls: { handshakeMs: 60_000 },
  }),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await takes(180, 2_000, () => client.ask("GET /a"))).status, 504);
    assert.equal((await lineOf(scene, "/a"))["fault"], "header_timeout");
  },
);

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  scenario(
    `S2-02 an origin that ends its side right behind the handshake is heard at once, ${version}`,
    overTls({
      accessLog: true,
      origin: async (connection) => {
        await connection.halfClose();
        await connection.ended();
        await connection.close();
      },
      speaks: { minVersion: version, maxVersion: version },
      originSettings: { firstByteMs: 60_000 },
    }),
    async (scene) => {
      const client = await scene.client();
      assert.equal((await takes(0, 2_000, () => client.ask("GET /a"))).status, 502);
      assert.equal((await lineOf(scene, "/a"))["fault"], "eof_before_headers");
    },
  );
}
