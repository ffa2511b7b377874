/**
 * How many CPUs this process may use: the smaller of its affinity mask and its cgroup's CPU quota, rounded up. A
 * container limited to half a CPU of a 64-core host gets one worker, not 64.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { posix } from "node:path";

/** Reads a text file, or returns null when it cannot be read; replaced in tests. */
export type ReadText = (path: string) => string | null;

/** CPUs this process may use, at least 1. */
export function usableCpus(read: ReadText = readText, affinity: number = availableParallelism()): number {
  const quota = cgroupCpuQuota(read);
  return Math.max(1, quota === null ? affinity : Math.min(affinity, Math.ceil(quota)));
}

/**
 * The tightest CPU quota on the way from this process's cgroup to the root, in CPUs (may be a fraction); null when there
 * is none. Understands cgroup v2 (`cpu.max`) and v1 (`cpu.cfs_quota_us`).
 */
export function cgroupCpuQuota(read: ReadText): number | null {
  const groups = (read("/proc/self/cgroup") ?? "").split("\n").flatMap(parseGroup);
  const quotas = groups.flatMap((group) => ancestors(group.path).flatMap((path) => quotaAt(group.version, path, read)));
  return quotas.length === 0 ? null : Math.min(...quotas);
}

interface Group {
  readonly version: 1 | 2;
  readonly path: string;
}

/** A line of /proc/self/cgroup: `0::/path` (v2) or `4:cpu,cpuacct:/path` (v1). */
function parseGroup(line: string): Group[] {
  const parts = /^(\d+):([^:]*):(\/.*)$/.exec(line);
  if (parts === null) return [];
  const [, id, controllers = "", path = "/"] = parts;
  if (id === "0" && controllers === "") return [{ version: 2, path }];
  return controllers.split(",").includes("cpu") ? [{ version: 1, path }] : [];
}

/** A path and every folder above it, up to and with the root. Inside a container the path may point outside: then only
 * the root is there to be read. */
function ancestors(path: string): string[] {
  const found = [posix.normalize(path)];
  for (let here = found[0] ?? "/"; here !== "/"; ) {
    here = posix.dirname(here);
    found.push(here);
  }
  return found;
}

function quotaAt(version: 1 | 2, path: string, read: ReadText): number[] {
  if (version === 2) {
    const [quota, period] = (read(posix.join("/sys/fs/cgroup", path, "cpu.max")) ?? "").trim().split(/\s+/);
    return quotient(quota, period);
  }
  for (const mount of ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"]) {
    const quota = read(posix.join(mount, path, "cpu.cfs_quota_us"));
    const period = read(posix.join(mount, path, "cpu.cfs_period_us"));
    if (quota !== null && period !== null) return quotient(quota.trim(), period.trim());
  }
  return [];
}

/** quota / period when both are positive numbers; "max" and -1 mean none. */
function quotient(quota: string | undefined, period: string | undefined): number[] {
  const [a, b] = [Number(quota), Number(period)];
  return Number.isFinite(a) && Number.isFinite(b) && a > 0 && b > 0 ? [a / b] : [];
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
