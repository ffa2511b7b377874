/**
 * A seat: the place of one worker thread. Whoever sits in it dies alone: the books of the dead are settled, and a
 * replacement takes the same seat.
 */
import { Worker } from "node:worker_threads";
import { MillraceError, messageOf } from "../shared/errors.js";
import type { FromWorker, Orders, ToWorker } from "../shared/messages.js";
import { Backoff } from "./backoff.js";

/** How long a thread may take to become ready, in ms. */
const READY_MS_MAX = 30_000;
/** How long a thread may take to leave when asked, in ms; then it is terminated. */
const LEAVE_MS_MAX = 3000;

/** What a seat needs from its supervisor. */
export interface SeatPlan {
  /** For messages: "acceptor", "edge worker 3". */
  readonly title: string;
  /** The entry file of the thread. */
  readonly entry: URL;
  /** What the thread is started with; asked anew for each replacement. */
  readonly orders: () => Orders;
  /** Settles the books of a thread that has ended. */
  readonly settle: () => void;
  readonly handleMessage: (message: FromWorker, answer: (message: ToWorker) => void) => void;
  readonly handleDeath: (death: Death) => void;
  readonly handleReplaced: () => void;
}

/** A thread that ended without being asked to. */
export interface Death {
  readonly reason: string;
  /** How long it had been ready, in ms; 0 if it never was. */
  readonly livedMs: number;
  /** How long the seat stays empty before a replacement starts, in ms. */
  readonly waitMs: number;
}

type Occupant =
  | { readonly state: "empty" }
  | { readonly state: "starting"; readonly worker: Worker }
  | { readonly state: "ready"; readonly worker: Worker; readonly sinceMs: number };

/** One seat, kept by its supervisor from start to stop. */
export class Seat {
  readonly #plan: SeatPlan;
  readonly #backoff = new Backoff();
  #occupant: Occupant = { state: "empty" };
  /** A seat nobody was ever ready in is not filled again: the start fails instead. */
  #everReady = false;
  #leaving = false;
  #reason = "";
  #replacement: NodeJS.Timeout | null = null;
  #gone: (() => void)[] = [];

  constructor(plan: SeatPlan) {
    this.#plan = plan;
  }

  /** Whether a thread sits here and is at work. */
  get isReady(): boolean {
    return this.#occupant.state === "ready";
  }

  /**
   * Starts the first thread; resolves when it is ready.
   *
   * @throws MillraceError `MILLRACE_START` when it ends or stays silent instead; it is not replaced then.
   */
  async start(): Promise<void> {
    const failure = await this.#seatThread();
    if (failure === null) return;
    this.#leaving = true;
    throw new MillraceError("MILLRACE_START", `The ${this.#plan.title} did not start: ${failure}`);
  }

  /** Sends a message to the thread, if one sits here. */
  say(message: ToWorker): void {
    if (this.#occupant.state !== "empty") this.#occupant.worker.postMessage(message);
  }

  /** Asks the thread to leave and resolves when it has; one that does not is terminated. Nobody takes the seat then. */
  async stop(): Promise<void> {
    this.#leaving = true;
    if (this.#replacement !== null) clearTimeout(this.#replacement);
    const occupant = this.#occupant;
    if (occupant.state === "empty") return;
    const gone = new Promise<void>((resolve) => this.#gone.push(resolve));
    occupant.worker.postMessage({ kind: "stop" } satisfies ToWorker);
    const overdue = setTimeout(() => void occupant.worker.terminate(), LEAVE_MS_MAX);
    await gone;
    clearTimeout(overdue);
  }

  /** No replacement from now on: the proxy is draining, and who dies now is not missed. */
  close(): void {
    this.#leaving = true;
    if (this.#replacement !== null) clearTimeout(this.#replacement);
  }

  /** Puts a thread here. Resolves with null when it is ready, or with the reason why it never was. */
  #seatThread(): Promise<string | null> {
    this.#reason = "";
    let worker: Worker;
    try {
      // execArgv is not inherited: flags of the user's own process (--input-type, loaders) have no meaning in ours.
      const options = { workerData: this.#plan.orders(), name: this.#plan.title, execArgv: [] };
      worker = new Worker(this.#plan.entry, options);
    } catch (thrown) {
      // The system has no thread left to give; it may have one later.
      this.#handleExit(messageOf(thrown));
      return Promise.resolve(messageOf(thrown));
    }
    this.#occupant = { state: "starting", worker };
    return new Promise((resolve) => this.#watch(worker, resolve));
  }

  #watch(worker: Worker, resolve: (failure: string | null) => void): void {
    const overdue = setTimeout(() => {
      this.#reason = `it was not ready within ${READY_MS_MAX / 1000} s`;
      void worker.terminate();
    }, READY_MS_MAX);
    worker.on("message", (message: FromWorker) => {
      if (message.kind === "ready") {
        clearTimeout(overdue);
        this.#everReady = true;
        this.#occupant = { state: "ready", worker, sinceMs: performance.now() };
        resolve(null);
      } else if (message.kind === "failed") {
        this.#reason = message.says;
      }
      this.#plan.handleMessage(message, (answer) => worker.postMessage(answer));
    });
    worker.on("error", (thrown) => {
      this.#reason = messageOf(thrown);
    });
    worker.on("exit", (code) => {
      clearTimeout(overdue);
      const reason = this.#reason === "" ? `it ended with code ${code}` : this.#reason;
      const wasReady = this.#occupant.state === "ready";
      this.#handleExit(reason);
      if (!wasReady) resolve(reason);
    });
  }

  #handleExit(reason: string): void {
    const livedMs = this.#occupant.state === "ready" ? Math.round(performance.now() - this.#occupant.sinceMs) : 0;
    this.#occupant = { state: "empty" };
    this.#plan.settle();
    const waiting = this.#gone;
    this.#gone = [];
    for (const gone of waiting) gone();
    if (this.#leaving || !this.#everReady) return;
    const waitMs = this.#backoff.handleDeath(performance.now(), livedMs);
    this.#plan.handleDeath({ reason, livedMs, waitMs });
    this.#replacement = setTimeout(() => void this.#replace(), waitMs);
  }

  async #replace(): Promise<void> {
    const failure = await this.#seatThread();
    if (failure === null) this.#plan.handleReplaced();
  }
}
