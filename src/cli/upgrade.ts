/**
 * `millrace upgrade`: has a running proxy put a new process in its place, with the program and the settings that are on
 * the disk now. Exit 1 when the new process did not become ready; the old one serves on then.
 */
import type { Upgraded } from "../control/upgrade.js";
import { type AdminOptions, askAdmin } from "./admin-client.js";
import type { ExitCode } from "./output.js";

/** Longer than `upgrade.readyMs` may be, in ms: how it ended is said by the proxy. */
const WAIT_MS = 3_660_000;

export function upgrade(options: AdminOptions): Promise<ExitCode> {
  return askAdmin<Upgraded>(options, { method: "POST", path: "/upgrade", waitMs: WAIT_MS }, ({ pid }) => [
    `process ${pid} is ready and has taken over; the old one finishes what it has`,
  ]);
}
