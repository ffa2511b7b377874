/**
 * An admin API for tests, in front of a proxy that only remembers what it was told to do.
 */
import { request } from "node:http";
import type { AdminSource } from "../../src/admin/routes.js";
import type { AdminPlan } from "../../src/admin/server.js";
import { parseExplainInput } from "../../src/control/explain.js";
import type { Stats } from "../../src/control/stats.js";
import { METRICS, readingOf } from "./metrics.js";

/** A place on a free port of loopback, for whoever asks. */
export const ANYWHERE: AdminPlan = {
  place: { kind: "tcp", address: "127.0.0.1", port: 0 },
  socket: { fd: null, replaces: false },
  hosts: [],
  metrics: METRICS,
};

const NO_ROW = { counters: {}, histograms: {} };
const EMPTY_STATS = {
  uptimeMs: 5,
  all: NO_ROW,
  workers: [],
  acceptor: NO_ROW,
  workersReplaced: 0,
  accessLogLostLines: 0,
  certificates: [],
} as unknown as Stats;

/** A source that knows an origin `app`, whose target `still:80` never changes, and workers 0 to 2; 1 is not at work. */
export function adminSource(moved: string[] = [], over: Partial<AdminSource> = {}): AdminSource {
  return {
    status: () => ({
      version: "1.2.3",
      core: "1.2.3",
      node: "20.0.0",
      pid: 1,
      state: "running",
      whyNotReady: null,
      generation: 1,
      startedAt: "2026-01-01T00:00:00.000Z",
      uptimeMs: 5,
      listeners: [{ name: "main", address: "127.0.0.1", port: 8080 }],
      workers: [{ worker: 0, ready: true, generation: 1 }],
      lastReload: null,
      workersReplaced: 0,
      logLevel: "info",
    }),
    stats: () => EMPTY_STATS,
    metrics: () => readingOf(),
    whyNotReady: () => null,
    origins: () => ({ origins: [], names: [] }),
    certificates: () => ({ listeners: [], origins: [] }),
    connections: () => Promise.resolve({ workers: [], silent: [1] }),
    reload: () => {
      moved.push("reload");
      return Promise.resolve({ result: "unchanged", generation: 1, warnings: [] });
    },
    explain: (input) => {
      parseExplainInput(input);
      return { route: "all", action: "forward", curl: null };
    },
    drain: (origin, target, undo) => {
      moved.push(`${undo ? "undrain" : "drain"} ${origin} ${target}`);
      if (origin !== "app") return { concerned: 0, changed: 0 };
      return { concerned: 2, changed: target === "still:80" ? 0 : 2 };
    },
    purge: (input) => {
      moved.push(`purge ${JSON.stringify(input)}`);
      return Promise.resolve({ scope: "tag", soft: false, keys: ["news"] });
    },
    cacheEntry: () => Promise.resolve([]),
    cacheTop: () => [],
    cacheStore: () => null,
    upgrade: () => {
      moved.push("upgrade");
      return Promise.resolve({ pid: 2 });
    },
    setLogLevel: (level) => {
      moved.push(`log ${level}`);
    },
    watch: (watcher) => {
      watcher('{"kind":"hello"}\n');
      return () => {};
    },
    profile: (worker, ms) => {
      if (worker !== "main" && worker > 1) return null;
      moved.push(`profile ${worker} ${ms}`);
      const says = "worker 1 is not at work";
      if (worker === 1) return Promise.resolve({ ok: false, says });
      const profile = JSON.stringify({ nodes: [], startTime: 0, endTime: 1, samples: [], timeDeltas: [] });
      return Promise.resolve({ ok: true, profile });
    },
    ...over,
  };
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
}

export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
}

/** Asks an admin API, by port or by the path of its socket. */
export function askAt(
  where: number | string,
  path: string,
  { method = "GET", headers = {}, body }: Asked = {},
): Promise<Answered> {
  const place = typeof where === "number" ? { host: "127.0.0.1", port: where } : { socketPath: where };
  return new Promise((resolve, reject) => {
    const own: Readonly<Record<string, string | readonly string[]>> = {
      Host: `127.0.0.1:${where}`,
      ...headers,
      // Of a GET, Node.js would send the body without saying how long it is.
      ...(body === undefined || "Transfer-Encoding" in headers
        ? {}
        : { "Content-Length": String(Buffer.byteLength(body)) }),
    };
    const all = Object.entries(own).map(([name, value]) => [name, typeof value === "string" ? value : [...value]]);
    const options = {
      ...place,
      path,
      method,
      headers: Object.fromEntries(all) as Record<string, string>,
      agent: false as const,
    };
    const asking = request(options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      response.on("error", reject);
    });
    asking.on("error", reject);
    asking.end(body);
  });
}
