/**
 * What processes used: CPU time of all their threads in nanoseconds, and resident memory. Read from /proc, so it costs the
 * measured process nothing.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** CPU nanoseconds (user + system) by thread, so that a thread born in between counts and one that died is not negative. */
export type CpuReading = ReadonlyMap<string, number>;

/** Throws when the kernel does not keep what {@link readCpu} reads. */
export function checkCpuIsKept(): void {
  if (existsSync("/proc/self/schedstat")) return;
  throw new Error(
    "this kernel does not keep /proc/PID/schedstat (CONFIG_SCHED_INFO), which the figures are taken from",
  );
}

/** Reads `schedstat` of every thread: exact to the last switch or tick of the scheduler, where `stat` counts whole ticks. */
export function readCpu(pids: readonly number[]): CpuReading {
  const reading = new Map<string, number>();
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      try {
        const [nanos] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ");
        reading.set(thread, Number(nanos));
      } catch (error) {
        if (!isGone(error)) throw error;
      }
    }
  }
  return reading;
}

/** Nanoseconds used between two readings. */
export function cpuBetween(before: CpuReading, after: CpuReading): number {
  let sum = 0;
  for (const [thread, nanos] of after) sum += nanos - (before.get(thread) ?? 0);
  return sum;
}

/** Resident kilobytes of the processes together. */
export function readResidentKb(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    sum += Number(resident ?? 0);
  }
  return sum;
}

/** Nanoseconds that the given CPUs were busy since the machine started, whoever used them; exact to a tick (10 ms). */
export function readBusy(cpus: readonly number[]): number {
  const stat = readFileSync("/proc/stat", "utf8");
  let ticks = 0;
  for (const cpu of cpus) {
    // user nice system idle iowait irq softirq steal
    const fields = new RegExp(`^cpu${cpu} (.+)$`, "m").exec(stat)?.[1]?.split(" ").map(Number) ?? [];
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
    ticks += user + nice + system + irq + softirq;
  }
  return ticks * 10_000_000;
}

/** The thread ended while we were reading. */
function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ESRCH" || code === "ENOENT";
}
