/**
 * How commands lay out what they print: columns, and nested values as indented lines.
 */

/** Lines of columns, each as wide as its widest cell; the first row is the heading. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** Any JSON value as lines of `name: value`, what is inside another indented under it. */
export function outline(value: unknown, indent = ""): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => outlineItem(item, indent));
  if (typeof value !== "object" || value === null) return [`${indent}${scalar(value)}`];
  return Object.entries(value).flatMap(([name, inner]) => {
    if (isFlat(inner)) return [`${indent}${name}: ${scalar(inner)}`];
    return [`${indent}${name}:`, ...outline(inner, `${indent}  `)];
  });
}

function outlineItem(item: unknown, indent: string): string[] {
  if (isFlat(item)) return [`${indent}- ${scalar(item)}`];
  const [first = "", ...rest] = outline(item, `${indent}  `);
  return [`${indent}- ${first.trimStart()}`, ...rest];
}

/** Whether a value has a place on its name's own line: no object, and no list that holds one. */
function isFlat(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((item) => typeof item !== "object" || item === null);
  return typeof value !== "object" || value === null || Object.keys(value).length === 0;
}

function scalar(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(scalar).join(", ");
  if (value === null) return "none";
  return typeof value === "object" ? "none" : String(value);
}
