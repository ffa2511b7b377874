/**
 * A clock that stands until a test moves it, for what the control plane schedules.
 */
import type { Clock } from "../../src/control/scheduler.js";

interface Wake {
  readonly atMs: number;
  readonly call: () => void;
}

/** Time begins at 1,000,000 ms, so that nobody takes 0 for "never". */
export class FakeClock implements Clock {
  #nowMs = 1_000_000;
  readonly #wakes = new Set<Wake>();

  readonly nowMs = (): number => this.#nowMs;

  readonly wake = (afterMs: number, call: () => void): (() => void) => {
    const wake = { atMs: this.#nowMs + afterMs, call };
    this.#wakes.add(wake);
    return () => this.#wakes.delete(wake);
  };

  /** How many timers are armed. */
  get armed(): number {
    return this.#wakes.size;
  }

  /** Moves time on; what falls due on the way is called at its own time, in order. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      const [next] = [...this.#wakes].filter((one) => one.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#wakes.delete(next);
      this.#nowMs = next.atMs;
      next.call();
    }
    this.#nowMs = untilMs;
  }
}
