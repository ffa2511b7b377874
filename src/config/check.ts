/**
 * Settings from an unknown document: structure by zod, then the rules between settings, with EVERY complaint of both at
 * once. The rules look at each part for itself, so a mistake in one route hides nothing about the next.
 */
import type { z } from "zod";
import type { Complaint } from "../shared/errors.js";
import { parseListenAddress } from "./addresses.js";
import { complaintsOf, describePath } from "./complaints.js";
import { compilePath, coversPath } from "./paths.js";
import { keysAt } from "./schema.js";
import { type DeepReadonly, listenerName, type Settings, settingsSchema } from "./settings.js";
import { originSchema } from "./settings-origins.js";
import { routeSchema } from "./settings-routes.js";
import { suggestion } from "./suggest.js";

type Route = DeepReadonly<z.output<typeof routeSchema>>;
type Origin = DeepReadonly<z.output<typeof originSchema>>;

const ORIGIN_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** What checking settings comes to. Warnings do not stop a start. */
export type Checked =
  | { readonly ok: true; readonly settings: Settings; readonly warnings: readonly Complaint[] }
  | { readonly ok: false; readonly complaints: readonly Complaint[]; readonly warnings: readonly Complaint[] };

/** Checks a document and fills in its defaults. Never throws. */
export function checkSettings(document: unknown): Checked {
  const parsed = settingsSchema.safeParse(document);
  const complaints: Complaint[] = parsed.success ? [] : complaintsOf(parsed.error.issues, keysAt);
  const warnings: Complaint[] = [];
  if (isRecord(document)) {
    complaints.push(...judgeNumbers(document), ...judgeListeners(document), ...judgeOrigins(document));
    complaints.push(...judgeRoutes(document), ...judgeAdmin(document));
    warnings.push(...warnAboutRoutes(document), ...warnAboutOrigins(document));
  }
  if (!parsed.success || complaints.length > 0) return { ok: false, complaints, warnings };
  return { ok: true, settings: parsed.data, warnings };
}

function judgeNumbers(document: Readonly<Record<string, unknown>>): Complaint[] {
  const complaints: Complaint[] = [];
  const limits = settingsSchema.shape.limits.safeParse(document["limits"] ?? {});
  if (limits.success && limits.data.requestLineBytes > limits.data.headBytes) {
    const says = `must be at most limits.headBytes (${limits.data.headBytes})`;
    complaints.push({ path: "limits.requestLineBytes", says });
  }
  const pool = settingsSchema.shape.pool.safeParse(document["pool"] ?? {});
  const workers = settingsSchema.shape.workers.safeParse(document["workers"]);
  if (pool.success && workers.success && pool.data.shards !== "auto" && workers.data !== "auto") {
    if (pool.data.shards > workers.data) {
      complaints.push({ path: "pool.shards", says: `must be at most the number of workers (${workers.data})` });
    }
  }
  return complaints;
}

function judgeListeners(document: Readonly<Record<string, unknown>>): Complaint[] {
  const listeners = document["listeners"];
  if (!Array.isArray(listeners)) return [];
  const seen = new Map<string, number>();
  const complaints: Complaint[] = [];
  for (const [index, listener] of listeners.entries()) {
    const own: unknown = isRecord(listener) ? listener["name"] : undefined;
    const name = listenerName(typeof own === "string" ? own : undefined, index);
    const first = seen.get(name);
    if (first !== undefined) {
      complaints.push({
        path: `listeners[${index}].name`,
        says: `"${name}" is the name of listeners[${first}] already`,
      });
    }
    seen.set(name, first ?? index);
  }
  return complaints;
}

/** The admin API has no passwords: who is not on this machine may ask only where the operator named the Host to use. */
function judgeAdmin(document: Readonly<Record<string, unknown>>): Complaint[] {
  const admin = settingsSchema.shape.admin.safeParse(document["admin"]);
  if (!admin.success || admin.data === false || admin.data.hosts.length > 0) return [];
  const place = parseListenAddress(admin.data.address);
  if (!place.ok || place.value.address.startsWith("127.") || place.value.address === "::1") return [];
  return [
    {
      path: "admin.address",
      says: "is not a loopback address; name the Hosts to answer in admin.hosts, or use 127.0.0.1",
    },
  ];
}

function judgeOrigins(document: Readonly<Record<string, unknown>>): Complaint[] {
  const names = isRecord(document["origins"]) ? Object.keys(document["origins"]) : [];
  const misnamed = names
    .filter((name) => !ORIGIN_NAME.test(name))
    .map((name) => ({
      path: describePath(["origins", name]),
      says: "the name of an origin is letters, digits, _ . - (at most 64, the first a letter or digit)",
    }));
  const weightless = originsOf(document).flatMap(([name, origin]) => {
    const targets = Array.isArray(origin.targets) ? origin.targets : [origin.targets];
    const weighs = targets.some((target) => typeof target === "string" || target.weight > 0);
    const path = describePath(["origins", name, "targets"]);
    return weighs ? [] : [{ path, says: "at least one target needs a weight above 0" }];
  });
  return [...misnamed, ...weightless];
}

function judgeRoutes(document: Readonly<Record<string, unknown>>): Complaint[] {
  const origins = isRecord(document["origins"]) ? Object.keys(document["origins"]) : [];
  if (document["routes"] === undefined) {
    if (origins.length === 1) return [];
    if (origins.length > 1)
      return [{ path: "routes", says: "is missing; with several origins, routes must say which takes what" }];
    return [{ path: "origins", says: "is missing; name at least one origin, or routes that answer by themselves" }];
  }
  // What an action is and whom it names can be judged in a route that is otherwise wrong.
  const written: readonly unknown[] = Array.isArray(document["routes"]) ? document["routes"] : [];
  const actions = written.flatMap((route, index) =>
    isRecord(route)
      ? [...judgeAction(route, `routes[${index}]`), ...judgeOrigin(route, `routes[${index}]`, origins)]
      : [],
  );
  const parts = routesOf(document).flatMap(([index, route]) => [
    ...judgeForward(route, `routes[${index}]`),
    ...judgeAnswer(route, `routes[${index}]`),
  ]);
  return [...actions, ...parts];
}

function judgeOrigin(route: Readonly<Record<string, unknown>>, at: string, origins: readonly string[]): Complaint[] {
  const name = route["forwardTo"];
  if (typeof name !== "string" || origins.includes(name)) return [];
  return [{ path: `${at}.forwardTo`, says: `no origin is called "${name}"${suggestion(name, origins)}` }];
}

function judgeAction(route: Readonly<Record<string, unknown>>, at: string): Complaint[] {
  const actions = (["forwardTo", "answer", "redirect"] as const).filter((action) => route[action] !== undefined);
  if (actions.length === 1) return [];
  const says =
    actions.length === 0
      ? "needs one of forwardTo, answer or redirect"
      : `has ${actions.join(" and ")}; only one may be there`;
  return [{ path: at, says }];
}

function judgeForward(route: Route, at: string): Complaint[] {
  const complaints: Complaint[] = [];
  if (route.forwardTo === undefined) {
    for (const key of ["rewrite", "requestHeaders", "responseHeaders"] as const) {
      if (route[key] !== undefined)
        complaints.push({ path: `${at}.${key}`, says: "has a meaning beside forwardTo only" });
    }
    return complaints;
  }
  const rewrite = route.rewrite;
  if (rewrite !== undefined && (rewrite.prefix === undefined) === (rewrite.path === undefined)) {
    complaints.push({ path: `${at}.rewrite`, says: "needs either prefix or path" });
  }
  const path = compilePath(route.match?.path);
  if (rewrite?.prefix !== undefined && path.kind !== "prefix" && path.kind !== "any") {
    complaints.push({ path: `${at}.rewrite.prefix`, says: 'needs a match.path that ends in "/*" or "/**"' });
  }
  return complaints;
}

function judgeAnswer(route: Route, at: string): Complaint[] {
  const status = route.answer?.status;
  if (route.answer === undefined || route.answer.body === "" || (status !== 204 && status !== 205 && status !== 304))
    return [];
  return [{ path: `${at}.answer.body`, says: `an answer with status ${status} has no body` }];
}

/** A route that can never match, because an earlier one takes everything it could take, is a mistake of order. */
function warnAboutRoutes(document: Readonly<Record<string, unknown>>): Complaint[] {
  const routes = routesOf(document);
  return routes.flatMap(([index, route], position) => {
    const hiding = routes.slice(0, position).find(([, earlier]) => covers(earlier, route));
    if (hiding === undefined) return [];
    const name = hiding[1].name === undefined ? "" : ` ("${hiding[1].name}")`;
    return [{ path: `routes[${index}]`, says: `can never match: routes[${hiding[0]}]${name} takes all of it before` }];
  });
}

function warnAboutOrigins(document: Readonly<Record<string, unknown>>): Complaint[] {
  if (!Array.isArray(document["routes"]) || !isRecord(document["origins"])) return [];
  const used = new Set(document["routes"].map((route: unknown) => (isRecord(route) ? route["forwardTo"] : undefined)));
  return Object.keys(document["origins"])
    .filter((name) => !used.has(name))
    .map((name) => ({ path: describePath(["origins", name]), says: "is not used by any route" }));
}

/** Whether `earlier` takes every request that `later` could take; false where that cannot be told for certain. */
function covers(earlier: Route, later: Route): boolean {
  const a = earlier.match ?? {};
  const b = later.match ?? {};
  if (!coversPath(compilePath(a.path), compilePath(b.path))) return false;
  if (!coversList(a.method, b.method, (one, other) => one === other)) return false;
  if (!coversList(a.host, b.host, coversHost)) return false;
  const wanted = lowerKeys(b.header ?? {});
  return Object.entries(lowerKeys(a.header ?? {})).every(
    ([name, value]) => wanted[name] !== undefined && (value === true || value === wanted[name]),
  );
}

function coversList(
  earlier: string | readonly string[] | undefined,
  later: string | readonly string[] | undefined,
  takes: (earlier: string, later: string) => boolean,
): boolean {
  if (earlier === undefined) return true;
  if (later === undefined) return false;
  return [later].flat().every((wanted) => [earlier].flat().some((taken) => takes(taken, wanted)));
}

function coversHost(earlier: string, later: string): boolean {
  const [a, b] = [earlier.toLowerCase(), later.toLowerCase()];
  if (!a.startsWith("*.")) return a === b;
  return b.endsWith(a.slice(1)) && b.length > a.length - 1;
}

function lowerKeys<T>(record: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key.toLowerCase(), value]));
}

/** The routes that are well formed in themselves, each with its index. */
function routesOf(document: Readonly<Record<string, unknown>>): [number, Route][] {
  const routes = document["routes"];
  if (!Array.isArray(routes)) return [];
  return routes.flatMap((route: unknown, index): [number, Route][] => {
    const parsed = routeSchema.safeParse(route);
    return parsed.success ? [[index, parsed.data]] : [];
  });
}

/** The origins that are well formed in themselves, each with its name. */
function originsOf(document: Readonly<Record<string, unknown>>): [string, Origin][] {
  if (!isRecord(document["origins"])) return [];
  return Object.entries(document["origins"]).flatMap(([name, origin]): [string, Origin][] => {
    const parsed = originSchema.safeParse(origin);
    return parsed.success ? [[name, parsed.data]] : [];
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
