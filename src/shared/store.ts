/**
 * What threads share about the store of the cache: what is written to it, what is purged from it, and its facts, a block
 * of counters that the store thread and the readers of the edge threads write and the main thread reads.
 */

/** A change of the store, as the engine hands it over. */
export type StoreWrite =
  | {
      readonly kind: "put";
      readonly target: Uint8Array;
      /** Tells the variants of a target apart. */
      readonly variantId: Uint8Array;
      /** Opaque to everything but the engine. */
      readonly meta: Uint8Array;
      readonly body: readonly Uint8Array[];
      readonly tags: readonly Uint8Array[];
      /** The purge clock when it was asked for. */
      readonly stamp: number;
    }
  | { readonly kind: "remove"; readonly target: Uint8Array; readonly variantId: Uint8Array }
  /** What was asked for when the purge clock stood there, or before, is no more: a change of the target was seen. */
  | { readonly kind: "removeTarget"; readonly target: Uint8Array; readonly stamp: number }
  | { readonly kind: "removeTag"; readonly tag: Uint8Array; readonly stamp: number };

/** What a purge is about. Targets are as the engine's keys have them, byte for byte (latin1). */
export type PurgeScope =
  | { readonly kind: "target"; readonly name: string }
  | { readonly kind: "prefix"; readonly name: string }
  | { readonly kind: "tag"; readonly name: string }
  | { readonly kind: "all" };

/** A purge: what was asked for when its stamp was the purge clock, or before, is gone; or stale, if it is soft. */
export interface Purge {
  readonly scope: PurgeScope;
  readonly soft: boolean;
  readonly stamp: number;
  /** When it was given, in ms since 1970. */
  readonly atMs: number;
}

/** What is kept of a target, for people who look. */
export interface StoredReading {
  readonly variant: string;
  readonly tags: readonly string[];
  /** Of the body. */
  readonly bytes: number;
  readonly isFile: boolean;
  /** When a soft purge made it stale, in ms since 1970; 0 = none did. */
  readonly softPurgedMs: number;
}

/** How the store is. `memoryOnly`: it cannot be written to, and what is in it is still served. `closed`: neither. */
export const STORE_STATES = ["opening", "ready", "memoryOnly", "closed"] as const;
export type StoreState = (typeof STORE_STATES)[number];

/** The cells of the facts block. */
const CELLS = [
  /** Index into STORE_STATES. */
  "state",
  /** Grows with every purge: readers take the purges anew when it did. */
  "purgeVersion",
  "targets",
  "variants",
  /** Rows, indexes and body files, as counted against the quota. */
  "bytes",
  "writes",
  /** Writes that failed or came while the store took none. */
  "writesLost",
  "evictions",
  "purges",
  /** Rows and files that were not what their checksum says. */
  "broken",
  "lookUps",
  "hits",
  "batches",
] as const;

export type StoreFact = (typeof CELLS)[number];

const PLACES = Object.fromEntries(CELLS.map((name, place) => [name, place])) as Readonly<Record<StoreFact, number>>;

/** The facts block: any thread adds to a cell or reads it. */
export class StoreFacts {
  readonly memory: SharedArrayBuffer;
  readonly #cells: BigInt64Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(CELLS.length * 8)) {
    this.memory = memory;
    this.#cells = new BigInt64Array(memory);
  }

  get(fact: StoreFact): number {
    return Number(Atomics.load(this.#cells, PLACES[fact]));
  }

  set(fact: StoreFact, value: number): void {
    Atomics.store(this.#cells, PLACES[fact], BigInt(value));
  }

  add(fact: StoreFact, amount = 1): void {
    Atomics.add(this.#cells, PLACES[fact], BigInt(amount));
  }

  get state(): StoreState {
    return STORE_STATES[this.get("state")] ?? "closed";
  }

  set state(state: StoreState) {
    this.set("state", STORE_STATES.indexOf(state));
  }
}

/** Cells of the block in which readers note what was asked for; about as many as there are targets in a large store. */
const TOUCH_CELLS = 1 << 20;

/** Which targets were asked for since the eviction last passed them: a byte for each, several may share one. */
export class Touches {
  readonly memory: SharedArrayBuffer;
  readonly #cells: Uint8Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(TOUCH_CELLS)) {
    this.memory = memory;
    this.#cells = new Uint8Array(memory);
  }

  note(key: Uint8Array): void {
    this.#cells[placeOf(key)] = 1;
  }

  /** Whether it was asked for; from now on it was not. */
  take(key: Uint8Array): boolean {
    const place = placeOf(key);
    const was = this.#cells[place] === 1;
    this.#cells[place] = 0;
    return was;
  }
}

/** FNV-1a over the end of the key, where keys differ. */
function placeOf(key: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let at = Math.max(0, key.length - 96); at < key.length; at += 1) {
    hash = Math.imul(hash ^ (key[at] ?? 0), 0x01000193);
  }
  return (hash ^ (hash >>> 15)) & (TOUCH_CELLS - 1);
}
