/**
 * The process a test puts Millrace into when memory, descriptors or CPU are what it is about. Does what it is told over
 * the channel to its parent, through the public API, and leaves when the channel closes.
 */
import { createMillrace, type Millrace } from "../../src/index.js";
import type { FromHost, ToHost } from "./proxy.js";

let millrace: Millrace | undefined;

function tell(message: FromHost): void {
  process.send?.(message);
}

async function handle(message: ToHost): Promise<void> {
  switch (message.kind) {
    case "start": {
      millrace = createMillrace(message.settings);
      const started = await millrace.start();
      return tell({ kind: "started", started });
    }
    case "stats":
      if (millrace !== undefined) tell({ kind: "stats", stats: millrace.stats() });
      return;
    case "reload":
      if (millrace !== undefined) tell({ kind: "reloaded", reload: await millrace.reload(message.settings) });
      return;
    case "panic":
      millrace?.provokePanic(message.worker);
      return tell({ kind: "done" });
    case "stop":
      await millrace?.stop({ deadlineMs: message.deadlineMs });
      tell({ kind: "done" });
      process.disconnect();
      return;
  }
}

process.on("message", (message) => {
  handle(message as ToHost).catch((error: unknown) => tell({ kind: "failed", says: String(error) }));
});
process.on("disconnect", () => process.exit(0));
