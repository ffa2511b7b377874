#!/usr/bin/env node
/**
 * Builds the native core (release) and puts the addon where src/native.ts looks for it. The copy is atomic (temporary
 * name, then rename), so a running process keeps the file it has mapped, and is skipped when nothing changed.
 * Honours CARGO_TARGET_DIR. Plain JavaScript without dependencies.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MANIFEST = join(ROOT, "native-bindings", "Cargo.toml");

/** The C library this Node was linked against, as it stands in the file name of the addon. */
function libc() {
  process.report.excludeNetwork = true;
  return process.report.getReport().header.glibcVersionRuntime === undefined ? "musl" : "gnu";
}

function build() {
  const run = spawnSync("cargo", ["build", "--release", "-p", "millrace-addon", "--manifest-path", MANIFEST], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (run.error !== undefined) {
    process.stderr.write(`millrace: cargo could not be started (${run.error.message}).\n`);
    process.exit(1);
  }
  if (run.status !== 0) {
    process.stderr.write("millrace: the native core did not build; what cargo printed above says why.\n");
    process.exit(1);
  }
}

/** Modification time in ms, 0 when there is no such file. */
function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function install() {
  const targetDirectory = resolve(ROOT, process.env.CARGO_TARGET_DIR ?? join("native-bindings", "target"));
  const built = join(targetDirectory, "release", "libmillrace_addon.so");
  const installed = join(ROOT, "native-bindings", `millrace.linux-${process.arch}-${libc()}.node`);
  if (modifiedMs(built) === 0) {
    process.stderr.write(`millrace: cargo built no ${built}; is CARGO_TARGET_DIR or build.target-dir set elsewhere?\n`);
    process.exit(1);
  }
  if (modifiedMs(installed) > modifiedMs(built)) return;
  const temporary = `${installed}.${process.pid}.tmp`;
  try {
    copyFileSync(built, temporary);
    renameSync(temporary, installed);
  } finally {
    rmSync(temporary, { force: true });
  }
}

build();
install();
