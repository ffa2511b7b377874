/** WebSockets over TLS: a browser's `wss:` through the proxy. */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { scenario } from "../support/scene.js";
import { TlsWorld } from "../support/tls.js";
import { PATIENCE_MS, within } from "../support/wire.js";

const world = new TlsWorld();
const server = createServer();
const sockets = new WebSocketServer({ server });
sockets.on("connection", (socket) => socket.on("message", (bytes, binary) => socket.send(bytes, { binary })));
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
server.unref();
const target = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

const digestOf = (bytes: Buffer): string => createHash("sha1").update(bytes).digest("hex");

for (const version of ["TLSv1.2", "TLSv1.3"] as const)
  scenario(
    `a WebSocket of the ws package works over TLS: every size of message, ping, close (${version})`,
    { settings: world.settings({}, { origins: { app: { targets: [target] } } }) },
    async (scene) => {
      const socket = new WebSocket(`wss://127.0.0.1:${scene.port}/chat`, world.asks({ maxVersion: version }));
      await within(once(socket, "open"), PATIENCE_MS, "the WebSocket handshake");
      for (const size of [0, 1, 125, 126, 16_370, 16_384, 65_535, 65_536, 1_000_000]) {
        const sent = randomBytes(size);
        const back = within(once(socket, "message"), PATIENCE_MS, "the echo");
        socket.send(sent);
        const [bytes] = (await back) as [Buffer];
        assert.equal(digestOf(bytes), digestOf(sent), String(size));
      }
      const pong = within(once(socket, "pong"), PATIENCE_MS, "the pong");
      socket.ping();
      await pong;
      const closed = within(once(socket, "close"), PATIENCE_MS, "the close");
      socket.close(1000, "bye");
      assert.equal((await closed)[0], 1000);
    },
  );

scenario(
  "a WebSocket whose server goes away ends, and whose client goes away too",
  { settings: world.settings({}, { origins: { app: { targets: [target] } } }) },
  async (scene) => {
    for (const side of ["client", "server"]) {
      const socket = new WebSocket(`wss://127.0.0.1:${scene.port}/chat`, world.asks());
      await within(once(socket, "open"), PATIENCE_MS, "the WebSocket handshake");
      const closed = within(once(socket, "close"), PATIENCE_MS, "the close");
      if (side === "client") socket.terminate();
      else for (const one of sockets.clients) one.terminate();
      await closed;
      await scene.sees("tunnels_open", 0);
    }
  },
);
