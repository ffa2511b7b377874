/**
 * The log of the process: JSON lines on standard error, by pino.
 */
import { destination, type Logger, pino } from "pino";

/** What parts of the program log with. */
export type Log = Logger;

/** How severe a line is; "silent" shows none. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

/** Lines kept while standard error is slow, in bytes; beyond it lines are dropped. */
const QUEUE_BYTES_MAX = 4 * 1024 * 1024;

/**
 * A log that shows lines of this level and above. A slow or broken sink costs lines; it never holds up the main thread,
 * which has workers to replace.
 */
export function createLog(level: LogLevel): Log {
  const sink = destination({ fd: 2, sync: false, maxLength: QUEUE_BYTES_MAX });
  sink.on("error", () => {});
  return pino({ level, base: null }, sink);
}

/** Passes NDJSON notes of the native core on: `level` and `event` of each become level and message of a line. */
export function logNotes(log: Log, lines: Uint8Array): void {
  for (const line of Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength).toString("utf8").split("\n")) {
    if (line !== "") logNote(log, line);
  }
}

function logNote(log: Log, line: string): void {
  let note: unknown;
  try {
    note = JSON.parse(line);
  } catch {
    log.error({ line }, "a note of the native core is not JSON");
    return;
  }
  const { level, event, ...rest } = note as Readonly<Record<string, unknown>>;
  log[levelOf(level)](rest, String(event));
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
