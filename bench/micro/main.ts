/**
 * The micro bench: `npm run bench`. Times the steps of the data path one by one, in this process, with tinybench; the native
 * ones through an addon of their own (bench/micro/native), a thousand times a call, so that the call itself does not count.
 * Nanoseconds here tell where to look; what a change is worth is said by `npm run bench:load` and by counted instructions.
 *
 * usage: main.js [--ms N] [--only WORD]   (how long each step is timed, default 500; steps whose name contains WORD)
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Bench } from "tinybench";

/** From dist/bench/micro back to the root of the project. */
const PROJECT_ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
const CRATE = join(PROJECT_ROOT, "bench", "micro", "native");
const TIMES = 1_000;

/** What the addon exports; a step does its work that many times. */
interface Micro {
  cross(): void;
  crossBack(hook: (value: number) => number, times: number): number;
  parseShortRequest(times: number): number;
  parseBrowserRequest(times: number): number;
  parseAnswer(times: number): number;
  frameShortRequest(times: number): number;
  frameChunkedUpload(times: number): number;
  frameAnswer(times: number): number;
  encodeBrowserRequest(times: number): number;
  findRoute(times: number): number;
  checkoutOwn(times: number): number;
  checkoutStolen(times: number): number;
}

/** A step: what it is called, and a function that does it {@link TIMES} times. */
type Step = readonly [name: string, run: () => unknown];

function buildAddon(): Micro {
  const target = resolve(process.env["CARGO_TARGET_DIR"] ?? join(CRATE, "target"));
  const manifest = join(CRATE, "Cargo.toml");
  execFileSync("cargo", ["build", "--release", "--quiet", "--manifest-path", manifest, "--target-dir", target], {
    stdio: "inherit",
  });
  const addon = join(target, "release", "millrace_micro.node");
  mkdirSync(dirname(addon), { recursive: true });
  copyFileSync(join(target, "release", "libmillrace_micro.so"), addon);
  return createRequire(import.meta.url)(addon) as Micro;
}

function steps(micro: Micro): readonly Step[] {
  const hook = (value: number): number => value + 1;
  const crossOften = (): void => {
    for (let n = 0; n < TIMES; n++) micro.cross();
  };
  return [
    ["border: JavaScript calls native", crossOften],
    ["border: native calls JavaScript", () => micro.crossBack(hook, TIMES)],
    ["head: parse a short request", () => micro.parseShortRequest(TIMES)],
    ["head: parse a browser's request (10 fields)", () => micro.parseBrowserRequest(TIMES)],
    ["head: parse an answer (8 fields)", () => micro.parseAnswer(TIMES)],
    ["framing: short request", () => micro.frameShortRequest(TIMES)],
    ["framing: chunked upload that expects 100", () => micro.frameChunkedUpload(TIMES)],
    ["framing: answer", () => micro.frameAnswer(TIMES)],
    ["head: write a browser's request anew", () => micro.encodeBrowserRequest(TIMES)],
    ["route: the last of 200, by host and prefix", () => micro.findRoute(TIMES)],
    ["pool: checkout and checkin, own shard", () => micro.checkoutOwn(TIMES)],
    ["pool: steal, and return to its shard", () => micro.checkoutStolen(TIMES)],
  ];
}

const { values } = parseArgs({
  options: { ms: { type: "string", default: "500" }, only: { type: "string", default: "" } },
});
const bench = new Bench({ time: Number(values.ms), warmupTime: 100 });
for (const [name, run] of steps(buildAddon())) if (name.includes(values.only)) bench.add(name, run);
await bench.run();

const width = Math.max(...bench.tasks.map((task) => task.name.length));
console.log(`Nanoseconds a time; median and 99th percentile of calls that each do it ${TIMES} times.\n`);
console.log(`| ${"step".padEnd(width)} |  median |     p99 |\n|${"-".repeat(width + 2)}|--------:|--------:|`);
for (const task of bench.tasks) {
  const { result } = task;
  if (result.state !== "completed") throw new Error(`${task.name}: ${result.state}`);
  const nanos = (milliseconds: number): string => ((milliseconds * 1e6) / TIMES).toFixed(1).padStart(7);
  console.log(`| ${task.name.padEnd(width)} | ${nanos(result.latency.p50)} | ${nanos(result.latency.p99)} |`);
}
