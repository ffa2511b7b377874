/**
 * Writes bytes to a descriptor without ever blocking who hands them in: one write in flight, a bounded queue behind it.
 * What does not fit is refused, and the caller counts it.
 */
import { write } from "node:fs";

/** Largest single write, in bytes: large enough to be cheap, small enough to leave a pipe's reader a chance. */
const WRITE_BYTES_MAX = 256 * 1024;
/** How long to wait when a pipe in non-blocking mode is full, in ms. */
const FULL_PIPE_WAIT_MS = 50;

/** Told how one write ended: all its bytes are written, or the sink broke and they are lost. */
export type Ended = (written: Uint8Array, failure: NodeJS.ErrnoException | null) => void;

/** One sink. Owns no descriptor: who opened it closes it, after `idle()`. */
export class BoundedWriter {
  #fd: number;
  readonly #queueBytesMax: number;
  readonly #ended: Ended;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #writing = false;
  #waiters: (() => void)[] = [];

  /** @param queueBytesMax Bytes kept, the write in flight included. */
  constructor(fd: number, queueBytesMax: number, ended: Ended = () => {}) {
    this.#fd = fd;
    this.#queueBytesMax = queueBytesMax;
    this.#ended = ended;
  }

  /** Takes bytes to write, or returns false when there is no room for them. The bytes must not change afterwards. */
  push(bytes: Uint8Array): boolean {
    if (this.#queuedBytes + bytes.byteLength > this.#queueBytesMax) return false;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.byteLength;
    if (!this.#writing) this.#writeNext();
    return true;
  }

  /** Writes go to another descriptor from the next one on; resolves when the old one is no longer used. */
  async redirect(fd: number): Promise<void> {
    const busy = this.#writing;
    this.#fd = fd;
    if (busy) await this.#whenWritten();
  }

  /** Resolves when nothing is queued or in flight. */
  async idle(): Promise<void> {
    while (this.#writing) await this.#whenWritten();
  }

  #whenWritten(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #writeNext(): void {
    const batch = this.#takeBatch();
    if (batch === null) return;
    this.#writing = true;
    this.#writeFrom(batch, 0);
  }

  #takeBatch(): Uint8Array | null {
    const taken: Uint8Array[] = [];
    let bytes = 0;
    for (const piece of this.#queue) {
      if (taken.length > 0 && bytes + piece.byteLength > WRITE_BYTES_MAX) break;
      taken.push(piece);
      bytes += piece.byteLength;
    }
    if (taken.length === 0) return null;
    this.#queue = this.#queue.slice(taken.length);
    return taken.length === 1 ? (taken[0] ?? null) : Buffer.concat(taken);
  }

  #writeFrom(batch: Uint8Array, offset: number): void {
    write(this.#fd, batch, offset, batch.byteLength - offset, null, (failure, written) => {
      if (failure !== null && failure.code === "EAGAIN") {
        setTimeout(() => this.#writeFrom(batch, offset), FULL_PIPE_WAIT_MS);
        return;
      }
      if (failure === null && offset + written < batch.byteLength) {
        this.#writeFrom(batch, offset + written);
        return;
      }
      this.#finish(batch, failure);
    });
  }

  #finish(batch: Uint8Array, failure: NodeJS.ErrnoException | null): void {
    this.#queuedBytes -= batch.byteLength;
    this.#writing = false;
    const waiters = this.#waiters;
    this.#waiters = [];
    this.#writeNext();
    this.#ended(batch, failure);
    for (const waiter of waiters) waiter();
  }
}

/** Newlines in a piece of an NDJSON stream. */
export function countLines(lines: Uint8Array): number {
  let count = 0;
  for (let at = lines.indexOf(10); at >= 0; at = lines.indexOf(10, at + 1)) count++;
  return count;
}
