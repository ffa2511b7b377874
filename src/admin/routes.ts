/**
 * What the admin API has: one row a path, with what each method does there, what it takes and what it may answer. The
 * server finds handlers in it, and openapi.ts makes the document of it.
 */

import type { ListenAddress } from "../config/addresses.js";
import type { CertificatesReport } from "../control/certificate-report.js";
import type { Connections } from "../control/connections.js";
import type { Explanation } from "../control/curl-command.js";
import type { Drained } from "../control/health.js";
import type { Watcher } from "../control/live.js";
import type { OriginsReport } from "../control/origins.js";
import type { Profiled } from "../control/profiles.js";
import type { Reload, ReloadsReport } from "../control/reload.js";
import type { Stats } from "../control/stats.js";
import type { Upgraded } from "../control/upgrade.js";
import { describeComplaint } from "../shared/errors.js";
import { LOG_LEVELS, type LogLevel } from "../shared/log.js";
import { type Answer, ok, type ProblemStatus, problem } from "./answers.js";
import { CACHE_ROUTES, type CacheSource } from "./cache-routes.js";
import { CONTENT_TYPES, chooseFormat, writeFamilies } from "./metrics/exposition.js";
import { familiesOf, type MetricsBounds, type MetricsReading } from "./metrics/families.js";
import type { Schema, SchemaName } from "./schemas.js";

/** The process and the proxy in it, in short. */
export interface Status {
  readonly version: string;
  readonly core: string;
  readonly node: string;
  readonly pid: number;
  readonly state: "running" | "stopping";
  /** Null when it is ready. */
  readonly whyNotReady: string | null;
  /** Plans made for the core since the start, the first included. */
  readonly generation: number;
  readonly startedAt: string;
  readonly uptimeMs: number;
  readonly listeners: readonly (ListenAddress & { readonly name: string })[];
  /** `generation`: of the plan that the worker runs; behind the proxy's for the length of a turn. */
  readonly workers: readonly { readonly worker: number; readonly ready: boolean; readonly generation: number }[];
  /** The latest reload; null = there was none. */
  readonly lastReload: ReloadsReport["last"];
  readonly workersReplaced: number;
  readonly logLevel: LogLevel;
}

/** What the admin API shows and moves. Each throws a MillraceError where it cannot. */
export interface AdminSource extends CacheSource {
  readonly status: () => Status;
  readonly stats: () => Stats;
  readonly metrics: () => MetricsReading;
  /** Why the proxy is not ready, as a sentence; null when it is. */
  readonly whyNotReady: () => string | null;
  readonly origins: () => OriginsReport;
  readonly connections: () => Promise<Connections>;
  readonly certificates: () => CertificatesReport;
  /** Takes what was sent as it is and judges it. */
  readonly explain: (input: unknown) => Explanation;
  readonly drain: (origin: string, target: string, undo: boolean) => Drained;
  /** Puts a new process in the place of this one. */
  readonly upgrade: () => Promise<Upgraded>;
  readonly setLogLevel: (level: LogLevel) => void;
  /** Reads the settings again that the proxy was started from, and takes them. */
  readonly reload: () => Promise<Reload>;
  /** Tells everything now and each second from now on, until what is returned is called. */
  readonly watch: (watcher: Watcher) => () => void;
  /** A worker's number, or the thread of the control plane; null = there is no such worker. */
  readonly profile: (worker: number | "main", ms: number) => Promise<Profiled> | null;
}

/** A request whose path and method are known. */
export interface Call {
  readonly source: AdminSource;
  /** The segments that stand in the places of the pattern's names. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  readonly body: unknown;
  /** The Accept field. */
  readonly accept: string | undefined;
  readonly metrics: MetricsBounds;
  /** Whether a token is set. */
  readonly asksToken: boolean;
}

type Handle = (call: Call) => Answer | Promise<Answer>;

/** One method of a path. */
export interface Operation {
  readonly says: string;
  readonly handle: Handle;
  readonly query?: readonly { readonly name: string; readonly says: string; readonly schema: Schema }[];
  /** Absent = a body is refused. */
  readonly body?: SchemaName;
  readonly answer: { readonly says: string; readonly types: readonly string[]; readonly schema: SchemaName | null };
  /** Refusals of its own, beside those that every call may meet. */
  readonly problems: Readonly<Partial<Record<ProblemStatus, string>>>;
}

export const METHODS = ["GET", "POST", "PUT"] as const;
export type Method = (typeof METHODS)[number];

export interface Route {
  /** Segments; one in braces stands for any. */
  readonly path: string;
  readonly operations: Readonly<Partial<Record<Method, Operation>>>;
}

/** What a call meets that asks the proxy while it starts or stops, or when something is broken. */
const ASKS = { 409: "The proxy is not in a state for it.", 500: "It failed; detail says how." } as const;

const PROFILE_SECONDS_DEFAULT = 5;
const PROFILE_SECONDS_MAX = 60;

function json(says: string, schema: SchemaName): Operation["answer"] {
  return { says, types: ["application/json"], schema };
}

const DRAIN_PROBLEMS = { ...ASKS, 404: "The origin has no such target." } as const;

export const ROUTES: readonly Route[] = [
  {
    path: "/livez",
    operations: {
      GET: {
        says: "Whether the process answers.",
        handle: () => ok({ status: "alive" }),
        answer: json("It does.", "Alive"),
        problems: {},
      },
    },
  },
  {
    path: "/readyz",
    operations: {
      GET: {
        says: "Whether every thread is at work and nothing drains.",
        handle: ({ source }) => {
          const why = source.whyNotReady();
          return why === null ? ok({ status: "ready" }) : problem(503, why);
        },
        answer: json("It is ready.", "Ready"),
        problems: { 503: "It is not; detail says why." },
      },
    },
  },
  {
    path: "/status",
    operations: {
      GET: {
        says: "Versions, state, generation of the plan, listeners, workers.",
        handle: ({ source }) => ok(source.status()),
        answer: json("The proxy in short.", "Status"),
        problems: ASKS,
      },
    },
  },
  {
    path: "/stats",
    operations: {
      GET: {
        says: "The books since the start: summed, for each worker, and for the acceptor.",
        handle: ({ source }) => ok(source.stats()),
        answer: json("The books.", "Stats"),
        problems: ASKS,
      },
    },
  },
  {
    path: "/metrics",
    operations: {
      GET: {
        says: "The books for Prometheus; OpenMetrics where Accept asks for it.",
        handle: ({ source, accept, metrics }) => {
          const format = chooseFormat(accept);
          const body = writeFamilies(familiesOf(source.metrics(), metrics), format);
          return { kind: "text", status: 200, type: CONTENT_TYPES[format], body, vary: "Accept" };
        },
        answer: { says: "Every series.", types: Object.values(CONTENT_TYPES), schema: null },
        problems: ASKS,
      },
    },
  },
  {
    path: "/origins",
    operations: {
      GET: {
        says: "Every origin with its targets, their connections, counts and health, and the names behind them.",
        handle: ({ source }) => ok(source.origins()),
        answer: json("The origins.", "Origins"),
        problems: ASKS,
      },
    },
  },
  {
    path: "/certificates",
    operations: {
      GET: {
        says: "What each listener with TLS serves and asks for, and what origins are shown.",
        handle: ({ source }) => ok(source.certificates()),
        answer: json("The certificates.", "Certificates"),
        problems: ASKS,
      },
    },
  },
  {
    path: "/connections",
    operations: {
      GET: {
        says: "Every connection of every worker, to clients and to origins.",
        handle: async ({ source }) => ok(await source.connections()),
        answer: json("The connections; workers that did not answer in time are named.", "Connections"),
        problems: ASKS,
      },
    },
  },
  {
    path: "/explain",
    operations: {
      GET: {
        says: "What would be done with a request, and why. Nothing is sent.",
        handle: ({ source, query }) => explainQuery(source, query),
        query: [
          { name: "url", says: "http(s)://host/path", schema: { type: "string" } },
          { name: "method", says: "Else GET.", schema: { type: "string" } },
          { name: "header", says: "Name: value; as often as need be.", schema: { type: "string" } },
          { name: "client", says: "The client's IP address, else 127.0.0.1.", schema: { type: "string" } },
        ],
        answer: json("The explanation.", "Explanation"),
        problems: ASKS,
      },
      POST: {
        says: "The same for a request given as JSON.",
        handle: ({ source, body }) => ok(source.explain(body)),
        body: "ExplainRequest",
        answer: json("The explanation.", "Explanation"),
        problems: ASKS,
      },
    },
  },
  {
    path: "/targets/{origin}/{target}/drain",
    operations: {
      POST: {
        says: "Takes a target out of use: no new requests, those in flight finish, its connections close.",
        handle: (call) => drain(call, false),
        answer: json("It drains, or did already.", "Drained"),
        problems: DRAIN_PROBLEMS,
      },
    },
  },
  {
    path: "/targets/{origin}/{target}/undrain",
    operations: {
      POST: {
        says: "Brings a drained target back.",
        handle: (call) => drain(call, true),
        answer: json("It is back.", "Drained"),
        problems: { ...DRAIN_PROBLEMS, 409: "It is not drained, or the proxy is not in a state for it." },
      },
    },
  },
  {
    path: "/upgrade",
    operations: {
      POST: {
        says: "Starts a new process with the same command line, hands the sockets over, and then leaves.",
        handle: async ({ source }) => ok(await source.upgrade()),
        answer: json("The new process is ready and serves; this one finishes what it has.", "Upgraded"),
        problems: {
          409: "The proxy is not in a state for it, an upgrade is under way, or it is part of another program.",
          500: "The new process did not become ready; detail says why, and this one serves on.",
        },
      },
    },
  },
  ...CACHE_ROUTES,
  {
    path: "/reload",
    operations: {
      POST: {
        says: "Reads the settings again that the proxy was started from, and takes them everywhere or nowhere.",
        handle: reload,
        answer: json("They are in use, or are as they were.", "Reload"),
        problems: {
          ...ASKS,
          409: "The proxy was not started from settings that can be read again, or is not in a state for it.",
          422: "The settings are wrong, or take a restart; complaints names everything. Nothing has changed.",
        },
      },
    },
  },
  {
    path: "/log-level",
    operations: {
      GET: {
        says: "Least severe level that the log of the process shows.",
        handle: ({ source }) => ok({ level: source.status().logLevel }),
        answer: json("The level.", "LogLevel"),
        problems: ASKS,
      },
      PUT: {
        says: "Another level, until the process ends or it is set again.",
        handle: setLogLevel,
        body: "LogLevel",
        answer: json("The level that holds now.", "LogLevel"),
        problems: ASKS,
      },
    },
  },
  {
    path: "/workers/{worker}/profile",
    operations: {
      POST: {
        says: "A CPU profile of the JavaScript of a worker (a number, or main for the control plane), for DevTools.",
        handle: takeProfile,
        query: [
          {
            name: "seconds",
            says: "How long it is taken.",
            schema: { type: "number", minimum: 0.1, maximum: PROFILE_SECONDS_MAX, default: PROFILE_SECONDS_DEFAULT },
          },
        ],
        answer: json("A .cpuprofile file.", "Profile"),
        problems: {
          ...ASKS,
          404: "There is no such worker.",
          409: "It is being profiled already, or the proxy is not in a state for it.",
          503: "The worker is not at work, or did not answer.",
        },
      },
    },
  },
];

/** `?url=…&method=…&header=Name:%20value&client=…`, header as often as need be. */
function explainQuery(source: AdminSource, query: URLSearchParams): Answer {
  const unknown = [...query.keys()].find((key) => !["url", "method", "header", "client"].includes(key));
  if (unknown !== undefined)
    return problem(400, `"${unknown}" is not known; there are url, method, header and client.`);
  const headers = query.getAll("header").map((line) => {
    const at = line.indexOf(":");
    return at < 0 ? [line] : [line.slice(0, at), line.slice(at + 1)];
  });
  const [method, clientAddress] = [query.get("method"), query.get("client")];
  return ok(
    source.explain({
      url: query.get("url") ?? undefined,
      headers,
      ...(method === null ? {} : { method }),
      ...(clientAddress === null ? {} : { clientAddress }),
    }),
  );
}

function drain({ source, segments }: Call, undo: boolean): Answer {
  const [origin = "", target = ""] = segments;
  const { concerned, changed } = source.drain(origin, target, undo);
  if (concerned === 0) return problem(404, `Origin "${origin}" has no target "${target}"; GET /origins lists them.`);
  if (undo && changed === 0) return problem(409, `Target "${target}" of origin "${origin}" is not drained.`);
  return ok({ origin, target, state: undo ? "undrained" : "draining", concerned, changed });
}

async function reload({ source }: Call): Promise<Answer> {
  const reloaded = await source.reload();
  if (reloaded.result !== "refused") return ok(reloaded);
  const { complaints } = reloaded;
  const detail = `The settings are refused: ${complaints.map(describeComplaint).join("; ")}`;
  return { kind: "problem", status: 422, detail, complaints };
}

function setLogLevel({ source, body }: Call): Answer {
  const { level, ...rest } = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const wanted = LOG_LEVELS.find((one) => one === level);
  if (wanted === undefined || Object.keys(rest).length > 0) {
    return problem(400, `The body must be {"level": …} with one of ${LOG_LEVELS.join(", ")}.`);
  }
  source.setLogLevel(wanted);
  return ok({ level: wanted });
}

async function takeProfile({ source, segments: [written = ""], query }: Call): Promise<Answer> {
  const unknown = [...query.keys()].find((key) => key !== "seconds");
  if (unknown !== undefined) return problem(400, `"${unknown}" is not known; there is seconds.`);
  const seconds = Number(query.get("seconds") ?? PROFILE_SECONDS_DEFAULT);
  if (!(seconds >= 0.1 && seconds <= PROFILE_SECONDS_MAX)) {
    return problem(400, `seconds must be 0.1 to ${PROFILE_SECONDS_MAX}.`);
  }
  const worker = /^\d{1,5}$/.test(written) ? Number(written) : written === "main" ? written : null;
  const profiled = worker === null ? null : await source.profile(worker, seconds * 1000);
  if (profiled === null) return problem(404, `There is no worker "${written}"; GET /status lists them.`);
  if (!profiled.ok) return problem(503, profiled.says);
  return { kind: "text", status: 200, type: "application/json", body: profiled.profile };
}
