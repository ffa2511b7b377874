/**
 * What a row of the conformance tables says, and the words the tables are written in. A request case gives the bytes of
 * a client and says what it must see and what the origin must have received; an answer case gives the bytes of an
 * origin and says what the client must see of them.
 */
import { request } from "../support/client.js";
import type { Framing } from "../support/message.js";
import { type Bytes, toBytes } from "../support/wire.js";

/** security: a hole if it fails; must and should: the words of the RFC. */
export type Level = "security" | "must" | "should";

/** Expected values of fields: a string or pattern for the only value of that name, null when it must be absent. */
export type FieldChecks = Readonly<Record<string, string | RegExp | null | readonly string[]>>;

/** Bytes in the order they are sent; a number is a pause in milliseconds. */
export type Pieces = readonly (Bytes | number)[];

export interface Seen {
  readonly status: number | readonly number[];
  /** The method the answer belongs to, where it matters (HEAD). */
  readonly method?: string;
  readonly body?: string;
  readonly fields?: FieldChecks;
  readonly interim?: readonly number[];
}

export interface Received {
  readonly method?: string;
  readonly target?: string;
  readonly fields?: FieldChecks;
  readonly body?: string;
  readonly framing?: Framing;
  readonly trailers?: FieldChecks;
}

interface Row {
  readonly name: string;
  readonly level: Level;
  readonly rfc: string;
}

export interface RequestCase extends Row {
  readonly kind: "request";
  readonly send: Pieces;
  readonly sees: readonly Seen[];
  /** What becomes of the client's connection: "open" is proved by another request on it. */
  readonly afterwards: "close" | "open" | "any";
  readonly received: readonly Received[];
  /** The origin may have seen the beginning of a request, but never its end. */
  readonly unfinished?: boolean;
}

export interface AnswerCase extends Row {
  readonly kind: "answer";
  /** Lines of the request; `GET /case` unless told otherwise. */
  readonly ask: Bytes;
  readonly method: string;
  readonly reply: Pieces;
  /** What the origin does after its reply. */
  readonly end: "keep" | "close" | "reset";
  readonly sees: Seen & { readonly complete: boolean };
  readonly afterwards: "close" | "open" | "any";
  /** Whether the next request may use the origin's connection again; undefined leaves it open. */
  readonly reused?: boolean;
}

export type Case = RequestCase | AnswerCase;

export interface Group {
  readonly name: string;
  readonly cases: readonly Case[];
}

/** The client's own address of the marker every smuggling attempt tries to reach. */
export const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

/** A refusal: this status, then the end of the connection, and not one byte at the origin. */
export function refuses(
  level: Level,
  rfc: string,
  name: string,
  send: Bytes | Pieces,
  status: number | readonly number[] = 400,
): RequestCase {
  return {
    kind: "request",
    name: `refuses ${name}`,
    level,
    rfc,
    send: typeof send === "string" || send instanceof Uint8Array ? [send] : send,
    sees: [{ status }],
    afterwards: "close",
    received: [],
  };
}

/** A refusal of something that comes after its head: the origin may have seen a beginning, never a whole request. */
export function cutsOff(
  level: Level,
  rfc: string,
  name: string,
  send: Pieces,
  status: number | readonly number[] = 400,
): RequestCase {
  return { ...refuses(level, rfc, name, send, status), name: `cuts off ${name}`, unfinished: true };
}

export interface PassOptions {
  readonly sees?: readonly Seen[];
  readonly afterwards?: "close" | "open" | "any";
}

/** Requests that are served: the origin must receive exactly these, the client one 200 for each. */
export function passes(
  level: Level,
  rfc: string,
  name: string,
  send: Bytes | Pieces,
  received: Received | readonly Received[],
  options: PassOptions = {},
): RequestCase {
  const list: readonly Received[] = Array.isArray(received) ? received : [received];
  return {
    kind: "request",
    name,
    level,
    rfc,
    send: typeof send === "string" || send instanceof Uint8Array ? [send] : send,
    sees: options.sees ?? list.map(() => ({ status: 200 })),
    afterwards: options.afterwards ?? "open",
    received: list,
  };
}

export interface AnswerOptions {
  readonly method?: string;
  readonly ask?: Bytes;
  readonly end?: "keep" | "close" | "reset";
  readonly afterwards?: "close" | "open" | "any";
  readonly reused?: boolean;
}

/** An origin's answer and what the client must see of it, whole. */
export function answers(
  level: Level,
  rfc: string,
  name: string,
  reply: Bytes | Pieces,
  sees: Seen,
  options: AnswerOptions = {},
): AnswerCase {
  const method = options.method ?? "GET";
  return {
    kind: "answer",
    name,
    level,
    rfc,
    ask: options.ask ?? request(`${method} /case`),
    method,
    reply: typeof reply === "string" || reply instanceof Uint8Array ? [reply] : reply,
    end: options.end ?? "keep",
    sees: { ...sees, complete: true },
    afterwards: options.afterwards ?? "open",
    ...(options.reused === undefined ? {} : { reused: options.reused }),
  };
}

/** An origin's answer that must not reach the client: a 502 instead, and the origin's connection is not used again. */
export function rejects(
  level: Level,
  rfc: string,
  name: string,
  reply: Bytes | Pieces,
  options: AnswerOptions = {},
): AnswerCase {
  return answers(
    level,
    rfc,
    `answers 502 to ${name}`,
    reply,
    { status: 502 },
    { afterwards: "any", reused: false, ...options },
  );
}

/** An origin's answer that broke after its head was passed on: the client must see that it is not whole. */
export function truncates(
  level: Level,
  rfc: string,
  name: string,
  reply: Bytes | Pieces,
  options: AnswerOptions = {},
): AnswerCase {
  const row = answers(
    level,
    rfc,
    `shows the client that it is not whole: ${name}`,
    reply,
    { status: [200, 502] },
    options,
  );
  return { ...row, sees: { ...row.sees, complete: false }, afterwards: "close", reused: false };
}

/** A request like `request()`, with a body behind it that no length announces. */
export function raw(...lines: string[]): string {
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** A POST whose chunked body is given as it goes over the wire. */
export function chunkedPost(wire: Bytes, path = "/case", ...fields: string[]): Buffer {
  return Buffer.concat([toBytes(request(`POST ${path}`, ...fields, "Transfer-Encoding: chunked")), toBytes(wire)]);
}

/** How a byte is named in the title of a case. */
export function named(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
