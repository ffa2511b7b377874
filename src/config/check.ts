/**
 * Settings from an unknown document: structure by zod, then the rules between settings, with EVERY complaint of both at
 * once. The rules look at each part for itself, so a mistake in one route hides nothing about the next. Rules within
 * origins are in check-origins.ts, within routes in check-routes.ts and check-policies.ts, about TLS in check-tls.ts, about the cache
 * in check-cache.ts.
 */
import type { Complaint } from "../shared/errors.js";
import { parseAdminPlace } from "./addresses.js";
import { readToken } from "./admin-token.js";
import { judgeCache, warnAboutCache } from "./check-cache.js";
import { judgeOrigins, warnAboutOrigins } from "./check-origins.js";
import { judgePolicies, warnAboutPolicies } from "./check-policies.js";
import { judgeRoutes, warnAboutRoutes } from "./check-routes.js";
import { judgeTls, warnAboutTls } from "./check-tls.js";
import { complaintsOf } from "./complaints.js";
import { completeDocument, type Document, isRecord } from "./document.js";
import { keysAt } from "./schema.js";
import { listenerName, type Settings, settingsSchema } from "./settings.js";
import { readTlsFiles, usesOf, warnAboutServed } from "./tls-files.js";

/** What checking settings comes to. Warnings do not stop a start. */
export type Checked =
  | { readonly ok: true; readonly settings: Settings; readonly warnings: readonly Complaint[] }
  | { readonly ok: false; readonly complaints: readonly Complaint[]; readonly warnings: readonly Complaint[] };

/**
 * Checks a document and the files it names, and fills in its defaults. Never throws.
 *
 * @param folder Where relative paths of certificates and keys begin.
 */
export function checkSettings(written: unknown, folder: string = process.cwd()): Checked {
  const document = isRecord(written) ? completeDocument(written, folder) : written;
  const parsed = settingsSchema.safeParse(document);
  const complaints: Complaint[] = parsed.success ? [] : complaintsOf(parsed.error.issues, keysAt);
  const warnings: Complaint[] = [];
  if (isRecord(document)) {
    complaints.push(...judgeNumbers(document), ...judgePool(document), ...judgeListeners(document));
    complaints.push(...judgeOrigins(document), ...judgeRoutes(document), ...judgePolicies(document));
    complaints.push(...judgeAdmin(document), ...judgeTls(document), ...judgeCache(document));
    warnings.push(...warnAboutSpool(document), ...warnAboutRoutes(document), ...warnAboutOrigins(document));
    warnings.push(...warnAboutPolicies(document), ...warnAboutTls(document), ...warnAboutAdmin(document));
    warnings.push(...warnAboutCache(document));
    const files = readTlsFiles(usesOf(document));
    complaints.push(...files.complaints.map(({ path, says }) => ({ path, says })));
    warnings.push(...files.warnings, ...warnAboutServed(document, files.material));
  }
  if (!parsed.success || complaints.length > 0) return { ok: false, complaints, warnings };
  return { ok: true, settings: parsed.data, warnings };
}

function judgeNumbers(document: Document): Complaint[] {
  const complaints: Complaint[] = [];
  const { limits, dns, spool } = settingsSchema.shape;
  const limited = limits.safeParse(document["limits"] ?? {}).data;
  if (limited !== undefined && limited.requestLineBytes > limited.headBytes) {
    complaints.push({
      path: "limits.requestLineBytes",
      says: `must be at most limits.headBytes (${limited.headBytes})`,
    });
  }
  const asked = dns.safeParse(document["dns"] ?? {}).data;
  if (asked !== undefined && asked.refreshMinMs > asked.refreshMaxMs) {
    complaints.push({ path: "dns.refreshMinMs", says: `must be at most dns.refreshMaxMs (${asked.refreshMaxMs})` });
  }
  const spooled = spool.safeParse(document["spool"]).data;
  if (spooled !== undefined && spooled !== false && spooled.requestBytes > spooled.totalBytes) {
    complaints.push({ path: "spool.requestBytes", says: `must be at most spool.totalBytes (${spooled.totalBytes})` });
  }
  return complaints;
}

/** Shards and stealing beside the word that stands for them may say the same in other words, nothing else. */
function judgePool(document: Document): Complaint[] {
  const pool = settingsSchema.shape.pool.safeParse(document["pool"] ?? {}).data;
  const workers = settingsSchema.shape.workers.safeParse(document["workers"]).data;
  if (pool === undefined || workers === undefined) return [];
  const complaints: Complaint[] = [];
  if (pool.shards !== "auto" && workers !== "auto" && pool.shards > workers) {
    complaints.push({ path: "pool.shards", says: `must be at most the number of workers (${workers})` });
  }
  const { shards, steal } = isRecord(document["pool"]) ? document["pool"] : {};
  const contradicts = (path: string, means: string) =>
    complaints.push({ path, says: `contradicts pool.scope "${pool.scope}", which means ${means}; leave one out` });
  switch (pool.scope) {
    case undefined:
      break;
    case "thread":
      if (typeof shards === "number" && shards !== workers) contradicts("pool.shards", "a shard for each worker");
      if (steal === true) contradicts("pool.steal", "no stealing");
      break;
    case "global":
      if (shards !== undefined && shards !== 1) contradicts("pool.shards", "one shard");
      break;
    case "hybrid":
      if (shards === 1) contradicts("pool.shards", "several shards");
      if (steal === false) contradicts("pool.steal", "stealing");
      break;
  }
  return complaints;
}

function warnAboutSpool(document: Document): Complaint[] {
  const spool = settingsSchema.shape.spool.safeParse(document["spool"]).data;
  const limits = settingsSchema.shape.limits.safeParse(document["limits"] ?? {}).data;
  if (spool === undefined || spool === false || limits === undefined) return [];
  if (spool.requestBytes > limits.replayBodyBytes) return [];
  const says = `has no effect: bodies up to limits.replayBodyBytes (${limits.replayBodyBytes}) are kept in memory`;
  return [{ path: "spool.requestBytes", says }];
}

function judgeListeners(document: Document): Complaint[] {
  const listeners = document["listeners"];
  if (!Array.isArray(listeners)) return [];
  const seen = new Map<string, number>();
  const complaints: Complaint[] = [];
  for (const [index, listener] of listeners.entries()) {
    const own: unknown = isRecord(listener) ? listener["name"] : undefined;
    const name = listenerName(typeof own === "string" ? own : undefined, index);
    const first = seen.get(name);
    if (first !== undefined) {
      complaints.push({
        path: `listeners[${index}].name`,
        says: `"${name}" is the name of listeners[${first}] already`,
      });
    }
    seen.set(name, first ?? index);
  }
  return complaints;
}

/** Who is not on this machine may ask only where the operator named the Host to use; a token must be there to be asked for. */
function judgeAdmin(document: Document): Complaint[] {
  const admin = settingsSchema.shape.admin.safeParse(document["admin"]);
  if (!admin.success || admin.data === false) return [];
  const { address, hosts, token } = admin.data;
  const complaints: Complaint[] = [];
  if (isBeyondLoopback(address) && hosts.length === 0) {
    const says = "is not a loopback address; name the Hosts to answer in admin.hosts, or use 127.0.0.1";
    complaints.push({ path: "admin.address", says });
  }
  if (typeof token === "object") {
    const read = readToken(token);
    if (!read.ok) complaints.push({ path: "admin.token.file", says: read.says });
  }
  return complaints;
}

function warnAboutAdmin(document: Document): Complaint[] {
  const admin = settingsSchema.shape.admin.safeParse(document["admin"]);
  if (!admin.success || admin.data === false) return [];
  const { address, token } = admin.data;
  if (token !== undefined || !isBeyondLoopback(address)) return [];
  return [{ path: "admin.token", says: "is not set: whoever reaches the admin API may ask and drain" }];
}

function isBeyondLoopback(address: string): boolean {
  const place = parseAdminPlace(address);
  if (!place.ok || place.value.kind === "unix") return false;
  return !place.value.address.startsWith("127.") && place.value.address !== "::1";
}
