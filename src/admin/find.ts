/**
 * Finds what a method and a path come to among the routes: an operation with the segments it takes, or a refusal.
 */
import { type Answer, problem } from "./answers.js";
import { METHODS, type Operation, ROUTES, type Route } from "./routes.js";

/** An operation that was asked for. */
export interface Found {
  readonly operation: Operation;
  readonly segments: readonly string[];
}

/** Routes that are made of the others: the document that describes them. */
export function findOperation(method: string, path: string, more: readonly Route[] = []): Found | Answer {
  const routes = [...ROUTES, ...more];
  for (const { path: pattern, operations } of routes) {
    const segments = matchPath(pattern, path);
    if (segments === null) continue;
    if (segments === "undecodable") return problem(400, "The path has a percent sign that begins no UTF-8.");
    const name = METHODS.find((one) => one === (method === "HEAD" ? "GET" : method));
    const operation = name === undefined ? undefined : operations[name];
    if (operation !== undefined) return { operation, segments };
    const there = METHODS.filter((one) => operations[one] !== undefined);
    const allow = there.flatMap((one) => (one === "GET" ? ["GET", "HEAD"] : [one])).join(", ");
    return { kind: "problem", status: 405, detail: `${path} answers ${there.join(" and ")} only.`, allow };
  }
  return problem(404, `The admin API has ${routes.map((route) => route.path).join(", ")}.`);
}

function matchPath(pattern: string, path: string): readonly string[] | "undecodable" | null {
  const [wanted, given] = [pattern.split("/"), path.split("/")];
  const isOpen = (segment: string) => segment.startsWith("{");
  if (wanted.length !== given.length) return null;
  if (!wanted.every((segment, at) => isOpen(segment) || segment === given[at])) return null;
  try {
    return given.filter((_, at) => isOpen(wanted[at] ?? "")).map(decodeURIComponent);
  } catch {
    return "undecodable";
  }
}
