/**
 * What the admin API has about the cache: purges, what is kept of a URL, what is asked for most, and the store.
 */
import type { CacheEntry, CacheTop, Purged, StoreReading } from "../control/cache.js";
import { type Answer, ok, problem } from "./answers.js";

/** What these calls show and move. Each throws a MillraceError where it cannot. */
export interface CacheSource {
  /** Takes what was sent as it is and judges it. */
  readonly purge: (input: unknown) => Promise<Purged>;
  readonly cacheEntry: (url: string) => Promise<readonly CacheEntry[]>;
  readonly cacheTop: (count: number) => readonly CacheTop[];
  readonly cacheStore: () => StoreReading | null;
}

interface CacheCall {
  readonly source: CacheSource;
  readonly query: URLSearchParams;
  readonly body: unknown;
}

const TOP_DEFAULT = 20;
const TOP_MAX = 1000;
const JSON_TYPES = ["application/json"] as const;
const PROBLEMS = { 409: "The proxy is not in a state for it.", 500: "It failed; detail says how." } as const;

async function lookUp({ source, query }: CacheCall): Promise<Answer> {
  const unknown = [...query.keys()].find((key) => key !== "url");
  const url = query.get("url");
  if (unknown !== undefined || url === null) return problem(400, "The query must be url=…, and nothing else.");
  return ok({ url, entries: await source.cacheEntry(url) });
}

function listTop({ source, query }: CacheCall): Answer {
  const unknown = [...query.keys()].find((key) => key !== "count");
  if (unknown !== undefined) return problem(400, `"${unknown}" is not known; there is count.`);
  const count = Number(query.get("count") ?? TOP_DEFAULT);
  if (!Number.isInteger(count) || count < 1 || count > TOP_MAX) return problem(400, `count must be 1 to ${TOP_MAX}.`);
  return ok({ targets: source.cacheTop(count) });
}

/** Rows of the table in routes.ts. */
export const CACHE_ROUTES = [
  {
    path: "/cache/purge",
    operations: {
      POST: {
        says: "Purges a URL, all URLs that begin so, a tag, or everything: gone, or stale where soft is true. When it is answered, no worker gives out what was kept before, neither from memory nor from the store.",
        handle: async ({ source, body }: CacheCall) => ok(await source.purge(body)),
        body: "PurgeRequest",
        answer: { says: "It holds.", types: JSON_TYPES, schema: "Purged" },
        problems: PROBLEMS,
      },
    },
  },
  {
    path: "/cache/entry",
    operations: {
      GET: {
        says: "What is kept of a URL, in memory and in the store, by each way in which routes make keys.",
        handle: lookUp,
        query: [{ name: "url", says: "http(s)://host/path?query", schema: { type: "string" } }],
        answer: { says: "What is kept.", types: JSON_TYPES, schema: "CacheEntries" },
        problems: PROBLEMS,
      },
    },
  },
  {
    path: "/cache/top",
    operations: {
      GET: {
        says: "The targets in memory with most hits.",
        handle: listTop,
        query: [{ name: "count", says: `How many, else ${TOP_DEFAULT}.`, schema: { type: "integer" } }],
        answer: { says: "Those with most hits first.", types: JSON_TYPES, schema: "CacheTop" },
        problems: PROBLEMS,
      },
    },
  },
  {
    path: "/cache/store",
    operations: {
      GET: {
        says: "The store in figures.",
        handle: ({ source }: CacheCall) => ok({ store: source.cacheStore() }),
        answer: { says: "The figures; null where there is no store.", types: JSON_TYPES, schema: "CacheStore" },
        problems: PROBLEMS,
      },
    },
  },
] as const;
