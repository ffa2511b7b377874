/**
 * A relay on uWebSockets.js, as a peer of the load bench: what a native listener with its logic in JavaScript costs. It
 * forwards GET requests to one origin over kept connections and nothing else: no limits, no other methods, no faults.
 * Run by candidates.ts where uWebSockets.js can be imported.   usage: node uws-relay.js PORT ORIGIN_PORT
 */
import { connect, type Socket } from "node:net";

/** The part of uWebSockets.js used here; the package is no dependency of ours, so its types are not either. */
interface Answer {
  cork(work: () => void): void;
  writeHeader(name: string, value: string): Answer;
  end(body: Uint8Array): Answer;
  onAborted(work: () => void): Answer;
}
interface Question {
  getUrl(): string;
  getHeader(name: string): string;
}
interface App {
  get(pattern: string, handler: (answer: Answer, question: Question) => void): App;
  listen(host: string, port: number, done: (socket: unknown) => void): App;
}

/** One exchange that waits for its origin. */
interface Waiting {
  readonly answer: Answer;
  aborted: boolean;
}

/** A connection to the origin: serves one exchange at a time and rests in `idle` otherwise. */
interface OriginConnection {
  readonly socket: Socket;
  waiting: Waiting | undefined;
  chunks: Buffer[];
  bytes: number;
}

const [port, originPort] = process.argv.slice(2).map(Number);
if (!port || !originPort) throw new Error("usage: uws-relay PORT ORIGIN_PORT");
const idle: OriginConnection[] = [];

function openOrigin(): OriginConnection {
  const socket = connect({ port: Number(originPort), host: "127.0.0.1", noDelay: true });
  const connection: OriginConnection = { socket, waiting: undefined, chunks: [], bytes: 0 };
  socket.on("data", (chunk: Buffer) => receive(connection, chunk));
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    const at = idle.indexOf(connection);
    if (at >= 0) idle.splice(at, 1);
  });
  return connection;
}

function receive(connection: OriginConnection, chunk: Buffer): void {
  connection.chunks.push(chunk);
  connection.bytes += chunk.length;
  const first = connection.chunks[0] ?? chunk;
  const headBytes = first.indexOf("\r\n\r\n") + 4;
  const length = Number(/^content-length: (\d+)/im.exec(first.toString("latin1", 0, headBytes))?.[1]);
  if (connection.bytes < headBytes + length) return;
  const whole = connection.chunks.length === 1 ? first : Buffer.concat(connection.chunks);
  const waiting = connection.waiting;
  connection.waiting = undefined;
  connection.chunks = [];
  connection.bytes = 0;
  idle.push(connection);
  if (waiting && !waiting.aborted) {
    waiting.answer.cork(() => waiting.answer.writeHeader("Content-Type", "text/plain").end(whole.subarray(headBytes)));
  }
}

const name = "uWebSockets.js";
const library = (await import(name)) as { default: { App(): App } };
library.default
  .App()
  .get("/*", (answer, question) => {
    const waiting: Waiting = { answer, aborted: false };
    answer.onAborted(() => {
      waiting.aborted = true;
    });
    const connection = idle.pop() ?? openOrigin();
    connection.waiting = waiting;
    connection.socket.write(`GET ${question.getUrl()} HTTP/1.1\r\nHost: ${question.getHeader("host")}\r\n\r\n`);
  })
  .listen("127.0.0.1", port, (socket) => {
    if (!socket) throw new Error(`uws-relay: cannot listen on port ${port}`);
  });
