/**
 * A Millrace in a process of its own that may put another in its place: started by the command, asked at its admin API,
 * and loaded by clients that take every request that fails for a failure, whoever is to blame.
 */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type Agent, request } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";
import { type RequestOptions, request as secureRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SettingsInput } from "../../src/index.js";
import { pause, WireError, within } from "./wire.js";

export const PROGRAM = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
/** How long a process may take to start or to end, in ms. */
const LIFE_MS = 20_000;

/** An answer of the admin API. */
export interface Asked {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** How the first process is started. */
export interface CommandOptions {
  /** A program to start it by, with its options: node and Millrace's are appended. */
  readonly by?: readonly [string, ...string[]];
  readonly stdio?: StdioOptions;
  readonly environment?: NodeJS.ProcessEnv;
}

/** One proxy, whichever process it is in. */
export class TakenOver {
  readonly folder = mkdtempSync(join(tmpdir(), "millrace-takeover-"));
  readonly #file = join(this.folder, "millrace.config.mjs");
  readonly socket = join(this.folder, "admin.sock");
  #child: ChildProcess | null = null;
  #said = "";
  readonly #pids = new Set<number>();

  /** What all its processes said on standard error. */
  get said(): string {
    return this.#said;
  }

  /** Writes the settings that the next process reads; a text is the module itself. */
  write(settings: SettingsInput | string): void {
    const text = typeof settings === "string" ? settings : `export default ${JSON.stringify(settings)};\n`;
    writeFileSync(this.#file, text);
  }

  /** Starts the first process; resolves when it serves. */
  async start({ by = [process.execPath], stdio = [], environment = {} }: CommandOptions = {}): Promise<ChildProcess> {
    const [program, ...options] = by;
    const [standardInput = "ignore", out = "pipe", error = "pipe", ...more] = stdio as readonly (number | "pipe")[];
    const child = spawn(program, [...options, PROGRAM, "run", "-c", this.#file], {
      stdio: [standardInput, out, error, ...more],
      env: { ...process.env, ...environment },
    });
    this.#child = child;
    if (child.pid !== undefined) this.#pids.add(child.pid);
    const hear = (text: string): void => {
      this.#said += text;
    };
    child.stdout?.setEncoding("utf8").on("data", hear);
    child.stderr?.setEncoding("utf8").on("data", hear);
    const due = Date.now() + LIFE_MS;
    while ((this.#said.match(/millrace: listening on/g) ?? []).length === 0) {
      if (child.exitCode !== null || Date.now() > due) throw new WireError(`it did not start: ${this.#said}`);
      await pause(20);
    }
    return child;
  }

  /** Waits until one of its processes has said something; a log is written when there is time. */
  async hears(pattern: RegExp): Promise<void> {
    const due = Date.now() + LIFE_MS;
    while (!pattern.test(this.#said)) {
      if (Date.now() > due) throw new WireError(`nobody said ${pattern}: ${this.#said}`);
      await pause(20);
    }
  }

  /** Port of a listener. */
  async port(index = 0): Promise<number> {
    const { listeners } = (await this.ask("GET", "/status")).body as { listeners?: readonly { port: number }[] };
    return listeners?.[index]?.port ?? 0;
  }

  /** The process that answers at the admin API. */
  async pid(): Promise<number> {
    const { pid } = (await this.ask("GET", "/status")).body;
    this.#pids.add(Number(pid));
    return Number(pid);
  }

  /** Asks the admin API, which listens on a socket file unless told where. */
  ask(method: "GET" | "POST", path: string, port?: number): Promise<Asked> {
    const where = port === undefined ? { socketPath: this.socket } : { host: "127.0.0.1", port };
    const asked = new Promise<Asked>((resolve, reject) => {
      const asking = request({ ...where, method, path, agent: false }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) }));
      });
      asking.on("error", reject).end();
    });
    return within(asked, LIFE_MS, `${method} ${path}`);
  }

  /** An upgrade that must succeed; the number of the new process. */
  async upgrade(): Promise<number> {
    const { status, body } = await this.ask("POST", "/upgrade");
    if (status !== 200) throw new WireError(`the upgrade failed: ${JSON.stringify(body)}\n${this.#said}`);
    this.#pids.add(Number(body["pid"]));
    return Number(body["pid"]);
  }

  /** Ends whatever process is left, and removes its files. */
  async stop(): Promise<void> {
    for (const pid of this.#pids) {
      if (!isThere(pid)) continue;
      process.kill(pid, "SIGTERM");
      await ended(pid);
    }
    this.#child?.stdout?.destroy();
    this.#child?.stderr?.destroy();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Whether a process is there and has not ended. */
export function isThere(pid: number): boolean {
  return existsSync(`/proc/${pid}/fd/0`) || existsSync(`/proc/${pid}/fd/2`);
}

/** Resolves when a process has ended. */
export async function ended(pid: number, ms = LIFE_MS): Promise<void> {
  const due = Date.now() + ms;
  while (isThere(pid)) {
    if (Date.now() > due) throw new WireError(`process ${pid} does not end`);
    await pause(20);
  }
}

/** What clients met. */
export class Tally {
  answered = 0;
  readonly failures: string[] = [];
  over = false;

  /** Asks again and again until it is over. */
  async keepAsking(who: string, ask: () => Promise<number>): Promise<void> {
    while (!this.over) {
      try {
        const status = await within(ask(), LIFE_MS, `an answer to ${who}`);
        if (status === 200) this.answered += 1;
        else this.failures.push(`${who}: status ${status}`);
      } catch (thrown) {
        this.failures.push(`${who}: ${thrown instanceof Error ? thrown.message : thrown}`);
      }
    }
  }
}

/** A GET over an agent that keeps its connection, or never does; without a second try of any kind. */
export function getBy(agent: Agent, options: RequestOptions): Promise<number> {
  const start = options.ca === undefined ? request : secureRequest;
  return new Promise((resolve, reject) => {
    const asking = start({ host: "127.0.0.1", path: "/x", ...options, agent }, (answer) => {
      answer.on("error", reject).on("end", () => resolve(answer.complete ? (answer.statusCode ?? 0) : 0));
      answer.resume();
    });
    asking.on("error", reject).end();
  });
}

/** A client of HTTP/2 that goes to another connection when it is told to by GOAWAY. */
export class GoingAway {
  readonly #url: string;
  readonly #ca: string;
  readonly #servername: string;
  #session: ClientHttp2Session | null = null;
  /** Connections it was sent away from. */
  sentAway = 0;

  constructor(port: number, ca: string, servername: string) {
    this.#url = `https://127.0.0.1:${port}`;
    this.#ca = ca;
    this.#servername = servername;
  }

  get(): Promise<number> {
    const session = this.#open();
    return new Promise((resolve, reject) => {
      const stream = session.request({ ":path": "/x", ":authority": this.#servername });
      let status = 0;
      stream.on("response", (fields) => {
        status = Number(fields[":status"]);
      });
      stream.on("error", reject).on("end", () => resolve(status));
      stream.resume();
    });
  }

  close(): void {
    this.#session?.destroy();
  }

  #open(): ClientHttp2Session {
    if (this.#session !== null && !this.#session.closed && !this.#session.destroyed) return this.#session;
    const session = connect(this.#url, { ca: this.#ca, servername: this.#servername });
    const forget = (): void => {
      if (this.#session === session) this.#session = null;
    };
    session.on("error", forget).on("close", forget);
    session.on("goaway", () => {
      this.sentAway += 1;
      forget();
      session.close();
    });
    this.#session = session;
    return session;
  }
}
