/**
 * Compiles what a route says about caching, and what the process gives to the cache.
 */
import { compileStatuses } from "./outcomes.js";
import { compilePath } from "./paths.js";
import type { PlanBypass, PlanCache, PlanCacheKey, PlanCachePolicy, PlanTtlRule } from "./plan-cache-types.js";
import type { RouteCache, Settings } from "./settings.js";
import { routeCacheSchema } from "./settings-cache.js";

/** What `cache: true` stands for. */
const RFC_CACHE: RouteCache = routeCacheSchema.parse({});

/** What all routes that cache share. */
export function compileCache({ memoryBytes, shards, store }: Settings["cache"]): PlanCache {
  return { memoryBytes, shards, store: store !== false };
}

/** The cache of one route, or null where nothing of it is cached. */
export function compileRouteCache(written: boolean | RouteCache): PlanCachePolicy | null {
  if (written === false) return null;
  const { preset: _, ...cache } = written === true ? RFC_CACHE : written;
  const { backgroundFillPercent, backgroundFillBytes, waitMs } = cache.coalesce;
  return {
    ...cache,
    key: compileKey(cache.key),
    ttl: cache.ttl.map(compileTtl),
    heuristic: cache.heuristic === false ? { percent: 0, longestS: 0 } : cache.heuristic,
    cookies: compileCookies(cache.cookies),
    bypass: cache.bypass.flatMap(compileBypass),
    coalesce: { waitMs, fillPercent: backgroundFillPercent, fillBytes: backgroundFillBytes },
  };
}

function compileKey({ headers, query, ...key }: RouteCache["key"]): PlanCacheKey {
  return { ...key, query: compileQuery(query), fields: headers.map((name) => name.toLowerCase()) };
}

function compileQuery(query: RouteCache["key"]["query"]): PlanCacheKey["query"] {
  if (typeof query === "string") return { kind: query };
  return "only" in query ? { kind: "only", names: query.only } : { kind: "except", names: query.except };
}

function compileTtl({ statuses = [], path, overrides, ...times }: RouteCache["ttl"][number]): PlanTtlRule {
  return {
    statuses: compileStatuses(statuses),
    path: compilePath(path),
    forceS: times.forceS ?? null,
    floorS: times.floorS ?? null,
    capS: times.capS ?? null,
    defaultS: times.defaultS ?? null,
    overrides,
  };
}

function compileCookies(cookies: RouteCache["cookies"]): PlanCachePolicy["cookies"] {
  if (cookies === "ignore") return { kind: "ignore" };
  if ("bypassOn" in cookies) return { kind: "bypassOn", names: cookies.bypassOn };
  return { kind: "bypassExcept", names: cookies.bypassExcept };
}

/** Each names one thing (check-cache.ts). */
function compileBypass({ header, value, cookie, query, path }: RouteCache["bypass"][number]): PlanBypass[] {
  if (header !== undefined) return [{ kind: "field", name: header, value: value ?? null }];
  if (cookie !== undefined) return [{ kind: "cookie", name: cookie }];
  if (query !== undefined) return [{ kind: "query", name: query }];
  return path === undefined ? [] : [{ kind: "path", path: compilePath(path) }];
}
