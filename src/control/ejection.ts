/**
 * Statistical ejection: which targets of an origin succeed markedly less often than their siblings. Pure; the time out
 * of use and the way back are the state machine's (target-health.ts).
 */
import type { EjectionPolicy } from "../shared/policies.js";

/** What a target did within the interval. */
export interface Tally {
  readonly target: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Whether it is up and so may be ejected. */
  readonly isUp: boolean;
  /** Whether it is out of use through ejection already. */
  readonly isEjected: boolean;
}

/** A target to be ejected, and why. */
export interface Ejection {
  readonly target: number;
  readonly why: string;
}

/**
 * Targets whose success rate lies more than `deviations` standard deviations below the mean of all that had enough
 * requests; the worst first, and never more at once than the policy's share of all targets (but one).
 */
export function decideEjections(policy: EjectionPolicy, tallies: readonly Tally[]): readonly Ejection[] {
  const compared = tallies
    .filter((one) => one.succeeded + one.failed >= Math.max(1, policy.requestsMin))
    .map((one) => ({ ...one, rate: one.succeeded / (one.succeeded + one.failed) }));
  if (compared.length < Math.max(2, policy.targetsMin)) return [];
  const mean = compared.reduce((sum, one) => sum + one.rate, 0) / compared.length;
  const variance = compared.reduce((sum, one) => sum + (one.rate - mean) ** 2, 0) / compared.length;
  const bound = mean - policy.deviations * Math.sqrt(variance);
  const most = Math.max(1, Math.floor((tallies.length * policy.percentMax) / 100));
  const room = Math.max(0, most - tallies.filter((one) => one.isEjected).length);
  return compared
    .filter((one) => one.isUp && one.failed > 0 && one.rate < bound)
    .sort((a, b) => a.rate - b.rate)
    .slice(0, room)
    .map((one) => ({ target: one.target, why: describe(one.rate, mean, bound) }));
}

function describe(rate: number, mean: number, bound: number): string {
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  return `${percent(rate)} of its requests succeeded, below ${percent(bound)} (mean of its siblings ${percent(mean)})`;
}
