/**
 * A raw scripted client: sends exact bytes, split and paused at will, and reads answers with the strict reader. It does
 * nothing on its own: no keep-alive logic, no retries, no close.
 */
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as secure } from "node:tls";
import { type Answer, type AnswerHead, type Body, framingOf, readAnswer, readAnswerHead, readBody } from "./message.js";
import { type Bytes, type Ending, PATIENCE_MS, pause, show, toBytes, Wire, WireError } from "./wire.js";

export interface ClientOptions {
  readonly host?: string;
  /** The address the connection comes from; any of 127.0.0.0/8 works. */
  readonly from?: string;
  /** False when megabytes will come that need not be kept. */
  readonly record?: boolean;
  /** Speak TLS: the name asked for, whom to trust, what is offered. */
  readonly tls?: ConnectionOptions;
}

/** Writes a request head: `request("GET /a", "Host: x")`. HTTP/1.1 and a Host unless the lines say otherwise. */
export function request(line: string, ...fields: string[]): string {
  const first = / HTTP\/\d/.test(line) ? line : `${line} HTTP/1.1`;
  const host = fields.some((field) => /^host:/i.test(field)) || first.endsWith("HTTP/1.0") ? [] : ["Host: a.example"];
  return `${[first, ...host, ...fields].join("\r\n")}\r\n\r\n`;
}

/** One chunk of a chunked body. */
export function chunk(data: Bytes): Buffer {
  const bytes = toBytes(data);
  return Buffer.concat([toBytes(`${bytes.length.toString(16)}\r\n`), bytes, toBytes("\r\n")]);
}

/** A request head with a Content-Length body behind it. */
export function requestWithBody(line: string, body: Bytes, ...fields: string[]): Buffer {
  return Buffer.concat([toBytes(request(line, ...fields, `Content-Length: ${toBytes(body).length}`)), toBytes(body)]);
}

export class RawClient {
  readonly wire: Wire;

  private constructor(wire: Wire) {
    this.wire = wire;
  }

  /** Connects; half-open is allowed, so a FIN from the proxy is seen and nothing is answered to it. */
  static connect(port: number, options: ClientOptions = {}): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const where = {
        port,
        host: options.host ?? "127.0.0.1",
        allowHalfOpen: true,
        ...(options.from === undefined ? {} : { localAddress: options.from }),
      };
      const socket: Socket = options.tls === undefined ? connect(where) : secure({ ...options.tls, ...where });
      socket.once("error", reject);
      socket.once(options.tls === undefined ? "connect" : "secureConnect", () => {
        socket.off("error", reject);
        resolve(new RawClient(new Wire(socket, { record: options.record ?? true })));
      });
    });
  }

  /** The port this client speaks from. */
  get port(): number {
    return this.wire.socket.localPort ?? 0;
  }

  get ending(): Ending {
    return this.wire.ending;
  }

  send(...pieces: Bytes[]): Promise<void> {
    return this.wire.send(Buffer.concat(pieces.map(toBytes)));
  }

  /** Sends the pieces one by one, each in its own segment, `gapMs` apart. */
  async sendSlowly(pieces: readonly Bytes[], gapMs: number): Promise<void> {
    for (const piece of pieces) {
      await this.wire.send(piece);
      await pause(gapMs);
    }
  }

  /** Reads one complete final answer to a request of `method`; a truncated one throws. */
  async answer(method = "GET", ms = PATIENCE_MS): Promise<Answer> {
    const answer = await readAnswer(this.wire, method, ms);
    if (!answer.complete)
      throw new WireError(`the answer is truncated (${this.wire.ending}): ${answer.head}${show(answer.body)}`);
    return answer;
  }

  /** Reads one final answer that may be truncated: `complete` tells. */
  answerOrPart(method = "GET", ms = PATIENCE_MS): Promise<Answer> {
    return readAnswer(this.wire, method, ms);
  }

  /** Reads one head, interim or final, and leaves what follows. */
  head(ms = PATIENCE_MS): Promise<AnswerHead> {
    return readAnswerHead(this.wire, ms);
  }

  /** Reads the body that belongs to a head read before. */
  body(head: AnswerHead, method = "GET", ms = PATIENCE_MS): Promise<Body> {
    const told = framingOf(head.fields, "answer");
    return readBody(this.wire, method === "HEAD" ? "none" : told.framing, told.length, ms);
  }

  /** Sends a request and reads its answer: the line is like `GET /a`. */
  async ask(line: string, ...fields: string[]): Promise<Answer> {
    await this.send(request(line, ...fields));
    return this.answer(line.split(" ")[0]);
  }

  /** Sends a request with a Content-Length body and reads its answer. */
  async post(line: string, body: Bytes, ...fields: string[]): Promise<Answer> {
    await this.send(requestWithBody(line, body, ...fields));
    return this.answer(line.split(" ")[0]);
  }

  /** The connection must end, with nothing more sent, within `ms`; says how it ended. */
  async seesClose(ms = PATIENCE_MS): Promise<Exclude<Ending, "open">> {
    const how = await this.wire.until(
      "a close",
      (unread, ending) => {
        if (unread.length > 0) throw new WireError(`instead of a close came ${show(unread)}`);
        return ending === "open" ? undefined : ending;
      },
      ms,
    );
    return how;
  }

  /** Nothing must come for `ms`, and the connection must stay open. */
  async seesSilence(ms: number): Promise<void> {
    await pause(ms);
    if (this.wire.unread.length > 0) throw new WireError(`instead of silence came ${show(this.wire.unread)}`);
    if (this.wire.ending !== "open")
      throw new WireError(`instead of silence the connection ended (${this.wire.ending})`);
  }

  halfClose(): Promise<void> {
    return this.wire.halfClose();
  }

  reset(): Promise<void> {
    return this.wire.reset();
  }

  close(): Promise<void> {
    return this.wire.close();
  }
}
