/**
 * Compiles checked settings into the plan and encodes it for the border. Pure: what needs the outside world (CPUs,
 * names) is handed in.
 */
import { isIP } from "node:net";
import { Packr } from "msgpackr";
import { type Parsed, parseListenAddress, parseNetwork, parseTarget } from "./addresses.js";
import { compilePath, type PathMatch } from "./paths.js";
import {
  PLAN_VERSION,
  type Plan,
  type PlanAction,
  type PlanFieldEdit,
  type PlanFieldLine,
  type PlanHostPolicy,
  type PlanListener,
  type PlanOrigin,
  type PlanRewrite,
  type PlanRoute,
  type PlanTarget,
} from "./plan-types.js";
import { BACKLOG_DEFAULT, listenerName, type Settings } from "./settings.js";

/** What the outside world adds to the settings. */
export interface Surroundings {
  /** Edge workers to start, 1 to 256. */
  readonly workers: number;
  /** Addresses of each host name used in a target, keyed as written; IP addresses need no entry. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
}

const packr = new Packr({ useRecords: false, variableMapSize: true });

/**
 * Compiles settings. They must have passed `checkSettings`.
 *
 * @throws Error when they have not, or when a name was not resolved: a bug of the caller.
 */
export function compilePlan(settings: Settings, surroundings: Surroundings): Plan {
  const { pool, forwarding } = settings;
  const origins = Object.entries(settings.origins).map(([name, origin]) =>
    compileOrigin(name, origin, surroundings.addresses),
  );
  return {
    version: PLAN_VERSION,
    name: settings.name,
    workers: surroundings.workers,
    listeners: settings.listeners.map(compileListener),
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
    },
    origins,
    routes: compileRoutes(
      settings,
      origins.map((origin) => origin.name),
    ),
    accessLog: settings.accessLog !== false,
  };
}

/** The plan as one msgpack document: plain maps, whole numbers as integers of whatever size they need. */
export function encodePlan(plan: Plan): Uint8Array {
  return packr.pack(withWideNumbers(plan));
}

/** Host names in the targets that have to be resolved before compiling, each once. */
export function namesToResolve(settings: Settings): readonly string[] {
  const hosts = Object.values(settings.origins).flatMap((origin) =>
    targetsOf(origin).map((target) => must(parseTarget(target.address)).host),
  );
  return [...new Set(hosts)].filter((host) => isIP(host) === 0);
}

function compileListener(listener: Settings["listeners"][number], index: number): PlanListener {
  const written = typeof listener === "string" ? { address: listener, backlog: BACKLOG_DEFAULT } : listener;
  const name = listenerName("name" in written ? written.name : undefined, index);
  return { name, ...must(parseListenAddress(written.address)), backlog: written.backlog };
}

function compileOrigin(
  name: string,
  origin: Settings["origins"][string],
  addresses: Surroundings["addresses"],
): PlanOrigin {
  return {
    name,
    targets: targetsOf(origin).flatMap((target) => compileTarget(target, addresses)),
    host: compileHost(origin.host),
    connectMs: origin.connectMs,
    firstByteMs: origin.firstByteMs,
    betweenBytesMs: origin.betweenBytesMs,
    idleMs: origin.idleMs,
    ageMs: origin.ageMs,
    requests: origin.requests,
    targetConnections: origin.targetConnections,
    targetIdle: origin.targetIdle,
  };
}

interface WeighedTarget {
  readonly address: string;
  readonly weight: number;
}

function targetsOf(origin: Settings["origins"][string]): readonly WeighedTarget[] {
  const targets: readonly (string | WeighedTarget)[] = Array.isArray(origin.targets)
    ? origin.targets
    : [origin.targets];
  return targets.map((target) => (typeof target === "string" ? { address: target, weight: 1 } : target));
}

/** A name stands for all its addresses, each a target of the same weight and label. */
function compileTarget(target: WeighedTarget, addresses: Surroundings["addresses"]): PlanTarget[] {
  const { host, port, label } = must(parseTarget(target.address));
  const resolved = addresses.get(host) ?? [host];
  return resolved.map((address) => ({ label, address, port, weight: target.weight }));
}

function compileHost(host: string): PlanHostPolicy {
  return host === "client" || host === "target" ? { kind: host } : { kind: "literal", value: host };
}

function compileRoutes(settings: Settings, origins: readonly string[]): PlanRoute[] {
  const routes = settings.routes ?? [{ name: "all", forwardTo: origins[0] ?? "" }];
  return routes.map((route, index) => {
    const match = route.match ?? {};
    const path = compilePath(match.path);
    return {
      name: route.name ?? `route-${index + 1}`,
      hosts: listOf(match.host).map((host) => host.toLowerCase()),
      path,
      methods: listOf(match.method),
      headers: Object.entries(match.header ?? {}).map(([name, value]) => ({
        name: name.toLowerCase(),
        value: value === true ? null : value,
      })),
      action: compileAction(route, path, origins),
    };
  });
}

type Route = NonNullable<Settings["routes"]>[number];

function compileAction(route: Route, path: PathMatch, origins: readonly string[]): PlanAction {
  if (route.answer !== undefined) {
    return {
      kind: "answer",
      status: route.answer.status,
      fields: linesOf(route.answer.headers),
      body: Buffer.from(route.answer.body, "utf8"),
    };
  }
  if (route.redirect !== undefined) {
    return { kind: "redirect", status: route.redirect.status, location: route.redirect.to };
  }
  const origin = origins.indexOf(route.forwardTo ?? "");
  if (origin < 0) throw new Error(`compilePlan: no origin is called "${route.forwardTo}"`);
  return {
    kind: "forward",
    origin,
    rewrite: compileRewrite(route.rewrite, path),
    requestFields: compileEdits(route.requestHeaders),
    answerFields: compileEdits(route.responseHeaders),
  };
}

function compileRewrite(rewrite: Route["rewrite"], path: PathMatch): PlanRewrite | null {
  if (rewrite?.path !== undefined) return { kind: "path", to: rewrite.path };
  if (rewrite?.prefix === undefined) return null;
  // What is left of the path after the matched prefix begins with "/" (or is empty) where whole segments are matched,
  // and without one where the prefix ends in "/": the replacement must end alike, or the slash would double or vanish.
  const from = path.kind === "prefix" ? path.value : "/";
  const bare = rewrite.prefix.replace(/\/+$/, "");
  return { kind: "prefix", from, to: from.endsWith("/") ? `${bare}/` : bare };
}

/** Removals first, then replacements, then additions: the order the documentation promises. */
function compileEdits(edits: Route["requestHeaders"]): PlanFieldEdit[] {
  return [
    ...(edits?.remove ?? []).map((name) => ({ kind: "remove" as const, name })),
    ...linesOf(edits?.set).map((line) => ({ kind: "set" as const, ...line })),
    ...linesOf(edits?.add).map((line) => ({ kind: "add" as const, ...line })),
  ];
}

function linesOf(fields: Readonly<Record<string, string | readonly string[]>> | undefined): PlanFieldLine[] {
  return Object.entries(fields ?? {}).flatMap(([name, values]) => listOf(values).map((value) => ({ name, value })));
}

function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === "string" ? [value] : value;
}

/** msgpackr writes whole numbers beyond 32 bits as floats, which the core refuses; as BigInt they stay integers. */
function withWideNumbers(value: unknown): unknown {
  if (typeof value === "number" && value > 0xffff_ffff) return BigInt(value);
  if (Array.isArray(value)) return value.map(withWideNumbers);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withWideNumbers(inner)]));
}

function must<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(`compilePlan: ${parsed.says}`);
  return parsed.value;
}
