/**
 * How long to wait before a dead thread is replaced: not at all, unless it dies again and again.
 */

/** Deaths within the window that are replaced at once. */
export const DEATHS_AT_ONCE_MAX = 5;
/** Length of the window, in ms; a life longer than this clears the record. */
export const WINDOW_MS = 10_000;
const FIRST_WAIT_MS = 250;
const WAIT_MS_MAX = 5000;

/** The record of one seat's deaths. Told the time, so that it can be tested without waiting. */
export class Backoff {
  #deaths: number[] = [];
  #penalties = 0;

  /**
   * Records a death and returns how long to wait before the replacement starts, in ms.
   *
   * @param nowMs Time of the death. @param livedMs How long the thread had been ready; 0 if it never was.
   */
  handleDeath(nowMs: number, livedMs: number): number {
    if (livedMs > WINDOW_MS) this.#penalties = 0;
    this.#deaths = [...this.#deaths.filter((at) => nowMs - at < WINDOW_MS), nowMs];
    if (this.#deaths.length <= DEATHS_AT_ONCE_MAX && this.#penalties === 0) return 0;
    this.#penalties += 1;
    return Math.min(WAIT_MS_MAX, FIRST_WAIT_MS * 2 ** (this.#penalties - 1));
  }
}
