/**
 * What Millrace promises, as ratios of one run or as plain bounds, and whether a run keeps it.
 */
import type { CandidateName, WorkName } from "./options.js";

/** At most (or at least) this much. */
export interface Target {
  readonly work: WorkName;
  /** Whose figure it is; absent = Millrace with its defaults. */
  readonly whose?: CandidateName;
  /** Compared with this candidate's figure of the same round, or with the better of them; a plain bound when absent. */
  readonly versus?: CandidateName | readonly CandidateName[];
  readonly bound: number;
  readonly sense: "at most" | "at least";
  readonly says: string;
}

export const TARGETS: readonly Target[] = [
  {
    work: "forward",
    versus: "haproxy",
    bound: 0.92,
    sense: "at most",
    says: "forward: CPU per request × HAProxy",
  },
  {
    work: "forward",
    versus: "floor",
    bound: 1.18,
    sense: "at most",
    says: "forward: CPU per request × floor",
  },
  {
    work: "forward",
    whose: "guarded",
    versus: "bare",
    bound: 1.02,
    sense: "at most",
    says: "forward with checks, budget and explain on: CPU per request × Millrace without",
  },
  {
    work: "large",
    versus: "haproxy",
    bound: 0.7,
    sense: "at most",
    says: "1 MiB bodies: CPU per MiB × HAProxy",
  },
  {
    work: "connect",
    versus: "nginx",
    bound: 1.05,
    sense: "at most",
    says: "connection per request: CPU × nginx",
  },
  { work: "idle", bound: 1_024, sense: "at most", says: "idle client connections: KB resident per 1,000" },
  { work: "reuse", bound: 99.9, sense: "at least", says: "origin connections reused, %" },
  {
    work: "tls",
    versus: ["haproxy", "nginx"],
    bound: 0.95,
    sense: "at most",
    says: "TLS forward: CPU per request × the better of HAProxy and nginx",
  },
  {
    work: "tls-large",
    versus: "haproxy",
    bound: 1,
    sense: "at most",
    says: "1 MiB bodies over TLS: CPU per MiB × HAProxy",
  },
  {
    work: "tls-handshake",
    versus: "nginx",
    bound: 0.8,
    sense: "at most",
    says: "full handshake and one request: CPU × nginx",
  },
  {
    work: "h2",
    versus: "haproxy",
    bound: 1.1,
    sense: "at most",
    says: "HTTP/2 forward: CPU per request × HAProxy",
  },
  {
    work: "h2",
    versus: "nginx",
    bound: 0.8,
    sense: "at most",
    says: "HTTP/2 forward: CPU per request × nginx",
  },
  {
    work: "forward",
    whose: "caching",
    versus: "bare",
    bound: 1.05,
    sense: "at most",
    says: "forward of what is not cacheable on a caching route: CPU per request × the same without",
  },
  { work: "hit", versus: "nginx", bound: 0.6, sense: "at most", says: "cache hit: CPU per request × nginx" },
  { work: "hit", versus: "floor", bound: 1.25, sense: "at most", says: "cache hit: CPU per request × floor" },
  { work: "hit-large", versus: "nginx", bound: 1, sense: "at most", says: "cache hit of 1 MiB: CPU per MiB × nginx" },
  { work: "miss", versus: "nginx", bound: 0.5, sense: "at most", says: "miss that stores: CPU per request × nginx" },
  { work: "tls-idle", bound: 16_384, sense: "at most", says: "idle TLS connections: KB resident per 1,000" },
];

export type Verdict = "met" | "missed" | "not measured";

/** Judges a figure; undefined means there is none. */
export function judge(target: Target, value: number | undefined): Verdict {
  if (value === undefined || Number.isNaN(value)) return "not measured";
  const kept = target.sense === "at most" ? value <= target.bound : value >= target.bound;
  return kept ? "met" : "missed";
}
