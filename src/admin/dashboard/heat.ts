/**
 * The latency heat map as a table of counts: columns are seconds, rows are half powers of two of a millisecond.
 */
import type { Point } from "../../control/live-frames.js";
import { bucketTop } from "../../shared/histogram.js";

/** Rows of the map: from 2^LOWEST ms up, two a power of two. */
const LOWEST = -4;
export const ROWS = 36;

/** The row that a duration belongs to. */
export function rowOf(ms: number): number {
  const row = Math.floor(2 * (Math.log2(Math.max(ms, 1e-6)) - LOWEST));
  return Math.min(ROWS - 1, Math.max(0, row));
}

/** Where a duration lies in the map, as a share of its height from below. */
export function heightOf(ms: number): number {
  return Math.min(1, Math.max(0, (2 * (Math.log2(Math.max(ms, 1e-6)) - LOWEST)) / ROWS));
}

/** Durations that are written beside the map: in ms, and as they are written. */
export const MARKS: readonly (readonly [number, string])[] = [
  [0.1, "0.1 ms"],
  [1, "1 ms"],
  [10, "10 ms"],
  [100, "100 ms"],
  [1000, "1 s"],
  [10_000, "10 s"],
];

/** Counts by row. */
export function columnOf({ buckets }: Point, subBits: number): readonly number[] {
  const rows = Array.from({ length: ROWS }, () => 0);
  for (const [bucket, count] of buckets) {
    const row = rowOf(bucketTop(bucket, subBits) / 1000);
    rows[row] = (rows[row] ?? 0) + count;
  }
  return rows;
}
