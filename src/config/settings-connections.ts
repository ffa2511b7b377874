/**
 * Settings that hold for connections of the whole process: the pool of origin connections, whether connections outlive
 * an exchange, how many requests may be sent again, and where their bodies are kept for that.
 */
import { isAbsolute } from "node:path";
import { z } from "zod";
import { bytes, count, flag, milliseconds, percent, text } from "./leaves.js";

/** Most edge workers one process may have; the same bound as `WORKERS_MAX` of the core. */
export const WORKERS_MAX = 256;

const HOUR_MS = 3_600_000;
/** Largest value of a 32-bit field of the plan. */
const U32_MAX = 0xffff_ffff;

export const AUTO_OR_WORKERS_SAYS = `must be "auto" or a whole number, 1 to ${WORKERS_MAX}`;
export const AUTO_OR_WORKERS = [
  z.literal("auto"),
  z.int().min(1, { error: AUTO_OR_WORKERS_SAYS }).max(WORKERS_MAX, { error: AUTO_OR_WORKERS_SAYS }),
] as const;

/** Traffic Server's words for how workers share connections, in ours. */
const SCOPES = {
  thread: { shards: "auto", steal: false },
  global: { shards: 1, steal: true },
  hybrid: { shards: "auto", steal: true },
} as const;

const poolFields = z.strictObject({
  scope: z
    .enum(["thread", "global", "hybrid"])
    .optional()
    .describe(
      'In one word: "thread" (each worker its own connections: shards auto, steal false), "global" (one pool: shards 1), "hybrid" (own ones first, then those of others: shards auto, steal true). Absent = as shards and steal say.',
    ),
  shards: z
    .union(AUTO_OR_WORKERS, { error: AUTO_OR_WORKERS_SAYS })
    .default("auto")
    .describe(
      'Partitions of the origin pool, at most one a worker; "auto" = as many as workers, 1 = one pool for all.',
    ),
  steal: flag({ default: true, says: "Whether a worker may take an idle connection from another worker's shard." }),
  connectionsMax: count({
    min: 1,
    max: 10_000_000,
    default: 0,
    zeroIsNoLimit: true,
    says: "Origin connections of the whole process.",
  }),
  queueLengthMax: count({
    min: 0,
    max: 1_000_000,
    default: 1024,
    says: "Requests that may wait for a connection to one target; the next is answered 503.",
  }),
  queueWaitMs: milliseconds({
    min: 1,
    max: HOUR_MS,
    default: 5000,
    says: "How long a request waits for a connection before it is answered 503.",
  }),
});

/**
 * The `pool` section. The scope fills in what it stands for; what contradicts it was refused (check.ts), a number of
 * shards that does not was not.
 */
export const poolSchema = poolFields.transform((pool) => {
  if (pool.scope === undefined) return pool;
  const { shards, steal } = SCOPES[pool.scope];
  return { ...pool, shards: pool.shards === "auto" ? shards : pool.shards, steal };
});

/** The `persistence` section. */
export const persistenceSchema = z.strictObject({
  client: flag({ default: true, says: "Whether client connections are kept after their first request." }),
  origin: flag({ default: true, says: "Whether origin connections are kept after their first request." }),
  afterErrors: flag({
    default: true,
    says: "Whether a client's connection is kept after an answer of 400 and above.",
  }),
  clientAgeMs: milliseconds({
    min: 10,
    max: U32_MAX,
    default: 0,
    zeroIsNoLimit: true,
    says: "How old a client connection may become before it is closed after its present answer.",
  }),
});

/** The `retryBudget` section. */
export const retryBudgetSchema = z.strictObject({
  percent: percent({
    min: 0,
    max: 100,
    default: 20,
    says: "Share of the requests of the last ten seconds that may be further attempts; a failing origin gets at most so much more load.",
  }),
  perSecond: count({
    min: 0,
    max: 1_000_000,
    default: 10,
    says: "Further attempts a second that are always allowed, so that a quiet proxy can retry too.",
  }),
});

/** The `spool` section. */
export const spoolSchema = z.strictObject({
  folder: text("Folder for the files, as an absolute path.", (value) =>
    isAbsolute(value) ? null : `"${value}" must be an absolute path`,
  ),
  requestBytes: bytes({
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    default: 64 * 1024 * 1024,
    says: "Longest body of one request that is kept.",
  }),
  totalBytes: bytes({
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    default: 1024 * 1024 * 1024,
    says: "Bodies the whole process keeps at once; beyond it requests go on, but cannot be sent again.",
  }),
});
