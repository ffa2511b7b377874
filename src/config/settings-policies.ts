/**
 * Settings of a route that forwards: which connection a request may take, how long it may last, when it is tried again
 * or elsewhere, what a client gets when nothing helped, and whether answers are cached. All of them may stand beside
 * forwardTo only (check-routes.ts), so none is filled in: what holds for an absent one is in FORWARD_DEFAULTS.
 */
import { z } from "zod";
import { OWN_ANSWER_BYTES_MAX } from "./faults.js";
import { bareBytes, bareMilliseconds, count, flag, milliseconds, otherwise, seconds } from "./leaves.js";
import { judgeOutcome } from "./outcomes.js";
import { routeCacheSchema } from "./settings-cache.js";
import { answerContent } from "./settings-fields.js";
import { statusNumber, statusWord } from "./settings-health.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const UNREPEATABLE_SAYS = 'must be "fresh", "standby", "reuse" or { reuseIfRecentMs: … }';

const unrepeatableSchema = z.union(
  [
    z.enum(["fresh", "standby", "reuse"]),
    z.strictObject({
      reuseIfRecentMs: bareMilliseconds({
        min: 1,
        max: DAY_MS,
        says: "Take a connection that carried an answer within this time.",
      }),
    }),
  ],
  { error: UNREPEATABLE_SAYS },
);

const timeoutsSchema = z.strictObject({
  firstByteMs: bareMilliseconds({
    min: 10,
    max: DAY_MS,
    says: "From the request sent to the first byte of the answer, in place of the origin's.",
  }).optional(),
  betweenBytesMs: bareMilliseconds({
    min: 10,
    max: DAY_MS,
    says: "Between two pieces of an answer, in place of the origin's.",
  }).optional(),
  totalMs: bareMilliseconds({
    min: 10,
    max: DAY_MS,
    zeroIsNoLimit: true,
    says: "From the request's head to the end of its answer, over all attempts, in place of the origin's.",
  }).optional(),
});

const limitsSchema = z.strictObject({
  requestBodyBytes: bareBytes({
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    zeroIsNoLimit: true,
    says: "Longest request body, in place of limits.requestBodyBytes; a longer one is answered 413.",
  }).optional(),
  answerBodyBytes: bareBytes({
    min: OWN_ANSWER_BYTES_MAX,
    max: Number.MAX_SAFE_INTEGER,
    zeroIsNoLimit: true,
    says: "Longest answer body passed on; a longer one is answered 502, or cut and the connection closed where its length was not told. The proxy's own pages must fit.",
  }).optional(),
});

const retrySchema = z.strictObject({
  attempts: count({
    min: 1,
    max: 16,
    default: 3,
    says: "Attempts in all, the first included; a repeat after a connection that had gone stale is not counted.",
  }),
  statuses: z
    .array(statusWord)
    .default([])
    .describe('Answers that count as failures, to be tried elsewhere: 502, "503-504", "5xx".'),
  perTryMs: milliseconds({
    min: 10,
    max: DAY_MS,
    default: 0,
    zeroMeans: "the first-byte time alone",
    says: "Bound of one attempt, from its request to its answer's head.",
  }),
  backoffMs: milliseconds({
    min: 0,
    max: HOUR_MS,
    default: 25,
    says: "Wait before another attempt at a target that was tried; doubles each time, with full jitter.",
  }),
  backoffMaxMs: milliseconds({ min: 0, max: HOUR_MS, default: 250, says: "Longest such wait." }),
  retryAfter: flag({
    default: true,
    says: "Wait as long as the answer's Retry-After asks, if that is within the total time or, without one, firstByteMs; else the answer is passed on.",
  }),
  idempotencyKey: flag({
    default: true,
    says: "Whether an Idempotency-Key makes a request repeatable whatever its method.",
  }),
});

const outcomeWord = z.union([statusNumber, z.string()]).superRefine((word, context) => {
  const wrong = judgeOutcome(word);
  if (wrong !== null) context.addIssue({ code: "custom", message: wrong });
});

const escalationSchema = z.strictObject({
  on: z
    .array(outcomeWord)
    .min(1, { error: "must name at least one" })
    .default(["5xx"])
    .describe(
      'Statuses (502, "500-504", "5xx") and classes of failure; a status stands for failures answered with it too.',
    ),
  to: z.string().min(1).describe("Name of another origin, or http://host:port for one with the defaults of origins."),
  anyMethod: flag({
    default: false,
    says: "Also requests that must not be sent twice, as long as nothing of them was sent.",
  }),
  cacheS: seconds({
    min: 0,
    max: 86_400,
    default: 10,
    says: "Longest lifetime of its answers in a cache, whatever they say of it.",
  }),
});

const faultAnswerSchema = z.strictObject({
  on: z
    .array(outcomeWord)
    .min(1, { error: "must name at least one" })
    .optional()
    .describe('Classes of failure, or the statuses they have ("504"). Absent = any failure.'),
  status: z
    .int()
    .min(200, { error: "must be 200 to 599" })
    .max(599, { error: "must be 200 to 599" })
    .describe("Status of the answer."),
  ...answerContent,
});

/** What holds where a route says nothing. */
export const FORWARD_DEFAULTS = {
  // A request with a body or an unsafe method meets the origin's idle timeout at the worst moment; one that answered
  // just now has not reached it.
  unrepeatable: { reuseIfRecentMs: 5000 },
  retry: retrySchema.parse({}),
  // A half-closed client still reads its answer: docs/decisions/0008-half-closed-clients-are-served.md.
  halfClose: "finish",
  connectionAuth: "bound",
  cache: false,
} as const;

/** What a route may say about forwarding. */
export const forwardPolicies = {
  unrepeatable: otherwise(
    unrepeatableSchema,
    FORWARD_DEFAULTS.unrepeatable,
    'Connection for a request that must not be sent twice: "fresh" (opened for it), "standby" (ready, never used), "reuse" (any), or { reuseIfRecentMs } (one that answered within this time, else fresh).',
  ),
  timeouts: timeoutsSchema.optional().describe("Times in place of the origin's."),
  limits: limitsSchema.optional().describe("Sizes of bodies in both directions."),
  retry: z
    .union([z.literal(false), retrySchema])
    .optional()
    .describe("Further attempts at the origin's targets, or false for none. Absent = the defaults below."),
  escalate: z
    .array(escalationSchema)
    .optional()
    .describe(
      "Where a request goes when the origin failed: the first rule that fits and whose origin was not tried yet.",
    ),
  answers: z
    .array(faultAnswerSchema)
    .optional()
    .describe("Answers in place of the proxy's own when all failed: the first that fits."),
  halfClose: otherwise(
    z.enum(["abort", "finish", "propagate"]),
    FORWARD_DEFAULTS.halfClose,
    'What a client means that closes its side while its answer is awaited: "abort" (it left), "finish" (it gets its answer), "propagate" (as finish, and the origin is told).',
  ),
  connectionAuth: otherwise(
    z.enum(["bound", "any", "never"]),
    FORWARD_DEFAULTS.connectionAuth,
    'Which authentication binds an origin connection to one client: "bound" (NTLM, Negotiate, which authenticate connections), "any" (any Authorization), "never".',
  ),
  cache: otherwise(
    z.union([z.boolean(), routeCacheSchema]),
    FORWARD_DEFAULTS.cache,
    "Whether answers are cached: false (nothing of this route is), true (as RFC 9111 has a shared cache do it), or how.",
  ),
};

/** Whether an escalation names an address; names of origins have no colon. */
export function isAddress(to: string): boolean {
  return to.includes(":");
}
