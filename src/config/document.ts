/**
 * A settings document as it was written, before it is known to be right: the parts of it that are well formed in
 * themselves, so that the rules between settings can be checked for them whatever is wrong elsewhere.
 */
import type { z } from "zod";
import { parseListenAddress, parseTarget } from "./addresses.js";
import { PRESET_NAMES, PRESETS } from "./presets.js";
import { type DeepReadonly, settingsSchema } from "./settings.js";
import { originSchema } from "./settings-origins.js";
import { routeSchema } from "./settings-routes.js";

/** A document whose keys are known to have names, and nothing more. */
export type Document = Readonly<Record<string, unknown>>;
export type Route = DeepReadonly<z.output<typeof routeSchema>>;
export type Origin = DeepReadonly<z.output<typeof originSchema>>;

/** The document with the values of each origin's preset written out; what is written beside it stays. */
export function applyPresets(document: Document): Document {
  const origins = document["origins"];
  if (!isRecord(origins)) return document;
  const written = Object.entries(origins).map(([name, origin]): [string, unknown] => {
    const preset = isRecord(origin) ? PRESET_NAMES.find((one) => one === origin["preset"]) : undefined;
    return [name, preset === undefined ? origin : { ...PRESETS[preset], ...(origin as Document) }];
  });
  return { ...document, origins: Object.fromEntries(written) };
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

/** Whether something is an object with named parts. */
export function isRecord(value: unknown): value is Document {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
