/**
 * `millrace stats`: the books of a running proxy, as a table of what is not zero, or as the admin API answers.
 */
import type { Quantiles, Stats } from "../control/stats.js";
import { type AdminOptions, askAdmin } from "./admin-client.js";
import type { ExitCode } from "./output.js";

export function printStats(options: AdminOptions): Promise<ExitCode> {
  return askAdmin(options, { method: "GET", path: "/stats" }, describe);
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
  for (const { file, daysLeft } of stats.certificates) {
    lines.push(`certificate ${file}: ${daysLeft < 0 ? "expired" : `${daysLeft} days left`}`);
  }
  return lines;
}
