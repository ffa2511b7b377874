/**
 * `npm test`: runs every test of the repository, group by group, and ends with one plain line: `N passed, N failed`.
 * `npm test -- --only unit` runs one group (several: `--only unit,native`); `--list` names them.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const TESTS = fileURLToPath(new URL(".", import.meta.url));
const WORKSPACE = join("native-bindings", "Cargo.toml");

/** Test files that run at once: scenarios measure time, so they must not crowd each other out. */
const FILES_AT_ONCE = 2;
/** Longest a test may take, in ms; to the runner a whole file is one too. */
const TEST_MS_MAX = 240_000;

/** How many tests passed and failed. */
interface Count {
  readonly passed: number;
  readonly failed: number;
}

/** One group of tests. */
interface Group {
  readonly name: string;
  readonly run: () => Promise<Count>;
}

/** A program beside the test files: it counts as one test and passes by its exit code. */
interface Program {
  readonly name: string;
  /** A file without which there is no such program. */
  readonly needs: string;
  readonly command: readonly [string, ...string[]];
}

const PROGRAMS: readonly Program[] = [
  { name: "fuzz", needs: "scripts/fuzz.mjs", command: [process.execPath, "scripts/fuzz.mjs", "--seconds", "20"] },
  {
    name: "sim",
    needs: "native-bindings/sim/src/main.rs",
    command: [
      "cargo",
      "run",
      "--profile",
      "proof",
      "--manifest-path",
      WORKSPACE,
      "-p",
      "millrace-sim",
      "--",
      "--seeds",
      "1000",
    ],
  },
];

function groups(): readonly Group[] {
  return [{ name: "native", run: runNative }, ...fileGroups(), ...programGroups()];
}

/** Test files by their folder; those at the top are a group each. */
function fileGroups(): readonly Group[] {
  const built = readdirSync(TESTS, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".test.js"));
  // A test that was renamed or deleted stays in dist/ until someone removes it; it is not a test any more.
  const files = built.filter((file) => existsSync(join(ROOT, "test", file.replace(/\.js$/, ".ts"))));
  const byName = new Map<string, string[]>();
  for (const file of files.sort()) {
    const name = file.includes(sep) ? (file.split(sep)[0] ?? "") : file.replace(/\.test\.js$/, "");
    byName.set(name, [...(byName.get(name) ?? []), join(TESTS, file)]);
  }
  return [...byName].map(([name, paths]) => ({ name, run: () => runFiles(paths) }));
}

function programGroups(): readonly Group[] {
  return PROGRAMS.filter((one) => existsSync(join(ROOT, one.needs))).map(
    ({ name, command: [program, ...options] }) => ({
      name,
      run: async () => {
        const { code } = await show(program, options);
        return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
      },
    }),
  );
}

/** Adds up cargo's "test result" lines; a build that fails is one failure. */
async function runNative(): Promise<Count> {
  const { code, output } = await show("cargo", [
    "test",
    "--profile",
    "proof",
    "--workspace",
    "--manifest-path",
    WORKSPACE,
  ]);
  let [passed, failed] = [0, 0];
  for (const found of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed/gm)) {
    passed += Number(found[1]);
    failed += Number(found[2]);
  }
  return { passed, failed: code === 0 ? failed : Math.max(1, failed) };
}

/** Runs test files with node:test; people read the spec report, and the counts come from a TAP report beside it. */
async function runFiles(files: readonly string[]): Promise<Count> {
  const directory = mkdtempSync(join(tmpdir(), "millrace-test-"));
  const tap = join(directory, "report.tap");
  try {
    const { code } = await show(process.execPath, [
      "--test",
      `--test-concurrency=${FILES_AT_ONCE}`,
      `--test-timeout=${TEST_MS_MAX}`,
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      "--test-reporter=tap",
      `--test-reporter-destination=${tap}`,
      ...files,
    ]);
    const report = existsSync(tap) ? readFileSync(tap, "utf8") : "";
    const figure = (name: string) => Number(new RegExp(`^# ${name} (\\d+)$`, "m").exec(report)?.[1] ?? 0);
    const failed = figure("fail") + figure("cancelled");
    return { passed: figure("pass"), failed: code === 0 ? failed : Math.max(1, failed) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs a program, shows what it prints, and returns its exit code with its standard output. */
function show(
  program: string,
  options: readonly string[],
): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, options, { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      process.stdout.write(text);
    });
    child.on("error", (thrown) => {
      process.stdout.write(`${program} could not be started: ${thrown.message}\n`);
      resolve({ code: 1, output });
    });
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** The groups that `--only a,b` names, or all. Leaves with 2 when a name is not known. */
function chosen(all: readonly Group[]): readonly Group[] {
  const at = process.argv.indexOf("--only");
  if (at < 0) return all;
  const names = (process.argv[at + 1] ?? "").split(",");
  const unknown = names.filter((name) => !all.some((group) => group.name === name));
  if (unknown.length > 0) {
    process.stderr.write(
      `no group is called ${unknown.join(", ")}; there are ${all.map((one) => one.name).join(", ")}\n`,
    );
    process.exit(2);
  }
  return all.filter((group) => names.includes(group.name));
}

async function main(): Promise<void> {
  const all = groups();
  if (process.argv.includes("--list")) {
    process.stdout.write(`${all.map((group) => group.name).join("\n")}\n`);
    return;
  }
  const lines: string[] = [];
  let [passed, failed] = [0, 0];
  for (const group of chosen(all)) {
    process.stdout.write(`\n== ${group.name}\n`);
    const startedMs = performance.now();
    const count = await group.run();
    passed += count.passed;
    failed += count.failed;
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    lines.push(`${group.name.padEnd(16)} ${count.passed} passed, ${count.failed} failed (${seconds} s)`);
  }
  process.stdout.write(`\n== all of ${relative(process.cwd(), ROOT) || "."}\n${lines.join("\n")}\n`);
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

await main();
