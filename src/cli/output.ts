/**
 * How the commands speak: data on standard output, diagnostics on standard error, and a closed set of exit codes.
 */
import { type Complaint, describeComplaint, MillraceError, messageOf } from "../shared/errors.js";

/** 78 is EX_CONFIG of sysexits.h. */
export const EXIT = { ok: 0, failure: 1, usage: 2, settings: 78 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A reader that has seen enough (`millrace stats | head`) is no failure. */
export function endWithReader(): void {
  process.stdout.on("error", (failure: NodeJS.ErrnoException) => {
    if (failure.code === "EPIPE") process.exit(EXIT.ok);
    throw failure;
  });
}

/** Data: what a caller may want to pipe on. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Diagnostics: for whoever looks on. */
export function say(text: string): void {
  process.stderr.write(`millrace: ${text}\n`);
}

/** Complaints or warnings, one a line. */
export function sayComplaints(kind: "error" | "warning", complaints: readonly Complaint[]): void {
  for (const complaint of complaints) process.stderr.write(`${kind}: ${describeComplaint(complaint)}\n`);
}

/** Says why a command failed, in one clear sentence without a stack, and returns its exit code. */
export function sayFailure(thrown: unknown): ExitCode {
  if (thrown instanceof MillraceError) {
    if (thrown.code === "MILLRACE_SETTINGS" && thrown.complaints.length > 0) {
      sayComplaints("error", thrown.complaints);
      return EXIT.settings;
    }
    say(thrown.message);
    return EXIT.failure;
  }
  say(`unexpected: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : messageOf(thrown)}`);
  return EXIT.failure;
}
