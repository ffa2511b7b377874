/**
 * An edge thread: the native engine runs on this thread's event loop and moves the bytes. What reaches JavaScript comes
 * once a turn, as a batch: access-log lines, notes, and questions to the store.
 */
import { parentPort, workerData } from "node:worker_threads";
import { loadNative } from "../src/native.js";
import { messageOf, unreachable } from "../src/shared/errors.js";
import type { EdgeOrders, FromWorker, ToWorker } from "../src/shared/messages.js";
import { profileThread } from "../src/shared/profile.js";
import { StoreFacts, Touches } from "../src/shared/store.js";
import { AccessLog } from "./edge/access-log.js";
import { answerQuestions } from "./edge/store-answers.js";
import { StoreReader } from "./edge/store-reader.js";

const orders = workerData as EdgeOrders;
const native = loadNative();
const port = parentPort;
if (port === null) throw new Error("workers/edge.ts is started by the supervisor only");

const accessLog = orders.accessLog === null ? null : new AccessLog(orders.accessLog, say);

function say(message: FromWorker): void {
  port?.postMessage(message);
}

/** Called by the engine at most once a turn. */
function takeTurn(lines: Buffer | null, notes: Buffer | null, questions: Buffer | null): void {
  if (lines !== null) accessLog?.take(lines);
  if (notes !== null) say({ kind: "notes", lines: notes });
  if (questions !== null) answerStore(questions);
}

let reader: StoreReader | null = null;

/** The engine asks only while the store is open. */
function answerStore(questions: Buffer): void {
  if (orders.store === null) return;
  reader ??= new StoreReader({
    ...orders.store,
    facts: new StoreFacts(orders.store.facts),
    touches: new Touches(orders.store.touches),
    handleBroken: (target, file) => say({ kind: "storeBroken", target, file }),
  });
  answerQuestions(reader, questions, (batch) => native.storeAnswer(orders.host, orders.worker, batch));
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
  await reader?.close();
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

try {
  native.startEdge(orders.host, orders.worker, takeTurn, fail);
  say({ kind: "ready" });
} catch (thrown) {
  fail(messageOf(thrown));
}
