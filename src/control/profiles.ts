/**
 * CPU profiles of worker threads: asks a worker, waits for what it sends, and gives up on one that died or stays silent.
 */
import { MillraceError } from "../shared/errors.js";

/** How much later than the profile's end an answer may come, in ms. */
export const PROFILE_LATE_MS = 5000;

/** The text of a .cpuprofile file, or why there is none. */
export type Profiled = { readonly ok: true; readonly profile: string } | { readonly ok: false; readonly says: string };

/** The profiles under way in one proxy: at most one a worker. */
export class Profiles {
  readonly #waiting = new Map<number, (profiled: Profiled) => void>();
  readonly #lateMs: number;

  constructor(lateMs: number = PROFILE_LATE_MS) {
    this.#lateMs = lateMs;
  }

  /**
   * Has a worker profiled.
   *
   * @param ask Sends the worker its order.
   * @throws MillraceError `MILLRACE_STATE` when this worker is being profiled already.
   */
  async take(worker: number, ms: number, ask: () => void): Promise<Profiled> {
    if (this.#waiting.has(worker)) {
      throw new MillraceError("MILLRACE_STATE", `worker ${worker} is being profiled already`);
    }
    return new Promise((resolve) => {
      const overdue = setTimeout(
        () => this.handleAnswer(worker, { ok: false, says: `worker ${worker} did not answer in time` }),
        ms + this.#lateMs,
      );
      overdue.unref();
      this.#waiting.set(worker, (profiled) => {
        clearTimeout(overdue);
        resolve(profiled);
      });
      ask();
    });
  }

  /** What a worker sent; one that nobody waits for is left out. */
  handleAnswer(worker: number, profiled: Profiled): void {
    const resolve = this.#waiting.get(worker);
    this.#waiting.delete(worker);
    resolve?.(profiled);
  }

  /** A worker's thread ended, and its profile with it. */
  handleDeath(worker: number): void {
    this.handleAnswer(worker, { ok: false, says: `worker ${worker} died while it was profiled` });
  }
}
