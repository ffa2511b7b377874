/**
 * The supervisor of one proxy: opens the sockets, seats the acceptor (where there is more than one worker to choose
 * from) and the edge workers, has the dead replaced, and drains everything in the end.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { encodePlan } from "../config/plan.js";
import type { Plan } from "../config/plan-types.js";
import { type ListenerPlace, loadNative, type NativeCore, type OpenSocket } from "../native.js";
import { MillraceError, messageOf, unreachable } from "../shared/errors.js";
import { type Log, logNote, type Note, readNotes } from "../shared/log.js";
import type { FromWorker, ToWorker } from "../shared/messages.js";
import type { AccessLogSink } from "./access-log-sink.js";
import { CacheControl } from "./cache.js";
import { encodeHead } from "./explain.js";
import type { CorePort } from "./origins.js";
import { type Profiled, Profiles } from "./profiles.js";
import { type Death, Seat } from "./seat.js";
import { assertLayout, type CounterName, StatsBlock } from "./stats.js";
import { type StoreSettings, StoreThread } from "./store-thread.js";
import type { TargetReading } from "./targets.js";

/** Client work that a drain waits for: gauges that must reach zero. */
const CLIENT_GAUGES: readonly CounterName[] = ["client_connections_open"];
/** How often the gauges are looked at while draining, in ms. */
const DRAIN_LOOK_MS = 100;

const ACCEPTOR_ENTRY = new URL("../../workers/acceptor.js", import.meta.url);
const EDGE_ENTRY = new URL("../../workers/edge.js", import.meta.url);

/** A thread that died and was replaced. */
export interface Replacement {
  readonly worker: number | "acceptor";
  readonly reason: string;
}

/** A replacement and when it was. */
export interface PastReplacement extends Replacement {
  readonly at: string;
}

/** Replacements that are remembered. */
const REPLACEMENTS_MAX = 20;

/** What a supervisor is started with. */
export interface SupervisorPlan {
  readonly plan: Plan;
  readonly log: Log;
  readonly accessLog: AccessLogSink | null;
  readonly handleReplaced: (replacement: Replacement) => void;
  /** Takes a note of the core; false = it is for the log. */
  readonly handleNote: (note: Note) => boolean;
  /** Sockets this process was started with: one descriptor a listener, -1 where there is none. */
  readonly inherited: readonly number[];
  /** The store of the cache; null = there is none. */
  readonly store: StoreSettings | null;
  /** Another process may still use the store. */
  readonly isSuccessor: boolean;
}

/** How a proxy leaves. */
export interface Leave {
  /** How long what is in flight may take, in ms. */
  readonly deadlineMs: number;
  /** How long idle clients may still ask, once, in ms; for a proxy whose place another has taken. */
  readonly idleMs: number;
}

/** One running proxy, from `launch()` to `stop()`. */
export class Supervisor {
  readonly #native: NativeCore;
  readonly #host: number;
  readonly #stats: StatsBlock;
  readonly #log: Log;
  readonly #accessLog: AccessLogSink | null;
  readonly #handleReplaced: (replacement: Replacement) => void;
  readonly #handleNote: (note: Note) => boolean;
  /** A proxy of one worker has none: that worker takes its connections itself. */
  readonly #acceptor: Seat | null;
  readonly #edges: readonly Seat[];
  readonly #profiles = new Profiles();
  readonly #lastDeaths = new Map<number | "acceptor", string>();
  #store: StoreThread | null = null;
  #listeners: readonly ListenerPlace[] = [];
  #replaced = 0;
  #replacements: readonly PastReplacement[] = [];
  #lastLossLogMs = Number.NEGATIVE_INFINITY;

  private constructor(orders: SupervisorPlan, native: NativeCore, host: number, stats: StatsBlock) {
    this.#native = native;
    this.#host = host;
    this.#stats = stats;
    this.#log = orders.log;
    this.#accessLog = orders.accessLog;
    this.#handleReplaced = orders.handleReplaced;
    this.#handleNote = orders.handleNote;
    this.#acceptor = orders.plan.workers > 1 ? this.#createAcceptor(orders.plan.workers) : null;
    this.#edges = Array.from({ length: orders.plan.workers }, (_, worker) => this.#createEdge(worker));
  }

  /**
   * Starts a proxy: resolves when every thread is ready and the sockets accept.
   *
   * @throws MillraceError `MILLRACE_NATIVE` (core missing or plan refused), `MILLRACE_LISTEN`, `MILLRACE_START`.
   */
  static async launch(orders: SupervisorPlan): Promise<Supervisor> {
    const native = loadNative();
    assertLayout(native.statsLayout());
    const document = encodePlan(orders.plan);
    const stats = new StatsBlock(orders.plan.workers);
    const host = openHost(native, document, stats);
    const supervisor = new Supervisor(orders, native, host, stats);
    try {
      supervisor.#listeners = listen(native, host, orders.inherited);
      await supervisor.#openStore(orders);
      await Promise.all(supervisor.#edges.map((seat) => seat.start()));
      await supervisor.#acceptor?.start();
      return supervisor;
    } catch (thrown) {
      await supervisor.#leave();
      throw thrown;
    }
  }

  /** The books of this proxy. */
  get stats(): StatsBlock {
    return this.#stats;
  }

  /** Where it is listened at the moment. */
  get listeners(): readonly ListenerPlace[] {
    return this.#listeners;
  }

  /** The core's state that all workers share: the plan, the targets. Only until `stop()`. */
  get core(): CorePort {
    const [native, host] = [this.#native, this.#host];
    return {
      installPlan: (plan) => {
        this.#listeners = installPlan(native, host, plan);
      },
      planTaken: () => native.planTaken(host),
      readTargets: () => JSON.parse(native.readTargets(host)) as readonly TargetReading[],
      setTargetState: (target, state) => native.setTargetState(host, target, state),
      explain: (request) => native.explain(host, encodeHead(request), request.clientAddress),
      dumpConnections: (ticket) => native.dumpConnections(host, ticket),
    };
  }

  /** The cache of this proxy. Only until `stop()`. */
  get cache(): CacheControl {
    return new CacheControl(this.#native, this.#host, this.#store);
  }

  /** Threads replaced since the start. */
  get workersReplaced(): number {
    return this.#replaced;
  }

  /** The latest of them, the oldest first. */
  get replacements(): readonly PastReplacement[] {
    return this.#replacements;
  }

  /** Whether each edge worker is at work, by its number. */
  get workersReady(): readonly boolean[] {
    return this.#edges.map((seat) => seat.isReady);
  }

  /** A CPU profile of an edge worker's JavaScript. */
  async profile(worker: number, ms: number): Promise<Profiled> {
    const seat = this.#edges[worker];
    if (seat?.isReady !== true) return { ok: false, says: `worker ${worker} is not at work` };
    return this.#profiles.take(worker, ms, () => seat.say({ kind: "profile", ms }));
  }

  /** Whether every thread is at work. */
  get isReady(): boolean {
    return this.#seats.every((seat) => seat.isReady);
  }

  /** The listening sockets; they are open until `stop()`, or until a plan does without them. */
  get sockets(): readonly OpenSocket[] {
    return this.#native.listeningSockets(this.#host);
  }

  /**
   * Stops accepting, lets requests in flight finish for at most `deadlineMs`, then ends every thread.
   */
  async stop({ deadlineMs, idleMs }: Leave): Promise<void> {
    for (const seat of this.#seats) seat.close();
    const until = performance.now() + deadlineMs;
    if (idleMs > 0) {
      this.#native.drain(this.#host, true);
      await this.#clientsGone(Math.min(until, performance.now() + idleMs));
    }
    this.#native.drain(this.#host, false);
    await this.#clientsGone(until);
    const left = this.#clientsOpen();
    if (left > 0) this.#log.warn({ connections: left }, "the shutdown deadline is over; closing what is still open");
    await this.#leave();
  }

  /** Opens the access-log file anew under its name, for log rotation. */
  reopenAccessLog(): void {
    const fd = this.#accessLog?.reopen(this.#edges.filter((seat) => seat.isReady).length) ?? null;
    if (fd === null) return;
    for (const seat of this.#edges) if (seat.isReady) seat.say({ kind: "accessLogReopened", fd });
  }

  /** Fault injection for tests: the worker's next turn panics. */
  provokePanic(worker: number): void {
    this.#native.provokePanic(this.#host, worker);
  }

  async #openStore({ store, isSuccessor, log }: SupervisorPlan): Promise<void> {
    if (store === null) return;
    const handleReady = () => {
      this.#native.storeSetOpen(this.#host, true, store.queueBytes);
      log.info({ store: store.folder }, "the store of the cache is open");
    };
    this.#store = await StoreThread.start({ ...store, host: this.#host, isSuccessor, log, handleReady });
  }

  async #leave(): Promise<void> {
    await Promise.all(this.#seats.map((seat) => seat.stop()));
    this.#native.storeSetOpen(this.#host, false, 0);
    await this.#store?.stop();
    this.#native.closeHost(this.#host);
  }

  get #seats(): readonly Seat[] {
    return this.#acceptor === null ? this.#edges : [this.#acceptor, ...this.#edges];
  }

  /** Resolves when no client is left, or at that time. */
  async #clientsGone(until: number): Promise<void> {
    while (this.#clientsOpen() > 0 && performance.now() < until) {
      await sleep(Math.min(DRAIN_LOOK_MS, Math.max(1, until - performance.now())));
    }
  }

  #clientsOpen(): number {
    return CLIENT_GAUGES.reduce((sum, gauge) => sum + this.#stats.sum(gauge), 0);
  }

  #createAcceptor(row: number): Seat {
    return new Seat({
      title: "acceptor",
      entry: ACCEPTOR_ENTRY,
      orders: () => ({ kind: "acceptor", host: this.#host }),
      settle: () => this.#native.settleWorker(this.#host, row),
      handleMessage: (message, answer) => this.#handleMessage("acceptor", message, answer),
      handleDeath: (death) => this.#logDeath("acceptor", death),
      handleReplaced: () => this.#countReplaced("acceptor"),
    });
  }

  #createEdge(worker: number): Seat {
    return new Seat({
      title: `edge worker ${worker}`,
      entry: EDGE_ENTRY,
      orders: () => ({
        kind: "edge",
        host: this.#host,
        worker,
        accessLog: this.#accessLog?.orders() ?? null,
        store: this.#store?.readingOrders ?? null,
      }),
      settle: () => this.#native.settleWorker(this.#host, worker),
      handleMessage: (message, answer) => this.#handleMessage(worker, message, answer),
      handleDeath: (death) => this.#logDeath(worker, death),
      handleReplaced: () => this.#countReplaced(worker),
    });
  }

  #logDeath(worker: number | "acceptor", death: Death): void {
    this.#lastDeaths.set(worker, death.reason);
    if (worker !== "acceptor") this.#profiles.handleDeath(worker);
    this.#log.error({ worker, ...death }, "a worker thread died; it is being replaced");
  }

  #countReplaced(worker: number | "acceptor"): void {
    this.#replaced += 1;
    const reason = this.#lastDeaths.get(worker) ?? "";
    const past = { at: new Date().toISOString(), worker, reason };
    this.#replacements = [...this.#replacements, past].slice(-REPLACEMENTS_MAX);
    this.#log.warn({ worker, reason }, "a worker thread was replaced");
    this.#handleReplaced({ worker, reason });
  }

  #handleMessage(worker: number | "acceptor", message: FromWorker, answer: (message: ToWorker) => void): void {
    switch (message.kind) {
      case "ready":
      case "failed":
        return;
      case "notes":
        for (const note of readNotes(this.#log, message.lines)) {
          if (!this.#handleNote(note)) logNote(this.#log, note);
        }
        return;
      case "accessLog":
        this.#accessLog?.write(message.lines, () =>
          answer({ kind: "accessLogWritten", bytes: message.lines.byteLength }),
        );
        return;
      case "accessLogLost":
        this.#logLoss(worker, message);
        return;
      case "accessLogReleased":
        this.#accessLog?.release(message.fd);
        return;
      case "storeBroken":
        this.#store?.handleBroken(message.target, message.file);
        return;
      case "profiled": {
        const { profile, says } = message;
        if (worker !== "acceptor")
          this.#profiles.handleAnswer(worker, profile === null ? { ok: false, says } : { ok: true, profile });
        return;
      }
      default:
        unreachable(message);
    }
  }

  /** At most one line a second, whichever worker loses lines. */
  #logLoss(worker: number | "acceptor", loss: Extract<FromWorker, { readonly kind: "accessLogLost" }>): void {
    if (performance.now() - this.#lastLossLogMs < 1000) return;
    this.#lastLossLogMs = performance.now();
    const total = this.#accessLog?.lostLines ?? 0;
    this.#log.warn({ worker, lines: loss.lines, total, why: loss.why, says: loss.says }, "access-log lines were lost");
  }
}

function openHost(native: NativeCore, document: Uint8Array, stats: StatsBlock): number {
  try {
    native.checkPlan(document);
    return native.openHost(document, stats.words);
  } catch (thrown) {
    const says = `The native core refuses the plan: ${messageOf(thrown)}`;
    throw new MillraceError("MILLRACE_NATIVE", says, { cause: thrown });
  }
}

function listen(native: NativeCore, host: number, inherited: readonly number[]): readonly ListenerPlace[] {
  try {
    return native.listen(host, inherited);
  } catch (thrown) {
    throw new MillraceError("MILLRACE_LISTEN", describeListenFailure(thrown), { cause: thrown });
  }
}

/** @throws Error one sentence that says what cannot be run or opened. */
function installPlan(native: NativeCore, host: number, plan: Plan): readonly ListenerPlace[] {
  try {
    return native.installPlan(host, encodePlan(plan));
  } catch (thrown) {
    if (!/^E[A-Z0-9]+: /.test(messageOf(thrown))) throw thrown;
    throw new Error(describeListenFailure(thrown), { cause: thrown });
  }
}

/** One clear sentence for the failures operators meet; the core's message begins with the code of the system. */
function describeListenFailure(thrown: unknown): string {
  const [, code = "", says = ""] = /^(?:(E[A-Z0-9]+): )?(.*)$/s.exec(messageOf(thrown)) ?? [];
  const sentence = says.replace(/ \(os error \d+\)/, "").replace(/^[a-z]/, (letter) => letter.toUpperCase());
  switch (code) {
    case "EADDRINUSE":
      return `${sentence} (another program uses this port; stop it or choose another)`;
    case "EACCES":
    case "EPERM":
      return `${sentence} (ports below 1024 need the right to bind them)`;
    case "EADDRNOTAVAIL":
      return `${sentence} (this host does not have that address)`;
    default:
      return sentence;
  }
}
