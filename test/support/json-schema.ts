/**
 * Holds a value to a JSON Schema: the words that our own documents use, and a complaint for any other.
 */

export interface JsonSchema {
  readonly [word: string]: unknown;
}

type Schemas = Readonly<Record<string, JsonSchema>>;

/** Everything in which a value is not what the schema says; empty = it is. */
export function flawsOf(value: unknown, schema: JsonSchema, schemas: Schemas, at = "$"): readonly string[] {
  return Object.entries(schema).flatMap(([word, says]) => flawsOfWord(value, word, says, schema, schemas, at));
}

function flawsOfWord(
  value: unknown,
  word: string,
  says: unknown,
  schema: JsonSchema,
  schemas: Schemas,
  at: string,
): readonly string[] {
  switch (word) {
    case "$ref": {
      const name = String(says).replace("#/components/schemas/", "");
      const named = schemas[name];
      return named === undefined ? [`${at}: there is no schema ${name}`] : flawsOf(value, named, schemas, at);
    }
    case "type": {
      const types = [says].flat();
      return types.some((type) => isOf(value, String(type))) ? [] : [`${at} is no ${types.join(" or ")}`];
    }
    case "enum":
      return (says as readonly unknown[]).includes(value) ? [] : [`${at} is none of ${JSON.stringify(says)}`];
    case "required":
      return isOf(value, "object")
        ? (says as readonly string[]).filter((key) => !(key in (value as object))).map((key) => `${at} has no ${key}`)
        : [];
    case "properties":
      return entriesOf(value).flatMap(([key, inner]) => {
        const part = (says as Schemas)[key];
        return part === undefined ? [] : flawsOf(inner, part, schemas, `${at}.${key}`);
      });
    case "additionalProperties": {
      const known = Object.keys((schema["properties"] ?? {}) as object);
      const others = entriesOf(value).filter(([key]) => !known.includes(key));
      if (says === false) return others.map(([key]) => `${at} must not have ${key}`);
      return others.flatMap(([key, inner]) => flawsOf(inner, says as JsonSchema, schemas, `${at}.${key}`));
    }
    case "items":
      return Array.isArray(value)
        ? value.flatMap((item, index) => flawsOf(item, says as JsonSchema, schemas, `${at}[${index}]`))
        : [];
    default:
      return [`${at}: the word ${word} is not known here`];
  }
}

function entriesOf(value: unknown): readonly [string, unknown][] {
  return isOf(value, "object") ? Object.entries(value as object) : [];
}

function isOf(value: unknown, type: string): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}
