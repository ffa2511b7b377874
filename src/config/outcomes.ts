/**
 * The notation for outcomes of an attempt in routes, and what it compiles to:
 *
 * | written | means |
 * |---|---|
 * | `502`, `"502"` | that status |
 * | `"500-504"` | these statuses |
 * | `"5xx"` | 500 to 599 |
 * | `connect_refused`, `header_timeout` … | that class of failure (faults.ts) |
 *
 * Where both may be written, a status also stands for the failures that would be answered with it: an origin that is
 * silent is no better than one that says 504, and whoever writes "5xx" means both.
 */
import type { Parsed } from "./addresses.js";
import { FAULTS, type Fault } from "./faults.js";
import { suggestion } from "./suggest.js";

/** Statuses from and to, both included. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

/** What a list of outcomes compiles to. */
export interface Outcomes {
  readonly statuses: readonly StatusRange[];
  /** Tokens of failures. */
  readonly faults: readonly string[];
}

/** Classes of failure that routes name: all but `status`, which is written as the status itself. */
export const NAMED_FAULTS: readonly Fault[] = FAULTS.filter(({ token }) => token !== "status");

const STATUS_MIN = 100;
const STATUS_MAX = 599;
const STATUS_NOTATION = `a status (${STATUS_MIN} to ${STATUS_MAX}), a range like "500-504", or a hundred like "5xx"`;

/** `502`, `"502"`, `"500-504"`, `"5xx"`. */
export function parseStatus(word: string | number): Parsed<StatusRange> {
  const hundred = /^([1-5])xx$/i.exec(String(word));
  if (hundred !== null) {
    const from = Number(hundred[1]) * 100;
    return { ok: true, value: { from, to: from + 99 } };
  }
  const found = /^(\d{3})(?:-(\d{3}))?$/.exec(String(word));
  const [from, to] = [Number(found?.[1]), Number(found?.[2] ?? found?.[1])];
  if (found === null || from < STATUS_MIN || to > STATUS_MAX) {
    return { ok: false, says: `"${word}" is not ${STATUS_NOTATION}` };
  }
  return from > to ? { ok: false, says: `"${word}" ends before it begins` } : { ok: true, value: { from, to } };
}

/** What is wrong with a status, or null. */
export function judgeStatus(word: string | number): string | null {
  const parsed = parseStatus(word);
  return parsed.ok ? null : parsed.says;
}

/** What is wrong with an outcome, or null. */
export function judgeOutcome(word: string | number): string | null {
  if (isClass(word)) return null;
  if (typeof word === "number" || /^\d/.test(word)) return judgeStatus(word);
  if (word === "status") return `is written as the status itself: ${STATUS_NOTATION}`;
  const classes = NAMED_FAULTS.map((fault) => fault.token);
  return `"${word}" is neither ${STATUS_NOTATION}, nor a class of failure${suggestion(word, classes)}`;
}

/** Compiles statuses that `judgeStatus` found nothing wrong with. */
export function compileStatuses(words: readonly (string | number)[]): StatusRange[] {
  return words.flatMap((word) => {
    const parsed = parseStatus(word);
    return parsed.ok ? [parsed.value] : [];
  });
}

/** Compiles outcomes that `judgeOutcome` found nothing wrong with; failures are in the order of the table. */
export function compileOutcomes(words: readonly (string | number)[]): Outcomes {
  const statuses = compileStatuses(words.filter((word) => !isClass(word)));
  const faults = NAMED_FAULTS.filter(({ token, status }) => words.includes(token) || holds(statuses, status));
  return { statuses, faults: faults.map((fault) => fault.token) };
}

function isClass(word: string | number): boolean {
  return NAMED_FAULTS.some((fault) => fault.token === word);
}

function holds(ranges: readonly StatusRange[], status: number): boolean {
  return ranges.some(({ from, to }) => from <= status && status <= to);
}
