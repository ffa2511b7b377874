/**
 * `millrace origins`: the origins of a running proxy, a line a target: state, connections, counts, and why it is where it
 * is.
 */
import type { OriginsReport } from "../control/origins.js";
import { placeOf } from "../control/targets.js";
import { type AdminOptions, askAdmin } from "./admin-client.js";
import type { ExitCode } from "./output.js";
import { columns } from "./table.js";

export function printOrigins(options: AdminOptions): Promise<ExitCode> {
  return askAdmin(options, { method: "GET", path: "/origins" }, describeOrigins);
}

const HEADING = [
  "ORIGIN",
  "TARGET",
  "ADDRESS",
  "STATE",
  "OPEN",
  "IDLE",
  "BUSY",
  "WAIT",
  "OK",
  "FAILED",
  "LATENCY",
  "WHY",
];

export function describeOrigins({ origins, names }: OriginsReport): string[] {
  const rows = origins.flatMap(({ name, unresolved, targets }) => {
    if (targets.length === 0) return [[name, "-", "-", unresolved ?? "no targets"]];
    return targets.map((target) => {
      const failed = target.failedTcp + target.failedTls + target.failedSilence + target.failedBroken;
      const figures = [target.open, target.idle, target.inflight, target.waiting, target.succeeded, failed];
      const latency = target.latencyMicros === 0 ? "-" : `${(target.latencyMicros / 1000).toFixed(1)} ms`;
      const why = target.health.history.at(-1)?.reason ?? "";
      const place = [name, target.label, placeOf(target), target.health.state];
      return [...place, ...figures.map(String), latency, why];
    });
  });
  const troubled = names.filter((one) => one.fault !== null || one.laterFamily !== null);
  return [...columns([HEADING, ...rows]), ...troubled.map(describeName)];
}

function describeName(name: OriginsReport["names"][number]): string {
  const kept = name.addresses.length === 0 ? "no address is known" : `kept: ${name.addresses.join(", ")}`;
  const fault = name.fault === null ? "" : ` ${name.fault}, ${kept}; asked again in ${name.nextLookUpMs} ms`;
  const later = name.laterFamily === null ? "" : ` IPv${name.laterFamily} is tried after the other family`;
  return `name ${name.name}:${fault}${later}`;
}
