/**
 * The other end of an HTTP/2 connection as a script plays it: any frame may be sent, every frame that comes is kept, and
 * what comes is judged (RFC 9113). By itself it only acknowledges SETTINGS, answers PING and, unless told otherwise,
 * gives back the window that DATA took.
 *
 * ```ts
 * const peer = await openHttp2(scene); // of http2-scene.ts
 * const stream = await peer.request("GET /a");
 * assert.equal((await peer.answer(stream)).status, 200);
 * ```
 */
import { encodeFields, type FieldPair } from "./hpack.js";
import {
  data,
  type ErrorName,
  errorOf,
  FLAGS,
  type Frame,
  type FrameName,
  headers,
  PREFACE,
  ping,
  readFrame,
  resetStream,
  type SettingValues,
  settings,
  settingsAck,
  settingsOf,
  windowUpdate,
} from "./http2-frames.js";
import { answerOf, type Http2Answer, type Outcome, type RequestOptions, requestFields } from "./http2-messages.js";
import { type Received, type Section, Streams } from "./http2-streams.js";
import { Windows } from "./http2-windows.js";
import type { Fields } from "./message.js";
import { type Bytes, Changes, type Ending, PATIENCE_MS, toBytes, type Wire, WireError } from "./wire.js";

/** RFC 9113 6.5.2: what holds until SETTINGS say otherwise. */
const FRAME_BYTES = 16_384;
/** A connection may rest for as long as a test goes on. */
const FOR_EVER_MS = 3_600_000;

export interface PeerOptions {
  /** What we announce. */
  readonly settings?: SettingValues;
  /** "given" = the window DATA took is given back at once; "kept" = the test gives what it likes. */
  readonly window?: "given" | "kept";
  /** Keep the bytes of bodies (the default), or count them. */
  readonly bodies?: boolean;
  /** How long an answer to PING takes; milliseconds. */
  readonly slowPingMs?: number;
  /** False: nothing at all is sent by itself, the preface included. */
  readonly manners?: boolean;
}

export class Http2Peer {
  readonly wire: Wire;
  /** Every frame that came. */
  readonly frames: Frame[] = [];
  /** What the other side announced last. */
  announced: SettingValues = {};
  readonly #options: PeerOptions;
  readonly #streams: Streams;
  readonly #changes = new Changes();
  readonly #unasked = new Set<Frame>();
  #over = false;
  #trouble: unknown;
  #next: number;
  #pings = 0;
  readonly #windows = new Windows();
  #heard = false;

  private constructor(wire: Wire, side: "client" | "server", options: PeerOptions) {
    this.wire = wire;
    this.#options = options;
    this.#next = side === "client" ? 1 : 2;
    this.#streams = new Streams(side, options.bodies ?? true, options.settings?.headerTableSize);
  }

  /** A client's connection: the preface and SETTINGS are sent, and the other side's SETTINGS awaited. */
  static async client(wire: Wire, options: PeerOptions = {}): Promise<Http2Peer> {
    const peer = new Http2Peer(wire, "client", options);
    void peer.#pump();
    if (options.manners === false) return peer;
    await peer.send(PREFACE, settings(options.settings));
    await peer.until("SETTINGS", () => peer.frames.some(({ type }) => type === "SETTINGS") || undefined);
    return peer;
  }

  /** An origin's connection: the preface is awaited, SETTINGS are sent. */
  static async server(wire: Wire, options: PeerOptions = {}): Promise<Http2Peer> {
    const peer = new Http2Peer(wire, "server", options);
    const preface = await wire.takeUpTo(PREFACE.length);
    if (!preface.equals(PREFACE)) throw new WireError(`not the preface: ${JSON.stringify(preface.toString("latin1"))}`);
    void peer.#pump();
    if (options.manners !== false) await peer.send(settings(options.settings));
    return peer;
  }

  get ending(): Ending {
    return this.wire.ending;
  }

  get violations(): readonly string[] {
    return this.#streams.violations;
  }

  /** Streams whose head came, in the order they came. */
  get opened(): readonly number[] {
    return this.#streams.opened;
  }

  /** What came over a stream so far. */
  received(stream: number): Received {
    return this.#streams.of(stream);
  }

  send(...frames: Bytes[]): Promise<void> {
    return this.wire.send(Buffer.concat(frames.map(toBytes)));
  }

  /** The number of the next stream, which is then taken. */
  nextStream(): number {
    const stream = this.#next;
    this.#next += 2;
    return stream;
  }

  /** Sends a request; the number of its stream. */
  async request(line: string, options: RequestOptions = {}): Promise<number> {
    const { body, trailers, open = false } = options;
    const stream = await this.open(requestFields(line, options), body === undefined && trailers === undefined && !open);
    if (body !== undefined) await this.upload(stream, body, trailers === undefined && !open);
    if (trailers !== undefined) await this.trailers(stream, trailers);
    return stream;
  }

  /** Opens a stream with exactly these fields; its number. */
  async open(fields: readonly FieldPair[], end = true): Promise<number> {
    const stream = this.nextStream();
    await this.send(headers(stream, encodeFields(fields), { end }));
    return stream;
  }

  /** Sends a request and reads its answer. */
  async ask(line: string, options: RequestOptions = {}): Promise<Http2Answer> {
    return this.answer(await this.request(line, options));
  }

  /** Sends the head of an answer. */
  respond(stream: number, status: number, fields: readonly FieldPair[] = [], end = false): Promise<void> {
    return this.send(headers(stream, encodeFields([[":status", String(status)], ...fields]), { end }));
  }

  /** Ends a message by trailers. */
  trailers(stream: number, fields: readonly FieldPair[]): Promise<void> {
    return this.send(headers(stream, encodeFields(fields)));
  }

  /** Sends DATA without a look at the windows. */
  async data(stream: number, bytes: Bytes, end = false): Promise<void> {
    this.#windows.handleSent(stream, bytes.length);
    await this.send(data(stream, bytes, end));
  }

  /** Sends a body as the windows allow; gives up when the stream is reset or the connection ends. */
  async upload(stream: number, bytes: Bytes, end = true, ms = PATIENCE_MS): Promise<void> {
    const body = toBytes(bytes);
    const received = this.#streams.of(stream);
    for (let at = 0; at < body.length || (at === 0 && end); ) {
      const room = await this.until(
        "room to send",
        () =>
          received.reset !== undefined || this.#over ? 0 : this.room(stream) > 0 || body.length === 0 || undefined,
        ms,
      );
      if (room === 0) return;
      const piece = body.subarray(at, at + Math.min(FRAME_BYTES, Math.max(0, this.room(stream))));
      // Another stream took the connection's window first; a frame without content would be a nuisance.
      if (piece.length === 0 && body.length > 0) continue;
      at += piece.length;
      await this.data(stream, piece, end && at === body.length);
      if (body.length === 0) return;
    }
  }

  /** How many bytes of DATA may be sent on a stream. */
  room(stream: number): number {
    return this.#windows.room(stream);
  }

  /** Gives window, on a stream and on the connection; on the connection alone for 0. */
  give(stream: number, bytes: number): Promise<void> {
    const both = stream === 0 ? [0] : [0, stream];
    for (const one of both) this.#windows.handleGiven(one, bytes);
    return this.send(...both.map((one) => windowUpdate(one, bytes)));
  }

  /** Takes note of window that is given by frames of the test's own. */
  expects(stream: number, bytes: number): void {
    this.#windows.handleGiven(stream, bytes);
  }

  /** Changes what we announced; what is in flight meanwhile is the test's to know. */
  announce(values: SettingValues): Promise<void> {
    if (values.initialWindowSize !== undefined) this.#windows.handleGivenAtFirst(values.initialWindowSize);
    return this.send(settings(values));
  }

  reset(stream: number, error: ErrorName = "CANCEL"): Promise<void> {
    return this.send(resetStream(stream, error));
  }

  /** The whole answer on a stream; one that is reset or cut throws. */
  async answer(stream: number, ms = PATIENCE_MS): Promise<Http2Answer> {
    const received = this.#streams.of(stream);
    await this.until(
      `the answer on stream ${stream}`,
      () => {
        if (received.reset !== undefined && !received.ended)
          throw new WireError(`stream ${stream} was reset: ${received.reset}`);
        return received.ended || undefined;
      },
      ms,
    );
    return answerOf(received);
  }

  /** The final head on a stream. */
  async head(stream: number, ms = PATIENCE_MS): Promise<{ readonly status: number; readonly fields: Fields }> {
    const received = this.#streams.of(stream);
    const head = await this.until(
      `a head on stream ${stream}`,
      () => {
        if (received.reset !== undefined) throw new WireError(`stream ${stream} was reset: ${received.reset}`);
        return received.head;
      },
      ms,
    );
    return { status: Number(head.pseudo[":status"]), fields: head.fields };
  }

  /** How a stream came out: answered to the end, reset, or lost with its connection. */
  async outcome(stream: number, ms = PATIENCE_MS): Promise<Outcome> {
    const received = this.#streams.of(stream);
    await this.until(
      `the end of stream ${stream}`,
      () => received.ended || received.reset !== undefined || this.#over || undefined,
      ms,
    );
    const status = received.head?.pseudo[":status"];
    return { status: status === undefined ? undefined : Number(status), reset: received.reset, whole: received.ended };
  }

  /** The error a stream is reset with. */
  resetOf(stream: number, ms = PATIENCE_MS): Promise<ErrorName | number> {
    return this.until(`RST_STREAM of stream ${stream}`, () => this.#streams.of(stream).reset, ms);
  }

  /** The next frame of a type that was not asked for yet, of one stream or of any. */
  async frame(type: FrameName, { stream, ms = PATIENCE_MS }: { stream?: number; ms?: number } = {}): Promise<Frame> {
    const wanted = (one: Frame): boolean => one.type === type && (stream === undefined || one.stream === stream);
    const found = await this.until(`${type}`, () => [...this.#unasked].find(wanted), ms);
    this.#unasked.delete(found);
    return found;
  }

  /** The next GOAWAY. */
  async goaway(ms = PATIENCE_MS): Promise<{ readonly error: ErrorName | number; readonly last: number }> {
    const found = await this.frame("GOAWAY", { ms });
    return { error: errorOf(found), last: found.payload.readUInt32BE(0) & 0x7fffffff };
  }

  /** The connection ends; with which error it was said, if it was. */
  async seesEnd(ms = PATIENCE_MS): Promise<ErrorName | number | undefined> {
    await this.until("the end of the connection", () => this.#over || undefined, ms);
    const last = this.frames.findLast(({ type }) => type === "GOAWAY");
    return last && errorOf(last);
  }

  /** There and back: what was sent before has been read then. */
  async roundTrip(ms = PATIENCE_MS): Promise<void> {
    this.#pings += 1;
    const payload = `trip${String(this.#pings).padStart(4, "0")}`;
    await this.send(ping(payload));
    const back = (one: Frame): boolean =>
      one.type === "PING" && (one.flags & FLAGS.ack) !== 0 && one.payload.toString("latin1") === payload;
    await this.until("PING's answer", () => this.frames.some(back) || undefined, ms);
  }

  /** As an origin: the next request whose head came, and which was not asked for yet. */
  async nextRequest(ms = PATIENCE_MS): Promise<{ readonly stream: number; readonly head: Section }> {
    const at = this.#asked;
    this.#asked += 1;
    const stream = await this.until("a request", () => this.opened[at], ms);
    return { stream, head: await this.until("its head", () => this.#streams.of(stream).head, ms) };
  }
  #asked = 0;

  /** A whole message's body. */
  async body(stream: number, ms = PATIENCE_MS): Promise<Buffer> {
    const received = this.#streams.of(stream);
    await this.until(`the end of stream ${stream}`, () => received.ended || undefined, ms);
    return Buffer.concat(received.pieces);
  }

  /** Waits until `look` finds something; fails when the connection ends or when something came that must not come. */
  async until<T>(what: string, look: () => T | undefined, ms = PATIENCE_MS): Promise<T> {
    const due = Date.now() + ms;
    for (;;) {
      if (this.#trouble !== undefined) throw this.#trouble;
      if (this.violations.length > 0) throw new WireError(`what must not come: ${this.violations.join("; ")}`);
      const found = look();
      if (found !== undefined) return found;
      const seen = this.frames.slice(-8).map(({ type, stream }) => `${type} ${stream}`);
      if (this.#over) throw new WireError(`${what}: the connection ended (${this.ending}) after ${seen.join(", ")}`);
      const left = due - Date.now();
      if (left <= 0) throw new WireError(`${what}: not within ${ms} ms, after ${seen.join(", ")}`);
      await this.#changes.next(left);
    }
  }

  close(): Promise<void> {
    return this.wire.close();
  }

  /** Reads frames until the connection ends. */
  async #pump(): Promise<void> {
    try {
      for (;;) {
        const next = await this.wire.until(
          "a frame",
          (unread, ending) => readFrame(unread) ?? (ending === "open" ? undefined : null),
          FOR_EVER_MS,
        );
        if (next === null) break;
        this.wire.take(next.taken);
        this.#handle(next.frame);
        this.#changes.wake();
      }
    } catch (error) {
      this.#trouble = error;
    }
    this.#over = true;
    this.#changes.wake();
  }

  #handle(frame: Frame): void {
    // What is only counted must not be kept by the list of frames either.
    const kept =
      this.#options.bodies === false && frame.type === "DATA" ? { ...frame, payload: Buffer.alloc(0) } : frame;
    this.frames.push(kept);
    this.#unasked.add(kept);
    if (frame.payload.length > (this.#options.settings?.maxFrameSize ?? FRAME_BYTES))
      this.#streams.violations.push(`a frame of ${frame.payload.length} bytes`);
    const manners = this.#options.manners !== false;
    if (frame.type === "SETTINGS" && (frame.flags & FLAGS.ack) === 0) {
      this.#handleSettings(settingsOf(frame));
      if (manners) void this.send(settingsAck());
    } else if (frame.type === "SETTINGS") this.#handleHeard();
    else if (frame.type === "PING" && (frame.flags & FLAGS.ack) === 0) {
      if (manners) setTimeout(() => void this.send(ping(frame.payload, true)), this.#options.slowPingMs ?? 0);
    } else if (frame.type === "WINDOW_UPDATE") {
      this.#windows.handleUpdate(frame.stream, frame.payload.readUInt32BE(0));
    } else this.#streams.handle(frame);
    if (frame.type === "DATA") this.#account(frame);
  }

  /** Our first SETTINGS are acknowledged: from here on they are kept to (RFC 9113 6.5.3). */
  #handleHeard(): void {
    const { initialWindowSize } = this.#options.settings ?? {};
    if (!this.#heard && initialWindowSize !== undefined) this.#windows.handleGivenAtFirst(initialWindowSize);
    this.#heard = true;
  }

  #handleSettings(values: SettingValues): void {
    this.announced = { ...this.announced, ...values };
    if (values.initialWindowSize !== undefined) this.#windows.handleInitial(values.initialWindowSize);
  }

  /** RFC 9113 6.9.1: nobody sends more than was given. */
  #account({ stream, payload, flags }: Frame): void {
    const bytes = payload.length;
    this.#streams.violations.push(...this.#windows.handleReceived(stream, bytes));
    if (bytes === 0 || this.#options.window === "kept" || this.#options.manners === false) return;
    if (flags & FLAGS.endStream) {
      this.#windows.handleGiven(0, bytes);
      void this.send(windowUpdate(0, bytes));
    } else void this.give(stream, bytes);
  }
}
