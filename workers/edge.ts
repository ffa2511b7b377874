/**
 * An edge thread: the native engine runs on this thread's event loop and moves the bytes. What reaches JavaScript comes
 * once a turn, as a batch: access-log lines, notes, and questions to the store.
 */
import { parentPort, workerData } from "node:worker_threads";
import { loadNative } from "../src/native.js";
import { messageOf, unreachable } from "../src/shared/errors.js";
import type { EdgeOrders, FromWorker, StoreReadingOrders, ToWorker } from "../src/shared/messages.js";
import { profileThread } from "../src/shared/profile.js";
import { AccessLog } from "./edge/access-log.js";
import type { StoreAnswers } from "./edge/store-answers.js";

const orders = workerData as EdgeOrders;
const native = loadNative();
const port = parentPort;
if (port === null) throw new Error("workers/edge.ts is started by the supervisor only");

const accessLog = orders.accessLog === null ? null : new AccessLog(orders.accessLog, say);

/** Loaded only where there is a store: a proxy without one needs nothing of LMDB. */
async function openAnswers(place: StoreReadingOrders): Promise<StoreAnswers> {
  const { StoreAnswers: Answers } = await import("./edge/store-answers.js");
  return new Answers(place, {
    answer: (batch) => native.storeAnswer(orders.host, orders.worker, batch),
    handleBroken: (target, file) => say({ kind: "storeBroken", target, file }),
  });
}

function say(message: FromWorker): void {
  port?.postMessage(message);
}

/** Called by the engine at most once a turn. */
function takeTurn(lines: Buffer | null, notes: Buffer | null, questions: Buffer | null): void {
  if (lines !== null) accessLog?.take(lines);
  if (notes !== null) say({ kind: "notes", lines: notes });
  if (questions !== null) store?.answer(questions);
}

/** Called once when the engine panicked: its state is not to be trusted, so the thread ends and is replaced. */
function fail(says: string): void {
  say({ kind: "failed", says });
  // Posted messages are delivered before a worker's exit event, so the reason arrives before the thread's end.
  process.exit(1);
}

/** JavaScript's share of this thread; the engine's is not in it. Never rejects. */
async function profile(ms: number): Promise<void> {
  try {
    say({ kind: "profiled", profile: await profileThread(ms), says: "" });
  } catch (thrown) {
    say({ kind: "profiled", profile: null, says: messageOf(thrown) });
  }
}

async function stop(): Promise<void> {
  native.stopThread();
  await store?.close();
  await accessLog?.close();
  port?.close();
}

port.on("message", (message: ToWorker) => {
  switch (message.kind) {
    case "stop":
      void stop();
      return;
    case "accessLogReopened":
      void accessLog?.reopen(message.fd);
      return;
    case "accessLogWritten":
      accessLog?.handleWritten(message.bytes);
      return;
    case "profile":
      void profile(message.ms);
      return;
    default:
      unreachable(message);
  }
});

let store: StoreAnswers | null = null;

try {
  store = orders.store === null ? null : await openAnswers(orders.store);
  native.startEdge(orders.host, orders.worker, takeTurn, fail);
  say({ kind: "ready" });
} catch (thrown) {
  fail(messageOf(thrown));
}
