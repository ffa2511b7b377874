/** The tests' own HTTP/2 peer against Node's, as a client and as a server: what it says of the proxy can be believed. */
import { strict as assert } from "node:assert";
import { type ClientHttp2Session, connect, constants, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { describe, it } from "node:test";
import { RawClient } from "../support/client.js";
import { frame, goaway, headers } from "../support/http2-frames.js";
import { Http2Peer, type PeerOptions } from "../support/http2-peer.js";
import { bodyPiece } from "../support/load.js";
import { RawOrigin } from "../support/origin.js";

/** Plays a client of ours against a server of Node's. */
async function withServer(
  answer: (stream: ServerHttp2Stream, path: string) => void,
  play: (peer: Http2Peer) => Promise<void>,
  options: PeerOptions = {},
): Promise<void> {
  const server = createServer();
  server.on("stream", (stream, head) => {
    stream.on("error", () => undefined);
    answer(stream, String(head[":path"]));
  });
  server.on("sessionError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = await RawClient.connect(((server as unknown as Server).address() as AddressInfo).port);
  try {
    await play(await Http2Peer.client(client.wire, options));
  } finally {
    await client.close();
    server.close();
  }
}

/** Plays a server of ours against a client of Node's. */
async function withClient(
  script: (peer: Http2Peer) => Promise<void>,
  play: (session: ClientHttp2Session) => Promise<void>,
): Promise<void> {
  const origin = await RawOrigin.start(async (connection) => script(await Http2Peer.server(connection.wire)));
  const session = connect(origin.url);
  session.on("error", () => undefined);
  try {
    await play(session);
    assert.deepEqual(origin.troubles, []);
  } finally {
    session.destroy();
    await origin.stop();
  }
}

/** A request of Node's, to its end. */
function ask(session: ClientHttp2Session, path: string, body?: Buffer): Promise<{ status: number; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": path, ":method": body === undefined ? "GET" : "POST" });
    const pieces: Buffer[] = [];
    let status = 0;
    stream.on("response", (head) => {
      status = Number(head[":status"]);
    });
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.once("error", reject);
    stream.once("end", () => resolve({ status, body: Buffer.concat(pieces) }));
    stream.end(body);
  });
}

describe("the tests' HTTP/2 peer", () => {
  it("as a client: requests at once, each with its answer, trailers and bodies over the first window", () =>
    withServer(
      (stream, path) => {
        stream.respond({ ":status": 200, "x-path": path }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "x-trailer": path }));
        stream.pipe(stream);
      },
      async (peer) => {
        const body = Buffer.concat([bodyPiece(0, 200_000)]);
        const streams = await Promise.all([
          peer.request("POST /a", { body }),
          peer.request("POST /b", { body: "b", trailers: [["x-up", "1"]] }),
          peer.request("GET /c"),
        ]);
        const answers = await Promise.all(streams.map((stream) => peer.answer(stream)));
        assert.deepEqual(
          answers.map(({ fields, trailers }) => [fields.one("x-path"), trailers?.one("x-trailer")]),
          ["/a", "/b", "/c"].map((path) => [path, path]),
        );
        assert.ok(answers[0]?.body.equals(body));
        assert.equal(answers[1]?.body.toString(), "b");
      },
    ));

  it("as a client: gives no window by itself where the test keeps it", () =>
    withServer(
      (stream) => {
        stream.respond({ ":status": 200 });
        stream.end(Buffer.alloc(3_000));
      },
      async (peer) => {
        const stream = await peer.request("GET /");
        await peer.until("the window's worth", () => peer.received(stream).bytes === 1_000 || undefined);
        await peer.roundTrip();
        assert.equal(peer.received(stream).bytes, 1_000);
        await peer.give(stream, 2_000);
        assert.equal((await peer.answer(stream)).body.length, 3_000);
      },
      { window: "kept", settings: { initialWindowSize: 1_000 } },
    ));

  it("as a client: sees RST_STREAM and GOAWAY", () =>
    withServer(
      (stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM),
      async (peer) => {
        assert.equal(await peer.resetOf(await peer.request("GET /")), "ENHANCE_YOUR_CALM");
        await peer.send(frame("PING", 0, "short"));
        assert.equal((await peer.goaway()).error, "FRAME_SIZE_ERROR");
      },
    ));

  it("as a server: reads requests with bodies and answers them out of order", () =>
    withClient(
      async (peer) => {
        const first = await peer.nextRequest();
        const second = await peer.nextRequest();
        assert.deepEqual(
          [first, second].map(({ head }) => head.pseudo[":path"]),
          ["/1", "/2"],
        );
        const body = await peer.body(second.stream);
        await peer.respond(second.stream, 201);
        await peer.upload(second.stream, body);
        await peer.respond(first.stream, 204, [], true);
      },
      async (session) => {
        const body = Buffer.concat([bodyPiece(0, 300_000)]);
        const [first, second] = await Promise.all([ask(session, "/1"), ask(session, "/2", body)]);
        assert.deepEqual([first.status, second.status], [204, 201]);
        assert.ok(second.body.equals(body));
      },
    ));

  it("as a client: sees the end, and what was said before it", async () => {
    const origin = await RawOrigin.start(async (connection) => {
      await (await Http2Peer.server(connection.wire)).send(goaway(0, "INTERNAL_ERROR"));
      await connection.close();
    });
    const client = await RawClient.connect(origin.port);
    assert.equal(await (await Http2Peer.client(client.wire)).seesEnd(), "INTERNAL_ERROR");
    await client.close();
    await origin.stop();
  });

  it("complains of what must not come: a server that sends DATA before the head, or more than the window", async () => {
    const misdeeds: ((peer: Http2Peer) => Promise<void>)[] = [
      (peer) => peer.data(1, "x", true),
      (peer) => peer.send(headers(1, Buffer.from([0x88]), { end: false }), frame("DATA", 1, Buffer.alloc(2_000))),
      (peer) => peer.respond(1, 200, [["Upper", "x"]], true),
      (peer) => peer.respond(1, 200, [["connection", "close"]], true),
    ];
    for (const misdeed of misdeeds) {
      const origin = await RawOrigin.start(async (connection) => misdeed(await Http2Peer.server(connection.wire)));
      const client = await RawClient.connect(origin.port);
      const peer = await Http2Peer.client(client.wire, { settings: { initialWindowSize: 1_000 } });
      await assert.rejects(peer.answer(await peer.request("GET /")), /what must not come/);
      await client.close();
      await origin.stop();
    }
  });
});
