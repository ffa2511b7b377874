/**
 * What a user is told where the native core cannot be loaded: one clear sentence, exit code 1, no stack and no crash.
 */
import assert from "node:assert/strict";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { nativePath } from "../../src/native.js";
import { run } from "./child.js";

const CLI = "../../src/cli/main.js";
const ARGUMENTS = ["run", "--listen", "127.0.0.1:0", "--to", "http://127.0.0.1:9", "--workers", "1"];
/** Numbers of architectures in the header of an ELF file. */
const ELF_X64 = 62;
const ELF_ARM64 = 183;

let folder = "";
/** A copy of the addon that something was done to. */
function spoiled(name: string, spoil: (path: string) => void): string {
  const path = join(folder, `${name}.node`);
  copyFileSync(nativePath(), path);
  spoil(path);
  return path;
}

function ofAnotherArchitecture(path: string): void {
  const bytes = readFileSync(path);
  bytes.writeUInt16LE(process.arch === "x64" ? ELF_ARM64 : ELF_X64, 18);
  writeFileSync(path, bytes);
}

/** The command line must say this, as its only line, and leave with 1. */
async function saysOf(line: number, path: string, sentence: string): Promise<void> {
  const escaped = sentence.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const env = { MILLRACE_NATIVE_PATH: path };
  await run(line, CLI, { args: ARGUMENTS, env, code: 1, says: new RegExp(`^millrace: ${escaped}\\n$`) });
}

/** Defines the tests of one line of Node. */
export function testRefusals(line: number): void {
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "millrace-addon-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("an addon that is not there", async () => {
    const path = join(folder, "nowhere.node");
    await saysOf(line, path, `There is no native core at ${path}, which MILLRACE_NATIVE_PATH names.`);
  });

  it("an addon that was cut short, wherever", async () => {
    const whole = statSync(nativePath()).size;
    for (const share of [0.02, 0.1, 0.15]) {
      const bytes = Math.floor(whole * share);
      const path = spoiled(`cut-${bytes}`, (copy) => truncateSync(copy, bytes));
      await saysOf(line, path, `The native core ${path} cannot be loaded: it was cut short`);
    }
  });

  it("an addon of another architecture", async () => {
    const path = spoiled("foreign", ofAnotherArchitecture);
    const other = process.arch === "x64" ? "arm64" : "x64";
    const says = `it was built for ${other}, and this is ${process.arch}`;
    await saysOf(line, path, `The native core ${path} cannot be loaded: ${says}`);
  });

  it("a file that is no addon", async () => {
    for (const content of ["", "hello\n", "x".repeat(10_000)]) {
      const path = spoiled(`text-${content.length}`, (copy) => writeFileSync(copy, content));
      await saysOf(line, path, `The native core ${path} cannot be loaded: it is not a shared library`);
    }
  });

  it("a folder", async () => {
    const path = join(folder, `folder-${line}.node`);
    mkdirSync(path);
    await saysOf(
      line,
      path,
      `The native core ${path} cannot be loaded: EISDIR: illegal operation on a directory, read`,
    );
  });

  it("another system, another architecture, another runtime", async () => {
    const systems: readonly (readonly [readonly string[], string])[] = [
      [["darwin", "arm64"], "Millrace runs on Linux on x64 and arm64 only; this is darwin on arm64."],
      [["win32", "x64"], "Millrace runs on Linux on x64 and arm64 only; this is win32 on x64."],
      [["linux", "ia32"], "Millrace runs on Linux on x64 and arm64 only; this is linux on ia32."],
      [["linux", "x64", "bun"], "Millrace's native core needs the event loop of Node.js itself."],
      [["linux", "x64", "deno"], "Millrace's native core needs the event loop of Node.js itself."],
    ];
    for (const [args, sentence] of systems) {
      assert.equal(await run(line, "./programs/refusal.js", { args }), `MILLRACE_NATIVE ${sentence}\n`);
    }
  });
}
