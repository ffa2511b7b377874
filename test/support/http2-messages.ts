/** Messages of HTTP/2 as tests write and read them: a request in words, an answer whole. */
import type { FieldPair } from "./hpack.js";
import type { ErrorName } from "./http2-frames.js";
import type { Received, Section } from "./http2-streams.js";
import type { Fields } from "./message.js";
import { type Bytes, WireError } from "./wire.js";

/** A whole answer. */
export interface Http2Answer {
  readonly status: number;
  readonly fields: Fields;
  readonly body: Buffer;
  readonly trailers: Fields | undefined;
  readonly interim: readonly { readonly status: number; readonly fields: Fields }[];
}

export interface RequestOptions {
  readonly fields?: readonly FieldPair[];
  /** In place of `a.example`; null leaves it out. */
  readonly authority?: string | null;
  readonly scheme?: string;
  /** The whole body; without one the request ends with its head. */
  readonly body?: Bytes;
  readonly trailers?: readonly FieldPair[];
  /** True: a body will follow by `data`. */
  readonly open?: boolean;
}

/** How a stream came out: with a status, reset, or both. */
export interface Outcome {
  readonly status: number | undefined;
  readonly reset: ErrorName | number | undefined;
  /** Whether the answer came to its end. */
  readonly whole: boolean;
}

/** Fields of a request: `GET /a` and what else it has. */
export function requestFields(line: string, options: RequestOptions = {}): FieldPair[] {
  const [method = "", path = ""] = line.split(" ");
  const { authority = "a.example", scheme = "http", fields = [] } = options;
  return [
    [":method", method],
    [":scheme", scheme],
    [":path", path],
    ...(authority === null ? [] : [[":authority", authority] as const]),
    ...fields,
  ];
}

/** What came over a stream that ended. */
export function answerOf({ stream, head, trailers, pieces, interim }: Received): Http2Answer {
  const statusOf = ({ pseudo }: Section): number => Number(pseudo[":status"]);
  if (head === undefined) throw new WireError(`stream ${stream} ended without a head`);
  return {
    status: statusOf(head),
    fields: head.fields,
    body: Buffer.concat(pieces),
    trailers: trailers?.fields,
    interim: interim.map((one) => ({ status: statusOf(one), fields: one.fields })),
  };
}
