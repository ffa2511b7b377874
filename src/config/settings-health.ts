/**
 * Settings of an origin's health: what is asked of its targets, what counts against them, and when that is believed.
 */
import { z } from "zod";
import { judgeHostValue } from "./addresses.js";
import { count, milliseconds, percent, text } from "./leaves.js";
import { judgeStatus } from "./outcomes.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Most of a check's body the core looks at is 64 KiB; what is searched for stays far below. */
const BODY_CONTAINS_CHARACTERS_MAX = 1024;

const DEVIATIONS_MIN = 0.5;
const DEVIATIONS_MAX = 10;
const DEVIATIONS_SAYS = `must be a number, ${DEVIATIONS_MIN} to ${DEVIATIONS_MAX}`;

const STATUS_SAYS = "must be 100 to 599";
/** A status as a number. */
export const statusNumber = z
  .int()
  .min(100, { error: STATUS_SAYS, abort: true })
  .max(599, { error: STATUS_SAYS, abort: true });

/** One status, or a range of them. */
export const statusWord = z.union([statusNumber, z.string()]).superRefine((word, context) => {
  const wrong = judgeStatus(word);
  if (wrong !== null) context.addIssue({ code: "custom", message: wrong });
});

const httpCheckSchema = z.strictObject({
  path: text("What is asked for with GET, e.g. /healthz.", judgeCheckPath),
  host: text("Host of the check; absent = the target's own name and port.", judgeHostValue).optional(),
  statuses: z
    .array(statusWord)
    .min(1, { error: "must name at least one" })
    .default(["200-399"])
    .describe('Statuses that are well: 204, "200-399", "2xx". A redirect is an answer too, so it counts by default.'),
  bodyContains: z
    .string()
    .max(BODY_CONTAINS_CHARACTERS_MAX)
    .default("")
    .describe("What the first 64 KiB of the body must hold; empty = anything."),
});

const LEVEL_SAYS = "must be a whole number, 0 to 4";

const passiveSchema = z.strictObject({
  level: z
    .union([z.literal(0), z.literal(1), z.literal(2), z.literal(3), z.literal(4)], { error: LEVEL_SAYS })
    .default(4)
    .describe(
      "What of real requests counts against a target: 0 nothing, 1 a failed connection, 2 also failed TLS, 3 also silence, 4 also a close before any answer (reused connections excepted).",
    ),
  failures: count({
    min: 1,
    max: 1000,
    default: 5,
    says: "Failures after which a target is down; one alone is too often an accident.",
  }),
  windowMs: milliseconds({
    min: 100,
    max: DAY_MS,
    default: 0,
    zeroMeans: "in a row instead, however long it takes",
    says: "Time within which they must happen.",
  }),
  downMs: milliseconds({
    min: 100,
    max: DAY_MS,
    default: 5000,
    says: "How long a target stays down before requests may try it again; doubles each time it fails again soon.",
  }),
  downMsMax: milliseconds({ min: 100, max: DAY_MS, default: 60_000, says: "Longest it stays down untried." }),
});

const ejectionSchema = z.strictObject({
  intervalMs: milliseconds({
    min: 1000,
    max: HOUR_MS,
    default: 10_000,
    says: "How long good and bad answers are counted before targets are compared.",
  }),
  requestsMin: count({
    min: 1,
    max: 1_000_000,
    default: 100,
    says: "Requests a target must have had in an interval to be compared; fewer say nothing.",
  }),
  targetsMin: count({
    min: 2,
    max: 1000,
    default: 4,
    says: "Targets that must be comparable; among fewer nobody is the odd one out.",
  }),
  deviations: z
    .number({ error: DEVIATIONS_SAYS })
    .min(DEVIATIONS_MIN, { error: DEVIATIONS_SAYS })
    .max(DEVIATIONS_MAX, { error: DEVIATIONS_SAYS })
    .default(1.5)
    .describe(
      "Standard deviations below the mean of all at which a target is ejected. A single bad one among n lies at most √(n - 1) below: 1.7 of 4 targets, 2 of 5.",
    ),
  percentMax: percent({
    min: 1,
    max: 100,
    default: 30,
    says: "Most of the targets that may be ejected at once; one always may.",
  }),
  ejectMs: milliseconds({
    min: 1000,
    max: DAY_MS,
    default: 30_000,
    says: "How long an ejection lasts; doubles each time the target is ejected again soon.",
  }),
  ejectMsMax: milliseconds({ min: 1000, max: DAY_MS, default: 300_000, says: "Longest it may last." }),
});

/** Health of one origin, as the operator writes it. At most one of http and tcp is there (check-origins.ts). */
export const healthSchema = z.strictObject({
  http: httpCheckSchema.optional().describe("Check each target with a request."),
  tcp: z.literal(true).optional().describe("Check each target with a connection."),
  intervalMs: milliseconds({
    min: 100,
    max: HOUR_MS,
    default: 5000,
    says: "From one check of a target to the next.",
  }),
  jitterPercent: percent({
    min: 0,
    max: 100,
    default: 20,
    says: "How far each interval lies around intervalMs, so that targets are not all asked at once.",
  }),
  timeoutMs: milliseconds({
    min: 10,
    max: HOUR_MS,
    default: 2000,
    says: "How long one check may take, connection included.",
  }),
  rise: count({ min: 1, max: 100, default: 2, says: "Good checks in a row after which a target is up." }),
  fall: count({ min: 1, max: 100, default: 3, says: "Bad checks in a row after which a target is down." }),
  passive: passiveSchema.prefault({}).describe("What real requests say about a target, without any check."),
  ejection: z
    .union([z.literal(false), ejectionSchema])
    .default(false)
    .describe("Take targets out that do worse than the others, or false; it needs several targets and much traffic."),
  panicPercent: percent({
    min: 0,
    max: 100,
    default: 50,
    says: "With fewer targets up than this share, health is not believed and all are used: rather some errors than all load on the rest.",
  }),
});

function judgeCheckPath(path: string): string | null {
  if (!path.startsWith("/")) return `"${path}" must begin with "/"`;
  return /^[\x21-\x22\x24-\x7e]{1,2048}$/.test(path)
    ? null
    : "must be visible ASCII without # (at most 2048 characters)";
}
