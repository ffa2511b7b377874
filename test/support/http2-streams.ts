/**
 * What came over the streams of an HTTP/2 connection, read strictly: everything a proxy must not send is written down as
 * a violation, so that reading an answer already proves it well formed.
 */
import { type FieldPair, HpackDecoder } from "./hpack.js";
import { contentOf, type ErrorName, errorOf, FLAGS, type Frame } from "./http2-frames.js";
import { Fields } from "./message.js";

/** One field section: what is true of the message, and its fields. */
export interface Section {
  /** `:status`, or `:method` and the rest; empty in trailers. */
  readonly pseudo: Readonly<Record<string, string>>;
  readonly fields: Fields;
}

/** One direction of a stream, as far as it came. */
export interface Received {
  readonly stream: number;
  /** Interim heads, in order. */
  readonly interim: Section[];
  head: Section | undefined;
  trailers: Section | undefined;
  readonly pieces: Buffer[];
  bytes: number;
  ended: boolean;
  reset: ErrorName | number | undefined;
}

/** RFC 9113 8.2.2. */
const FORBIDDEN = ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"];
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the controls are what is looked for
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/;

export class Streams {
  readonly #side: "client" | "server";
  readonly #decoder: HpackDecoder;
  readonly #received = new Map<number, Received>();
  /** What the peer must not have sent. */
  readonly violations: string[] = [];
  /** Streams in the order they were opened by the peer. */
  readonly opened: number[] = [];
  /** A header block that is not whole. */
  #block: { readonly first: Frame; readonly parts: Buffer[] } | undefined;
  /** Whether body bytes are kept, or only counted. */
  readonly #keep: boolean;

  constructor(side: "client" | "server", keep: boolean, tableBytes?: number) {
    this.#side = side;
    this.#keep = keep;
    this.#decoder = new HpackDecoder(tableBytes);
  }

  of(stream: number): Received {
    const known = this.#received.get(stream);
    if (known !== undefined) return known;
    const fresh: Received = {
      stream,
      interim: [],
      head: undefined,
      trailers: undefined,
      pieces: [],
      bytes: 0,
      ended: false,
      reset: undefined,
    };
    this.#received.set(stream, fresh);
    return fresh;
  }

  /** Takes in HEADERS, CONTINUATION, DATA or RST_STREAM; other frames are the connection's. */
  handle(frame: Frame): void {
    const block = this.#block;
    if (block !== undefined && (frame.type !== "CONTINUATION" || frame.stream !== block.first.stream))
      this.#wrong(frame.stream, `${frame.type} within a header block`);
    switch (frame.type) {
      case "HEADERS":
        this.#block = { first: frame, parts: [contentOf(frame)] };
        if (frame.flags & FLAGS.endHeaders) this.#endBlock();
        break;
      case "CONTINUATION":
        if (block === undefined) this.#wrong(frame.stream, "CONTINUATION of nothing");
        block?.parts.push(frame.payload);
        if (frame.flags & FLAGS.endHeaders) this.#endBlock();
        break;
      case "DATA":
        this.#data(frame);
        break;
      case "RST_STREAM": {
        // A second one may come for frames that cross the first (RFC 9113 5.4.2).
        this.of(frame.stream).reset ??= errorOf(frame);
        break;
      }
      default:
    }
  }

  #wrong(stream: number, what: string): void {
    this.violations.push(`stream ${stream}: ${what}`);
  }

  #data(frame: Frame): void {
    const received = this.of(frame.stream);
    if (received.head === undefined) this.#wrong(frame.stream, "DATA before the head");
    if (received.ended || received.reset !== undefined) this.#wrong(frame.stream, "DATA behind the end");
    if (received.trailers !== undefined) this.#wrong(frame.stream, "DATA behind trailers");
    const content = contentOf(frame);
    received.bytes += content.length;
    if (this.#keep) received.pieces.push(Buffer.from(content));
    if (frame.flags & FLAGS.endStream) this.#end(received);
  }

  #endBlock(): void {
    const { first, parts } = this.#block ?? {};
    this.#block = undefined;
    if (first === undefined || parts === undefined) return;
    const received = this.of(first.stream);
    if (received.ended || received.reset !== undefined) this.#wrong(first.stream, "HEADERS behind the end");
    const section = this.#section(first.stream, this.#decoder.decode(Buffer.concat(parts)));
    if (received.head !== undefined) {
      if ((first.flags & FLAGS.endStream) === 0) this.#wrong(first.stream, "trailers that do not end the stream");
      if (Object.keys(section.pseudo).length > 0) this.#wrong(first.stream, "pseudo fields in trailers");
      received.trailers = section;
    } else if (this.#side === "client" && /^1\d\d$/.test(section.pseudo[":status"] ?? ""))
      received.interim.push(section);
    else {
      received.head = section;
      this.opened.push(first.stream);
      this.#judgeHead(first.stream, section);
    }
    if (first.flags & FLAGS.endStream) this.#end(received);
  }

  /** RFC 9113 8.1.1: a length that was told is the sum of the DATA. */
  #end(received: Received): void {
    received.ended = true;
    const told = received.head?.fields.all("content-length").at(0);
    if (told !== undefined && received.bytes > 0 && Number(told) !== received.bytes)
      this.#wrong(received.stream, `content-length ${told}, but ${received.bytes} bytes of DATA`);
  }

  #section(stream: number, pairs: readonly FieldPair[]): Section {
    const pseudo: Record<string, string> = {};
    const lines: { readonly name: string; readonly value: string }[] = [];
    for (const [name, value] of pairs) {
      if (name.startsWith(":")) {
        if (lines.length > 0) this.#wrong(stream, `${name} behind a field`);
        if (pseudo[name] !== undefined) this.#wrong(stream, `${name} twice`);
        pseudo[name] = value;
        continue;
      }
      if (!NAME.test(name)) this.#wrong(stream, `a field is called ${JSON.stringify(name)}`);
      if (BAD_VALUE.test(value)) this.#wrong(stream, `${name} is ${JSON.stringify(value)}`);
      if (FORBIDDEN.includes(name)) this.#wrong(stream, `${name} in HTTP/2`);
      lines.push({ name, value });
    }
    return { pseudo, fields: new Fields(lines) };
  }

  #judgeHead(stream: number, { pseudo }: Section): void {
    const names = Object.keys(pseudo).sort().join(" ");
    const allowed =
      this.#side === "client"
        ? [":status"]
        : [":authority :method :path :scheme", ":method :path :scheme", ":authority :method"];
    const extended = this.#side === "server" && names === ":authority :method :path :protocol :scheme";
    if (!allowed.includes(names) && !extended) this.#wrong(stream, `a head with ${names}`);
    if (this.#side === "client" && !/^[2-9]\d\d$/.test(pseudo[":status"] ?? ""))
      this.#wrong(stream, `:status ${pseudo[":status"]}`);
  }
}
