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

/** 12 → "12", 12345 → "12.3k": four characters of figures, then a letter. */
export function short(value: number): string {
  if (value < 10 && !Number.isInteger(value)) return value.toFixed(1);
  const letters = ["", "k", "M", "G", "T"];
  let [scaled, at] = [value, 0];
  while (scaled >= 999.5 && at < letters.length - 1) {
    scaled /= 1000;
    at += 1;
  }
  return `${at === 0 || scaled >= 99.95 ? scaled.toFixed(0) : scaled.toFixed(1)}${letters[at]}`;
}

export function percent(share: number | null): string {
  return share === null ? "-" : `${(share * 100).toFixed(1)} %`;
}

/** 0.0123 → "0.012 ms", 123.4 → "123 ms", 12345 → "12.3 s". */
export function milliseconds(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 100 ? ms.toFixed(0) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(3)} ms`;
}

/** "3 d 4 h", "5 h 6 min", "7 min", "8 s". */
export function since(ms: number): string {
  const [seconds, minutes, hours] = [ms / 1000, ms / 60_000, ms / 3_600_000].map(Math.floor) as [
    number,
    number,
    number,
  ];
  if (hours >= 24) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min` : `${seconds} s`;
}
