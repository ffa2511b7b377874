/**
 * The stale race at length: an origin that ends its connections 0 to 5 ms after an answer, by a close or a reset, against
 * clients that send repeatable and unrepeatable requests into that time. Counts; the caller judges.
 */
import { reply, serve } from "./behaviours.js";
import type { RawClient } from "./client.js";
import type { OriginConnection, Script } from "./origin.js";
import { Scene } from "./scene.js";
import { clientsOf } from "./traffic.js";
import { pause } from "./wire.js";

/** Longest the origin waits with its close, and a client with its next request. */
const AROUND_MS = 5;
const CLIENTS = 16;
const METHODS = ["GET", "HEAD", "PUT", "DELETE", "POST"] as const;

/** What a race came to. */
export interface RaceResult {
  readonly runs: number;
  /** Requests that may be repeated and did not get their own 200. */
  readonly failed: readonly string[];
  /** POSTs the origin executed more than once. */
  readonly twice: readonly string[];
  /** POSTs that were answered 502 with the reason. */
  readonly lost: number;
  /** POSTs that were answered anything else, or a 502 without a reason. */
  readonly unexplained: readonly string[];
  /** Requests the proxy repeated, and dead connections it saw before it wrote to them. */
  readonly repeats: number;
  readonly seenInTime: number;
}

function endSoon(connection: OriginConnection): void {
  // Behind the poll phase: what has already arrived has been read, so that only the true race is left.
  const end = (): void => {
    if (connection.wire.unread.length > 0) return;
    if (connection.id % 2 === 0) connection.wire.socket.destroy();
    else connection.wire.socket.resetAndDestroy();
  };
  setTimeout(() => setImmediate(end), Math.random() * AROUND_MS);
}

/** Runs `runs` requests over 16 clients against a proxy of two workers. */
export async function raceStale(runs: number): Promise<RaceResult> {
  const executed = new Map<string, number>();
  const origin: Script = serve(async (asked, connection) => {
    if (asked.method === "POST") executed.set(asked.target, (executed.get(asked.target) ?? 0) + 1);
    await connection.send(reply(200, asked.method === "HEAD" ? "" : asked.target));
    endSoon(connection);
  });
  const scene = await Scene.open({ workers: 2, origin, originOptions: { record: false } });
  const tally = { failed: [] as string[], unexplained: [] as string[], lost: 0 };
  try {
    const clients = await clientsOf(scene, CLIENTS, false);
    const each = Math.ceil(runs / CLIENTS);
    await Promise.all(clients.map((client, who) => play(client, who, each, tally)));
    const { counters } = (await scene.proxy.stats()).all;
    const twice = [...executed].filter(([, count]) => count > 1).map(([target]) => target);
    const told = { repeats: counters.origin_repeats, seenInTime: counters.origin_new_stale };
    await scene.end();
    return { runs: each * CLIENTS, twice, ...tally, ...told };
  } finally {
    await scene.abandon();
  }
}

async function play(
  client: RawClient,
  who: number,
  count: number,
  tally: { readonly failed: string[]; readonly unexplained: string[]; lost: number },
): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const method = METHODS[n % METHODS.length] ?? "GET";
    const target = `/${who}/${n}`;
    const withBody = method === "PUT" || method === "POST";
    const answer = await (withBody ? client.post(`${method} ${target}`, "once") : client.ask(`${method} ${target}`));
    const good = answer.status === 200 && (method === "HEAD" || answer.body.toString() === target);
    if (!good && method !== "POST") tally.failed.push(`${method} ${target}: ${answer.status}`);
    if (!good && method === "POST") {
      const explained = answer.status === 502 && /error=\w+/.test(answer.fields.one("proxy-status") ?? "");
      if (explained) tally.lost += 1;
      else tally.unexplained.push(`${target}: ${answer.head}`);
    }
    await pause(Math.random() * AROUND_MS);
  }
}
