/**
 * Rules between the settings of an origin: what can never work is refused, what has no effect is warned about, each by
 * name.
 */
import { isIP } from "node:net";
import type { Complaint } from "../shared/errors.js";
import { parseTarget } from "./addresses.js";
import { isSecure } from "./check-tls.js";
import { describePath } from "./complaints.js";
import {
  addressesOf,
  type Document,
  isOwnListener,
  isRecord,
  type Origin,
  originNames,
  originsOf,
  placeOf,
} from "./document.js";
import { judgeMatch, warnAboutMatch } from "./matching.js";
import { healthSchema } from "./settings-health.js";

const ORIGIN_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
/** Settings of health that only an active check reads. */
const ACTIVE_CHECK = ["intervalMs", "jitterPercent", "timeoutMs", "rise", "fall"] as const;

/** What contradicts itself in origins. */
export function judgeOrigins(document: Document): Complaint[] {
  const misnamed = originNames(document)
    .filter((name) => !ORIGIN_NAME.test(name))
    .map((name) => ({
      path: describePath(["origins", name]),
      says: "the name of an origin is letters, digits, _ . - (at most 64, the first a letter or digit)",
    }));
  const parts = originsOf(document).flatMap(([name, origin]) => judgeOrigin(origin, describePath(["origins", name])));
  return [...misnamed, ...parts];
}

/** What has no effect in origins, or none that can be meant. */
export function warnAboutOrigins(document: Document): Complaint[] {
  const used = usedOrigins(document);
  const unused = originNames(document)
    .filter((name) => used !== null && !used.has(name))
    .map((name) => ({ path: describePath(["origins", name]), says: "is not used by any route" }));
  const parts = originsOf(document).flatMap(([name, origin]) => {
    const at = describePath(["origins", name]);
    return [
      ...warnAboutConnections(origin, at),
      ...warnAboutTargets(document, origin, at),
      ...warnAboutHealth(origin, at),
    ];
  });
  return [...unused, ...parts];
}

function judgeOrigin(origin: Origin, at: string): Complaint[] {
  const complaints: Complaint[] = [];
  const targets = [origin.targets].flat();
  if (!targets.some((target) => typeof target === "string" || target.weight > 0)) {
    complaints.push({ path: `${at}.targets`, says: "at least one target needs a weight above 0" });
  }
  const mismatch = judgeMatch([origin.match].flat(), isSecure(origin));
  if (mismatch !== null) complaints.push({ path: `${at}.match`, says: mismatch });
  if (origin.targetConnections !== 0 && origin.standby > origin.targetConnections) {
    const says = `must be at most targetConnections (${origin.targetConnections})`;
    complaints.push({ path: `${at}.standby`, says });
  }
  if (origin.health.http !== undefined && origin.health.tcp !== undefined) {
    complaints.push({ path: `${at}.health`, says: "has http and tcp; only one may be there" });
  }
  return [...complaints, ...judgeVersions(origin, at), ...judgeTimesOut(origin, at), ...judgeLocalAddress(origin, at)];
}

/** Only TLS lets a target choose a version; a request of a check is one of HTTP/1. */
function judgeVersions(origin: Origin, at: string): Complaint[] {
  const { httpVersions, health } = origin;
  if (!httpVersions.includes("2")) return [];
  if (httpVersions.includes("1.1")) {
    if (isSecure(origin)) return [];
    const says = 'lets targets choose by ALPN, which http:// targets do not have; say ["2"] or ["1.1"]';
    return [{ path: `${at}.httpVersions`, says }];
  }
  if (health.http === undefined) return [];
  const says = 'asks by HTTP/1.1, which this origin is not spoken to in (httpVersions); say tcp, or add "1.1"';
  return [{ path: `${at}.health.http`, says }];
}

/** What grows begins no higher than it may end. */
function judgeTimesOut(origin: Origin, at: string): Complaint[] {
  const { passive, ejection } = origin.health;
  const complaints: Complaint[] = [];
  if (passive.downMs > passive.downMsMax) {
    complaints.push({ path: `${at}.health.passive.downMs`, says: `must be at most downMsMax (${passive.downMsMax})` });
  }
  if (ejection !== false && ejection.ejectMs > ejection.ejectMsMax) {
    complaints.push({
      path: `${at}.health.ejection.ejectMs`,
      says: `must be at most ejectMsMax (${ejection.ejectMsMax})`,
    });
  }
  return complaints;
}

/** From an IPv4 address no IPv6 target can be reached, nor the other way round. Names may have addresses of both. */
function judgeLocalAddress(origin: Origin, at: string): Complaint[] {
  const family = isIP(origin.localAddress ?? "");
  if (family === 0) return [];
  const families = addressesOf(origin).map((address) => {
    const target = parseTarget(address);
    return target.ok ? isIP(target.value.host) : 0;
  });
  if (families.some((other) => other === 0 || other === family)) return [];
  return [{ path: `${at}.localAddress`, says: `is IPv${family}, and no target is; none could be reached` }];
}

function warnAboutConnections(origin: Origin, at: string): Complaint[] {
  const warnings: Complaint[] = warnAboutMatch([origin.match].flat()).map((says) => ({ path: `${at}.match`, says }));
  if (origin.ageMs !== 0 && origin.idleMs > origin.ageMs) {
    warnings.push({
      path: `${at}.idleMs`,
      says: `is never reached: connections end at the age of ageMs (${origin.ageMs})`,
    });
  }
  if (origin.connections !== 0 && origin.targetConnections > origin.connections) {
    const says = `is never reached: connections allows ${origin.connections} to all targets together`;
    warnings.push({ path: `${at}.targetConnections`, says });
  }
  return warnings;
}

function warnAboutTargets(document: Document, origin: Origin, at: string): Complaint[] {
  const zoned = [origin.targets].flat().some((target) => typeof target !== "string" && target.zone !== undefined);
  const nowhere = zoned && document["zone"] === undefined;
  const loops = addressesOf(origin).filter((address) => isOwnListener(document, address));
  return [
    ...(nowhere
      ? [{ path: `${at}.targets`, says: "zones have no effect while the proxy itself has none (zone)" }]
      : []),
    ...warnAboutTwins(addressesOf(origin), at),
    ...loops.map((address) => ({ path: `${at}.targets`, says: `"${address}" is a listener of this proxy itself` })),
  ];
}

/** Two entries with one address are one target to the core; a name and its address may be, too, but not for ever. */
function warnAboutTwins(addresses: readonly string[], at: string): Complaint[] {
  const places = addresses.map(placeOf);
  return places.flatMap((place, index) => {
    const first = places.indexOf(place);
    if (first === index) return [];
    const says = `"${addresses[index]}" is there as targets[${first}] already: both are one target, with one health and one limit`;
    return [{ path: `${at}.targets[${index}]`, says }];
  });
}

function warnAboutHealth(origin: Origin, at: string): Complaint[] {
  const { health } = origin;
  return [...warnAboutChecks(health, at), ...warnAboutEjection(origin, at)];
}

function warnAboutChecks(health: Origin["health"], at: string): Complaint[] {
  if (health.http !== undefined || health.tcp !== undefined) {
    if (health.timeoutMs <= health.intervalMs) return [];
    const says = `the next check is due before this one gives up (intervalMs ${health.intervalMs})`;
    return [{ path: `${at}.health.timeoutMs`, says }];
  }
  const defaults = healthSchema.parse({});
  return ACTIVE_CHECK.filter((key) => health[key] !== defaults[key]).map((key) => ({
    path: `${at}.health.${key}`,
    says: "has no effect without http or tcp: nothing is checked",
  }));
}

/**
 * A single bad target among n good ones lies √(n - 1) standard deviations below the mean and never further. How many
 * targets a name stands for is not known here.
 */
function warnAboutEjection(origin: Origin, at: string): Complaint[] {
  const { ejection } = origin.health;
  const addresses = addressesOf(origin);
  if (ejection === false || !addresses.every(isFixed)) return [];
  const count = new Set(addresses.map(placeOf)).size;
  if (count < ejection.targetsMin) {
    const says = `has no effect: the origin has ${count} targets, and targetsMin asks for ${ejection.targetsMin}`;
    return [{ path: `${at}.health.ejection`, says }];
  }
  const most = Math.sqrt(count - 1);
  if (ejection.deviations < most) return [];
  const says = `is never reached: one of ${count} targets lies at most ${most.toFixed(2)} below the mean`;
  return [{ path: `${at}.health.ejection.deviations`, says }];
}

/** Whether an address is one target for ever. */
function isFixed(address: string): boolean {
  const target = parseTarget(address);
  return target.ok && isIP(target.value.host) !== 0;
}

/** Origins that some route forwards or escalates to; null where routes are left out and one origin takes all. */
function usedOrigins(document: Document): ReadonlySet<unknown> | null {
  if (!Array.isArray(document["routes"])) return null;
  const named = document["routes"].flatMap((route: unknown): unknown[] => {
    if (!isRecord(route)) return [];
    const rules: readonly unknown[] = Array.isArray(route["escalate"]) ? route["escalate"] : [];
    return [route["forwardTo"], ...rules.map((rule) => (isRecord(rule) ? rule["to"] : undefined))];
  });
  return new Set(named);
}
