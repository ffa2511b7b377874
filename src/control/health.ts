/**
 * Keeps the health of every target of one proxy: hears of trouble and checks, reads the core's counters, lets the state
 * machine (target-health.ts) judge, and tells the core each change once, for all workers. Nothing is read while nothing
 * fails: a note of trouble causes a look, a suspect target is looked at until it is judged, and time does the rest.
 */
import type { HealthPolicy } from "../shared/policies.js";
import { decideEjections } from "./ejection.js";
import { isLocalFault, LocalAlarm } from "./local-alarm.js";
import type { Scheduler } from "./scheduler.js";
import { dueMs, type Health, type HealthEvent, handleEvent, newHealth, stateOf } from "./target-health.js";
import { failuresUpTo, LEVEL_MAX, placeOf, type TargetPort, type TargetReading } from "./targets.js";

/** Two looks are at least so far apart, in ms, however many notes arrive: a look reads every target. */
export const LOOK_EVERY_MS = 20;
/** A worker keeps quiet for 20 ms after a note; what it did not say is looked at then, in ms. */
export const LOOK_AGAIN_MS = 30;
/** How soon counters are read while a target is suspect, in ms; twice as long each time nothing happens there. */
export const SUSPECT_LOOK_MS = 100;
export const SUSPECT_LOOK_MS_MAX = 1000;
/** Changes remembered of each target. */
export const HISTORY_MAX = 20;

/** One change of a target. */
export interface HealthChange {
  /** Wall-clock time, ISO 8601. */
  readonly at: string;
  readonly from: Health["phase"]["state"];
  readonly to: Health["phase"]["state"];
  readonly reason: string;
}

/** A worker's word that a target failed. */
export interface TroubleNote {
  readonly target: number;
  /** Class of the failure, e.g. `connect_refused`. */
  readonly class: string;
  /** Level of the ladder from which it counts; 0 = never. */
  readonly rung: number;
}

/** The result of one active check. */
export interface CheckNote {
  readonly target: number;
  readonly ok: boolean;
  readonly micros: number;
  readonly why: string;
}

/** A target with what is known about its health. */
export interface TargetReport extends TargetReading {
  readonly health: {
    readonly state: Health["phase"]["state"];
    /** Milliseconds until requests may try it again, where that is a matter of time. */
    readonly downForMs: number | null;
    readonly checksInRow: number;
    readonly failuresInRow: number;
    readonly falls: number;
    readonly lastTrouble: string | null;
    readonly lastCheckMicros: number | null;
    /** Oldest first. */
    readonly history: readonly HealthChange[];
  };
}

/** What draining by hand came to. */
export interface Drained {
  /** Targets that the name stands for; 0 = there is no such target. */
  readonly concerned: number;
  /** Of these, how many were not so already. */
  readonly changed: number;
}

/** What a keeper is made of. */
export interface KeeperPlan {
  readonly port: TargetPort;
  readonly policyOf: (origin: string) => HealthPolicy;
  readonly scheduler: Scheduler;
  readonly log: KeeperLog;
  /** A target fell because connections to it fail. */
  readonly handleUnreachable?: (target: TargetReading) => void;
  /** A target is up again. */
  readonly handleReachable?: (target: TargetReading) => void;
  /** Wall-clock time in ms; replaced in tests. */
  readonly wallClockMs?: () => number;
}

/** What the keeper logs with. */
export interface KeeperLog {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
  readonly error: (fields: object, message: string) => void;
}

interface Known {
  reading: TargetReading;
  health: Health;
  history: readonly HealthChange[];
  trouble: TroubleNote | null;
  checkMicros: number | null;
  /** Failures that notes add: a connect timeout counts double. */
  surcharge: number;
  /** What an ejection interval started from. */
  tallied: TargetReading;
}

/** One keeper a proxy, from launch to stop. */
export class HealthKeeper {
  readonly #plan: KeeperPlan;
  readonly #known = new Map<number, Known>();
  /** `origin` and label or place of what is drained by hand, so that new addresses of a drained name drain as well. */
  readonly #drained = new Set<string>();
  readonly #alarm = new LocalAlarm();
  #lastLookMs = Number.NEGATIVE_INFINITY;
  #suspectLookMs = SUSPECT_LOOK_MS;

  constructor(plan: KeeperPlan) {
    this.#plan = plan;
  }

  /** Reads every target: after the start, and after each new plan. */
  look(): void {
    this.#lastLookMs = this.#plan.scheduler.nowMs;
    const readings = this.#plan.port.readTargets();
    for (const reading of readings) this.#take(reading);
    const there = new Set(readings.filter((one) => one.state !== "removed").map((one) => one.number));
    for (const number of this.#known.keys()) if (!there.has(number)) this.#forget(number);
    const suspects = [...this.#known.values()].filter((one) => one.health.phase.state === "suspect");
    if (suspects.length === 0) return;
    const isAnyTried = suspects.some((one) => one.reading.inflight > 0);
    this.#suspectLookMs = isAnyTried ? SUSPECT_LOOK_MS : Math.min(SUSPECT_LOOK_MS_MAX, this.#suspectLookMs * 2);
    this.#lookAt(this.#lastLookMs + this.#suspectLookMs);
  }

  /** By class of this host's own faults: how often its alarm was raised. */
  get localAlarms(): Readonly<Record<string, number>> {
    return this.#alarm.raised;
  }

  /** A worker says that a target failed. */
  handleTrouble(note: TroubleNote): void {
    const known = this.#known.get(note.target);
    const nowMs = this.#plan.scheduler.nowMs;
    if (isLocalFault(note.class)) {
      const origin = known?.reading.origin ?? "";
      const origins = this.#alarm.handleFault(note.class, origin, nowMs);
      const says = "several origins fail in the same local way: this host or process lacks something";
      if (origins !== null) this.#plan.log.error({ class: note.class, origins }, says);
      return;
    }
    if (known !== undefined) {
      known.trouble = note;
      if (note.class === "connect_timeout") known.surcharge += 1;
    }
    this.#lookAt(Math.max(nowMs, this.#lastLookMs + LOOK_EVERY_MS));
    this.#plan.scheduler.atLatest("health:again", nowMs + LOOK_AGAIN_MS, () => this.look());
  }

  /** The engine checked a target. */
  handleCheck(note: CheckNote): void {
    const known = this.#known.get(note.target);
    if (known === undefined) return;
    known.checkMicros = note.micros;
    this.#handle(known, { kind: "check", ok: note.ok, why: note.why });
  }

  /**
   * Drains targets by hand, or undoes it.
   *
   * @param what Label of the targets (all addresses of a name), or address:port of one.
   */
  drain(origin: string, what: string, undo: boolean): Drained {
    this.look();
    const concerned = [...this.#known.values()].filter(
      ({ reading }) => reading.origin === origin && names(reading, what),
    );
    if (undo) this.#drained.delete(`${origin} ${what}`);
    else if (concerned.length > 0) this.#drained.add(`${origin} ${what}`);
    const changing = concerned.filter((known) => (known.health.phase.state === "draining") === undo);
    for (const known of changing) this.#handle(known, { kind: undo ? "undrain" : "drain" });
    return { concerned: concerned.length, changed: changing.length };
  }

  /** Every target now, with its health, in the core's order. */
  report(): readonly TargetReport[] {
    this.look();
    return [...this.#known.values()].map((known) => this.#reportOf(known));
  }

  #reportOf({ reading, health, history, trouble, checkMicros }: Known): TargetReport {
    const until = dueMs(health.phase);
    const { checksInRow, failuresInRow, falls } = health;
    return {
      ...reading,
      health: {
        state: health.phase.state,
        downForMs: until === null ? null : Math.max(0, Math.round(until - this.#plan.scheduler.nowMs)),
        checksInRow,
        failuresInRow,
        falls,
        lastTrouble: trouble?.class ?? null,
        lastCheckMicros: checkMicros,
        history,
      },
    };
  }

  #lookAt(atMs: number): void {
    this.#plan.scheduler.atLatest("health:look", atMs, () => this.look());
  }

  #take(reading: TargetReading): void {
    if (reading.state === "removed") return;
    const known = this.#known.get(reading.number);
    if (known === undefined || identityOf(known.reading) !== identityOf(reading)) {
      this.#meet(reading);
      return;
    }
    const before = known.reading;
    known.reading = reading;
    // Other settings: nobody would bring it back.
    if (known.health.phase.state === "down" && this.#plan.policyOf(reading.origin).check === null) {
      this.#handle(known, { kind: "unchecked" });
    }
    const { level } = this.#plan.policyOf(reading.origin).passive;
    const newFailures = failuresUpTo(level, reading) - failuresUpTo(level, before);
    // The surcharge belongs to failures, and arrives before them or with them.
    const failed = newFailures > 0 && level > 0 ? newFailures + known.surcharge : newFailures;
    if (newFailures > 0) known.surcharge = 0;
    const succeeded = reading.succeeded - before.succeeded;
    const { inflight, failuresInRow } = reading;
    // Without a check nobody would notice its return; refusing everything meanwhile helps no client.
    if (failed > 0 && this.#isLastHope(known)) return;
    if (succeeded + failed > 0 || known.health.phase.state === "suspect") {
      const why = known.trouble?.class ?? "unknown";
      const extra = failed - newFailures;
      const row = failuresInRow + (failuresInRow > 0 ? extra : 0);
      this.#handle(known, { kind: "requests", succeeded, failed, failuresInRow: row, inflight, why });
    }
    if (failuresUpTo(LEVEL_MAX, reading) > failuresUpTo(LEVEL_MAX, before)) this.#awaitComparison(reading.origin);
  }

  /** Whether requests alone judge this target and no sibling may be used in its place. */
  #isLastHope(known: Known): boolean {
    if (known.health.phase.state !== "up" || this.#plan.policyOf(known.reading.origin).check !== null) return false;
    return this.#of(known.reading.origin).every((one) => one === known || one.health.phase.state !== "up");
  }

  #meet(reading: TargetReading): void {
    const health = newHealth(this.#plan.scheduler.nowMs);
    const known: Known = {
      reading,
      health,
      history: [],
      trouble: null,
      checkMicros: null,
      surcharge: 0,
      tallied: reading,
    };
    this.#known.set(reading.number, known);
    // A target that left the plan and came back may still be what it was when it left.
    if (reading.state !== "up") this.#plan.port.setTargetState(reading.number, "up");
    const isDrained = [...this.#drained].some((one) => {
      const [origin = "", what = ""] = one.split(" ");
      return origin === reading.origin && names(reading, what);
    });
    if (isDrained) this.#handle(known, { kind: "drain" });
  }

  #forget(number: number): void {
    this.#known.delete(number);
    this.#plan.scheduler.cancel(`health:${number}`);
  }

  #handle(known: Known, event: HealthEvent): void {
    const { scheduler, port } = this.#plan;
    const { number, origin } = known.reading;
    const before = known.health.phase;
    const { health, reason } = handleEvent(this.#plan.policyOf(origin), known.health, event, scheduler.nowMs);
    known.health = health;
    if (reason === null) return;
    if (stateOf(health.phase) !== stateOf(before)) port.setTargetState(number, stateOf(health.phase));
    const until = dueMs(health.phase);
    if (until === null) scheduler.cancel(`health:${number}`);
    else scheduler.at(`health:${number}`, until, () => this.#handle(known, { kind: "time" }));
    if (health.phase.state === "suspect") {
      this.#suspectLookMs = SUSPECT_LOOK_MS;
      this.#lookAt(scheduler.nowMs + SUSPECT_LOOK_MS);
    }
    if (health.phase.state === before.state) return;
    this.#tell(known, before.state, reason);
    if (health.phase.state === "down" && health.phase.cause === "requests" && known.trouble?.rung === 1) {
      this.#plan.handleUnreachable?.(known.reading);
    }
    if (health.phase.state === "up") this.#plan.handleReachable?.(known.reading);
  }

  #tell(known: Known, from: HealthChange["from"], reason: string): void {
    const { origin, label } = known.reading;
    const to = known.health.phase.state;
    const at = new Date(this.#plan.wallClockMs?.() ?? Date.now()).toISOString();
    known.history = [...known.history, { at, from, to, reason }].slice(-HISTORY_MAX);
    const fields = { origin, target: label, address: placeOf(known.reading), from, to, reason };
    if (to === "down") this.#plan.log.warn(fields, "a target is down");
    else this.#plan.log.info(fields, `a target is ${to === "suspect" ? "tried again" : to}`);
  }

  /** Targets of an origin are compared only after one of them failed, an interval later. */
  #awaitComparison(origin: string): void {
    const { ejection } = this.#plan.policyOf(origin);
    const key = `health:compare:${origin}`;
    if (ejection === null || this.#plan.scheduler.has(key)) return;
    for (const known of this.#of(origin)) known.tallied = known.reading;
    this.#plan.scheduler.at(key, this.#plan.scheduler.nowMs + ejection.intervalMs, () => this.#compare(origin));
  }

  #compare(origin: string): void {
    // Settings may have done away with the origin, or with its comparison.
    if (this.#of(origin).length === 0) return;
    const { ejection } = this.#plan.policyOf(origin);
    if (ejection === null) return;
    // The look may begin the next interval, so where this one began is kept first.
    const began = new Map(this.#of(origin).map(({ reading, tallied }) => [reading.number, tallied]));
    this.look();
    const tallies = this.#of(origin).map(({ reading, health: { phase } }) => {
      const from = began.get(reading.number) ?? reading;
      return {
        target: reading.number,
        succeeded: reading.succeeded - from.succeeded,
        failed: failuresUpTo(LEVEL_MAX, reading) - failuresUpTo(LEVEL_MAX, from),
        isUp: phase.state === "up",
        isEjected: phase.state === "down" && phase.cause === "ejection",
      };
    });
    for (const { target, why } of decideEjections(ejection, tallies)) {
      const known = this.#known.get(target);
      if (known !== undefined) this.#handle(known, { kind: "eject", why });
    }
  }

  #of(origin: string): readonly Known[] {
    return [...this.#known.values()].filter((one) => one.reading.origin === origin);
  }
}

function identityOf(reading: TargetReading): string {
  return `${reading.origin} ${placeOf(reading)}`;
}

function names(reading: TargetReading, what: string): boolean {
  return reading.label === what.toLowerCase() || reading.label === what || placeOf(reading) === what;
}
