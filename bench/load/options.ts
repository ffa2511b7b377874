/**
 * The command line of the load bench: which works, which candidates, how many rounds and for how long.
 */
import { parseArgs } from "node:util";

/** What a proxy is made to do; works.ts says how. */
export const WORK_NAMES = [
  "forward",
  "forward2",
  "large",
  "connect",
  "idle",
  "reuse",
  "tls",
  "tls-large",
  "tls-handshake",
  "h2",
  "tls-idle",
  "hit",
  "hit-large",
  "miss",
] as const;
export type WorkName = (typeof WORK_NAMES)[number];

/** What is measured; candidates.ts says how each is started. The last three are Millrace with other settings. */
export const CANDIDATE_NAMES = ["floor", "haproxy", "nginx", "uws", "millrace", "bare", "guarded", "caching"] as const;
export type CandidateName = (typeof CANDIDATE_NAMES)[number];

export interface Options {
  readonly only: readonly WorkName[];
  readonly candidates: readonly CandidateName[];
  /** How often every candidate has its turn; many short turns compare better than few long ones, because machines drift. 1 … 99. */
  readonly rounds: number;
  /** How long one turn under load lasts, in seconds. 1 … 600. */
  readonly seconds: number;
  /** Client connections opened for the memory figure. 100 … 25,000: they leave from one address's ephemeral ports. */
  readonly idleConnections: number;
  /** Write the report into the folder of results, as JSON and as Markdown. */
  readonly write: boolean;
}

export const USAGE = `Measures the whole proxy under load, beside the kernel's floor and beside its peers.

  --only LIST          works to run, of ${WORK_NAMES.join(",")} (default: all)
  --candidates LIST    what to measure, of ${CANDIDATE_NAMES.join(",")} (default: all that are installed)
  --rounds N           turns of every candidate (default 5)
  --seconds N          length of a turn under load (default 3)
  --connections N      idle connections of the memory figure (default 10000)
  --no-write           print the table, but leave bench/load/results as it is
  --help               this text`;

/** The command line cannot be understood; the message says why. */
export class UsageError extends Error {}

function oneOf<Name extends string>(flag: string, list: string, names: readonly Name[]): Name[] {
  return list.split(",").map((word) => {
    const name = names.find((known) => known === word.trim());
    if (name === undefined) throw new UsageError(`--${flag}: "${word}" is none of ${names.join(", ")}`);
    return name;
  });
}

function whole(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new UsageError(`--${flag}: "${text}" is not a whole number from ${min} to ${max}`);
  }
  return value;
}

/** Reads the command line; returns "help" when that was asked for. Throws {@link UsageError}. */
export function readOptions(args: readonly string[]): Options | "help" {
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        only: { type: "string", default: WORK_NAMES.join(",") },
        candidates: { type: "string", default: CANDIDATE_NAMES.join(",") },
        rounds: { type: "string", default: "5" },
        seconds: { type: "string", default: "3" },
        connections: { type: "string", default: "10000" },
        "no-write": { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values["help"] === true) return "help";
  return {
    only: oneOf("only", String(values["only"]), WORK_NAMES),
    candidates: oneOf("candidates", String(values["candidates"]), CANDIDATE_NAMES),
    rounds: whole("rounds", String(values["rounds"]), 1, 99),
    seconds: whole("seconds", String(values["seconds"]), 1, 600),
    idleConnections: whole("connections", String(values["connections"]), 100, 25_000),
    write: values["no-write"] !== true,
  };
}
