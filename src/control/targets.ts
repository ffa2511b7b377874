/**
 * Targets as the core reads them out, and the door through which the control plane moves them.
 */
import type { TargetState } from "./target-health.js";

/** One target; the counters only rise, but for `failuresInRow`, which a success sets to 0. */
export interface TargetReading {
  readonly number: number;
  readonly origin: string;
  /** As the operator wrote it: `name:port`. */
  readonly label: string;
  readonly address: string;
  readonly port: number;
  /** `removed`: the plan no longer has it; it finishes what it has. */
  readonly state: TargetState | "removed";
  /** Connections open, idle ones included. */
  readonly open: number;
  readonly idle: number;
  readonly idleByShard: readonly number[];
  /** Requests under way. */
  readonly inflight: number;
  /** Requests waiting for a connection. */
  readonly waiting: number;
  readonly latencyMicros: number;
  readonly learnedIdleMs: number;
  /** Connections that are ready and have carried nothing. */
  readonly standby: number;
  readonly succeeded: number;
  readonly failedTcp: number;
  readonly failedTls: number;
  readonly failedSilence: number;
  readonly failedBroken: number;
  readonly failuresInRow: number;
}

/** What the keeper of health needs of the core. */
export interface TargetPort {
  readonly readTargets: () => readonly TargetReading[];
  readonly setTargetState: (target: number, state: TargetState) => void;
}

/** Failures up to a level of the ladder (`PassivePolicy.level`). */
export function failuresUpTo(level: number, reading: TargetReading): number {
  const { failedTcp, failedTls, failedSilence, failedBroken } = reading;
  return [failedTcp, failedTls, failedSilence, failedBroken].slice(0, level).reduce((sum, one) => sum + one, 0);
}

/** The highest level of the ladder: every failure that is an origin's. */
export const LEVEL_MAX = 4;

/** `address:port`, IPv6 in brackets. */
export function placeOf(target: { readonly address: string; readonly port: number }): string {
  return `${target.address.includes(":") ? `[${target.address}]` : target.address}:${target.port}`;
}
