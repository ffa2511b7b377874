/**
 * What `millrace top` and the dashboard show, out of two readings: rates between them, and gauges of the later one. Knows
 * nothing of terminals and pages.
 */
import type { OriginsReport } from "./origins.js";
import type { CounterName, Quantiles, Row, Stats } from "./stats.js";
import { placeOf } from "./targets.js";

/** What is shown of the proxy itself. */
export interface ModelStatus {
  readonly version: string;
  readonly uptimeMs: number;
  readonly whyNotReady: string | null;
  readonly generation: number;
  readonly workers: readonly { readonly ready: boolean }[];
}

/** One reading. */
export interface Snapshot {
  /** On a clock that only goes forward, in ms. */
  readonly atMs: number;
  readonly status: ModelStatus;
  readonly stats: Stats;
  readonly origins: OriginsReport;
}

/** Times of exchanges since the start, in ms. */
export interface Times {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** A name with so many a second. */
export interface Named {
  readonly name: string;
  readonly perSecond: number;
}

/** Everything that is shown; all rates are per second. */
export interface Model {
  readonly version: string;
  readonly uptimeMs: number;
  readonly whyNotReady: string | null;
  readonly generation: number;
  readonly intervalMs: number;
  readonly client: {
    readonly requests: number;
    readonly answers: readonly Named[];
    /** Of all final answers; null = there were none. */
    readonly errorShare: number | null;
    readonly connectionsNew: number;
    readonly connectionsOpen: number;
    readonly connectionsIdle: number;
    readonly exchangesOpen: number;
    readonly tunnelsOpen: number;
    readonly bytesReceived: number;
    readonly bytesSent: number;
    readonly tlsHandshakes: number;
    readonly exchangeMs: Times;
    readonly closes: readonly Named[];
    readonly faults: readonly Named[];
  };
  readonly origin: {
    readonly requests: number;
    /** Null = there were none. */
    readonly reuseShare: number | null;
    readonly connectionsOpen: number;
    readonly connectionsIdle: number;
    readonly waiting: number;
    readonly opened: number;
    readonly stolen: number;
    readonly retried: number;
    readonly escalated: number;
    readonly firstByteMs: Times;
    readonly notReused: readonly Named[];
    readonly closes: readonly Named[];
    readonly faults: readonly Named[];
    readonly targets: readonly TargetLine[];
  };
  /** Null = no request has come to the cache since the start. */
  readonly cache: CacheModel | null;
  readonly workers: readonly WorkerLine[];
}

/** What became of requests on caching routes. */
export interface CacheModel {
  /** Of those that did not pass the cache by, answered out of it; null = there were none. */
  readonly hitShare: number | null;
  readonly outcomes: readonly Named[];
  readonly stored: number;
  readonly evicted: number;
  readonly bytesServed: number;
  readonly entries: number;
  readonly bytes: number;
}

export interface TargetLine {
  readonly origin: string;
  readonly target: string;
  readonly address: string;
  readonly state: string;
  readonly open: number;
  readonly idle: number;
  readonly inflight: number;
  readonly waiting: number;
  readonly succeeded: number;
  readonly failed: number;
  /** Null = not known: it is measured where balance is twoChoices. */
  readonly latencyMs: number | null;
}

export interface WorkerLine {
  readonly worker: number;
  readonly ready: boolean;
  readonly requests: number;
  readonly clientsOpen: number;
  readonly exchangesOpen: number;
  readonly originsOpen: number;
  readonly stolen: number;
  /** Share of the time spent in turns. */
  readonly busyShare: number;
  readonly turnP99Ms: number;
}

type Rate = (name: CounterName) => number;

/** What happened between two readings. */
export function modelOf(before: Snapshot, now: Snapshot): Model {
  const { status, stats } = now;
  const intervalMs = now.atMs - before.atMs;
  const rate = rateOf(before.stats.all, stats.all, intervalMs);
  return {
    version: status.version,
    uptimeMs: status.uptimeMs,
    whyNotReady: status.whyNotReady,
    generation: status.generation,
    intervalMs,
    client: clientOf(stats, rate),
    origin: originOf(before, now, rate),
    cache: cacheOf(stats, rate),
    workers: stats.workers.map((row, worker) => {
      const own = rateOf(before.stats.workers[worker] ?? row, row, intervalMs);
      return {
        worker,
        ready: status.workers[worker]?.ready ?? false,
        requests: own("requests"),
        clientsOpen: row.counters.client_connections_open,
        exchangesOpen: row.counters.exchanges_open,
        originsOpen: row.counters.origin_connections_open,
        stolen: own("origin_connections_stolen"),
        busyShare: own("turn_micros") / 1e6,
        turnP99Ms: row.histograms.turn_length_micros.p99 / 1000,
      };
    }),
  };
}

function clientOf({ all }: Stats, rate: Rate): Model["client"] {
  const { counters, histograms } = all;
  const answers = named(all, rate, "answers_").filter(({ name }) => /^[2-5]xx$/.test(name));
  const total = answers.reduce((sum, one) => sum + one.perSecond, 0);
  return {
    requests: rate("requests"),
    answers,
    errorShare: total === 0 ? null : rate("answers_5xx") / total,
    connectionsNew: rate("client_connections_accepted"),
    connectionsOpen: counters.client_connections_open,
    connectionsIdle: counters.client_connections_idle,
    exchangesOpen: counters.exchanges_open,
    tunnelsOpen: counters.tunnels_open,
    bytesReceived: rate("client_bytes_received"),
    bytesSent: rate("client_bytes_sent"),
    tlsHandshakes: rate("tls_handshakes"),
    exchangeMs: timesOf(histograms.exchange_micros),
    closes: busiest(named(all, rate, "client_closes_")),
    faults: busiest([...named(all, rate, "client_fault_"), ...named(all, rate, "client_wire_fault_")]),
  };
}

function originOf(before: Snapshot, { stats, origins, atMs }: Snapshot, rate: Rate): Model["origin"] {
  const { counters, histograms } = stats.all;
  const requests = rate("origin_requests");
  const earlier = new Map(before.origins.origins.flatMap(({ targets }) => targets.map((one) => [one.number, one])));
  const perSecond = (change: number) => Math.max(0, (change * 1000) / Math.max(1, atMs - before.atMs));
  const targets = origins.origins.flatMap(({ targets }) =>
    targets.map((target): TargetLine => {
      const past = earlier.get(target.number) ?? target;
      const failures = (one: typeof target) => one.failedTcp + one.failedTls + one.failedSilence + one.failedBroken;
      const { origin, label, open, idle, inflight, waiting, latencyMicros } = target;
      return {
        origin,
        target: label,
        address: placeOf(target),
        state: target.health.state,
        open,
        idle,
        inflight,
        waiting,
        succeeded: perSecond(target.succeeded - past.succeeded),
        failed: perSecond(failures(target) - failures(past)),
        latencyMs: latencyMicros === 0 ? null : latencyMicros / 1000,
      };
    }),
  );
  return {
    requests,
    reuseShare: requests === 0 ? null : rate("origin_requests_reused") / requests,
    connectionsOpen: counters.origin_connections_open,
    connectionsIdle: counters.origin_connections_idle,
    waiting: counters.pool_queue_length,
    opened: rate("origin_connections_opened"),
    stolen: rate("origin_connections_stolen"),
    retried: rate("origin_repeats") + rate("origin_next_targets"),
    escalated: rate("escalations"),
    firstByteMs: timesOf(histograms.origin_first_byte_micros),
    notReused: busiest(named(stats.all, rate, "origin_new_")),
    closes: busiest(named(stats.all, rate, "origin_closes_")),
    faults: busiest(named(stats.all, rate, "origin_fault_")),
    targets,
  };
}

/** Outcomes in which the cache gave the answer, and in which it did not. */
const SERVED = ["hits", "stale", "coalesced", "revalidated"] as const;
const NOT_SERVED = ["misses", "bypassed"] as const;

function cacheOf({ all: { counters } }: Stats, rate: Rate): CacheModel | null {
  const outcomes = [...SERVED, ...NOT_SERVED];
  if (outcomes.every((name) => counters[`cache_${name}`] === 0)) return null;
  const served = SERVED.reduce((sum, name) => sum + rate(`cache_${name}`), 0);
  const asked = served + rate("cache_misses");
  return {
    hitShare: asked === 0 ? null : served / asked,
    outcomes: outcomes.map((name) => ({ name, perSecond: rate(`cache_${name}`) })),
    stored: rate("cache_stored"),
    evicted: rate("cache_evicted"),
    bytesServed: rate("cache_bytes_served"),
    entries: counters.cache_entries,
    bytes: counters.cache_bytes,
  };
}

/** A proxy that was started again counts from zero: then nothing is known of the interval, and nothing is below zero. */
function rateOf(before: Row, now: Row, intervalMs: number): Rate {
  return (name) => Math.max(0, ((now.counters[name] - before.counters[name]) * 1000) / Math.max(1, intervalMs));
}

/** All counters that begin so, by what follows. */
function named(row: Row, rate: Rate, beginning: string): readonly Named[] {
  return (Object.keys(row.counters) as CounterName[])
    .filter((name) => name.startsWith(beginning))
    .map((name) => ({ name: name.slice(beginning.length), perSecond: rate(name) }));
}

function busiest(all: readonly Named[]): readonly Named[] {
  return all.filter(({ perSecond }) => perSecond > 0).sort((a, b) => b.perSecond - a.perSecond);
}

function timesOf({ p50, p90, p99, max }: Quantiles): Times {
  return { p50: p50 / 1000, p90: p90 / 1000, p99: p99 / 1000, max: max / 1000 };
}
