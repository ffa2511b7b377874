/**
 * Threads that go wrong: panics in the core, exceptions, exits and endless loops in JavaScript.
 * The thread is lost, never the process.
 */
import { it } from "node:test";
import { run } from "./child.js";

/** What Rust prints of panics that were asked for, and nothing else. */
const PANICS =
  /^(\n?thread '[^']*' (\(\d+\) )?panicked at [^\n]+:\na test asked (worker \d+|the acceptor) to panic\n(note: [^\n]+\n)?)+$/;
const NO_BACKTRACE = { RUST_BACKTRACE: "0" };

/** Defines the tests of one line of Node. */
export function testCrashes(line: number): void {
  it("workers and acceptors that panic are replaced while another serves without a failed request", async () => {
    await run(line, "./programs/panic.js", { says: PANICS, env: NO_BACKTRACE });
  });

  it("workers that throw, reject, exit or never return are replaced or left alone", async () => {
    await run(line, "./programs/mischief.js");
  });

  it("callbacks may throw, stop, exit, collect garbage and be terminated in the middle of a turn", async () => {
    const flags = ["--expose-gc"];
    await run(line, "./programs/callbacks.js", { flags, says: PANICS, env: NO_BACKTRACE });
  });
}
