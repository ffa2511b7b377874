/**
 * The load: runs wrk against a loopback port and reads its report.
 */
import { join } from "node:path";
import { PROJECT_ROOT } from "./machine.js";
import { runToEnd } from "./processes.js";

export interface Load {
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly seconds: number;
  /** Ask the proxy to close after each answer; wrk then opens a new connection for each request. */
  readonly closing: boolean;
  /** Speak TLS. wrk resumes its sessions, so a work of full handshakes has another client (shake.ts). */
  readonly tls: boolean;
  /** Ask for something else each time: a number in the query. */
  readonly unique?: boolean;
  readonly cpus: readonly number[];
}

export interface LoadReport {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** Latency in microseconds, as the client saw it; absent where the client does not tell it. */
  readonly p50Us?: number;
  readonly p99Us?: number;
  /** What went wrong, in wrk's words: anything here makes the turn worthless. */
  readonly faults: readonly string[];
}

const MICROS: Readonly<Record<string, number>> = { us: 1, ms: 1e3, s: 1e6, m: 6e7 };

function micros(report: string, percentile: number): number {
  const match = new RegExp(`^\\s+${percentile}%\\s+([\\d.]+)(us|ms|s|m)\\s*$`, "m").exec(report);
  return Number(match?.[1]) * (MICROS[match?.[2] ?? ""] ?? Number.NaN);
}

/** Reads what wrk prints with --latency. Throws when the figures are not in it. */
export function readReport(report: string): LoadReport {
  const requests = Number(/^\s+(\d+) requests in /m.exec(report)?.[1]);
  const requestsPerSecond = Number(/^Requests\/sec:\s+([\d.]+)$/m.exec(report)?.[1]);
  const figures = { requests, requestsPerSecond, p50Us: micros(report, 50), p99Us: micros(report, 99) };
  if (Object.values(figures).some(Number.isNaN)) throw new Error(`wrk: its report cannot be read:\n${report}`);
  const faults = [...report.matchAll(/^\s+(Non-2xx or 3xx responses: \d+|Socket errors: .+)$/gm)].map(
    (match) => match[1] ?? "",
  );
  return { ...figures, faults };
}

/** Applies the load for its time and returns what the clients saw. */
export async function applyLoad(load: Load): Promise<LoadReport> {
  const args = ["-t1", `-c${load.connections}`, `-d${load.seconds}s`, "--latency"];
  if (load.closing) args.push("-H", "Connection: close");
  if (load.unique) args.push("-s", join(PROJECT_ROOT, "bench", "load", "unique.lua"));
  args.push(`${load.tls ? "https" : "http"}://127.0.0.1:${load.port}${load.path}`);
  const how = { cpus: load.cpus, files: 4_096 };
  return readReport(await runToEnd("wrk", "wrk", args, how, load.seconds * 1_000 + 20_000));
}
