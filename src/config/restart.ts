/**
 * Settings that a running proxy cannot take: what threads, sockets of the control plane and shared memory were made by
 * when it started. Named by their paths; everything else a reload may change.
 */
import { isDeepStrictEqual } from "node:util";
import type { Complaint } from "../shared/errors.js";
import type { Settings } from "./settings.js";

/** Why each of them is settled at the start. */
const RESTART_ONLY = {
  workers: "threads and shared memory are made for their number",
  "pool.shards": "the pool is divided once",
  "pool.steal": "the pool is divided once",
  cache: "its store is laid out once",
  accessLog: "its sink is opened, and handed to every worker, at the start",
  admin: "its socket is opened at the start",
} as const;

/** The paths, for the documentation. */
export const RESTART_ONLY_PATHS: readonly string[] = Object.keys(RESTART_ONLY);

/** Complaints about what differs and takes a restart; none = a reload may take these settings. */
export function complainOfRestart(before: Settings, after: Settings): readonly Complaint[] {
  return Object.entries(RESTART_ONLY)
    .filter(([path]) => !isDeepStrictEqual(valueAt(before, path), valueAt(after, path)))
    .map(([path, why]) => ({ path, says: `changes with a restart only: ${why}` }));
}

function valueAt(settings: Settings, path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => (value as Readonly<Record<string, unknown>>)[key], settings);
}
