/**
 * Runs a program in a process of its own, on a given line of Node, and judges its end: the exit code, no signal, nothing
 * on standard error but what was announced, and never later than its deadline.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { nodeOf } from "./lines.js";

/** Longest a program may run unless told otherwise, in ms. */
const DEADLINE_MS = 60_000;
/** What a process that dies badly prints, whatever else was allowed to be there. */
const FATAL = /FATAL|fatal runtime error|uv_loop_close|Assertion|SIGSEGV|core dumped|failed to initiate panic/i;

/** How a program is run, and what its end must look like. */
export interface Orders {
  readonly args?: readonly string[];
  /** Options of node itself. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
  /** The exit code; 0 unless told otherwise. */
  readonly code?: number;
  /** What standard error must look like as a whole; empty unless told otherwise. */
  readonly says?: RegExp;
}

/** A program at work. */
export class Child {
  readonly process: ChildProcess;
  readonly #orders: Orders;
  readonly #what: string;
  readonly #end: Promise<void>;
  #out = "";
  #err = "";
  #hung = false;

  constructor(line: number, program: string, orders: Orders) {
    this.#orders = orders;
    this.#what = `${[program, ...(orders.args ?? [])].join(" ")} on Node ${line}`;
    const path = fileURLToPath(new URL(program, import.meta.url));
    this.process = spawn(nodeOf(line), [...(orders.flags ?? []), path, ...(orders.args ?? [])], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NODE_OPTIONS: "", NODE_TEST_CONTEXT: "", ...orders.env },
    });
    this.process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#out += text;
    });
    this.process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#err += text;
    });
    const overdue = setTimeout(() => {
      this.#hung = true;
      this.process.kill("SIGKILL");
    }, orders.deadlineMs ?? DEADLINE_MS);
    this.#end = new Promise<void>((resolve, reject) => {
      this.process.once("error", reject);
      this.process.once("close", () => resolve());
    }).then(() => clearTimeout(overdue));
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** Standard error so far. */
  get err(): string {
    return this.#err;
  }

  /** Waits for a match on standard error; fails when the program ends without it. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    let ended = false;
    void this.#end.then(() => {
      ended = true;
    });
    for (;;) {
      const found = pattern.exec(this.#err);
      if (found !== null) return found;
      assert.ok(!ended, `${this.#what} ended without saying ${pattern}:\n${this.#err}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Waits for the end and judges it; returns what was printed on standard output. */
  async ends(): Promise<string> {
    await this.#end;
    const printed = `\nstandard output:\n${this.#out}\nstandard error:\n${this.#err}`;
    assert.ok(!this.#hung, `${this.#what} hung: it was ended at its deadline${printed}`);
    assert.equal(this.process.signalCode, null, `${this.#what} was ended by ${this.process.signalCode}${printed}`);
    assert.equal(this.process.exitCode, this.#orders.code ?? 0, `the exit code of ${this.#what}${printed}`);
    assert.doesNotMatch(this.#err, FATAL, `${this.#what} died badly${printed}`);
    assert.match(this.#err, this.#orders.says ?? /^$/, `what ${this.#what} says on standard error${printed}`);
    return this.#out;
  }
}

/** Runs a program to its end and judges it; returns what it printed on standard output. */
export async function run(line: number, program: string, orders: Orders = {}): Promise<string> {
  return new Child(line, program, orders).ends();
}
