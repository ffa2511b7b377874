/**
 * Rules between settings of the cache: rules that contradict themselves, routes that would answer with each other's
 * answers, sizes that do not fit into each other, and what has no effect.
 */
import { isDeepStrictEqual } from "node:util";
import type { Complaint } from "../shared/errors.js";
import { coversHost, type Document, type Route, routesOf } from "./document.js";
import { compileStatuses } from "./outcomes.js";
import { compilePath, coversPath, type PathMatch } from "./paths.js";
import { type RouteCache, settingsSchema } from "./settings.js";
import { routeCacheSchema } from "./settings-cache.js";
import { schemeOf } from "./settings-routes.js";

type TtlRule = RouteCache["ttl"][number];

/** A route that caches, with its place in the document. */
interface Caching {
  readonly at: string;
  readonly route: Route;
  readonly cache: RouteCache;
}

/** What contradicts itself, or would give one target's answer to another one's client. */
export function judgeCache(document: Document): Complaint[] {
  const caching = cachingRoutes(document);
  return [
    ...caching.flatMap(({ at, cache }) => [...judgeTtl(cache, at), ...judgeBypass(cache, at)]),
    ...caching.flatMap((later, index) => judgeMixing(caching.slice(0, index), later)),
    ...judgeSizes(document, caching),
  ];
}

/** What has no effect. */
export function warnAboutCache(document: Document): Complaint[] {
  const caching = cachingRoutes(document);
  const warnings = caching.flatMap((one) => [
    ...warnAboutRules(one),
    ...warnAboutSwitches(one),
    ...warnAboutMemory(document, one),
  ]);
  const { cache } = settingsSchema.shape;
  const written = cache.safeParse(document["cache"] ?? {}).data;
  if (caching.length > 0 || isDeepStrictEqual(written, cache.parse({}))) return warnings;
  return [{ path: "cache", says: "has no effect: no route says cache" }];
}

function cachingRoutes(document: Document): Caching[] {
  return routesOf(document).flatMap(([index, route]) => {
    if (route.forwardTo === undefined || route.cache === undefined || route.cache === false) return [];
    const cache: RouteCache = route.cache === true ? routeCacheSchema.parse({}) : route.cache;
    return [{ at: `routes[${index}]`, route, cache }];
  });
}

function judgeTtl(cache: RouteCache, at: string): Complaint[] {
  return cache.ttl.flatMap((rule, index) => {
    const wrong = judgeRule(rule);
    const path = `${at}.cache.ttl[${index}]`;
    return wrong === null ? [] : [{ path: wrong.name === "" ? path : `${path}.${wrong.name}`, says: wrong.says }];
  });
}

function judgeRule({ forceS, floorS, capS, defaultS, overrides }: TtlRule): { name: string; says: string } | null {
  if (forceS !== undefined) {
    const beside = Object.entries({ floorS, capS, defaultS }).find(([, value]) => value !== undefined);
    if (beside === undefined) return null;
    return { name: beside[0], says: `has no meaning beside forceS, which says exactly how long; leave one out` };
  }
  if (floorS === undefined && capS === undefined && defaultS === undefined && !overrides) {
    return { name: "", says: "needs one of forceS, floorS, capS, defaultS or overrides" };
  }
  if (floorS !== undefined && capS !== undefined && floorS > capS) {
    return { name: "floorS", says: `must be at most capS (${capS})` };
  }
  if (defaultS !== undefined && capS !== undefined && defaultS > capS) {
    return { name: "defaultS", says: `must be at most capS (${capS})` };
  }
  if (defaultS !== undefined && floorS !== undefined && defaultS < floorS) {
    return { name: "defaultS", says: `must be at least floorS (${floorS})` };
  }
  return null;
}

function judgeBypass(cache: RouteCache, at: string): Complaint[] {
  return cache.bypass.flatMap(({ value, ...conditions }, index) => {
    const path = `${at}.cache.bypass[${index}]`;
    const named = Object.entries(conditions).flatMap(([name, what]) => (what === undefined ? [] : [name]));
    if (named.length !== 1) {
      const says =
        named.length === 0
          ? "needs one of header, cookie, query or path"
          : `has ${named.join(" and ")}; only one may be there, and another condition is another item of the list`;
      return [{ path, says }];
    }
    if (value === undefined || conditions.header !== undefined) return [];
    return [{ path: `${path}.value`, says: "has a meaning beside header only" }];
  });
}

/**
 * Two routes may have requests of the same key that they send elsewhere or change in different ways; one would be answered
 * with what is stored for the other.
 */
function judgeMixing(earlier: readonly Caching[], later: Caching): Complaint[] {
  const mixed = earlier.find((one) => isMixed(one, later));
  if (mixed === undefined) return [];
  const says = `is that of ${mixed.at} too, which forwards some requests with the same key in another way; give one of them a space of its own`;
  return [{ path: `${later.at}.cache.key.space`, says }];
}

function isMixed(a: Caching, b: Caching): boolean {
  if (a.cache.key.space !== b.cache.key.space || outcomeOf(a.route) === outcomeOf(b.route)) return false;
  const [pathA, pathB] = [compilePath(a.route.match?.path), compilePath(b.route.match?.path)];
  if (!meetPaths(pathA, pathB)) return false;
  const [hostsA, hostsB] = [listOf(a.route.match?.host), listOf(b.route.match?.host)];
  const hosts = meetHosts(hostsA, hostsB);
  const anyHost = !(a.cache.key.host && b.cache.key.host);
  if (!hosts && !anyHost) return false;
  const [schemeA, schemeB] = [schemeOf(a.route), schemeOf(b.route)];
  const schemesDiffer = schemeA !== schemeB && schemeA !== undefined;
  const anyScheme = !(a.cache.key.scheme && b.cache.key.scheme);
  if (schemesDiffer && schemeB !== undefined && !anyScheme) return false;
  // What the first one takes by more than the key tells, the other one gets with the same key.
  return (
    (anyHost && hostsA.length > 0 && hostsA.join() !== hostsB.join()) ||
    (anyScheme && schemesDiffer) ||
    Object.keys(a.route.match?.header ?? {}).some((name) => !isKeyField(a, name) || !isKeyField(b, name))
  );
}

/** What becomes of a request, in one text. */
function outcomeOf({ forwardTo, rewrite, requestHeaders }: Route): string {
  return JSON.stringify([forwardTo, rewrite, requestHeaders]);
}

function isKeyField({ cache }: Caching, name: string): boolean {
  return cache.key.headers.some((header) => header.toLowerCase() === name.toLowerCase());
}

function meetPaths(a: PathMatch, b: PathMatch): boolean {
  return coversPath(a, b) || coversPath(b, a);
}

function meetHosts(a: readonly string[], b: readonly string[]): boolean {
  if (a.length === 0 || b.length === 0) return true;
  return a.some((one) => b.some((other) => coversHost(one, other) || coversHost(other, one)));
}

function judgeSizes(document: Document, caching: readonly Caching[]): Complaint[] {
  const store = settingsSchema.shape.cache.safeParse(document["cache"] ?? {}).data?.store;
  if (store === undefined || store === false) return [];
  const complaints: Complaint[] = [];
  if (store.queueBytes > store.bytes) {
    complaints.push({ path: "cache.store.queueBytes", says: `must be at most cache.store.bytes (${store.bytes})` });
  }
  for (const { at, cache } of caching) {
    if (cache.objectBytes <= store.bytes) continue;
    complaints.push({ path: `${at}.cache.objectBytes`, says: `must be at most cache.store.bytes (${store.bytes})` });
  }
  return complaints;
}

function warnAboutMemory(document: Document, { at, cache }: Caching): Complaint[] {
  const shared = settingsSchema.shape.cache.safeParse(document["cache"] ?? {}).data;
  if (shared === undefined || shared.store !== false || cache.objectBytes <= shared.memoryBytes) return [];
  const says = `is more than cache.memoryBytes (${shared.memoryBytes}) can hold, and there is no cache.store`;
  return [{ path: `${at}.cache.objectBytes`, says }];
}

/** Statuses that are never stored, whatever a rule says (RFC 9111 3). */
const NEVER_STORED = [
  { from: 100, to: 199 },
  { from: 304, to: 304 },
  { from: 412, to: 412 },
  { from: 416, to: 416 },
];

function warnAboutRules({ at, route, cache }: Caching): Complaint[] {
  const within = compilePath(route.match?.path);
  return cache.ttl.flatMap((rule, index) => {
    const path = `${at}.cache.ttl[${index}]`;
    const hiding = cache.ttl.slice(0, index).findIndex((earlier) => hides(earlier, rule));
    if (hiding >= 0) return [{ path, says: `is never used: ttl[${hiding}] takes all of it before` }];
    const statuses = compileStatuses(rule.statuses ?? []);
    const useless = statuses.findIndex(({ from, to }) =>
      NEVER_STORED.some((never) => never.from <= from && to <= never.to),
    );
    if (useless >= 0) {
      const says = `${rule.statuses?.[useless]} is never stored, so it has no lifetime`;
      return [{ path: `${path}.statuses[${useless}]`, says }];
    }
    const own = compilePath(rule.path);
    if (own.kind === "pattern" || within.kind === "pattern" || meetPaths(own, within)) return [];
    return [{ path: `${path}.path`, says: "has no effect: the route takes none of these paths" }];
  });
}

/** Whether every answer that `later` is for is taken by `earlier`. */
function hides(earlier: TtlRule, later: TtlRule): boolean {
  if (!coversPath(compilePath(earlier.path), compilePath(later.path))) return false;
  if (earlier.statuses === undefined) return true;
  if (later.statuses === undefined) return false;
  const taken = compileStatuses(earlier.statuses);
  return compileStatuses(later.statuses).every(({ from, to }) => taken.some((one) => one.from <= from && to <= one.to));
}

function warnAboutSwitches({ at, cache }: Caching): Complaint[] {
  const { key, cookies } = cache;
  const warnings: Complaint[] = [];
  const warn = (name: string, why: string) =>
    warnings.push({ path: `${at}.cache.${name}`, says: `has no effect: ${why}` });
  if (cache.cacheStatusKey && !cache.cacheStatus) warn("cacheStatusKey", "cacheStatus is false");
  if (key.query === "none" && key.sortQuery) warn("key.sortQuery", 'key.query is "none"');
  if (key.query === "none" && cache.noVarySearch) warn("noVarySearch", 'key.query is "none"');
  for (const [place, name] of key.cookies.entries()) {
    if (cookies === "ignore") continue;
    const bypasses = "bypassOn" in cookies ? cookies.bypassOn.includes(name) : !cookies.bypassExcept.includes(name);
    if (bypasses) warn(`key.cookies[${place}]`, "a request with this cookie goes to the origin");
  }
  return warnings;
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : [value].flat();
}
