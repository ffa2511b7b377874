/**
 * The books of a proxy must balance whenever nothing moves: what was opened was closed for a reason, every request went
 * over a new or a reused connection, and no gauge is left above zero.
 */
import type { CounterName, Stats } from "../../src/index.js";
import { STATS_LAYOUT } from "../../src/shared/stats-layout.js";
import type { RunningProxy } from "./proxy.js";
import { PATIENCE_MS, pause } from "./wire.js";

type Counters = Readonly<Record<CounterName, number>>;

/** What the cache keeps stays when nobody asks. */
const KEPT: ReadonlySet<string> = new Set(["cache_entries", "cache_bytes"]);

/** The names of all gauges that come to rest at zero. */
const GAUGES: readonly CounterName[] = STATS_LAYOUT.counters
  .filter((one) => one.kind === "gauge" && !KEPT.has(one.name))
  .map((one) => one.name);

function sumOf(counters: Counters, prefix: string): number {
  return Object.entries(counters).reduce((sum, [name, value]) => sum + (name.startsWith(prefix) ? value : 0), 0);
}

/** Everything in the books that does not add up. `lost` allows for connections that died with a worker. */
export function auditBooks(stats: Stats): string[] {
  const all = stats.all.counters;
  const complaints: string[] = [];
  const equal = (what: string, left: number, right: number): void => {
    if (left !== right) complaints.push(`${what}: ${left} against ${right}`);
  };
  equal("origin requests = reused + new", all.origin_requests, all.origin_requests_reused + all.origin_requests_new);
  equal("new = the sum of its reasons", all.origin_requests_new, sumOf(all, "origin_new_"));
  equal(
    "client connections = open + closed by reason",
    all.client_connections_accepted,
    all.client_connections_open + sumOf(all, "client_closes_"),
  );
  equal(
    "origin connections = open + closed by reason",
    all.origin_connections_opened,
    all.origin_connections_open + sumOf(all, "origin_closes_"),
  );
  for (const gauge of GAUGES) {
    if (all[gauge] < 0) complaints.push(`${gauge} is below zero: ${all[gauge]}`);
  }
  return complaints;
}

/** Gauges that are not zero, but for what a cache holds. */
export function restlessGauges(stats: Stats): string[] {
  return GAUGES.filter((gauge) => stats.all.counters[gauge] !== 0).map(
    (gauge) => `${gauge} is ${stats.all.counters[gauge]}`,
  );
}

/** Waits until every gauge is zero, then audits; the complaints. */
export async function sweepBooks(proxy: RunningProxy, ms = PATIENCE_MS): Promise<string[]> {
  const due = Date.now() + ms;
  for (;;) {
    const stats = await proxy.stats();
    const complaints = [...restlessGauges(stats), ...auditBooks(stats)];
    if (complaints.length === 0 || Date.now() > due) return complaints;
    await pause(20);
  }
}
