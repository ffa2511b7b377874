/**
 * The version of this package, from its package.json.
 */
import { readFileSync } from "node:fs";

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly version: string;
};

/** E.g. "0.1.0". */
export const VERSION: string = manifest.version;
