/**
 * Tells when something may have happened to files: watches the folders they are named in and the folders they really lie
 * in, so that a file that is replaced, or a link that is turned to another one (Kubernetes, certbot), is noticed alike. It
 * may tell of nothing, and miss what a file system does not tell (NFS): whoever is told must look, and look at times
 * without being told.
 */
import { type FSWatcher, realpathSync, statSync, watch } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../shared/errors.js";

/** Watches files until it is closed. */
export interface Watching {
  /** Looks again where the files lie, since links may have been turned. */
  readonly refresh: () => void;
  readonly close: () => void;
}

/** Begins to watch files; replaced in tests. */
export type WatchFiles = (files: readonly string[], handleEvent: () => void) => Watching;

export const watchFiles: WatchFiles = (files, handleEvent) => {
  const watchers = new Map<string, FSWatcher>();
  const drop = (key: string) => {
    watchers.get(key)?.close();
    watchers.delete(key);
  };
  const refresh = () => {
    const wanted = new Map(files.flatMap(foldersOf).map((folder) => [keyOf(folder), folder]));
    for (const key of watchers.keys()) if (!wanted.has(key)) drop(key);
    for (const [key, folder] of wanted) {
      if (key === null || watchers.has(key)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, handleEvent);
        watcher.on("error", () => drop(key));
        watchers.set(key, watcher);
      } catch {
        // No folder, or no watch left on this host: the looks at times have to do.
      }
    }
  };
  refresh();
  return {
    refresh,
    close: () => {
      for (const key of [...watchers.keys()]) drop(key);
    },
  };
};

function foldersOf(file: string): readonly string[] {
  try {
    return [dirname(file), dirname(realpathSync(file))];
  } catch {
    return [dirname(file)];
  }
}

/** A folder that was replaced by another of the same name is another; null = there is none. */
function keyOf(folder: string): string | null {
  try {
    const { dev, ino } = statSync(folder);
    return `${dev}:${ino}:${folder}`;
  } catch {
    return null;
  }
}

/** One text that changes with a file, through all links. */
export function stateOfFile(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (thrown) {
    return messageOf(thrown);
  }
}
