/**
 * One look-up of a target's name: A and AAAA (or SRV and then those of its hosts) with their TTL, each told apart by
 * whether it was found, is not there, or failed. Never throws, and never takes longer than the policy allows.
 *
 * Who is asked: /etc/hosts first, as the system does; then name servers; the system's own resolver (`getaddrinfo`, which
 * knows other sources) only for `localhost`, and where name servers say "no such name" and none were set by hand.
 */
import { lookup, Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { isIP, isIPv6 } from "node:net";
import { type DnsFault, isServiceName } from "../config/names.js";
import type { DnsPolicy } from "../shared/policies.js";

/** An address and where it comes from. */
export interface FoundAddress {
  readonly address: string;
  readonly port: number | null;
  readonly weight: number | null;
  /** SRV: lower is tried first. */
  readonly priority: number;
  /** The question it answers, e.g. `AAAA name`: when that question fails next time, this answer is kept. */
  readonly source: string;
}

/** What a look-up came to. */
export interface LookedUp {
  readonly addresses: readonly FoundAddress[];
  /** Questions that failed; `source` null = all of them. */
  readonly failed: readonly { readonly source: string | null; readonly why: DnsFault }[];
  /** The shortest TTL of the answers, in ms; null where nobody says one. */
  readonly ttlMs: number | null;
}

/** Looks a name up; replaced in tests. */
export type LookUp = (name: string, policy: DnsPolicy) => Promise<LookedUp>;

/** What is asked besides name servers; replaced in tests. */
export interface OtherSources {
  readonly hostsFile: () => Promise<string>;
  readonly system: (name: string) => Promise<readonly string[]>;
}

const NOTHING: LookedUp = { addresses: [], failed: [], ttlMs: null };

/** A look-up by the sources of this host. */
export const lookUp: LookUp = lookUpWith({
  hostsFile: () => readFile("/etc/hosts", "utf8").catch(() => ""),
  system: async (name) => (await lookup(name, { all: true })).map((one) => one.address),
});

/** A look-up by these sources and the policy's name servers. */
export function lookUpWith(others: OtherSources): LookUp {
  return async (name, policy) => {
    const resolver = new Resolver({ timeout: policy.timeoutMs, tries: 1 });
    if (policy.servers.length > 0) resolver.setServers(policy.servers);
    // c-ares may try several servers, each for its time; the whole is bounded here.
    const overdue = setTimeout(() => resolver.cancel(), policy.timeoutMs);
    try {
      const found = await (isServiceName(name)
        ? service(name, resolver, others)
        : host(name, resolver, others, policy));
      const isMissing = found.addresses.length === 0 && found.failed.length === 0;
      return isMissing ? failure("dns_nxdomain") : found;
    } finally {
      clearTimeout(overdue);
    }
  };
}

/** The addresses of a name in a hosts file, in its order. */
export function inHostsFile(text: string, name: string): readonly string[] {
  const wanted = name.toLowerCase().replace(/\.$/, "");
  return text.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    return isIP(address) > 0 && names.some((one) => one.toLowerCase() === wanted) ? [address] : [];
  });
}

async function host(name: string, resolver: Resolver, others: OtherSources, policy: DnsPolicy): Promise<LookedUp> {
  const known = inHostsFile(await others.hostsFile(), name);
  if (known.length > 0) return plain(known, `hosts ${name}`);
  if (/(^|\.)localhost\.?$/i.test(name)) return bySystem(name, others);
  const found = await byServers(name, resolver);
  const isUnknown = found.failed.some((one) => one.why === "dns_nxdomain");
  if (!isUnknown || policy.servers.length > 0) return found;
  const second = await bySystem(name, others);
  return second.addresses.length > 0 ? second : found;
}

async function bySystem(name: string, others: OtherSources): Promise<LookedUp> {
  try {
    return plain(await others.system(name), `system ${name}`);
  } catch {
    return failure("dns_nxdomain");
  }
}

async function byServers(name: string, resolver: Resolver): Promise<LookedUp> {
  const [six, four] = await Promise.all([
    ask(`AAAA ${name}`, () => resolver.resolve6(name, { ttl: true })),
    ask(`A ${name}`, () => resolver.resolve4(name, { ttl: true })),
  ]);
  const both = joined([six, four]);
  // Some servers say "no such name" of one type while they answer the other: then it is only that type that is missing.
  if (both.addresses.length === 0) return both;
  return { ...both, failed: both.failed.filter((one) => one.why !== "dns_nxdomain") };
}

/** RFC 2782. Node gives no TTL of SRV records, so the TTLs of their hosts say when to ask again. */
async function service(name: string, resolver: Resolver, others: OtherSources): Promise<LookedUp> {
  let records: Awaited<ReturnType<Resolver["resolveSrv"]>>;
  try {
    records = await resolver.resolveSrv(name);
  } catch (thrown) {
    return failure(faultOf(thrown) ?? "dns_nxdomain");
  }
  const hostsFile = await others.hostsFile();
  // A host of "." says that there is decidedly no such service here.
  const served = records.filter((record) => record.name !== "" && record.name !== ".");
  const parts = await Promise.all(
    served.map(async ({ name: hostName, port, weight, priority }) => {
      const known = inHostsFile(hostsFile, hostName);
      const found = known.length > 0 ? plain(known, `hosts ${hostName}`) : await byServers(hostName, resolver);
      // A host that is not there is one of several; the others serve.
      const failed = found.failed.filter((one) => one.why !== "dns_nxdomain");
      return { ...found, failed, addresses: found.addresses.map((one) => ({ ...one, port, weight, priority })) };
    }),
  );
  return joined(parts);
}

interface Timed {
  readonly address: string;
  readonly ttl: number;
}

async function ask(source: string, question: () => Promise<readonly Timed[]>): Promise<LookedUp> {
  try {
    const records = await question();
    const ttlMs = Math.min(...records.map((record) => record.ttl)) * 1000;
    return { ...plain([...new Set(records.map((record) => record.address))], source), ttlMs };
  } catch (thrown) {
    const why = faultOf(thrown);
    if (why === null) return NOTHING;
    // "No such name" is said of the name, whatever the type that was asked for.
    return { ...NOTHING, failed: [{ source: why === "dns_nxdomain" ? null : source, why }] };
  }
}

/** The fault of a failed question; null = the name is there but has no record of this type. */
function faultOf(thrown: unknown): DnsFault | null {
  switch (thrown instanceof Error && "code" in thrown ? thrown.code : "") {
    case "ENODATA":
      return null;
    case "ENOTFOUND":
    case "EBADNAME":
      return "dns_nxdomain";
    case "ETIMEOUT":
    case "ECANCELLED":
      return "dns_timeout";
    default:
      return "dns_servfail";
  }
}

function plain(addresses: readonly string[], source: string): LookedUp {
  const found = addresses.map((address) => ({ address, port: null, weight: null, priority: 0, source }));
  return { addresses: found, failed: [], ttlMs: null };
}

function failure(why: DnsFault): LookedUp {
  return { addresses: [], failed: [{ source: null, why }], ttlMs: null };
}

function joined(parts: readonly LookedUp[]): LookedUp {
  const ttls = parts.flatMap((part) => (part.ttlMs === null ? [] : [part.ttlMs]));
  return {
    addresses: parts.flatMap((part) => part.addresses),
    failed: parts.flatMap((part) => part.failed),
    ttlMs: ttls.length === 0 ? null : Math.min(...ttls),
  };
}

/** 6 or 4. */
export function familyOf(address: string): 4 | 6 {
  return isIPv6(address) ? 6 : 4;
}
