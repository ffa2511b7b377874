/**
 * `millrace build-native`: builds the native core on this machine, for a platform that no package is published for, or with
 * a compiler of one's own. Never runs by itself: an installation must not need a compiler.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { nativePath } from "../native.js";
import { EXIT, type ExitCode, print, say } from "./output.js";

/** What is run, in this order; each says in one sentence what is missing. */
const STEPS = ["toolchain.mjs", "build-native.mjs"];

export function buildNative(): ExitCode {
  for (const step of STEPS) {
    const script = fileURLToPath(new URL(`../../../scripts/${step}`, import.meta.url));
    const { status } = spawnSync(process.execPath, [script], { stdio: ["ignore", 2, 2] });
    if (status !== 0) {
      say("the native core was not built");
      return EXIT.failure;
    }
  }
  print(nativePath());
  return EXIT.ok;
}
