/**
 * Settings of an origin: its targets, what it sees as Host, how its connections are kept and shared, and how a target is
 * chosen. Its health is in settings-health.ts; how its names are resolved is the `dns` section at the end.
 */
import { isIP } from "node:net";
import { z } from "zod";
import { judgeHostValue, judgeNameServer, parseTarget } from "./addresses.js";
import { isToken } from "./fields.js";
import { count, flag, milliseconds, oneOrMore, percent, seconds, text } from "./leaves.js";
import { MATCH_WORDS, type MatchWord } from "./matching.js";
import { PRESET_NAMES } from "./presets.js";
import { healthSchema } from "./settings-health.js";
import { originVersions } from "./settings-http2.js";
import { originTlsSchema } from "./settings-tls.js";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_S = 366 * 86_400;
const U32_MAX = 0xffff_ffff;
const CONNECTIONS_MAX = 10_000_000;
/** Highest tier; the plan has a byte for it. */
const TIER_MAX = 255;

const targetAddress = text(
  "http://host:port, https://host:port, or srv+http://_service._tcp.name (srv+https://) for what SRV records say; a name stands for all its addresses and is looked up again when its time to live is over.",
  (value) => {
    const parsed = parseTarget(value);
    return parsed.ok ? null : parsed.says;
  },
);

/** The name of a zone: of the proxy (at the top) and of targets. */
export const zoneName = text("A name of your own for a place, e.g. eu-west-1a.", (value) =>
  /^[\x21-\x7e]{1,64}$/.test(value) ? null : `"${value}" must be 1 to 64 visible ASCII characters`,
);

const TIER_SAYS = `must be "primary", "backup" or a whole number, 0 to ${TIER_MAX}`;

const targetSchema = z.strictObject({
  address: targetAddress,
  weight: count({
    min: 0,
    max: 65_535,
    default: 1,
    says: "Share of the origin's requests, beside the weights of the other targets; 0 = none. Multiplies the weights of SRV records.",
  }),
  tier: z
    .union([z.enum(["primary", "backup"]), z.int().min(0, { error: TIER_SAYS }).max(TIER_MAX, { error: TIER_SAYS })], {
      error: TIER_SAYS,
    })
    .default("primary")
    .describe('"primary" (0) is used first; "backup" (1), 2 … only while no target of a lower tier may be used.'),
  zone: zoneName.optional().describe("Where the target stands; those of the proxy's own zone are preferred."),
});

const fieldToken = (says: string) =>
  text(says, (value) =>
    isToken(value) && value.length <= 64 ? null : `"${value}" must be a token of at most 64 characters`,
  );

const BALANCE_SAYS = 'must be "roundRobin", "leastConnections", "twoChoices" or an object with consistentHash';
const HASH_SAYS = 'must be "path", "clientAddress", or an object with header or cookie';

const consistentHashSchema = z.strictObject({
  consistentHash: z
    .union(
      [
        z.enum(["path", "clientAddress"]),
        z.strictObject({ header: fieldToken("Name of a header field.") }),
        z.strictObject({ cookie: fieldToken("Name of a cookie.") }),
      ],
      { error: HASH_SAYS },
    )
    .describe("What decides: the same path, client address, header or cookie goes to the same target."),
  boundPercent: percent({
    min: 101,
    max: 10_000,
    default: 125,
    says: "Most a target may have of its even share before its requests go to the next; nearer to 100 is more even, farther more faithful.",
  }),
});

const stickySchema = z.strictObject({
  cookie: fieldToken("Name of the cookie, e.g. millrace."),
  maxAgeS: seconds({
    min: 1,
    max: YEAR_S,
    default: 0,
    zeroMeans: "as long as the browser is open",
    says: "How long a client keeps the cookie.",
  }),
});

const matchWord = z.enum(Object.keys(MATCH_WORDS) as [MatchWord, ...MatchWord[]]);

/** One origin, as the operator writes it. */
export const originSchema = z.strictObject({
  preset: z
    .enum(PRESET_NAMES)
    .optional()
    .describe(
      'Values for what is not written here: "longIdle" = idleMs 300000, firstByteMs and betweenBytesMs 30000, for origins that keep idle connections for minutes.',
    ),
  targets: oneOrMore(z.union([targetAddress, targetSchema])).describe(
    "Where the origin is reached: addresses, or objects with address, weight, tier and zone.",
  ),
  host: text(
    'What the origin sees as Host: "client" (what the client asked for), "target" (the target\'s own name and port), or a literal name.',
    (value) => (value === "client" || value === "target" ? null : judgeHostValue(value)),
  ).default("client"),
  ...timesOfOrigin(),
  ...connectionsOfOrigin(),
  match: oneOrMore(matchWord)
    .default(["ip"])
    .describe(
      `What must be equal before a connection is shared: ${Object.entries(MATCH_WORDS)
        .map(([word, says]) => `${word} (${says})`)
        .join(", ")}.`,
    ),
  balance: z
    .union([z.enum(["roundRobin", "leastConnections", "twoChoices"]), consistentHashSchema], { error: BALANCE_SAYS })
    .default("roundRobin")
    .describe(
      'How a target is chosen: "roundRobin" (by weight, predictable), "leastConnections", "twoChoices" (the better of two by latency), or { consistentHash }.',
    ),
  sticky: z
    .union([z.literal(false), stickySchema])
    .default(false)
    .describe("A cookie that brings a client back to its target while that may be used, or false."),
  slowStartMs: milliseconds({
    min: 100,
    max: HOUR_MS,
    default: 0,
    zeroMeans: "at once",
    says: "How long a target that came back takes to its full share.",
  }),
  health: healthSchema.prefault({}).describe("Which targets may be used."),
  httpVersions: originVersions,
  tls: originTlsSchema
    .optional()
    .describe(
      "How https:// targets are asked and verified. Absent = as the defaults below say; http:// targets have none.",
    ),
});

function timesOfOrigin() {
  return {
    connectMs: milliseconds({ min: 10, max: 600_000, default: 3000, says: "Give up on a new connection; then 504." }),
    firstByteMs: milliseconds({
      min: 10,
      max: DAY_MS,
      default: 30_000,
      says: "From the request sent to the first byte of the answer; then 504.",
    }),
    betweenBytesMs: milliseconds({
      min: 10,
      max: DAY_MS,
      default: 30_000,
      says: "Between two pieces of an answer; then the client's connection is closed, so that it sees the answer is not whole.",
    }),
    totalMs: milliseconds({
      min: 10,
      max: DAY_MS,
      default: 0,
      zeroIsNoLimit: true,
      says: "From a request's head to the end of its answer, over all attempts and waits; off, so that long downloads live.",
    }),
    idleMs: milliseconds({
      min: 0,
      max: DAY_MS,
      default: 4000,
      says: "How long an idle connection is kept; below the 5 s after which Node.js servers close theirs.",
    }),
    idleLearn: flag({
      default: true,
      says: "Leave an idle connection before the origin does, as far as its Keep-Alive field and its habits tell; never later than idleMs.",
    }),
    ageMs: milliseconds({
      min: 10,
      max: U32_MAX,
      default: 0,
      zeroIsNoLimit: true,
      says: "How old a connection may become before it is no longer reused.",
    }),
    ageJitterPercent: percent({
      min: 0,
      max: 90,
      default: 30,
      says: "How far each connection's own age limit lies around ageMs, so that they do not all end at once.",
    }),
    tcpKeepaliveMs: milliseconds({
      min: 1000,
      max: DAY_MS,
      default: 0,
      zeroMeans: "never",
      says: "Silence after which TCP asks whether the other end lives; for long idle times across firewalls.",
    }),
    tcpUserTimeoutMs: milliseconds({
      min: 1000,
      max: DAY_MS,
      default: 0,
      zeroMeans: "the system's time",
      says: "How long sent bytes may stay unacknowledged before the connection is given up.",
    }),
  };
}

function connectionsOfOrigin() {
  return {
    requests: count({
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      default: 0,
      zeroIsNoLimit: true,
      says: "Requests on one connection.",
    }),
    connections: count({
      min: 1,
      max: CONNECTIONS_MAX,
      default: 0,
      zeroIsNoLimit: true,
      says: "Connections to all targets together, idle ones included; requests beyond wait in the pool's queue.",
    }),
    targetConnections: count({
      min: 1,
      max: CONNECTIONS_MAX,
      default: 0,
      zeroIsNoLimit: true,
      says: "Connections to one target, idle ones included; requests beyond wait in the pool's queue.",
    }),
    targetIdle: count({
      min: 0,
      max: CONNECTIONS_MAX,
      default: 1024,
      says: "Idle connections kept to one target, over all shards.",
    }),
    standby: count({
      min: 0,
      max: 10_000,
      default: 0,
      says: "Connections kept ready to each target that have never carried a request: a warm start, and what routes with unrepeatable: standby take. Each costs the target a connection that does nothing.",
    }),
    localAddress: text(
      "Our own end of its connections: an IP address of this host. Absent = the system chooses.",
      (value) => (isIP(value) === 0 ? `"${value}" is not an IP address of this host` : null),
    ).optional(),
  };
}

/** How names of targets are resolved, for the whole process: a `DnsPolicy` (shared/policies.ts). */
export const dnsSchema = z.strictObject({
  refreshMinMs: milliseconds({
    min: 100,
    max: DAY_MS,
    default: 1000,
    says: "Soonest a name is asked for again, however short its time to live: 0 would be a question without end.",
  }),
  refreshMaxMs: milliseconds({
    min: 100,
    max: DAY_MS,
    default: 300_000,
    says: "Latest a name is asked for again, however long its time to live, so that a move is seen within it.",
  }),
  negativeMs: milliseconds({
    min: 100,
    max: DAY_MS,
    default: 5000,
    says: "After a name that was not found or not answered, when to ask again; the last good addresses stay in use.",
  }),
  timeoutMs: milliseconds({ min: 10, max: 60_000, default: 2000, says: "How long one question may take." }),
  servers: z
    .array(text("An IP address, with :port unless it is 53.", judgeNameServer))
    .default([])
    .describe("Name servers to ask, in this order; empty = those of this host."),
});
