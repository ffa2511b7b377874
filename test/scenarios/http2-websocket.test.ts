/** WebSockets over HTTP/2: an extended CONNECT (RFC 8441) on one side, the Upgrade of HTTP/1 on the other. */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:http2";
import type { AddressInfo } from "node:net";
import { after } from "node:test";
import { WebSocketServer } from "ws";
import { reply, serve } from "../support/behaviours.js";
import type { FieldPair } from "../support/hpack.js";
import type { Http2Peer } from "../support/http2-peer.js";
import { bothWays, openHttp2, priorKnowledge } from "../support/http2-scene.js";
import type { OriginConnection, Script } from "../support/origin.js";
import { type SettingsOverlay, scenario } from "../support/scene.js";
import { TlsWorld } from "../support/tls.js";
import { pause } from "../support/wire.js";

const world = new TlsWorld();
const KIB = 1 << 10;

const asking = (path = "/chat", protocol = "websocket"): FieldPair[] => [
  [":method", "CONNECT"],
  [":protocol", protocol],
  [":scheme", "http"],
  [":path", path],
  [":authority", "a.example"],
  ["sec-websocket-version", "13"],
];

const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** A frame of a client (RFC 6455 5.2): masked, as clients must. */
function masked(opcode: number, payload: Uint8Array | string): Buffer {
  const bytes = Buffer.from(payload as string);
  const key = randomBytes(4);
  const length = Buffer.alloc(bytes.length < 126 ? 1 : bytes.length < 65_536 ? 3 : 9);
  length[0] = 0x80 | Math.min(bytes.length, bytes.length < 65_536 ? 126 : 127);
  if (length.length === 3) length.writeUInt16BE(bytes.length, 1);
  if (length.length === 9) length.writeBigUInt64BE(BigInt(bytes.length), 1);
  const veiled = bytes.map((octet, at) => octet ^ (key[at % 4] ?? 0));
  return Buffer.concat([Buffer.from([0x80 | opcode]), length, key, veiled]);
}

/** The first whole frame of a server among these bytes, and how many it takes. */
function readFrame(bytes: Buffer): { opcode: number; payload: Buffer; taken: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = (bytes[1] ?? 0) & 0x7f;
  const from = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < from) return undefined;
  const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  if (bytes.length < from + length) return undefined;
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload: bytes.subarray(from, from + length), taken: from + length };
}

/** A WebSocket on a stream of a peer. */
class Socket {
  readonly stream: number;
  readonly #peer: Http2Peer;
  #read = 0;

  constructor(peer: Http2Peer, stream: number) {
    this.#peer = peer;
    this.stream = stream;
  }

  static async open(peer: Http2Peer, path?: string): Promise<Socket> {
    const stream = await peer.open(asking(path), false);
    const head = await peer.head(stream);
    assert.equal(head.status, 200, "RFC 8441 5: 200 says what 101 says in HTTP/1");
    for (const name of ["sec-websocket-accept", "connection", "upgrade"]) assert.ok(!head.fields.has(name), name);
    return new Socket(peer, stream);
  }

  send(opcode: number, payload: Uint8Array | string): Promise<void> {
    return this.#peer.upload(this.stream, masked(opcode, payload), false);
  }

  async sees(): Promise<{ readonly opcode: number; readonly payload: Buffer; readonly taken: number }> {
    const frame = await this.#peer.until("a frame of the WebSocket", () =>
      readFrame(Buffer.concat(this.#peer.received(this.stream).pieces).subarray(this.#read)),
    );
    this.#read += frame.taken;
    return frame;
  }
}

/** A WebSocket server of the ws package that echoes; it goes with the tests. */
const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
await once(server, "listening");
server.on("connection", (socket) => {
  socket.on("message", (message: Buffer, binary) => socket.send(message, { binary }));
  socket.on("error", () => undefined);
});
after(() => server.close());
const echoing: SettingsOverlay = {
  origins: { app: { targets: [`http://127.0.0.1:${(server.address() as AddressInfo).port}`] } },
};

const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";

/** Switches as a WebSocket server does, and lets a test say what then. */
function switching(then: (connection: OriginConnection) => Promise<void>): Script {
  return async (connection) => {
    const head = await connection.head();
    const key = `${head.fields.one("sec-websocket-key")}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash("sha1").update(key).digest("base64");
    await connection.send(`${SWITCH}Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
    await then(connection);
  };
}

bothWays(
  world,
  "a WebSocket server of the ws package, over a stream: text of every size, ping, close",
  { settings: echoing },
  async (open, scene) => {
    const peer = await open();
    assert.equal(peer.announced.enableConnectProtocol, 1);
    const socket = await Socket.open(peer);
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 300 * KIB]) {
      const sent = "x".repeat(size);
      await socket.send(TEXT, sent);
      const back = await socket.sees();
      assert.deepEqual([back.opcode, back.payload.toString() === sent], [TEXT, true], `${size} bytes`);
    }
    await socket.send(PING, "are you there");
    assert.deepEqual(await socket.sees(), { opcode: PONG, payload: Buffer.from("are you there"), taken: 15 });
    await socket.send(CLOSE, Buffer.from([0x03, 0xe8]));
    assert.equal((await socket.sees()).opcode, CLOSE);
    await peer.data(socket.stream, "", true);
    const { whole } = await peer.outcome(socket.stream);
    assert.ok(whole, "the server's FIN is END_STREAM");
    assert.equal(await scene.counter("tunnels"), 1);
    await scene.sees("tunnels_open", 0);
    await scene.sees("http2_streams_open", 0);
  },
);

scenario(
  "twenty WebSockets and two hundred requests share a connection, and none disturbs another",
  {
    settings: priorKnowledge({
      ...echoing,
      routes: [{ match: { path: "/fixed" }, answer: { body: "fixed" } }, { forwardTo: "app" }],
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const sockets = await Promise.all(Array.from({ length: 20 }, () => Socket.open(peer)));
    await Promise.all([
      ...sockets.map(async (socket, who) => {
        for (let turn = 0; turn < 30; turn += 1) {
          await socket.send(TEXT, `${who} ${turn}`);
          assert.equal((await socket.sees()).payload.toString(), `${who} ${turn}`);
        }
      }),
      (async () => {
        for (let turn = 0; turn < 200; turn += 1) assert.equal((await peer.ask("GET /fixed")).body.toString(), "fixed");
      })(),
    ]);
    assert.equal(await scene.counter("client_connections_open"), 1);
    assert.equal(await scene.counter("tunnels_open"), 20);
    for (const socket of sockets) await peer.reset(socket.stream);
    await scene.sees("tunnels_open", 0);
  },
);

scenario(
  "Node's HTTP/2 client opens a WebSocket by extended CONNECT",
  { settings: priorKnowledge(echoing) },
  async (scene) => {
    const session = connect(`http://127.0.0.1:${scene.port}`);
    try {
      await once(session, "remoteSettings");
      const stream = session.request({
        ":method": "CONNECT",
        ":protocol": "websocket",
        ":path": "/chat",
        ":authority": "a.example",
        "sec-websocket-version": "13",
      });
      const [head] = (await once(stream, "response")) as [Record<string, unknown>];
      assert.equal(head[":status"], 200);
      let came = Buffer.alloc(0);
      stream.on("data", (piece: Buffer) => {
        came = Buffer.concat([came, piece]);
      });
      for (let turn = 0; turn < 100; turn += 1) {
        stream.write(masked(TEXT, `message ${turn}`));
        let frame = readFrame(came);
        for (; frame === undefined; frame = readFrame(came)) await once(stream, "data");
        assert.equal(frame.payload.toString(), `message ${turn}`);
        came = came.subarray(frame.taken);
      }
      stream.close();
    } finally {
      await new Promise<void>((resolve) => session.close(resolve));
    }
    await scene.sees("tunnels_open", 0);
  },
);

scenario(
  "the origin gets an Upgrade of HTTP/1.1 with a key of its own, and a client's Sec-WebSocket fields",
  {
    settings: priorKnowledge(),
    origin: async (connection) => {
      const { method, target, version, fields } = await connection.head();
      assert.deepEqual([method, target, version], ["GET", "/chat", "HTTP/1.1"]);
      assert.equal(fields.one("upgrade")?.toLowerCase(), "websocket");
      assert.equal(fields.one("connection")?.toLowerCase(), "upgrade");
      assert.equal(Buffer.from(fields.one("sec-websocket-key") ?? "", "base64").length, 16);
      assert.deepEqual([fields.one("sec-websocket-version"), fields.one("sec-websocket-protocol")], ["13", "chat"]);
      await connection.send(reply(403, "no"));
    },
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.open([...asking(), ["sec-websocket-protocol", "chat"]], false);
    assert.equal((await peer.answer(stream)).status, 403, "a refusal passes as it is");
    assert.equal(await scene.counter("tunnels"), 0);
  },
);

for (const [what, bytes] of [
  ["a success without a switch", reply(200, "poison")],
  [
    "a switch to something else",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\npoison",
  ],
] as const)
  scenario(
    `an origin that answers a WebSocket by ${what} is a 502, and what it says reaches nobody`,
    {
      settings: priorKnowledge({ routes: [{ forwardTo: "app", retry: false }] }),
      origin: serve((_, connection) => connection.send(bytes)),
    },
    async (scene) => {
      const peer = await openHttp2(scene);
      const stream = await peer.open(asking(), false);
      const { status } = await peer.outcome(stream);
      assert.equal(status, 502);
      assert.ok(!Buffer.concat(peer.received(stream).pieces).includes("poison"));
    },
  );

scenario(
  "an extended CONNECT to anything but a WebSocket is refused, and the connection serves on",
  { settings: priorKnowledge() },
  async (scene) => {
    const peer = await openHttp2(scene);
    for (const protocol of ["connect-udp", "webtransport", "WEB SOCKET", "h2c"]) {
      const stream = await peer.open(asking("/chat", protocol), false);
      const { status, reset } = await peer.outcome(stream);
      assert.ok(status === 400 || status === 501 || reset === "PROTOCOL_ERROR", `${protocol}: ${status} ${reset}`);
    }
    assert.equal(scene.origin.receivedBytes, 0);
    assert.equal((await peer.ask("GET /after")).status, 200);
  },
);

for (const how of ["RST_STREAM", "FIN of the connection"] as const)
  scenario(
    `${how} of the client ends the tunnel: the origin's connection is closed`,
    { settings: priorKnowledge(), origin: switching(async (connection) => void (await connection.ended())) },
    async (scene) => {
      const peer = await openHttp2(scene);
      const socket = await Socket.open(peer);
      assert.equal(await scene.counter("tunnels_open"), 1);
      await (how === "RST_STREAM" ? peer.reset(socket.stream) : peer.wire.halfClose());
      await scene.origin.lastConnection.ended();
      await scene.sees("tunnels_open", 0);
      await scene.sees("http2_streams_open", 0);
    },
  );

scenario(
  "an origin that ends the tunnel ends the stream; one that resets resets it",
  {
    settings: priorKnowledge(),
    origin: switching(async (connection) => {
      await connection.wire.until("a word", (unread) => (unread.length > 0 ? true : undefined));
      const word = connection.wire.take(connection.wire.unread.length).toString();
      await connection.send("last words");
      await pause(50);
      await (word === "end" ? connection.close() : connection.reset());
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const [ended, cut] = [await Socket.open(peer), await Socket.open(peer)];
    await peer.data(ended.stream, "end");
    await peer.data(cut.stream, "cut");
    await peer.until("END_STREAM", () => peer.received(ended.stream).ended || undefined);
    assert.equal(Buffer.concat(peer.received(ended.stream).pieces).toString(), "last words");
    await peer.data(ended.stream, "", true);
    assert.notEqual(await peer.resetOf(cut.stream), "NO_ERROR");
    assert.ok(!peer.received(cut.stream).ended);
    await scene.sees("tunnels_open", 0);
    assert.equal(peer.ending, "open");
  },
);

const poured = { bytes: 0 };
scenario(
  "a client that gives no window stops the origin's side of the tunnel",
  {
    settings: priorKnowledge(),
    originOptions: { record: false },
    origin: switching(async (connection) => {
      while (connection.wire.ending === "open" && !connection.wire.socket.destroyed) {
        await connection.send(Buffer.alloc(256 * KIB));
        poured.bytes += 256 * KIB;
      }
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept", bodies: false });
    const socket = await Socket.open(peer);
    await peer.until("the window's worth", () => peer.received(socket.stream).bytes === 65_535 || undefined);
    await pause(700);
    const received = await scene.counter("origin_bytes_received");
    assert.ok(received < 1_024 * KIB, `${received} bytes were read of the ${poured.bytes} that were sent`);
    await peer.reset(socket.stream);
    await scene.sees("tunnels_open", 0);
  },
);

scenario(
  "timeouts.tunnelIdleMs holds for a stream as for a connection",
  { settings: priorKnowledge({ ...echoing, timeouts: { tunnelIdleMs: 300 } }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    const [silent, talking] = [await Socket.open(peer), await Socket.open(peer)];
    for (let turn = 0; turn < 6; turn += 1) {
      await pause(100);
      await talking.send(TEXT, "x");
      await talking.sees();
    }
    const { whole, reset } = await peer.outcome(silent.stream);
    assert.ok(whole || reset !== undefined);
    assert.ok(!peer.received(talking.stream).ended && peer.received(talking.stream).reset === undefined);
    await peer.reset(talking.stream);
  },
);
