/**
 * The acceptor thread: owns the accept loop of all listening sockets, which the native core runs on this thread's event
 * loop, and hands each connection to the least loaded edge worker. No JavaScript runs per connection.
 */
import { parentPort, workerData } from "node:worker_threads";
import { loadNative } from "../src/native.js";
import { messageOf } from "../src/shared/errors.js";
import type { AcceptorOrders, FromWorker, ToWorker } from "../src/shared/messages.js";

const orders = workerData as AcceptorOrders;
const native = loadNative();
const port = parentPort;
if (port === null) throw new Error("workers/acceptor.ts is started by the supervisor only");

function say(message: FromWorker): void {
  port?.postMessage(message);
}

/** Called once when the accept loop panicked: the thread ends and is replaced; the listening sockets outlive it. */
function fail(says: string): void {
  say({ kind: "failed", says });
  process.exit(1);
}

port.on("message", (message: ToWorker) => {
  if (message.kind !== "stop") return;
  native.stopThread();
  port.close();
});

try {
  native.startAcceptor(orders.host, fail);
  say({ kind: "ready" });
} catch (thrown) {
  fail(messageOf(thrown));
}
