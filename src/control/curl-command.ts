/**
 * The command of curl that does by hand what the proxy would do with a request, TLS included.
 */
import { isIP } from "node:net";
import { allOrigins } from "../config/plan-origins.js";
import type { Settings } from "../config/settings.js";
import { ORIGIN_TLS_DEFAULTS } from "../config/settings-tls.js";
import type { CoreExplanation } from "./explain.js";

/** An explanation with the command that does the same by hand; null where the proxy would forward nothing. */
export interface Explanation extends CoreExplanation {
  readonly curl: string | null;
}

/** TLS to a target as curl is told it. */
export interface CurlTls {
  /** The name the target is asked for; empty = none. */
  readonly sni: string;
  /** Options beside it. */
  readonly words: readonly string[];
}

/** Reads the core's explanation and adds the command. `tlsOf` says how TLS is spoken with the target that was chosen. */
export function readExplanation(json: string, tlsOf: (explained: CoreExplanation) => CurlTls | null): Explanation {
  const explained = JSON.parse(json) as CoreExplanation;
  return { ...explained, curl: curlCommand(explained, tlsOf(explained)) };
}

/** How TLS is spoken with the target of an explanation; null = not at all. Names are the core's, files the settings'. */
export function curlTls(settings: Settings, { origin, target, tls }: CoreExplanation): CurlTls | null {
  if (tls === undefined) return null;
  const [, written] = allOrigins(settings).find(([name]) => name === origin) ?? [];
  const { ca = [], clientCertificate: shown, pins } = written?.tls ?? ORIGIN_TLS_DEFAULTS;
  const words: string[] = [];
  // curl takes one file, and checks no other name than it asks for.
  const [authorities] = [ca].flat();
  const asked = tls.sni === "" ? target?.address : tls.sni;
  if (!tls.verify || tls.verifyName !== asked) words.push("-k");
  else if (authorities !== undefined) words.push("--cacert", authorities);
  if (shown !== undefined) words.push("--cert", shown.cert, "--key", shown.key ?? shown.cert);
  if (pins.length > 0) words.push("--pinnedpubkey", pins.map((pin) => `sha256//${pin}`).join(";"));
  if (tls.maxVersion === "1.2") words.push("--tls-max", "1.2");
  if (tls.minVersion === "1.3") words.push("--tlsv1.3");
  return { sni: tls.sni, words };
}

/**
 * The command of curl that asks the same target the same thing, by name where the target has one, so that what resolves
 * there does not matter. On TLS the name is the one it is asked for (SNI).
 */
export function curlCommand(explained: CoreExplanation, tls: CurlTls | null): string | null {
  const { request, target, timeouts } = explained;
  if (request === undefined || target === undefined || target === null) return null;
  const address = isIP(target.address) === 6 ? `[${target.address}]` : target.address;
  const name = tls === null ? target.label.replace(/:\d+$/, "") : tls.sni;
  const isNamed = name !== "" && isIP(name.replace(/^\[|\]$/g, "")) === 0;
  const place = `${isNamed ? name : address}:${target.port}`;
  const words = ["curl", "-v", "--http1.1", "--path-as-is", ...(tls?.words ?? [])];
  if (request.method === "HEAD") words.push("-I");
  else if (request.method !== "GET") words.push("-X", request.method);
  if (isNamed) words.push("--resolve", `${name}:${target.port}:${address}`);
  if (timeouts?.connectMs !== undefined) words.push("--connect-timeout", String(timeouts.connectMs / 1000));
  if (timeouts?.totalMs !== undefined && timeouts.totalMs > 0) words.push("-m", String(timeouts.totalMs / 1000));
  words.push("-H", `Host: ${request.host}`);
  for (const [field, value] of request.headers ?? []) {
    // curl writes its own Host and lengths; a field without a value is written `Name;` for it.
    if (/^(host|content-length|transfer-encoding)$/i.test(field)) continue;
    words.push("-H", value === "" ? `${field};` : `${field}: ${value}`);
  }
  words.push(`${tls === null ? "http" : "https"}://${place}${request.path === "*" ? "/" : request.path}`);
  if (request.path === "*") words.push("--request-target", "*");
  return words.map(quoted).join(" ");
}

/** One word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
