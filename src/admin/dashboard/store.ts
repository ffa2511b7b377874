/**
 * What the page knows, line of the stream by line: nothing of browsers, so that tests can read it.
 */
import type { CacheTop } from "../../control/cache.js";
import type { CertificatesReport } from "../../control/certificate-report.js";
import type { Frame, Hello, LiveEvent, LiveRoute, LiveTarget, Point } from "../../control/live-frames.js";
import type { Model } from "../../control/model.js";
import type { TailLine } from "../../shared/log-tail.js";

/** Seconds that the charts show. */
export const SECONDS = 180;
/** Log lines that are shown. */
export const LINES_MAX = 200;

/** Everything that is drawn. */
export interface View {
  readonly subBits: number;
  readonly points: readonly Point[];
  readonly model: Model;
  readonly routes: readonly LiveRoute[];
  readonly targets: readonly LiveTarget[];
  readonly untold: number;
  readonly events: readonly LiveEvent[];
  readonly certificates: CertificatesReport;
  readonly cacheTop: readonly CacheTop[];
  readonly log: readonly TailLine[];
}

/** A line of the stream laid over what was known; a line that is neither greeting nor sample is left out. */
export function take(view: View | null, line: string): View | null {
  const told = JSON.parse(line) as Hello | Frame;
  if ("kind" in told) return begin(told);
  if (view === null) return null;
  const { point, model, routes, targets, untold, log, events = view.events } = told;
  const { certificates = view.certificates, cacheTop = view.cacheTop } = told;
  return {
    subBits: view.subBits,
    points: [...view.points, point].slice(-SECONDS),
    model,
    routes,
    targets,
    untold,
    events,
    certificates,
    cacheTop,
    log: [...view.log, ...log].slice(-LINES_MAX),
  };
}

function begin({ subBits, points, frame }: Hello): View {
  const { model, routes, targets, untold, log, events = [], cacheTop = [] } = frame;
  const certificates = frame.certificates ?? { listeners: [], origins: [] };
  return {
    subBits,
    points: points.slice(-SECONDS),
    model,
    routes,
    targets,
    untold,
    log,
    events,
    certificates,
    cacheTop,
  };
}

/** What a listener of this page should hear of a change, in one sentence; null = nothing of weight. */
export function announce(before: View, now: View): string | null {
  const [was, is] = [before.model.whyNotReady, now.model.whyNotReady];
  if (was !== is) return is === null ? "Ready." : `Not ready: ${is}`;
  const states = new Map(before.targets.map((one) => [keyOf(one), one.state]));
  const changed = now.targets.filter((one) => states.has(keyOf(one)) && states.get(keyOf(one)) !== one.state);
  const [first] = changed;
  if (first === undefined) return null;
  return changed.length === 1
    ? `Target ${first.target} of ${first.origin} is ${first.state}.`
    : `${changed.length} targets changed, ${changed.filter(({ state }) => state === "down").length} of them to down.`;
}

/** Names a target among all. */
export function keyOf({ origin, address }: Pick<LiveTarget, "origin" | "address">): string {
  return `${origin} ${address}`;
}

/** A stretch of a timeline. */
export interface Stretch {
  readonly state: string;
  /** Shares of the width. */
  readonly from: number;
  readonly to: number;
}

/**
 * The states of a target over the last stretch of time; before its first change it was what that one came from, and before
 * the start it was nothing.
 */
export function stretchesOf(
  { state, history }: Pick<LiveTarget, "state" | "history">,
  nowMs: number,
  spanMs: number,
  uptimeMs: number,
): readonly Stretch[] {
  const shareAt = (ms: number) => Math.min(1, Math.max(0, 1 - (nowMs - ms) / spanMs));
  const steps = history.map(({ at, from, to }) => ({ atMs: Date.parse(at), from, to }));
  const bounds = [shareAt(nowMs - uptimeMs), ...steps.map(({ atMs }) => shareAt(atMs)), 1];
  const states = [steps[0]?.from ?? state, ...steps.map(({ to }) => to)];
  return states
    .map((one, at) => ({ state: one, from: bounds[at] ?? 0, to: bounds[at + 1] ?? 1 }))
    .filter(({ from, to }) => to > from);
}

/** One line of the log as it is shown. */
export interface ShownLine {
  readonly at: string;
  readonly level: string;
  readonly says: string;
}

const LEVELS: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};

/** A line of the process log; one that is cut or no JSON is shown as it is. */
export function readLine(text: string): ShownLine {
  try {
    const { time, level, msg, ...rest } = JSON.parse(text) as Record<string, unknown>;
    const more = Object.entries(rest).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    return {
      at: timeOf(Number(time)),
      level: LEVELS[Number(level)] ?? String(level),
      says: [String(msg ?? ""), ...more].join("  "),
    };
  } catch {
    return { at: "", level: "", says: text };
  }
}

/** The time of day, as clocks where the page is read show it. */
export function timeOf(when: number | string): string {
  const date = new Date(when);
  return Number.isNaN(date.getTime()) ? "" : date.toTimeString().slice(0, 8);
}
