/**
 * The store thread as the main thread sees it: started with the proxy, told of purges, asked to leave at the end. It is
 * never terminated: LMDB's memory is shared with the threads that read. Without it, the cache is in memory only.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { MillraceError, messageOf, unreachable } from "../shared/errors.js";
import type { Log } from "../shared/log.js";
import type { FromStore, StoreOrders, StoreReadingOrders, ToStore } from "../shared/messages.js";
import { type Purge, type StoredReading, StoreFacts, Touches } from "../shared/store.js";

const ENTRY = new URL("../../workers/store.js", import.meta.url);

/** `cache.store` of the settings. */
export interface StoreSettings {
  readonly folder: string;
  /** Quota. */
  readonly bytes: number;
  readonly bodyInlineBytes: number;
  /** What may wait to be written. */
  readonly queueBytes: number;
}

/** What the settings say of the store, and whose it is. */
export interface StoreThreadPlan extends StoreSettings {
  readonly host: number;
  readonly isSuccessor: boolean;
  readonly log: Log;
  /** The store is open: from now on it can be asked. */
  readonly handleReady: () => void;
}

/** See the file. */
export class StoreThread {
  readonly facts = new StoreFacts();
  readonly touches = new Touches();
  readonly #worker: Worker;
  readonly #log: Log;
  readonly #plan: StoreThreadPlan;
  readonly #waiting = new Map<number, () => void>();
  readonly #looking = new Map<number, (found: readonly StoredReading[]) => void>();
  readonly #gone: Promise<void>;
  #isTaken = false;
  #isGone = false;
  #ticket = 0;

  private constructor(plan: StoreThreadPlan) {
    this.#log = plan.log;
    this.#plan = plan;
    const { host, folder, bytes, bodyInlineBytes, isSuccessor } = plan;
    const memory = { facts: this.facts.memory, touches: this.touches.memory };
    const orders: StoreOrders = { kind: "store", host, folder, bytes, bodyInlineBytes, isSuccessor, ...memory };
    this.#worker = new Worker(ENTRY, { workerData: orders, name: "store", execArgv: [] });
    this.#gone = new Promise((resolve) => this.#worker.once("exit", () => resolve(this.#handleExit())));
  }

  /**
   * Starts the thread; resolves when it has the folder. Opening what is there may take longer, and nobody waits for it.
   *
   * @throws MillraceError `MILLRACE_START` when the folder cannot be used.
   */
  static async start(plan: StoreThreadPlan): Promise<StoreThread> {
    // As with our own addon: what only other threads had loaded would be unmapped with the last of them.
    await import("lmdb");
    const thread = new StoreThread(plan);
    const failure = await thread.#begin(plan);
    if (failure === null) return thread;
    throw new MillraceError("MILLRACE_START", `The store cannot be opened: ${failure}`);
  }

  /** What an edge thread needs to read. */
  get readingOrders(): StoreReadingOrders {
    const { folder, bytes } = this.#plan;
    return { folder, bytes, facts: this.facts.memory, touches: this.touches.memory };
  }

  /** From when this resolves, nobody gets from the store what the purges are about. */
  purge(purges: readonly Purge[]): Promise<void> {
    if (this.#isGone) this.#spoil();
    if (this.#isGone || purges.length === 0) return Promise.resolve();
    this.#ticket += 1;
    const ticket = this.#ticket;
    const done = new Promise<void>((resolve) => this.#waiting.set(ticket, resolve));
    this.#say({ kind: "purge", ticket, purges });
    return done;
  }

  /** What is kept of a target. */
  look(target: Uint8Array): Promise<readonly StoredReading[]> {
    if (this.#isGone) return Promise.resolve([]);
    this.#ticket += 1;
    const ticket = this.#ticket;
    const done = new Promise<readonly StoredReading[]>((resolve) => this.#looking.set(ticket, resolve));
    this.#say({ kind: "look", ticket, target });
    return done;
  }

  handleBroken(target: Uint8Array, file: Uint8Array | null): void {
    this.#say({ kind: "broken", target, file });
  }

  /** Resolves when what waited is written and the thread has left. */
  async stop(): Promise<void> {
    if (!this.#isGone) this.#say({ kind: "stop" });
    await this.#gone;
  }

  #say(message: ToStore): void {
    this.#worker.postMessage(message);
  }

  #begin(plan: StoreThreadPlan): Promise<string | null> {
    return new Promise((resolve) => {
      let failure = "the thread ended";
      // A successor has the folder when its predecessor has left; until then it serves without.
      if (plan.isSuccessor) resolve(null);
      this.#worker.on("message", (message: FromStore) => {
        switch (message.kind) {
          case "taken":
            this.#isTaken = true;
            return resolve(null);
          case "ready":
            return plan.handleReady();
          case "said":
            return this.#log[message.level]({ store: plan.folder }, message.says);
          case "purged":
            this.#waiting.get(message.ticket)?.();
            this.#waiting.delete(message.ticket);
            return;
          case "looked":
            this.#looking.get(message.ticket)?.(message.found);
            this.#looking.delete(message.ticket);
            return;
          case "failed":
            failure = message.says;
            this.#log.error({ store: plan.folder, says: failure }, "the cache is in memory only: its store failed");
            return;
          default:
            unreachable(message);
        }
      });
      this.#worker.on("error", (thrown) => {
        failure = messageOf(thrown);
        this.#log.error({ store: plan.folder, says: failure }, "the cache is in memory only: the store thread died");
      });
      this.#worker.once("exit", () => resolve(failure));
    });
  }

  /** Nobody is left to write a purge: whoever opens the store next must empty it. */
  #spoil(): void {
    if (this.#isTaken) rmSync(join(this.#plan.folder, "format.json"), { force: true });
  }

  #handleExit(): void {
    this.#isGone = true;
    this.facts.state = "closed";
    if (this.#waiting.size > 0) this.#spoil();
    for (const done of this.#waiting.values()) done();
    for (const done of this.#looking.values()) done([]);
    this.#waiting.clear();
    this.#looking.clear();
  }
}
