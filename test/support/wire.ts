/**
 * One socket as a script sees it: every byte that came is kept until somebody asks for it, every wait has an end, and
 * the way the connection ended (a clean end, a reset) is a fact that can be asked. Client and origin are built on it.
 */
import type { Socket } from "node:net";

/** How a connection stands: still open, ended by the peer's FIN, or torn down by a reset. */
export type Ending = "open" | "end" | "reset";

/** What a wait gives up after, unless told otherwise: how long a loaded machine may take for anything; milliseconds. */
export const PATIENCE_MS = 20_000;

/** A wait that was not satisfied: the message says for what, and shows the bytes that are there. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** Bytes as the scripts write them: a string stands for its Latin-1 bytes. */
export type Bytes = string | Uint8Array;

/** The Latin-1 bytes of a string; bytes stay as they are. */
export function toBytes(bytes: Bytes): Buffer {
  return typeof bytes === "string"
    ? Buffer.from(bytes, "latin1")
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes made readable for a failure message: escapes for what is not printable, and not more than fits a screen. */
export function show(bytes: Uint8Array, most = 600): string {
  const text = Buffer.from(bytes.subarray(0, most)).toString("latin1");
  const rest = bytes.length > most ? `… (${bytes.length} bytes)` : "";
  return JSON.stringify(text).replaceAll("\\r\\n", "\\r\\n⏎") + rest;
}

/** Waits; milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A promise that fails with `what` when `ms` have passed. */
export async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new WireError(`${what}: not within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Wakes whoever waits for something to change. */
export class Changes {
  readonly #wakers = new Set<() => void>();

  wake(): void {
    for (const waker of [...this.#wakers]) waker();
  }

  /** The next change, or the end of so many milliseconds. */
  next(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#wakers.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wakers.add(done);
    });
  }
}

/** A socket with its unread bytes and the record of everything that came. */
export class Wire {
  readonly socket: Socket;
  /** Of a socket that speaks TLS: the one that carries it. */
  readonly #beneath: Socket | undefined;
  #pieces: Buffer[] = [];
  #record: Buffer[] | undefined = [];
  #count = 0;
  #ending: Ending = "open";
  #closed = false;
  readonly #changes = new Changes();

  constructor(socket: Socket, options: { readonly record?: boolean; readonly beneath?: Socket | undefined } = {}) {
    this.socket = socket;
    this.#beneath = options.beneath;
    if (options.record === false) this.#record = undefined;
    socket.setNoDelay(true);
    socket.on("data", (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#record?.push(piece);
      this.#count += piece.length;
      this.#changes.wake();
    });
    socket.on("end", () => this.#end("end"));
    socket.on("error", () => this.#end("reset"));
    socket.on("close", () => {
      this.#closed = true;
      this.#end("reset");
    });
  }

  /** Everything the peer ever sent. */
  get received(): Buffer {
    return Buffer.concat(this.#record ?? []);
  }

  /** How many bytes the peer ever sent. */
  get receivedBytes(): number {
    return this.#count;
  }

  /** What came and was not taken yet. */
  get unread(): Buffer {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0] ?? Buffer.alloc(0);
  }

  get ending(): Ending {
    return this.#ending;
  }

  /** Removes and returns the first `count` unread bytes. */
  take(count: number): Buffer {
    const unread = this.unread;
    this.#pieces = count < unread.length ? [unread.subarray(count)] : [];
    return unread.subarray(0, count);
  }

  /** Waits until `look` finds something in the unread bytes or the ending. */
  async until<T>(what: string, look: (unread: Buffer, ending: Ending) => T | undefined, ms = PATIENCE_MS): Promise<T> {
    const due = Date.now() + ms;
    for (;;) {
      const found = look(this.unread, this.#ending);
      if (found !== undefined) return found;
      if (this.#ending !== "open")
        throw new WireError(`${what}: the connection ended (${this.#ending}) after ${show(this.unread)}`);
      const left = due - Date.now();
      if (left <= 0) throw new WireError(`${what}: not within ${ms} ms; there is ${show(this.unread)}`);
      await this.#changes.next(left);
    }
  }

  /** Takes exactly `count` bytes, or as many as came before the ending. */
  async takeUpTo(count: number, ms = PATIENCE_MS): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const there = await this.until(
        `${missing} more bytes`,
        (unread, ending) => (unread.length > 0 || ending !== "open" ? unread.length : undefined),
        ms,
      );
      if (there === 0) break;
      const piece = this.take(Math.min(there, missing));
      pieces.push(piece);
      missing -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** Takes everything until the peer ends or resets. */
  async takeAll(ms = PATIENCE_MS): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (;;) {
      const ending = await this.until(
        "the end of the connection",
        (unread, how) => (unread.length > 0 || how !== "open" ? how : undefined),
        ms,
      );
      pieces.push(this.take(this.unread.length));
      if (ending !== "open") return Buffer.concat(pieces);
    }
  }

  /**
   * How the connection really ended. libuv reports an end in place of a reset when the last bytes and the reset come
   * together; a write tells them apart: behind a FIN it still succeeds, behind a reset it fails at once.
   */
  async trueEnding(): Promise<Ending> {
    const { socket } = this;
    if (this.#ending === "end" && !socket.destroyed && !socket.writableEnded) {
      const failed = await new Promise<boolean>((resolve) => socket.write("\r\n", (error) => resolve(error != null)));
      if (failed) this.#ending = "reset";
    }
    return this.#ending;
  }

  /** Sends bytes; resolves when the kernel has them, also when the peer is gone (the ending tells). */
  send(bytes: Bytes): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.destroyed || this.socket.writableEnded) resolve();
      else this.socket.write(toBytes(bytes), () => resolve());
    });
  }

  /** FIN after everything written; reading goes on. */
  halfClose(): Promise<void> {
    return new Promise((resolve) => {
      if (this.socket.destroyed || this.socket.writableEnded) resolve();
      else this.socket.end(() => resolve());
    });
  }

  /** A reset: the peer's reads and writes fail. */
  reset(): Promise<void> {
    if (this.#beneath === undefined) this.socket.resetAndDestroy();
    else
      resetBeneath(this.#beneath, () => {
        this.socket.destroy();
        // The socket above does not hear of it.
        this.#closed = true;
        this.#end("reset");
      });
    return this.closed();
  }

  /** FIN without the word that TLS has for an end: what a broken or cut connection looks like. */
  cut(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#beneath === undefined) throw new WireError("only TLS can be cut");
      this.#beneath.end(() => resolve());
    });
  }

  /** Ends and lets go of the socket. */
  async close(): Promise<void> {
    await this.halfClose();
    this.socket.destroy();
    await this.closed();
  }

  /** Stops and resumes reading: the peer sees a reader that takes nothing. */
  stopReading(): void {
    this.socket.pause();
  }

  resumeReading(): void {
    this.socket.resume();
  }

  /** Waits until the socket's descriptor is given back. */
  async closed(ms = PATIENCE_MS): Promise<void> {
    const due = Date.now() + ms;
    while (!this.#closed) {
      if (Date.now() > due) throw new WireError("the socket was not closed in time");
      await this.#changes.next(due - Date.now() + 1);
    }
  }

  #end(how: Exclude<Ending, "open">): void {
    if (this.#ending === "open") this.#ending = how;
    this.#changes.wake();
  }
}

/** Node resets no socket that TLS was put upon, so its handle is asked. */
function resetBeneath(socket: Socket, done: () => void): void {
  const { _handle: handle } = socket as unknown as { readonly _handle: { reset(done: () => void): number } | null };
  if (handle === null || handle.reset(done) !== 0) done();
}
