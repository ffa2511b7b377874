/**
 * The series of routes: those with a place of their own in the stats block, and the others added up as route "other".
 */
import { OTHER_SLOT } from "../../config/route-slots.js";
import type { RouteCounts, RoutesReading } from "../../control/stats.js";
import type { Family, Sample } from "./exposition.js";
import { OTHER } from "./targets.js";

const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"] as const;

export function routeFamilies({ names, counts }: RoutesReading): readonly Family[] {
  const other = counts[OTHER_SLOT];
  const isAnyOther = other !== undefined && other.requests > 0;
  const told = [
    ...names.flatMap((route, slot) => {
      const of = counts[slot];
      return of === undefined ? [] : [{ route, of }];
    }),
    ...(isAnyOther ? [{ route: OTHER, of: other }] : []),
  ];
  const each = (value: (of: RouteCounts) => number): readonly Sample[] =>
    told.map(({ route, of }) => ({ labels: { route }, value: value(of) }));
  return [
    {
      name: "millrace_route_requests",
      type: "counter",
      help: 'Requests that took the route; those that no route matches are in none. Routes beyond the first 63 names are route "other".',
      samples: each((of) => of.requests),
    },
    {
      name: "millrace_route_answers",
      type: "counter",
      help: "Final answers to requests of the route, by class of their status; 1xx is a switch of protocols.",
      samples: told.flatMap(({ route, of }) =>
        CLASSES.map((kind) => ({ labels: { route, class: kind }, value: of[`answers_${kind}`] })),
      ),
    },
    {
      name: "millrace_route_exchange_seconds",
      type: "counter",
      unit: "seconds",
      help: "Time from complete heads of requests of the route to the ends of their answers, added up.",
      samples: each((of) => of.exchange_micros * 1e-6),
    },
  ];
}
