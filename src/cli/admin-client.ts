/**
 * How commands ask a running proxy: its admin API, with one clear sentence where that does not answer or refuses.
 */
import { request } from "node:http";
import { parseListenAddress } from "../config/addresses.js";
import { messageOf } from "../shared/errors.js";
import { EXIT, type ExitCode, print, say } from "./output.js";

/** Options of every command that asks. */
export interface AdminOptions {
  /** Where the admin API listens. */
  readonly admin: string;
  readonly json: boolean;
}

/** What is asked. */
export interface Question {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: unknown;
}

/** How long the admin API may take, in ms. */
const ANSWER_MS_MAX = 5000;

/** Asks, prints the answer as it is (`--json`) or as `describe` puts it, and returns the exit code. */
export async function askAdmin<T>(
  options: AdminOptions,
  question: Question,
  describe: (answer: T) => readonly string[],
): Promise<ExitCode> {
  const place = parseListenAddress(options.admin);
  if (!place.ok) {
    say(`--admin: ${place.says}`);
    return EXIT.usage;
  }
  let answer: Answered;
  try {
    answer = await fetchAnswer(place.value, question);
  } catch (thrown) {
    say(`the admin API at ${options.admin} did not answer: ${messageOf(thrown)} (is the proxy run with --admin?)`);
    return EXIT.failure;
  }
  if (answer.status !== 200) {
    say(`the admin API at ${options.admin} refuses: ${detailOf(answer)}`);
    return answer.status === 400 ? EXIT.usage : EXIT.failure;
  }
  if (options.json) print(answer.body.trimEnd());
  else for (const line of describe(JSON.parse(answer.body) as T)) print(line);
  return EXIT.ok;
}

interface Answered {
  readonly status: number;
  readonly body: string;
}

function fetchAnswer(
  place: { readonly address: string; readonly port: number },
  question: Question,
): Promise<Answered> {
  const { method, path, body } = question;
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const headers =
    bytes === undefined ? {} : { "Content-Type": "application/json", "Content-Length": String(bytes.byteLength) };
  return new Promise((resolve, reject) => {
    const options = { host: place.address, port: place.port, method, path, headers, timeout: ANSWER_MS_MAX };
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
