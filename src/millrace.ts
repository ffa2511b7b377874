/**
 * One proxy with everything around it: settings checked, names resolved, threads supervised, admin API, statistics. The
 * place where the parts of the control plane are put together; the public API is this class.
 */
import { EventEmitter } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { type Admin, startAdmin } from "./admin/server.js";
import { parseAdminPlace } from "./config/addresses.js";
import { checkSettings } from "./config/check.js";
import type { Plan } from "./config/plan-types.js";
import type { Settings, SettingsInput } from "./config/settings.js";
import { AccessLogSink } from "./control/access-log-sink.js";
import { type CertificatesReport, expiriesOf } from "./control/certificate-report.js";
import { Certificates } from "./control/certificates.js";
import type { Connections } from "./control/connections.js";
import { usableCpus } from "./control/cpus.js";
import type { Explanation } from "./control/curl-command.js";
import { type ExplainInput, parseExplainInput } from "./control/explain.js";
import { Handover, type OwnProcess } from "./control/handover.js";
import type { Drained } from "./control/health.js";
import { Origins, type OriginsReport } from "./control/origins.js";
import { type Reload, type ReloadCause, Reloads, type SettingsSource } from "./control/reload.js";
import { isSecure, runSelfTest, speaksTls } from "./control/self-test.js";
import type { Stats } from "./control/stats.js";
import { Supervisor } from "./control/supervisor.js";
import type { Upgraded } from "./control/upgrade.js";
import type { MillraceEvents, Plans, Running, Started, State, StopOptions } from "./lifecycle.js";
import { loadNative } from "./native.js";
import { type Operated, operationsOf } from "./operations.js";
import { MillraceError, settingsError } from "./shared/errors.js";
import { createLog, type Log } from "./shared/log.js";
import { LogTail } from "./shared/log-tail.js";

/** A reverse proxy in this process. Made by `createMillrace`; may be started again after it was stopped. */
export class Millrace extends EventEmitter<MillraceEvents> {
  readonly #log: Log;
  readonly #tail = new LogTail();
  readonly #source: SettingsSource | null;
  readonly #reloads: Reloads;
  #settings: Settings;
  #state: State = { kind: "stopped" };
  #accessLog: AccessLogSink | null = null;
  /** Why this host's own TLS cannot be trusted; null = it can, or nothing speaks it. */
  #tlsFault: string | null = null;
  readonly #handover: Handover;

  /** @internal Use `createMillrace`. */
  constructor(settings: Settings, own: OwnProcess | null = null, source: SettingsSource | null = null) {
    super();
    this.#settings = settings;
    this.#source = source;
    this.#log = createLog(settings.log.level, this.#tail);
    this.#handover = new Handover(own, () => this.#settings.upgrade, this.#log);
    this.#reloads = new Reloads({
      log: this.#log,
      running: () => (this.#state.kind === "running" ? { ...this.#state, settings: this.#settings } : null),
      handleTaken: (taken, certificates) => {
        this.#settings = taken;
        if (this.#state.kind === "running") this.#state = { ...this.#state, certificates };
      },
      faultOfTls: (other) => (isSecure(this.#settings) || !isSecure(other) ? null : this.#testTls()),
    });
  }

  /** The settings that are in use, with every default filled in. */
  get settings(): Settings {
    return this.#settings;
  }

  /** Where in its life the proxy is. */
  get state(): "stopped" | "starting" | "running" | "stopping" {
    return this.#state.kind;
  }

  /**
   * Starts the proxy; resolves when all its threads are ready and its sockets accept.
   *
   * A target's name that does not resolve stops no start: its requests fail or go elsewhere until it does.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is not stopped; `MILLRACE_LISTEN`, `MILLRACE_NATIVE` or
   * `MILLRACE_START` when it cannot start; it is stopped again then.
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
        const done = this.#stop(state, options.deadlineMs ?? this.settings.shutdown.deadlineMs, options.delayMs ?? 0);
        const { supervisor, certificates, sinceMs } = state;
        this.#state = { kind: "stopping", supervisor, certificates, sinceMs, done };
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
    return { ...this.#frame(), ...this.#begun().supervisor.stats.read() };
  }

  /** What the books say beside the stats block. */
  #frame(): Omit<Stats, "all" | "workers" | "acceptor"> {
    const { supervisor, certificates, sinceMs } = this.#begun();
    return {
      uptimeMs: Math.round(performance.now() - sinceMs),
      workersReplaced: supervisor.workersReplaced,
      accessLogLostLines: this.#accessLog?.lostLines ?? 0,
      certificates: expiriesOf(certificates.report()),
    };
  }

  /**
   * The number of the plan that runs, the one each worker runs, and where it is listened.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is not running.
   */
  plans(): Plans {
    const { generation, generations } = this.#running("plans");
    return { generation, generations, listeners: this.#begun().supervisor.listeners };
  }

  /**
   * What each listener with TLS serves and asks for, and what origins are shown.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is not running.
   */
  certificates(): CertificatesReport {
    if (this.#state.kind !== "running") throw wrongState("certificates", this.#state.kind);
    return this.#state.certificates.report();
  }

  /**
   * Reads all certificates, keys, authorities and lists of revoked certificates again, which happens by itself when their
   * files change. What is broken is said in the log, and what was there before stays. Does nothing when not running.
   */
  reloadCertificates(): void {
    if (this.#state.kind === "running") this.#state.certificates.reload();
  }

  /**
   * Takes other settings, everywhere or nowhere; what they do not touch goes on as it is. Calls are served one after the
   * other.
   *
   * @param settings Else the file is read again that the proxy was started from.
   * @returns What became of it; wrong settings are `refused`, with every complaint.
   * @throws MillraceError `MILLRACE_STATE` when it is not running, or has no file to read.
   */
  async reload(settings?: SettingsInput, cause: ReloadCause = "program"): Promise<Reload> {
    if (this.#state.kind !== "running") throw wrongState("reload", this.#state.kind);
    const source = settings === undefined ? this.#source : async () => ({ checked: checkSettings(settings) });
    if (source !== null) return this.#reloads.reload(source, cause);
    throw new MillraceError("MILLRACE_STATE", "the proxy was not started from settings that can be read again");
  }

  /**
   * Every origin with its targets, their connections, counts and health, and the names behind them.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is not running.
   */
  origins(): OriginsReport {
    return this.#running("origins").report();
  }

  /**
   * What the proxy would do with a request: route, target, identity, timeouts, retries, escalation, and the command of
   * curl that does the same by hand. Nothing is sent.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is not running, `MILLRACE_ARGUMENT` when the request is none.
   */
  explain(request: ExplainInput): Explanation {
    return this.#running("explain").explain(parseExplainInput(request));
  }

  /**
   * Takes a target out of use by hand: no new requests, those in flight finish, its connections close. Or undoes it.
   *
   * @param target As written in the settings (`name:port`: all its addresses), or one `address:port`.
   * @throws MillraceError `MILLRACE_STATE` when it is not running, `MILLRACE_ARGUMENT` when there is no such target.
   */
  drainTarget(origin: string, target: string, options: { readonly undo?: boolean } = {}): Drained {
    const drained = this.#running("drainTarget").drain(origin, target, options.undo === true);
    if (drained.concerned > 0) return drained;
    throw new MillraceError("MILLRACE_ARGUMENT", `origin "${origin}" has no target "${target}"`);
  }

  /**
   * Every connection of every worker, to clients and to origins.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is not running.
   */
  async connections(): Promise<Connections> {
    return this.#running("connections").connections();
  }

  /**
   * Starts a second process with the command line of this one, hands the listening sockets over, and resolves when that
   * process is ready. This one is then to be stopped (event `handedOver`). When it fails, nothing has changed.
   *
   * @throws MillraceError `MILLRACE_STATE` when it is not running, an upgrade is under way, or the process is not Millrace's
   * own; `MILLRACE_UPGRADE` when the new process did not become ready.
   */
  async upgrade(): Promise<Upgraded> {
    if (this.#state.kind !== "running") throw wrongState("upgrade", this.#state.kind);
    const { supervisor, admin } = this.#state;
    const upgraded = await this.#handover.upgrade(supervisor.sockets, admin?.fd ?? null);
    // Who has asked is told before this process leaves.
    setImmediate(() => this.emit("handedOver", upgraded));
    return upgraded;
  }

  /** @internal Why it is not ready for clients; null = it is. */
  get whyNotReady(): string | null {
    return this.#state.kind === "running" ? this.#whyNotReady(this.#state.supervisor) : "The proxy does not run.";
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
    const certificates: Certificates = new Certificates({
      settings,
      log: this.#log,
      handleChange: () => origins.install("new certificates"),
    });
    certificates.load();
    const origins = new Origins(settings, workers, () => certificates.material, this.#log);
    try {
      return await this.#launch(origins, certificates, await origins.resolve());
    } catch (thrown) {
      origins.close();
      certificates.close();
      throw thrown;
    }
  }

  async #launch(origins: Origins, certificates: Certificates, plan: Plan): Promise<Started> {
    const { workers } = plan;
    const { accessLog } = this.settings;
    this.#tlsFault = speaksTls(plan) ? this.#testTls() : null;
    this.#accessLog = accessLog === false ? null : openAccessLog(accessLog, workers);
    const supervisor = await Supervisor.launch({
      plan,
      log: this.#log,
      accessLog: this.#accessLog,
      handleReplaced: (replacement) => this.emit("workerReplaced", replacement),
      handleNote: (note) => origins.handleNote(note),
      inherited: this.#handover.forListeners(plan.listeners),
      store: this.settings.cache.store === false ? null : this.settings.cache.store,
      isSuccessor: this.#handover.isSuccessor,
    });
    const { listeners } = supervisor;
    const admin = await this.#attach(origins, supervisor);
    this.#state = { kind: "running", supervisor, origins, certificates, admin, sinceMs: performance.now() };
    certificates.watch();
    this.#handover.closeRest();
    const adminPlace = admin?.port === 0 ? admin.address : admin?.port;
    this.#log.info({ listeners, workers, admin: adminPlace }, "millrace is ready");
    return { listeners, admin: admin === null ? null : { address: admin.address, port: admin.port }, workers };
  }

  #testTls(): string | null {
    return runSelfTest(() => loadNative().tlsSelfTest(), this.#log);
  }

  async #closeAccessLog(): Promise<void> {
    const accessLog = this.#accessLog;
    this.#accessLog = null;
    await accessLog?.close();
  }

  async #attach(origins: Origins, supervisor: Supervisor): Promise<Admin | null> {
    try {
      origins.attach(supervisor.core);
      return await this.#startAdmin(supervisor, origins);
    } catch (thrown) {
      await supervisor.stop({ deadlineMs: 0, idleMs: 0 });
      throw thrown;
    }
  }

  async #startAdmin(supervisor: Supervisor, origins: Origins): Promise<Admin | null> {
    if (this.settings.admin === false) return null;
    const { address, ...guarded } = this.settings.admin;
    const place = parseAdminPlace(address);
    if (!place.ok) throw new Error(place.says);
    const operated: Omit<Operated, "state"> = {
      stats: () => this.stats(),
      connections: () => this.connections(),
      certificates: () => this.certificates(),
      frame: () => this.#frame(),
      whyNotReady: () => this.#whyNotReady(supervisor),
      reloads: () => this.#reloads.report,
      reload: () => this.reload(undefined, "admin"),
      running: (what) => this.#running(what),
      upgrade: () => this.upgrade(),
    };
    const proxy = () => ({ ...operated, state: this.state });
    const source = operationsOf({ proxy, supervisor, origins, log: this.#log, tail: this.#tail });
    const socket = this.#handover.forAdmin(place.value);
    return startAdmin({ place: place.value, socket, ...guarded }, source);
  }

  #whyNotReady(supervisor: Supervisor): string | null {
    if (this.#state.kind !== "running" || !supervisor.isReady) {
      return "The proxy is starting, draining, or a worker is missing.";
    }
    return this.#tlsFault;
  }

  /** What runs, or still runs. */
  #begun() {
    if (this.#state.kind === "starting" || this.#state.kind === "stopped") throw wrongState("stats", this.#state.kind);
    return this.#state;
  }

  /** The origins of the running proxy. */
  #running(method: string): Origins {
    if (this.#state.kind !== "running") throw wrongState(method, this.#state.kind);
    return this.#state.origins;
  }

  async #stop({ supervisor, origins, certificates, admin }: Running, deadlineMs: number, delayMs: number) {
    this.#log.info({ delayMs, deadlineMs }, "millrace is stopping");
    if (delayMs > 0) await sleep(delayMs);
    certificates.close();
    origins.close();
    try {
      const { idleMs } = this.#handover;
      // Whoever asks from now on is answered by the process that has taken over.
      if (this.#handover.isDone) admin?.leave();
      await supervisor.stop({ deadlineMs, idleMs });
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
