/**
 * What Millrace says about its own origin connections, read from its admin port.
 */
import type { Serving } from "./candidates.js";

export interface OriginUse {
  /** Requests sent to origins. */
  readonly sent: number;
  /** Of these, over a connection that had carried one before. */
  readonly reused: number;
}

/** Reads `GET /stats`. Throws when the counters are not in it. */
export async function readOriginUse(serving: Serving): Promise<OriginUse> {
  const answer = await fetch(`http://127.0.0.1:${serving.adminPort}/stats`);
  const stats = (await answer.json()) as { all?: { counters?: Record<string, number> } };
  const [sent, reused] = ["origin_requests", "origin_requests_reused"].map((name) => stats.all?.counters?.[name]);
  if (sent === undefined || reused === undefined) {
    throw new Error("millrace: its stats do not say how many connections were reused");
  }
  return { sent, reused };
}
