/** Upgrade: WebSocket and any other protocol. A tunnel exists only after the origin's 101, and both directions end apart. */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { reply, serve, verbatim } from "../support/behaviours.js";
import { RawClient, request } from "../support/client.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { PATIENCE_MS, pause, within } from "../support/wire.js";

const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
const ask = (path = "/up"): string => request(`GET ${path}`, "Connection: Upgrade", "Upgrade: echo");

/** Switches, then sends everything back until the client's side ends, then ends its own. */
const echoTunnel: Script = async (connection) => {
  await connection.head();
  await connection.send(SWITCH);
  for (;;) {
    const there = await connection.wire.until(
      "bytes",
      (unread, ending) => (unread.length > 0 ? true : ending === "open" ? undefined : false),
      60_000,
    );
    if (!there) break;
    await connection.send(connection.wire.take(connection.wire.unread.length));
  }
  await connection.halfClose();
};

scenario("a custom protocol is tunnelled both ways, byte for byte", { origin: echoTunnel }, async (scene) => {
  const client = await scene.client();
  await client.send(ask());
  const head = await client.head();
  assert.equal(head.status, 101);
  assert.equal(head.fields.one("upgrade"), "echo");
  assert.equal(head.fields.one("connection")?.toLowerCase(), "upgrade");
  const sent = randomBytes(300_000);
  const sending = client.send(sent);
  const back = await client.wire.takeUpTo(sent.length);
  await sending;
  assert.ok(back.equals(sent));
  await client.halfClose();
  assert.equal(await client.seesClose(), "end");
  assert.equal(await scene.counter("tunnels"), 1);
  await scene.sees("tunnels_open", 0);
});

scenario(
  "bytes right behind the upgrade request belong to the tunnel and are not lost",
  { origin: echoTunnel },
  async (scene) => {
    const client = await scene.client();
    await client.send(ask(), "already here");
    assert.equal((await client.head()).status, 101);
    assert.equal((await client.wire.takeUpTo(12)).toString(), "already here");
  },
);

scenario(
  "bytes right behind the origin's 101 are not lost",
  {
    origin: async (connection) => {
      await connection.head();
      await connection.send(SWITCH, "welcome");
      await connection.ended(60_000);
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(ask());
    await client.head();
    assert.equal((await client.wire.takeUpTo(7)).toString(), "welcome");
  },
);

scenario(
  "the client's half-close reaches the origin, whose last words still come back",
  {
    origin: async (connection) => {
      await connection.head();
      await connection.send(SWITCH);
      await connection.ended();
      await connection.send("last words");
      await connection.halfClose();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(ask());
    await client.head();
    await client.halfClose();
    assert.equal((await client.wire.takeAll()).toString(), "last words");
    assert.equal(client.ending, "end");
  },
);

scenario(
  "the origin's half-close reaches the client, whose last words still get there",
  {
    origin: async (connection) => {
      await connection.head();
      await connection.send(SWITCH);
      await connection.halfClose();
      await connection.ended();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(ask());
    await client.head();
    await client.seesClose();
    await client.send("last words");
    await client.halfClose();
    await scene.origin.sees("the last words", (origin) => origin.lastConnection.wire.received.includes("last words"));
    assert.equal(await scene.origin.lastConnection.ended(), "end");
  },
);

scenario("a reset on one side of a tunnel ends the other", { origin: echoTunnel }, async (scene) => {
  const client = await scene.client();
  await client.send(ask());
  await client.head();
  await client.reset();
  await scene.origin.lastConnection.ended();
  await scene.sees("tunnels_open", 0);
});

scenario(
  "a refused upgrade is an ordinary answer, and the connection goes on",
  {
    origin: serve((asked, connection) => connection.send(reply(200, `no upgrade for ${asked.target}`))),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(ask("/a"));
    assert.equal((await client.answer()).body.toString(), "no upgrade for /a");
    assert.equal((await client.ask("GET /b")).body.toString(), "no upgrade for /b");
    assert.equal(await scene.counter("tunnels"), 0);
  },
);

scenario(
  "bytes behind a refused upgrade are the next request, never a tunnel",
  {
    origin: serve((asked, connection) => connection.send(reply(200, asked.target))),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(ask("/a"), request("GET /b"));
    assert.equal((await client.answer()).body.toString(), "/a");
    assert.equal((await client.answer()).body.toString(), "/b");
  },
);

scenario(
  "426 from the origin keeps its Upgrade field",
  {
    origin: verbatim(
      "HTTP/1.1 426 Upgrade Required\r\nUpgrade: echo\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
    ),
  },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a");
    assert.equal(answer.status, 426);
    assert.equal(answer.fields.one("upgrade"), "echo");
  },
);

scenario(
  "a switch nobody asked for is a 502, and the bytes behind it reach nobody",
  {
    origin: verbatim(SWITCH, "poison"),
    accessLog: true,
  },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a");
    assert.equal(answer.status, 502);
    assert.ok(!client.wire.received.includes("poison"));
  },
);

scenario(
  "h2c is never passed on, and a switch to it is a 502",
  {
    origin: async (connection) => {
      const head = await connection.head();
      assert.equal(head.fields.has("upgrade"), false);
      assert.equal(head.fields.has("http2-settings"), false);
      await connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
      await connection.ended();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(
      request(
        "GET /a",
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
      ),
    );
    assert.equal((await client.answer()).status, 502);
  },
);

scenario(
  "timeouts.tunnelIdleMs: a tunnel in which nobody speaks is closed, one in which somebody does is not",
  {
    origin: echoTunnel,
    settings: { timeouts: { tunnelIdleMs: 300 } },
  },
  async (scene) => {
    const [silent, talking] = [await scene.client(), await scene.client()];
    for (const client of [silent, talking]) {
      await client.send(ask());
      await client.head();
    }
    for (let n = 0; n < 6; n += 1) {
      await pause(100);
      await talking.send("x");
      await talking.wire.takeUpTo(1);
    }
    await silent.wire.until("the close", (_, ending) => (ending === "open" ? undefined : ending));
    assert.equal(talking.ending, "open");
  },
);

scenario(
  "a WebSocket server of the ws package works through the proxy: text, binary, ping, close",
  { workers: 2 },
  async (scene) => {
    const server = createServer();
    const sockets = new WebSocketServer({ server });
    sockets.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const port = (server.address() as AddressInfo).port;
    // The scene's origin hands its connections over to the WebSocket server, byte for byte.
    scene.origin.script = async (connection) => {
      const inner = await RawClient.connect(port);
      inner.wire.socket.on("data", (bytes: Buffer) => connection.wire.socket.write(bytes));
      connection.wire.socket.on("data", (bytes: Buffer) => inner.wire.socket.write(bytes));
      inner.wire.socket.write(connection.wire.received);
      inner.wire.socket.once("end", () => connection.wire.socket.end());
      connection.wire.socket.once("end", () => inner.wire.socket.end());
      await connection.ended(60_000);
    };
    await Promise.all(Array.from({ length: 8 }, () => converse(scene.port)));
    for (const socket of sockets.clients) socket.terminate();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  },
);

async function converse(port: number): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
  await within(
    new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject)),
    PATIENCE_MS,
    "the WebSocket handshake",
  );
  for (const size of [0, 1, 125, 126, 65_535, 65_536, 1_000_000]) {
    const sent = randomBytes(size);
    const back = within(
      new Promise<Buffer>((resolve) => socket.once("message", (data) => resolve(data as Buffer))),
      PATIENCE_MS,
      "the echo",
    );
    socket.send(sent);
    assert.equal(
      createHash("sha1")
        .update(await back)
        .digest("hex"),
      createHash("sha1").update(sent).digest("hex"),
    );
  }
  const pong = within(new Promise((resolve) => socket.once("pong", resolve)), PATIENCE_MS, "the pong");
  socket.ping();
  await pong;
  const closed = within(new Promise<number>((resolve) => socket.once("close", resolve)), PATIENCE_MS, "the close");
  socket.close(1000, "bye");
  assert.equal(await closed, 1000);
}
