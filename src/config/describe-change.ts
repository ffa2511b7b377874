/**
 * A change of plans in words an operator knows: by the paths of the settings, without values (keys are among them).
 */
import { describePath } from "./complaints.js";
import type { ListChange, OriginChange, PlanChange } from "./diff.js";
import type { Plan, PlanOrigin, PlanTarget } from "./plan-types.js";

/** One thing that is another now. */
export interface Change {
  /** Where in the settings, e.g. `origins.api.targets`. */
  readonly path: string;
  /** What became of it. */
  readonly says: string;
}

/** What changed, in the order of the settings. */
export function describeChange(before: Plan, change: PlanChange): readonly Change[] {
  return [
    ...Object.keys(change.globals).map((key) => ({ path: key, says: "changed" })),
    ...[...change.listeners].map(([place, { name, gone }]) => {
      const was = before.listeners[place];
      const isNew = was === undefined || was.gone === true;
      return { path: `listeners: ${name}`, says: gone === true ? "removed" : isNew ? "added" : "changed" };
    }),
    ...describeList("origins", change.origins, describeOrigin),
    ...describeList("routes", change.routes, (path) => [{ path, says: "changed" }]),
  ];
}

function describeList<T>(
  path: string,
  { removed, added, changed, order }: ListChange<T>,
  describe: (path: string, item: T) => readonly Change[],
): readonly Change[] {
  const all = [
    ...removed.map((key) => ({ path: describePath([path, key]), says: "removed" })),
    ...[...added.keys()].map((key) => ({ path: describePath([path, key]), says: "added" })),
    ...[...changed].flatMap(([key, item]) => describe(describePath([path, key]), item)),
  ];
  return all.length === 0 && order !== null ? [{ path, says: "in another order" }] : all;
}

function describeOrigin(path: string, change: PlanOrigin | OriginChange): readonly Change[] {
  if ("name" in change) return [{ path, says: "changed" }];
  const { fields, without, targets } = change;
  return [
    ...[...Object.keys(fields), ...without].map((key) => ({ path: `${path}.${key}`, says: "changed" })),
    ...describeTargets(`${path}.targets`, targets),
  ];
}

function describeTargets(path: string, { removed, added, changed, order }: ListChange<PlanTarget>): readonly Change[] {
  const placeOf = (key: string) => key.split(" ").slice(0, 2).join(" at ");
  const all = [
    ...removed.map((key) => ({ path, says: `${placeOf(key)} removed` })),
    ...[...added.keys()].map((key) => ({ path, says: `${placeOf(key)} added` })),
    ...[...changed.keys()].map((key) => ({ path, says: `${placeOf(key)} changed` })),
  ];
  return all.length === 0 && order !== null ? [{ path, says: "in another order" }] : all;
}
