/**
 * The only door to the native core: its typed interface and the loading of the addon, with a clear sentence for every
 * way that can fail. No logic of its own. The main thread loads the addon first and keeps it for the life of the
 * process: an addon that only a worker had loaded would be unmapped with that worker while native code still runs.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { libraryFlaw } from "./shared/elf.js";
import { MillraceError, messageOf } from "./shared/errors.js";

/** Where a listening socket really listens; `port` is never 0. */
export interface ListenerPlace {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** A listening socket under its descriptor, and the address that the settings have for it. */
export interface OpenSocket extends ListenerPlace {
  readonly fd: number;
}

/** How far a plan has come. */
export interface PlanTaken {
  /** By worker: the number of the plan it runs, counted from 0. */
  readonly workers: readonly number[];
  /** The listening sockets are as the present plan has them. */
  readonly listeners: boolean;
}

/**
 * Called at most once a turn, and only when there is something to hand over: access-log lines (NDJSON bytes) and notes
 * (NDJSON, one object a line with `level`, `event` and more), and questions to the store (shared/store-border.ts).
 */
export type OnTurn = (accessLog: Buffer | null, notes: Buffer | null, questions: Buffer | null) => void;

/** What the addon exports. Hosts and workers are numbers; a host is the state all threads of one proxy share. */
export interface NativeCore {
  /** Version of the core, e.g. "0.1.0". */
  version(): string;
  /** JSON description of the stats block. */
  statsLayout(): string;
  /** Decodes and checks a plan; throws an Error whose message says what the core cannot run. */
  checkPlan(plan: Uint8Array): void;
  /** Shakes hands with itself over the loopback in every way this build can: a JSON list of `{ name, fault }`. */
  tlsSelfTest(): string;
  /** Creates the shared state of one proxy and returns its id. `stats` has (workers + 1) × rowWords words. */
  openHost(plan: Uint8Array, stats: BigUint64Array): number;
  /**
   * Opens all listening sockets, or takes over the descriptor that `inherited` has for a listener (-1: none). Throws with
   * `code` (EADDRINUSE, EACCES …), listener and address in the message.
   */
  listen(host: number, inherited: readonly number[]): ListenerPlace[];
  /** The listening sockets as descriptors, until another plan does without them or `drain`; addresses as in the plan. */
  listeningSockets(host: number): OpenSocket[];
  /** Where a descriptor that this process was started with listens; throws when it is no listening socket of TCP. */
  inheritedPlace(fd: number): { address: string; port: number };
  /** One datagram to a socket of the file system, or with an address that begins with "@" to an abstract one. */
  notify(address: string, text: string): void;
  /** In the acceptor thread (a proxy of one worker has none): accept on this thread's event loop until stopThread(). After onFailure the thread must exit. */
  startAcceptor(host: number, onFailure: (message: string) => void): void;
  /** In an edge thread: run the engine on this thread's event loop. After onFailure the thread must exit. */
  startEdge(host: number, worker: number, onTurn: OnTurn, onFailure: (message: string) => void): void;
  /** Detaches this thread's acceptor or engine and closes its connections. Safe to call twice. */
  stopThread(): void;
  /**
   * From any thread: stop accepting, answer what is in flight with `Connection: close`, close idle connections. With
   * `idleStays` those may ask once more, until this is called again without.
   */
  drain(host: number, idleStays: boolean): void;
  /** From the thread that opened the host, after all threads of the host ended: frees everything. */
  closeHost(host: number): void;
  /** Settles the books of a dead worker (its gauges return to zero) before its replacement starts. */
  settleWorker(host: number, worker: number): void;
  /**
   * Replaces the plan: workers take it at their next turn; targets that are gone drain and their idle connections close
   * at once. Listeners keep their places; those that are new are opened, those that are `gone` close. Throws what cannot be
   * run or opened, and has changed nothing then. Returns where it is listened, without those that are gone.
   */
  installPlan(host: number, plan: Uint8Array): ListenerPlace[];
  /** How far the present plan has come. */
  planTaken(host: number): PlanTaken;
  /** JSON array of every target known: `TargetReading` of control/targets.ts. */
  readTargets(host: number): string;
  /** Takes effect on all workers at once. */
  setTargetState(host: number, target: number, state: "up" | "down" | "suspect" | "draining"): void;
  /**
   * What the proxy would do with a request of this client, given as the bytes of its head, as JSON (`CoreExplanation` of
   * control/explain.ts); nothing is sent. Throws when the bytes are no whole head.
   */
  explain(host: number, request: Uint8Array, client: string): string;
  /** Asks every worker for its connections; each answers with one note `connections` that carries the ticket. */
  dumpConnections(host: number, ticket: number): void;
  /** Says whether the store is open: asked, and told what to write; so many bytes may wait for it. */
  storeSetOpen(host: number, open: boolean, queueBytes: number): void;
  /** What the store is to write, up to about so many bytes (shared/store-border.ts); null = nothing waits. */
  storeTake(host: number, bytesMax: number): Buffer | null;
  /** How many entries wait for the store, and how many writes found no room. */
  storeWaiting(host: number): [number, number];
  /** Answers to questions of an edge worker (shared/store-border.ts). */
  storeAnswer(host: number, worker: number, answers: Uint8Array): void;
  /** The keys under which a URL may be stored; empty = no route caches, or it is no URL. */
  cacheKeys(host: number, url: string): Buffer[];
  /** Purges memory; returns the purge clock. What was asked for then, or before, is gone, or stale if it is soft. */
  cachePurge(host: number, what: "target" | "prefix" | "tag" | "all", name: Uint8Array, soft: boolean): number;
  /** What memory holds of a target: a JSON list of `CachedReading` (control/cache.ts). */
  cacheEntries(host: number, target: Uint8Array): string;
  /** The targets with most hits: a JSON list of `CacheTop` (control/cache.ts). */
  cacheTop(host: number, count: number): string;
  /** Locks a file, made if it is not there, until `unlockFile` or the end of the process; null = somebody has it. */
  lockFile(path: string): number | null;
  /** Gives a lock back. */
  unlockFile(lock: number): void;
  /** Fault injection for tests: the worker's next turn panics; the acceptor's, where `worker` is the number of workers. */
  provokePanic(host: number, worker: number): void;
}

const SUPPORTED_ARCHITECTURES: readonly string[] = ["x64", "arm64"];
/** C libraries, in the names of files and packages. */
const LIBCS = ["gnu", "musl"] as const;

let loaded: NativeCore | undefined;

/**
 * The native core, loaded on first use and kept for the life of the process.
 *
 * @throws MillraceError `MILLRACE_NATIVE` on a system Millrace does not run on, when the addon is not built, or when it
 * cannot be loaded.
 */
export function loadNative(): NativeCore {
  loaded ??= loadFrom(nativePath());
  return loaded;
}

/**
 * The addon's file: `MILLRACE_NATIVE_PATH` if set, else the one that was built in this package, else that of the package of
 * this platform, which npm installs beside it.
 *
 * @throws MillraceError `MILLRACE_NATIVE` on a system Millrace does not run on, or when there is none.
 */
export function nativePath(): string {
  if (process.platform !== "linux" || !SUPPORTED_ARCHITECTURES.includes(process.arch)) {
    throw new MillraceError(
      "MILLRACE_NATIVE",
      `Millrace runs on Linux on x64 and arm64 only; this is ${process.platform} on ${process.arch}.`,
    );
  }
  if ("bun" in process.versions || "deno" in process.versions) {
    throw new MillraceError("MILLRACE_NATIVE", "Millrace's native core needs the event loop of Node.js itself.");
  }
  const override = process.env["MILLRACE_NATIVE_PATH"];
  if (override !== undefined && override !== "") {
    if (existsSync(override)) return override;
    throw new MillraceError(
      "MILLRACE_NATIVE",
      `There is no native core at ${override}, which MILLRACE_NATIVE_PATH names.`,
    );
  }
  const built = LIBCS.map((libc) =>
    fileURLToPath(new URL(`../../native-bindings/millrace.linux-${process.arch}-${libc}.node`, import.meta.url)),
  );
  const found = built.find((path) => existsSync(path)) ?? installedPath();
  if (found !== undefined) return found;
  throw new MillraceError(
    "MILLRACE_NATIVE",
    `There is no native core for this platform: neither ${built[0]} nor an installed package; "millrace build-native" builds it.`,
  );
}

/** Of the packages that npm chooses from by system, processor and C library, the one that it has installed. */
function installedPath(): string | undefined {
  const { resolve } = createRequire(import.meta.url);
  for (const libc of LIBCS) {
    try {
      return resolve(`@millrace/linux-${process.arch}-${libc}`);
    } catch {
      // Not the one of this platform, or none is installed.
    }
  }
  return undefined;
}

function loadFrom(path: string): NativeCore {
  try {
    const flaw = libraryFlaw(path, process.arch);
    if (flaw !== null) throw new Error(flaw);
    return createRequire(import.meta.url)(path) as NativeCore;
  } catch (cause) {
    const [says] = messageOf(cause).split("\n", 1);
    throw new MillraceError("MILLRACE_NATIVE", `The native core ${path} cannot be loaded: ${says}`, { cause });
  }
}
