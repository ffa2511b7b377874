/**
 * The lines of Node that the native addon must live in. The line that runs the tests is used as it is; the others come
 * from npm packages that carry the binary, installed once into a folder that git ignores. A line that cannot be had
 * fails its tests; `MILLRACE_NODE_LINES=20,24` asks for fewer.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Lines that are promised to work. */
const PROMISED: readonly number[] = [20, 22, 24, 26];
/** Longest an installation may take, in ms. */
const INSTALL_MS_MAX = 100_000;
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const CACHE = join(ROOT, ".cache", "node-lines");

/** The lines to test. */
export const NODE_LINES: readonly number[] = linesWanted(process.env["MILLRACE_NODE_LINES"]);

/** The line that runs this. */
const OWN_LINE = Number(process.versions.node.split(".")[0]);

function linesWanted(asked: string | undefined): readonly number[] {
  if (asked === undefined || asked === "") return PROMISED;
  const lines = asked.split(",").map(Number);
  if (lines.some((line) => !PROMISED.includes(line))) {
    throw new Error(`MILLRACE_NODE_LINES must be some of ${PROMISED.join(",")}, not "${asked}".`);
  }
  return lines;
}

/**
 * The node binary of a line, installed if it is not there.
 *
 * @throws Error with one clear sentence when it cannot be had.
 */
export function nodeOf(line: number): string {
  if (line === OWN_LINE) return process.execPath;
  const folder = join(CACHE, `${line}-${process.arch}`);
  const binary = join(folder, "node_modules", `node-linux-${process.arch}`, "bin", "node");
  if (!existsSync(binary)) install(line, folder);
  const run = spawnSync(binary, ["--version"], { encoding: "utf8" });
  if (run.stdout?.startsWith(`v${line}.`) !== true) {
    throw new Error(`${binary} is not Node ${line} (${run.error?.message ?? `it says "${run.stdout}"`}); delete it.`);
  }
  return binary;
}

/** Installs beside the place and renames, so that test files that run at once never see half of it. */
function install(line: number, folder: string): void {
  mkdirSync(CACHE, { recursive: true });
  const aside = mkdtempSync(join(CACHE, `.${line}-`));
  try {
    const name = `node-linux-${process.arch}@${line}`;
    const options = ["install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", aside, name];
    const run = spawnSync("npm", options, { cwd: aside, encoding: "utf8", timeout: INSTALL_MS_MAX });
    if (run.error !== undefined || run.status !== 0) {
      const why = run.error?.message ?? run.stderr.trim().split("\n").at(-1) ?? "";
      throw new Error(
        `Node ${line} could not be installed from the npm package ${name} (${why}); set MILLRACE_NODE_LINES=${OWN_LINE} to test fewer lines.`,
      );
    }
    if (!existsSync(folder)) renameSync(aside, folder);
  } catch (thrown) {
    // Another test file was faster: its installation is as good as ours.
    if (!existsSync(folder)) throw thrown;
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}
