/**
 * The terminal of `millrace top`: takes the whole screen, tells keys and changes of size, and gives everything back as it
 * was, however the program ends.
 */
import type { Size } from "./views.js";

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
/** Of a terminal that does not say. */
const SIZE_UNKNOWN: Size = { columns: 80, rows: 24 };

/** What a screen tells whoever opened it. */
export interface ScreenEvents {
  readonly handleKey: (key: string) => void;
  readonly handleResize: () => void;
}

/** An open screen. */
export interface Screen {
  readonly size: () => Size;
  /** Lines that fit already; what was there before is gone. */
  readonly draw: (lines: readonly string[]) => void;
  readonly close: () => void;
}

/** Whether this is a terminal that a screen can be drawn on. */
export function isScreen(environment: NodeJS.ProcessEnv): boolean {
  return process.stdout.isTTY === true && environment["TERM"] !== "dumb";
}

/** no-color.org: any value but an empty one; FORCE_COLOR is asked first, as it is the stronger wish. */
export function wantsColour(environment: NodeJS.ProcessEnv, isTerminal: boolean): boolean {
  const { FORCE_COLOR: force, NO_COLOR: none, TERM: kind } = environment;
  if (force !== undefined && force !== "") return force !== "0";
  if (none !== undefined && none !== "") return false;
  return isTerminal && kind !== "dumb";
}

export function sizeOf(stream: { readonly columns?: number; readonly rows?: number }): Size {
  const { columns = 0, rows = 0 } = stream;
  return { columns: columns > 0 ? columns : SIZE_UNKNOWN.columns, rows: rows > 0 ? rows : SIZE_UNKNOWN.rows };
}

/** Takes the screen. */
export function openScreen({ handleKey, handleResize }: ScreenEvents): Screen {
  const { stdin, stdout } = process;
  const hear = (bytes: Buffer) => handleKey(bytes.toString("utf8"));
  let isOpen = true;
  const close = () => {
    if (!isOpen) return;
    isOpen = false;
    process.off("exit", close);
    stdout.off("resize", handleResize);
    stdin.off("data", hear);
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    stdout.write(LEAVE);
  };
  process.on("exit", close);
  stdout.on("resize", handleResize);
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    stdin.on("data", hear);
  }
  stdout.write(ENTER);
  return {
    size: () => sizeOf(stdout),
    // Each line is cleared behind its end, so that nothing flickers.
    draw: (lines) => stdout.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join("\r\n")}\u001b[J`),
    close,
  };
}
