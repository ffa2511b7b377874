/**
 * `millrace connections`: every connection of a running proxy, worker by worker.
 */
import type { Connections } from "../control/connections.js";
import { type AdminOptions, askAdmin } from "./admin-client.js";
import type { ExitCode } from "./output.js";
import { columns } from "./table.js";

export function printConnections(options: AdminOptions): Promise<ExitCode> {
  return askAdmin(options, { method: "GET", path: "/connections" }, describeConnections);
}

export function describeConnections({ workers, silent }: Connections): string[] {
  const clients = workers.flatMap((one) => one.clients.map((each) => ({ worker: one.worker, ...asRecord(each) })));
  const origins = workers.flatMap((one) => one.origins.map((each) => ({ worker: one.worker, ...asRecord(each) })));
  return [
    `${clients.length} connections of clients`,
    ...table(clients),
    `${origins.length} connections to origins`,
    ...table(origins),
    ...silent.map((worker) => `worker ${worker} did not answer`),
  ];
}

/** Columns are whatever the core says of a connection, in its order. */
function table(rows: readonly Readonly<Record<string, unknown>>[]): string[] {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  if (rows.length === 0) return [];
  return columns([names, ...rows.map((row) => names.map((name) => cell(row[name])))]);
}

function cell(value: unknown): string {
  if (value === undefined || value === null) return "-";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : { value };
}
