/**
 * Compiles routes: what they match, what they do, by which policies they forward, and what of it is cached.
 */
import { compileOutcomes, compileStatuses } from "./outcomes.js";
import { compilePath, type PathMatch } from "./paths.js";
import { compileRouteCache } from "./plan-cache.js";
import { nameOfEscalation } from "./plan-origins.js";
import type {
  PlanAction,
  PlanEscalation,
  PlanFieldEdit,
  PlanFieldLine,
  PlanForwardPolicy,
  PlanRetry,
  PlanReusePolicy,
  PlanRewrite,
  PlanRoute,
} from "./plan-types.js";
import type { RouteSlots } from "./route-slots.js";
import type { Settings } from "./settings.js";
import { FORWARD_DEFAULTS } from "./settings-policies.js";
import { schemeOf } from "./settings-routes.js";

type Route = NonNullable<Settings["routes"]>[number];

/** The routes, with origins by their index in `origins`. */
export function compileRoutes(settings: Settings, origins: readonly string[], slots: RouteSlots): PlanRoute[] {
  const routes = settings.routes ?? [{ name: "all", forwardTo: origins[0] ?? "" }];
  return routes.map((route, index) => {
    const match = route.match ?? {};
    const path = compilePath(match.path);
    const scheme = schemeOf(route);
    const cache = compileRouteCache(route.cache ?? FORWARD_DEFAULTS.cache);
    const name = route.name ?? `route-${index + 1}`;
    return {
      name,
      slot: slots.slotOf(name),
      hosts: listOf(match.host).map((host) => host.toLowerCase()),
      path,
      methods: listOf(match.method),
      headers: Object.entries(match.header ?? {}).map(([name, value]) => ({
        name: name.toLowerCase(),
        value: value === true ? null : value,
      })),
      ...(scheme === undefined ? {} : { secure: scheme === "https" }),
      action: compileAction(route, path, origins),
      ...(cache === null ? {} : { cache }),
    };
  });
}

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
    return { kind: "redirect", status: route.redirect.status, location: locationOf(route.redirect) };
  }
  return {
    kind: "forward",
    origin: indexOf(route.forwardTo ?? "", origins),
    rewrite: compileRewrite(route.rewrite, path),
    requestFields: compileEdits(route.requestHeaders),
    answerFields: compileEdits(route.responseHeaders),
    policy: compilePolicy(route, origins),
  };
}

/** The name without its port: that of the plain listener is not that of the other. */
function locationOf({ to, port = 443 }: NonNullable<Route["redirect"]>): string {
  return to ?? `https://{name}${port === 443 ? "" : `:${port}`}{path}`;
}

function compilePolicy(route: Route, origins: readonly string[]): PlanForwardPolicy {
  const { timeouts, limits } = route;
  return {
    unrepeatable: compileReuse(route.unrepeatable ?? FORWARD_DEFAULTS.unrepeatable),
    firstByteMs: timeouts?.firstByteMs ?? null,
    betweenBytesMs: timeouts?.betweenBytesMs ?? null,
    totalMs: timeouts?.totalMs ?? null,
    retry: compileRetry(route.retry ?? FORWARD_DEFAULTS.retry),
    escalate: (route.escalate ?? []).map((rule): PlanEscalation => {
      return {
        ...compileOutcomes(rule.on),
        origin: indexOf(nameOfEscalation(rule.to), origins),
        anyMethod: rule.anyMethod,
        cacheS: rule.cacheS,
      };
    }),
    answers: (route.answers ?? []).map(({ on, status, headers, body }) => ({
      faults: on === undefined ? [] : compileOutcomes(on).faults,
      status,
      fields: linesOf(headers),
      body: Buffer.from(body, "utf8"),
    })),
    halfClose: route.halfClose ?? FORWARD_DEFAULTS.halfClose,
    connectionAuth: route.connectionAuth ?? FORWARD_DEFAULTS.connectionAuth,
    requestBodyBytes: limits?.requestBodyBytes ?? null,
    answerBodyBytes: limits?.answerBodyBytes ?? 0,
  };
}

function compileReuse(policy: NonNullable<Route["unrepeatable"]>): PlanReusePolicy {
  return typeof policy === "string" ? { kind: policy } : { kind: "reuseIfRecent", withinMs: policy.reuseIfRecentMs };
}

function compileRetry(retry: NonNullable<Route["retry"]>): PlanRetry {
  if (retry === false) return { ...FORWARD_DEFAULTS.retry, statuses: [], attempts: 1 };
  return { ...retry, statuses: compileStatuses(retry.statuses) };
}

function indexOf(name: string, origins: readonly string[]): number {
  const index = origins.indexOf(name);
  if (index < 0) throw new Error(`compilePlan: no origin is called "${name}"`);
  return index;
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
