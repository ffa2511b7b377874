/**
 * What names of targets came to, as the plan takes it in: one written target becomes a target for each address of its
 * name. Pure; looking names up is control/resolve.ts.
 */

/** Why a name has no addresses; the tokens of the core's faults. */
export type DnsFault = "dns_nxdomain" | "dns_servfail" | "dns_timeout";

/** One address of a name. */
export interface NameAddress {
  readonly address: string;
  /** From an SRV record; null = the port as written. */
  readonly port: number | null;
  /** From an SRV record; null = 1. */
  readonly weight: number | null;
  /** 0 is used first; higher ones only when none of a lower rank may be used. */
  readonly rank: number;
}

/** A target as an operator wrote it. */
export interface WrittenTarget {
  readonly label: string;
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  readonly tier: number;
  /** Where it stands; absent = nowhere in particular. */
  readonly zone?: string;
  /** What its certificate is for; absent = it is reached without TLS. */
  readonly name?: string;
}

/** One address of a written target. */
export interface PlacedTarget {
  readonly label: string;
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  readonly tier: number;
  /** Where it stands; absent = nowhere in particular. */
  readonly zone?: string;
  /** What its certificate is for; absent = it is reached without TLS. */
  readonly name?: string;
}

/** Largest tier of the plan (one byte). */
const TIER_MAX = 255;

/** Whether a host names a service (SRV), e.g. `_http._tcp.example.org`. */
export function isServiceName(host: string): boolean {
  return /^_[A-Za-z0-9-]+\._(?:tcp|udp)\./.test(host);
}

/**
 * Every target of an origin with its addresses, in the order they are tried. Tiers are the operator's, refined by the
 * ranks of the names, and numbered without gaps.
 */
export function placeTargets(
  written: readonly WrittenTarget[],
  addresses: ReadonlyMap<string, readonly (string | NameAddress)[]>,
): readonly PlacedTarget[] {
  const placed = written.flatMap((target) => {
    const found = addresses.get(target.host) ?? [target.host];
    return found.map((one) => place(target, typeof one === "string" ? plainAddress(one) : one));
  });
  const steps = [...new Set(placed.map((one) => one.step))].sort((a, b) => a - b);
  return placed.map(({ step, ...target }) => ({ ...target, tier: Math.min(TIER_MAX, steps.indexOf(step)) }));
}

/** An address that nothing is known about but itself. */
export function plainAddress(address: string): NameAddress {
  return { address, port: null, weight: null, rank: 0 };
}

/** `step` orders by tier, then by rank. */
function place(target: WrittenTarget, found: NameAddress): PlacedTarget & { readonly step: number } {
  const { label, tier, zone, name } = target;
  return {
    label,
    address: found.address,
    port: found.port ?? target.port,
    weight: target.weight * Math.max(1, found.weight ?? 1),
    tier,
    ...(zone === undefined ? {} : { zone }),
    ...(name === undefined ? {} : { name }),
    step: tier * 0x1_0000 + found.rank,
  };
}
