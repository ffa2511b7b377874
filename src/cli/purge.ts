/**
 * `millrace purge`: takes answers out of the cache of a running proxy, by URL, beginning of URLs, tag, or all of them.
 */
import { type AdminOptions, askAdmin } from "./admin-client.js";
import { EXIT, type ExitCode, say } from "./output.js";

export interface PurgeOptions extends AdminOptions {
  readonly url?: string;
  readonly prefix?: string;
  readonly tag?: string;
  readonly all: boolean;
  readonly soft: boolean;
}

interface Answered {
  readonly scope: string;
  readonly keys: readonly string[];
}

/** How long a store that is being opened may keep the answer waiting, in ms. */
const WAIT_MS = 60_000;

export function purge(options: PurgeOptions): Promise<ExitCode> {
  const { url, prefix, tag, all, soft } = options;
  const named = [url, prefix, tag, all ? "" : undefined].filter((one) => one !== undefined);
  if (named.length !== 1) {
    say("purge needs one of --url, --prefix, --tag and --all");
    return Promise.resolve(EXIT.usage);
  }
  const body = { ...(all ? { everything: true } : { url, prefix, tag }), ...(soft ? { soft } : {}) };
  const question = { method: "POST", path: "/cache/purge", body, waitMs: WAIT_MS } as const;
  return askAdmin<Answered>(options, question, ({ scope, keys }) => {
    const done = soft ? "is stale" : "is purged";
    return scope === "everything" ? [`everything ${done}`] : keys.map((key) => `${scope} ${key} ${done}`);
  });
}
