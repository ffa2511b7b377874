/**
 * The works: what a proxy is made to do, and how one turn of it is taken. A turn yields figures; which of them a work is
 * judged by, and what is promised for it, is said in targets.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Candidate, floorProgram, proxyCpus, type Serving } from "./candidates.js";
import { applyStreams, STREAMS } from "./h2load.js";
import type { Placement } from "./machine.js";
import type { Options, WorkName } from "./options.js";
import { start, stop, untilSaid } from "./processes.js";
import { applyHandshakes } from "./shake.js";
import { readOriginUse } from "./stats.js";
import { cpuBetween, readBusy, readCpu, readResidentKb } from "./usage.js";
import { applyLoad, type LoadReport } from "./wrk.js";

/** What one turn yields; a work fills in those it has. */
export interface Figures {
  /** CPU microseconds (user + system, all threads) of the proxy per request, or per MiB of the large work. */
  readonly cpuUs?: number;
  readonly requestsPerSecond?: number;
  /** Latency in microseconds, as the clients saw it. */
  readonly p50Us?: number;
  readonly p99Us?: number;
  /** Resident kilobytes per 1,000 idle client connections. */
  readonly idleKb?: number;
  /** Percentage of forwarded requests that went over a connection used before. */
  readonly reusePercent?: number;
}

export interface Turn {
  readonly figures: Figures;
  /** Share of the proxy's CPUs that something else used meanwhile, 0 … 1: a disturbed turn is a rough one. */
  readonly foreign: number;
  /** What went wrong; anything here makes the turn worthless. */
  readonly faults: readonly string[];
}

/** Load on connections that are kept, or closed after each answer. */
interface LoadWork {
  readonly kind: "load";
  readonly path: string;
  readonly connections: number;
  readonly closing: boolean;
  readonly tls: boolean;
  /** Speak HTTP/2, with many requests at once on each connection. */
  readonly http2?: true;
  /** The answers are cached; `unique`: each request is for something that is not. */
  readonly cached?: "same" | "unique";
}
/** Many connections that each had one exchange and then rest. */
interface IdleWork {
  readonly kind: "idle";
  readonly tls: boolean;
}
/** Load like that of `forward`, counted by Millrace itself. */
interface ReuseWork {
  readonly kind: "reuse";
  readonly tls: false;
}

export type Work = (LoadWork | IdleWork | ReuseWork) & {
  readonly name: WorkName;
  readonly title: string;
  readonly workers: number;
  /** The figure that ratios are made of. */
  readonly judged: "cpuUs" | "idleKb" | "reusePercent";
};

const SMALL = "/128";
const LARGE = `/${1024 * 1024}`;
const SMALL_LOAD: LoadWork = { kind: "load", path: SMALL, connections: 64, closing: false, tls: false };
const WARM_SECONDS = 1;
const HOLD_MS_MAX = 60_000;
const SETTLE_MS = 500;

export const WORKS: readonly Work[] = [
  {
    name: "forward",
    title: "forward, 128 B, 64 kept connections",
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
  },
  {
    name: "forward2",
    title: "the same, 2 workers",
    workers: 2,
    judged: "cpuUs",
    ...SMALL_LOAD,
  },
  {
    name: "large",
    title: "forward, 1 MiB, 16 kept connections",
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
    path: LARGE,
    connections: 16,
  },
  {
    name: "connect",
    title: "a connection per request, 128 B, 64 at once",
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
    closing: true,
  },
  { name: "idle", title: "idle clients after one request", workers: 1, judged: "idleKb", kind: "idle", tls: false },
  {
    name: "reuse",
    title: "reuse, 64 clients, 2 workers",
    workers: 2,
    judged: "reusePercent",
    kind: "reuse",
    tls: false,
  },
  {
    name: "tls",
    title: "TLS forward, 128 B, 64 kept connections",
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
    tls: true,
  },
  {
    name: "tls-large",
    title: "TLS forward, 1 MiB, 16 kept connections",
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
    path: LARGE,
    connections: 16,
    tls: true,
  },
  {
    name: "tls-handshake",
    title: "a full TLS handshake per request, 128 B, 64 at once",
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
    closing: true,
    tls: true,
  },
  {
    name: "h2",
    title: `HTTP/2 over TLS, 128 B, 10 connections × ${STREAMS} streams`,
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
    connections: 10,
    tls: true,
    http2: true,
  },
  {
    name: "tls-idle",
    title: "idle TLS clients after one request",
    workers: 1,
    judged: "idleKb",
    kind: "idle",
    tls: true,
  },
  {
    name: "hit",
    title: "cache hit, 128 B, 64 kept connections",
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
    cached: "same",
  },
  {
    name: "hit-large",
    title: "cache hit, 1 MiB, 16 kept connections",
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
    path: LARGE,
    connections: 16,
    cached: "same",
  },
  {
    name: "miss",
    title: "cache miss that stores, 1 KiB, each of its own",
    workers: 1,
    judged: "cpuUs",
    ...SMALL_LOAD,
    path: "/1024",
    cached: "unique",
  },
];

/** What a turn needs to know besides its work. */
export interface Scene {
  readonly options: Options;
  readonly place: Placement;
  readonly originPort: number;
  /** PEM file of certificate and key, when a work wants TLS. */
  readonly identity?: string;
}

/** All turns of one candidate at one work. */
export interface Result {
  readonly candidate: Candidate;
  readonly turns: Turn[];
}

/** Takes `options.rounds` turns of every candidate, interleaved, in turning order, and returns them by candidate. */
export async function takeTurns(
  work: Work,
  candidates: readonly Candidate[],
  scene: Scene,
  tell: (line: string) => void,
): Promise<Result[]> {
  const taking = candidates.filter((candidate) => takesPart(candidate, work));
  const results: Result[] = taking.map((candidate) => ({ candidate, turns: [] }));
  // Memory given to idle clients is never given back, so that work wants a new process each turn; load wants a warm one.
  const lasting = new Map<Candidate, Serving>();
  if (work.kind !== "idle") {
    for (const candidate of taking) {
      const serving = await begin(candidate, work, scene);
      lasting.set(candidate, serving);
      if (work.kind === "load") await loadOn(serving, scene, WARM_SECONDS, work);
    }
  }
  for (let round = 0; round < scene.options.rounds; round++) {
    const order = round % 2 === 0 ? results : [...results].reverse();
    for (const { candidate, turns } of order) {
      const serving = lasting.get(candidate) ?? (await begin(candidate, work, scene));
      const turn = await takeTurn(work, serving, scene);
      turns.push(turn);
      tell(`${work.name} ${round + 1}/${scene.options.rounds} ${candidate.name}: ${describe(turn)}`);
      if (!lasting.has(candidate)) await serving.stop();
    }
  }
  for (const serving of lasting.values()) await serving.stop();
  return results;
}

/** Reuse is counted by Millrace itself; TLS is not spoken by all, and not all cache. */
function takesPart({ name, works, speaksTls, caches }: Candidate, work: Work): boolean {
  if (work.tls && speaksTls !== true) return false;
  const cached = work.kind === "load" ? work.cached : undefined;
  if (cached !== undefined && caches?.includes(cached) !== true) return false;
  return (works === undefined || works.includes(work.name)) && (work.kind !== "reuse" || name === "millrace");
}

function begin(candidate: Candidate, work: Work, scene: Scene): Promise<Serving> {
  const cpus = proxyCpus(scene.place, work.workers);
  const secure = work.tls && scene.identity !== undefined ? { identity: scene.identity } : {};
  const caching = work.kind === "load" && work.cached !== undefined ? { caching: true } : {};
  return candidate.begin({ workers: work.workers, originPort: scene.originPort, cpus, ...secure, ...caching });
}

function takeTurn(work: Work, serving: Serving, scene: Scene): Promise<Turn> {
  switch (work.kind) {
    case "load":
      return takeLoadTurn(work, serving, scene);
    case "idle":
      return takeIdleTurn(serving, scene, work.tls);
    case "reuse":
      return takeReuseTurn(serving, scene);
  }
}

/** Load on a proxy: that of a work, or the small one for works of another kind. */
function loadOn(serving: Serving, scene: Scene, seconds: number, work: LoadWork = SMALL_LOAD): Promise<LoadReport> {
  const { path, connections, closing, tls, http2, cached } = work;
  const unique = cached === "unique" ? { unique: true } : {};
  const load = { port: serving.port, path, connections, closing, tls, seconds, cpus: scene.place.load, ...unique };
  if (http2) return applyStreams(load);
  return closing && tls ? applyHandshakes(floorProgram("shake"), load) : applyLoad(load);
}

async function takeLoadTurn(work: LoadWork & Work, serving: Serving, scene: Scene): Promise<Turn> {
  const cpus = proxyCpus(scene.place, work.workers);
  const pids = serving.pids();
  const [cpuBefore, busyBefore, begun] = [readCpu(pids), readBusy(cpus), performance.now()];
  const report = await loadOn(serving, scene, scene.options.seconds, work);
  const own = cpuBetween(cpuBefore, readCpu(pids));
  const lasted = (performance.now() - begun) * 1e6 * cpus.length;
  const foreign = lasted > 0 ? Math.max(0, readBusy(cpus) - busyBefore - own) / lasted : 0;
  const { requests, requestsPerSecond, p50Us, p99Us, faults } = report;
  const seen = p50Us === undefined || p99Us === undefined ? {} : { p50Us, p99Us };
  return { figures: { cpuUs: own / 1_000 / requests, requestsPerSecond, ...seen }, foreign, faults };
}

async function takeIdleTurn(serving: Serving, scene: Scene, tls: boolean): Promise<Turn> {
  const { idleConnections } = scene.options;
  await loadOn(serving, scene, WARM_SECONDS, { ...SMALL_LOAD, tls });
  await sleep(SETTLE_MS);
  const before = readResidentKb(serving.pids());
  const args = [String(serving.port), String(idleConnections), SMALL];
  const how = { cpus: scene.place.load, files: idleConnections + 100, stdin: true };
  const holder = start("hold", floorProgram(tls ? "hold-tls" : "hold"), args, how);
  await untilSaid(holder, /^holding \d+$/m, HOLD_MS_MAX);
  await sleep(SETTLE_MS);
  const grown = readResidentKb(serving.pids()) - before;
  holder.child.stdin?.end();
  const closed = Number((await untilSaid(holder, /^closed (\d+)$/m, HOLD_MS_MAX))[1]);
  await stop(holder);
  const faults = closed > 0 ? [`${closed} of ${idleConnections} connections were closed instead of kept`] : [];
  return { figures: { idleKb: (grown / idleConnections) * 1_000 }, foreign: 0, faults };
}

async function takeReuseTurn(serving: Serving, scene: Scene): Promise<Turn> {
  const before = await readOriginUse(serving);
  const { requestsPerSecond, p50Us, p99Us, faults } = await loadOn(serving, scene, scene.options.seconds);
  const after = await readOriginUse(serving);
  const reusePercent = ((after.reused - before.reused) / (after.sent - before.sent)) * 100;
  const seen = p50Us === undefined || p99Us === undefined ? {} : { p50Us, p99Us };
  return { figures: { reusePercent, requestsPerSecond, ...seen }, foreign: 0, faults };
}

function describe({ figures, faults }: Turn): string {
  const said: string[] = [];
  if (figures.cpuUs !== undefined) said.push(`${figures.cpuUs.toFixed(2)} µs`);
  if (figures.requestsPerSecond !== undefined) said.push(`${figures.requestsPerSecond.toFixed(0)} req/s`);
  if (figures.idleKb !== undefined) said.push(`${figures.idleKb.toFixed(0)} KB per 1,000`);
  if (figures.reusePercent !== undefined) said.push(`${figures.reusePercent.toFixed(3)} % reused`);
  return [...said, ...faults].join(", ");
}
