/**
 * Everything the main thread and its workers say to each other: closed unions, plain data.
 */

import type { Purge, StoredReading } from "./store.js";

/** What an acceptor thread is started with. */
export interface AcceptorOrders {
  readonly kind: "acceptor";
  readonly host: number;
}

/** What an edge thread is started with. */
export interface EdgeOrders {
  readonly kind: "edge";
  readonly host: number;
  readonly worker: number;
  readonly accessLog: AccessLogOrders | null;
  /** null = there is none. */
  readonly store: StoreReadingOrders | null;
}

/** Where an edge thread reads from the store. */
export interface StoreReadingOrders {
  readonly folder: string;
  /** Quota. */
  readonly bytes: number;
  /** Memory of StoreFacts and Touches (store.ts). */
  readonly facts: SharedArrayBuffer;
  readonly touches: SharedArrayBuffer;
}

/** Where an edge thread's access-log lines go. */
export interface AccessLogOrders {
  /**
   * A file is appended to by the worker itself (the kernel keeps appends whole); a pipe or terminal has one writer, the
   * main thread, because writes to it from several threads would tear each other's lines.
   */
  readonly sink: { readonly kind: "file"; readonly fd: number } | { readonly kind: "main" };
  /** Lines kept while the sink is slow, in bytes; beyond it lines are dropped and counted. */
  readonly queueBytesMax: number;
  /** One 64-bit word all workers add the lines they lost to. */
  readonly lostLines: SharedArrayBuffer;
}

/** Main thread → worker. */
export type ToWorker =
  /** Detach from the event loop, write what is left of the access log, and leave. */
  | { readonly kind: "stop" }
  /** The access-log file was opened anew; answer with `accessLogReleased` when the old descriptor is no longer used. */
  | { readonly kind: "accessLogReopened"; readonly fd: number }
  /** The main thread wrote this many bytes of this worker's lines. */
  | { readonly kind: "accessLogWritten"; readonly bytes: number }
  /** Profile this thread for so long and answer with `profiled`. */
  | { readonly kind: "profile"; readonly ms: number };

/** Worker → main thread. */
export type FromWorker =
  | { readonly kind: "ready" }
  /** NDJSON notes of the engine, one object a line. */
  | { readonly kind: "notes"; readonly lines: Uint8Array }
  /** NDJSON access-log lines for the sink of the main thread. */
  | { readonly kind: "accessLog"; readonly lines: Uint8Array }
  /** Lines lost since the last such message, because the sink was slow or broken. */
  | { readonly kind: "accessLogLost"; readonly lines: number; readonly why: "slow" | "broken"; readonly says: string }
  | { readonly kind: "accessLogReleased"; readonly fd: number }
  /** The text of a .cpuprofile file, or why there is none. */
  | { readonly kind: "profiled"; readonly profile: string | null; readonly says: string }
  /** Something of this target in the store is not what was written; the file, if it is one. */
  | { readonly kind: "storeBroken"; readonly target: Uint8Array; readonly file: Uint8Array | null }
  /** The engine panicked or a start failed; the thread leaves after this. */
  | { readonly kind: "failed"; readonly says: string };

/** What the store thread is started with: `workerData`. */
export interface StoreOrders {
  readonly kind: "store";
  readonly host: number;
  readonly folder: string;
  /** Quota. */
  readonly bytes: number;
  readonly bodyInlineBytes: number;
  /** Memory of StoreFacts and Touches (store.ts). */
  readonly facts: SharedArrayBuffer;
  readonly touches: SharedArrayBuffer;
  /** The process takes the place of another one, which may still have the folder; it is waited for. */
  readonly isSuccessor: boolean;
}

/** Main thread → store thread. */
export type ToStore =
  | { readonly kind: "stop" }
  /** Answer with `purged` when no reader gets any more what they are about. */
  | { readonly kind: "purge"; readonly ticket: number; readonly purges: readonly Purge[] }
  /** Answer with `looked`. */
  | { readonly kind: "look"; readonly ticket: number; readonly target: Uint8Array }
  /** A reader found that something of this target is not what was written; the file, if it is one. */
  | { readonly kind: "broken"; readonly target: Uint8Array; readonly file: Uint8Array | null };

/** Store thread → main thread. */
export type FromStore =
  /** The folder is ours. */
  | { readonly kind: "taken" }
  /** The store is open. */
  | { readonly kind: "ready" }
  | { readonly kind: "said"; readonly level: "info" | "warn" | "error"; readonly says: string }
  | { readonly kind: "purged"; readonly ticket: number }
  | { readonly kind: "looked"; readonly ticket: number; readonly found: readonly StoredReading[] }
  /** It cannot be opened; the thread leaves after this. */
  | { readonly kind: "failed"; readonly says: string };

/** What a worker is started with: `workerData`. */
export type Orders = AcceptorOrders | EdgeOrders;
