/** Chromium without a window, as a client that nobody here wrote: it opens a page and says what became of it. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findProgram } from "./peers.js";
import { pause, WireError, within } from "./wire.js";

/** How long a loaded machine may take to start it and to open a page; milliseconds. */
const BROWSER_MS = 60_000;

const NAMES = ["chromium", "chromium-browser", "google-chrome"];

/** For `skip:` of a test. */
export const WITHOUT_BROWSER: string | false = NAMES.some((name) => findProgram(name) !== undefined)
  ? false
  : "chromium is not installed";

/**
 * Opens a page by a certificate of this public key (SHA-256, base64) and waits for its scripts; the document as they
 * left it.
 */
export async function openPage(url: string, pin: string): Promise<string> {
  const path = NAMES.map(findProgram).find((found) => found !== undefined);
  if (path === undefined) throw new WireError("chromium is not installed");
  const profile = mkdtempSync(join(tmpdir(), "millrace-browser-"));
  const child = spawn(
    path,
    [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      `--user-data-dir=${profile}`,
      `--ignore-certificate-errors-spki-list=${pin}`,
      "--virtual-time-budget=20000",
      "--dump-dom",
      url,
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  let document = "";
  child.stdout.on("data", (piece: Buffer) => {
    document += piece.toString();
  });
  try {
    await within(new Promise<void>((resolve) => child.once("close", () => resolve())), BROWSER_MS, "the browser's end");
  } finally {
    child.kill("SIGKILL");
    // What it started may still write into its folder.
    await pause(200);
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
  return document;
}
