/**
 * The series of origins and their targets. Targets come and go with names, so only so many have series of their own;
 * what the others counted is added up as target "other" of their origin.
 */
import type { TargetReport } from "../../control/health.js";
import type { OriginReport } from "../../control/origins.js";
import { placeOf } from "../../control/targets.js";
import type { Family, Labels, Sample } from "./exposition.js";

/** Label of all targets that have none of their own. */
export const OTHER = "other";

const STATES = ["up", "suspect", "down", "draining"] as const satisfies readonly TargetReport["health"]["state"][];

interface TargetSeries {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly unit?: string;
  readonly help: string;
  /** Null = nothing is known. */
  readonly read: (target: TargetReport) => number | null;
  readonly label?: Labels;
  /** Not told of target "other": it cannot be added up. */
  readonly alone?: true;
}

const FAILED = "Attempts at the target that failed, by what failed: its TCP, its TLS, its silence, its answer.";

/** Rows of one name stand together. */
const SERIES: readonly TargetSeries[] = [
  ...STATES.map(
    (state): TargetSeries => ({
      name: "target_state",
      type: "gauge",
      help: 'Whether the target is in this state: 1 or 0; of target "other", how many are.',
      label: { state },
      read: (target) => Number(target.health.state === state),
    }),
  ),
  gauge("target_connections_open", "Connections to the target that are open, idle ones included.", (one) => one.open),
  gauge("target_connections_idle", "Connections to the target that wait for a request.", (one) => one.idle),
  gauge("target_connections_standby", "Connections that are ready and have carried nothing.", (one) => one.standby),
  gauge("target_requests_inflight", "Requests under way at the target.", (one) => one.inflight),
  gauge("target_requests_waiting", "Requests that wait for a connection to the target.", (one) => one.waiting),
  {
    name: "target_latency_seconds",
    type: "gauge",
    unit: "seconds",
    help: "Smoothed time to the first byte of the target's answers; only known where balance is twoChoices.",
    read: (target) => (target.latencyMicros === 0 ? null : target.latencyMicros * 1e-6),
    alone: true,
  },
  counter("target_requests_succeeded", "Attempts at the target that succeeded.", (one) => one.succeeded),
  counter("target_requests_failed", FAILED, (one) => one.failedTcp, { kind: "tcp" }),
  counter("target_requests_failed", FAILED, (one) => one.failedTls, { kind: "tls" }),
  counter("target_requests_failed", FAILED, (one) => one.failedSilence, { kind: "silence" }),
  counter("target_requests_failed", FAILED, (one) => one.failedBroken, { kind: "broken" }),
];

function gauge(name: string, help: string, read: TargetSeries["read"]): TargetSeries {
  return { name, type: "gauge", help, read };
}

function counter(name: string, help: string, read: TargetSeries["read"], label: Labels = {}): TargetSeries {
  return { name, type: "counter", help, read, label };
}

interface Labelled {
  readonly labels: Labels;
  readonly target: TargetReport;
  readonly isOther: boolean;
}

/** @param targetsMax Targets, over all origins, that have series of their own. */
export function targetFamilies(origins: readonly OriginReport[], targetsMax: number): readonly Family[] {
  const all = origins.flatMap(({ targets }) => targets);
  const labelled = all.map((target, place): Labelled => {
    const isOther = place >= targetsMax;
    const name = isOther ? { target: OTHER, address: "" } : { target: target.label, address: placeOf(target) };
    return { labels: { origin: target.origin, ...name }, target, isOther };
  });
  const families = new Map<string, Family>();
  for (const series of SERIES) {
    const name = `millrace_${series.name}`;
    const before = families.get(name);
    const samples = before === undefined || before.type === "histogram" ? [] : before.samples;
    const { type, help } = series;
    const unit = series.unit === undefined ? {} : { unit: series.unit };
    families.set(name, { name, type, help, ...unit, samples: [...samples, ...summed(series, labelled)] });
  }
  return [unresolvedFamily(origins), ...families.values()];
}

/** One sample for each set of labels: what shares its labels is added up. */
function summed(series: TargetSeries, labelled: readonly Labelled[]): readonly Sample[] {
  const sums = new Map<string, { readonly labels: Labels; value: number }>();
  for (const { labels, target, isOther } of labelled) {
    const value = isOther && series.alone === true ? null : series.read(target);
    if (value === null) continue;
    const all = { ...labels, ...series.label };
    const key = JSON.stringify(all);
    const sum = sums.get(key) ?? { labels: all, value: 0 };
    sum.value += value;
    sums.set(key, sum);
  }
  return [...sums.values()];
}

function unresolvedFamily(origins: readonly OriginReport[]): Family {
  return {
    name: "millrace_origin_unresolved",
    type: "gauge",
    help: "1 where an origin has no targets because its names do not resolve.",
    samples: origins.map(({ name, unresolved }) => ({ labels: { origin: name }, value: Number(unresolved !== null) })),
  };
}
