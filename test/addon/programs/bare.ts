/**
 * The native core without the control plane around it: a host, an acceptor thread as the proxy has it, and an edge
 * thread whose callbacks a test chooses (`bare-edge.ts`).
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { checkSettings } from "../../../src/config/check.js";
import { compilePlan, encodePlan } from "../../../src/config/plan.js";
import { StatsBlock } from "../../../src/control/stats.js";
import { loadNative } from "../../../src/native.js";
import type { Conduct, FromBareEdge } from "./bare-edge.js";
import type { Origin } from "./kit.js";

const ACCEPTOR = new URL("../../../workers/acceptor.js", import.meta.url);
const EDGE = new URL("./bare-edge.js", import.meta.url);

/** A proxy of bare threads. */
export class Bare {
  readonly port: number;
  readonly stats: StatsBlock;
  readonly #host: number;
  readonly #workers: number;
  /** A host of one worker has none. */
  readonly #acceptor: Worker | null;
  readonly #edges = new Set<Worker>();

  private constructor(port: number, stats: StatsBlock, host: number, workers: number, acceptor: Worker | null) {
    this.port = port;
    this.stats = stats;
    this.#host = host;
    this.#workers = workers;
    this.#acceptor = acceptor;
  }

  /** Opens the host, its sockets and the acceptor; edge threads are seated one by one. */
  static async open(origin: Origin, workers = 1): Promise<Bare> {
    const native = loadNative();
    const checked = checkSettings({
      workers,
      listeners: ["127.0.0.1:0"],
      accessLog: { to: "stdout" },
      origins: { app: { targets: origin.url } },
    });
    assert.ok(checked.ok);
    const stats = new StatsBlock(workers);
    const plan = encodePlan(compilePlan(checked.settings, { workers, addresses: new Map() }));
    const host = native.openHost(plan, stats.words);
    const [place] = native.listen(host, []);
    const acceptor = workers > 1 ? new Worker(ACCEPTOR, { workerData: { kind: "acceptor", host } }) : null;
    if (acceptor !== null) await once(acceptor, "message");
    return new Bare(place?.port ?? 0, stats, host, workers, acceptor);
  }

  /** Seats an edge thread that behaves like this in each turn; resolves when it is ready. */
  async seat(conduct: Conduct, worker = 0): Promise<Worker> {
    const edge = new Worker(EDGE, { workerData: { host: this.#host, worker, conduct } });
    this.#edges.add(edge);
    edge.once("exit", () => {
      this.#edges.delete(edge);
      loadNative().settleWorker(this.#host, worker);
    });
    await hears(edge, "ready");
    return edge;
  }

  /** Asks an edge's next turn to panic. */
  provokePanic(worker = 0): void {
    loadNative().provokePanic(this.#host, worker);
  }

  /** Ends every thread in order and frees the host. */
  async close(): Promise<void> {
    loadNative().drain(this.#host, false);
    const threads = this.#acceptor === null ? [...this.#edges] : [this.#acceptor, ...this.#edges];
    await Promise.all(threads.map(leave));
    for (let row = 0; row <= this.#workers; row++) loadNative().settleWorker(this.#host, row);
    loadNative().closeHost(this.#host);
  }
}

async function leave(thread: Worker): Promise<void> {
  const gone = once(thread, "exit", { signal: AbortSignal.timeout(10_000) });
  thread.postMessage({ kind: "stop" });
  await gone;
}

/** Waits for a message of this kind. */
export async function hears<Kind extends FromBareEdge["kind"]>(
  edge: Worker,
  kind: Kind,
): Promise<Extract<FromBareEdge, { readonly kind: Kind }>> {
  for (;;) {
    const [message] = (await once(edge, "message", { signal: AbortSignal.timeout(10_000) })) as [FromBareEdge];
    if (message.kind === kind) return message as Extract<FromBareEdge, { readonly kind: Kind }>;
  }
}
