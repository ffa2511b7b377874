/**
 * A running Millrace as tests hold it: in this process through the public API, or in a process of its own (`host.ts`)
 * where its memory, descriptors and CPU can be told from the test's.
 */
import { type ChildProcess, fork } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  createMillrace,
  type Millrace,
  type Reload,
  type SettingsInput,
  type Started,
  type Stats,
} from "../../src/index.js";
import { pause, WireError, within } from "./wire.js";

/** What a test asks of a proxy, wherever it runs. */
export interface RunningProxy {
  readonly pid: number;
  /** Absent when it runs in another process. */
  readonly millrace?: Millrace;
  readonly started: Started;
  stats(): Promise<Stats>;
  reload(settings: SettingsInput): Promise<Reload>;
  provokePanic(worker: number): Promise<void>;
  stop(deadlineMs?: number): Promise<void>;
}

/** How long a start may take; milliseconds. */
const START_MS = 20_000;

/** Starts Millrace in this process. */
export async function startHere(settings: SettingsInput): Promise<RunningProxy & { readonly millrace: Millrace }> {
  const millrace = createMillrace(settings);
  const started = await within(millrace.start(), START_MS, "the start of Millrace");
  return {
    millrace,
    started,
    pid: process.pid,
    stats: () => Promise.resolve(millrace.stats()),
    reload: (other) => millrace.reload(other),
    provokePanic: (worker) => Promise.resolve(millrace.provokePanic(worker)),
    stop: (deadlineMs = 2_000) => millrace.stop({ deadlineMs }),
  };
}

/** What goes over the channel to the host process, and back. */
export type ToHost =
  | { readonly kind: "start"; readonly settings: SettingsInput }
  | { readonly kind: "stats" }
  | { readonly kind: "reload"; readonly settings: SettingsInput }
  | { readonly kind: "panic"; readonly worker: number }
  | { readonly kind: "stop"; readonly deadlineMs: number };
export type FromHost =
  | { readonly kind: "started"; readonly started: Started }
  | { readonly kind: "stats"; readonly stats: Stats }
  | { readonly kind: "reloaded"; readonly reload: Reload }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly says: string };

/** Starts Millrace in a process of its own, which may be given few descriptors. */
export async function startApart(
  settings: SettingsInput,
  limits: { readonly descriptors?: number | undefined; readonly log?: ((text: string) => void) | undefined } = {},
): Promise<RunningProxy & { readonly child: ChildProcess }> {
  const { descriptors: most, log } = limits;
  const child = fork(fileURLToPath(new URL("./host.js", import.meta.url)), [], {
    stdio: ["ignore", "inherit", log === undefined ? "inherit" : "pipe", "ipc"],
    // Only a shell can lower the limit of what it then becomes.
    ...(most === undefined
      ? {}
      : { execPath: "/bin/sh", execArgv: ["-c", `ulimit -n ${most} && exec "${process.execPath}" "$0"`] }),
  });
  if (log !== undefined) child.stderr?.setEncoding("utf8").on("data", log);
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const ask = (message: ToHost): Promise<FromHost> =>
    within(askHost(child, message), START_MS, `the host's answer to ${message.kind}`);
  const first = await ask({ kind: "start", settings });
  if (first.kind !== "started") throw new WireError("the host did not start");
  return {
    child,
    started: first.started,
    pid: child.pid ?? 0,
    stats: async () => {
      const answer = await ask({ kind: "stats" });
      if (answer.kind !== "stats") throw new WireError("the host gave no stats");
      return answer.stats;
    },
    reload: async (other) => {
      const answer = await ask({ kind: "reload", settings: other });
      if (answer.kind !== "reloaded") throw new WireError("the host did not answer the reload");
      return answer.reload;
    },
    provokePanic: async (worker) => {
      await ask({ kind: "panic", worker });
    },
    stop: async (deadlineMs = 2_000) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      await ask({ kind: "stop", deadlineMs });
      await within(gone, 5_000, "the end of the host process");
    },
  };
}

/** One question and its answer over the channel. */
function askHost(child: ChildProcess, message: ToHost): Promise<FromHost> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      child.off("message", answered);
      child.off("exit", ended);
    };
    const answered = (answer: unknown): void => {
      done();
      const told = answer as FromHost;
      if (told.kind === "failed") reject(new WireError(told.says));
      else resolve(told);
    };
    const ended = (code: number | null, signal: string | null): void => {
      done();
      reject(new WireError(`the host process ended (${code ?? signal})`));
    };
    child.once("message", answered);
    child.once("exit", ended);
    child.send(message);
  });
}

/** Resident memory of a process, in bytes. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
  return Number(line?.[1] ?? 0) * 1024;
}

/** CPU a process used so far, user and system, in milliseconds (the kernel counts in steps of 10). */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const words = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(words[11]) + Number(words[12])) * 10;
}

/** What a process's open descriptors point to. */
export function descriptors(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // the one that listed the folder
    }
  });
}

/** How many of a process's descriptors are sockets. */
export function openSockets(pid: number): number {
  return descriptors(pid).filter((place) => place.startsWith("socket:")).length;
}

/**
 * What happens while a process stands still: everything that `play` brings about reaches its next turn together, in the
 * order in which it came about.
 */
export async function whileFrozen(pid: number, play: () => Promise<void>): Promise<void> {
  process.kill(pid, "SIGSTOP");
  try {
    const stands = (): boolean =>
      readdirSync(`/proc/${pid}/task`).every((thread) => {
        const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1");
        return stat[stat.lastIndexOf(")") + 2] === "T";
      });
    const due = Date.now() + START_MS;
    while (!stands()) {
      if (Date.now() > due) throw new WireError(`process ${pid} does not stand still`);
      await pause(1);
    }
    await play();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}
