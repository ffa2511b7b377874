/**
 * Counts instructions of the data path, step by step and for a whole forwarded request on a kernel in memory, with callgrind:
 * `npm run bench:counts`. Each step runs twice with different numbers of repetitions; the difference divided by the
 * difference of the numbers is exact and free of start-up. The table bench/counts/instructions.json is committed; with
 * the compiler it was written by, a step that needs more than 3 % above it fails. Another compiler makes other code, so
 * then the figures are only shown.
 *
 * usage: instructions.js [--write]   (--write: make the counted figures the table)
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** From dist/bench/counts back to the root of the project. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const MANIFEST = join(ROOT, "native-bindings", "Cargo.toml");
const TABLE = join(ROOT, "bench", "counts", "instructions.json");
const FEW = 1_000;
const MANY = 3_000;
/** A step may need so much more than its figure in the table. */
const TOLERANCE = 1.03;

interface Table {
  readonly says: string;
  readonly writtenBy: string;
  readonly rustc: string;
  readonly cpu: string;
  readonly instructions: Readonly<Record<string, number>>;
}

/** Runs a program to its end and returns what it printed; fails when it did, unless its code is `allowed`. */
function run(program: string, words: readonly string[], allowed = 0): { readonly out: string; readonly err: string } {
  const ended = spawnSync(program, words, { encoding: "utf8", cwd: ROOT });
  if (ended.error !== undefined) throw ended.error;
  if (ended.status !== 0 && ended.status !== allowed) {
    throw new Error(`${program} ${words.join(" ")} ended with ${ended.status}:\n${ended.stderr}`);
  }
  return { out: ended.stdout, err: ended.stderr };
}

function build(): string {
  run("cargo", [
    "build",
    "--release",
    "--quiet",
    "--manifest-path",
    MANIFEST,
    "-p",
    "millrace-engine",
    "--example",
    "instructions",
  ]);
  const target = resolve(ROOT, process.env["CARGO_TARGET_DIR"] ?? join("native-bindings", "target"));
  return join(target, "release", "examples", "instructions");
}

function instructions(program: string, step: string, times: number): number {
  const { err } = run("valgrind", ["--tool=callgrind", "--callgrind-out-file=/dev/null", program, step, String(times)]);
  const found = /Collected : (\d+)/.exec(err);
  if (found?.[1] === undefined) throw new Error(`callgrind did not say what it collected:\n${err}`);
  return Number(found[1]);
}

function countAll(program: string): Readonly<Record<string, number>> {
  const steps = run(program, [], 64).out.trim().split("\n");
  return Object.fromEntries(
    steps.map((step) => {
      const more = instructions(program, step, MANY) - instructions(program, step, FEW);
      return [step, Math.round(more / (MANY - FEW))];
    }),
  );
}

/** Prints counted beside committed figures; returns the steps that need too much. */
function compare(counted: Readonly<Record<string, number>>, table: Table, isBinding: boolean): readonly string[] {
  const over: string[] = [];
  for (const [step, count] of Object.entries(counted)) {
    const committed = table.instructions[step];
    const ratio = committed === undefined ? "new" : (count / committed).toFixed(3);
    console.log(`${step.padEnd(22)} ${String(count).padStart(7)}   table ${committed ?? "-"}   ratio ${ratio}`);
    if (isBinding && (committed === undefined || count > committed * TOLERANCE)) over.push(step);
  }
  return over;
}

function main(): number {
  if (spawnSync("valgrind", ["--version"]).status !== 0) {
    console.log("instructions: skipped, because valgrind is not installed here (Debian: apt install valgrind)");
    return 0;
  }
  const { values } = parseArgs({ options: { write: { type: "boolean", default: false } } });
  const rustc = run("rustc", ["--version"]).out.trim();
  const counted = countAll(build());
  if (values.write) {
    const table: Table = {
      says: "Instructions of one repetition of each step, user space only; forward_* is a whole exchange on kept connections over a kernel in memory.",
      writtenBy: "npm run bench:counts -- --write",
      rustc,
      cpu: process.arch,
      instructions: counted,
    };
    writeFileSync(TABLE, `${JSON.stringify(table, null, 2)}\n`);
  }
  const table = JSON.parse(readFileSync(TABLE, "utf8")) as Table;
  const isBinding = table.rustc === rustc && table.cpu === process.arch;
  if (!isBinding) console.log(`shown only: the table was written by ${table.rustc} for ${table.cpu}`);
  const over = compare(counted, table, isBinding);
  if (over.length > 0) console.log(`more than ${TOLERANCE} times their figure in the table: ${over.join(", ")}`);
  return over.length > 0 ? 1 : 0;
}

process.exitCode = main();
