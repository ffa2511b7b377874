/**
 * What the admin API of one running proxy shows and moves, out of the parts the proxy is made of.
 */
import type { AdminSource, Status } from "./admin/routes.js";
import type { CacheControl } from "./control/cache.js";
import { parseExplainInput } from "./control/explain.js";
import { Live } from "./control/live.js";
import type { Origins } from "./control/origins.js";
import type { Profiled } from "./control/profiles.js";
import type { ReloadsReport } from "./control/reload.js";
import type { RoutesReading, Stats } from "./control/stats.js";
import type { Supervisor } from "./control/supervisor.js";
import { loadNative } from "./native.js";
import { MillraceError, messageOf } from "./shared/errors.js";
import type { Log, LogLevel } from "./shared/log.js";
import type { LogTail } from "./shared/log-tail.js";
import { profileThread } from "./shared/profile.js";
import { VERSION } from "./version.js";

/** What is asked of the proxy itself. Each throws `MILLRACE_STATE` at the wrong time. */
export interface Operated extends Pick<AdminSource, "stats" | "connections" | "certificates" | "reload"> {
  readonly state: "stopped" | "starting" | "running" | "stopping";
  /** What the books say beside the stats block. */
  readonly frame: () => Omit<Stats, "all" | "workers" | "acceptor">;
  readonly whyNotReady: () => string | null;
  readonly reloads: () => ReloadsReport;
  /** The origins, only while it runs. */
  readonly running: (what: string) => Origins;
  readonly upgrade: AdminSource["upgrade"];
}

/** The parts of one proxy, from its launch on. */
export interface Parts {
  readonly proxy: () => Operated;
  readonly supervisor: Supervisor;
  readonly origins: Origins;
  readonly log: Log;
  readonly tail: LogTail;
}

/** The source of the admin API. */
export function operationsOf(parts: Parts): AdminSource {
  const { supervisor, origins, log, proxy } = parts;
  const startedAtMs = Date.now();
  let isProfiled = false;
  const live = liveOf(parts, startedAtMs);
  return {
    status: () => statusOf(parts, startedAtMs),
    stats: () => proxy().stats(),
    metrics: () => {
      const { user, system } = process.cpuUsage();
      const { state, whyNotReady, frame, reloads } = proxy();
      return {
        ...frame(),
        ...supervisor.stats.readRaw(),
        routes: routesOf(parts),
        ...versions(),
        startedAtMs,
        isReady: whyNotReady() === null,
        generation: origins.generation,
        generations: origins.generations,
        reloads: reloads(),
        origins: state === "running" ? origins.report().origins : [],
        localAlarms: origins.localAlarms,
        cpuSeconds: (user + system) / 1e6,
        residentBytes: process.memoryUsage.rss(),
        store: supervisor.cache.store(),
      };
    },
    whyNotReady: () => proxy().whyNotReady(),
    origins: () => proxy().running("origins").report(),
    connections: () => proxy().connections(),
    certificates: () => proxy().certificates(),
    explain: (input) => proxy().running("explain").explain(parseExplainInput(input)),
    drain: (origin, target, undo) => proxy().running("drainTarget").drain(origin, target, undo),
    purge: (input) => cacheOf(parts).purge(input),
    cacheEntry: (url) => cacheOf(parts).look(url),
    cacheTop: (count) => cacheOf(parts).top(count),
    cacheStore: () => cacheOf(parts).store(),
    upgrade: () => proxy().upgrade(),
    reload: () => proxy().reload(),
    setLogLevel: (level) => {
      const [from, isSeen] = [log.level, log.isLevelEnabled("info")];
      // The change is said whichever way it goes, where one of the two levels shows it.
      if (isSeen) log.info({ from, to: level }, "the log level is changed");
      log.level = level;
      if (!isSeen) log.info({ from, to: level }, "the log level is changed");
    },
    watch: (watcher) => live.watch(watcher),
    profile: (worker, ms) => {
      if (worker === "main") {
        if (isProfiled) throw new MillraceError("MILLRACE_STATE", "the control plane is being profiled already");
        isProfiled = true;
        return profileHere(ms).finally(() => {
          isProfiled = false;
        });
      }
      return worker < supervisor.workersReady.length ? supervisor.profile(worker, ms) : null;
    },
  };
}

/** Only while the proxy runs. */
function cacheOf({ proxy, supervisor }: Parts): CacheControl {
  proxy().running("cache");
  return supervisor.cache;
}

/** What is counted of routes, by name. */
function routesOf({ supervisor, origins }: Parts): RoutesReading {
  return { names: origins.routeNames, counts: supervisor.stats.readRoutes() };
}

/** What is not there while it drains is left out, so that a watcher sees it drain. */
function liveOf(parts: Parts, startedAtMs: number): Live {
  const { proxy, supervisor, origins, tail } = parts;
  const isRunning = () => proxy().state === "running";
  return new Live({
    status: () => statusOf(parts, startedAtMs),
    stats: () => proxy().stats(),
    origins: () => (isRunning() ? origins.report() : { origins: [], names: [] }),
    certificates: () => (isRunning() ? proxy().certificates() : { listeners: [], origins: [] }),
    exchanges: () => supervisor.stats.readHistogram("exchange_micros"),
    routes: () => routesOf(parts),
    cacheTop: (count) => (isRunning() ? supervisor.cache.top(count) : []),
    plans: () => origins.plans,
    replacements: () => supervisor.replacements,
    tail,
    nowMs: Date.now,
  });
}

function versions() {
  return { version: VERSION, core: loadNative().version(), node: process.versions.node };
}

function statusOf({ proxy, supervisor, origins, log }: Parts, startedAtMs: number): Status {
  const { state, whyNotReady, frame, reloads } = proxy();
  const { last } = reloads();
  const generations = origins.generations;
  const { uptimeMs, workersReplaced } = frame();
  return {
    ...versions(),
    pid: process.pid,
    state: state === "running" ? "running" : "stopping",
    whyNotReady: whyNotReady(),
    generation: origins.generation,
    startedAt: new Date(startedAtMs).toISOString(),
    uptimeMs,
    listeners: supervisor.listeners,
    lastReload: last,
    workers: supervisor.workersReady.map((ready, worker) => ({
      worker,
      ready,
      generation: generations[worker] ?? origins.generation,
    })),
    workersReplaced,
    logLevel: log.level as LogLevel,
  };
}

async function profileHere(ms: number): Promise<Profiled> {
  try {
    return { ok: true, profile: await profileThread(ms) };
  } catch (thrown) {
    return { ok: false, says: messageOf(thrown) };
  }
}
