/**
 * The stale race at length: an origin that ends its connections 0 to 5 ms after an answer, by a close or a reset, against
 * clients that send repeatable and unrepeatable requests into that time. Counts; the caller judges.
 */
import { reply, serve } from "./behaviours.js";
import { type RawClient, request, requestWithBody } from "./client.js";
import type { OriginConnection, Script } from "./origin.js";
import { Scene, type SceneOptions } from "./scene.js";
import { clientsOf } from "./traffic.js";
import { PATIENCE_MS, pause } from "./wire.js";

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

function endSoon(connection: OriginConnection, byReset: boolean): void {
  // Behind the poll phase: what has already arrived has been read, so that only the true race is left.
  const end = (): void => {
    if (connection.wire.unread.length > 0) return;
    if (byReset) void connection.reset();
    else connection.wire.socket.destroy();
  };
  setTimeout(() => setImmediate(end), Math.random() * AROUND_MS);
}

/** Where and how the race is run. */
export interface RaceOptions {
  readonly host?: string;
  readonly originOptions?: SceneOptions["originOptions"];
  readonly originSettings?: SceneOptions["originSettings"];
  /** How long a client waits for an answer. */
  readonly patienceMs?: number;
  /** False: the origin only ever closes. A reset takes back an answer that was lost on its way. */
  readonly resets?: boolean;
}

/** Runs `runs` requests over 16 clients against a proxy of two workers. */
export async function raceStale(runs: number, options: RaceOptions = {}): Promise<RaceResult> {
  const { host, originSettings, patienceMs = PATIENCE_MS, resets = true } = options;
  const executed = new Map<string, number>();
  const origin: Script = serve(async (asked, connection) => {
    if (asked.method === "POST") executed.set(asked.target, (executed.get(asked.target) ?? 0) + 1);
    await connection.send(reply(200, asked.method === "HEAD" ? "" : asked.target));
    endSoon(connection, resets && connection.id % 2 === 1);
  });
  const originOptions = { ...options.originOptions, record: false, ...(host === undefined ? {} : { host }) };
  const scene = await Scene.open({ workers: 2, origin, originOptions, ...(originSettings && { originSettings }) });
  const tally = { failed: [] as string[], unexplained: [] as string[], lost: 0 };
  try {
    const clients = await clientsOf(scene, CLIENTS, false);
    const each = Math.ceil(runs / CLIENTS);
    await Promise.all(clients.map((client, who) => play(client, who, each, tally, patienceMs)));
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
  patienceMs: number,
): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const method = METHODS[n % METHODS.length] ?? "GET";
    const target = `/${who}/${n}`;
    const withBody = method === "PUT" || method === "POST";
    const line = `${method} ${target}`;
    await client.send(withBody ? requestWithBody(line, "once") : request(line));
    const answer = await client.answer(method, patienceMs);
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
