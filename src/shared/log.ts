/**
 * The log of the process: JSON lines on standard error, by pino.
 */
import { destination, type Logger, pino } from "pino";
import type { LogTail } from "./log-tail.js";

/** What parts of the program log with. */
export type Log = Logger;

/** How severe a line is; "silent" shows none. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

export const LOG_LEVELS = [
  "trace",
  "debug",
  "info",
  "warn",
  "error",
  "fatal",
  "silent",
] as const satisfies readonly LogLevel[];

/** Lines kept while standard error is slow, in bytes; beyond it lines are dropped. */
const QUEUE_BYTES_MAX = 4 * 1024 * 1024;

/**
 * A log that shows lines of this level and above. A slow or broken sink costs lines; it never holds up the main thread,
 * which has workers to replace.
 *
 * @param tail Is given every line that is shown.
 */
export function createLog(level: LogLevel, tail?: LogTail): Log {
  const sink = destination({ fd: 2, sync: false, maxLength: QUEUE_BYTES_MAX });
  sink.on("error", () => {});
  if (tail === undefined) return pino({ level, base: null }, sink);
  const both = {
    write: (line: string) => {
      tail.take(line);
      sink.write(line);
    },
  };
  return pino({ level, base: null }, both);
}

/** One note of the native core: `event` says what it is about. */
export type Note = Readonly<Record<string, unknown>>;

/** The notes of an NDJSON document; a line that is none goes to the log and is left out. */
export function readNotes(log: Log, lines: Uint8Array): readonly Note[] {
  const text = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength).toString("utf8");
  return text.split("\n").flatMap((line) => (line === "" ? [] : readNote(log, line)));
}

/** Passes a note of the native core on: its `level` and `event` become level and message of a line. */
export function logNote(log: Log, note: Note): void {
  const { level, event, ...rest } = note;
  log[levelOf(level)](rest, String(event));
}

function readNote(log: Log, line: string): readonly Note[] {
  try {
    const note: unknown = JSON.parse(line);
    if (typeof note === "object" && note !== null) return [note as Note];
  } catch {
    // Said below, as for a line that is JSON but no object.
  }
  log.error({ line }, "a note of the native core is not JSON");
  return [];
}

function levelOf(level: unknown): Exclude<LogLevel, "silent"> {
  switch (level) {
    case "trace":
    case "debug":
    case "info":
    case "warn":
    case "error":
    case "fatal":
      return level;
    default:
      return "info";
  }
}
