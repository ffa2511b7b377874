/**
 * Turns what zod found wrong into complaints an operator can act on: path, one sentence, and a suggestion for words
 * nobody knows.
 */
import type { z } from "zod";
import type { Complaint } from "../shared/errors.js";
import { suggestion } from "./suggest.js";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** Every complaint in zod's issues. `keysAt` says which keys may stand in the object at a path. */
export function complaintsOf(issues: readonly Issue[], keysAt: (path: Path) => readonly string[]): Complaint[] {
  return issues.flatMap((issue) => complaintsOfIssue(issue, [], keysAt));
}

/** `routes[2].match.header["x-a"]`. */
export function describePath(path: Path): string {
  let described = "";
  for (const step of path) {
    if (typeof step === "number") described += `[${step}]`;
    else if (/^[A-Za-z_$][\w$-]*$/.test(String(step)))
      described += described === "" ? String(step) : `.${String(step)}`;
    else described += `[${JSON.stringify(String(step))}]`;
  }
  return described;
}

function complaintsOfIssue(issue: Issue, above: Path, keysAt: (path: Path) => readonly string[]): Complaint[] {
  const path = [...above, ...issue.path];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => ({
        path: describePath([...path, key]),
        says: `is not a setting${suggestion(key, keysAt(path))}`,
      }));
    case "invalid_union": {
      const branch = nearestBranch(issue.errors);
      if (branch === null) return [{ path: describePath(path), says: describeUnion(issue) }];
      return branch.flatMap((inner) => complaintsOfIssue(inner, path, keysAt));
    }
    case "invalid_key":
      return issue.issues.map((inner) => ({ path: describePath(path), says: inner.message }));
    case "invalid_type":
      return [{ path: describePath(path), says: describeType(issue) }];
    default:
      return [{ path: describePath(path), says: lowerFirst(issue.message) }];
  }
}

/**
 * The branch of a union that was meant: one that failed deeper than at its root or for another reason than its type. An
 * object with one wrong key was meant as that object, not as the `false` beside it.
 */
function nearestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | null {
  const meant = branches.filter((issues) => !issues.some((issue) => issue.path.length === 0 && isOfType(issue)));
  return meant.reduce<readonly Issue[] | null>(
    (best, issues) => (best === null || issues.length < best.length ? issues : best),
    null,
  );
}

function isOfType(issue: Issue): boolean {
  if (issue.code === "invalid_type" || issue.code === "invalid_value") return true;
  return issue.code === "invalid_union" && nearestBranch(issue.errors) === null;
}

function describeUnion(issue: Extract<Issue, { readonly code: "invalid_union" }>): string {
  if (issue.message !== "Invalid input") return lowerFirst(issue.message);
  const expected = new Set(issue.errors.flat().flatMap((inner) => expectedOf(inner)));
  return expected.size === 0 ? "is not valid here" : `must be ${[...expected].join(" or ")}`;
}

function expectedOf(issue: Issue): readonly string[] {
  if (issue.code === "invalid_type") return [describeExpected(issue.expected)];
  if (issue.code === "invalid_value") return issue.values.map((value) => JSON.stringify(value));
  return issue.code === "invalid_union" ? issue.errors.flat().flatMap((inner) => expectedOf(inner)) : [];
}

function describeType(issue: Extract<Issue, { readonly code: "invalid_type" }>): string {
  if (!issue.message.startsWith("Invalid input")) return lowerFirst(issue.message);
  if (issue.input === undefined && issue.message.includes("received undefined")) return "is missing";
  return `must be ${describeExpected(issue.expected)}`;
}

function describeExpected(expected: string): string {
  switch (expected) {
    case "object":
    case "record":
      return "an object";
    case "array":
      return "a list";
    case "string":
      return "a text";
    case "boolean":
      return "true or false";
    case "int":
      return "a whole number";
    default:
      return expected;
  }
}

function lowerFirst(message: string): string {
  return message
    .replace(/^Invalid (input|option): e/, "e")
    .replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase());
}
