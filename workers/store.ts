/**
 * The store thread: the only writer of the store. Takes what the engine hands over in batches, carries purges out, and
 * uses idle time for chores. It is never ended by others while the process lives: LMDB's memory is shared with the threads
 * that read.
 */
import { parentPort, workerData } from "node:worker_threads";
import { loadNative } from "../src/native.js";
import { messageOf, unreachable } from "../src/shared/errors.js";
import type { FromStore, StoreOrders, ToStore } from "../src/shared/messages.js";
import { type Purge, type StoredReading, StoreFacts, Touches } from "../src/shared/store.js";
import { readWrites } from "../src/shared/store-border.js";
import { StoreReader } from "./edge/store-reader.js";
import { Store } from "./store/store.js";

/** How long the thread rests when there is nothing to do, in ms. */
const IDLE_MS = 50;
/** Of one transaction, about. */
const BATCH_BYTES = 8 * 1024 * 1024;
/** Between two looks for a lock that a process which leaves still has, in ms. */
const LOCK_LOOK_MS = 250;

const orders = workerData as StoreOrders;
const native = loadNative();
const port = parentPort;
if (port === null) throw new Error("workers/store.ts is started by the supervisor only");

function say(message: FromStore): void {
  port?.postMessage(message);
}

const place = {
  folder: orders.folder,
  bytes: orders.bytes,
  facts: new StoreFacts(orders.facts),
  touches: new Touches(orders.touches),
};
let readerForPeople: StoreReader | null = null;
let lock: number | null = null;
let isLeaving = false;

async function takeLock(path: string): Promise<boolean> {
  for (lock = native.lockFile(path); lock === null && orders.isSuccessor && !isLeaving; ) {
    await new Promise((resolve) => setTimeout(resolve, LOCK_LOOK_MS));
    lock = native.lockFile(path);
  }
  return lock !== null;
}

async function open(): Promise<Store> {
  const handleTaken = () => say({ kind: "taken" });
  const tell = (level: "info" | "warn" | "error", says: string) => say({ kind: "said", level, says });
  return Store.open({ ...place, bodyInlineBytes: orders.bodyInlineBytes, takeLock, handleTaken, say: tell });
}

/** Works until it is asked to leave; what the engine still has for it then is written before. */
async function work(store: Store): Promise<void> {
  const swept = await store.sweep();
  if (swept > 0) say({ kind: "said", level: "info", says: `${swept} body files that nothing refers to were removed` });
  for (;;) {
    // Asked before: what was handed over until then is written.
    const isLast = isLeaving;
    const taken = await write(store);
    if (isLast && !taken) break;
    const isBusy = taken || (await store.chore());
    await new Promise((resolve) => setTimeout(resolve, isBusy ? 0 : IDLE_MS));
  }
  await store.close();
}

/** Writes what the engine has handed over, a batch of it; false if there was nothing. */
async function write(store: Store): Promise<boolean> {
  const batch = native.storeTake(orders.host, BATCH_BYTES);
  if (batch === null) return false;
  await store.apply(readWrites(batch));
  return true;
}

const opened = open();

/** One that comes while the store is being opened waits for that: nobody reads from it before. */
async function purge(purges: readonly Purge[], ticket: number): Promise<void> {
  const store = await opened.catch(() => null);
  if (store === null) return;
  // What was handed over before the purge is older than it: its stamp says so, whichever comes first.
  for (const one of purges) await store.purge(one);
  say({ kind: "purged", ticket });
}

async function look(target: Uint8Array, ticket: number): Promise<void> {
  const store = await opened.catch(() => null);
  if (store !== null) readerForPeople ??= new StoreReader({ ...place, handleBroken: () => undefined });
  const found = (readerForPeople?.look([target])[0] ?? []).map(
    (one): StoredReading => ({
      variant: Buffer.from(one.id).toString("latin1"),
      tags: one.tags,
      bytes: one.length,
      isFile: one.body.kind === "file",
      softPurgedMs: one.softMs,
    }),
  );
  say({ kind: "looked", ticket, found });
}

async function dropBroken(target: Uint8Array, file: Uint8Array | null): Promise<void> {
  const store = await opened.catch(() => null);
  await store?.dropBroken(target, file);
}

port.on("message", (message: ToStore) => {
  switch (message.kind) {
    case "stop":
      isLeaving = true;
      return;
    case "purge":
      void purge(message.purges, message.ticket);
      return;
    case "look":
      void look(message.target, message.ticket);
      return;
    case "broken":
      void dropBroken(message.target, message.file);
      return;
    default:
      unreachable(message);
  }
});

try {
  const store = await opened;
  say({ kind: "ready" });
  await work(store);
} catch (thrown) {
  if (!isLeaving) say({ kind: "failed", says: messageOf(thrown) });
} finally {
  place.facts.state = "closed";
  if (lock !== null) native.unlockFile(lock);
  port.close();
}
