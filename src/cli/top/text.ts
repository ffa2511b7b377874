/**
 * Lines of styled text that fit a terminal: cut to its width, and painted only where colours are wanted.
 */

export type Style = "plain" | "bold" | "dim" | "red" | "yellow" | "green" | "reverse";

/** A piece of a line in one style. */
export interface Piece {
  readonly text: string;
  readonly style: Style;
}

export type Line = readonly Piece[];

const CODES: Readonly<Record<Exclude<Style, "plain">, string>> = {
  bold: "1",
  dim: "2",
  red: "31",
  yellow: "33",
  green: "32",
  reverse: "7",
};

export function piece(text: string, style: Style = "plain"): Piece {
  return { text, style };
}

/** A line as it is written: at most `width` characters wide, without anything a terminal would obey but our colours. */
export function paint(line: Line, width: number, isColoured: boolean): string {
  let left = width;
  return line
    .map(({ text, style }) => {
      const shown = [...harmless(text)].slice(0, Math.max(0, left)).join("");
      left -= [...shown].length;
      return shown === "" || style === "plain" || !isColoured ? shown : `\u001b[${CODES[style]}m${shown}\u001b[0m`;
    })
    .join("");
}

/** Names come from settings and name servers; a control character among them must not move the cursor. */
function harmless(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, "?");
}

/** A number with at most a unit behind it, or the dash that stands for none. */
const FIGURE = /^(?:-|-?[\d.]+(?: ?[\w%]+)?)$/;

/** Columns as wide as their widest cell; numbers are set to the right. The first row is the heading. */
export function grid(rows: readonly (readonly (string | Piece)[])[]): Line[] {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === "string" ? piece(cell) : cell)));
  const widths = (cells[0] ?? []).map((_, at) => Math.max(...cells.map((row) => (row[at]?.text ?? "").length)));
  const isNumeric = widths.map((_, at) => cells.slice(1).every((row) => FIGURE.test(row[at]?.text ?? "")));
  return cells.map((row, index) =>
    row.flatMap(({ text, style }, at) => {
      const width = widths[at] ?? 0;
      const set = isNumeric[at] === true ? text.padStart(width) : text.padEnd(width);
      return [piece(at === 0 ? "" : "  "), piece(set, index === 0 ? "dim" : style)];
    }),
  );
}
