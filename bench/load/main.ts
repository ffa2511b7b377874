/**
 * The load bench: `npm run bench:load`. Starts every proxy in turn on loopback, makes it work, and prints what that cost it
 * beside the kernel's floor and its peers. Sends nothing beyond 127.0.0.1, ends by itself, and stops what it started.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeAuthority } from "../../test/support/certificates.js";
import { CANDIDATES, type Candidate, floorProgram, freePort, RUN_FOLDER } from "./candidates.js";
import { findProgram, PROJECT_ROOT, pinSelf, placement, versions } from "./machine.js";
import { type Options, readOptions, USAGE, UsageError } from "./options.js";
import { start, stopAll, stopWithUs, untilListening } from "./processes.js";
import { judgeAll, type Report, type Row, render, rowsOf } from "./report.js";
import { checkCpuIsKept } from "./usage.js";
import { type Scene, takeTurns, WORKS } from "./works.js";

const RESULTS_FOLDER = join(PROJECT_ROOT, "bench", "load", "results");
const FLOOR_PROGRAMS = ["origin", "relay", "hold"] as const;
const TLS_PROGRAMS = { "hold-tls": "hold.c", shake: "shake.c" } as const;

/** What must be there for any figure at all; throws a sentence naming what is not. */
function checkTools(): void {
  if (process.platform !== "linux") throw new Error("the load bench needs Linux");
  if (!findProgram("cc")) throw new Error("the load bench needs a C compiler (cc), for the programs of bench/floor");
  if (!findProgram("wrk")) throw new Error("the load bench needs wrk, which makes the load");
  if (!findProgram("h2load")) throw new Error("the load bench needs h2load (nghttp2), which makes the load of HTTP/2");
  checkCpuIsKept();
}

function compileFloor(): void {
  mkdirSync(RUN_FOLDER, { recursive: true });
  for (const name of FLOOR_PROGRAMS) {
    const source = join(PROJECT_ROOT, "bench", "floor", `${name}.c`);
    execFileSync("cc", ["-O2", "-Wall", "-o", floorProgram(name), source], { stdio: "inherit" });
  }
}

/** What the works over TLS need: clients that speak it, and a certificate for all proxies (P-256). */
function prepareTls(): string {
  for (const [program, source] of Object.entries(TLS_PROGRAMS)) {
    const file = join(PROJECT_ROOT, "bench", "floor", source);
    const args = ["-O2", "-Wall", "-DWITH_TLS", "-o", floorProgram(program), file, "-lssl", "-lcrypto", "-lpthread"];
    try {
      execFileSync("cc", args, { stdio: "inherit" });
    } catch {
      throw new Error(`the works over TLS need OpenSSL's headers (libssl-dev), for bench/floor/${source}`);
    }
  }
  const issued = makeAuthority("load bench").issue({ names: ["localhost"] });
  const identity = join(RUN_FOLDER, "identity.pem");
  writeFileSync(identity, issued.leaf + issued.key);
  return identity;
}

async function choose(options: Options): Promise<{ taking: Candidate[]; leftOut: string[] }> {
  const taking: Candidate[] = [];
  const leftOut: string[] = [];
  for (const candidate of CANDIDATES) {
    if (!options.candidates.includes(candidate.name)) continue;
    const reason = await candidate.missing();
    if (reason === undefined) taking.push(candidate);
    else leftOut.push(`${candidate.title}, because ${reason}`);
  }
  return { taking, leftOut };
}

async function bench(options: Options): Promise<Report> {
  const place = placement();
  const { taking, leftOut } = await choose(options);
  for (const line of leftOut) console.error(`left out: ${line}`);
  if (taking.length === 0) throw new Error("nothing is left to measure");
  compileFloor();
  pinSelf(place.load);

  const originPort = await freePort();
  const origin = start("origin", floorProgram("origin"), [String(originPort)], {
    cpus: place.origin,
    files: 65_536,
  });
  await untilListening(origin, originPort);

  const works = WORKS.filter((work) => options.only.includes(work.name));
  const secure = works.some((work) => work.tls) ? { identity: prepareTls() } : {};
  const scene: Scene = { options, place, originPort, ...secure };
  const rows: Row[] = [];
  for (const work of works) {
    const results = await takeTurns(work, taking, scene, (line) => console.error(line));
    rows.push(...rowsOf(work, results));
  }
  const { rounds, seconds, idleConnections } = options;
  return {
    date: new Date().toISOString(),
    versions: versions(),
    placement: place.says,
    settings: { rounds, seconds, idleConnections },
    leftOut,
    rows,
    targets: taking.some((candidate) => candidate.name === "millrace") ? judgeAll(rows, works) : [],
  };
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === "help") {
    console.log(USAGE);
    return 0;
  }
  checkTools();
  stopWithUs();
  try {
    const report = await bench(options);
    const text = render(report);
    console.log(text);
    if (options.write) {
      mkdirSync(RESULTS_FOLDER, { recursive: true });
      writeFileSync(join(RESULTS_FOLDER, "latest.json"), `${JSON.stringify(report, null, 2)}\n`);
      writeFileSync(join(RESULTS_FOLDER, "latest.md"), text);
    }
  } finally {
    await stopAll();
    rmSync(RUN_FOLDER, { recursive: true, force: true });
  }
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  if (error instanceof UsageError) console.error(`\n${USAGE}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
