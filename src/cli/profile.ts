/**
 * `millrace profile WORKER`: a CPU profile of a worker's JavaScript on standard output, for DevTools.
 */
import { type AdminOptions, askAdmin } from "./admin-client.js";
import type { ExitCode } from "./output.js";

export interface ProfileOptions extends AdminOptions {
  readonly seconds: number;
}

/** How much longer than the profile its answer may take, in ms. */
const LATE_MS = 10_000;

export function profile(worker: string, options: ProfileOptions): Promise<ExitCode> {
  const path = `/workers/${encodeURIComponent(worker)}/profile?seconds=${options.seconds}`;
  const waitMs = options.seconds * 1000 + LATE_MS;
  return askAdmin(options, { method: "POST", path, waitMs }, (answer) => [JSON.stringify(answer)]);
}
