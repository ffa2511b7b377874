/**
 * Rules between the settings of TLS, on both sides: what can never work is refused, what has no effect or gives up what
 * TLS is for is warned about. What stands in certificate files is judged in tls-files.ts.
 */
import { isIP } from "node:net";
import type { z } from "zod";
import type { Complaint } from "../shared/errors.js";
import { parseTarget, type TargetAddress } from "./addresses.js";
import { describePath } from "./complaints.js";
import { addressesOf, coversHost, type Document, listenersOf, type Origin, originsOf } from "./document.js";
import { type DeepReadonly, settingsSchema } from "./settings.js";
import { HSTS_YEAR_S, type listenerTlsSchema, ORIGIN_TLS_DEFAULTS, type originTlsSchema } from "./settings-tls.js";

export type ListenerTls = DeepReadonly<z.output<typeof listenerTlsSchema>>;
export type OriginTls = DeepReadonly<z.output<typeof originTlsSchema>>;

/** What contradicts itself in TLS, or can never work. */
export function judgeTls(document: Document): Complaint[] {
  const listeners = listenersOf(document);
  const isServed = listeners.some(([, listener]) => listener.tls !== false);
  return [
    ...listeners.flatMap(([index, { tls }]) => (tls === false ? [] : judgeListener(tls, `listeners[${index}].tls`))),
    ...judgeProxyProtocol(document),
    ...originsOf(document).flatMap(([name, origin]) => judgeOrigin(origin, describePath(["origins", name]), isServed)),
  ];
}

/** What has no effect in TLS, or gives up what it is for. */
export function warnAboutTls(document: Document): Complaint[] {
  const listeners = listenersOf(document);
  const isServed = listeners.some(([, listener]) => listener.tls !== false);
  return [
    ...listeners.flatMap(([index, { tls }]) => (tls === false ? [] : warnAboutRules(tls, `listeners[${index}].tls`))),
    ...warnAboutForwarding(document),
    ...originsOf(document).flatMap(([name, origin]) => {
      const at = describePath(["origins", name]);
      return isSecure(origin) ? warnAboutOrigin(origin, at, isServed) : [];
    }),
  ];
}

/** Whether an origin's targets are reached by TLS. */
export function isSecure(origin: Origin): boolean {
  return targetsOf(origin).some((target) => target.isSecure);
}

function judgeListener(tls: ListenerTls, at: string): Complaint[] {
  const complaints: Complaint[] = tls.clientCertificates.slice(0, -1).flatMap((rule, index) => {
    if (rule.hosts.length > 0) return [];
    const says = "is for every name (it has no hosts), so those after it are never asked; put it last";
    return [{ path: `${at}.clientCertificates[${index}]`, says }];
  });
  const { hsts } = tls;
  if (hsts !== false && hsts.preload && (!hsts.includeSubDomains || hsts.maxAgeS < HSTS_YEAR_S)) {
    const says = `needs includeSubDomains, and maxAgeS of ${HSTS_YEAR_S} (a year) at least: browsers take no other`;
    complaints.push({ path: `${at}.hsts.preload`, says });
  }
  return complaints;
}

function judgeProxyProtocol(document: Document): Complaint[] {
  const forwarding = settingsSchema.shape.forwarding.safeParse(document["forwarding"] ?? {}).data;
  if (forwarding === undefined || forwarding.trustedProxies.length > 0) return [];
  return listenersOf(document).flatMap(([index, listener]) =>
    listener.proxyProtocol
      ? [
          {
            path: `listeners[${index}].proxyProtocol`,
            says: "lets nobody in: forwarding.trustedProxies names nobody who may say whom it speaks for",
          },
        ]
      : [],
  );
}

function judgeOrigin(origin: Origin, at: string, isServed: boolean): Complaint[] {
  const targets = targetsOf(origin);
  if (!isSecure(origin)) {
    if (origin.tls === undefined) return [];
    return [{ path: `${at}.tls`, says: "has a meaning for https:// targets only, and these are http://" }];
  }
  if (!targets.every((target) => target.isSecure)) {
    const [plain] = targets.filter((target) => !target.isSecure);
    const says = `has http:// targets ("${plain?.label}") among https:// ones; make them two origins, and escalate from one to the other`;
    return [{ path: `${at}.targets`, says }];
  }
  const tls = origin.tls ?? ORIGIN_TLS_DEFAULTS;
  return [...judgeTrust(tls, `${at}.tls`, isServed), ...judgeMatchByName(origin, tls, targets, at)];
}

function judgeTrust(tls: OriginTls, at: string, isServed: boolean): Complaint[] {
  if (!tls.verify) return [];
  const complaints: Complaint[] = [];
  if (!tls.systemRoots && tls.ca === undefined) {
    const says = "is false and ca names nobody, so no certificate could ever be trusted";
    complaints.push({ path: `${at}.systemRoots`, says });
  }
  if (tls.verifyName === "sni" && tls.sni === "none") {
    const says =
      'is "sni", and none is sent (sni: "none"), so no certificate could ever be for it; say "target" or "@name"';
    complaints.push({ path: `${at}.verifyName`, says });
  }
  if (tls.verifyName === "sni" && tls.sni === "serverName" && !isServed) {
    const says = 'is "sni", and no listener has TLS, so no client ever sends one; say "target" or "@name"';
    complaints.push({ path: `${at}.verifyName`, says });
  }
  return complaints;
}

/**
 * S0-06: matching by host means, on TLS, that the name asked for now is the one the session was opened for. Where Host
 * and SNI come from different places, it never is.
 */
function judgeMatchByName(
  origin: Origin,
  { sni }: OriginTls,
  targets: readonly TargetAddress[],
  at: string,
): Complaint[] {
  const word = [origin.match].flat().find((one) => one === "host" || one === "both");
  if (word === undefined) return [];
  const why = whyNeverMatched(origin.host, sni, targets);
  if (why === null) return [];
  return [{ path: `${at}.match`, says: `"${word}" can never match: ${why}; say sni: "host", or match "hostonly"` }];
}

function whyNeverMatched(host: string, sni: string, targets: readonly TargetAddress[]): string | null {
  const sent = host === "client" ? "the client's" : host === "target" ? "the target's" : `"${host}"`;
  const named = targets.map((target) => target.name).filter((name) => isIP(name) === 0);
  const literal = host.toLowerCase().replace(/:\d+$/, "");
  if (sni === "none") return 'sessions are opened for no name (tls.sni: "none")';
  if (sni === "target") {
    if (named.length === 0) return "the targets are IP addresses, for which TLS sends no name";
    const isTheirs = host === "target" || named.includes(literal);
    return isTheirs ? null : `Host is ${sent}, and sessions are opened for the target's own name (tls.sni: "target")`;
  }
  if (!sni.startsWith("@") || host === "client") return null;
  const wanted = sni.slice(1).toLowerCase();
  const isTheirs = host === "target" ? named.includes(wanted) : literal === wanted;
  return isTheirs ? null : `Host is ${sent}, and sessions are opened for "${wanted}" (tls.sni)`;
}

/** A rule whose names an earlier one takes is never asked. */
function warnAboutRules(tls: ListenerTls, at: string): Complaint[] {
  return tls.clientCertificates.flatMap((rule, index) => {
    const before = tls.clientCertificates.slice(0, index).flatMap((earlier) => earlier.hosts);
    return rule.hosts.flatMap((host, place) => {
      const hiding = before.find((earlier) => coversHost(earlier, host));
      if (hiding === undefined) return [];
      const path = `${at}.clientCertificates[${index}].hosts[${place}]`;
      return [{ path, says: `is never asked: "${hiding}" in an earlier rule takes "${host}"` }];
    });
  });
}

function warnAboutForwarding(document: Document): Complaint[] {
  const forwarding = settingsSchema.shape.forwarding.safeParse(document["forwarding"] ?? {}).data;
  if (forwarding?.clientCertificate !== true) return [];
  const isAsked = listenersOf(document).some(([, { tls }]) => tls !== false && tls.clientCertificates.length > 0);
  if (isAsked) return [];
  return [{ path: "forwarding.clientCertificate", says: "has no effect: no listener asks clients for a certificate" }];
}

function warnAboutOrigin(origin: Origin, at: string, isServed: boolean): Complaint[] {
  const tls = origin.tls ?? ORIGIN_TLS_DEFAULTS;
  const words = [origin.match].flat();
  const warnings: Complaint[] = tls.verify ? [] : warnAboutBlindTrust(tls, `${at}.tls`);
  if (tls.sni === "serverName" && !isServed) {
    const says = 'is as "none": no listener has TLS, so no client ever names one';
    warnings.push({ path: `${at}.tls.sni`, says });
  }
  if (words.includes("cert") && tls.clientCertificate === undefined) {
    warnings.push({
      path: `${at}.match`,
      says: '"cert" adds nothing: no certificate is shown (tls.clientCertificate)',
    });
  }
  if (words.some((word) => word === "host" || word === "both") && tls.sni.startsWith("@") && origin.host === "client") {
    const says = `connections are shared only by requests for "${tls.sni.slice(1)}", which is what sessions are opened for (tls.sni)`;
    warnings.push({ path: `${at}.match`, says });
  }
  return warnings;
}

function warnAboutBlindTrust(tls: OriginTls, at: string): Complaint[] {
  const without = (path: string) => ({ path: `${at}.${path}`, says: "has no effect without verify" });
  return [
    ...(tls.pins.length > 0
      ? []
      : [{ path: `${at}.verify`, says: "is false: whoever stands between can answer, read and change everything" }]),
    ...(tls.ca === undefined ? [] : [without("ca")]),
    ...(tls.verifyName === ORIGIN_TLS_DEFAULTS.verifyName ? [] : [without("verifyName")]),
  ];
}

function targetsOf(origin: Origin): readonly TargetAddress[] {
  return addressesOf(origin).flatMap((address) => {
    const parsed = parseTarget(address);
    return parsed.ok ? [parsed.value] : [];
  });
}
