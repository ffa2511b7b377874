/**
 * `millrace explain METHOD URL -H 'Name: value'`: what the running proxy would do with a request, without sending it:
 * route, identity, target, timeouts, retries, escalation, and the command of curl that does the same by hand.
 */
import type { Explanation } from "../control/curl-command.js";
import { type AdminOptions, askAdmin } from "./admin-client.js";
import { EXIT, type ExitCode, say } from "./output.js";
import { outline } from "./table.js";

export interface ExplainOptions extends AdminOptions {
  readonly header?: readonly string[];
  readonly client?: string;
}

export async function explain(method: string, url: string, options: ExplainOptions): Promise<ExitCode> {
  const headers: [string, string][] = [];
  for (const line of options.header ?? []) {
    const at = line.indexOf(":");
    if (at < 1) {
      say(`-H: "${line}" is not "Name: value"`);
      return EXIT.usage;
    }
    headers.push([line.slice(0, at), line.slice(at + 1).trim()]);
  }
  const body = { method, url, headers, ...(options.client === undefined ? {} : { clientAddress: options.client }) };
  return askAdmin(options, { method: "POST", path: "/explain", body }, describeExplanation);
}

/** What matters most first; fields as one line each; the command last, to be copied. */
export function describeExplanation({ curl, ...explained }: Explanation): string[] {
  const { request, ...rest } = explained;
  const lines = outline(rest);
  if (request !== undefined) {
    const fields = (request.headers ?? []).filter(([name]) => name.toLowerCase() !== "host");
    lines.push("the origin would see:", `  ${request.method} ${request.path}`, `  Host: ${request.host}`);
    lines.push(...fields.map(([name, value]) => `  ${name}: ${value}`));
  }
  if (curl !== null) lines.push("by hand:", `  ${curl}`);
  return lines;
}
