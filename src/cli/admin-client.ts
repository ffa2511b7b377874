/**
 * How commands ask a running proxy: its admin API, with one clear sentence where that does not answer or refuses.
 */
import { request } from "node:http";
import { type AdminPlace, parseAdminPlace } from "../config/addresses.js";
import { readToken } from "../config/admin-token.js";
import { messageOf } from "../shared/errors.js";
import { EXIT, type ExitCode, print, say } from "./output.js";

/** Options of every command that asks. */
export interface AdminOptions {
  /** Where the admin API listens. */
  readonly admin: string;
  /** Else the token is in the environment, under the name of the setting. */
  readonly tokenFile?: string;
  readonly json: boolean;
}

/** What is asked. */
export interface Question {
  readonly method: "GET" | "POST" | "PUT";
  readonly path: string;
  readonly body?: unknown;
  /** How long the answer may take, in ms, where that is longer than for the others. */
  readonly waitMs?: number;
}

/** How long the admin API may take, in ms. */
const ANSWER_MS_MAX = 5000;

/** Asks, prints the answer as it is (`--json`) or as `describe` puts it, and returns the exit code. */
export async function askAdmin<T>(
  options: AdminOptions,
  question: Question,
  describe: (answer: T) => readonly string[],
): Promise<ExitCode> {
  const door = openDoor(options);
  if (!door.ok) return sayRefusal(door);
  const answer = await door.ask<T>(question);
  if (!answer.ok) return sayRefusal(answer);
  if (options.json) print(answer.text.trimEnd());
  else for (const line of describe(answer.value)) print(line);
  return EXIT.ok;
}

/** Why there is no answer, and what that makes of the command. */
export interface Refusal {
  readonly ok: false;
  readonly says: string;
  readonly code: ExitCode;
  /** The problem document, where there is one. */
  readonly text?: string;
}

/** An answer as it came and as it reads. */
export interface Answer<T> {
  readonly ok: true;
  readonly text: string;
  readonly value: T;
}

/** The way to an admin API; `ask` never rejects. */
export interface Door {
  readonly ok: true;
  readonly ask: <T>(question: Question) => Promise<Answer<T> | Refusal>;
}

/** Says a refusal and returns its exit code. */
export function sayRefusal({ says, code }: Refusal): ExitCode {
  say(says);
  return code;
}

/** Finds out where the options lead, and with which token. */
export function openDoor(options: Pick<AdminOptions, "admin" | "tokenFile">): Door | Refusal {
  const place = parseAdminPlace(options.admin);
  if (!place.ok) return { ok: false, says: `--admin: ${place.says}`, code: EXIT.usage };
  const token = tokenOf(options.tokenFile);
  if (!token.ok) return { ok: false, says: `--token-file: ${token.says}`, code: EXIT.usage };
  return { ok: true, ask: (question) => ask(options.admin, place.value, token.token, question) };
}

/** The environment's is the one that the proxy itself would be given by it. */
function tokenOf(
  file: string | undefined,
): { readonly ok: true; readonly token: string } | ReturnType<typeof readToken> {
  if (file !== undefined) return readToken({ file });
  return { ok: true, token: process.env["MILLRACE_ADMIN__TOKEN"] ?? "" };
}

async function ask<T>(
  where: string,
  place: AdminPlace,
  token: string,
  question: Question,
): Promise<Answer<T> | Refusal> {
  try {
    const answered = await fetchAnswer(place, token, question);
    if (answered.status === 200) {
      return { ok: true, text: answered.body, value: JSON.parse(answered.body) as T };
    }
    const says = `the admin API at ${where} refuses: ${detailOf(answered)}`;
    return { ok: false, says, code: CODES[answered.status] ?? EXIT.failure, text: answered.body };
  } catch (thrown) {
    const says = `the admin API at ${where} did not answer: ${messageOf(thrown)} (is the proxy run with --admin?)`;
    return { ok: false, says, code: EXIT.failure };
  }
}

interface Answered {
  readonly status: number;
  readonly body: string;
}

function fetchAnswer(place: AdminPlace, token: string, question: Question): Promise<Answered> {
  const { method, path, body, waitMs = ANSWER_MS_MAX } = question;
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const headers = {
    ...(bytes === undefined ? {} : { "Content-Type": "application/json", "Content-Length": String(bytes.byteLength) }),
    ...(token === "" ? {} : { Authorization: `Bearer ${token}` }),
  };
  const where = place.kind === "unix" ? { socketPath: place.path } : { host: place.address, port: place.port };
  return new Promise((resolve, reject) => {
    const options = { ...where, method, path, headers, timeout: waitMs };
    const asking = request(options, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString("utf8") }),
      );
    });
    asking.on("timeout", () => asking.destroy(new Error("no answer in time")));
    asking.on("error", reject);
    asking.end(bytes);
  });
}

/** What a refusal makes of a command, where it is more than a failure. */
const CODES: Readonly<Record<number, ExitCode>> = { 400: EXIT.usage, 422: EXIT.settings };

/** What a problem document says, else its status. */
function detailOf({ status, body }: Answered): string {
  try {
    const { detail } = JSON.parse(body) as { readonly detail?: unknown };
    if (typeof detail === "string") return detail;
  } catch {
    // Not a problem document: then the status is all there is to say.
  }
  return `status ${status}`;
}
