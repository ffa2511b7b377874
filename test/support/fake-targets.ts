/**
 * A core of nothing but targets: counters that a test moves, and every order it was given.
 */
import type { TargetState } from "../../src/control/target-health.js";
import type { TargetPort, TargetReading } from "../../src/control/targets.js";
import type { HealthPolicy } from "../../src/shared/policies.js";

/** A policy that marks down after three failures in a row, without checks. */
export const PLAIN_POLICY: HealthPolicy = {
  check: null,
  passive: { level: 4, failures: 3, windowMs: 0, downMs: 1000, downMsMax: 8000 },
  ejection: null,
};

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** A target that has done nothing, with the given parts in place of its own. */
export function targetReadingOf(parts: Partial<TargetReading> = {}): TargetReading {
  return {
    number: 0,
    origin: "app",
    label: "app.test:80",
    address: "10.0.0.1",
    port: 80,
    state: "up",
    open: 0,
    idle: 0,
    idleByShard: [0],
    inflight: 0,
    waiting: 0,
    latencyMicros: 0,
    learnedIdleMs: 0,
    standby: 0,
    succeeded: 0,
    failedTcp: 0,
    failedTls: 0,
    failedSilence: 0,
    failedBroken: 0,
    failuresInRow: 0,
    ...parts,
  };
}

/** Targets that a test can make succeed and fail. */
export class FakeTargets implements TargetPort {
  readonly targets: Mutable<TargetReading>[] = [];
  /** Every `setTargetState`, as `number state`. */
  readonly orders: string[] = [];
  looks = 0;

  readonly readTargets = (): readonly TargetReading[] => {
    this.looks += 1;
    return this.targets.map((one) => ({ ...one }));
  };

  readonly setTargetState = (target: number, state: TargetState): void => {
    this.orders.push(`${target} ${state}`);
    this.at(target).state = state;
  };

  /** Adds a target of an origin; its number is its place. */
  add(origin: string, label = "name:80", address = `10.0.0.${this.targets.length}`): number {
    const number = this.targets.length;
    this.targets.push(targetReadingOf({ number, origin, label, address }));
    return number;
  }

  at(number: number): Mutable<TargetReading> {
    const target = this.targets[number];
    if (target === undefined) throw new Error(`the fake has no target ${number}`);
    return target;
  }

  succeed(number: number, times = 1): void {
    const target = this.at(number);
    target.succeeded += times;
    target.failuresInRow = 0;
  }

  fail(number: number, rung: 1 | 2 | 3 | 4, times = 1): void {
    const target = this.at(number);
    const field = (["failedTcp", "failedTls", "failedSilence", "failedBroken"] as const)[rung - 1];
    if (field !== undefined) target[field] += times;
    target.failuresInRow += times;
  }
}
