/**
 * What changes from one plan to the next: the smallest change, which applied to the one gives the other. Listeners are told
 * apart by their places, which they keep for life (`placeListeners`); origins, targets and routes by their names, so that
 * what only moves in a list has not changed. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import type { Plan, PlanAction, PlanListener, PlanOrigin, PlanRoute, PlanTarget } from "./plan-types.js";

/** Most places of listeners, as `LISTENERS_MAX` of the core: those that are gone keep theirs. */
export const LISTENERS_MAX = 1024;

type Globals = Omit<Plan, "listeners" | "origins" | "routes">;
type OriginFields = Omit<PlanOrigin, "targets">;
type OptionalKey = "unresolved" | "http" | "tls";

/** A change of one origin that stays. */
export interface OriginChange {
  readonly fields: Partial<OriginFields>;
  /** Fields that it had and has no more. */
  readonly without: readonly OptionalKey[];
  readonly targets: ListChange<PlanTarget>;
}

/** A route whose origins are named, since their places change when others come and go. */
export interface NamedRoute {
  readonly route: PlanRoute;
  /** Where it forwards to, then where it escalates to; empty = it does neither. */
  readonly origins: readonly string[];
}

/** A change of a list whose items have keys. */
export interface ListChange<T> {
  readonly removed: readonly string[];
  readonly added: ReadonlyMap<string, T>;
  readonly changed: ReadonlyMap<string, T>;
  /** All keys in their new order; null = the old one holds, without the removed and with the added at the end. */
  readonly order: readonly string[] | null;
}

/** From one plan to another. */
export interface PlanChange {
  readonly globals: Partial<Globals>;
  /** By place; a place beyond the last is a new listener's. */
  readonly listeners: ReadonlyMap<number, PlanListener>;
  readonly origins: ListChange<PlanOrigin | OriginChange>;
  readonly routes: ListChange<NamedRoute>;
}

/** Whether a listener, written at an address, is the one at this place. */
function isAt(one: PlanListener, other: PlanListener): boolean {
  return one.address === other.address && one.port === other.port;
}

/**
 * Gives the listeners of a plan the places they have in the plan before: the same address is the same listener. What the
 * new plan is without stays at its place as gone, for those who are connected; what is new goes behind.
 */
export function placeListeners(before: Plan, after: Plan): Plan {
  const left = [...after.listeners];
  const places = before.listeners.map((old): PlanListener => {
    const named = left.findIndex((one) => isAt(one, old) && one.name === old.name);
    const found = named < 0 ? left.findIndex((one) => isAt(one, old)) : named;
    const [kept] = found < 0 ? [] : left.splice(found, 1);
    return kept ?? { ...old, gone: true };
  });
  return { ...after, listeners: [...places, ...left] };
}

/** What has to change. Both plans have their listeners at their places. */
export function diffPlans(before: Plan, after: Plan): PlanChange {
  const { listeners, origins, routes, ...globals } = after;
  const { listeners: oldListeners, origins: oldOrigins, routes: oldRoutes, ...oldGlobals } = before;
  const changedPlaces = [...listeners.entries()].filter(([place, one]) => !isDeepStrictEqual(one, oldListeners[place]));
  return {
    globals: changedFields(oldGlobals, globals),
    listeners: new Map(changedPlaces),
    origins: diffLists(keyed(oldOrigins, nameOf), keyed(origins, nameOf), diffOrigins),
    routes: diffLists(keyed(nameOrigins(before), nameOfRoute), keyed(nameOrigins(after), nameOfRoute), (_, now) => now),
  };
}

/** Nothing changes. */
export function isNoChange({ globals, listeners, origins, routes }: PlanChange): boolean {
  return Object.keys(globals).length === 0 && listeners.size === 0 && isSameList(origins) && isSameList(routes);
}

/** The plan that a change makes of the one it was found from. */
export function applyChange(before: Plan, { globals, listeners, origins, routes }: PlanChange): Plan {
  const { listeners: oldListeners, origins: oldOrigins, routes: oldRoutes, ...oldGlobals } = before;
  const count = Math.max(oldListeners.length, ...[...listeners.keys()].map((place) => place + 1));
  const places = Array.from({ length: count }, (_, place) => listeners.get(place) ?? oldListeners[place]);
  const newOrigins = applyList(keyed(oldOrigins, nameOf), origins, applyOrigin);
  const placeOf = new Map(newOrigins.map(({ name }, place) => [name, place]));
  const newRoutes = applyList(keyed(nameOrigins(before), nameOfRoute), routes, (_, now) => now);
  return {
    ...oldGlobals,
    ...globals,
    listeners: places.filter((one) => one !== undefined),
    origins: newOrigins,
    routes: newRoutes.map(({ route, origins: names }) =>
      withOrigins(
        route,
        names.map((name) => placeOf.get(name) ?? -1),
      ),
    ),
  };
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}

function nameOfRoute({ route }: NamedRoute): string {
  return route.name;
}

function keyOfTarget({ label, address, port }: PlanTarget): string {
  return `${label} ${address} ${port}`;
}

function diffOrigins(before: PlanOrigin, after: PlanOrigin): OriginChange {
  const { targets, ...fields } = after;
  const { targets: oldTargets, ...oldFields } = before;
  return {
    fields: changedFields(oldFields, fields),
    without: (["unresolved", "http", "tls"] as const).filter((key) => key in oldFields && !(key in fields)),
    targets: diffLists(keyed(oldTargets, keyOfTarget), keyed(targets, keyOfTarget), (_, now) => now),
  };
}

function applyOrigin(before: PlanOrigin | undefined, change: PlanOrigin | OriginChange): PlanOrigin {
  if (before === undefined || "name" in change) return change as PlanOrigin;
  const { targets, ...fields } = before;
  const kept = Object.entries(fields).filter(([key]) => !change.without.some((one) => one === key));
  return {
    ...(Object.fromEntries(kept) as OriginFields),
    ...change.fields,
    targets: applyList(keyed(targets, keyOfTarget), change.targets, (_, now) => now),
  };
}

/** Fields of the second that the first has not, or has otherwise. */
function changedFields<T extends object>(before: T, after: T): Partial<T> {
  const changed = (Object.keys(after) as (keyof T)[]).filter((key) => !isDeepStrictEqual(before[key], after[key]));
  return Object.fromEntries(changed.map((key) => [key, after[key]])) as Partial<T>;
}

/** Items by key; of those with one name the second is `name#2`. */
function keyed<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, T> {
  const found = new Map<string, T>();
  for (const item of items) {
    let key = keyOf(item);
    for (let count = 2; found.has(key); count += 1) key = `${keyOf(item)}#${count}`;
    found.set(key, item);
  }
  return found;
}

function diffLists<T, C>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  changeOf: (before: T, after: T) => C,
): ListChange<T | C> {
  const removed = [...before.keys()].filter((key) => !after.has(key));
  const added = new Map([...after].filter(([key]) => !before.has(key)));
  const changed = new Map<string, C>();
  for (const [key, now] of after) {
    const was = before.get(key);
    if (was !== undefined && !isDeepStrictEqual(was, now)) changed.set(key, changeOf(was, now));
  }
  const kept = [...before.keys()].filter((key) => after.has(key));
  const order = [...after.keys()];
  return { removed, added, changed, order: isDeepStrictEqual([...kept, ...added.keys()], order) ? null : order };
}

function isSameList<T>({ removed, added, changed, order }: ListChange<T>): boolean {
  return removed.length === 0 && added.size === 0 && changed.size === 0 && order === null;
}

function applyList<T, C>(
  before: ReadonlyMap<string, T>,
  { removed, added, changed, order }: ListChange<C>,
  apply: (before: T | undefined, change: C) => T,
): readonly T[] {
  const gone = new Set(removed);
  const kept = [...before.keys()].filter((key) => !gone.has(key));
  return (order ?? [...kept, ...added.keys()]).map((key) => {
    const [was, change] = [before.get(key), changed.get(key) ?? added.get(key)];
    if (change !== undefined) return apply(added.has(key) ? undefined : was, change);
    if (was === undefined) throw new Error(`applyChange: there is no ${key}`);
    return was;
  });
}

/** Routes by the names of their origins. In their place the routes have 0. */
function nameOrigins({ origins, routes }: Plan): readonly NamedRoute[] {
  return routes.map((route) => ({
    route: withOrigins(route, []),
    origins: placesOf(route.action).map((place) => origins[place]?.name ?? ""),
  }));
}

function placesOf(action: PlanAction): readonly number[] {
  if (action.kind !== "forward") return [];
  return [action.origin, ...action.policy.escalate.map((rule) => rule.origin)];
}

function withOrigins(route: PlanRoute, [first = 0, ...others]: readonly number[]): PlanRoute {
  const { action } = route;
  if (action.kind !== "forward") return route;
  const escalate = action.policy.escalate.map((rule, index) => ({ ...rule, origin: others[index] ?? 0 }));
  return { ...route, action: { ...action, origin: first, policy: { ...action.policy, escalate } } };
}
