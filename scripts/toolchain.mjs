#!/usr/bin/env node
/**
 * Checks that this machine can build and run Millrace, before anything tries to: the system, the Node version, the
 * Rust toolchain and a C compiler. The first thing missing gets one sentence that says what to do; exit code 1.
 * Plain JavaScript without dependencies, because it runs before anything is installed or built.
 */
import { spawnSync } from "node:child_process";

const NODE_MIN = [20, 19];
const RUST_MIN = [1, 85];

/** Prints one sentence and leaves with 1. */
function refuse(sentence) {
  process.stderr.write(`millrace: ${sentence}\n`);
  process.exit(1);
}

/** First "major.minor" found in a text, or null. */
function versionIn(text) {
  const found = /(\d+)\.(\d+)/.exec(text);
  return found === null ? null : [Number(found[1]), Number(found[2])];
}

/** Whether version a is at least version b. */
function isAtLeast(a, b) {
  return a[0] > b[0] || (a[0] === b[0] && a[1] >= b[1]);
}

/** What `program --version` prints, or null when it cannot be run. */
function versionOf(program) {
  const run = spawnSync(program, ["--version"], { encoding: "utf8" });
  return run.error !== undefined || run.status !== 0 ? null : run.stdout;
}

function main() {
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch)) {
    refuse(
      `Millrace runs on Linux on x64 and arm64 only; this is ${process.platform} on ${process.arch} (a Linux container or virtual machine will do).`,
    );
  }
  const node = versionIn(process.versions.node);
  if (node === null || !isAtLeast(node, NODE_MIN)) {
    refuse(`Node.js ${NODE_MIN.join(".")} or newer is needed; this is ${process.versions.node}.`);
  }
  for (const program of ["rustc", "cargo"]) {
    const says = versionOf(program);
    if (says === null) {
      refuse(
        `Rust ${RUST_MIN.join(".")} or newer is needed to build the native core, and "${program}" was not found; install it from https://rustup.rs and try again.`,
      );
    }
    const version = versionIn(says);
    if (version === null || !isAtLeast(version, RUST_MIN)) {
      refuse(
        `Rust ${RUST_MIN.join(".")} or newer is needed to build the native core; this ${program} says "${says.trim()}" (try "rustup update").`,
      );
    }
  }
  if (versionOf(process.env.CC ?? "cc") === null) {
    refuse(
      `A C compiler is needed to link the native core, and "${process.env.CC ?? "cc"}" was not found; install gcc or clang (Debian: apt install build-essential).`,
    );
  }
}

main();
