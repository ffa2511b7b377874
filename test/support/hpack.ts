/**
 * HPACK (RFC 7541) for tests: a decoder that takes whatever a proxy may send, and an encoder that writes each
 * representation by its name, right or wrong, so that a test can say exactly which bytes it means.
 */
import { WireError } from "./wire.js";

export type FieldPair = readonly [name: string, value: string];

/** RFC 7541 Appendix A, from index 1 on. */
const STATIC_TABLE: readonly FieldPair[] = `:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`
  .split("\n")
  .map((line) => {
    const space = line.indexOf(" ");
    return space < 0 ? ([line, ""] as const) : ([line.slice(0, space), line.slice(space + 1)] as const);
  });

/**
 * Bits of each symbol's Huffman code (RFC 7541 Appendix B); the last is EOS. The codes follow from the lengths: they
 * count up, the shorter before the longer, and by symbol among those of one length.
 */
const CODE_BITS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];
const END_OF_STRING = 256;

/** Code of each symbol, as bits in text. */
const CODES: readonly string[] = ((): string[] => {
  const codes = Array<string>(CODE_BITS.length).fill("");
  const order = CODE_BITS.map((bits, symbol) => ({ bits, symbol })).sort(
    (one, other) => one.bits - other.bits || one.symbol - other.symbol,
  );
  let [code, length] = [0, 0];
  for (const { bits, symbol } of order) {
    code *= 2 ** (bits - length);
    length = bits;
    codes[symbol] = code.toString(2).padStart(bits, "0");
    code += 1;
  }
  return codes;
})();

const SYMBOLS = new Map(CODES.map((code, symbol) => [code, symbol]));

/** Latin-1 text as a Huffman-coded string, padded with ones. */
export function huffman(text: string): Buffer {
  const bits = [...Buffer.from(text, "latin1")].map((octet) => CODES[octet]).join("");
  const whole = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  return Buffer.from((whole.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));
}

function unhuffman(bytes: Buffer): string {
  const text: number[] = [];
  let code = "";
  for (const octet of bytes)
    for (const bit of octet.toString(2).padStart(8, "0")) {
      code += bit;
      const symbol = SYMBOLS.get(code);
      if (symbol === undefined) continue;
      if (symbol === END_OF_STRING) throw new WireError("HPACK: EOS in a string");
      text.push(symbol);
      code = "";
    }
  if (code.length > 7 || code.includes("0")) throw new WireError(`HPACK: bad padding ${code}`);
  return Buffer.from(text).toString("latin1");
}

/** RFC 7541 5.1: an integer behind the pattern that stands above its prefix. */
export function integer(value: number, prefixBits: number, pattern = 0): Buffer {
  const most = 2 ** prefixBits - 1;
  if (value < most) return Buffer.from([pattern | value]);
  const octets = [pattern | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push(128 + (rest % 128));
  return Buffer.from([...octets, rest]);
}

function text(value: string, coded = false): Buffer {
  const bytes = coded ? huffman(value) : Buffer.from(value, "latin1");
  return Buffer.concat([integer(bytes.length, 7, coded ? 0x80 : 0), bytes]);
}

/** A reference to an entry of either table (6.1). */
export function indexed(index: number): Buffer {
  return integer(index, 7, 0x80);
}

/** A literal that enters the dynamic table (6.2.1), its name in words or by index. */
export function remembered(name: string | number, value: string, coded = false): Buffer {
  return typeof name === "number"
    ? Buffer.concat([integer(name, 6, 0x40), text(value, coded)])
    : Buffer.concat([Buffer.from([0x40]), text(name, coded), text(value, coded)]);
}

/** A literal that leaves no trace (6.2.2). */
export function literal(name: string, value: string, coded = false): Buffer {
  return Buffer.concat([Buffer.from([0x00]), text(name, coded), text(value, coded)]);
}

/** A change of the dynamic table's size (6.3). */
export function tableSize(bytes: number): Buffer {
  return integer(bytes, 5, 0x20);
}

/** A field list without use of the dynamic table: by index what the static table has, the rest as literals. */
export function encodeFields(fields: readonly FieldPair[]): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) => {
      const at = STATIC_TABLE.findIndex((entry) => entry[0] === name && entry[1] === value);
      return at >= 0 && value !== "" ? indexed(at + 1) : literal(name, value);
    }),
  );
}

/** One direction's decoder: it keeps the dynamic table from one header block to the next. */
export class HpackDecoder {
  /** The most the table may be set to, as our SETTINGS said it. */
  readonly #ceiling: number;
  #bytesMax: number;
  #entries: FieldPair[] = [];

  constructor(ceiling = 4_096) {
    this.#ceiling = ceiling;
    this.#bytesMax = ceiling;
  }

  decode(block: Buffer): FieldPair[] {
    const fields: FieldPair[] = [];
    const reader = new BlockReader(block);
    while (reader.left > 0) {
      const first = reader.peek();
      if (first & 0x80) fields.push(this.#entry(reader.integer(7)));
      else if (first & 0x40) fields.push(this.#remember(this.#literal(reader, 6)));
      else if (first & 0x20) this.#resize(reader.integer(5), fields.length);
      else fields.push(this.#literal(reader, 4));
    }
    return fields;
  }

  #entry(index: number): FieldPair {
    const entry = STATIC_TABLE[index - 1] ?? this.#entries[index - 1 - STATIC_TABLE.length];
    if (entry === undefined) throw new WireError(`HPACK: nothing has the index ${index}`);
    return entry;
  }

  #literal(reader: BlockReader, prefixBits: number): FieldPair {
    const index = reader.integer(prefixBits);
    const name = index === 0 ? reader.text() : this.#entry(index)[0];
    return [name, reader.text()];
  }

  #remember(field: FieldPair): FieldPair {
    this.#entries.unshift(field);
    this.#evict();
    return field;
  }

  #resize(bytes: number, fieldsBefore: number): void {
    if (fieldsBefore > 0) throw new WireError("HPACK: a size update behind a field");
    if (bytes > this.#ceiling) throw new WireError(`HPACK: a table of ${bytes} bytes, allowed are ${this.#ceiling}`);
    this.#bytesMax = bytes;
    this.#evict();
  }

  #evict(): void {
    // 32: RFC 7541 4.1, what an entry costs beside its bytes.
    const size = (entries: readonly FieldPair[]): number =>
      entries.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
    while (size(this.#entries) > this.#bytesMax) this.#entries.pop();
  }
}

/** The octets of a header block, from first to last. */
class BlockReader {
  readonly #block: Buffer;
  #at = 0;

  constructor(block: Buffer) {
    this.#block = block;
  }

  get left(): number {
    return this.#block.length - this.#at;
  }

  peek(): number {
    return this.#block[this.#at] ?? 0;
  }

  #next(): number {
    const octet = this.#block[this.#at];
    if (octet === undefined) throw new WireError("HPACK: the block ends within a field");
    this.#at += 1;
    return octet;
  }

  integer(prefixBits: number): number {
    const most = 2 ** prefixBits - 1;
    let value = this.#next() & most;
    if (value < most) return value;
    for (let power = 1; ; power *= 128) {
      const octet = this.#next();
      value += (octet & 127) * power;
      if ((octet & 128) === 0) return value;
    }
  }

  text(): string {
    const coded = (this.peek() & 0x80) !== 0;
    const length = this.integer(7);
    if (length > this.left) throw new WireError("HPACK: a string is longer than its block");
    const bytes = this.#block.subarray(this.#at, this.#at + length);
    this.#at += length;
    return coded ? unhuffman(bytes) : bytes.toString("latin1");
  }
}
