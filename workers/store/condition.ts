/**
 * How a store is before it is opened, as a process of its own finds it (trial.ts), and how the disk is where it failed.
 */
import { execFile } from "node:child_process";
import { statfsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TrialResult } from "./trial.js";

const TRIAL = fileURLToPath(new URL("./trial.js", import.meta.url));
/** How long a trial may take, in ms. */
const TRIAL_MS_MAX = 600_000;
/** A disk with less than this is full. */
const FULL_BYTES = 1024 * 1024;

/** What a trial of a new store would come to. */
export const NEW_STORE: TrialResult = { broken: 0, exact: true };

/** What the trial found; null = it could not read the store. */
export async function tryStore(folder: string, bytes: number): Promise<TrialResult | null> {
  try {
    const options = { timeout: TRIAL_MS_MAX, env: { ...process.env, NODE_OPTIONS: "" } };
    const { stdout } = await promisify(execFile)(process.execPath, [TRIAL, folder, String(bytes)], options);
    return JSON.parse(stdout) as TrialResult;
  } catch {
    return null;
  }
}

/** LMDB calls it an I/O error when the disk takes less than it was given. */
export function isFull(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize < FULL_BYTES;
  } catch {
    return false;
  }
}
