/**
 * The building blocks of the settings schema. A leaf is declared once: unit (in the name of the setting), range,
 * default and a sentence; the checks, the JSON Schema and docs/SETTINGS.md are all derived from that declaration.
 */
import { z } from "zod";

/** A whole number with a range and a sentence, but no default: it is required, or optional where `.optional()` follows. */
export interface BareNumberLeaf {
  readonly min: number;
  readonly max: number;
  readonly says: string;
  /** True where 0, though below `min`, means "no limit". */
  readonly zeroIsNoLimit?: boolean;
  /** What 0, though below `min`, means where it is something else than "no limit". */
  readonly zeroMeans?: string;
}

/** A whole number with a range, a default and a sentence. */
export interface NumberLeaf extends BareNumberLeaf {
  readonly default: number;
}

/** A true-or-false setting. */
export interface FlagLeaf {
  readonly default: boolean;
  readonly says: string;
}

type Unit = "ms" | "s" | "bytes" | "percent" | "count";

/** A duration in milliseconds. */
export function milliseconds(leaf: NumberLeaf): z.ZodDefault<z.ZodNumber> {
  return wholeNumber("ms", leaf);
}

/** A duration in milliseconds without a default. */
export function bareMilliseconds(leaf: BareNumberLeaf): z.ZodNumber {
  return bareNumber("ms", leaf);
}

/** A duration in seconds, where the protocol counts in them. */
export function seconds(leaf: NumberLeaf): z.ZodDefault<z.ZodNumber> {
  return wholeNumber("s", leaf);
}

/** A duration in seconds without a default. */
export function bareSeconds(leaf: BareNumberLeaf): z.ZodNumber {
  return bareNumber("s", leaf);
}

/** A share of a hundred. */
export function percent(leaf: NumberLeaf): z.ZodDefault<z.ZodNumber> {
  return wholeNumber("percent", leaf);
}

/** A size in bytes without a default. */
export function bareBytes(leaf: BareNumberLeaf): z.ZodNumber {
  return bareNumber("bytes", leaf);
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
  return bareNumber(unit, leaf).default(leaf.default).meta(metaOf(unit, leaf));
}

function bareNumber(unit: Unit, leaf: BareNumberLeaf): z.ZodNumber {
  const zero = zeroOf(leaf);
  const range = `${zero === null ? leaf.min : `0 (${zero}) or ${leaf.min}`} to ${leaf.max}${unit === "count" ? "" : ` ${unit}`}`;
  return z
    .int({ error: `must be a whole number, ${range}` })
    .min(zero === null ? leaf.min : 0, { error: `must be ${range}` })
    .max(leaf.max, { error: `must be ${range}` })
    .refine((value) => zero === null || value === 0 || value >= leaf.min, { error: `must be ${range}` })
    .meta(metaOf(unit, leaf));
}

function metaOf(unit: Unit, leaf: BareNumberLeaf): { readonly description: string; readonly unit: Unit } {
  const zero = zeroOf(leaf);
  return { description: zero === null ? leaf.says : `${leaf.says} 0 = ${zero}.`, unit };
}

function zeroOf(leaf: BareNumberLeaf): string | null {
  return leaf.zeroMeans ?? (leaf.zeroIsNoLimit === true ? "no limit" : null);
}

/**
 * A setting that may be absent and then has this value. Unlike a default it is not filled in, for settings that only
 * some of their neighbours may have beside them; schema and page name the value all the same.
 */
export function otherwise<T extends z.ZodType>(schema: T, value: z.input<T>, says: string): z.ZodOptional<T> {
  return schema.optional().meta({ description: says, default: value });
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
