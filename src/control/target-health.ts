/**
 * The health of one target: a pure state machine, told events and the time.
 *
 * | state | promises | exits |
 * |---|---|---|
 * | UP | gets its share | DOWN: `fall` bad checks in a row; `failures` of requests in a row or within the window (as far as the ladder's level counts them); ejected |
 * | DOWN | gets nothing (unless the core panics) | SUSPECT: its time is over and its checks do not fail; a good check, if checks or, for the first time, requests had put it down (UP at once where `rise` is reached) |
 * | SUSPECT | gets at most `rise` tries at once | UP: a request succeeds, or `rise` good checks in a row; DOWN: a request fails, or a check does |
 * | DRAINING | gets nothing new, finishes what it has | by hand only: UP if it was up before, else SUSPECT |
 *
 * Every state but DRAINING goes to DRAINING by hand. A target put down by checks has no time: only a good check brings
 * it back, or settings that check it no more. Times out of use double with each fall that follows a return by less than the last time out of use.
 */
import type { HealthPolicy } from "../shared/policies.js";

/** A target's state as the core is told. */
export type TargetState = "up" | "down" | "suspect" | "draining";

/** Who put a target down. */
export type DownCause = "checks" | "requests" | "ejection";

/** Tries a suspect target gets at once where no checks say how many. */
const TRIES_DEFAULT = 2;
/** A time out of use doubles at most this often; the policy's maximum is reached long before. */
const DOUBLINGS_MAX = 20;

/** Where a target is; each state holds only what is true in it. */
export type Phase =
  | { readonly state: "up"; readonly sinceMs: number }
  | {
      readonly state: "down";
      readonly cause: DownCause;
      /** When requests may try it again; null = when a check is good. */
      readonly untilMs: number | null;
    }
  | { readonly state: "suspect" /** All tries are under way: no more until one has ended. */; readonly spent: boolean }
  | { readonly state: "draining"; readonly wasUp: boolean };

/** A target's state and what it is judged by. */
export interface Health {
  readonly phase: Phase;
  /** Good checks in a row, or bad ones as a negative number. */
  readonly checksInRow: number;
  /** Failures of requests since the last success. */
  readonly failuresInRow: number;
  /** Failures of requests within the window. */
  readonly recent: readonly { readonly atMs: number; readonly failures: number }[];
  /** Falls that followed each other closely, the present one included. */
  readonly falls: number;
  /** How long the last time out of use was meant to be, in ms. */
  readonly lastDownMs: number;
}

/** What a target is told. */
export type HealthEvent =
  | { readonly kind: "check"; readonly ok: boolean; readonly why: string }
  | {
      /** What requests came to since the last reading. */
      readonly kind: "requests";
      readonly succeeded: number;
      /** Failures that count at the policy's level. */
      readonly failed: number;
      /** Failures since the last success, as the core counts them: 0 = the latest was a success. */
      readonly failuresInRow: number;
      readonly inflight: number;
      /** For the reason: what failed. */
      readonly why: string;
    }
  | { readonly kind: "eject"; readonly why: string }
  | { readonly kind: "time" }
  /** Its settings check it no more. */
  | { readonly kind: "unchecked" }
  | { readonly kind: "drain" }
  | { readonly kind: "undrain" };

/** What an event comes to; `reason` is null where the phase stays. */
export interface Step {
  readonly health: Health;
  readonly reason: string | null;
}

/** A target nothing is known about: it is up. */
export function newHealth(nowMs: number): Health {
  const phase: Phase = { state: "up", sinceMs: nowMs };
  return { phase, checksInRow: 0, failuresInRow: 0, recent: [], falls: 0, lastDownMs: 0 };
}

/** What the core is told about a phase: a suspect target whose tries are spent gets nothing more. */
export function stateOf(phase: Phase): TargetState {
  return phase.state === "suspect" && phase.spent ? "down" : phase.state;
}

/** When a phase ends by itself, in ms, or null. */
export function dueMs(phase: Phase): number | null {
  return phase.state === "down" ? phase.untilMs : null;
}

/** What an event makes of a target. */
export function handleEvent(policy: HealthPolicy, health: Health, event: HealthEvent, nowMs: number): Step {
  if (event.kind === "drain") return drain(health);
  const counted = count(policy, health, event, nowMs);
  switch (counted.phase.state) {
    case "up":
      return whileUp(policy, counted, event, nowMs);
    case "down":
      return whileDown(policy, counted, counted.phase, event, nowMs);
    case "suspect":
      return whileSuspect(policy, counted, counted.phase.spent, event, nowMs);
    case "draining":
      return event.kind === "undrain" ? undrain(counted, counted.phase.wasUp, nowMs) : stay(counted);
  }
}

/** Tries a suspect target gets at once. */
export function triesOf(policy: HealthPolicy): number {
  return policy.check?.rise ?? TRIES_DEFAULT;
}

function whileUp(policy: HealthPolicy, health: Health, event: HealthEvent, nowMs: number): Step {
  switch (event.kind) {
    case "check": {
      const bad = -health.checksInRow;
      if (policy.check === null || bad < policy.check.fall) return stay(health);
      return fall(policy, health, "checks", `${times(bad, "check")} failed: ${event.why}`, nowMs);
    }
    case "requests": {
      const { level, failures, windowMs } = policy.passive;
      const seen = windowMs === 0 ? health.failuresInRow : health.recent.reduce((sum, one) => sum + one.failures, 0);
      if (level === 0 || seen < failures) return stay(health);
      const span = windowMs === 0 ? "in a row" : `within ${windowMs} ms`;
      return fall(policy, health, "requests", `${times(seen, "request")} failed ${span}: ${event.why}`, nowMs);
    }
    case "eject":
      return fall(policy, health, "ejection", event.why, nowMs);
    default:
      return stay(health);
  }
}

type Down = Extract<Phase, { readonly state: "down" }>;

function whileDown(policy: HealthPolicy, health: Health, phase: Down, event: HealthEvent, nowMs: number): Step {
  if (event.kind === "time" && phase.untilMs !== null && nowMs >= phase.untilMs) {
    if (policy.check === null || -health.checksInRow < policy.check.fall) {
      return suspect(health, "its time out of use is over");
    }
    const waiting: Phase = { state: "down", cause: "checks", untilMs: null };
    return { health: { ...health, phase: waiting }, reason: "its time out of use is over, but its checks fail" };
  }
  if (event.kind === "unchecked" && phase.untilMs === null) return suspect(health, "it is checked no more");
  if (event.kind !== "check" || !event.ok) return stay(health);
  // A target that fails requests again although its checks are good is left to its time, or it would be up and down.
  const mayReturn = phase.cause === "checks" || (phase.cause === "requests" && health.falls <= 1);
  if (!mayReturn) return stay(health);
  return judgeGoodCheck(policy, health, nowMs) ?? suspect(health, "a check was good");
}

function whileSuspect(policy: HealthPolicy, health: Health, spent: boolean, event: HealthEvent, nowMs: number): Step {
  switch (event.kind) {
    case "check":
      if (!event.ok) return fall(policy, health, "checks", `a check failed: ${event.why}`, nowMs);
      return judgeGoodCheck(policy, health, nowMs) ?? stay(health);
    case "requests": {
      const { succeeded, failed, failuresInRow, inflight, why } = event;
      // Of outcomes that came together the latest counts; where that cannot be told, the worse.
      if (failed > 0 && (succeeded === 0 || failuresInRow > 0)) {
        return fall(policy, health, "requests", `a request failed: ${why}`, nowMs);
      }
      if (succeeded > 0) return rise(health, "a request succeeded", nowMs);
      const nowSpent = inflight >= triesOf(policy);
      if (nowSpent === spent) return stay(health);
      const reason = nowSpent ? `${times(inflight, "try", "tries")} under way, none ended yet` : "a try ended unjudged";
      return { health: { ...health, phase: { state: "suspect", spent: nowSpent } }, reason };
    }
    default:
      return stay(health);
  }
}

/** UP when enough checks in a row were good, else null. */
function judgeGoodCheck(policy: HealthPolicy, health: Health, nowMs: number): Step | null {
  if (policy.check === null || health.checksInRow < policy.check.rise) return null;
  return rise(health, `${times(health.checksInRow, "check")} succeeded`, nowMs);
}

/** Takes an event into the counts; the phase stays. */
function count(policy: HealthPolicy, health: Health, event: HealthEvent, nowMs: number): Health {
  if (event.kind === "check") {
    const row = health.checksInRow;
    return { ...health, checksInRow: event.ok ? Math.max(0, row) + 1 : Math.min(0, row) - 1 };
  }
  if (event.kind !== "requests") return health;
  const { succeeded, failed } = event;
  const failuresInRow = succeeded > 0 ? Math.min(failed, event.failuresInRow) : health.failuresInRow + failed;
  const since = nowMs - policy.passive.windowMs;
  const kept = health.recent.filter((one) => one.atMs > since);
  const recent = policy.passive.windowMs > 0 && failed > 0 ? [...kept, { atMs: nowMs, failures: failed }] : kept;
  return { ...health, failuresInRow, recent };
}

function fall(policy: HealthPolicy, health: Health, cause: DownCause, reason: string, nowMs: number): Step {
  const { phase } = health;
  const recovered = phase.state === "up" && nowMs - phase.sinceMs >= health.lastDownMs;
  const falls = recovered ? 1 : health.falls + 1;
  const [firstMs, mostMs] = downTimes(policy, cause);
  const downMs = Math.min(Math.max(firstMs, mostMs), firstMs * 2 ** Math.min(falls - 1, DOUBLINGS_MAX));
  const waitsForCheck = cause === "checks" && policy.check !== null;
  return {
    health: {
      ...cleared(health),
      phase: { state: "down", cause, untilMs: waitsForCheck ? null : nowMs + downMs },
      checksInRow: Math.min(0, health.checksInRow),
      falls,
      lastDownMs: downMs,
    },
    reason,
  };
}

function downTimes(policy: HealthPolicy, cause: DownCause): readonly [number, number] {
  if (cause === "ejection" && policy.ejection !== null) return [policy.ejection.ejectMs, policy.ejection.ejectMsMax];
  return [policy.passive.downMs, policy.passive.downMsMax];
}

function suspect(health: Health, reason: string): Step {
  return { health: { ...cleared(health), phase: { state: "suspect", spent: false } }, reason };
}

function rise(health: Health, reason: string, nowMs: number): Step {
  return { health: { ...cleared(health), phase: { state: "up", sinceMs: nowMs } }, reason };
}

function drain(health: Health): Step {
  if (health.phase.state === "draining") return stay(health);
  const wasUp = health.phase.state === "up";
  return { health: { ...cleared(health), phase: { state: "draining", wasUp } }, reason: "by hand" };
}

function undrain(health: Health, wasUp: boolean, nowMs: number): Step {
  const clean = { ...cleared(health), checksInRow: 0 };
  return wasUp ? rise(clean, "by hand", nowMs) : suspect(clean, "by hand");
}

/** What requests said before a change of phase says nothing about the time after it. */
function cleared(health: Health): Health {
  return { ...health, failuresInRow: 0, recent: [] };
}

function stay(health: Health): Step {
  return { health, reason: null };
}

function times(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
