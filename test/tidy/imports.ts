/**
 * Who may import whom: the rules of docs/ARCHITECTURE.md as a table, and what breaks them.
 */
import { posix } from "node:path";
import type { Source } from "./sources.js";

/** One area of the tree: the files it holds, and the areas or files it may import beside itself. */
interface Area {
  readonly holds: string;
  readonly mayImport: readonly string[];
}

/** The first area that holds a file counts. A name that ends in "/" stands for everything below it. */
const AREAS: readonly Area[] = [
  { holds: "src/shared/", mayImport: [] },
  { holds: "src/config/", mayImport: ["src/shared/"] },
  { holds: "src/native.ts", mayImport: ["src/shared/"] },
  { holds: "src/version.ts", mayImport: [] },
  { holds: "src/control/", mayImport: ["src/config/", "src/shared/", "src/native.ts"] },
  { holds: "src/admin/", mayImport: ["src/control/", "src/config/", "src/shared/"] },
  {
    holds: "src/cli/",
    mayImport: [
      "src/millrace.ts",
      "src/lifecycle.ts",
      "src/control/",
      "src/admin/",
      "src/config/",
      "src/shared/",
      "src/native.ts",
      "src/version.ts",
    ],
  },
  // Where the parts are put together, and the public door to it.
  { holds: "src/", mayImport: ["src/"] },
  { holds: "workers/", mayImport: ["src/shared/", "src/config/plan-types.ts", "src/native.ts"] },
  { holds: "scripts/", mayImport: ["src/"] },
  { holds: "bench/", mayImport: ["src/", "test/support/"] },
  { holds: "test/", mayImport: ["src/", "workers/", "scripts/"] },
  { holds: "examples/", mayImport: ["src/"] },
];

/** Where programs and threads begin: whatever none of these reaches is dead. */
const ENTRIES: readonly string[] = [
  "src/index.ts",
  "src/cli/main.ts",
  "workers/acceptor.ts",
  "workers/edge.ts",
  "src/config/program-reader.ts",
  "src/admin/dashboard/main.tsx",
  "workers/store.ts",
  "workers/store/trial.ts",
];

/** An import of one file of ours by another. */
interface Import {
  readonly from: string;
  readonly to: string;
}

/** Every import among the given files, type-only ones included. */
export function importsAmong(files: readonly Source[]): readonly Import[] {
  return files.flatMap((file) =>
    [...file.text.matchAll(/(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)].map((found) => ({
      from: file.path,
      to: posix
        .join(posix.dirname(file.path), found[1] ?? "")
        .replace(/\.js$/, ".ts")
        .replace(/\.jsx$/, ".tsx"),
    })),
  );
}

/** Imports that no rule allows, as sentences. */
export function forbiddenImports(imports: readonly Import[]): readonly string[] {
  return imports
    .filter(({ from, to }) => {
      const area = AREAS.find((one) => isIn(from, one.holds));
      return area === undefined || ![area.holds, ...area.mayImport].some((allowed) => isIn(to, allowed));
    })
    .map(({ from, to }) => `${from} must not import ${to}`);
}

/** Imports that close a circle, as one sentence each. */
export function cycles(imports: readonly Import[]): readonly string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to]);
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]) => {
    if (path.includes(file)) {
      found.push([...path.slice(path.indexOf(file)), file].join(" → "));
      return;
    }
    if (done.has(file)) return;
    for (const imported of next.get(file) ?? []) visit(imported, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
  return found;
}

/** Files of src/ and workers/ that no entry reaches. */
export function deadFiles(files: readonly Source[], imports: readonly Import[]): readonly string[] {
  const reached = new Set<string>();
  const reach = (file: string) => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const { from, to } of imports) if (from === file) reach(to);
  };
  for (const entry of ENTRIES) reach(entry);
  const ours = files.filter((file) => /^(src|workers)\//.test(file.path));
  return ours.map((file) => file.path).filter((path) => !reached.has(path));
}

function isIn(path: string, place: string): boolean {
  return place.endsWith("/") ? path.startsWith(place) : path === place;
}
