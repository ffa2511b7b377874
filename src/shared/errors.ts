/**
 * The errors Millrace throws at whoever uses it: one class, told apart by a closed set of codes.
 */

/**
 * - `MILLRACE_SETTINGS`: the settings are wrong; `complaints` names every one.
 * - `MILLRACE_RESOLVE`: the name of a target does not resolve.
 * - `MILLRACE_LISTEN`: a listening socket cannot be opened (port in use, no permission …).
 * - `MILLRACE_NATIVE`: the native core is missing, does not fit or refused the plan.
 * - `MILLRACE_START`: a thread did not become ready.
 * - `MILLRACE_STATE`: a method was called at the wrong time (start twice, stats before start).
 * - `MILLRACE_UPGRADE`: no new process took over; this one serves on.
 * - `MILLRACE_ARGUMENT`: what a method was given is wrong, or names nothing that is there.
 */
export type MillraceErrorCode =
  | "MILLRACE_SETTINGS"
  | "MILLRACE_RESOLVE"
  | "MILLRACE_LISTEN"
  | "MILLRACE_NATIVE"
  | "MILLRACE_START"
  | "MILLRACE_STATE"
  | "MILLRACE_UPGRADE"
  | "MILLRACE_ARGUMENT";

/** One thing that is wrong with the settings. */
export interface Complaint {
  /** Where, e.g. `routes[2].forwardTo`; empty for the document as a whole. */
  readonly path: string;
  /** What is wrong and, where it can be guessed, what was meant. */
  readonly says: string;
  /** Line of the settings file, counted from 1; absent where no line can be named. */
  readonly line?: number;
}

/** Every error Millrace throws on purpose. */
export class MillraceError extends Error {
  override readonly name = "MillraceError";
  readonly code: MillraceErrorCode;
  /** Filled for `MILLRACE_SETTINGS`, else empty. */
  readonly complaints: readonly Complaint[];

  constructor(
    code: MillraceErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly complaints?: readonly Complaint[] } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.complaints = options.complaints ?? [];
  }
}

/** A `MILLRACE_SETTINGS` error out of complaints; its message carries all of them, one a line. */
export function settingsError(complaints: readonly Complaint[], source?: string): MillraceError {
  const where = source === undefined ? "the settings" : source;
  const lines = complaints.map((complaint) => `  ${describeComplaint(complaint)}`);
  const count = complaints.length === 1 ? "1 complaint" : `${complaints.length} complaints`;
  return new MillraceError("MILLRACE_SETTINGS", `${where}: ${count}\n${lines.join("\n")}`, { complaints });
}

/** `path: says` with the line where it is known, or only the sentence for the document as a whole. */
export function describeComplaint({ path, says, line }: Complaint): string {
  if (path === "") return says;
  return line === undefined ? `${path}: ${says}` : `${path} (line ${line}): ${says}`;
}

/** For the `default` of a switch over a closed union: a forgotten kind does not compile. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}

/** The message of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
