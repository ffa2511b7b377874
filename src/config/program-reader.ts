/**
 * A thread that reads a settings file which is a program, once, and ends. Node.js keeps what it has imported for as long
 * as a thread lives; this one has imported nothing yet, so that the file and all it imports are read as they are now.
 */
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../shared/errors.js";
import { type Read, readProgram } from "./load.js";

const path = workerData as string;

function say(read: Read): void {
  parentPort?.postMessage(read);
}

const read = await readProgram(path);
try {
  say(read);
} catch (thrown) {
  say({
    document: undefined,
    complaints: [{ path: "", says: `${path} holds what is no plain data: ${messageOf(thrown)}` }],
  });
}
