/**
 * Watches a settings file: tells when it has become another one and has stayed so for a moment, since editors write in
 * several goes. Looks at times without being told, for file systems that tell nothing.
 */
import { stateOfFile, type WatchFiles, watchFiles } from "./folder-watch.js";
import { type Clock, Scheduler } from "./scheduler.js";

/** How long a file must have been as it is, in ms. */
export const QUIET_MS = 250;
/** How often it is looked at unasked, in ms. */
export const LOOK_MS = 30_000;

/** Until it is closed. */
export interface SettingsWatch {
  readonly close: () => void;
}

/** @param replaced In tests: time, and who tells of changes. */
export function watchSettings(
  file: string,
  handleChange: () => void,
  replaced: { readonly clock?: Clock; readonly watchFiles?: WatchFiles } = {},
): SettingsWatch {
  const scheduler = new Scheduler(() => {}, replaced.clock);
  let [taken, seen] = [stateOfFile(file), ""];
  const look = () => {
    const now = stateOfFile(file);
    if (now === taken || now === seen) return;
    seen = now;
    scheduler.at("quiet", scheduler.nowMs + QUIET_MS, settle);
  };
  const settle = () => {
    if (stateOfFile(file) !== seen) return look();
    [taken, seen] = [seen, ""];
    watching.refresh();
    handleChange();
  };
  const lookAround = () => {
    look();
    watching.refresh();
    scheduler.at("look around", scheduler.nowMs + LOOK_MS, lookAround);
  };
  const watching = (replaced.watchFiles ?? watchFiles)([file], look);
  lookAround();
  return {
    close: () => {
      watching.close();
      scheduler.close();
    },
  };
}
