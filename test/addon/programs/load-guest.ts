/**
 * A worker of somebody else's program that uses Millrace: loads the addon, or runs a whole proxy.
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import { loadNative, type NativeCore } from "../../../src/native.js";
import { VERSION } from "../../../src/version.js";
import { portOf, proxyTo } from "./kit.js";

/** What the worker does. */
export type GuestOrders =
  | { readonly kind: "load" | "load-and-stay" }
  | { readonly kind: "load-twice"; readonly path: string }
  /** Runs a proxy until it is told to end, and ends like this. */
  | { readonly kind: "proxy"; readonly origin: string; readonly how: "stop" | "exit" | "terminate" };

/** What it says when it is at work; the port of its proxy, or 0. */
export interface FromGuest {
  readonly port: number;
}

function say(message: FromGuest): void {
  parentPort?.postMessage(message);
}

async function hostProxy(origin: string, how: "stop" | "exit" | "terminate"): Promise<void> {
  const proxy = proxyTo({ url: origin, close: () => Promise.resolve() });
  const port = await portOf(proxy);
  parentPort?.once("message", () => {
    if (how === "exit") process.exit(5);
    void proxy.stop({ deadlineMs: 50 });
  });
  say({ port });
}

const orders = workerData as GuestOrders;
switch (orders.kind) {
  case "load":
    assert.equal(loadNative().version(), VERSION);
    break;
  case "load-and-stay":
    loadNative();
    say({ port: 0 });
    setInterval(() => loadNative().version(), 1);
    break;
  case "load-twice": {
    const other = createRequire(import.meta.url)(orders.path) as NativeCore;
    assert.equal(other.version(), loadNative().version());
    break;
  }
  case "proxy":
    await hostProxy(orders.origin, orders.how);
}
