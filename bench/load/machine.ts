/**
 * What the bench runs on: which CPUs it may use and who gets which, which programs are installed, and the versions that
 * a figure means nothing without.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of package.json: sources are read from there, also when this runs from dist/. */
export const PROJECT_ROOT = findProjectRoot();

function findProjectRoot(): string {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    if (existsSync(join(at, "bench", "floor", "relay.c"))) return at;
    if (at === dirname(at)) throw new Error("bench/floor is missing: the load bench runs from a clone of the project");
  }
}

/** Where a program is, or undefined when it is not installed. Looks in the places of system programs too. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Reads a CPU list as the kernel writes it: "0-3,8". */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(",")
    .flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/** Who runs where. A list is empty when nothing can be pinned. */
export interface Placement {
  /** The proxy under test gets as many of these as it has workers, if there are as many. */
  readonly proxy: readonly number[];
  readonly origin: readonly number[];
  readonly load: readonly number[];
  /** What a reader of the figures must know about it; one sentence. */
  readonly says: string;
}

/**
 * The proxy under test has CPUs of its own; origin and load share one where there are two, and have one each (the proxy
 * two) where there are four or more.
 */
export function placeOn(allowed: readonly number[], canPin: boolean): Placement {
  const [first, second, third, fourth] = allowed;
  if (!canPin || first === undefined || second === undefined) {
    const why = canPin ? "this process may use one CPU only" : "taskset is not installed";
    return {
      proxy: [],
      origin: [],
      load: [],
      says: `nothing is pinned, because ${why}: the figures are rough`,
    };
  }
  if (third === undefined) {
    const says = "proxy on one CPU (two workers share it), origin and load together on another";
    return { proxy: [first], origin: [second], load: [second], says };
  }
  if (fourth === undefined) {
    const says = "proxy on one CPU (two workers share it), origin and load on one each";
    return { proxy: [first], origin: [second], load: [third], says };
  }
  return {
    proxy: [first, second],
    origin: [third],
    load: [fourth],
    says: "proxy on a CPU for each worker, origin and load on one each",
  };
}

export function placement(): Placement {
  const allowed = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return placeOn(parseCpuList(allowed), findProgram("taskset") !== undefined);
}

/** Keeps the bench itself off the proxy's CPUs: it shares the CPU of the load, and sleeps during a turn. */
export function pinSelf(cpus: readonly number[]): void {
  const taskset = findProgram("taskset");
  if (taskset === undefined || cpus.length === 0) return;
  execFileSync(taskset, ["-a", "-cp", cpus.join(","), String(process.pid)], { stdio: "ignore" });
}

/** First match of `pattern` in what a program says of itself (both outputs), or undefined. */
function versionOf(program: string, flag: string, pattern: RegExp): string | undefined {
  const path = findProgram(program);
  if (path === undefined) return undefined;
  const { stdout, stderr } = run(path, [flag]);
  return pattern.exec(stdout + stderr)?.[1];
}

function run(path: string, args: string[]): { stdout: string; stderr: string } {
  try {
    const shell = '"$0" "$@" 2>&1 || true';
    return {
      stdout: execFileSync("/bin/sh", ["-c", shell, path, ...args], { encoding: "utf8" }),
      stderr: "",
    };
  } catch {
    return { stdout: "", stderr: "" };
  }
}

/** The versions behind the figures, by name; what is not installed is absent. */
export function versions(): Readonly<Record<string, string>> {
  const ours = JSON.parse(readFileSync(join(PROJECT_ROOT, "package.json"), "utf8")) as { version: string };
  const revision = findProgram("git") && run("git", ["-C", PROJECT_ROOT, "rev-parse", "--short", "HEAD"]).stdout.trim();
  const known: Record<string, string | undefined> = {
    millrace: ours.version + (revision && /^[0-9a-f]{7,}$/.test(revision) ? ` (${revision})` : ""),
    haproxy: versionOf("haproxy", "-v", /version (\d+(?:\.\d+)+)/),
    nginx: versionOf("nginx", "-v", /nginx\/(\d+(?:\.\d+)+)/),
    wrk: versionOf("wrk", "-v", /(\d+(?:\.\d+)+)/),
    h2load: versionOf("h2load", "--version", /(\d+(?:\.\d+)+)/),
    node: process.versions.node,
    kernel: `Linux ${/^\d+\.\d+/.exec(release())?.[0] ?? release()}`,
    cpu: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} CPUs`,
  };
  return Object.fromEntries(Object.entries(known).filter((pair): pair is [string, string] => pair[1] !== undefined));
}
