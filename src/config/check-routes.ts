/**
 * Rules between the settings of routes: exactly one action, only what belongs to it, origins that are there, an order in
 * which every route can match.
 */
import type { Complaint } from "../shared/errors.js";
import { coversHost, type Document, isRecord, originNames, type Route, routesOf } from "./document.js";
import { compilePath, coversPath } from "./paths.js";
import { judgeBodyOf } from "./settings-fields.js";
import { forwardPolicies } from "./settings-policies.js";
import { schemeOf } from "./settings-routes.js";
import { suggestion } from "./suggest.js";

/** What says something about forwarding. */
const BESIDE_FORWARD = [
  "rewrite",
  "requestHeaders",
  "responseHeaders",
  ...(Object.keys(forwardPolicies) as (keyof typeof forwardPolicies)[]),
] as const;

/** What contradicts itself in routes, or names what is not there. */
export function judgeRoutes(document: Document): Complaint[] {
  const origins = originNames(document);
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
    ...judgeRedirect(route, `routes[${index}]`),
  ]);
  return [...actions, ...parts];
}

function judgeOrigin(route: Document, at: string, origins: readonly string[]): Complaint[] {
  const name = route["forwardTo"];
  if (typeof name !== "string" || origins.includes(name)) return [];
  return [{ path: `${at}.forwardTo`, says: `no origin is called "${name}"${suggestion(name, origins)}` }];
}

function judgeAction(route: Document, at: string): Complaint[] {
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
    for (const key of BESIDE_FORWARD) {
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

function judgeRedirect(route: Route, at: string): Complaint[] {
  const { redirect } = route;
  if (redirect === undefined) return [];
  const { to, scheme, port } = redirect;
  if ((to === undefined) === (scheme === undefined)) {
    return [{ path: `${at}.redirect`, says: "needs either to or scheme" }];
  }
  if (scheme !== undefined && route.match?.scheme === "https") {
    return [{ path: `${at}.match.scheme`, says: 'is "https": what came over TLS is where this redirect leads' }];
  }
  if (scheme !== undefined || port === undefined) return [];
  return [{ path: `${at}.redirect.port`, says: "has a meaning beside scheme only" }];
}

function judgeAnswer(route: Route, at: string): Complaint[] {
  const wrong = route.answer === undefined ? null : judgeBodyOf(route.answer.status, route.answer.body);
  return wrong === null ? [] : [{ path: `${at}.answer.body`, says: wrong }];
}

/** A route that can never match, because an earlier one takes everything it could take, is a mistake of order. */
export function warnAboutRoutes(document: Document): Complaint[] {
  const routes = routesOf(document);
  return routes.flatMap(([index, route], position) => {
    const hiding = routes.slice(0, position).find(([, earlier]) => covers(earlier, route));
    if (hiding === undefined) return [];
    const name = hiding[1].name === undefined ? "" : ` ("${hiding[1].name}")`;
    return [{ path: `routes[${index}]`, says: `can never match: routes[${hiding[0]}]${name} takes all of it before` }];
  });
}

/** Whether `earlier` takes every request that `later` could take; false where that cannot be told for certain. */
function covers(earlier: Route, later: Route): boolean {
  const a = earlier.match ?? {};
  const b = later.match ?? {};
  const scheme = schemeOf(earlier);
  if (scheme !== undefined && scheme !== schemeOf(later)) return false;
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

function lowerKeys<T>(record: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key.toLowerCase(), value]));
}
