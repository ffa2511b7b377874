/**
 * One proxy with everything around it: settings checked, names resolved, threads supervised, admin API, statistics. The
 * place where the parts of the control plane are put together; the public API is this class.
 */
import { EventEmitter } from "node:events";
import { type Admin, startAdmin } from "./admin/server.js";
import { parseListenAddress } from "./config/addresses.js";
import { checkSettings } from "./config/check.js";
import { compilePlan, namesToResolve } from "./config/plan.js";
import type { Settings, SettingsInput } from "./config/settings.js";
import { AccessLogSink } from "./control/access-log-sink.js";
import { usableCpus } from "./control/cpus.js";
import { resolveNames } from "./control/resolve.js";
import type { Stats } from "./control/stats.js";
import { type Replacement, Supervisor } from "./control/supervisor.js";
import type { ListenerPlace } from "./native.js";
import { MillraceError, settingsError } from "./shared/errors.js";
import { createLog, type Log } from "./shared/log.js";

/** What a start comes to. */
export interface Started {
  /** Where each listener really listens, in the order of the settings; ports are never 0. */
  readonly listeners: readonly ListenerPlace[];
  /** Where the admin API listens, or null when there is none. */
  readonly admin: { readonly address: string; readonly port: number } | null;
  /** Edge workers at work. */
  readonly workers: number;
}

/** How a proxy is stopped. */
export interface StopOptions {
  /** How long requests in flight may take, in ms; else `shutdown.deadlineMs` of the settings. */
  readonly deadlineMs?: number;
}

/** What a proxy tells its owner. */
export interface MillraceEvents {
  /** A thread died and another sits in its place. */
  readonly workerReplaced: [Replacement];
}

type State =
  | { readonly kind: "stopped" }
  | { readonly kind: "starting" }
  | {
      readonly kind: "running";
      readonly supervisor: Supervisor;
      readonly admin: Admin | null;
      readonly sinceMs: number;
    }
  | {
      readonly kind: "stopping";
      readonly supervisor: Supervisor;
      readonly sinceMs: number;
      readonly done: Promise<void>;
    };

/** A reverse proxy in this process. Made by `createMillrace`; may be started again after it was stopped. */
export class Millrace extends EventEmitter<MillraceEvents> {
  /** The settings with every default filled in. */
  readonly settings: Settings;
  readonly #log: Log;
  #state: State = { kind: "stopped" };
  #accessLog: AccessLogSink | null = null;

  /** @internal Use `createMillrace`. */
  constructor(settings: Settings) {
    super();
    this.settings = settings;
    this.#log = createLog(settings.log.level);
  }

  /** Where in its life the proxy is. */
  get state(): "stopped" | "starting" | "running" | "stopping" {
    return this.#state.kind;
  }

  /**
   * Starts the proxy; resolves when all its threads are ready and its sockets accept.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is not stopped; `MILLRACE_RESOLVE`, `MILLRACE_LISTEN`,
   * `MILLRACE_NATIVE` or `MILLRACE_START` when it cannot start; it is stopped again then.
   */
  async start(): Promise<Started> {
    if (this.#state.kind !== "stopped") throw wrongState("start", this.#state.kind);
    this.#state = { kind: "starting" };
    try {
      return await this.#start();
    } catch (thrown) {
      await this.#closeAccessLog();
      this.#state = { kind: "stopped" };
      throw thrown;
    }
  }

  /**
   * Stops accepting, answers what is in flight, ends all threads and resolves. Does nothing when stopped; a second call
   * while stopping resolves with the first.
   *
   * @throws MillraceError `MILLRACE_STATE` while starting.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const state = this.#state;
    switch (state.kind) {
      case "stopped":
        return;
      case "starting":
        throw wrongState("stop", state.kind);
      case "stopping":
        return state.done;
      case "running": {
        const done = this.#stop(state.supervisor, state.admin, options.deadlineMs ?? this.settings.shutdown.deadlineMs);
        this.#state = { kind: "stopping", supervisor: state.supervisor, sinceMs: state.sinceMs, done };
        return done;
      }
    }
  }

  /**
   * The books of the proxy since its start: per worker, for the acceptor, and summed. Still kept while it is stopping.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is starting or stopped.
   */
  stats(): Stats {
    if (this.#state.kind === "starting" || this.#state.kind === "stopped") throw wrongState("stats", this.#state.kind);
    const { supervisor, sinceMs } = this.#state;
    return {
      uptimeMs: Math.round(performance.now() - sinceMs),
      ...supervisor.stats.read(),
      workersReplaced: supervisor.workersReplaced,
      accessLogLostLines: this.#accessLog?.lostLines ?? 0,
    };
  }

  /** Opens the access-log file anew under its name, after a rotation. Does nothing for other sinks or when not running. */
  reopenAccessLog(): void {
    if (this.#state.kind === "running") this.#state.supervisor.reopenAccessLog();
  }

  /**
   * Fault injection, for tests: the next turn of an edge worker panics.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is not running.
   */
  provokePanic(worker: number): void {
    if (this.#state.kind !== "running") throw wrongState("provokePanic", this.#state.kind);
    this.#state.supervisor.provokePanic(worker);
  }

  async #start(): Promise<Started> {
    const { settings } = this;
    const workers = settings.workers === "auto" ? usableCpus() : settings.workers;
    const plan = compilePlan(settings, { workers, addresses: await resolveNames(namesToResolve(settings)) });
    this.#accessLog = settings.accessLog === false ? null : openAccessLog(settings.accessLog, workers);
    const { supervisor, listeners } = await Supervisor.launch({
      plan,
      log: this.#log,
      accessLog: this.#accessLog,
      handleReplaced: (replacement) => this.emit("workerReplaced", replacement),
    });
    const admin = await this.#startAdmin(supervisor);
    this.#state = { kind: "running", supervisor, admin, sinceMs: performance.now() };
    this.#log.info({ listeners, workers, admin: admin?.port }, "millrace is ready");
    return { listeners, admin: admin === null ? null : { address: admin.address, port: admin.port }, workers };
  }

  async #closeAccessLog(): Promise<void> {
    const accessLog = this.#accessLog;
    this.#accessLog = null;
    await accessLog?.close();
  }

  async #startAdmin(supervisor: Supervisor): Promise<Admin | null> {
    if (this.settings.admin === false) return null;
    const place = parseListenAddress(this.settings.admin.address);
    if (!place.ok) throw new Error(place.says);
    try {
      return await startAdmin(
        { ...place.value, hosts: this.settings.admin.hosts },
        { stats: () => this.stats(), isReady: () => this.#state.kind === "running" && supervisor.isReady },
      );
    } catch (thrown) {
      await supervisor.stop(0);
      throw thrown;
    }
  }

  async #stop(supervisor: Supervisor, admin: Admin | null, deadlineMs: number): Promise<void> {
    this.#log.info({ deadlineMs }, "millrace is stopping");
    try {
      await supervisor.stop(deadlineMs);
      await admin?.close();
    } finally {
      await this.#closeAccessLog();
      this.#state = { kind: "stopped" };
    }
    this.#log.info("millrace has stopped");
  }
}

/**
 * Makes a proxy out of settings. Nothing is opened until `start()`.
 *
 * @throws MillraceError `MILLRACE_SETTINGS` with every complaint when the settings are wrong.
 */
export function createMillrace(settings: SettingsInput): Millrace {
  const checked = checkSettings(settings);
  if (!checked.ok) throw settingsError(checked.complaints);
  return new Millrace(checked.settings);
}

function openAccessLog(settings: Exclude<Settings["accessLog"], false>, workers: number): AccessLogSink {
  return new AccessLogSink(settings.to, settings.queueBytesMax, workers);
}

function wrongState(method: string, state: string): MillraceError {
  return new MillraceError("MILLRACE_STATE", `${method}() was called while the proxy is ${state}`);
}
