/**
 * TLS underneath the library: a client whose records are seen one by one, records made by hand with the session's own
 * keys, and ClientHellos of any content. For tests of what no well-behaved client sends.
 */
import { createCipheriv, createHmac } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { type ConnectionOptions, connect as secure, type TLSSocket } from "node:tls";
import { PATIENCE_MS, pause, Wire, WireError, within } from "./wire.js";

export const ALERT = 21;
export const HANDSHAKE = 22;
export const APPLICATION = 23;
export const CHANGE_CIPHER_SPEC = 20;

/** RFC 8446 6. */
export const ALERTS = {
  unexpected_message: 10,
  bad_record_mac: 20,
  record_overflow: 22,
  handshake_failure: 40,
  decode_error: 50,
  protocol_version: 70,
  unrecognized_name: 112,
  no_application_protocol: 120,
} as const;

export interface RecordSeen {
  readonly type: number;
  readonly content: Buffer;
}

/** Splits bytes of the wire into records; what is not whole is `rest`. */
export function recordsOf(bytes: Buffer): { readonly records: RecordSeen[]; readonly rest: Buffer } {
  const records: RecordSeen[] = [];
  let at = 0;
  while (bytes.length - at >= 5) {
    const end = at + 5 + bytes.readUInt16BE(at + 3);
    if (end > bytes.length) break;
    records.push({ type: bytes[at] ?? 0, content: bytes.subarray(at + 5, end) });
    at = end;
  }
  return { records, rest: bytes.subarray(at) };
}

/** One record in plain text. */
export function record(type: number, content: Uint8Array): Buffer {
  const head = Buffer.from([type, 3, 3, content.length >> 8, content.length & 255]);
  return Buffer.concat([head, content]);
}

/** The number of the alert among bytes in plain text, if there is one. */
export function alertOf(bytes: Buffer): number | undefined {
  return recordsOf(bytes).records.find(({ type }) => type === ALERT)?.content[1];
}

/** Between a TLS client and its socket: notes every record that comes, and lets the test decide when a FIN is sent. */
export class Tap extends Duplex {
  readonly socket: Socket;
  readonly seen: RecordSeen[] = [];
  /** The peer's FIN came. */
  ended = false;
  /** Whether the end of the client's TLS is followed by a FIN. */
  finFollows = true;
  #partial: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    super({ allowHalfOpen: true });
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (piece: Buffer) => {
      const { records, rest } = recordsOf(Buffer.concat([this.#partial, piece]));
      this.seen.push(...records.map(({ type, content }) => ({ type, content: Buffer.from(content) })));
      this.#partial = Buffer.from(rest);
      if (!this.push(piece)) socket.pause();
    });
    socket.once("end", () => {
      this.ended = true;
      this.push(null);
    });
    socket.once("error", (error) => this.destroy(error));
    socket.once("close", () => this.destroy());
  }

  override _read(): void {
    this.socket.resume();
  }

  override _write(piece: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.socket.write(piece, done);
  }

  override _final(done: () => void): void {
    if (this.finFollows) this.socket.end(() => done());
    else done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.socket.destroy();
    done(error);
  }
}

/** A TLS client with a tap under it, and the secrets it agreed upon. */
export class TappedClient {
  readonly tap: Tap;
  readonly tls: TLSSocket;
  readonly wire: Wire;
  readonly #secrets: ReadonlyMap<string, Buffer>;
  readonly #protocol: string | null;

  private constructor(tap: Tap, tls: TLSSocket, secrets: ReadonlyMap<string, Buffer>) {
    this.tap = tap;
    this.tls = tls;
    this.wire = new Wire(tls);
    this.#secrets = secrets;
    this.#protocol = tls.getProtocol();
  }

  static async connect(port: number, options: ConnectionOptions): Promise<TappedClient> {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    await once(socket, "connect");
    const tap = new Tap(socket);
    const secrets = new Map<string, Buffer>();
    const tls = secure({ ...options, socket: tap });
    tls.on("keylog", (line: Buffer) => {
      const [label = "", , secret = ""] = line.toString("latin1").trim().split(" ");
      secrets.set(label, Buffer.from(secret, "hex"));
    });
    await within(once(tls, "secureConnect"), PATIENCE_MS, "a TLS handshake");
    return new TappedClient(tap, tls, secrets);
  }

  /** Makes records of TLS_AES_128_GCM_SHA256 in TLS 1.3, as long as the library itself has sent nothing. */
  forger(): Forger {
    const secret = this.#secrets.get("CLIENT_TRAFFIC_SECRET_0");
    if (secret === undefined) throw new Error("no secret of TLS 1.3 was logged");
    return new Forger(secret);
  }

  /** Waits for the end of the socket; whether the peer's last record was the word that nothing follows. */
  async wasToldEnd(ms = PATIENCE_MS): Promise<boolean> {
    const due = Date.now() + ms;
    while (!this.tap.ended && !this.tap.socket.closed) {
      if (Date.now() > due) throw new WireError(`no FIN within ${ms} ms`);
      await pause(2);
    }
    const last = this.tap.seen.at(-1);
    if (last === undefined) return false;
    // In TLS 1.3 an alert is two bytes, the type inside, and the tag.
    if (this.#protocol === "TLSv1.3") return last.type === APPLICATION && last.content.length === 2 + 1 + 16;
    return last.type === ALERT;
  }

  async close(): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      if (this.tap.socket.closed) resolve();
      else this.tap.socket.once("close", () => resolve());
    });
    this.tls.destroy();
    this.tap.socket.destroy();
    await gone;
  }
}

/** Seals records as a client of TLS 1.3 does (RFC 8446 5.2, 7.2), whatever is in them. */
export class Forger {
  #secret: Buffer;
  #sequence = 0n;

  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  seal(type: number, content: Uint8Array, padding = 0): Buffer {
    const key = expand(this.#secret, "key", 16);
    const iv = expand(this.#secret, "iv", 12);
    const nonce = Buffer.alloc(12);
    nonce.writeBigUInt64BE(this.#sequence++, 4);
    for (let at = 0; at < 12; at += 1) nonce[at] = (nonce[at] ?? 0) ^ (iv[at] ?? 0);
    const plain = Buffer.concat([content, Buffer.from([type]), Buffer.alloc(padding)]);
    const length = plain.length + 16;
    const head = Buffer.from([APPLICATION, 3, 3, length >> 8, length & 255]);
    const cipher = createCipheriv("aes-128-gcm", key, nonce);
    cipher.setAAD(head);
    return Buffer.concat([head, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** A KeyUpdate; what follows is under the next key. `asks` for the peer's in return. */
  keyUpdate(asks: boolean): Buffer {
    const sealed = this.seal(HANDSHAKE, Buffer.from([24, 0, 0, 1, asks ? 1 : 0]));
    this.#secret = expand(this.#secret, "traffic upd", 32);
    this.#sequence = 0n;
    return sealed;
  }
}

/** HKDF-Expand-Label with an empty context, for lengths of one block. */
function expand(secret: Buffer, label: string, length: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`);
  const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])]);
  return createHmac("sha256", secret).update(info).digest().subarray(0, length);
}

/** The first bytes a TLS client of these options says. */
export async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  let said: (bytes: Buffer) => void = () => undefined;
  const first = new Promise<Buffer>((resolve) => {
    said = resolve;
  });
  const nowhere = new Duplex({
    read: () => undefined,
    write: (piece: Buffer, _, done) => {
      said(piece);
      done();
    },
  });
  const tls = secure({ ...options, socket: nowhere });
  tls.on("error", () => undefined);
  const bytes = await first;
  tls.destroy();
  return bytes;
}

function vector(width: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const length = Buffer.alloc(width);
  length.writeUIntBE(content.length, 0, width);
  return Buffer.concat([length, content]);
}

function numbers(...values: readonly number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [value >> 8, value & 255]));
}

/** A ClientHello of TLS 1.3 that offers these groups, shares no key, and asks for a name. */
export function helloOffering(groups: readonly number[], name: string): Buffer {
  const extension = (kind: number, content: Buffer): Buffer => Buffer.concat([numbers(kind), vector(2, content)]);
  const extensions = [
    extension(0, vector(2, Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name))]))),
    extension(10, vector(2, numbers(...groups))),
    extension(13, vector(2, numbers(0x0403, 0x0804, 0x0401))),
    extension(43, vector(1, numbers(0x0304))),
    extension(51, vector(2)),
  ];
  const body = [
    numbers(0x0303),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 9)),
    vector(2, numbers(0x1301, 0x1302)),
  ];
  const message = vector(3, ...body, vector(1, Buffer.from([0])), vector(2, ...extensions));
  return record(HANDSHAKE, Buffer.concat([Buffer.from([1]), message]));
}
