/**
 * The building blocks of the settings schema. A leaf is declared once: unit (in the name of the setting), range,
 * default and a sentence; the checks, the JSON Schema and docs/SETTINGS.md are all derived from that declaration.
 */
import { z } from "zod";

/** A whole number with a range, a default and a sentence. */
export interface NumberLeaf {
  readonly min: number;
  readonly max: number;
  readonly default: number;
  readonly says: string;
  /** True where 0, though below `min`, means "no limit". */
  readonly zeroIsNoLimit?: boolean;
}

/** A true-or-false setting. */
export interface FlagLeaf {
  readonly default: boolean;
  readonly says: string;
}

type Unit = "ms" | "bytes" | "count";

/** A duration in milliseconds. */
export function milliseconds(leaf: NumberLeaf): z.ZodDefault<z.ZodNumber> {
  return wholeNumber("ms", leaf);
}

/** A size in bytes. */
export function bytes(leaf: NumberLeaf): z.ZodDefault<z.ZodNumber> {
  return wholeNumber("bytes", leaf);
}

/** A number of things. */
export function count(leaf: NumberLeaf): z.ZodDefault<z.ZodNumber> {
  return wholeNumber("count", leaf);
}

/** True or false. */
export function flag(leaf: FlagLeaf): z.ZodDefault<z.ZodBoolean> {
  return z.boolean().default(leaf.default).describe(leaf.says);
}

function wholeNumber(unit: Unit, leaf: NumberLeaf): z.ZodDefault<z.ZodNumber> {
  const zero = leaf.zeroIsNoLimit === true;
  const range = `${zero ? `0 (no limit) or ${leaf.min}` : leaf.min} to ${leaf.max}${unit === "count" ? "" : ` ${unit}`}`;
  return z
    .int({ error: `must be a whole number, ${range}` })
    .min(zero ? 0 : leaf.min, { error: `must be ${range}` })
    .max(leaf.max, { error: `must be ${range}` })
    .refine((value) => !zero || value === 0 || value >= leaf.min, { error: `must be ${range}` })
    .default(leaf.default)
    .meta({ description: zero ? `${leaf.says} 0 = no limit.` : leaf.says, unit });
}

/** A text that a pure function judges: it returns null when the text holds, else what is wrong with it. */
export function text(says: string, judge: (value: string) => string | null): z.ZodString {
  return z
    .string()
    .superRefine((value, context) => {
      const wrong = judge(value);
      if (wrong !== null) context.addIssue({ code: "custom", message: wrong });
    })
    .describe(says);
}

/** One value or a list of them, always read as a list. */
export function oneOrMore<T extends z.ZodType>(item: T) {
  return z.union([item, z.array(item).min(1, { error: "must name at least one" })]);
}
