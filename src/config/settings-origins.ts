/**
 * Settings of an origin: its targets, what it sees as Host, and how its connections are kept.
 */
import { z } from "zod";
import { judgeHostValue, parseTarget } from "./addresses.js";
import { count, milliseconds, oneOrMore, text } from "./leaves.js";

const DAY_MS = 24 * 3_600_000;
const U32_MAX = 0xffff_ffff;

const targetAddress = text("http://host:port; a name is resolved once, at start, to all its addresses.", (value) => {
  const parsed = parseTarget(value);
  return parsed.ok ? null : parsed.says;
});

const targetSchema = z.strictObject({
  address: targetAddress,
  weight: count({
    min: 0,
    max: 65_535,
    default: 1,
    says: "Share of the origin's requests, beside the weights of the other targets; 0 = none.",
  }),
});

/** One origin, as the operator writes it. */
export const originSchema = z.strictObject({
  targets: oneOrMore(z.union([targetAddress, targetSchema])).describe(
    "Where the origin is reached: addresses, or objects with address and weight.",
  ),
  host: text(
    'What the origin sees as Host: "client" (what the client asked for), "target" (the target\'s own name and port), or a literal name.',
    (value) => (value === "client" || value === "target" ? null : judgeHostValue(value)),
  ).default("client"),
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
  idleMs: milliseconds({
    min: 0,
    max: DAY_MS,
    default: 4000,
    says: "How long an idle connection is kept; below the 5 s after which Node.js servers close theirs.",
  }),
  ageMs: milliseconds({
    min: 10,
    max: U32_MAX,
    default: 0,
    zeroIsNoLimit: true,
    says: "How old a connection may become before it is no longer reused.",
  }),
  requests: count({
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    default: 0,
    zeroIsNoLimit: true,
    says: "Requests on one connection.",
  }),
  targetConnections: count({
    min: 1,
    max: 10_000_000,
    default: 0,
    zeroIsNoLimit: true,
    says: "Connections to one target, idle ones included; requests beyond wait in the pool's queue.",
  }),
  targetIdle: count({
    min: 0,
    max: 10_000_000,
    default: 1024,
    says: "Idle connections kept to one target, over all shards.",
  }),
});
