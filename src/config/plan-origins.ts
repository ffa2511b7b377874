/**
 * Compiles origins: their targets as names resolve, how connections are shared, how a target is chosen, and their health
 * in two parts: the check the core runs, and the policy by which the control plane judges its results.
 */
import { isIP } from "node:net";
import type { HealthPolicy } from "../shared/policies.js";
import { type Parsed, parseTarget } from "./addresses.js";
import { compileMatch } from "./matching.js";
import { type DnsFault, type NameAddress, placeTargets, type WrittenTarget } from "./names.js";
import { compileStatuses } from "./outcomes.js";
import { compileOriginTls } from "./plan-tls.js";
import type { PlanBalance, PlanHashBy, PlanHealthCheck, PlanHostPolicy, PlanOrigin } from "./plan-types.js";
import type { Settings } from "./settings.js";
import { originSchema } from "./settings-origins.js";
import { isAddress } from "./settings-policies.js";
import { ORIGIN_TLS_DEFAULTS } from "./settings-tls.js";
import type { TlsMaterial } from "./tls-files.js";

/** Settings of one origin, every default filled in. */
export type OriginSettings = Settings["origins"][string];

/** What names in targets came to. */
export interface Resolved {
  /** Addresses of each host name used in a target, keyed as written; IP addresses need no entry. None = unresolved. */
  readonly addresses: ReadonlyMap<string, readonly (string | NameAddress)[]>;
  /** Names without an address, and why. */
  readonly unresolved?: ReadonlyMap<string, DnsFault>;
}

/** Every origin in the order of the plan: the declared ones, then one for each address that some route escalates to. */
export function allOrigins(settings: Settings): readonly (readonly [string, OriginSettings])[] {
  const addresses = (settings.routes ?? []).flatMap((route) =>
    (route.escalate ?? []).map((rule) => rule.to).filter(isAddress),
  );
  const implied = new Map(addresses.map((to) => [nameOfEscalation(to), originSchema.parse({ targets: to })]));
  return [...Object.entries(settings.origins), ...implied];
}

/** The origin an escalation leads to: its name, or what the origin of an address is called in logs. */
export function nameOfEscalation(to: string): string {
  if (!isAddress(to)) return to;
  return must(parseTarget(to)).label;
}

/** Names in the targets that have to be resolved before compiling, each once; services (SRV) among them. */
export function namesToResolve(settings: Settings): readonly string[] {
  const hosts = allOrigins(settings).flatMap(([, origin]) => targetsOf(origin).map((target) => target.host));
  return [...new Set(hosts)].filter((host) => isIP(host) === 0);
}

/** By which numbers the control plane judges the health of each origin, keyed by its name in the plan. */
export function compileHealth(settings: Settings): ReadonlyMap<string, HealthPolicy> {
  return new Map(
    allOrigins(settings).map(([name, { health }]) => [
      name,
      {
        check: checkOf(health) === null ? null : { rise: health.rise, fall: health.fall },
        passive: health.passive,
        ejection: health.ejection === false ? null : health.ejection,
      },
    ]),
  );
}

/** One origin. */
export function compileOrigin(
  name: string,
  origin: OriginSettings,
  resolved: Resolved,
  material: TlsMaterial,
): PlanOrigin {
  const written = targetsOf(origin);
  const isSecure = written.some((target) => target.name !== undefined);
  const targets = placeTargets(written, resolved.addresses);
  const why = written.map(({ host }) => resolved.unresolved?.get(host)).find((fault) => fault !== undefined);
  return {
    name,
    targets,
    // Only an origin without any target: the core answers for it as it would for a target that cannot be found.
    ...(targets.length === 0 ? { unresolved: why ?? "dns_nxdomain" } : {}),
    host: compileHost(origin.host),
    connectMs: origin.connectMs,
    firstByteMs: origin.firstByteMs,
    betweenBytesMs: origin.betweenBytesMs,
    idleMs: origin.idleMs,
    ageMs: origin.ageMs,
    requests: origin.requests,
    targetConnections: origin.targetConnections,
    targetIdle: origin.targetIdle,
    connections: origin.connections,
    totalMs: origin.totalMs,
    idleLearn: origin.idleLearn,
    ageJitterPercent: origin.ageJitterPercent,
    standby: origin.standby,
    tcpKeepaliveMs: origin.tcpKeepaliveMs,
    tcpUserTimeoutMs: origin.tcpUserTimeoutMs,
    localAddress: origin.localAddress ?? null,
    matchOn: compileMatch([origin.match].flat()),
    balance: compileBalance(origin.balance),
    sticky: origin.sticky === false ? null : { name: origin.sticky.cookie, maxAgeS: origin.sticky.maxAgeS },
    slowStartMs: origin.slowStartMs,
    panicPercent: origin.health.panicPercent,
    health: checkOf(origin.health),
    ...compileVersions(origin),
    ...(isSecure ? { tls: compileOriginTls(origin.tls ?? ORIGIN_TLS_DEFAULTS, origin.httpVersions, material) } : {}),
  };
}

function targetsOf(origin: OriginSettings): readonly WrittenTarget[] {
  return [origin.targets].flat().map((target) => {
    if (typeof target === "string") return { ...placeOf(target), weight: 1, tier: 0 };
    const { address, weight, tier, zone } = target;
    const place = { ...placeOf(address), weight, tier: tierOf(tier) };
    return zone === undefined ? place : { ...place, zone };
  });
}

/** The name counts on TLS only. */
function placeOf(address: string): Pick<WrittenTarget, "label" | "host" | "port" | "name"> {
  const { label, host, port, isSecure, name } = must(parseTarget(address));
  return { label, host, port, ...(isSecure ? { name } : {}) };
}

function tierOf(tier: "primary" | "backup" | number): number {
  return tier === "primary" ? 0 : tier === "backup" ? 1 : tier;
}

function compileVersions({ httpVersions }: OriginSettings): Pick<PlanOrigin, "http"> {
  if (!httpVersions.includes("2")) return {};
  return { http: httpVersions.includes("1.1") ? "either" : "http2" };
}

function compileHost(host: string): PlanHostPolicy {
  return host === "client" || host === "target" ? { kind: host } : { kind: "literal", value: host };
}

function compileBalance(balance: OriginSettings["balance"]): PlanBalance {
  if (typeof balance === "string") return { kind: balance };
  const { consistentHash, boundPercent } = balance;
  return { kind: "consistentHash", by: compileHashBy(consistentHash), boundPercent };
}

function compileHashBy(by: Exclude<OriginSettings["balance"], string>["consistentHash"]): PlanHashBy {
  if (typeof by === "string") return { kind: by };
  return "header" in by ? { kind: "header", name: by.header.toLowerCase() } : { kind: "cookie", name: by.cookie };
}

function checkOf(health: OriginSettings["health"]): PlanHealthCheck | null {
  const { http, tcp, intervalMs, jitterPercent, timeoutMs } = health;
  if (http === undefined) {
    return tcp === undefined ? null : { probe: { kind: "tcp" }, intervalMs, jitterPercent, timeoutMs };
  }
  const { path, host = "", statuses, bodyContains } = http;
  const probe = { kind: "http" as const, path, host, statuses: compileStatuses(statuses), bodyContains };
  return { probe, intervalMs, jitterPercent, timeoutMs };
}

/** What parsing came to, of a text the checks found nothing wrong with. */
export function must<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(`compilePlan: ${parsed.says}`);
  return parsed.value;
}
