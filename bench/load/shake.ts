/**
 * The load of full TLS handshakes: runs bench/floor/shake.c against a loopback port and reads its report.
 */
import { runToEnd } from "./processes.js";
import type { Load, LoadReport } from "./wrk.js";

/** Reads what shake prints. Throws when the figures are not in it. */
function readReport(report: string): LoadReport {
  const [requests, seconds, p50Us, p99Us, faults] = ["requests", "seconds", "p50", "p99", "faults"].map((word) =>
    Number(new RegExp(`^${word} ([\\d.]+)$`, "m").exec(report)?.[1] ?? Number.NaN),
  ) as [number, number, number, number, number];
  if ([requests, seconds, p50Us, p99Us, faults].some(Number.isNaN)) {
    throw new Error(`shake: its report cannot be read:\n${report}`);
  }
  const said = faults > 0 ? [`${faults} connections failed or were resumed`] : [];
  return { requests, requestsPerSecond: requests / seconds, p50Us, p99Us, faults: said };
}

/** A new connection with a full handshake for each request, `connections` at once; `program` is the compiled shake. */
export async function applyHandshakes(program: string, load: Load): Promise<LoadReport> {
  const args = [load.port, load.connections, load.seconds, load.path].map(String);
  const how = { cpus: load.cpus, files: 4_096 };
  return readReport(await runToEnd("shake", program, args, how, load.seconds * 1_000 + 20_000));
}
