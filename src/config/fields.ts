/**
 * Rules for header fields in the settings: which names and values are valid (RFC 9110 5.1, 5.5), and which fields an
 * edit may never touch because the proxy itself decides them.
 */

/**
 * Framing, connection and routing fields. An edit of one of them would make two readers disagree about where a message
 * ends or whom it is for, so it is refused by name.
 */
const UNTOUCHABLE: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** RFC 9110 5.6.2: a token. */
export function isToken(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name);
}

/** What is wrong with the name of a field to edit, or null. */
export function judgeEditedName(name: string): string | null {
  if (!isToken(name)) return `"${name}" is not a header name`;
  if (UNTOUCHABLE.has(name.toLowerCase())) {
    return name.toLowerCase() === "host"
      ? `"${name}" cannot be edited here; say what the origin sees in origins.<name>.host`
      : `"${name}" cannot be edited; the proxy itself decides it`;
  }
  return null;
}

/** Fields that ask for a part of an answer or only for a newer one: the cache itself answers them from the whole. */
const ABOUT_PARTS: ReadonlySet<string> = new Set([
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "range",
]);

/** What is wrong with the name of a request field that is to be part of a cache key, or null. */
export function judgeKeyField(name: string): string | null {
  const lower = name.toLowerCase();
  if (lower === "host") return `"${name}" is part of the key by key.host`;
  if (ABOUT_PARTS.has(lower)) return `"${name}" cannot be part of a key: the cache answers it from what is stored`;
  return judgeEditedName(name)?.replace("cannot be edited", "cannot be part of a key") ?? null;
}

/** What is wrong with a field value (RFC 9110 5.5: no control characters, no white space at either end), or null. */
export function judgeFieldValue(value: string): string | null {
  for (const character of value) {
    const code = character.codePointAt(0) ?? 0;
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) {
      return `a header value must not have control characters (found U+${code.toString(16).toUpperCase().padStart(4, "0")})`;
    }
  }
  return /^[ \t]|[ \t]$/.test(value) ? "a header value must not begin or end with white space" : null;
}
