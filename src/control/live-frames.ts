/**
 * What the dashboard is told, line by line: types only, for the one who writes them (live.ts) and for the page.
 */
import type { TailLine } from "../shared/log-tail.js";
import type { CacheTop } from "./cache.js";
import type { CertificatesReport } from "./certificate-report.js";
import type { Model, TargetLine } from "./model.js";

/** One second, as charts keep it. All rates are per second. */
export interface Point {
  /** In ms since 1970. */
  readonly atMs: number;
  readonly requests: number;
  readonly failed4xx: number;
  readonly failed5xx: number;
  /** Times of this second's exchanges, in ms; null = there were none. */
  readonly p50: number | null;
  readonly p99: number | null;
  /** This second's exchanges by duration: bucket of the histogram, how many. */
  readonly buckets: readonly (readonly [number, number])[];
}

/** A target with what its pool needs, and what became of its health. */
export interface LiveTarget extends TargetLine {
  /** Most connections at once that were in use or waited for, within the last minute. */
  readonly needed: number;
  /** The latest changes of its health, the oldest first. */
  readonly history: readonly HealthStep[];
}

export interface HealthStep {
  readonly at: string;
  readonly from: string;
  readonly to: string;
  readonly reason: string;
}

/** A route by name; rates are per second. */
export interface LiveRoute {
  readonly route: string;
  readonly requests: number;
  readonly failed5xx: number;
  /** Of the exchanges that ended in this second; null = none did. */
  readonly meanMs: number | null;
}

/** Something that an operator would be told of. */
export interface LiveEvent {
  readonly at: string;
  readonly kind: "health" | "plan" | "restart";
  readonly isTrouble: boolean;
  readonly says: string;
}

/** A line of the stream: a second, and what is new besides. */
export interface Frame {
  readonly point: Point;
  readonly model: Model;
  readonly routes: readonly LiveRoute[];
  readonly targets: readonly LiveTarget[];
  /** Targets that are not told of, because there are too many. */
  readonly untold: number;
  /** Log lines since the frame before. */
  readonly log: readonly TailLine[];
  /** All of them, the latest first; absent = the same as before. */
  readonly events?: readonly LiveEvent[];
  /** Absent = the same as before. */
  readonly certificates?: CertificatesReport;
  /** What is asked for most out of the cache; absent = the same as before. */
  readonly cacheTop?: readonly CacheTop[];
}

/** The first line of the stream: what came before, as far as it is known. */
export interface Hello {
  readonly kind: "hello";
  /** How a bucket of the histogram of exchanges reads: see src/shared/histogram.ts. */
  readonly subBits: number;
  readonly points: readonly Point[];
  readonly frame: Frame;
}
