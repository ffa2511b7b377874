/**
 * What Millrace says about its own origin connections, read from its admin port.
 */
import type { Serving } from "./candidates.js";

export interface OriginConnections {
  /** Exchanges that went over a connection used before. */
  readonly reused: number;
  /** Connections opened. */
  readonly opened: number;
}

/** Reads `GET /stats`. Throws when the counters are not in it. */
export async function readOriginConnections(serving: Serving): Promise<OriginConnections> {
  const answer = await fetch(`http://127.0.0.1:${serving.adminPort}/stats`);
  const stats = (await answer.json()) as { total?: { counters?: Record<string, number> } };
  const counters = stats.total?.counters ?? {};
  const [reused, opened] = [counters["origin_connections_reused"], counters["origin_connections_opened"]];
  if (reused === undefined || opened === undefined)
    throw new Error("millrace: its stats do not say how many connections were reused");
  return { reused, opened };
}
