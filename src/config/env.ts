/**
 * Settings from the environment: `MILLRACE_SECTION__KEY` sets one scalar, e.g. `MILLRACE_LIMITS__HEAD_BYTES=16384`,
 * `MILLRACE_WORKERS=2` or `MILLRACE_LISTENERS__0__ADDRESS=:80`. It wins over the file.
 */
import type { Complaint } from "../shared/errors.js";
import { describePath } from "./complaints.js";
import { type JsonSchema, keysAt, schemasAt } from "./schema.js";
import { suggestion } from "./suggest.js";

const PREFIX = "MILLRACE_";

/** The document with the environment's settings in it, and what is wrong with those. */
export interface Overridden {
  readonly document: unknown;
  readonly complaints: readonly Complaint[];
}

/** Applies every `MILLRACE_…` variable that names a setting. The document is not changed; a copy is. */
export function applyEnvironment(document: unknown, environment: NodeJS.ProcessEnv): Overridden {
  const complaints: Complaint[] = [];
  let changed = document;
  for (const name of Object.keys(environment).sort()) {
    const value = environment[name];
    if (!name.startsWith(PREFIX) || value === undefined) continue;
    const words = name.slice(PREFIX.length).split("__");
    // A variable of one word is a setting only if it is exactly one (MILLRACE_NATIVE_PATH, for one, is not); two
    // underscores in a row always mean a setting, so a mistake in them is said.
    if (words.length === 1 && !isScalar(schemasAt([camelOf(words[0] ?? "")]))) continue;
    const place = placeOf(words, changed);
    if (place.unknown !== null) {
      const says = `names no setting: ${describePath(place.path)}${suggestion(place.unknown, keysAt(place.path.slice(0, -1)))}`;
      complaints.push({ path: name, says });
      continue;
    }
    const schemas = schemasAt(place.path);
    if (!isScalar(schemas)) {
      complaints.push({
        path: name,
        says: `${describePath(place.path)} is not a single value; set it in a settings file`,
      });
      continue;
    }
    changed = withValue(changed, place.path, scalarOf(value, schemas));
  }
  return { document: changed, complaints };
}

interface Place {
  readonly path: readonly (string | number)[];
  /** The first word nothing is called by, or null. */
  readonly unknown: string | null;
}

function placeOf(words: readonly string[], document: unknown): Place {
  const path: (string | number)[] = [];
  let here = document;
  for (const word of words) {
    const step = stepOf(word, path, here);
    path.push(step ?? camelOf(word));
    if (step === null) return { path, unknown: camelOf(word) };
    here = typeof here === "object" && here !== null ? (here as Record<string | number, unknown>)[step] : undefined;
  }
  return { path, unknown: null };
}

/** The key a word stands for: a known one, an index, or a name the document already uses (an origin's). */
function stepOf(word: string, path: readonly (string | number)[], here: unknown): string | number | null {
  if (/^\d+$/.test(word)) return schemasAt([...path, Number(word)]).length > 0 ? Number(word) : null;
  const known = keysAt(path).find((key) => key.toLowerCase() === camelOf(word).toLowerCase());
  if (known !== undefined) return known;
  if (typeof here !== "object" || here === null) return null;
  return Object.keys(here).find((key) => key.replace(/\W/g, "_").toLowerCase() === word.toLowerCase()) ?? null;
}

/** `HEAD_BYTES` → `headBytes`. */
function camelOf(word: string): string {
  return word.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function isScalar(schemas: readonly JsonSchema[]): boolean {
  return schemas.some((schema) => isScalarType(schema) || schema.enum !== undefined || schema.const !== undefined);
}

function isScalarType(schema: JsonSchema): boolean {
  return schema.type !== undefined && ["string", "integer", "number", "boolean"].includes(schema.type);
}

/** Reads a value as the kind its setting takes; what does not read stays text, so that the schema complains of it. */
function scalarOf(value: string, schemas: readonly JsonSchema[]): unknown {
  const takes = (type: string) => schemas.some((schema) => schema.type === type || typeof schema.const === type);
  if ((takes("integer") || takes("number")) && /^-?\d+(\.\d+)?$/.test(value)) return Number(value);
  if (takes("boolean") && (value === "true" || value === "false")) return value === "true";
  return value;
}

function withValue(document: unknown, path: readonly (string | number)[], value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (typeof step === "number") {
    const list = Array.isArray(document) ? [...document] : [];
    list[step] = withValue(list[step], rest, value);
    return list;
  }
  const record = typeof document === "object" && document !== null && !Array.isArray(document) ? document : {};
  return { ...record, [step]: withValue((record as Record<string, unknown>)[step], rest, value) };
}
