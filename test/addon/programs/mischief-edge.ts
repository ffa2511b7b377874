/**
 * An edge thread as the proxy starts it, with a stranger's code in it: on a message of the channel "mischief" it does
 * what real ones do by mistake. Before it spins for ever it says so on the channel.
 */
import { BroadcastChannel, threadId } from "node:worker_threads";

/** What may be done to whom. */
export interface Mischief {
  readonly kind: "throw" | "reject" | "exit" | "spin";
  readonly threadId: number;
}

function leave(): void {
  process.exit(3);
}

const channel = new BroadcastChannel("mischief");
channel.unref();
channel.onmessage = (event: unknown) => {
  const { data } = event as { readonly data: Mischief };
  if (data.threadId !== threadId) return;
  switch (data.kind) {
    case "throw":
      setImmediate(() => {
        throw new Error("a stranger threw");
      });
      return;
    case "reject":
      void Promise.reject(new Error("a stranger rejected"));
      return;
    case "exit":
      leave();
      return;
    case "spin":
      channel.postMessage("spinning");
      while (channel.onmessage !== null) Math.random();
  }
};

// Only now, so that whoever hears that the thread is ready may count on its listening.
await import("../../../workers/edge.js");
