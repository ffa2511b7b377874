/**
 * An edge thread whose callbacks misbehave as its orders say. The native core must outlive every one of them.
 */
import { nextTick } from "node:process";
import { parentPort, workerData } from "node:worker_threads";
import { loadNative } from "../../../src/native.js";

/** What the thread does when the core calls it at the end of a turn. */
export type Conduct =
  /** Takes the lines. */
  | "quiet"
  /** Notes the order in which ticks and promises run, against the next turn. */
  | "ticks"
  /** Throws, and dies of it. */
  | "throw"
  /** Throws in every turn, and lives: the thread handles its uncaught exceptions. */
  | "throw-and-live"
  /** Throws from a tick. */
  | "throw-in-tick"
  /** Rejects a promise. */
  | "reject"
  /** Leaves with 3. */
  | "exit"
  /** Detaches the core, and goes on for a while. */
  | "stop"
  /** Detaches the core and throws. */
  | "stop-and-throw"
  /** Asks for a second engine on this thread, which must be refused. */
  | "start-again"
  /** Never returns; only `terminate()` ends it. */
  | "spin"
  /** Collects garbage. */
  | "collect"
  /** Throws when told that the engine panicked. */
  | "throw-on-failure"
  /** Does nothing when told that the engine panicked, and stays. */
  | "ignore-failure";

/** Edge thread → test. */
export type FromBareEdge =
  | { readonly kind: "ready" }
  | { readonly kind: "in-turn" }
  | { readonly kind: "failed"; readonly says: string }
  | { readonly kind: "steps"; readonly steps: readonly string[] };

const orders = workerData as { readonly host: number; readonly worker: number; readonly conduct: Conduct };
const native = loadNative();
const steps: string[] = [];

function say(message: FromBareEdge): void {
  parentPort?.postMessage(message);
}

function start(): void {
  native.startEdge(orders.host, orders.worker, takeTurn, fail);
}

function takeTurn(lines: Buffer | null): void {
  if (lines !== null && !lines.toString("latin1").startsWith("{")) throw new Error("these are no lines");
  switch (orders.conduct) {
    case "quiet":
    case "throw-on-failure":
    case "ignore-failure":
      return;
    case "ticks":
      steps.push("turn");
      nextTick(() => steps.push("tick"));
      void Promise.resolve().then(() => steps.push("promise"));
      return;
    case "throw":
    case "throw-and-live":
      throw new Error("thrown in a turn");
    case "throw-in-tick":
      nextTick(() => {
        throw new Error("thrown in a tick");
      });
      return;
    case "reject":
      void Promise.reject(new Error("rejected in a turn"));
      return;
    case "exit":
      leave();
      return;
    case "stop":
      native.stopThread();
      native.stopThread();
      say({ kind: "in-turn" });
      return;
    case "stop-and-throw":
      native.stopThread();
      throw new Error("thrown after a stop");
    case "start-again":
      startAgain();
      return;
    case "spin":
      say({ kind: "in-turn" });
      while (parentPort !== null) Math.random();
      return;
    case "collect":
      globalThis.gc?.();
      steps.push(typeof globalThis.gc);
  }
}

function leave(): void {
  process.exit(3);
}

function startAgain(): void {
  try {
    start();
    steps.push("started again");
  } catch (thrown) {
    steps.push(String(thrown));
  }
}

function fail(says: string | Buffer): void {
  say({ kind: "failed", says: says.toString() });
  if (orders.conduct === "throw-on-failure") throw new Error("thrown on failure");
}

parentPort?.on("message", (message: { readonly kind: "stop" | "steps" }) => {
  if (message.kind === "steps") {
    say({ kind: "steps", steps: steps.splice(0) });
    return;
  }
  native.stopThread();
  parentPort?.close();
});

if (orders.conduct === "throw-and-live") process.on("uncaughtException", (thrown) => steps.push(thrown.message));
start();
say({ kind: "ready" });
