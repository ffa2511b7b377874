/**
 * The JSON Schema of the settings, made from the zod schema, and look-ups in it: which keys may stand at a path, and
 * which kind of value a leaf takes.
 */
import { z } from "zod";
import { settingsSchema } from "./settings.js";

/** The parts of a JSON Schema that are looked at here. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly unit?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly required?: readonly string[];
}

let made: JsonSchema | undefined;

/** The schema of what an operator may write (`io: "input"`: what has a default may be left out). */
export function jsonSchema(): JsonSchema {
  made ??= {
    ...(z.toJSONSchema(settingsSchema, { io: "input" }) as JsonSchema),
    ...{ title: "Settings of Millrace" },
  };
  return made;
}

/** Which keys may stand in the object at a path; empty where any may or none is known. */
export function keysAt(path: readonly PropertyKey[]): readonly string[] {
  return schemasAt(path).flatMap((schema) => Object.keys(schema.properties ?? {}));
}

/** Every schema that may describe the value at a path, alternatives flattened. */
export function schemasAt(path: readonly PropertyKey[]): readonly JsonSchema[] {
  return path.reduce<readonly JsonSchema[]>(
    (schemas, step) => schemas.flatMap((schema) => stepInto(schema, step)).flatMap(alternatives),
    alternatives(jsonSchema()),
  );
}

function stepInto(schema: JsonSchema, step: PropertyKey): readonly JsonSchema[] {
  if (typeof step === "number") return schema.items === undefined ? [] : [schema.items];
  const property = schema.properties?.[String(step)];
  if (property !== undefined) return [property];
  return typeof schema.additionalProperties === "object" ? [schema.additionalProperties] : [];
}

/** A schema, or the schemas it may be any of. */
export function alternatives(schema: JsonSchema): readonly JsonSchema[] {
  return schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(alternatives);
}
