/**
 * The life of the native core: loading, starting and stopping, threads that end by force, process
 * ends at the worst moment. Each program runs in a process of its own; none may abort, hang or leave anything behind.
 */
import { it } from "node:test";
import { run } from "./child.js";

/** Starts and stops of a whole proxy. */
const ROUNDS = 200;
/** The exit code the programs choose. */
const CHOSEN_CODE = 7;
/** Moments at which a process leaves; milliseconds after the start where a number follows. */
const MOMENTS: readonly string[] = [
  "starting 0",
  "starting 20",
  "starting 40",
  "starting 60",
  "starting 90",
  "started",
  "in-flight",
  "under-load",
  "logging",
  "stopping",
  "replacing",
  "terminating",
];

/** Defines the tests of one line of Node. */
export function testLife(line: number): void {
  for (const way of ["main-first", "worker-only", "twice", "worker-hosts", "main-first-worker-hosts"]) {
    it(`the addon is loaded: ${way}`, async () => {
      await run(line, "./programs/load.js", { args: [way] });
    });
  }

  it(`a proxy starts and stops ${ROUNDS} times and leaves nothing behind`, async () => {
    // Without a collection first, the memory counted would be mostly what V8 saw no need to collect yet.
    await run(line, "./programs/rounds.js", { flags: ["--expose-gc"], args: [String(ROUNDS)], deadlineMs: 150_000 });
  });

  it("S1-07 speaks TLS on both sides with the crypto it brings along", async () => {
    await run(line, "./programs/tls.js");
  });

  it("terminated workers and acceptors are replaced under load", async () => {
    await run(line, "./programs/terminate.js");
  });

  it("the process leaves at any moment with the code it chose", async () => {
    for (const moment of MOMENTS) {
      await run(line, "./programs/exit.js", { args: moment.split(" "), code: CHOSEN_CODE, deadlineMs: 10_000 });
    }
  });
}
