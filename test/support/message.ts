/**
 * A strict reader of HTTP/1 messages for tests: what it accepts is exactly what a proxy may send (CRLF only, one framing,
 * no chunk extensions), so that reading an answer already proves it well formed. Neither limits nor forgiveness.
 */
import { PATIENCE_MS, show, type Wire, WireError } from "./wire.js";

export interface FieldLine {
  readonly name: string;
  readonly value: string;
}

/** How the end of a body was known. */
export type Framing = "none" | "length" | "chunked" | "close";

/** What both kinds of message have. */
export interface Message {
  readonly version: string;
  readonly fields: Fields;
  readonly framing: Framing;
  readonly body: Buffer;
  readonly trailers: Fields;
  /** False when the connection ended before the framing said so. */
  readonly complete: boolean;
  /** The head's bytes as they came, Latin-1. */
  readonly head: string;
}

export interface Answer extends Message {
  readonly status: number;
  readonly reason: string;
  /** The 1xx answers that came before, in order. */
  readonly interim: readonly AnswerHead[];
}

export interface Request extends Message {
  readonly method: string;
  readonly target: string;
}

/** Field lines in the order and case they came. */
export class Fields {
  readonly lines: readonly FieldLine[];

  constructor(lines: readonly FieldLine[]) {
    this.lines = lines;
  }

  /** All values of a name, in order. */
  all(name: string): string[] {
    const wanted = name.toLowerCase();
    return this.lines.filter((line) => line.name.toLowerCase() === wanted).map((line) => line.value);
  }

  /** The only value of a name; undefined when absent; two or more throw. */
  one(name: string): string | undefined {
    const values = this.all(name);
    if (values.length > 1) throw new WireError(`${name} came ${values.length} times: ${JSON.stringify(values)}`);
    return values[0];
  }

  has(name: string): boolean {
    return this.all(name).length > 0;
  }

  /** The names as they were spelled. */
  names(): string[] {
    return this.lines.map((line) => line.name);
  }
}

export interface AnswerHead {
  readonly version: string;
  readonly status: number;
  readonly reason: string;
  readonly fields: Fields;
  readonly head: string;
}

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: Fields;
  readonly head: string;
}

const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/;
// Field content: HTAB, SP, VCHAR and obs-text; every other control is a violation (RFC 9110 5.5).
// biome-ignore lint/suspicious/noControlCharactersInRegex: the controls are what is looked for
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;

function parseFields(lines: readonly string[], what: string): Fields {
  return new Fields(
    lines.map((line) => {
      const match = FIELD_LINE.exec(line);
      const [, name, value] = match ?? [];
      if (name === undefined || value === undefined || BAD_VALUE.test(value))
        throw new WireError(`${what}: not a field line: ${JSON.stringify(line)}`);
      return { name, value };
    }),
  );
}

async function readHeadText(wire: Wire, what: string, ms: number): Promise<string> {
  const end = await wire.until(
    what,
    (unread) => {
      const at = unread.indexOf("\r\n\r\n");
      return at < 0 ? undefined : at + 4;
    },
    ms,
  );
  const text = wire.take(end).toString("latin1");
  if (/[^\r]\n|\r[^\n]/.test(text))
    throw new WireError(`${what}: a line does not end in CRLF: ${JSON.stringify(text)}`);
  return text;
}

function splitHead(text: string): { readonly first: string; readonly rest: string[] } {
  const [first = "", ...rest] = text.slice(0, -4).split("\r\n");
  return { first, rest };
}

/** Reads the head of an answer, interim ones included. */
export async function readAnswerHead(wire: Wire, ms = PATIENCE_MS): Promise<AnswerHead> {
  const head = await readHeadText(wire, "the head of an answer", ms);
  const { first, rest } = splitHead(head);
  const match = /^(HTTP\/1\.[01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)$/.exec(first);
  const [, version, status, reason] = match ?? [];
  if (version === undefined || status === undefined || reason === undefined)
    throw new WireError(`not a status line: ${JSON.stringify(first)}`);
  return { version, status: Number(status), reason, fields: parseFields(rest, "an answer"), head };
}

/** Reads the head of a request. */
export async function readRequestHead(wire: Wire, ms = PATIENCE_MS): Promise<RequestHead> {
  const head = await readHeadText(wire, "the head of a request", ms);
  const { first, rest } = splitHead(head);
  const match = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) (HTTP\/1\.[01])$/.exec(first);
  const [, method, target, version] = match ?? [];
  if (method === undefined || target === undefined || version === undefined)
    throw new WireError(`not a request line: ${JSON.stringify(first)}`);
  return { method, target, version, fields: parseFields(rest, "a request"), head };
}

/** How a body that follows these fields ends; a conflict throws, for a proxy must never send one. */
export function framingOf(
  fields: Fields,
  kind: "request" | "answer",
): { readonly framing: Framing; readonly length: number } {
  const length = fields.one("content-length");
  const coding = fields.one("transfer-encoding");
  if (coding !== undefined) {
    if (length !== undefined) throw new WireError("Content-Length and Transfer-Encoding in one message");
    if (coding !== "chunked") throw new WireError(`Transfer-Encoding: ${coding}`);
    return { framing: "chunked", length: 0 };
  }
  if (length !== undefined) {
    if (!/^(0|[1-9][0-9]*)$/.test(length)) throw new WireError(`Content-Length: ${length}`);
    return { framing: "length", length: Number(length) };
  }
  return { framing: kind === "request" ? "none" : "close", length: 0 };
}

export interface Body {
  readonly body: Buffer;
  readonly trailers: Fields;
  readonly complete: boolean;
}

const NO_FIELDS = new Fields([]);

/** Reads a body to its end, or to the end of the connection. */
export async function readBody(wire: Wire, framing: Framing, length: number, ms = PATIENCE_MS): Promise<Body> {
  switch (framing) {
    case "none":
      return { body: Buffer.alloc(0), trailers: NO_FIELDS, complete: true };
    case "length": {
      const body = await wire.takeUpTo(length, ms);
      return { body, trailers: NO_FIELDS, complete: body.length === length };
    }
    case "close": {
      const body = await wire.takeAll(ms);
      return { body, trailers: NO_FIELDS, complete: (await wire.trueEnding()) === "end" };
    }
    case "chunked":
      return readChunks(wire, ms);
  }
}

async function readLine(wire: Wire, ms: number): Promise<string | undefined> {
  const end = await wire.until(
    "a line",
    (unread, ending) => {
      const at = unread.indexOf("\r\n");
      if (at >= 0) return at + 2;
      return ending === "open" ? undefined : -1;
    },
    ms,
  );
  return end < 0 ? undefined : wire.take(end).toString("latin1").slice(0, -2);
}

async function readChunks(wire: Wire, ms: number): Promise<Body> {
  const pieces: Buffer[] = [];
  const broken = (): Body => ({ body: Buffer.concat(pieces), trailers: NO_FIELDS, complete: false });
  for (;;) {
    const line = await readLine(wire, ms);
    if (line === undefined) return broken();
    if (!/^[0-9A-Fa-f]{1,16}$/.test(line)) throw new WireError(`not a plain chunk size: ${JSON.stringify(line)}`);
    const size = Number.parseInt(line, 16);
    if (size === 0) break;
    const piece = await wire.takeUpTo(size, ms);
    pieces.push(piece);
    if (piece.length < size) return broken();
    const end = await wire.takeUpTo(2, ms);
    if (end.length < 2) return broken();
    if (end.toString("latin1") !== "\r\n") throw new WireError(`a chunk's data is followed by ${show(end)}`);
  }
  const lines: string[] = [];
  for (;;) {
    const line = await readLine(wire, ms);
    if (line === undefined) return broken();
    if (line === "") break;
    lines.push(line);
  }
  return { body: Buffer.concat(pieces), trailers: parseFields(lines, "a trailer section"), complete: true };
}

/** Reads one final answer to a request of `method`, and the interim ones before it. */
export async function readAnswer(wire: Wire, method: string, ms = PATIENCE_MS): Promise<Answer> {
  const interim: AnswerHead[] = [];
  for (;;) {
    const head = await readAnswerHead(wire, ms);
    if (head.status >= 100 && head.status < 200 && head.status !== 101) {
      interim.push(head);
      continue;
    }
    const bodiless = method === "HEAD" || head.status === 204 || head.status === 304 || head.status === 101;
    const told = framingOf(head.fields, "answer");
    const framing = bodiless ? "none" : told.framing;
    return { ...head, framing, interim, ...(await readBody(wire, framing, told.length, ms)) };
  }
}

/** Reads one request with its body. */
export async function readRequest(wire: Wire, ms = PATIENCE_MS): Promise<Request> {
  const head = await readRequestHead(wire, ms);
  const { framing, length } = framingOf(head.fields, "request");
  return { ...head, framing, ...(await readBody(wire, framing, length, ms)) };
}
