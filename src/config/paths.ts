/**
 * The one notation for request paths in routes, and what it compiles to:
 *
 * | written | takes | compiled to |
 * |---|---|---|
 * | nothing, or `/*` | every path | any |
 * | `/a` | exactly `/a` | exact |
 * | `/a/*` | `/a`, `/a/b`, `/a/b/c`; not `/ab` | prefix `/a` (whole segments) |
 * | `/a/**` | what begins with `/a/`; not `/a` itself | prefix `/a/` |
 * | a `*` anywhere else | `*`: characters of one segment, `**`: any characters | pattern |
 */

/** A compiled path, as the plan carries it (native-bindings/proto/src/plan/route.rs, `PathMatch`). */
export type PathMatch =
  | { readonly kind: "any" }
  | { readonly kind: "exact"; readonly value: string }
  | { readonly kind: "prefix"; readonly value: string }
  | { readonly kind: "pattern"; readonly value: string };

/** Longest path a route may name, in characters. */
const PATH_CHARACTERS_MAX = 2048;

/** What is wrong with a path in this notation, or null. */
export function judgePath(path: string): string | null {
  if (!path.startsWith("/")) return `"${path}" must begin with "/"`;
  if (path.length > PATH_CHARACTERS_MAX) return `must be at most ${PATH_CHARACTERS_MAX} characters`;
  if (/[?#]/.test(path)) return `"${path}" must not have a query or fragment; routes look at the path only`;
  if (!/^[\x21-\x7e]*$/.test(path)) return `"${path}" must be visible ASCII; encode others as %XX`;
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return `"${path}" has a "%" that is not followed by two hex digits`;
  if (/\*{3}/.test(path)) return `"${path}" has three "*" in a row; "*" is one segment, "**" any characters`;
  return null;
}

/** Compiles a path that `judgePath` found nothing wrong with; undefined takes every path. */
export function compilePath(path: string | undefined): PathMatch {
  if (path === undefined || path === "/*" || path === "/**") return { kind: "any" };
  if (path.endsWith("/*") && !path.slice(0, -2).includes("*")) return { kind: "prefix", value: path.slice(0, -2) };
  if (path.endsWith("/**") && !path.slice(0, -2).includes("*")) return { kind: "prefix", value: path.slice(0, -2) };
  return path.includes("*") ? { kind: "pattern", value: path } : { kind: "exact", value: path };
}

/** Whether every path that `later` takes is taken by `earlier` too; false where that cannot be told for certain. */
export function coversPath(earlier: PathMatch, later: PathMatch): boolean {
  switch (earlier.kind) {
    case "any":
      return true;
    case "exact":
      return later.kind === "exact" && later.value === earlier.value;
    case "prefix":
      return later.kind !== "any" && isUnderPrefix(earlier.value, fixedPart(later), later.kind !== "pattern");
    case "pattern":
      return later.kind === "pattern" && later.value === earlier.value;
  }
}

/** The text every path taken by this match begins with. */
function fixedPart(path: Exclude<PathMatch, { readonly kind: "any" }>): string {
  return path.kind === "pattern" ? path.value.slice(0, path.value.indexOf("*")) : path.value;
}

function isUnderPrefix(prefix: string, path: string, whole: boolean): boolean {
  if (prefix.endsWith("/")) return path.startsWith(prefix);
  return path.startsWith(`${prefix}/`) || (whole && path === prefix);
}
