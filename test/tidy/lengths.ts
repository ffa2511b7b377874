/**
 * How long files and functions are, and the ratchet: what is over its bound may shrink, never grow. Functions are found
 * by indentation, which the formatters guarantee.
 */
import type { Source } from "./sources.js";

/** Most lines of a file. */
export const FILE_LINES_MAX = 400;
/** Most lines of a function: one screen. */
export const FUNCTION_LINES_MAX = 70;

/** Lengths of what is over its bound: of files by path, of functions by `path function`. */
export type Lengths = Readonly<Record<string, number>>;

/** What is over its bound now. */
export function overlong(files: readonly Source[]): Lengths {
  const found: Record<string, number> = {};
  for (const file of files) {
    const lines = file.text.trimEnd().split("\n").length;
    if (lines > FILE_LINES_MAX) found[file.path] = lines;
    for (const one of functionsOf(file)) {
      if (one.lines <= FUNCTION_LINES_MAX) continue;
      const key = `${file.path} ${one.name}`;
      found[key] = Math.max(one.lines, found[key] ?? 0);
    }
  }
  return found;
}

/** What breaks the ratchet, as sentences: new or grown lengths, and baseline entries that are no longer needed. */
export function brokenRatchet(now: Lengths, baseline: Lengths): readonly string[] {
  const grown = Object.entries(now).flatMap(([what, lines]) => {
    const before = baseline[what];
    const bound = what.includes(" ") ? FUNCTION_LINES_MAX : FILE_LINES_MAX;
    if (before === undefined) return [`${what} has ${lines} lines; at most ${bound} are allowed`];
    return lines > before ? [`${what} grew from ${before} to ${lines} lines; it may only shrink`] : [];
  });
  const stale = Object.entries(baseline).flatMap(([what, lines]) => {
    const present = now[what];
    if (present === undefined) return [`${what} is within its bound; take it out of test/tidy-baseline.json`];
    return present < lines ? [`${what} shrank to ${present} lines; say so in test/tidy-baseline.json`] : [];
  });
  return [...grown, ...stale];
}

interface FunctionLength {
  readonly name: string;
  readonly lines: number;
}

/** TypeScript: functions, methods and named arrow functions. Rust: fn items. */
const BEGINNINGS: Readonly<Record<string, RegExp>> = {
  ts: /^( *)(?:export )?(?:default )?(?:async )?(?:function\*? (\w+)|(?:(?:public|private|protected|static|override|async|get|set) )*(#?\w+)(?:<[^>]*>)?\((?!.*\) ?\);?$).*|const (\w+) = (?:async )?(?:function|\(|<).*)/,
  rs: /^( *)(?:pub(?:\([^)]*\))? )?(?:const |async |unsafe |extern "C" )*fn (\w+)/,
};
/** What looks like a method but is a statement, or a call of the test runner that holds many functions. */
const STATEMENTS: ReadonlySet<string> = new Set(
  "if for while switch catch return await assert describe it test before after beforeEach afterEach".split(" "),
);

function functionsOf(file: Source): readonly FunctionLength[] {
  const beginning = BEGINNINGS[file.path.endsWith(".rs") ? "rs" : "ts"];
  if (beginning === undefined) return [];
  return file.lines.flatMap((line, start) => {
    const found = beginning.exec(line);
    const name = found?.[2] ?? found?.[3] ?? found?.[4];
    if (found === null || name === undefined || STATEMENTS.has(name)) return [];
    const end = endOf(file.lines, start, found[1] ?? "");
    return end === null ? [] : [{ name, lines: end - start + 1 }];
  });
}

/** The line that closes the body begun at `start`, or null where there is no body (a call, a declaration, one line). */
function endOf(lines: readonly string[], start: number, indent: string): number | null {
  let opened = false;
  for (let at = start; at < lines.length; at++) {
    const line = lines[at] ?? "";
    const isOutside = line.startsWith(indent) && !line.startsWith(`${indent} `) && line !== "";
    if (at > start && isOutside) {
      // The end of a signature of several lines opens the body: `): Type {`.
      if (/^ *[)\]>].*\{$/.test(line) || /^ *\{$/.test(line)) {
        opened = true;
        continue;
      }
      if (/^ *where$/.test(line)) continue;
      return opened && /^ *\}/.test(line) ? at : null;
    }
    if (at === start && /\{$/.test(line)) opened = true;
    if (at === start && /[;,}]$/.test(line)) return null;
  }
  return null;
}
