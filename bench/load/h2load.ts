/**
 * The load of HTTP/2: runs h2load against a loopback port and reads its report.
 */
import { runToEnd } from "./processes.js";
import type { Load, LoadReport } from "./wrk.js";

/** Streams at once on each connection. */
export const STREAMS = 32;

/** Reads what h2load prints. Throws when the figures are not in it. */
export function readReport(report: string): LoadReport {
  const [, requestsPerSecond] = /^finished in [\d.]+\w+, ([\d.]+) req\/s/m.exec(report) ?? [];
  const counts = /^requests: .*, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$/m.exec(report);
  const [requests, failed, errored, late] = (counts ?? []).slice(1).map(Number);
  if (requestsPerSecond === undefined || requests === undefined || !/^Application protocol: h2/m.test(report)) {
    throw new Error(`h2load: its report cannot be read, or not HTTP/2:\n${report}`);
  }
  const lost = (failed ?? 0) + (errored ?? 0) + (late ?? 0);
  const faults = lost > 0 ? [`${lost} requests failed`] : [];
  return { requests, requestsPerSecond: Number(requestsPerSecond), faults };
}

/** Applies the load for its time and returns what the clients saw. */
export async function applyStreams(load: Load): Promise<LoadReport> {
  const url = `${load.tls ? "https" : "http"}://127.0.0.1:${load.port}${load.path}`;
  const args = ["-t1", `-c${load.connections}`, `-m${STREAMS}`, `-D${load.seconds}`, url];
  return readReport(
    await runToEnd("h2load", "h2load", args, { cpus: load.cpus, files: 4_096 }, load.seconds * 1_000 + 20_000),
  );
}
