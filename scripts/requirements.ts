/**
 * `npm run requirements`: every requirement of docs/requirements.json with the tests named by its id, and those without
 * one. A test is named by an id that stands in its title (`S0-14`) or, in Rust, in its function's name (`s0_14_…`).
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const LIST = join("docs", "requirements.json");

export const CONCERNS = ["origins", "clients", "tls", "h2", "cache", "operating"] as const;
export const WAITS = ["Cache", "Operating"] as const;

/** Concerns whose requirements must each have a test by now. */
const DUE: readonly string[] = [
  "origins",
  "clients",
  "tls",
  "h2",
  "cache",
] satisfies readonly (typeof CONCERNS)[number][];

/** One promise of the product. */
export interface Requirement {
  readonly id: string;
  readonly meaning: string;
  readonly concern: (typeof CONCERNS)[number];
  /** What must be there before it can be kept. */
  readonly waitingFor?: (typeof WAITS)[number];
}

/** A test that carries the id of a requirement. */
export interface NamedTest {
  readonly id: string;
  readonly file: string;
  readonly title: string;
}

/** A requirement with its tests. */
export interface Covered {
  readonly requirement: Requirement;
  readonly tests: readonly NamedTest[];
}

/** The titles in a TypeScript test that carry ids: string literals outside of comments. */
export function testsInTypeScript(file: string, text: string): readonly NamedTest[] {
  const code = text.split("\n").filter((line) => !/^\s*(?:\/\/|\/?\*)/.test(line));
  return code.flatMap((line) =>
    [...line.matchAll(/(["'`])((?:\\.|(?!\1).)*)\1/g)].flatMap((found) => {
      const title = found[2] ?? "";
      const ids = title.match(/\bS[0-4]-\d\d\b/g) ?? [];
      return [...new Set(ids)].map((id) => ({ id, file, title }));
    }),
  );
}

/** The test functions of a Rust file whose names carry ids. */
export function testsInRust(file: string, text: string): readonly NamedTest[] {
  const functions = text.matchAll(/#\[test\]\s*(?:#\[[^\]]*\]\s*)*(?:\/\/[^\n]*\s*)*fn (\w+)/g);
  return [...functions].flatMap((found) => {
    const title = found[1] ?? "";
    const ids = [...title.matchAll(/(?:^|_)s([0-4])_(\d\d)(?=_|$)/g)];
    return ids.map(([, part, number]) => ({ id: `S${part}-${number}`, file, title }));
  });
}

/** Reads the list as it is committed. */
export function readRequirements(): readonly Requirement[] {
  return JSON.parse(readFileSync(join(ROOT, LIST), "utf8")) as Requirement[];
}

/** Every test of the repository that carries an id. */
export function findTests(): readonly NamedTest[] {
  // The suites of test/addon are shared by one test file a line of Node.
  const typescript = filesUnder("test", (path) => path.endsWith(".test.ts") || dirname(path) === join("test", "addon"));
  const rust = filesUnder("native-bindings", (path) => path.endsWith(".rs"));
  return [
    ...typescript.flatMap((path) => testsInTypeScript(path, readFileSync(join(ROOT, path), "utf8"))),
    ...rust.flatMap((path) => testsInRust(path, readFileSync(join(ROOT, path), "utf8"))),
  ];
}

function filesUnder(folder: string, wanted: (path: string) => boolean): readonly string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "target" ? [] : filesUnder(path, wanted);
    return wanted(path) ? [path] : [];
  });
}

/** Puts tests and requirements together. */
export function cover(requirements: readonly Requirement[], tests: readonly NamedTest[]): readonly Covered[] {
  return requirements.map((requirement) => ({ requirement, tests: tests.filter((one) => one.id === requirement.id) }));
}

/** Whether this one should have a test and has none. */
export function isMissing({ requirement, tests }: Covered): boolean {
  return tests.length === 0 && requirement.waitingFor === undefined && DUE.includes(requirement.concern);
}

/** Tests whose id is in no list. */
export function strangers(requirements: readonly Requirement[], tests: readonly NamedTest[]): readonly NamedTest[] {
  const known = new Set(requirements.map((one) => one.id));
  return tests.filter((one) => !known.has(one.id));
}

function print(covered: readonly Covered[]): void {
  for (const one of covered) {
    const { id, meaning, waitingFor } = one.requirement;
    const waits = waitingFor === undefined ? "" : ` [waits for ${waitingFor}]`;
    console.log(`${id} ${meaning}${waits}`);
    for (const { file, title } of one.tests) console.log(`      ${relative(".", file)}: ${title}`);
    if (isMissing(one)) console.log("      no test");
  }
}

function main(): void {
  const [requirements, tests] = [readRequirements(), findTests()];
  const covered = cover(requirements, tests);
  print(covered);
  const missing = covered.filter(isMissing).map(({ requirement }) => requirement.id);
  const waiting = covered.filter(({ requirement }) => requirement.waitingFor !== undefined);
  const unknown = strangers(requirements, tests).map(({ id, file }) => `${id} in ${file}`);
  console.log(`\n${requirements.length} requirements, ${tests.length} tests; ${waiting.length} wait for other parts`);
  if (unknown.length > 0) console.log(`not in ${LIST}: ${unknown.join(", ")}`);
  console.log(missing.length === 0 ? "none is without a test" : `without a test: ${missing.join(", ")}`);
  process.exitCode = missing.length + unknown.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
