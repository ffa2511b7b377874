/**
 * `millrace drain ORIGIN TARGET [--undo]`: takes a target of a running proxy out of use, or brings it back. It gets no
 * new requests, finishes what it has, and its connections close.
 */
import { type AdminOptions, askAdmin } from "./admin-client.js";
import type { ExitCode } from "./output.js";

export interface DrainOptions extends AdminOptions {
  readonly undo: boolean;
}

interface Answered {
  readonly state: string;
  readonly concerned: number;
  readonly changed: number;
}

export function drain(origin: string, target: string, options: DrainOptions): Promise<ExitCode> {
  const act = options.undo ? "undrain" : "drain";
  const path = `/targets/${encodeURIComponent(origin)}/${encodeURIComponent(target)}/${act}`;
  return askAdmin<Answered>(options, { method: "POST", path }, ({ state, concerned, changed }) => {
    const addresses = concerned === 1 ? "1 address" : `${concerned} addresses`;
    const already = changed === concerned ? "" : `, ${concerned - changed} already ${state}`;
    return [`${origin} ${target}: ${state} (${addresses}${already})`];
  });
}
