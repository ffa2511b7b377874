/**
 * Other settings for a running proxy: asked for one at a time, taken everywhere or nowhere. Everything that may fail
 * (files, names, what takes a restart, what the core refuses, a port in use) comes before anything changes; what is
 * refused is said with every complaint, and what runs goes on.
 */
import { isDeepStrictEqual } from "node:util";
import type { Checked } from "../config/check.js";
import type { Change } from "../config/describe-change.js";
import { type LineOf, withLines } from "../config/lines.js";
import { complainOfRestart } from "../config/restart.js";
import type { Settings } from "../config/settings.js";
import { type Complaint, MillraceError, messageOf } from "../shared/errors.js";
import type { Log, LogLevel } from "../shared/log.js";
import type { Certificates } from "./certificates.js";
import type { Ground, Origins } from "./origins.js";

/** What a reload came to. */
export type Reload = {
  /** Number of the plan that runs now. */
  readonly generation: number;
  readonly warnings: readonly Complaint[];
} & (
  | {
      readonly result: "applied";
      readonly changes: readonly Change[];
      /** Workers that had not come to the plan in time; they take it with their next turn and cannot refuse it. */
      readonly workersBehind: readonly number[];
    }
  | { readonly result: "unchanged" }
  | { readonly result: "refused"; readonly complaints: readonly Complaint[] }
);

/** Checked settings, and where in their file what stands. */
export interface Read {
  readonly checked: Checked;
  readonly lineOf?: LineOf | undefined;
}

/** Reads settings from where they are kept. */
export type SettingsSource = () => Promise<Read>;

/** Who asked. */
export type ReloadCause = "signal" | "admin" | "file" | "program";

/** Reloads since the start, for those who look on. */
export interface ReloadsReport {
  readonly applied: number;
  readonly unchanged: number;
  readonly refused: number;
  /** Null = there was none. */
  readonly last: {
    /** Wall-clock time, ISO 8601. */
    readonly at: string;
    readonly cause: ReloadCause;
    readonly result: Reload["result"];
    readonly generation: number;
    readonly complaints: readonly Complaint[];
  } | null;
  /** When settings were last good and taken, or the same, in ms since 1970; the start counts. */
  readonly goodAtMs: number;
}

/** How long workers may take to come to a plan before they are named, in ms. */
const SETTLE_MS = 2000;
/** Changes that a line of the log names. */
const CHANGES_LOGGED_MAX = 20;

/** What runs, and what is to be put in its place. */
export interface Running {
  readonly settings: Settings;
  readonly certificates: Certificates;
  readonly origins: Origins;
}

/** What takes settings: null = the proxy does not run any more. */
export interface ReloadsPlan {
  readonly log: Log;
  readonly running: () => Running | null;
  /** Other settings and certificates are in use. */
  readonly handleTaken: (settings: Settings, certificates: Certificates) => void;
  /** Whether this host's own TLS works, asked before it is spoken for the first time; null = it does. */
  readonly faultOfTls: (settings: Settings) => string | null;
}

/** The reloads of one running proxy, one after the other. */
export class Reloads {
  readonly #plan: ReloadsPlan;
  readonly #counts = { applied: 0, unchanged: 0, refused: 0 };
  #last: ReloadsReport["last"] = null;
  #goodAtMs = Date.now();
  #tail: Promise<unknown> = Promise.resolve();
  /** Asked for and not begun: whoever asks for the same meanwhile gets its result. */
  #next: { readonly source: SettingsSource; readonly reload: Promise<Reload> } | null = null;

  constructor(plan: ReloadsPlan) {
    this.#plan = plan;
  }

  get report(): ReloadsReport {
    return { ...this.#counts, last: this.#last, goodAtMs: this.#goodAtMs };
  }

  /** Reads settings and takes them. Never rejects for what is wrong with them. */
  reload(source: SettingsSource, cause: ReloadCause): Promise<Reload> {
    if (this.#next?.source === source) return this.#next.reload;
    const reload = this.#tail.then(() => {
      this.#next = null;
      return this.#reload(source, cause);
    });
    this.#next = { source, reload };
    this.#tail = reload.catch(() => {});
    return reload;
  }

  async #reload(source: SettingsSource, cause: ReloadCause): Promise<Reload> {
    const { checked, lineOf } = await read(source);
    const taken = checked.ok ? await this.#take(checked.settings) : refusal(checked.complaints);
    const generation = this.#plan.running()?.origins.generation ?? 0;
    const reload: Reload = {
      ...(taken.result === "refused" ? refusal(withLines(taken.complaints, lineOf)) : taken),
      generation,
      warnings: checked.warnings,
    };
    this.#note(reload, cause);
    return reload;
  }

  async #take(settings: Settings): Promise<Outcome> {
    const running = this.#plan.running();
    if (running === null) return STOPPING;
    const complaints = complainOfRestart(running.settings, settings);
    if (complaints.length > 0) return refusal(complaints);
    if (isDeepStrictEqual(running.settings, settings)) {
      // The same settings: their files are each taken for itself, as when they change.
      running.certificates.reload();
      return { result: "unchanged" };
    }
    let [certificates, ground]: [Certificates | null, Ground | null] = [null, null];
    try {
      const fault = this.#plan.faultOfTls(settings);
      if (fault !== null) return refusal([{ path: "", says: fault }]);
      const next = running.certificates.successor(settings);
      certificates = next;
      ground = await running.origins.prepare(settings, () => next.material);
      if (this.#plan.running()?.origins !== running.origins)
        return this.#giveUp(running, certificates, ground, STOPPING);
      const changes = running.origins.take(ground);
      this.#handleTaken(running, settings, certificates);
      const workersBehind = await running.origins.settle(SETTLE_MS);
      return {
        result: "applied",
        changes: withoutDoubles([...changes, ...others(running.settings, settings)]),
        workersBehind,
      };
    } catch (thrown) {
      return this.#giveUp(running, certificates, ground, refusal(complaintsOf(thrown)));
    }
  }

  #handleTaken(running: Running, settings: Settings, certificates: Certificates): void {
    running.certificates.close();
    certificates.watch();
    const { level } = settings.log;
    // A level that was set by hand stays, unless the settings themselves say another one now.
    if (level !== running.settings.log.level) this.#plan.log.level = level satisfies LogLevel;
    this.#plan.handleTaken(settings, certificates);
  }

  #giveUp(running: Running, certificates: Certificates | null, ground: Ground | null, outcome: Outcome): Outcome {
    certificates?.close();
    if (ground !== null) running.origins.drop(ground);
    return outcome;
  }

  #note(reload: Reload, cause: ReloadCause): void {
    const { result, generation } = reload;
    const complaints = result === "refused" ? reload.complaints : [];
    this.#counts[result] += 1;
    this.#last = { at: new Date().toISOString(), cause, result, generation, complaints };
    if (result !== "refused") this.#goodAtMs = Date.now();
    const { log } = this.#plan;
    switch (result) {
      case "applied": {
        const { changes, workersBehind } = reload;
        const first = changes.slice(0, CHANGES_LOGGED_MAX).map(({ path, says }) => `${path}: ${says}`);
        log.info({ cause, generation, changes: changes.length, first, workersBehind }, "other settings are in use");
        return;
      }
      case "unchanged":
        log.info({ cause, generation }, "the settings are as they were");
        return;
      case "refused":
        log.error({ cause, generation, complaints }, "the settings are refused; those before stay in use");
        return;
    }
  }
}

type Outcome =
  | Omit<Extract<Reload, { readonly result: "applied" }>, "generation" | "warnings">
  | { readonly result: "unchanged" }
  | { readonly result: "refused"; readonly complaints: readonly Complaint[] };

const STOPPING: Outcome = { result: "refused", complaints: [{ path: "", says: "the proxy is stopping" }] };

function refusal(complaints: readonly Complaint[]) {
  return { result: "refused", complaints } as const;
}

/** A source that fails is a complaint. */
async function read(source: SettingsSource): Promise<Read> {
  try {
    return await source();
  } catch (thrown) {
    return { checked: { ok: false, complaints: complaintsOf(thrown), warnings: [] } };
  }
}

function complaintsOf(thrown: unknown): readonly Complaint[] {
  if (thrown instanceof MillraceError && thrown.complaints.length > 0) return thrown.complaints;
  return [{ path: "", says: messageOf(thrown) }];
}

/** Settings that the plan does not hold. */
function others(before: Settings, after: Settings): readonly Change[] {
  const paths = ["dns", "log", "shutdown", "upgrade"] as const;
  return paths
    .filter((path) => !isDeepStrictEqual(before[path], after[path]))
    .map((path) => ({ path, says: "changed" }));
}

function withoutDoubles(changes: readonly Change[]): readonly Change[] {
  return [...new Map(changes.map((change) => [`${change.path}: ${change.says}`, change])).values()];
}
