/**
 * Settings of the cache: what a route stores, under which key and how long it is used, and what the process gives to it.
 * The defaults of a route are what RFC 9111 asks of a shared cache; times are seconds, as in the fields they stand for.
 * What a route says compiles to the core's CachePolicy (plan-cache.ts).
 */
import { isAbsolute } from "node:path";
import { z } from "zod";
import { isToken, judgeFieldValue, judgeKeyField } from "./fields.js";
import { bareSeconds, bytes, count, flag, milliseconds, percent, seconds, text } from "./leaves.js";
import { judgePath } from "./paths.js";
import { CACHE_PRESET_NAMES } from "./presets.js";
import { statusWord } from "./settings-health.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const HOUR_MS = 3_600_000;
const DAY_S = 86_400;
const YEARS_S = 10 * 365 * DAY_S;

/** Most shards of the hot cache; the same bound as `CACHE_SHARDS_MAX` of the core. */
const SHARDS_MAX = 1024;

const fieldName = text("The name of a header field.", (name) =>
  isToken(name) ? null : `"${name}" is not a header name`,
);
const cookieName = text("The name of a cookie.", (name) => (isToken(name) ? null : `"${name}" is not a cookie name`));
const parameterName = text("The name of a query parameter; one that ends in * stands for all that begin so.", (name) =>
  /^[^\s&=#*]+\*?$/.test(name)
    ? null
    : `"${name}" is not the name of a query parameter (a * may stand at its end only)`,
);

/** A list that has to name something. */
const some = <T extends z.ZodType>(item: T) => z.array(item).min(1, { error: "must name at least one" });

const querySchema = z.union(
  [
    z.enum(["all", "none"]),
    z.strictObject({ only: some(parameterName).describe("These and no others.") }),
    z.strictObject({ except: some(parameterName).describe("All but these.") }),
  ],
  { error: 'must be "all", "none", { only: [ … ] } or { except: [ … ] }' },
);

const keySchema = z.strictObject({
  space: text("Stands before every key of the route; routes with the same one share what they store.", (space) =>
    /^[A-Za-z0-9._-]{0,64}$/.test(space) ? null : `"${space}" must be at most 64 letters, digits, ".", "_" or "-"`,
  ).default(""),
  scheme: flag({ default: true, says: "Whether http:// and https:// are different targets." }),
  host: flag({ default: true, says: "Whether host and port are part of the key." }),
  query: querySchema
    .default("all")
    .describe(
      'Which parameters of the query are part of the key: "all", "none", { only: [names] } or { except: [names] }; a name that ends in * stands for all that begin so.',
    ),
  sortQuery: flag({ default: false, says: "Order the parameters by name, so that their order does not matter." }),
  foldPathCase: flag({ default: false, says: "Take paths that differ in case only for the same." }),
  headers: z
    .array(text("The name of a request header field.", judgeKeyField))
    .default([])
    .describe("Request header fields that are part of the key."),
  cookies: z.array(cookieName).default([]).describe("Cookies that are part of the key."),
});

const lifetime = (says: string) => bareSeconds({ min: 0, max: YEARS_S, says }).optional();

const ttlSchema = z.strictObject({
  statuses: some(statusWord)
    .optional()
    .describe('Statuses of the answer it is for: 404, "500-504", "5xx". Absent = any.'),
  path: text("Paths it is for, in the notation of match.path. Absent = any.", judgePath).optional(),
  forceS: lifetime("Fresh for exactly so long."),
  floorS: lifetime("Fresh for at least so long."),
  capS: lifetime("Fresh for at most so long."),
  defaultS: lifetime("Fresh for so long where the answer does not say: negative caching."),
  overrides: flag({
    default: false,
    says: "Whether no-store, private and no-cache of the answer count for nothing.",
  }),
});

const heuristicSchema = z.strictObject({
  percent: percent({ min: 1, max: 100, default: 10, says: "Of the time since Last-Modified." }),
  longestS: seconds({ min: 1, max: YEARS_S, default: DAY_S, says: "At most." }),
});

const graceSchema = z.strictObject({
  whileRevalidateS: seconds({
    min: 0,
    max: YEARS_S,
    default: 0,
    says: "So long after it was fresh, while it is validated in the background; a stale-while-revalidate of its own wins.",
  }),
  ifErrorS: seconds({
    min: 0,
    max: YEARS_S,
    default: 0,
    says: "So long after it was fresh, where the origin fails or is down; a stale-if-error of its own wins.",
  }),
  despiteSMaxage: flag({
    default: false,
    says: "Whether an answer with s-maxage may be stale where it says stale-… itself. RFC 9111 5.2.2.10 forbids it.",
  }),
});

const COOKIES_SAYS = 'must be "ignore", { bypassExcept: [ … ] } or { bypassOn: [ … ] }';
const cookiesSchema = z.union(
  [
    z.literal("ignore"),
    z.strictObject({
      bypassExcept: z.array(cookieName).describe("A request with any cookie but these goes to the origin."),
    }),
    z.strictObject({ bypassOn: some(cookieName).describe("A request with one of these goes to the origin.") }),
  ],
  { error: COOKIES_SAYS },
);

const bypassSchema = z.strictObject({
  header: fieldName.optional().describe("A request header field that is there."),
  value: text("What header must say, exactly. Absent = anything.", judgeFieldValue).optional(),
  cookie: cookieName.optional().describe("A cookie that is there."),
  query: parameterName
    .optional()
    .describe("A parameter that is there; one that ends in * stands for all that begin so."),
  path: text("Paths, in the notation of match.path.", judgePath).optional(),
});

const coalesceSchema = z.strictObject({
  waitMs: milliseconds({
    min: 1,
    max: HOUR_MS,
    default: 5000,
    zeroMeans: "it does not wait",
    says: "How long a request waits for the answer another one has asked for, before it asks for itself.",
  }),
  backgroundFillPercent: percent({
    min: 1,
    max: 100,
    default: 50,
    zeroMeans: "always",
    says: "A fetch whose clients all left goes on if so much of a body of known length is there …",
  }),
  backgroundFillBytes: bytes({
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    default: MIB,
    says: "… or if at most so much of it is missing.",
  }),
});

const oneOf = <const T extends readonly [string, ...string[]]>(words: T, fallback: T[number], says: string) =>
  z
    .enum(words)
    .default(fallback as never)
    .describe(says);

/** `routes[].cache`, where it is more than true or false. */
export const routeCacheSchema = z.strictObject({
  preset: z
    .enum(CACHE_PRESET_NAMES)
    .optional()
    .describe(
      '"micro" (what says nothing of it for a second), "assets" (files that clients may not reload), "resilient" (stale answers for a day while the origin fails). What is written beside it wins.',
    ),
  key: keySchema.prefault({}).describe("What tells two stored answers apart before Vary does."),
  ttl: z
    .array(ttlSchema)
    .default([])
    .describe("How long answers are fresh, whatever they say: the first rule that fits."),
  heuristic: z
    .union([z.literal(false), heuristicSchema])
    .prefault({})
    .describe("Freshness of answers that say nothing of it (RFC 9111 4.2.2), or false."),
  grace: graceSchema.prefault({}).describe("How long answers are used that are not fresh any more (RFC 5861)."),
  authorization: oneOf(
    ["rfc", "bypass", "ignore"],
    "rfc",
    'Requests with Authorization: "rfc" (stored only where the answer says that it may be, RFC 9111 3.5), "bypass" (go to the origin), "ignore" (the answers of this route do not depend on it).',
  ),
  cookies: cookiesSchema
    .default("ignore")
    .describe(
      'Cookies of requests: "ignore" (they mean nothing, as RFC 9111 has it), { bypassExcept: [names] } (a request with another one goes to the origin), { bypassOn: [names] } (one with any of these does).',
    ),
  setCookie: oneOf(
    ["explicit", "refuse", "strip"],
    "explicit",
    'Answers with Set-Cookie: "explicit" (stored if they say how long they are fresh), "refuse" (not stored), "strip" (stored without it).',
  ),
  bypass: z
    .array(bypassSchema)
    .default([])
    .describe("A request that fits any of these is answered by the origin, and nothing is stored."),
  objectBytes: bytes({
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    default: 0,
    zeroIsNoLimit: true,
    says: "Longest body that is stored.",
  }),
  clientDirectives: oneOf(
    ["honour", "ignore"],
    "honour",
    'Cache-Control and Pragma of requests: "honour", or "ignore" (all but only-if-cached and no-store).',
  ),
  targets: z
    .array(text("The name of a header field.", judgeTarget))
    .default(["CDN-Cache-Control"])
    .describe("Fields that speak to this cache in place of Cache-Control (RFC 9213); the first valid one wins."),
  surrogateControl: flag({
    default: false,
    says: "Read Surrogate-Control where none of targets speaks, and keep it from clients.",
  }),
  noVarySearch: flag({ default: false, says: "Read No-Vary-Search." }),
  groups: flag({ default: true, says: "Read Cache-Groups and Cache-Group-Invalidation (RFC 9875)." }),
  tagFields: z
    .array(fieldName)
    .default(["Cache-Tag", "Surrogate-Key"])
    .describe("Fields of answers whose words are tags to purge by."),
  partial: oneOf(
    ["store", "fill", "pass"],
    "store",
    'Ranges that are not stored: "store" (asked for, and kept as the part they are), "fill" (the whole is asked for and kept), "pass" (asked for, not kept).',
  ),
  cacheStatus: flag({ default: true, says: "Write Cache-Status (RFC 9211)." }),
  cacheStatusKey: flag({ default: false, says: "Tell the key in Cache-Status." }),
  xCache: flag({ default: false, says: "Write X-Cache: HIT or MISS." }),
  coalesce: coalesceSchema.prefault({}).describe("How requests for the same thing share one fetch."),
});

const storeSchema = z.strictObject({
  folder: text("Folder of the store, as an absolute path; no other process may use it.", (value) =>
    isAbsolute(value) ? null : `"${value}" must be an absolute path`,
  ),
  bytes: bytes({
    min: 16 * MIB,
    max: Number.MAX_SAFE_INTEGER,
    default: 10 * GIB,
    says: "Heads and bodies it holds; beyond it the oldest that were not asked for go first.",
  }),
  bodyInlineBytes: bytes({
    min: 0,
    max: MIB,
    default: 65_536,
    says: "Longest body that is kept beside its head; a longer one is a file of its own.",
  }),
  queueBytes: bytes({
    min: MIB,
    max: 16 * GIB,
    default: 64 * MIB,
    says: "Bodies that wait to be written; beyond it answers stay in memory only.",
  }),
});

const SHARDS_SAYS = `must be a power of two, 1 to ${SHARDS_MAX}`;

/** The `cache` section. */
export const cacheSchema = z.strictObject({
  memoryBytes: bytes({
    min: MIB,
    max: Number.MAX_SAFE_INTEGER,
    default: 128 * MIB,
    says: "What is kept in memory, for all workers together.",
  }),
  shards: count({
    min: 1,
    max: SHARDS_MAX,
    default: 64,
    says: "Parts of it that are locked for themselves; a power of two.",
  })
    .refine((value) => Number.isInteger(Math.log2(value)), { error: SHARDS_SAYS })
    .meta({ unit: "count" }),
  store: z
    .union([z.literal(false), storeSchema])
    .default(false)
    .describe("What is kept on a disk and there again after a restart, or false."),
});

function judgeTarget(name: string): string | null {
  if (!isToken(name)) return `"${name}" is not a header name`;
  const lower = name.toLowerCase();
  if (lower === "cache-control") return `"${name}" is read where no target speaks, without being named`;
  return lower === "surrogate-control" ? `"${name}" is read by surrogateControl: true` : null;
}
