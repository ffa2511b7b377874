/**
 * The folder of the store: that it is one, that nobody else uses it, and of which format it is. A store of another format,
 * or one that is damaged, is emptied: what it held can be fetched again.
 */
import { mkdir, readdir, readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../src/shared/errors.js";
import { FORMAT } from "./rows.js";

/** All that a store puts into its folder. */
const OURS: readonly string[] = ["lock", "format.json", "format.json.new", "tables", "bodies", "fresh"];

/** Takes a lock on a file for the life of the process; false if somebody has it. */
export type TakeLock = (path: string) => boolean | Promise<boolean>;

export type Folder =
  /** `emptied` says why what was there is not there any more. */
  | { readonly ok: true; readonly isFresh: boolean; readonly emptied: string | null }
  | { readonly ok: false; readonly says: string };

/** Takes the folder for this process. */
export async function takeFolder(folder: string, takeLock: TakeLock): Promise<Folder> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const names = await readdir(folder);
    const foreign = names.find((name) => !OURS.includes(name) && name !== "lost+found");
    if (foreign !== undefined) {
      return { ok: false, says: `${folder} holds "${foreign}", which is not of a store; name an empty folder` };
    }
    if (!(await takeLock(join(folder, "lock")))) {
      return { ok: false, says: `${folder} is the store of another proxy that runs; each needs a folder of its own` };
    }
    const format = await readFormat(folder);
    if (format === FORMAT) return { ok: true, isFresh: false, emptied: null };
    const isNew = !names.includes("tables");
    await emptyFolder(folder);
    return { ok: true, isFresh: true, emptied: isNew ? null : whyEmptied(format) };
  } catch (thrown) {
    return { ok: false, says: `${folder} cannot be used: ${messageOf(thrown)}` };
  }
}

/** Removes everything the store holds; the lock stays. */
export async function emptyFolder(folder: string): Promise<void> {
  // The format goes first: whatever is left when this is interrupted is no store.
  await rm(join(folder, "format.json"), { force: true });
  for (const name of OURS.slice(2)) await rm(join(folder, name), { recursive: true, force: true });
  await markFolder(folder);
}

/** Says of which format the folder is: from now on it is a store. */
export async function markFolder(folder: string): Promise<void> {
  const path = join(folder, "format.json");
  await writeFile(`${path}.new`, `${JSON.stringify({ format: FORMAT })}\n`);
  await rename(`${path}.new`, path);
}

/**
 * Takes the mark away: the store is emptied when it is opened the next time. This needs no room on the disk, so it works
 * where writing does not.
 */
export async function unmarkFolder(folder: string): Promise<void> {
  await unlink(join(folder, "format.json")).catch(() => undefined);
}

/** The format, null = it does not say, "damaged" = nobody can read what it says. */
async function readFormat(folder: string): Promise<number | null | "damaged"> {
  const text = await readFile(join(folder, "format.json"), "utf8").catch(() => null);
  if (text === null) return null;
  try {
    const { format } = JSON.parse(text) as { readonly format?: unknown };
    return typeof format === "number" ? format : "damaged";
  } catch {
    return "damaged";
  }
}

function whyEmptied(format: number | null | "damaged"): string {
  if (format === null) return "a purge could not be written into it, or it was not complete";
  if (format === "damaged") return "its format cannot be read";
  return `it is of ${format < FORMAT ? "an older" : "a newer"} version (format ${format}, not ${FORMAT})`;
}
