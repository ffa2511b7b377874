/**
 * The store as its one writer sees it: opens the folder, applies what the engine hands over in batches, purges, evicts by
 * the quota, and mends. Every change is one transaction after its body files are on the disk, so whatever moment the
 * process ends at, an entry is there whole or not at all. What fails leaves the store as it was and makes it refuse
 * changes (`memoryOnly`) until a probe succeeds. Reading is edge/store-reader.ts.
 */
import { messageOf } from "../../src/shared/errors.js";
import type { Purge, StoreFacts, StoreState, StoreWrite, Touches } from "../../src/shared/store.js";
import { Bodies, hashOf, type NewBody } from "./bodies.js";
import { Change, keysFrom } from "./change.js";
import { isFull, NEW_STORE, tryStore } from "./condition.js";
import { emptyFolder, markFolder, type TakeLock, takeFolder, unmarkFolder } from "./folder.js";
import { packPurge, readKeptPurges } from "./kept-purges.js";
import { type KeptPurge, Purges } from "./purges.js";
import { type BodyPlace, keyOf, keyOfTagKey, keyPrefixOf, tagPrefixOf, textOf, type Variant } from "./rows.js";
import { openTables, type Tables } from "./tables.js";
import type { TrialResult } from "./trial.js";

/** Rows handled in one transaction of a chore. */
const CHORE_ROWS = 512;
/** Between two probes of a store that takes no changes, in ms. */
const PROBE_MS = 5000;
/** So long a purge is kept after it was given: fetches that began before it may still come, in ms. */
const PURGE_KEPT_MS = 600_000;
/** Most that are kept so, and so few that forgetting them is not worth while. */
const PURGES_MAX = 100_000;
const PURGES_FEW = 1000;
const ROWS_ADOPTED = 1000;

export interface StoreOptions {
  readonly folder: string;
  /** Quota. */
  readonly bytes: number;
  readonly bodyInlineBytes: number;
  readonly facts: StoreFacts;
  readonly touches: Touches;
  readonly takeLock: TakeLock;
  /** The folder is ours; what follows may take a while. */
  readonly handleTaken?: () => void;
  readonly say: (level: "info" | "warn" | "error", says: string) => void;
  /** ms since 1970. */
  readonly now?: () => number;
  /** Called before each commit; a test makes one fail by throwing. */
  readonly beforeCommit?: () => void;
}

type Unwritten = KeptPurge | Extract<StoreWrite, { readonly kind: "remove" }>;

/** A purge that is in its table until all its rows were handled. */
interface Chore {
  readonly number: number;
  readonly purge: KeptPurge;
  /** The last key that was handled; null = none yet. */
  from: Buffer | null;
}

/** See the file. */
export class Store {
  readonly #options: StoreOptions;
  readonly #bodies: Bodies;
  readonly #tables: Tables;
  #purges: Purges;
  /** Those of the last while, carried out or not: fetches that began before them may still come. */
  #recent: KeptPurge[];
  readonly #chores: Chore[];
  /** Purges and removals that could not be written. */
  #unwritten: Unwritten[] = [];
  #run = 0;
  /** How many of the recent purges were left when old ones were last forgotten. */
  #purgesLeft = 0;
  #probeAtMs = 0;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: StoreOptions, bodies: Bodies) {
    this.#options = options;
    this.#bodies = bodies;
    this.#tables = openTables(options.folder, options.bytes);
    const { purges } = readKeptPurges(this.#tables);
    this.#recent = purges.map(({ purge }) => purge);
    this.#purges = new Purges(this.#recent);
    this.#chores = purges.map((one) => ({ ...one, from: null }));
  }

  /**
   * Opens the store in its folder; one that is damaged or of another format begins anew, with a word in the log.
   *
   * @throws Error when the folder cannot be used: somebody else does, or it holds other things.
   */
  static async open(options: StoreOptions): Promise<Store> {
    const { folder, facts, say } = options;
    facts.state = "opening";
    const taken = await takeFolder(folder, options.takeLock);
    if (!taken.ok) throw new Error(taken.says);
    options.handleTaken?.();
    if (taken.emptied !== null) say("warn", `the store in ${folder} was emptied: ${taken.emptied}`);
    const tried = taken.isFresh ? NEW_STORE : await tryStore(folder, options.bytes);
    if (tried === null) {
      await emptyFolder(folder);
      say("error", `the store in ${folder} was emptied: it is damaged, and a trial of reading it failed`);
    }
    const bodies = new Bodies(folder);
    await bodies.prepare();
    const store = new Store(options, bodies);
    await store.#begin(tried);
    return store;
  }

  get state(): StoreState {
    return this.#options.facts.state;
  }

  /** Applies changes in their order, in one transaction. Never rejects: what cannot be written is lost, and counted. */
  apply(writes: readonly StoreWrite[]): Promise<void> {
    return this.#inTurn(async () => {
      if (writes.length === 0) return;
      try {
        if (!(await this.#takesChanges())) throw null;
        const places = await this.#writeBodies(writes);
        const purges = writes.flatMap((write) => this.#purgeOf(write));
        await this.#writePurges(purges, (change) => {
          for (const [at, write] of writes.entries()) this.#applyOne(change, write, places[at]);
          change.evict(this.#options.bytes, this.#options.touches);
        });
        this.#options.facts.add("writes", writes.length);
      } catch (thrown) {
        this.#options.facts.add("writesLost", writes.length);
        if (thrown !== null) this.#handleFailure(thrown);
        const removals = writes.filter((write) => write.kind === "remove");
        await this.#holdBack([...writes.flatMap((write) => this.#purgeOf(write)), ...removals]);
      }
    });
  }

  /** From when this returns, no reader gets what the purge fits, in this process and after any end of it. */
  purge(purge: Purge): Promise<void> {
    return this.#inTurn(async () => {
      const kept: KeptPurge = { ...purge, run: this.#run };
      this.#options.facts.add("purges");
      try {
        await this.#writePurges([kept]);
      } catch (thrown) {
        this.#handleFailure(thrown);
        await this.#holdBack([kept]);
      }
    });
  }

  /** One step of what is to be done beside the changes; false if there is nothing to do. */
  chore(): Promise<boolean> {
    return this.#inTurn(async () => {
      try {
        if (!(await this.#takesChanges())) return false;
        this.#forgetPurges();
        const [next] = this.#chores;
        if (next !== undefined) {
          await this.#carryOut(next);
          return true;
        }
        if (this.#options.facts.get("bytes") <= this.#options.bytes) return false;
        await this.#commit((change) => change.evict(this.#options.bytes, this.#options.touches));
        return true;
      } catch (thrown) {
        this.#handleFailure(thrown);
        return false;
      }
    });
  }

  /** A reader found something that is not what was written: it goes. */
  dropBroken(target: Uint8Array, file: Uint8Array | null): Promise<void> {
    this.#options.facts.add("broken");
    return this.#inTurn(async () => {
      try {
        if (file !== null) await this.#bodies.remove(file);
        await this.#commit((change) => change.remove(keyOf(target), target));
      } catch (thrown) {
        this.#handleFailure(thrown);
      }
    });
  }

  /** Removes body files that nothing refers to; returns how many. */
  sweep(): Promise<number> {
    return this.#inTurn(() => this.#bodies.sweep((hash) => this.#tables.bodies.getBinary(hash) !== undefined));
  }

  async close(): Promise<void> {
    await this.#last;
    this.#options.facts.state = "closed";
    await this.#tables.root.close();
  }

  /** One after the other: a purge must not overtake the changes before it. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#last.then(task);
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #begin(tried: TrialResult | null): Promise<void> {
    const { folder, say } = this.#options;
    if (tried !== null && !tried.exact) {
      await this.#rebuild();
      say("warn", `the indexes of the store in ${folder} were made anew; ${tried.broken} damaged entries were dropped`);
    }
    await this.#commit((change) => {
      change.open();
      change.evict(this.#options.bytes, this.#options.touches);
    });
    this.#options.facts.state = "ready";
  }

  /** Makes indexes and books out of the rows. Unmarked meanwhile: a store that is only half of one is emptied. */
  async #rebuild(): Promise<void> {
    await unmarkFolder(this.#options.folder);
    await this.#commit((change) => change.forget());
    const keys = [...this.#tables.rows.getKeys({})];
    for (let at = 0; at < keys.length; at += ROWS_ADOPTED) {
      await this.#commit((change) => {
        for (const key of keys.slice(at, at + ROWS_ADOPTED)) change.adopt(key);
      });
    }
    await markFolder(this.#options.folder);
  }

  #applyOne(change: Change, write: StoreWrite, body: BodyPlace | undefined): void {
    if (write.kind === "removeTarget" || write.kind === "removeTag") return;
    const key = keyOf(write.target);
    if (write.kind === "remove") {
      change.remove(key, write.target, write.variantId);
      return;
    }
    if (body === undefined) throw new Error("a body has no place");
    const variant: Variant = {
      id: write.variantId,
      meta: write.meta,
      tags: [...new Set(write.tags.map((tag) => textOf(tag)))],
      run: this.#run,
      stamp: write.stamp,
      softMs: 0,
      length: lengthOf(write.body),
      body,
    };
    const verdict = this.#purges.judge(() => textOf(write.target), variant);
    if (verdict !== "gone") change.put(key, write.target, { ...variant, softMs: verdict });
  }

  /** Where the body of each change stands; those that are files are on the disk then. */
  async #writeBodies(writes: readonly StoreWrite[]): Promise<(BodyPlace | undefined)[]> {
    const places: (BodyPlace | undefined)[] = [];
    for (const write of writes) {
      if (write.kind !== "put") {
        places.push(undefined);
        continue;
      }
      const length = lengthOf(write.body);
      if (length <= this.#options.bodyInlineBytes) {
        places.push({ kind: "inline", bytes: Buffer.concat(write.body) });
        continue;
      }
      const body: NewBody = { hash: hashOf(write.body), length, pieces: write.body };
      await this.#bodies.write(body);
      places.push({ kind: "file", hash: body.hash });
    }
    return places;
  }

  /** One transaction; files that are not referred to any more go after it. */
  async #commit(work: (change: Change) => void): Promise<void> {
    const { facts, beforeCommit } = this.#options;
    beforeCommit?.();
    const change = this.#tables.root.transactionSync(() => {
      const made = new Change(this.#tables);
      work(made);
      made.close();
      return made;
    });
    const { run, targets, variants, bytes } = change.books;
    this.#run = run;
    for (const [fact, value] of Object.entries({ targets, variants, bytes })) facts.set(fact as "bytes", value);
    facts.add("evictions", change.evictions);
    for (const hash of change.unreferred) await this.#bodies.remove(hash);
  }

  /** A change that is a purge: of what was asked for before it, here and still to come. */
  #purgeOf(write: StoreWrite): KeptPurge[] {
    const kept = { soft: false, atMs: this.#now(), run: this.#run };
    switch (write.kind) {
      case "put":
      case "remove":
        return [];
      case "removeTarget":
        return [{ ...kept, scope: { kind: "target", name: textOf(write.target) }, stamp: write.stamp }];
      case "removeTag":
        return [{ ...kept, scope: { kind: "tag", name: textOf(write.tag) }, stamp: write.stamp }];
    }
  }

  /** Purges hold from here on, even if what follows fails: a purge of a target at once, others by their table. */
  async #writePurges(purges: readonly KeptPurge[], more: (change: Change) => void = () => undefined): Promise<void> {
    for (const purge of purges) this.#purges.add(purge);
    this.#recent.push(...purges);
    const { purges: table } = this.#tables;
    const last = purges.length === 0 ? 0 : ([...table.getKeys({ reverse: true, limit: 1 })][0] ?? 0);
    const broad = purges.filter(({ scope }) => scope.kind !== "target");
    const chores = broad.map((purge, at): Chore => ({ number: last + 1 + at, purge, from: null }));
    await this.#commit((change) => {
      for (const { number, purge } of chores) table.putSync(number, packPurge(purge));
      for (const { scope } of purges) {
        if (scope.kind === "target") change.purge(keyOf(Buffer.from(scope.name, "latin1")), this.#purges);
      }
      more(change);
    });
    this.#chores.push(...chores);
    if (chores.length > 0) this.#options.facts.add("purgeVersion");
  }

  /** Does to some of the rows what a purge says; the last time, the purge is taken from its table. */
  async #carryOut(chore: Chore): Promise<void> {
    const { scope } = chore.purge;
    const { rows, tags, purges } = this.#tables;
    const isTag = scope.kind === "tag";
    const prefix = isTag ? tagPrefixOf(scope.name) : prefixOf(scope);
    const keys = keysFrom(isTag ? tags : rows, prefix, chore.from, CHORE_ROWS);
    const isLast = keys.length < CHORE_ROWS;
    await this.#commit((change) => {
      for (const key of keys) change.purge(isTag ? keyOfTagKey(key) : key, this.#purges);
      if (isLast) purges.removeSync(chore.number);
    });
    chore.from = keys.at(-1) ?? null;
    if (isLast) this.#chores.splice(this.#chores.indexOf(chore), 1);
  }

  /** Purges that were carried out long ago say nothing any more. */
  #forgetPurges(): void {
    if (this.#recent.length < 2 * this.#purgesLeft + PURGES_FEW) return;
    const sinceMs = this.#now() - PURGE_KEPT_MS;
    const pending = new Set(this.#chores.map(({ purge }) => purge));
    const isKept = (purge: KeptPurge) => pending.has(purge) || (purge.atMs > sinceMs && purge.run === this.#run);
    this.#recent = this.#recent.filter(isKept).slice(-PURGES_MAX);
    this.#purgesLeft = this.#recent.length;
    this.#purges = new Purges(this.#recent);
  }

  async #takesChanges(): Promise<boolean> {
    if (this.state === "ready") return true;
    if (this.#now() < this.#probeAtMs) return false;
    this.#probeAtMs = this.#now() + PROBE_MS;
    await this.#bodies.probe();
    const purges = this.#unwritten.filter((one): one is KeptPurge => !("kind" in one));
    const removals = this.#unwritten.filter((one) => "kind" in one);
    await this.#writePurges(purges, (change) => {
      for (const { target, variantId } of removals) change.remove(keyOf(target), target, variantId);
    });
    if (this.#unwritten.length > 0) await markFolder(this.#options.folder);
    this.#unwritten = [];
    this.#options.facts.state = "ready";
    this.#options.say("info", `the store in ${this.#options.folder} takes changes again`);
    return true;
  }

  /**
   * What could not be removed must not be given to anybody: readers read nothing until it is written, and whoever opens the
   * store before that empties it.
   */
  async #holdBack(held: readonly Unwritten[]): Promise<void> {
    if (held.length === 0) return;
    this.#unwritten.push(...held);
    if (this.#unwritten.length > PURGES_MAX) {
      const stamp = Math.max(...this.#unwritten.map((one) => ("kind" in one ? 0 : one.stamp)));
      this.#unwritten = [{ scope: { kind: "all" }, soft: false, stamp, atMs: this.#now(), run: this.#run }];
    }
    this.#options.facts.state = "closed";
    await unmarkFolder(this.#options.folder);
  }

  /** What failed once will fail again until a probe says otherwise; said once. */
  #handleFailure(thrown: unknown): void {
    const { facts, folder, say } = this.#options;
    this.#probeAtMs = this.#now() + PROBE_MS;
    if (facts.state !== "ready") return;
    facts.state = "memoryOnly";
    const why = isFull(folder) ? "the disk is full" : messageOf(thrown);
    say("error", `the store in ${folder} takes no changes, what is new stays in memory: ${why}`);
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/** Targets with a long name have only the beginning of it as their key; what else begins so is judged by its row. */
function prefixOf(scope: Exclude<Purge["scope"], { readonly kind: "tag" }>): Buffer {
  return scope.kind === "all" ? Buffer.alloc(0) : keyPrefixOf(Buffer.from(scope.name, "latin1"));
}
