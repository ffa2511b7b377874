/**
 * An upgrade: starts a second process with the command line of this one, gives it the listening sockets, and waits until
 * it says that it is ready. One that does not is ended, and its reason kept. What becomes of this process then is not
 * decided here.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { MillraceError, messageOf } from "../shared/errors.js";
import { type Handed, type Inherited, type InheritedSocket, UPGRADE_VARIABLE } from "./inherited.js";

/** What the successor says over the channel to whom it succeeds. */
export type FromSuccessor = { readonly kind: "ready" } | { readonly kind: "failed"; readonly says: string };

/** How a process is started that takes this one's place. */
export interface SuccessorCommand {
  readonly program: string;
  readonly options: readonly string[];
}

/** What a finished upgrade came to. */
export interface Upgraded {
  /** Number of the process that has taken over. */
  readonly pid: number;
}

/** How long a process that is to end has until it is killed, in ms. */
const END_MS_MAX = 2000;

/** The command line of this process. */
export function ownCommand(): SuccessorCommand {
  return { program: process.execPath, options: [...process.execArgv, ...process.argv.slice(1)] };
}

/** Makes successors, one at a time. */
export class Upgrader {
  readonly #command: SuccessorCommand;
  #successor: ChildProcess | null = null;
  #isDone = false;

  constructor(command: SuccessorCommand) {
    this.#command = command;
  }

  /** A successor has taken over. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /**
   * Starts a successor and resolves when it is ready. The sockets stay open here.
   *
   * @throws MillraceError `MILLRACE_STATE` while another is being started, `MILLRACE_UPGRADE` when it fails; nothing of
   * it is left then.
   */
  async start(sockets: readonly InheritedSocket[], readyMs: number): Promise<Upgraded> {
    if (this.#successor !== null) throw new MillraceError("MILLRACE_STATE", "an upgrade is under way already");
    if (process.pid === 1) {
      const says = "this is process 1 of its container, which ends with it: start a container of the new image instead";
      throw new MillraceError("MILLRACE_STATE", says);
    }
    const successor = this.#spawn(sockets);
    this.#successor = successor;
    try {
      const failure = await readiness(successor, readyMs);
      if (failure !== null) throw new MillraceError("MILLRACE_UPGRADE", `the new process ${failure}`);
      if (successor.connected) successor.disconnect();
      successor.unref();
      this.#isDone = true;
      return { pid: successor.pid ?? 0 };
    } catch (thrown) {
      await end(successor);
      throw thrown;
    } finally {
      this.#successor = null;
    }
  }

  /** This process leaves: whoever was to follow it and is not ready has nobody to follow. */
  abort(): void {
    this.#successor?.kill("SIGKILL");
  }

  #spawn(sockets: readonly InheritedSocket[]): ChildProcess {
    const { program, options } = this.#command;
    const given = sockets.map((socket, index) => ({ ...socket, fd: 3 + index }));
    const handed: Handed = { from: process.pid, sockets: given };
    try {
      return spawn(program, options, {
        stdio: ["inherit", "inherit", "inherit", ...sockets.map(({ fd }) => fd), "ipc"],
        env: { ...process.env, [UPGRADE_VARIABLE]: JSON.stringify(handed) },
      });
    } catch (thrown) {
      const says = `the new process cannot be started: ${messageOf(thrown)}`;
      throw new MillraceError("MILLRACE_UPGRADE", says, { cause: thrown });
    }
  }
}

/** Why the successor is not ready, or null. */
function readiness(successor: ChildProcess, readyMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    let says: string | null = null;
    const late = setTimeout(() => resolve(`was not ready within ${readyMs / 1000} s`), readyMs);
    const settle = (failure: string | null) => {
      clearTimeout(late);
      resolve(failure);
    };
    successor.on("message", (message: FromSuccessor) => {
      if (message.kind === "ready") settle(null);
      else says = message.says;
    });
    successor.on("error", (thrown) => settle(`cannot be started: ${messageOf(thrown)}`));
    // After "exit" a message may still come; "close" is the last event.
    successor.on("close", (code, signal) => settle(says ?? `ended with ${signal ?? `code ${code}`}`));
  });
}

/** Resolves when the process has ended. */
async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const overdue = setTimeout(() => child.kill("SIGKILL"), END_MS_MAX);
  await gone;
  clearTimeout(overdue);
}

/** Tells the process whose place this one takes how the start went; nothing where there is none. */
export function tellPredecessor(inherited: Inherited, message: FromSuccessor): Promise<void> {
  return new Promise((resolve) => {
    if (inherited.from === null || process.send === undefined || !process.connected) return resolve();
    // One that has ended meanwhile needs not be told.
    process.send(message, undefined, {}, () => {
      if (process.connected) process.disconnect();
      resolve();
    });
  });
}
