/**
 * The last lines of the process log, kept for whoever looks at a running proxy.
 */

/** Lines that are kept. */
export const TAIL_LINES_MAX = 200;
/** Longest line that is kept whole, in characters. */
export const TAIL_LINE_CHARACTERS_MAX = 2048;

/** A line with its number since the start, so that a reader knows what it has missed. */
export interface TailLine {
  readonly number: number;
  readonly text: string;
}

/** The end of one log. */
export class LogTail {
  readonly #lines: TailLine[] = [];
  #count = 0;

  /** A line as it was written, with its line end. */
  take(line: string): void {
    const whole = line.trimEnd();
    const text = whole.length <= TAIL_LINE_CHARACTERS_MAX ? whole : `${whole.slice(0, TAIL_LINE_CHARACTERS_MAX)}…`;
    this.#count += 1;
    this.#lines.push({ number: this.#count, text });
    if (this.#lines.length > TAIL_LINES_MAX) this.#lines.shift();
  }

  /** Lines written so far, kept or not. */
  get count(): number {
    return this.#count;
  }

  /** What is kept of the lines behind that number. */
  since(number: number): readonly TailLine[] {
    return this.#lines.filter((line) => line.number > number);
  }
}
