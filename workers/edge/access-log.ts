/**
 * The access log of one edge worker: takes the lines of a turn and passes them on without ever holding up a request.
 * A sink that is slow or broken costs lines, which are counted and reported at most once a second.
 */
import { BoundedWriter, countLines } from "../../src/shared/bounded-writer.js";
import type { AccessLogOrders, FromWorker } from "../../src/shared/messages.js";

/** Shortest time between two reports of lost lines, in ms. */
const REPORT_EVERY_MS = 1000;

/** Owned by one edge worker. */
export class AccessLog {
  readonly #say: (message: FromWorker) => void;
  readonly #queueBytesMax: number;
  /** Set where this worker writes by itself; null where the main thread writes. */
  readonly #writer: BoundedWriter | null;
  #fd: number;
  /** Lines handed to the main thread and not written yet, in bytes. */
  #unwrittenBytes = 0;
  /** Since the last report. */
  #lostLines = 0;
  readonly #lostEver: BigUint64Array;
  #reporting: NodeJS.Timeout | null = null;
  #failure = "";

  constructor(orders: AccessLogOrders, say: (message: FromWorker) => void) {
    this.#say = say;
    this.#queueBytesMax = orders.queueBytesMax;
    this.#lostEver = new BigUint64Array(orders.lostLines);
    this.#fd = orders.sink.kind === "file" ? orders.sink.fd : -1;
    this.#writer =
      orders.sink.kind === "file"
        ? new BoundedWriter(orders.sink.fd, orders.queueBytesMax, (lines, failure) => this.#handleEnd(lines, failure))
        : null;
  }

  /** The lines of one turn: whole lines, each ending in a newline. */
  take(lines: Buffer): void {
    const taken = this.#writer === null ? this.#takeForMain(lines) : this.#writer.push(lines);
    if (!taken) this.#lose(countLines(lines), "");
  }

  /** The main thread wrote this many bytes of ours. */
  handleWritten(bytes: number): void {
    this.#unwrittenBytes = Math.max(0, this.#unwrittenBytes - bytes);
  }

  /** The file was opened anew as `fd`; the old descriptor is given back when it is no longer used. */
  async reopen(fd: number): Promise<void> {
    if (this.#writer === null) return;
    const old = this.#fd;
    this.#fd = fd;
    await this.#writer.redirect(fd);
    this.#say({ kind: "accessLogReleased", fd: old });
  }

  /** Resolves when every line taken is written or lost, and the loss is reported. */
  async close(): Promise<void> {
    await this.#writer?.idle();
    if (this.#reporting !== null) this.#report();
  }

  #takeForMain(lines: Buffer): boolean {
    if (this.#unwrittenBytes + lines.byteLength > this.#queueBytesMax) return false;
    this.#unwrittenBytes += lines.byteLength;
    this.#say({ kind: "accessLog", lines });
    return true;
  }

  #handleEnd(lines: Uint8Array, failure: NodeJS.ErrnoException | null): void {
    if (failure !== null) this.#lose(countLines(lines), failure.message);
  }

  #lose(lines: number, failure: string): void {
    this.#lostLines += lines;
    Atomics.add(this.#lostEver, 0, BigInt(lines));
    if (failure !== "") this.#failure = failure;
    this.#reporting ??= setTimeout(() => this.#report(), REPORT_EVERY_MS);
  }

  #report(): void {
    if (this.#reporting !== null) clearTimeout(this.#reporting);
    this.#reporting = null;
    const why = this.#failure === "" ? "slow" : "broken";
    this.#say({ kind: "accessLogLost", lines: this.#lostLines, why, says: this.#failure });
    this.#lostLines = 0;
    this.#failure = "";
  }
}
