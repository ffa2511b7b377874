/**
 * Finds the settings file, reads it in whatever form it has, and adds the environment's settings. The checks are in
 * check.ts; here only what cannot be read at all is said.
 */
import { existsSync, readFileSync } from "node:fs";
import { extname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { createJiti } from "jiti";
import { LineCounter, parseDocument } from "yaml";
import { type Complaint, messageOf } from "../shared/errors.js";
import { applyEnvironment } from "./env.js";
import { type LineOf, linesOf } from "./lines.js";

/** Endings in order of preference. */
const ENDINGS = ["ts", "mts", "js", "mjs", "json", "yaml"] as const;
/** Where a settings file is looked for after the working directory. */
const SYSTEM_DIRECTORY = "/etc/millrace";

/** A document that could be read, not checked yet. */
export interface Loaded {
  /** Where it came from, for messages; null when there was no file. */
  readonly source: string | null;
  readonly document: unknown;
  readonly complaints: readonly Complaint[];
  /** Absent where the file is a program, or there is none. */
  readonly lineOf?: LineOf;
}

/** The settings file that would be used without `-c`, or null. */
export function findSettingsFile(directory: string): string | null {
  for (const place of [directory, SYSTEM_DIRECTORY]) {
    for (const ending of ENDINGS) {
      const path = join(place, `millrace.config.${ending}`);
      if (existsSync(path)) return path;
    }
  }
  return null;
}

/**
 * Reads a settings file and applies the environment. Complaints (unreadable, not YAML, no default export …) are
 * returned, not thrown.
 *
 * @param file Path of the file, or null to start from an empty document.
 * @param reading Whether what a program imports is to be read anew.
 */
export async function loadSettings(
  file: string | null,
  environment: NodeJS.ProcessEnv,
  reading: Reading = "once",
): Promise<Loaded> {
  const read: Read = file === null ? { document: {}, complaints: [] } : await readSettingsFile(resolve(file), reading);
  if (read.complaints.length > 0) return { source: file, ...read };
  return { ...read, source: file, ...applyEnvironment(read.document, environment) };
}

export type Read = Omit<Loaded, "source">;

/** A program is kept by Node.js once it was imported; `again` reads it, and what it imports, as the files are now. */
export type Reading = "once" | "again";

async function readSettingsFile(path: string, reading: Reading): Promise<Read> {
  if (!existsSync(path)) return unreadable(`there is no file ${path}`);
  try {
    switch (extname(path)) {
      case ".json":
      case ".yaml":
      case ".yml":
        return readYaml(path);
      case ".ts":
      case ".mts":
      case ".js":
      case ".mjs":
        return reading === "again" ? await readApart(path) : await readProgram(path);
      default:
        return unreadable(`${path} must end in .ts, .mts, .js, .mjs, .json or .yaml`);
    }
  } catch (thrown) {
    return unreadable(`${path} cannot be read: ${messageOf(thrown)}`);
  }
}

/** What a program exports; a thread of its own reads it anew (program-reader.ts). Never rejects. */
export async function readProgram(path: string): Promise<Read> {
  try {
    const isTypeScript = /\.m?ts$/.test(path);
    return readExport(await (isTypeScript ? importThroughJiti(path) : importJavaScript(path)), path);
  } catch (thrown) {
    return unreadable(`${path} cannot be read: ${messageOf(thrown)}`);
  }
}

function readApart(path: string): Promise<Read> {
  return new Promise((resolve, reject) => {
    // Flags of the process (--input-type, loaders) have no meaning there.
    const thread = new Worker(new URL("./program-reader.js", import.meta.url), { workerData: path, execArgv: [] });
    thread.once("message", resolve);
    thread.once("error", reject);
    thread.once("exit", () => reject(new Error("its thread ended without a word")));
  });
}

/** JSON is YAML too, and this reader says line and column of a mistake. */
function readYaml(path: string): Read {
  const lines = new LineCounter();
  const parsed = parseDocument(readFileSync(path, "utf8"), {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    schema: "core",
  });
  if (parsed.errors.length > 0) {
    const complaints = parsed.errors.map((error) => {
      const at = lines.linePos(error.pos[0]);
      return { path: `${path}:${at.line}:${at.col}`, says: error.message };
    });
    return { document: undefined, complaints };
  }
  return { document: parsed.toJS() ?? {}, complaints: [], lineOf: linesOf(parsed, lines) };
}

/** Node itself; where a file asks for "millrace" and has no copy beside it, as with a global install, ours is meant. */
async function importJavaScript(path: string): Promise<unknown> {
  try {
    return await import(pathToFileURL(path).href);
  } catch (thrown) {
    if (!/Cannot find package 'millrace'/.test(messageOf(thrown))) throw thrown;
    return importThroughJiti(path);
  }
}

/**
 * One way for all versions of Node: 20 reads no TypeScript, 22 warns about it, and none of them knows where our package
 * is when it is installed globally.
 */
function importThroughJiti(path: string): Promise<unknown> {
  const own = fileURLToPath(new URL("../index.js", import.meta.url));
  return createJiti(import.meta.url, { alias: { millrace: own }, interopDefault: false }).import(path);
}

function readExport(module: unknown, path: string): Read {
  if (typeof module !== "object" || module === null || !("default" in module)) {
    return unreadable(`${path} must export its settings: export default defineConfig({ … })`);
  }
  return { document: module.default, complaints: [] };
}

function unreadable(says: string): Read {
  return { document: undefined, complaints: [{ path: "", says }] };
}
