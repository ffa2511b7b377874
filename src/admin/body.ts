/**
 * Bodies of requests to the admin API: small, JSON, or none.
 */
import type { IncomingMessage } from "node:http";
import { type Answer, problem } from "./answers.js";

/** Longest body that is read, in bytes. */
export const BODY_BYTES_MAX = 64 * 1024;

/** What was sent, or what is wrong with it. */
export type Body = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly answer: Answer };

/**
 * Reads a body that must be JSON; `undefined` where there is none.
 *
 * @param isTaken Whether there may be one.
 */
export async function readBody(request: IncomingMessage, isTaken: boolean): Promise<Body> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  if (Number(request.headers["content-length"] ?? 0) > BODY_BYTES_MAX) return tooLarge();
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      bytes += piece.byteLength;
      if (bytes > BODY_BYTES_MAX) return tooLarge();
      pieces.push(piece);
    }
  } catch {
    return { ok: false, answer: problem(400, "The body ended before its end.") };
  }
  if (bytes === 0) return { ok: true, value: undefined };
  if (!isTaken) return { ok: false, answer: problem(400, "This call takes no body.") };
  const [type = ""] = (request.headers["content-type"] ?? "").split(";");
  if (!/^application\/(?:[\w.-]+\+)?json$/i.test(type.trim())) {
    return { ok: false, answer: problem(415, "The body must be application/json.") };
  }
  try {
    return { ok: true, value: JSON.parse(Buffer.concat(pieces).toString("utf8")) };
  } catch {
    return { ok: false, answer: problem(400, "The body is not JSON.") };
  }
}

function tooLarge(): Body {
  return { ok: false, answer: problem(413, `The body may have at most ${BODY_BYTES_MAX} bytes.`) };
}
