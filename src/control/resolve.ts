/**
 * Names of targets: looked up at the start and again when their TTL is over, off the data path. The last good answer is
 * kept for as long as nobody gives a better one: a name server that is down takes no service with it.
 *
 * Both families (RFC 8305): all addresses of a name are targets of one tier, IPv6 and IPv4 in turn, IPv6 first. When no
 * address of one family can be connected to, that family is moved to the next tier, so that it is tried only after the
 * other, until one of its addresses is up again or ten minutes are over.
 */
import { isDeepStrictEqual } from "node:util";
import { type DnsFault, type NameAddress, plainAddress } from "../config/names.js";
import { MillraceError } from "../shared/errors.js";
import type { DnsPolicy } from "../shared/policies.js";
import { type FoundAddress, familyOf, type LookedUp, type LookUp, lookUp as lookUpHere } from "./look-up.js";
import type { Scheduler } from "./scheduler.js";

/** Most addresses used of one name. */
export const ADDRESSES_MAX = 256;
/** How long a family that cannot be reached is tried after the other, in ms. */
export const FAMILY_LATER_MS = 600_000;
/** Names that change within this time make one plan, in ms. */
export const GATHER_MS = 20;
/** Look-ups happen up to this share before the TTL is over, so that names of one TTL are not asked for at once. */
const JITTER = 0.1;
/** Names without a TTL (/etc/hosts) are read again after this time, in ms, within the policy's bounds. */
const TTL_UNKNOWN_MS = 30_000;

/** What was found last time for each name. */
export interface Addresses {
  /** In the order they are tried; empty where nothing was ever found. */
  readonly addresses: ReadonlyMap<string, readonly NameAddress[]>;
  /** Names that nothing was ever found for, and why. */
  readonly unresolved: ReadonlyMap<string, DnsFault>;
}

/** One name as GET /origins shows it. */
export interface NameReport {
  readonly name: string;
  readonly addresses: readonly string[];
  /** Why the latest look-up failed, in whole or in part; null when it did not. */
  readonly fault: DnsFault | null;
  /** Time since the addresses were last confirmed, in ms; null = never. */
  readonly ageMs: number | null;
  /** Until the next look-up, in ms. */
  readonly nextLookUpMs: number;
  /** The family that is tried after the other; null = neither. */
  readonly laterFamily: 4 | 6 | null;
}

/** What names are looked up with. */
export interface NamesPlan {
  readonly names: readonly string[];
  readonly policy: DnsPolicy;
  readonly scheduler: Scheduler;
  readonly log: { readonly info: (fields: object, message: string) => void } & {
    readonly warn: (fields: object, message: string) => void;
  };
  /** The addresses of some name are others now. */
  readonly handleChange: () => void;
  readonly lookUp?: LookUp;
  /** 0 to 1; replaced in tests. */
  readonly dice?: () => number;
}

interface Name {
  readonly name: string;
  found: readonly FoundAddress[];
  fault: DnsFault | null;
  confirmedMs: number | null;
  dueMs: number;
  readonly unreachable: Set<string>;
  laterFamily: 4 | 6 | null;
}

/** The names of one proxy, from start to stop. */
export class Names {
  readonly #plan: NamesPlan;
  readonly #names: readonly Name[];
  /** What others knew was asked for in the same way. */
  readonly #isKnown: boolean;
  #closed = false;

  /** @param known What is known of names already; it goes on by itself until it is closed. */
  constructor(plan: NamesPlan, known: Names | null = null) {
    this.#plan = plan;
    this.#isKnown = known !== null && isDeepStrictEqual(known.#plan.policy, plan.policy);
    this.#names = plan.names.map((name) => {
      const before = known === null ? undefined : known.#names.find((one) => one.name === name);
      if (before !== undefined) return { ...before, unreachable: new Set(before.unreachable) };
      return {
        name,
        found: [],
        fault: null,
        confirmedMs: null,
        dueMs: Number.POSITIVE_INFINITY,
        unreachable: new Set(),
        laterFamily: null,
      };
    });
  }

  /**
   * Looks every name up once that nothing is known of, and resolves when each has an answer or has failed; it never
   * rejects.
   */
  async start(): Promise<void> {
    await Promise.all(this.#names.map((name) => this.#begin(name)));
  }

  #begin(name: Name): Promise<void> | undefined {
    const { scheduler } = this.#plan;
    const key = `names:later:${name.name}`;
    if (name.laterFamily !== null) scheduler.at(key, scheduler.nowMs + FAMILY_LATER_MS, () => this.#forgive(name));
    if (!this.#isKnown || name.confirmedMs === null) return this.#refresh(name, true);
    scheduler.at(`names:${name.name}`, name.dueMs, () => void this.#refresh(name, false));
    return undefined;
  }

  /** What is known now. */
  addresses(): Addresses {
    const missing = this.#names.filter((name) => name.found.length === 0);
    return {
      addresses: new Map(this.#names.map((name) => [name.name, orderAddresses(name.found, name.laterFamily)])),
      unresolved: new Map(missing.map((name) => [name.name, name.fault ?? "dns_timeout"])),
    };
  }

  report(): readonly NameReport[] {
    const { nowMs } = this.#plan.scheduler;
    return this.#names.map(({ name, found, fault, confirmedMs, dueMs, laterFamily }) => ({
      name,
      addresses: orderAddresses(found, laterFamily).map((one) => one.address),
      fault,
      ageMs: confirmedMs === null ? null : Math.round(nowMs - confirmedMs),
      nextLookUpMs: Math.max(0, Math.round(dueMs - nowMs)),
      laterFamily,
    }));
  }

  /** Connections to an address fail: when the whole family of a name does, it is tried after the other one. */
  handleUnreachable(address: string): void {
    const family = familyOf(address);
    for (const name of this.#having(address)) {
      name.unreachable.add(address);
      const [own, other] = [0, 1].map((side) =>
        name.found.filter((one) => (familyOf(one.address) === family) === (side === 0)),
      );
      if (own === undefined || other === undefined || other.length === 0 || name.laterFamily === family) continue;
      if (!own.every((one) => name.unreachable.has(one.address))) continue;
      // Both fail: neither is better, and the name's own order holds.
      this.#setLater(name, other.every((one) => name.unreachable.has(one.address)) ? null : family);
    }
  }

  /** A target at this address is up again. */
  handleReachable(address: string): void {
    for (const name of this.#having(address)) {
      name.unreachable.delete(address);
      if (name.laterFamily === familyOf(address)) this.#setLater(name, null);
    }
  }

  /** Nothing is looked up any more. */
  close(): void {
    this.#closed = true;
    for (const { name } of this.#names) {
      this.#plan.scheduler.cancel(`names:${name}`);
      this.#plan.scheduler.cancel(`names:later:${name}`);
    }
    this.#plan.scheduler.cancel("names:changed");
  }

  #having(address: string): readonly Name[] {
    return this.#names.filter((name) => name.found.some((one) => one.address === address));
  }

  #setLater(name: Name, family: 4 | 6 | null): void {
    if (name.laterFamily === family) return;
    name.laterFamily = family;
    const { scheduler, log } = this.#plan;
    const key = `names:later:${name.name}`;
    if (family === null) scheduler.cancel(key);
    else scheduler.at(key, scheduler.nowMs + FAMILY_LATER_MS, () => this.#forgive(name));
    log.info({ name: name.name, laterFamily: family }, "the order of a name's address families changes");
    this.#change();
  }

  #forgive(name: Name): void {
    name.unreachable.clear();
    this.#setLater(name, null);
  }

  #change(): void {
    const { scheduler, handleChange } = this.#plan;
    scheduler.atLatest("names:changed", scheduler.nowMs + GATHER_MS, handleChange);
  }

  async #refresh(name: Name, isFirst: boolean): Promise<void> {
    const { scheduler, log, policy } = this.#plan;
    const looked = await (this.#plan.lookUp ?? lookUpHere)(name.name, policy).catch(unexpected);
    if (this.#closed) return;
    const before = name.found;
    name.found = mergeAnswers(before, looked);
    if (looked.failed.length === 0) name.confirmedMs = scheduler.nowMs;
    const fault = looked.failed[0]?.why ?? null;
    if (fault !== name.fault) this.#tell(name, fault);
    name.fault = fault;
    const waitMs = nextLookUpMs(policy, looked, this.#plan.dice ?? Math.random);
    name.dueMs = scheduler.nowMs + waitMs;
    scheduler.at(`names:${name.name}`, name.dueMs, () => void this.#refresh(name, false));
    if (isFirst || signature(before) === signature(name.found)) return;
    const [from, to] = [before, name.found].map((list) => list.map((one) => one.address));
    log.info({ name: name.name, from, to }, "a name has other addresses");
    this.#change();
  }

  #tell(name: Name, fault: DnsFault | null): void {
    const fields = { name: name.name, fault, kept: name.found.length };
    if (fault === null) this.#plan.log.info(fields, "a name resolves again");
    else this.#plan.log.warn(fields, "a name does not resolve; what is known of it is kept");
  }
}

/** The new answers, and of the old ones those whose question failed this time. Sorted, so that order is no change. */
export function mergeAnswers(before: readonly FoundAddress[], looked: LookedUp): readonly FoundAddress[] {
  const isKept = (old: FoundAddress) => looked.failed.some(({ source }) => source === null || source === old.source);
  const byPlace = new Map<string, FoundAddress>();
  for (const one of [...before.filter(isKept), ...looked.addresses]) byPlace.set(`${one.address} ${one.port}`, one);
  const sorted = [...byPlace.values()].sort(
    (a, b) => a.priority - b.priority || compare(a.address, b.address) || (a.port ?? 0) - (b.port ?? 0),
  );
  return sorted.slice(0, ADDRESSES_MAX);
}

/** IPv6 and IPv4 in turn within each priority, IPv6 first; the later family goes to a rank of its own behind it. */
export function orderAddresses(found: readonly FoundAddress[], laterFamily: 4 | 6 | null): readonly NameAddress[] {
  const priorities = [...new Set(found.map((one) => one.priority))].sort((a, b) => a - b);
  return priorities.flatMap((priority, index) => {
    const of = (family: 4 | 6) =>
      found
        .filter((one) => one.priority === priority && familyOf(one.address) === family)
        .map(({ address, port, weight }) => {
          const rank = index * 2 + (family === laterFamily ? 1 : 0);
          return { ...plainAddress(address), port, weight, rank };
        });
    const [six, four] = [of(6), of(4)];
    if (laterFamily !== null) return laterFamily === 6 ? [...four, ...six] : [...six, ...four];
    return Array.from({ length: Math.max(six.length, four.length) }, (_, turn) => turn).flatMap((turn) =>
      [six[turn], four[turn]].filter((one) => one !== undefined),
    );
  });
}

/** When to ask again: within the TTL, but not more often than the policy says. */
export function nextLookUpMs(policy: DnsPolicy, looked: LookedUp, dice: () => number): number {
  const spread = 1 - JITTER * dice();
  if (looked.failed.length > 0) return Math.round(policy.negativeMs * spread);
  const ttlMs = Math.min(looked.ttlMs ?? TTL_UNKNOWN_MS, policy.refreshMaxMs);
  return Math.round(Math.max(policy.refreshMinMs, ttlMs * spread));
}

/**
 * Every name looked up once, for `millrace check`.
 *
 * @throws MillraceError `MILLRACE_RESOLVE` naming every name that does not resolve.
 */
export async function resolveNames(
  names: readonly string[],
  policy: DnsPolicy,
  lookUp: LookUp = lookUpHere,
): Promise<ReadonlyMap<string, readonly NameAddress[]>> {
  const addresses = new Map<string, readonly NameAddress[]>();
  const failures: string[] = [];
  await Promise.all(
    names.map(async (name) => {
      const looked = await lookUp(name, policy);
      const found = mergeAnswers([], looked);
      const why = looked.failed[0]?.why ?? "dns_nxdomain";
      if (found.length === 0) failures.push(`the target name "${name}" does not resolve (${why})`);
      else addresses.set(name, orderAddresses(found, null));
    }),
  );
  if (failures.length > 0) throw new MillraceError("MILLRACE_RESOLVE", failures.sort().join("; "));
  return addresses;
}

/** A look-up that breaks (a server's address that is none, say) is one that failed. */
function unexpected(): LookedUp {
  return { addresses: [], failed: [{ source: null, why: "dns_servfail" }], ttlMs: null };
}

function signature(found: readonly FoundAddress[]): string {
  return found.map((one) => `${one.address} ${one.port} ${one.weight} ${one.priority}`).join("\n");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
