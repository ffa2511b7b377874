/**
 * The cache as people move it: purges that hold in memory and in the store when they are answered, what is kept of a URL,
 * and what is asked for most. What is kept is in the core and in the store; nothing is kept here.
 */
import type { NativeCore } from "../native.js";
import { MillraceError } from "../shared/errors.js";
import type { Purge, StoredReading, StoreFacts, StoreState } from "../shared/store.js";
import type { StoreThread } from "./store-thread.js";

/** What is to be purged, as people write it: one of the four. */
export interface PurgeInput {
  /** http(s)://host/path?query */
  readonly url?: string;
  /** The beginning of URLs: http(s)://host/path */
  readonly prefix?: string;
  readonly tag?: string;
  readonly everything?: true;
  /** Stale in place of gone. */
  readonly soft?: boolean;
}

/** A purge that holds. */
export interface Purged {
  readonly scope: "url" | "prefix" | "tag" | "everything";
  readonly soft: boolean;
  /** The keys it was for, as they are kept; one for each way in which routes make keys. */
  readonly keys: readonly string[];
}

/** One stored answer in memory. */
export interface CachedReading {
  readonly variant: string;
  readonly status: number;
  readonly ageS: number;
  /** Below zero: how long it has been stale. */
  readonly ttlS: number;
  readonly stale: boolean;
  readonly hits: number;
  readonly bytes: number;
  readonly tags: readonly string[];
}

/** What is kept of a URL, by key. */
export interface CacheEntry {
  readonly key: string;
  readonly memory: readonly CachedReading[];
  readonly store: readonly StoredReading[];
}

export interface CacheTop {
  readonly target: string;
  readonly hits: number;
  readonly bytes: number;
}

/** The store in figures; null where there is none. */
export interface StoreReading {
  readonly state: StoreState;
  readonly targets: number;
  readonly variants: number;
  readonly bytes: number;
  /** Entries that wait to be written, and writes that found no room in the queue. */
  readonly waiting: number;
  readonly refused: number;
  readonly writes: number;
  readonly writesLost: number;
  readonly evictions: number;
  readonly purges: number;
  readonly broken: number;
  readonly lookUps: number;
  readonly hits: number;
  readonly batches: number;
}

/** The facts that are told as they are. */
const FACTS = [
  "targets",
  "variants",
  "bytes",
  "writes",
  "writesLost",
  "evictions",
  "purges",
  "broken",
  "lookUps",
  "hits",
  "batches",
] as const satisfies readonly Parameters<StoreFacts["get"]>[0][];

type CacheCore = Pick<NativeCore, "cacheKeys" | "cachePurge" | "cacheEntries" | "cacheTop" | "storeWaiting">;

/** See the file. */
export class CacheControl {
  readonly #native: CacheCore;
  readonly #host: number;
  readonly #store: StoreThread | null;

  constructor(native: CacheCore, host: number, store: StoreThread | null) {
    this.#native = native;
    this.#host = host;
    this.#store = store;
  }

  /**
   * Resolves when nobody gets any more what was kept before it, in any worker.
   *
   * @throws MillraceError `MILLRACE_ARGUMENT` naming what is wrong.
   */
  async purge(input: unknown): Promise<Purged> {
    const { scope, name, soft } = parsePurge(input);
    const kind = scope === "url" ? "target" : scope === "everything" ? "all" : scope;
    const keys = scope === "url" || scope === "prefix" ? this.#keysOf(name) : [Buffer.from(name, "latin1")];
    const purges = keys.map((key): Purge => {
      const stamp = this.#native.cachePurge(this.#host, kind, key, soft);
      const named = { kind, name: key.toString("latin1") } as const;
      return { scope: kind === "all" ? { kind } : { ...named, kind }, soft, stamp, atMs: Date.now() };
    });
    await this.#store?.purge(purges);
    return { scope, soft, keys: kind === "all" ? [] : keys.map(String) };
  }

  /**
   * What is kept of a URL, by each way in which routes make keys.
   *
   * @throws MillraceError `MILLRACE_ARGUMENT` when it is no URL, or no route caches.
   */
  async look(url: string): Promise<readonly CacheEntry[]> {
    const keys = this.#keysOf(url);
    return Promise.all(
      keys.map(async (key) => ({
        key: key.toString(),
        memory: JSON.parse(this.#native.cacheEntries(this.#host, key)) as readonly CachedReading[],
        store: (await this.#store?.look(key)) ?? [],
      })),
    );
  }

  /** The targets in memory with most hits, those first. */
  top(count: number): readonly CacheTop[] {
    return JSON.parse(this.#native.cacheTop(this.#host, count)) as readonly CacheTop[];
  }

  /** The store in figures; null = there is none. */
  store(): StoreReading | null {
    const facts = this.#store?.facts;
    if (facts === undefined) return null;
    const [waiting, refused] = this.#native.storeWaiting(this.#host);
    const told = Object.fromEntries(FACTS.map((fact) => [fact, facts.get(fact)]));
    return { state: facts.state, waiting, refused, ...(told as Record<(typeof FACTS)[number], number>) };
  }

  #keysOf(url: string): readonly Buffer[] {
    if (!/^https?:\/\/[^/?#\s@]+([/?][^#\s]*)?$/i.test(url)) {
      throw wrong(`"${url}" must be http(s)://host/path, without user, fragment or spaces`);
    }
    const keys = this.#native.cacheKeys(this.#host, url);
    if (keys.length === 0) throw wrong("no route caches, so nothing is kept");
    return keys;
  }
}

interface ParsedPurge {
  readonly scope: Purged["scope"];
  readonly name: string;
  readonly soft: boolean;
}

const SCOPES = ["url", "prefix", "tag", "everything"] as const;

function parsePurge(input: unknown): ParsedPurge {
  const says = "a purge names one of url, prefix, tag and everything: true";
  if (typeof input !== "object" || input === null || Array.isArray(input)) throw wrong(says);
  const { soft = false, ...named } = input as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(named).find((key) => !SCOPES.some((scope) => scope === key));
  if (unknown !== undefined) throw wrong(`"${unknown}" is not known; ${says}, and may say soft: true`);
  if (typeof soft !== "boolean") throw wrong("soft must be true or false");
  const [scope, ...more] = SCOPES.filter((one) => named[one] !== undefined);
  if (scope === undefined || more.length > 0) throw wrong(says);
  const value = named[scope];
  if (scope === "everything") {
    if (value !== true) throw wrong("everything must be true");
    return { scope, name: "", soft };
  }
  if (typeof value !== "string" || value === "") throw wrong(`${scope} must be a text`);
  // A tag is a word of a field: anything with white space, or a comma, would fit none.
  if (scope === "tag" && !/^[\x21-\x2b\x2d-\x7e\x80-\xff]+$/.test(value))
    throw wrong(`"${value}" is not a tag: one word`);
  return { scope, name: value, soft };
}

function wrong(says: string): MillraceError {
  return new MillraceError("MILLRACE_ARGUMENT", says);
}
