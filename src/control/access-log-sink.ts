/**
 * Where access-log lines end: a file, opened here and appended to by each worker, or standard output and error (or any
 * pipe), which this thread alone writes.
 */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { BoundedWriter, countLines } from "../shared/bounded-writer.js";
import { MillraceError, messageOf } from "../shared/errors.js";
import type { AccessLogOrders } from "../shared/messages.js";

type Open =
  | { readonly kind: "file"; readonly path: string; readonly fd: number }
  | { readonly kind: "main"; readonly fd: number; readonly owned: boolean; readonly writer: BoundedWriter };

/** The sink of one proxy. */
export class AccessLogSink {
  readonly #queueBytesMax: number;
  readonly #lost = new SharedArrayBuffer(8);
  /** Told per write, in order of pushing: whose lines they were. */
  readonly #pending: { readonly bytes: number; readonly written: () => void }[] = [];
  #open: Open;
  /** Descriptors replaced by a reopening, with the number of workers that still hold them. */
  readonly #replaced = new Map<number, number>();

  /**
   * @param to "stdout", "stderr" or a path.
   * @throws MillraceError `MILLRACE_START` when the file cannot be opened.
   */
  constructor(to: string, queueBytesMax: number, workers: number) {
    this.#queueBytesMax = queueBytesMax;
    this.#open = this.#openSink(to, workers);
  }

  /** Lines lost since the start. */
  get lostLines(): number {
    return Number(Atomics.load(new BigUint64Array(this.#lost), 0));
  }

  /** What an edge worker is started with. */
  orders(): AccessLogOrders {
    const sink = this.#open.kind === "file" ? { kind: "file" as const, fd: this.#open.fd } : { kind: "main" as const };
    return { sink, queueBytesMax: this.#queueBytesMax, lostLines: this.#lost };
  }

  /** Lines of a worker to write from here; `written` is called when they are written or lost. */
  write(lines: Uint8Array, written: () => void): void {
    if (this.#open.kind === "file") return;
    this.#pending.push({ bytes: lines.byteLength, written });
    if (!this.#open.writer.push(lines)) {
      this.#pending.pop();
      this.#lose(lines);
      written();
    }
  }

  /**
   * Opens the file anew under its name (after a rotation) and returns the new descriptor, or null when the sink is no
   * file. The old one is closed when `holders` workers have released it.
   */
  reopen(holders: number): number | null {
    if (this.#open.kind !== "file") return null;
    const { path, fd: old } = this.#open;
    const fd = openFile(path);
    this.#replaced.set(old, holders);
    this.#open = { kind: "file", path, fd };
    if (holders === 0) this.release(old);
    return fd;
  }

  /** A worker no longer uses a replaced descriptor. */
  release(fd: number): void {
    const holders = this.#replaced.get(fd);
    if (holders === undefined) return;
    if (holders > 1) {
      this.#replaced.set(fd, holders - 1);
      return;
    }
    this.#replaced.delete(fd);
    closeSync(fd);
  }

  /** Call when all workers have ended. Resolves when everything handed in is written. */
  async close(): Promise<void> {
    if (this.#open.kind === "main") await this.#open.writer.idle();
    if (this.#open.kind === "file" || this.#open.owned) closeSync(this.#open.fd);
    for (const fd of this.#replaced.keys()) closeSync(fd);
    this.#replaced.clear();
  }

  #openSink(to: string, workers: number): Open {
    const standard = to === "stdout" ? 1 : to === "stderr" ? 2 : null;
    const fd = standard ?? openFile(to);
    if (standard === null && fstatSync(fd).isFile()) return { kind: "file", path: to, fd };
    const writer = new BoundedWriter(fd, this.#queueBytesMax * workers, (lines, failure) =>
      this.#handleEnd(lines, failure),
    );
    return { kind: "main", fd, owned: standard === null, writer };
  }

  #handleEnd(lines: Uint8Array, failure: NodeJS.ErrnoException | null): void {
    if (failure !== null) this.#lose(lines);
    for (let bytes = lines.byteLength; bytes > 0; ) {
      const piece = this.#pending.shift();
      if (piece === undefined) return;
      bytes -= piece.bytes;
      piece.written();
    }
  }

  #lose(lines: Uint8Array): void {
    Atomics.add(new BigUint64Array(this.#lost), 0, BigInt(countLines(lines)));
  }
}

/** Append only, and never waiting for a pipe's reader to appear. */
function openFile(path: string): number {
  try {
    const { O_APPEND, O_CREAT, O_WRONLY, O_NONBLOCK } = constants;
    return openSync(path, O_APPEND | O_CREAT | O_WRONLY | O_NONBLOCK, 0o640);
  } catch (thrown) {
    throw new MillraceError("MILLRACE_START", `The access log cannot be opened: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}
