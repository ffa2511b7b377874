/**
 * Everything the bench starts, and the promise that it is stopped again: by process id, together with its children, at
 * the end, on an error and on a signal.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { findProgram } from "./machine.js";

const READY_MS_MAX = 20_000;
const TERM_MS_MAX = 2_000;
const OUTPUT_CHARS_MAX = 8_192;
const LEASH = findProgram("setpriv");

/** How a process is to run. */
export interface Start {
  readonly cpus?: readonly number[];
  readonly folder?: string;
  /** Open files it may have; as many as the system allows when that is fewer. */
  readonly files?: number;
  /** Keep its standard input open: closing it is the sign to leave. */
  readonly stdin?: boolean;
}

/** A running process. `output` is the last it said on either stream. */
export interface Running {
  readonly name: string;
  readonly pid: number;
  readonly child: ChildProcess;
  output(): string;
  ended(): boolean;
}

const running = new Set<Running>();

/** The process and all its descendants. */
export function family(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      // The name in parentheses may contain anything, so count from its end: state, then parent.
      const parent = readFileSync(`/proc/${entry}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ")[1];
      parents.set(Number(entry), Number(parent));
    } catch {
      // It ended while we were reading.
    }
  }
  const found = [pid];
  for (const member of found) {
    for (const [child, parent] of parents) if (parent === member) found.push(child);
  }
  return found;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Already gone.
  }
}

/** Starts a program, pinned to CPUs and with enough files; it is remembered until it ends. */
export function start(name: string, command: string, args: readonly string[], how: Start = {}): Running {
  const pinned = how.cpus?.length ? ["taskset", "-c", how.cpus.join(","), command, ...args] : [command, ...args];
  // Should the bench itself be killed outright, the kernel tells what it started to end.
  const bound = LEASH === undefined ? pinned : [LEASH, "--pdeathsig", "TERM", ...pinned];
  const files = how.files ?? 1_024;
  const shell = `ulimit -n ${files} 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"`;
  const child = spawn("/bin/sh", ["-c", shell, "sh", ...bound], {
    cwd: how.folder,
    stdio: [how.stdin ? "pipe" : "ignore", "pipe", "pipe"],
  });
  if (child.pid === undefined) throw new Error(`${name}: cannot be started`);
  let said = "";
  const keep = (text: Buffer): void => {
    said = (said + text.toString()).slice(-OUTPUT_CHARS_MAX);
  };
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  const self: Running = {
    name,
    pid: child.pid,
    child,
    output: () => said,
    ended: () => child.exitCode !== null || child.signalCode !== null,
  };
  running.add(self);
  child.once("close", () => running.delete(self));
  child.once("error", () => running.delete(self));
  return self;
}

/** Runs a program to its end and returns what it said; throws when it fails or takes longer than `msMax`. */
export async function runToEnd(
  name: string,
  command: string,
  args: readonly string[],
  how: Start,
  msMax: number,
): Promise<string> {
  const self = start(name, command, args, how);
  const chunks: Buffer[] = [];
  self.child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
  const timer = setTimeout(() => signal(self.pid, "SIGKILL"), msMax);
  const [code, cause] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    self.child.once("close", (...ending) => resolve(ending));
  });
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${name}: ended with ${cause ?? `code ${code}`}: ${self.output().trim()}`);
  return Buffer.concat(chunks).toString();
}

/** Waits until somebody listens on a loopback port; throws with the program's own words when it ended instead. */
export async function untilListening(self: Running, port: number): Promise<void> {
  for (const until = Date.now() + READY_MS_MAX; Date.now() < until; await sleep(50)) {
    if (self.ended()) throw new Error(`${self.name}: ended at once: ${self.output().trim()}`);
    if (await answers(port)) return;
  }
  throw new Error(`${self.name}: does not listen on port ${port}: ${self.output().trim()}`);
}

/** Waits until a process has said something matching `pattern`. */
export async function untilSaid(self: Running, pattern: RegExp, msMax: number): Promise<RegExpExecArray> {
  for (const until = Date.now() + msMax; Date.now() < until; await sleep(20)) {
    const match = pattern.exec(self.output());
    if (match) return match;
    if (self.ended()) break;
  }
  throw new Error(`${self.name}: ${self.output().trim() || "said nothing"}`);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Asks a process and its children to end, and makes them when they do not. */
export async function stop(self: Running): Promise<void> {
  if (self.ended()) return;
  const members = family(self.pid);
  signal(self.pid, "SIGTERM");
  for (const until = Date.now() + TERM_MS_MAX; Date.now() < until && !self.ended(); ) await sleep(20);
  if (!self.ended()) for (const pid of members) signal(pid, "SIGKILL");
  while (!self.ended()) await sleep(5);
}

export async function stopAll(): Promise<void> {
  await Promise.all([...running].map(stop));
}

/** Installs the last resort: whatever ends the bench, nothing it started outlives it. */
export function stopWithUs(): void {
  process.on("exit", () => {
    for (const self of running) for (const pid of family(self.pid)) signal(pid, "SIGKILL");
  });
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(name, () => {
      console.error(`\n${name}: stopping what was started`);
      void stopAll().finally(() => process.exit(130));
    });
  }
}
