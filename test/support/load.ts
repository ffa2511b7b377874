/**
 * Bodies too big to hold, and servers for them: streams of bytes that are the same for everybody who knows the seed, with
 * their digests, sent and read piece by piece.
 */
import { createHash, type Hash } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { type ConnectionOptions, connect as secure } from "node:tls";
import { pause, WireError } from "./wire.js";

/** One mebibyte of bytes without a pattern that a shift would hide. */
const BLOCK = ((): Buffer => {
  const block = Buffer.alloc(1 << 20);
  let state = 0x9e3779b9;
  for (let at = 0; at < block.length; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    block.writeUInt32LE(state, at);
  }
  return block;
})();

/** The bytes `[from, from + count)` of the endless body, at most to the end of a block. */
export function bodyPiece(from: number, count: number): Buffer {
  const at = from % BLOCK.length;
  return BLOCK.subarray(at, Math.min(BLOCK.length, at + count));
}

/** SHA-256 of the first `size` bytes of the endless body. */
export function bodyDigest(size: number): string {
  const hash = createHash("sha256");
  for (let at = 0; at < size; ) {
    const piece = bodyPiece(at, size - at);
    hash.update(piece);
    at += piece.length;
  }
  return hash.digest("hex");
}

/** Writes `size` bytes of the endless body as fast as the other side takes them; `wrap` frames each piece. */
export async function pour(
  socket: Socket,
  size: number,
  wrap: (piece: Buffer) => Buffer = (piece) => piece,
): Promise<void> {
  for (let at = 0; at < size && !socket.destroyed; ) {
    const piece = bodyPiece(at, Math.min(65_536, size - at));
    at += piece.length;
    if (!socket.write(wrap(piece))) await drained(socket);
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.once("drain", done);
    socket.once("close", done);
  });
}

/** What was read of a body: how much, and its digest. */
export interface Read {
  readonly bytes: number;
  readonly digest: string;
}

/** Reads bytes behind a head until `size` of them came, `slow` milliseconds apart between reads. */
export function readBody(
  socket: Socket,
  size: number,
  slowMs = 0,
): Promise<{ readonly head: string; readonly body: Read }> {
  return new Promise((resolve, reject) => {
    let head = "";
    let inBody = false;
    let bytes = 0;
    const hash: Hash = createHash("sha256");
    const take = (piece: Buffer): void => {
      bytes += piece.length;
      hash.update(piece);
      if (bytes >= size) {
        socket.off("data", onData);
        resolve({ head, body: { bytes, digest: hash.digest("hex") } });
      } else if (slowMs > 0) {
        socket.pause();
        setTimeout(() => socket.resume(), slowMs);
      }
    };
    const onData = (piece: Buffer): void => {
      if (inBody) {
        take(piece);
        return;
      }
      head += piece.toString("latin1");
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const rest = Buffer.from(head.slice(end + 4), "latin1");
      head = head.slice(0, end + 4);
      inBody = true;
      if (rest.length > 0 || size === 0) take(rest);
    };
    socket.on("data", onData);
    socket.once("error", reject);
    socket.once("close", () => reject(new WireError(`the connection ended after ${bytes} of ${size} bytes`)));
  });
}

/** An origin for big bodies: `GET /SIZE` pours that many bytes; a POST is read whole and answered with its digest. */
export class BigOrigin {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>, port: number) {
    this.#server = server;
    this.#sockets = sockets;
    this.port = port;
  }

  /** `slowMs`: how long it rests between two reads of an upload. */
  static async start(slowMs = 0): Promise<BigOrigin> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      socket.on("error", () => undefined);
      serveBig(socket, slowMs).catch(() => socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const address = server.address();
    if (address === null || typeof address === "string") throw new WireError("the origin does not listen");
    return new BigOrigin(server, sockets, address.port);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** One request a connection: big bodies need no more. */
async function serveBig(socket: Socket, slowMs: number): Promise<void> {
  const first = await new Promise<Buffer>((resolve, reject) => {
    socket.once("data", resolve);
    socket.once("close", () => reject(new WireError("no request")));
  });
  socket.pause();
  const line = first.toString("latin1").split("\r\n")[0] ?? "";
  const size = Number(/\/(\d+)/.exec(line)?.[1] ?? 0);
  if (line.startsWith("GET")) {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\nConnection: close\r\n\r\n`);
    socket.resume();
    await pour(socket, size);
    socket.end();
    return;
  }
  socket.unshift(first);
  socket.resume();
  const { body } = await readBody(socket, size, slowMs);
  const answer = JSON.stringify(body);
  socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${answer.length}\r\nConnection: close\r\n\r\n${answer}`);
}

/** Without options in plain text, else by TLS. What is written before the handshake ends is sent behind it. */
function reach(port: number, tls?: ConnectionOptions): Socket {
  return tls === undefined ? connect(port, "127.0.0.1") : secure({ ...tls, host: "127.0.0.1", port });
}

/** Downloads `size` bytes through a proxy; `slowMs` between reads. */
export async function download(port: number, size: number, slowMs = 0, tls?: ConnectionOptions): Promise<Read> {
  const socket = reach(port, tls);
  socket.write(`GET /${size} HTTP/1.1\r\nHost: a.example\r\n\r\n`);
  const { head, body } = await readBody(socket, size, slowMs);
  socket.destroy();
  if (!head.startsWith("HTTP/1.1 200 ")) throw new WireError(`a download was answered ${head}`);
  return body;
}

/** Uploads `size` bytes through a proxy, by length or in chunks; what the origin says it got. */
export async function upload(port: number, size: number, chunked: boolean, tls?: ConnectionOptions): Promise<Read> {
  const socket = reach(port, tls);
  const answer = new Promise<string>((resolve, reject) => {
    let text = "";
    socket.on("data", (piece: Buffer) => {
      text += piece.toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0 && text.endsWith("}")) resolve(text.slice(end + 4));
    });
    socket.once("error", reject);
    socket.once("close", () => reject(new WireError(`no answer to the upload: ${text}`)));
  });
  socket.write(
    `POST /${size} HTTP/1.1\r\nHost: a.example\r\n${chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${size}`}\r\n\r\n`,
  );
  const frame = (piece: Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]);
  await pour(socket, size, chunked ? frame : undefined);
  if (chunked) socket.write("0\r\n\r\n");
  const read = JSON.parse(await answer) as Read;
  socket.destroy();
  return read;
}

/** Samples a figure until `stop`; the greatest value seen. */
export function watch(sample: () => number, everyMs = 50): { stop(): number } {
  let most = sample();
  const timer = setInterval(() => {
    most = Math.max(most, sample());
  }, everyMs);
  return {
    stop: () => {
      clearInterval(timer);
      return Math.max(most, sample());
    },
  };
}

/** Waits a moment so that memory has settled. */
export function settle(): Promise<void> {
  return pause(200);
}
