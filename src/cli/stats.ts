/**
 * `millrace stats`: the books of a running proxy, as a table of what is not zero, or as the admin API answers.
 */
import { get } from "node:http";
import { parseListenAddress } from "../config/addresses.js";
import type { Quantiles, Stats } from "../control/stats.js";
import { messageOf } from "../shared/errors.js";
import { EXIT, type ExitCode, print, say } from "./output.js";

interface StatsOptions {
  readonly admin: string;
  readonly json: boolean;
}

/** How long the admin API may take, in ms. */
const ANSWER_MS_MAX = 5000;

export async function printStats(options: StatsOptions): Promise<ExitCode> {
  const place = parseListenAddress(options.admin);
  if (!place.ok) {
    say(`--admin: ${place.says}`);
    return EXIT.usage;
  }
  let body: string;
  try {
    body = await fetchStats(place.value.address, place.value.port);
  } catch (thrown) {
    say(`the admin API at ${options.admin} did not answer: ${messageOf(thrown)} (is the proxy run with --admin?)`);
    return EXIT.failure;
  }
  if (options.json) print(body.trimEnd());
  else for (const line of describe(JSON.parse(body) as Stats)) print(line);
  return EXIT.ok;
}

function fetchStats(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host, port, path: "/stats", timeout: ANSWER_MS_MAX }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () => {
        const body = Buffer.concat(pieces).toString("utf8");
        if (response.statusCode === 200) resolve(body);
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.on("error", reject);
  });
}

/** One line a figure: its sum, then each worker's. */
function describe(stats: Stats): string[] {
  const lines = [`uptime ${(stats.uptimeMs / 1000).toFixed(0)} s, ${stats.workers.length} workers`];
  for (const [name, sum] of Object.entries<number>(stats.all.counters)) {
    if (sum === 0) continue;
    const each = stats.workers.map((row) => (row.counters as Readonly<Record<string, number>>)[name] ?? 0);
    lines.push(`${name.padEnd(48)} ${String(sum).padStart(16)}   ${each.join(" ")}`);
  }
  for (const [name, figures] of Object.entries<Quantiles>(stats.all.histograms)) {
    if (figures.count === 0) continue;
    const { count, p50, p90, p99, p999, max } = figures;
    lines.push(
      `${name.padEnd(48)} ${String(count).padStart(16)}   p50 ${p50} p90 ${p90} p99 ${p99} p99.9 ${p999} max ${max}`,
    );
  }
  return lines;
}
