/**
 * How long something takes, and how late this machine was meanwhile. A test of a timer may ask for "not before", and for
 * "not much later" only as far as the machine itself was in time: on a loaded one the bound moves with the load.
 */
import { strict as assert } from "node:assert";

/** How often lateness is looked at; milliseconds. */
const TICK_MS = 5;
/** Threads in a row that may each have been as late as this one. */
const HOPS = 6;

/** A time that was taken. */
export interface Took<T> {
  readonly result: T;
  readonly tookMs: number;
  /** What a wait may have taken longer because this machine was busy. */
  readonly excusedMs: number;
}

/** Takes the time of something. */
export async function timed<T>(play: () => Promise<T>): Promise<Took<T>> {
  let [worstMs, lastMs] = [0, performance.now()];
  const look = (): void => {
    const nowMs = performance.now();
    worstMs = Math.max(worstMs, nowMs - lastMs - TICK_MS);
    lastMs = nowMs;
  };
  const ticking = setInterval(look, TICK_MS);
  const begunMs = performance.now();
  try {
    const result = await play();
    look();
    return { result, tookMs: performance.now() - begunMs, excusedMs: worstMs * HOPS };
  } finally {
    clearInterval(ticking);
  }
}

/** What plays must take at least `leastMs` and at most `mostMs`, the machine's own lateness aside. */
export async function takes<T>(leastMs: number, mostMs: number, play: () => Promise<T>): Promise<T> {
  const { result, tookMs, excusedMs } = await timed(play);
  const told = `${tookMs.toFixed(0)} ms, not ${leastMs} to ${mostMs}; ${excusedMs.toFixed(0)} ms are the machine's`;
  assert.ok(tookMs >= leastMs && tookMs <= mostMs + excusedMs, told);
  return result;
}
