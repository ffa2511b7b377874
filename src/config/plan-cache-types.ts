/**
 * The cache's part of the plan, field for field as native-bindings/proto/src/plan/cache.rs decodes it. Times are seconds
 * where their name says so.
 */
import type { StatusRange } from "./outcomes.js";
import type { PathMatch } from "./paths.js";

/** What all routes that cache share. */
export interface PlanCache {
  readonly memoryBytes: number;
  /** A power of two. */
  readonly shards: number;
  readonly store: boolean;
}

/** The cache of one route. */
export interface PlanCachePolicy {
  readonly key: PlanCacheKey;
  readonly ttl: readonly PlanTtlRule[];
  readonly heuristic: { readonly percent: number; readonly longestS: number };
  readonly grace: { readonly whileRevalidateS: number; readonly ifErrorS: number; readonly despiteSMaxage: boolean };
  readonly authorization: "rfc" | "bypass" | "ignore";
  readonly cookies:
    | { readonly kind: "ignore" }
    | { readonly kind: "bypassExcept" | "bypassOn"; readonly names: readonly string[] };
  readonly setCookie: "explicit" | "refuse" | "strip";
  readonly bypass: readonly PlanBypass[];
  /** 0 = no limit. */
  readonly objectBytes: number;
  readonly clientDirectives: "honour" | "ignore";
  readonly targets: readonly string[];
  readonly surrogateControl: boolean;
  readonly noVarySearch: boolean;
  readonly groups: boolean;
  readonly tagFields: readonly string[];
  readonly partial: "store" | "fill" | "pass";
  readonly cacheStatus: boolean;
  readonly cacheStatusKey: boolean;
  readonly xCache: boolean;
  readonly coalesce: { readonly waitMs: number; readonly fillPercent: number; readonly fillBytes: number };
}

export interface PlanCacheKey {
  readonly space: string;
  readonly scheme: boolean;
  readonly host: boolean;
  readonly query:
    | { readonly kind: "all" | "none" }
    | { readonly kind: "only" | "except"; readonly names: readonly string[] };
  readonly sortQuery: boolean;
  readonly foldPathCase: boolean;
  readonly fields: readonly string[];
  readonly cookies: readonly string[];
}

export interface PlanTtlRule {
  /** Empty = any. */
  readonly statuses: readonly StatusRange[];
  readonly path: PathMatch;
  /** null = says nothing of it; so are the next three. */
  readonly forceS: number | null;
  readonly floorS: number | null;
  readonly capS: number | null;
  readonly defaultS: number | null;
  readonly overrides: boolean;
}

export type PlanBypass =
  | { readonly kind: "field"; readonly name: string; readonly value: string | null }
  | { readonly kind: "cookie" | "query"; readonly name: string }
  | { readonly kind: "path"; readonly path: PathMatch };
