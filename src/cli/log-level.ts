/**
 * `millrace log-level [LEVEL]`: the level of a running proxy's log, or another one until it ends.
 */
import { type AdminOptions, askAdmin, type Question } from "./admin-client.js";
import type { ExitCode } from "./output.js";

export function logLevel(level: string | undefined, options: AdminOptions): Promise<ExitCode> {
  const path = "/log-level";
  const question: Question = level === undefined ? { method: "GET", path } : { method: "PUT", path, body: { level } };
  return askAdmin<{ readonly level: string }>(options, question, (answer) => [answer.level]);
}
