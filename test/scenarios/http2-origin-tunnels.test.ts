/**
 * What goes both ways at once over HTTP/2 to origins: WebSockets by extended CONNECT (RFC 8441), where the origin has said
 * that it knows it, and gRPC in all its kinds.
 */
import { strict as assert } from "node:assert";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { test } from "node:test";
import { request } from "../support/client.js";
import { withNodeOrigin } from "../support/http2-origins.js";
import { openHttp2 } from "../support/http2-scene.js";

const TIMEOUT = { timeout: 60_000 };
const UPGRADE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/** Takes an extended CONNECT and gives back what comes. */
function mirror(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  if (headers[":method"] !== "CONNECT" || headers[":protocol"] !== "websocket") {
    stream.respond({ ":status": 400 }, { endStream: true });
    return;
  }
  stream.respond({ ":status": 200, "sec-websocket-protocol": String(headers["sec-websocket-protocol"] ?? "none") });
  stream.pipe(stream);
}

test("a WebSocket of an HTTP/1.1 client is an extended CONNECT to an origin that knows it", TIMEOUT, () =>
  withNodeOrigin(mirror, { settings: { enableConnectProtocol: true } }, async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /chat", ...UPGRADE, "Sec-WebSocket-Protocol: chat"));
    const head = await client.head();
    assert.equal(head.status, 101);
    // RFC 6455 1.3 has this key and its answer.
    assert.equal(head.fields.one("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert.equal(head.fields.one("upgrade"), "websocket");
    assert.equal(head.fields.one("sec-websocket-protocol"), "chat");
    await client.send("over");
    await client.wire.until("an echo", (unread) => (unread.length >= 4 ? true : undefined));
    assert.equal(client.wire.unread.toString(), "over");
    client.wire.take(4);
    await client.wire.halfClose();
    await client.seesClose();
    assert.equal(await scene.counter("tunnels"), 1);
  }),
);

test(
  "a WebSocket is refused by 502 where the origin knows no extended CONNECT and HTTP/1.1 is not spoken",
  TIMEOUT,
  () =>
    withNodeOrigin(mirror, {}, async (scene) => {
      const client = await scene.client();
      await client.send(request("GET /chat", ...UPGRADE));
      assert.equal((await client.answer()).status, 502);
      assert.equal(await scene.counter("origin_fault_protocol_mismatch"), 1);
    }),
);

test("a WebSocket gets a connection of its own over HTTP/1.1 where that may be spoken", TIMEOUT, () => {
  const upgrade = (socket: NodeJS.WritableStream & NodeJS.ReadableStream): void => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    socket.pipe(socket);
  };
  const options = { secure: true, http1: true, upgrade, app: { httpVersions: ["2", "1.1"] } };
  const plain = (stream: ServerHttp2Stream): void => stream.respond({ ":status": 204 }, { endStream: true });
  return withNodeOrigin(plain, options, async (scene, origin) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 204);
    await client.send(request("GET /chat", ...UPGRADE));
    assert.equal((await client.head()).status, 101);
    await client.send("over");
    await client.wire.until("an echo", (unread) => (unread.length >= 4 ? true : undefined));
    client.wire.take(4);
    await client.wire.halfClose();
    await client.seesClose();
    assert.equal(origin.sessions, 1);
    assert.equal(await scene.counter("origin_connections_opened"), 2);
  });
});

/** As a gRPC server of every kind: answers each message at once, and says how it went in trailers. */
function grpc(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "x-te": String(headers["te"]) },
    { waitForTrailers: true },
  );
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.pipe(stream);
}

test("gRPC passes from an HTTP/2 client: unary, streams of either side, and both at once", TIMEOUT, () =>
  withNodeOrigin(
    grpc,
    { more: { listeners: [{ address: "127.0.0.1:0", httpVersions: ["1.1", "2"] }] } },
    async (scene) => {
      const peer = await openHttp2(scene);
      const fields = [["te", "trailers"] as const, ["content-type", "application/grpc"] as const];
      const unary = await peer.ask("POST /Service/Unary", { fields, body: "\0\0\0\0\x02hi" });
      assert.equal(unary.status, 200);
      assert.equal(unary.fields.one("x-te"), "trailers");
      assert.equal(unary.body.length, 7);
      assert.equal(unary.trailers?.one("grpc-status"), "0");
      const stream = await peer.request("POST /Service/Both", { fields, open: true });
      assert.equal((await peer.head(stream)).status, 200, "the head of the answer comes before the request ends");
      for (let n = 1; n <= 5; n += 1) {
        await peer.data(stream, Buffer.from("message"));
        await peer.until("an echo", () => (peer.received(stream).bytes >= 7 * n ? true : undefined));
      }
      await peer.data(stream, Buffer.alloc(0), true);
      assert.equal((await peer.answer(stream)).trailers?.one("grpc-status"), "0");
    },
  ),
);
