/**
 * Reads the stats block: a row of 64-bit words an edge worker and one for the acceptor, each written by its own thread.
 * Reading takes no lock, so the words of one reading may be some turns apart.
 */
import { MillraceError } from "../shared/errors.js";
import { quantile } from "../shared/histogram.js";
import { STATS_LAYOUT } from "../shared/stats-layout.js";
import type { CertificateExpiry } from "./certificate-report.js";

type LayoutCounter = (typeof STATS_LAYOUT)["counters"][number];
type LayoutHistogram = (typeof STATS_LAYOUT)["histograms"][number];

/** The names of all counters and gauges; docs and meanings are in `STATS_LAYOUT`. */
export type CounterName = LayoutCounter["name"];
/** The names of all histograms. */
export type HistogramName = LayoutHistogram["name"];

/** What is counted of one route, by name; meanings are in `STATS_LAYOUT`. */
export type RouteCounts = Readonly<Record<(typeof STATS_LAYOUT)["routes"]["words"][number]["name"], number>>;

/** What is counted of all routes. */
export interface RoutesReading {
  /** Names of the routes that have places of their own, in the order of these. */
  readonly names: readonly string[];
  /** By place. */
  readonly counts: readonly RouteCounts[];
}

/** One histogram: how many values, and values at or below which a share of them lies (unit in its name). */
export interface Quantiles {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** The books of one worker, or of all. */
export interface Row {
  readonly counters: Readonly<Record<CounterName, number>>;
  readonly histograms: Readonly<Record<HistogramName, Quantiles>>;
}

/** The books of one row as they stand in the block: histograms bucket by bucket. */
export interface RawRow {
  readonly counters: Readonly<Record<CounterName, number>>;
  readonly histograms: Readonly<Record<HistogramName, readonly number[]>>;
}

/** One reading of the stats block. */
export interface Stats {
  /** Milliseconds since the start. */
  readonly uptimeMs: number;
  /** Sums over all workers and the acceptor. */
  readonly all: Row;
  /** By index of the edge worker. */
  readonly workers: readonly Row[];
  readonly acceptor: Row;
  /** Threads replaced since the start. */
  readonly workersReplaced: number;
  /** Access-log lines lost since the start, because their sink was slow or broken. */
  readonly accessLogLostLines: number;
  /** Every certificate that is served or shown, with the days it has left. */
  readonly certificates: readonly CertificateExpiry[];
}

/** The shared block of one proxy. */
export class StatsBlock {
  readonly words: BigUint64Array;
  readonly #workers: number;

  constructor(workers: number) {
    this.#workers = workers;
    this.words = new BigUint64Array(new SharedArrayBuffer((workers + 1) * STATS_LAYOUT.rowWords * 8));
  }

  /** Every row by itself and the sum of all. */
  read(): Pick<Stats, "all" | "workers" | "acceptor"> {
    const indices = this.#rows();
    return {
      all: this.#readRows(indices),
      workers: indices.slice(0, -1).map((index) => this.#readRows([index])),
      acceptor: this.#readRows([this.#workers]),
    };
  }

  /** Every row with its buckets: the workers', then the acceptor's. */
  readRaw(): { readonly workers: readonly RawRow[]; readonly acceptor: RawRow } {
    const rows = this.#rows().map((row) => ({
      counters: this.#readCounters([row]),
      histograms: Object.fromEntries(
        histograms().map((one) => [one.name, this.#readBuckets(one, [row])]),
      ) as RawRow["histograms"],
    }));
    const [acceptor] = rows.slice(-1);
    if (acceptor === undefined) throw new Error("the stats block has no row");
    return { workers: rows.slice(0, -1), acceptor };
  }

  /** One histogram over all rows, bucket by bucket. */
  readHistogram(name: HistogramName): readonly number[] {
    const histogram = histograms().find((one) => one.name === name);
    return histogram === undefined ? [] : this.#readBuckets(histogram, this.#rows());
  }

  /** What is counted of routes, place by place, over all rows. */
  readRoutes(): readonly RouteCounts[] {
    const { at, slots, words } = STATS_LAYOUT.routes;
    const rows = this.#rows();
    return Array.from(
      { length: slots },
      (_, slot) =>
        Object.fromEntries(
          words.map(({ name }, place) => [name, this.#sumAt(at + slot * words.length + place, rows)]),
        ) as RouteCounts,
    );
  }

  /** Sum of one counter over all rows. */
  sum(name: CounterName): number {
    const counter = counters().find((one) => one.name === name);
    return counter === undefined ? 0 : this.#sumAt(counter.at, this.#rows());
  }

  /** Indices of all rows: the workers', then the acceptor's. */
  #rows(): readonly number[] {
    return Array.from({ length: this.#workers + 1 }, (_, index) => index);
  }

  #readRows(rows: readonly number[]): Row {
    return {
      counters: this.#readCounters(rows),
      histograms: Object.fromEntries(
        histograms().map((one) => [one.name, this.#quantiles(one, rows)]),
      ) as Row["histograms"],
    };
  }

  #readCounters(rows: readonly number[]): Row["counters"] {
    return Object.fromEntries(counters().map((one) => [one.name, this.#sumAt(one.at, rows)])) as Row["counters"];
  }

  #readBuckets(histogram: HistogramShape, rows: readonly number[]): readonly number[] {
    return Array.from({ length: histogram.buckets }, (_, bucket) => this.#sumAt(histogram.at + bucket, rows));
  }

  #quantiles(histogram: HistogramShape, rows: readonly number[]): Quantiles {
    const counts = this.#readBuckets(histogram, rows);
    const at = (share: number) => quantile(counts, histogram.subBits, share);
    const count = counts.reduce((sum, one) => sum + one, 0);
    return { count, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) };
  }

  /** Signed: a gauge of one row may be below zero, since what one worker opened another may close. */
  #sumAt(at: number, rows: readonly number[]): number {
    const words = rows.map((row) => Atomics.load(this.words, row * STATS_LAYOUT.rowWords + at));
    return Number(
      BigInt.asIntN(
        64,
        words.reduce((sum, word) => sum + word, 0n),
      ),
    );
  }
}

/**
 * Both sides of the border must read the block alike, or every figure would be another's.
 *
 * @throws MillraceError `MILLRACE_NATIVE` when the loaded core has another layout than this build.
 */
export function assertLayout(layout: string): void {
  if (JSON.stringify(JSON.parse(layout)) === JSON.stringify(STATS_LAYOUT)) return;
  throw new MillraceError(
    "MILLRACE_NATIVE",
    'The native core and this build lay out the stats block differently; run "npm run build" and start again.',
  );
}

interface CounterShape {
  readonly name: CounterName;
  readonly at: number;
}

interface HistogramShape {
  readonly name: HistogramName;
  readonly at: number;
  readonly buckets: number;
  readonly subBits: number;
}

function counters(): readonly CounterShape[] {
  return STATS_LAYOUT.counters;
}

function histograms(): readonly HistogramShape[] {
  return STATS_LAYOUT.histograms;
}
