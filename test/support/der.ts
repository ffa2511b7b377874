/**
 * Writes DER (X.690), as much of it as certificates and revocation lists need. Nothing is read here: OpenSSL and rustls
 * read what comes out, so a mistake does not go unseen.
 */

/** Bytes of one value with its tag and length. */
export function value(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const length = Buffer.from(evenHex(body.length.toString(16)), "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body]);
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return value(0x30, ...parts);
}

export function set(...parts: readonly Uint8Array[]): Buffer {
  return value(0x31, ...parts);
}

/** A number that is not negative. */
export function integer(number: number | bigint): Buffer {
  const bytes = Buffer.from(evenHex(number.toString(16)), "hex");
  // A leading bit of 1 would be a sign.
  return value(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

/** `1.2.840.10045.4.3.2`. */
export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return value(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(septets)]));
}

/** True; what is false is left out in DER. */
export function yes(): Buffer {
  return value(0x01, Buffer.from([0xff]));
}

export function nothing(): Buffer {
  return value(0x05);
}

export function octets(...parts: readonly Uint8Array[]): Buffer {
  return value(0x04, ...parts);
}

/** Whole bytes of bits, but for `unused` ones at the end. */
export function bits(bytes: Uint8Array, unused = 0): Buffer {
  return value(0x03, Buffer.from([unused]), bytes);
}

export function utf8(text: string): Buffer {
  return value(0x0c, Buffer.from(text, "utf8"));
}

/** RFC 5280 4.1.2.5: two digits of the year until 2049, four after. */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/\.\d+/, "").replaceAll(/[-:T]/g, "");
  return date.getUTCFullYear() < 2050 ? value(0x17, Buffer.from(digits.slice(2))) : value(0x18, Buffer.from(digits));
}

/** A value inside a tag of its context. */
export function within(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  return value(0xa0 | tag, ...parts);
}

/** Bytes that have a tag of their context in place of their own. */
export function tagged(tag: number, bytes: Uint8Array): Buffer {
  return value(0x80 | tag, bytes);
}

/** PEM (RFC 7468). */
export function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function evenHex(hex: string): string {
  return hex.length % 2 === 0 ? hex : `0${hex}`;
}

/** Base 128, the highest bit on all but the last. */
function septets(number: number): number[] {
  const low = number & 0x7f;
  const high = Math.floor(number / 128);
  return high === 0 ? [low] : [...septets(high).map((one) => one | 0x80), low];
}
