/**
 * A settings document as it was written, before it is known to be right: the parts of it that are well formed in
 * themselves, so that the rules between settings can be checked for them whatever is wrong elsewhere.
 */
import { resolve } from "node:path";
import type { z } from "zod";
import { parseListenAddress, parseTarget } from "./addresses.js";
import { CACHE_PRESET_NAMES, CACHE_PRESETS, PRESET_NAMES, PRESETS } from "./presets.js";
import { type DeepReadonly, listenerSchema, settingsSchema } from "./settings.js";
import { originSchema } from "./settings-origins.js";
import { routeSchema } from "./settings-routes.js";

/** A document whose keys are known to have names, and nothing more. */
export type Document = Readonly<Record<string, unknown>>;
export type Route = DeepReadonly<z.output<typeof routeSchema>>;
export type Origin = DeepReadonly<z.output<typeof originSchema>>;
export type Listener = DeepReadonly<z.output<typeof listenerSchema>>;

/** Settings of TLS that name files. */
const FILES: ReadonlySet<string> = new Set(["cert", "key", "ca", "crl"]);

/**
 * The document as it is meant: the values of each preset written out (what is written beside it stays), TLS for origins
 * with https:// targets, and the paths of files from the folder on.
 */
export function completeDocument(document: Document, folder: string): Document {
  const { admin, listeners, origins, routes } = document;
  return {
    ...document,
    ...(isRecord(admin) ? { admin: withTokenFile(admin, folder) } : {}),
    ...(Array.isArray(listeners) ? { listeners: listeners.map((one: unknown) => withFiles(one, folder)) } : {}),
    ...(isRecord(origins) ? { origins: mapValues(origins, (origin) => completeOrigin(origin, folder)) } : {}),
    ...(Array.isArray(routes) ? { routes: routes.map(completeRoute) } : {}),
  };
}

function withTokenFile(admin: Document, folder: string): Document {
  const token = admin["token"];
  if (!isRecord(token) || typeof token["file"] !== "string" || token["file"] === "") return admin;
  return { ...admin, token: { ...token, file: resolve(folder, token["file"]) } };
}

function completeOrigin(written: unknown, folder: string): unknown {
  if (!isRecord(written)) return written;
  const preset = PRESET_NAMES.find((one) => one === written["preset"]);
  const origin = preset === undefined ? written : { ...PRESETS[preset], ...written };
  const targets = [origin["targets"]].flat().map((target) => (isRecord(target) ? target["address"] : target));
  const isSecure = targets.some((target) => typeof target === "string" && /^(srv\+)?https:/i.test(target));
  return isSecure && origin["tls"] === undefined ? { ...origin, tls: {} } : withFiles(origin, folder);
}

function completeRoute(written: unknown): unknown {
  if (!isRecord(written) || !isRecord(written["cache"])) return written;
  const cache = written["cache"];
  const preset = CACHE_PRESET_NAMES.find((one) => one === cache["preset"]);
  return preset === undefined ? written : { ...written, cache: { ...CACHE_PRESETS[preset], ...cache } };
}

/** A listener or origin with the files of its `tls` by absolute paths; what is no path there is left to the checks. */
function withFiles(part: unknown, folder: string): unknown {
  if (!isRecord(part) || !isRecord(part["tls"])) return part;
  const place = (path: unknown) => (typeof path === "string" && path !== "" ? resolve(folder, path) : path);
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk);
    if (!isRecord(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        key,
        !FILES.has(key) ? walk(inner) : Array.isArray(inner) ? inner.map(place) : place(inner),
      ]),
    );
  };
  return { ...part, tls: walk(part["tls"]) };
}

function mapValues(record: Document, change: (value: unknown) => unknown): Document {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));
}

/** The listeners that are well formed in themselves and say more than an address, each with its index. */
export function listenersOf(document: Document): [number, Listener][] {
  const listeners = document["listeners"];
  if (!Array.isArray(listeners)) return [];
  return listeners.flatMap((listener: unknown, index): [number, Listener][] => {
    const parsed = listenerSchema.safeParse(listener);
    return parsed.success ? [[index, parsed.data]] : [];
  });
}

/** The routes that are well formed in themselves, each with its index. */
export function routesOf(document: Document): [number, Route][] {
  const routes = document["routes"];
  if (!Array.isArray(routes)) return [];
  return routes.flatMap((route: unknown, index): [number, Route][] => {
    const parsed = routeSchema.safeParse(route);
    return parsed.success ? [[index, parsed.data]] : [];
  });
}

/** The origins that are well formed in themselves, each with its name. */
export function originsOf(document: Document): [string, Origin][] {
  if (!isRecord(document["origins"])) return [];
  return Object.entries(document["origins"]).flatMap(([name, origin]): [string, Origin][] => {
    const parsed = originSchema.safeParse(origin);
    return parsed.success ? [[name, parsed.data]] : [];
  });
}

/** The names of all origins, well formed or not. */
export function originNames(document: Document): readonly string[] {
  return isRecord(document["origins"]) ? Object.keys(document["origins"]) : [];
}

/** The addresses an origin's targets are written as. */
export function addressesOf(origin: Origin): readonly string[] {
  return [origin.targets].flat().map((target) => (typeof target === "string" ? target : target.address));
}

/** One text for all notations of an address. */
export function placeOf(address: string): string {
  const parsed = parseTarget(address);
  return parsed.ok ? parsed.value.label : address;
}

/** Whether a target's address is one this proxy listens on itself: a request sent there comes back. */
export function isOwnListener(document: Document, address: string): boolean {
  const target = parseTarget(address);
  if (!target.ok) return false;
  const { host, port } = target.value;
  const at = host === "localhost" ? "127.0.0.1" : host;
  const isLoopback = at.startsWith("127.") || at === "::1";
  const listeners = settingsSchema.shape.listeners.safeParse(document["listeners"]);
  return (listeners.data ?? []).some((listener) => {
    const own = parseListenAddress(typeof listener === "string" ? listener : listener.address);
    if (!own.ok || own.value.port !== port) return false;
    const isEverywhere = own.value.address === "0.0.0.0" || own.value.address === "::";
    return own.value.address === at || (isEverywhere && isLoopback);
  });
}

/** Whether every name that a host pattern (exact or `*.name`) takes is taken by another one. */
export function coversHost(earlier: string, later: string): boolean {
  const [a, b] = [earlier.toLowerCase(), later.toLowerCase()];
  if (!a.startsWith("*.")) return a === b;
  return b.endsWith(a.slice(1)) && b.length > a.length - 1;
}

/** Whether something is an object with named parts. */
export function isRecord(value: unknown): value is Document {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
