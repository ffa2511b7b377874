/**
 * Where a command takes its settings from: a file, the zero-config options, or both, and the environment. What the
 * command line says wins over the environment, and the environment over the file.
 */
import { dirname, resolve } from "node:path";
import { type Checked, checkSettings } from "../config/check.js";
import { type LineOf, withLines } from "../config/lines.js";
import { findSettingsFile, loadSettings, type Reading } from "../config/load.js";

/** The options of `run` and `print-config` that say something about settings. */
export interface SettingsOptions {
  readonly config?: string;
  readonly listen?: readonly string[];
  readonly to?: readonly string[];
  readonly workers?: number | "auto";
  readonly shards?: number | "auto";
  readonly steal?: boolean;
  readonly accessLog?: string | boolean;
  readonly admin?: string | boolean;
  readonly logLevel?: string;
}

/** Checked settings and where they came from. */
export interface Sourced {
  readonly checked: Checked;
  /** The file, or null. */
  readonly source: string | null;
  /** Which line of the file a path stands on. */
  readonly lineOf?: LineOf | undefined;
}

/** The file the options name or the directory holds; null with `--to`, which needs none, and when there is none. */
export function chooseFile(options: SettingsOptions, directory: string = process.cwd()): string | null {
  if (options.config !== undefined) return options.config;
  return options.to === undefined ? findSettingsFile(directory) : null;
}

/** Reads, overrides and checks. Never throws for what an operator wrote: complaints are in the result. */
export async function sourceSettings(
  file: string | null,
  options: SettingsOptions,
  environment: NodeJS.ProcessEnv = process.env,
  reading: Reading = "once",
): Promise<Sourced> {
  const loaded = await loadSettings(file, environment, reading);
  const complaints = loaded.complaints;
  if (loaded.document === undefined) return { checked: { ok: false, complaints, warnings: [] }, source: file };
  const folder = file === null ? process.cwd() : dirname(resolve(file));
  const checked = namingLines(checkSettings(applyOptions(loaded.document, options), folder), loaded.lineOf);
  if (complaints.length === 0) return { checked, source: file, lineOf: loaded.lineOf };
  const all = checked.ok ? complaints : [...complaints, ...checked.complaints];
  return { checked: { ok: false, complaints: all, warnings: checked.warnings }, source: file };
}

function namingLines(checked: Checked, lineOf: LineOf | undefined): Checked {
  const warnings = withLines(checked.warnings, lineOf);
  return checked.ok
    ? { ...checked, warnings }
    : { ok: false, complaints: withLines(checked.complaints, lineOf), warnings };
}

function applyOptions(document: unknown, options: SettingsOptions): unknown {
  if (typeof document !== "object" || document === null || Array.isArray(document)) return document;
  const base = document as Readonly<Record<string, unknown>>;
  const pool = {
    ...(options.shards === undefined ? {} : { shards: options.shards }),
    ...(options.steal === false ? { steal: false } : {}),
  };
  return {
    ...base,
    ...(options.listen === undefined ? {} : { listeners: options.listen }),
    ...(options.to === undefined ? {} : { origins: { default: { targets: options.to } } }),
    ...(options.workers === undefined ? {} : { workers: options.workers }),
    ...(Object.keys(pool).length === 0 ? {} : { pool: merged(base["pool"], pool) }),
    ...accessLogOf(base["accessLog"], options.accessLog),
    ...adminOf(base["admin"], options.admin),
    ...(options.logLevel === undefined ? {} : { log: merged(base["log"], { level: options.logLevel }) }),
  };
}

function accessLogOf(base: unknown, option: string | boolean | undefined): Readonly<Record<string, unknown>> {
  if (option === undefined) return {};
  if (option === false) return { accessLog: false };
  return { accessLog: merged(base, option === true ? {} : { to: option }) };
}

function adminOf(base: unknown, option: string | boolean | undefined): Readonly<Record<string, unknown>> {
  if (option === undefined) return {};
  if (option === false) return { admin: false };
  return { admin: merged(base, option === true ? {} : { address: option }) };
}

/** What stands in the document with the options on top; what is no object there is left to the checks. */
function merged(base: unknown, over: Readonly<Record<string, unknown>>): unknown {
  if (base === undefined || base === false) return over;
  return typeof base === "object" && base !== null && !Array.isArray(base) ? { ...base, ...over } : base;
}
