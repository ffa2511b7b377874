/**
 * The purges that hold: whether one of them fits a stored answer is found by its target, its tags and its stamp, never by a
 * scan. Of several purges of the same thing the newest counts, so what is kept is bounded by what was purged, not how often.
 */
import type { Purge, PurgeScope } from "../../src/shared/store.js";

/** A purge as it is kept: with the opening of the store in which its stamp was given. */
export interface KeptPurge extends Purge {
  readonly run: number;
}

/** What purges say of a stored answer: nothing (0), stale as of a moment, or that it is gone. */
export type Verdict = number | "gone";

/** What is known of a stored answer. */
export interface Purgeable {
  readonly tags: readonly string[];
  readonly run: number;
  readonly stamp: number;
  readonly softMs: number;
}

interface Pair {
  hard: KeptPurge | null;
  soft: KeptPurge | null;
}

/** A set of purges. */
export class Purges {
  readonly #targets = new Map<string, Pair>();
  readonly #prefixes = new Map<string, Pair>();
  readonly #tags = new Map<string, Pair>();
  readonly #all: Pair = { hard: null, soft: null };
  #count = 0;

  constructor(purges: Iterable<KeptPurge> = []) {
    for (const purge of purges) this.add(purge);
  }

  add(purge: KeptPurge): void {
    const pair = this.#pairOf(purge.scope);
    const kind = purge.soft ? "soft" : "hard";
    const known = pair[kind];
    if (known === null || isOlder(known, purge)) pair[kind] = purge;
    this.#count += 1;
  }

  /** `target` byte for byte (latin1). */
  judge(target: () => string, one: Purgeable): Verdict {
    if (this.#count === 0) return one.softMs;
    const pairs = [this.#all, ...one.tags.map((tag) => this.#tags.get(tag))];
    if (this.#targets.size > 0 || this.#prefixes.size > 0) {
      const text = target();
      pairs.push(this.#targets.get(text));
      for (const [prefix, pair] of this.#prefixes) if (text.startsWith(prefix)) pairs.push(pair);
    }
    let softMs = one.softMs;
    for (const pair of pairs) {
      if (pair === undefined) continue;
      if (pair.hard !== null && !isNewer(one, pair.hard)) return "gone";
      // The first moment at which it became stale counts.
      if (pair.soft !== null && !isNewer(one, pair.soft)) softMs = earliest(softMs, pair.soft.atMs);
    }
    return softMs;
  }

  #pairOf(scope: PurgeScope): Pair {
    if (scope.kind === "all") return this.#all;
    const map = scope.kind === "target" ? this.#targets : scope.kind === "prefix" ? this.#prefixes : this.#tags;
    const pair = map.get(scope.name) ?? { hard: null, soft: null };
    map.set(scope.name, pair);
    return pair;
  }
}

type Moment = Pick<KeptPurge, "run" | "stamp">;

function isNewer(one: Moment, purge: Moment): boolean {
  return one.run > purge.run || (one.run === purge.run && one.stamp > purge.stamp);
}

function isOlder(one: Moment, other: Moment): boolean {
  return isNewer(other, one);
}

function earliest(one: number, other: number): number {
  return one === 0 ? other : Math.min(one, other);
}
