/**
 * One timer for everything the control plane does later: health, names. Nothing due, nothing armed.
 */

/** Time as the scheduler is told it; replaced in tests. */
export interface Clock {
  /** Monotonic, in ms. */
  readonly nowMs: () => number;
  /** Calls back once after so many ms; returns what cancels it. */
  readonly wake: (afterMs: number, call: () => void) => () => void;
}

/** Longest a timer of the system waits, in ms. */
const WAIT_MS_MAX = 2 ** 31 - 1;

interface Appointment {
  readonly atMs: number;
  readonly call: () => void;
}

/** Appointments by key, and the one timer that keeps the earliest. */
export class Scheduler {
  readonly #clock: Clock;
  readonly #handleFailure: (thrown: unknown) => void;
  readonly #appointments = new Map<string, Appointment>();
  #armed: { readonly atMs: number; readonly cancel: () => void } | null = null;

  /** @param handleFailure Told what a call threw; the others are called all the same. */
  constructor(handleFailure: (thrown: unknown) => void, clock: Clock = systemClock) {
    this.#handleFailure = handleFailure;
    this.#clock = clock;
  }

  get nowMs(): number {
    return this.#clock.nowMs();
  }

  /** When the timer rings next, or null when none is armed. */
  get armedAtMs(): number | null {
    return this.#armed?.atMs ?? null;
  }

  /** Calls at a time; an earlier appointment under the same key is dropped. */
  at(key: string, atMs: number, call: () => void): void {
    this.#appointments.set(key, { atMs, call });
    if (this.#armed === null || atMs < this.#armed.atMs) this.#arm(atMs);
  }

  /** The same, unless something is due earlier under this key. */
  atLatest(key: string, atMs: number, call: () => void): void {
    const before = this.#appointments.get(key);
    if (before === undefined || before.atMs > atMs) this.at(key, atMs, call);
  }

  /** Whether something is due under this key. */
  has(key: string): boolean {
    return this.#appointments.has(key);
  }

  /** Nothing happens under this key any more. */
  cancel(key: string): void {
    if (this.#appointments.delete(key) && this.#appointments.size === 0) this.#disarm();
  }

  /** Nothing happens any more. */
  close(): void {
    this.#appointments.clear();
    this.#disarm();
  }

  #arm(atMs: number): void {
    this.#disarm();
    const afterMs = Math.min(WAIT_MS_MAX, Math.max(0, atMs - this.#clock.nowMs()));
    this.#armed = { atMs, cancel: this.#clock.wake(afterMs, () => this.#ring()) };
  }

  #disarm(): void {
    this.#armed?.cancel();
    this.#armed = null;
  }

  #ring(): void {
    this.#armed = null;
    const nowMs = this.#clock.nowMs();
    const due = [...this.#appointments].filter(([, one]) => one.atMs <= nowMs);
    for (const [key, one] of due) {
      // What rang before may have moved or cancelled it.
      if (this.#appointments.get(key) !== one) continue;
      this.#appointments.delete(key);
      try {
        one.call();
      } catch (thrown) {
        this.#handleFailure(thrown);
      }
    }
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const one of this.#appointments.values()) earliestMs = Math.min(earliestMs, one.atMs);
    if (earliestMs < Number.POSITIVE_INFINITY) this.#arm(earliestMs);
  }
}

/** The process's own clock; its timers do not keep the process alive. */
const systemClock: Clock = {
  nowMs: () => performance.now(),
  wake: (afterMs, call) => {
    // Timers ring up to a millisecond early against the monotonic clock.
    const timer = setTimeout(call, Math.ceil(afterMs) + 1);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
