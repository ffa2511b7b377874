#!/usr/bin/env node
/**
 * Builds the fuzzer with the compiler's coverage counters and runs it: `npm run fuzz -- [--target NAME] [--seconds N]
 * [--seed N] [--minimise] [--replay FILE]`. The flags hold for this build alone, which has a target folder of its own
 * and names the host as its target, so that build scripts and macros are built without them. Stable Rust is enough.
 * Plain JavaScript without dependencies. Exit code: the fuzzer's; 1 = a promise was broken.
 */
import { spawnSync } from "node:child_process";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MANIFEST = join(ROOT, "native-bindings", "Cargo.toml");
const FOLDER = join(resolve(ROOT, process.env.CARGO_TARGET_DIR ?? join("native-bindings", "target")), "fuzz");

/** One counter for each edge of the code under test (level 3: indirect calls, level 4, need a callback). */
const COVERAGE = [
  "-Cpasses=sancov-module",
  "-Cllvm-args=-sanitizer-coverage-level=3",
  "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
  "-Cdebug-assertions=on",
  "-Coverflow-checks=on",
];

/** Ends this process as a child ended. */
function leaveAs(run, name) {
  if (run.error !== undefined) {
    process.stderr.write(`millrace: ${name} could not be started (${run.error.message}).\n`);
    process.exit(1);
  }
  if (run.signal !== null) {
    process.stderr.write(`millrace: ${name} was ended by ${run.signal}; the seed above repeats the run.\n`);
    process.exit(1);
  }
  process.exit(run.status ?? 1);
}

/** The machine rustc compiles for when nobody says otherwise. */
function host() {
  const run = spawnSync("rustc", ["-vV"], { encoding: "utf8" });
  const found = /^host: (\S+)$/m.exec(run.stdout ?? "");
  if (found?.[1] === undefined) {
    process.stderr.write("millrace: rustc did not say which machine it compiles for; is Rust installed?\n");
    process.exit(1);
  }
  return found[1];
}

function build(triple) {
  const run = spawnSync(
    "cargo",
    ["build", "--release", "-p", "millrace-fuzz", "--manifest-path", MANIFEST, "--target", triple],
    {
      cwd: ROOT,
      stdio: "inherit",
      env: {
        ...process.env,
        CARGO_TARGET_DIR: FOLDER,
        CARGO_ENCODED_RUSTFLAGS: COVERAGE.join("\x1f"),
        CARGO_PROFILE_RELEASE_LTO: "off",
      },
    },
  );
  if (run.status !== 0) leaveAs(run, "cargo");
}

const triple = host();
build(triple);
const fuzzer = join(FOLDER, triple, "release", "millrace-fuzz");
leaveAs(spawnSync(fuzzer, process.argv.slice(2), { cwd: ROOT, stdio: "inherit" }), "the fuzzer");
