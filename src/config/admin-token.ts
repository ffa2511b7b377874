/**
 * The token of the admin API: what may be one, and reading one from its file. Files are read again when somebody asks,
 * so that a token can be exchanged without a restart.
 */
import { readFileSync } from "node:fs";
import { messageOf } from "../shared/errors.js";

/** Fewer characters could be guessed. */
export const TOKEN_LENGTH_MIN = 16;
const TOKEN_LENGTH_MAX = 512;

/** A token as it is written, or the file that holds it. */
export type TokenSource = string | { readonly file: string };

/** What is wrong with a token, or null. It must go through a header field as it is (RFC 6750 2.1). */
export function judgeToken(token: string): string | null {
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token)) return "must be letters, digits and ._~+/- only, and may end in =";
  if (token.length >= TOKEN_LENGTH_MIN && token.length <= TOKEN_LENGTH_MAX) return null;
  return `must have ${TOKEN_LENGTH_MIN} to ${TOKEN_LENGTH_MAX} characters`;
}

/** A token, or what is wrong with it or its file. */
export function readToken(
  source: TokenSource,
): { readonly ok: true; readonly token: string } | { readonly ok: false; readonly says: string } {
  try {
    const token = typeof source === "string" ? source : readFileSync(source.file, "utf8").trim();
    const wrong = judgeToken(token);
    if (wrong === null) return { ok: true, token };
    return { ok: false, says: typeof source === "string" ? wrong : `what is in ${source.file} ${wrong}` };
  } catch (thrown) {
    return { ok: false, says: `cannot be read: ${messageOf(thrown)}` };
  }
}
