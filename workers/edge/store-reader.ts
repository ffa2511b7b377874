/**
 * The store as an edge thread sees it: what is kept of a target, without what was purged. Rows are read at once, bodies
 * that are files are read beside the event loop; both are checked against what was written. Writes nothing.
 */
import type { StoreFacts, Touches } from "../../src/shared/store.js";
import { Bodies } from "../store/bodies.js";
import { readKeptPurges } from "../store/kept-purges.js";
import { Purges } from "../store/purges.js";
import { type BodyPlace, keyOf, sameBytes, textOf, unpackRow } from "../store/rows.js";
import { openTables, type Tables } from "../store/tables.js";

/** A variant that may be used. */
export interface Found {
  readonly id: Uint8Array;
  readonly meta: Uint8Array;
  /** The purge clock of this process when it was asked for; 0 = a process before this one asked. */
  readonly stamp: number;
  /** From when on it is stale because of a soft purge, in ms since 1970; 0 = it is not. */
  readonly softMs: number;
  readonly length: number;
  readonly tags: readonly string[];
  readonly body: BodyPlace;
}

export interface StoreReaderOptions {
  readonly folder: string;
  readonly bytes: number;
  readonly facts: StoreFacts;
  readonly touches: Touches;
  /** Something is not what was written: its target, and the hash of the file if it is one. */
  readonly handleBroken: (target: Uint8Array, file: Uint8Array | null) => void;
}

const NOTHING = Buffer.alloc(0);

/** See the file. */
export class StoreReader {
  readonly #options: StoreReaderOptions;
  readonly #tables: Tables;
  readonly #bodies: Bodies;
  #purges = new Purges();
  #purgeVersion = -1;
  #run = 0;

  /** The store must be open: its writer has said `ready`. */
  constructor(options: StoreReaderOptions) {
    this.#options = options;
    this.#tables = openTables(options.folder, options.bytes);
    this.#bodies = new Bodies(options.folder);
  }

  /** What is kept of each target, as of now; empty where nothing is, or the store cannot be read. */
  find(targets: readonly Uint8Array[]): readonly (readonly Found[])[] {
    const { facts, touches } = this.#options;
    facts.add("batches");
    facts.add("lookUps", targets.length);
    const found = this.look(targets);
    let hits = 0;
    for (const [at, one] of found.entries()) {
      if (one.length === 0) continue;
      touches.note(keyOf(targets[at] ?? NOTHING));
      hits += 1;
    }
    if (hits > 0) facts.add("hits", hits);
    return found;
  }

  /** The same, for people who look: it counts for nothing. */
  look(targets: readonly Uint8Array[]): readonly (readonly Found[])[] {
    const { facts } = this.#options;
    if (facts.state !== "ready" && facts.state !== "memoryOnly") return targets.map(() => []);
    try {
      // What was committed since the last batch is seen from here on, the purges among it.
      this.#tables.root.resetReadTxn();
      this.#takePurges();
    } catch {
      return targets.map(() => []);
    }
    return targets.map((target) => this.#findOne(target));
  }

  #findOne(target: Uint8Array): readonly Found[] {
    const { facts, handleBroken } = this.#options;
    try {
      const value = this.#tables.rows.getBinary(keyOf(target));
      if (value === undefined) return [];
      const row = unpackRow(value);
      if (row === null) {
        handleBroken(target, null);
        return [];
      }
      if (!sameBytes(row.target, target)) return [];
      const name = () => textOf(target);
      return row.variants.flatMap((one): Found[] => {
        const softMs = this.#purges.judge(name, one);
        if (softMs === "gone") return [];
        const stamp = one.run === this.#run ? one.stamp : 0;
        const { id, meta, length, tags, body } = one;
        return [{ id, meta, stamp, softMs, length, tags, body }];
      });
    } catch {
      facts.add("broken");
      return [];
    }
  }

  /** The bytes of a body; null = it is not there any more, or not what was written. */
  async read(target: Uint8Array, { body, length }: Found): Promise<Uint8Array | null> {
    if (body.kind === "inline") return body.bytes;
    const bytes = await this.#bodies.read(body.hash, length);
    if (bytes === null) this.#options.handleBroken(target, body.hash);
    return bytes;
  }

  async close(): Promise<void> {
    await this.#tables.root.close();
  }

  /** Purges given since the last look-up. Those that were told to be done are all there. */
  #takePurges(): void {
    const version = this.#options.facts.get("purgeVersion");
    if (version === this.#purgeVersion) return;
    const { run, purges } = readKeptPurges(this.#tables);
    this.#run = run;
    this.#purges = new Purges(purges.map(({ purge }) => purge));
    this.#purgeVersion = version;
  }
}
