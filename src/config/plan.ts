/**
 * Compiles checked settings into the plan and encodes it for the border. Pure: what needs the outside world (CPUs,
 * names) is handed in. Origins are compiled in plan-origins.ts, routes in plan-routes.ts.
 */
import { Packr } from "msgpackr";
import { parseListenAddress, parseNetwork } from "./addresses.js";
import { compileCache } from "./plan-cache.js";
import { allOrigins, compileOrigin, must, type Resolved } from "./plan-origins.js";
import { compileRoutes } from "./plan-routes.js";
import { compileListenerTls } from "./plan-tls.js";
import { PLAN_VERSION, type Plan, type PlanListener } from "./plan-types.js";
import { RouteSlots } from "./route-slots.js";
import { BACKLOG_DEFAULT, listenerName, type Settings } from "./settings.js";
import { NO_MATERIAL, type TlsMaterial } from "./tls-files.js";

export { namesToResolve } from "./plan-origins.js";

/** What the outside world adds to the settings. */
export interface Surroundings extends Resolved {
  /** Edge workers to start, 1 to 256. */
  readonly workers: number;
  /** What the files hold that the settings name; absent = they name none. */
  readonly material?: TlsMaterial;
  /** Where routes are counted; absent = nowhere before. */
  readonly slots?: RouteSlots;
}

const packr = new Packr({ useRecords: false, variableMapSize: true });

/**
 * Compiles settings. They must have passed `checkSettings`.
 *
 * @throws Error when they have not, or when a name was not resolved: a bug of the caller.
 */
export function compilePlan(settings: Settings, surroundings: Surroundings): Plan {
  const { pool, forwarding } = settings;
  const { material = NO_MATERIAL, slots = new RouteSlots() } = surroundings;
  const origins = allOrigins(settings).map(([name, origin]) => compileOrigin(name, origin, surroundings, material));
  return {
    version: PLAN_VERSION,
    name: settings.name,
    workers: surroundings.workers,
    listeners: settings.listeners.map((listener, index) => compileListener(listener, index, material)),
    limits: settings.limits,
    timeouts: settings.timeouts,
    pool: {
      shards: pool.shards === "auto" ? surroundings.workers : Math.min(pool.shards, surroundings.workers),
      steal: pool.steal,
      connections: pool.connectionsMax,
      queueLength: pool.queueLengthMax,
      queueWaitMs: pool.queueWaitMs,
    },
    forwarding: {
      via: forwarding.via,
      xForwarded: forwarding.xForwarded,
      forwarded: forwarding.forwarded,
      trusted: forwarding.trustedProxies.map((network) => must(parseNetwork(network))),
      ...(forwarding.clientCertificate ? { clientCertificate: true as const } : {}),
    },
    origins,
    routes: compileRoutes(
      settings,
      origins.map((origin) => origin.name),
      slots,
    ),
    accessLog: settings.accessLog !== false,
    persistence: settings.persistence,
    retryBudget: settings.retryBudget,
    spool: settings.spool === false ? { folder: "", requestBytes: 0, totalBytes: 0 } : settings.spool,
    zone: settings.zone ?? "",
    http2: settings.http2,
    cache: compileCache(settings.cache),
  };
}

/** The plan as one msgpack document: plain maps, whole numbers as integers of whatever size they need. */
export function encodePlan(plan: Plan): Uint8Array {
  return packr.pack(withWideNumbers(plan));
}

function compileListener(listener: Settings["listeners"][number], index: number, material: TlsMaterial): PlanListener {
  if (typeof listener === "string") {
    return { name: listenerName(undefined, index), ...must(parseListenAddress(listener)), backlog: BACKLOG_DEFAULT };
  }
  const { name, address, backlog, tls, proxyProtocol } = listener;
  const versions = listener.httpVersions ?? (tls === false ? ["1.1"] : ["1.1", "2"]);
  const http2 = versions.includes("2");
  return {
    name: listenerName(name, index),
    ...must(parseListenAddress(address)),
    backlog,
    ...(tls === false ? {} : { tls: compileListenerTls(tls, http2, material) }),
    ...(http2 ? { http2 } : {}),
    ...(proxyProtocol ? { proxyProtocol } : {}),
  };
}

/** msgpackr writes whole numbers beyond 32 bits as floats, which the core refuses; as BigInt they stay integers. */
function withWideNumbers(value: unknown): unknown {
  if (typeof value === "number" && value > 0xffff_ffff) return BigInt(value);
  if (Array.isArray(value)) return value.map(withWideNumbers);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withWideNumbers(inner)]));
}
