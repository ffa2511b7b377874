/** Ends of TLS that no FIN announces: the peer's word comes in one piece with what it ends, and the socket stays open. */
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { after } from "node:test";
import { TLSSocket } from "node:tls";
import { makeAuthority } from "../support/certificates.js";
import { request } from "../support/client.js";
import { scenario } from "../support/scene.js";

const NAME = "www.example.org";
const HEAD = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
const folder = mkdtempSync(join(tmpdir(), "millrace-ends-"));
const authority = makeAuthority("test root");
const issued = authority.issue({ names: [NAME] });

/** A wire on which everything from the answer on leaves in one piece, and no FIN behind it. */
function wireOf(socket: Socket): { wire: Duplex; gather: () => void } {
  let gathered: Buffer[] | undefined;
  const wire = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, done) {
      if (gathered !== undefined) gathered.push(bytes);
      else socket.write(bytes);
      done();
    },
    final(done) {
      socket.write(Buffer.concat(gathered ?? []));
      done();
    },
  });
  socket.on("data", (bytes: Buffer) => wire.push(bytes));
  socket.on("error", () => wire.destroy());
  socket.on("close", () => wire.destroy());
  return {
    wire,
    gather: () => {
      gathered = [];
    },
  };
}

const sockets = new Set<Socket>();
const server = createServer((socket) => {
  sockets.add(socket);
  const { wire, gather } = wireOf(socket);
  const secure = new TLSSocket(wire, { isServer: true, cert: issued.cert, key: issued.key });
  secure.on("error", () => socket.destroy());
  secure.once("data", () => {
    gather();
    secure.end(`${HEAD}all of it`);
  });
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
after(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
  rmSync(folder, { recursive: true });
});

scenario(
  "an answer that the end of TLS ends is whole as soon as the origin says so, though its socket stays open",
  {
    settings: {
      origins: {
        app: {
          targets: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
          tls: { ca: authority.writeTo(folder), systemRoots: false, sni: `@${NAME}` },
        },
      },
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /"));
    const answer = await client.answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.body.toString(), "all of it");
    await scene.sees("origin_connections_open", 0);
    assert.equal(await scene.counter("origin_fault_body_truncated"), 0);
  },
);
