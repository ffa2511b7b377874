/**
 * `millrace reload`: a running proxy reads its settings again and takes them, everywhere or nowhere. Exit 0 when they are in
 * use (or are as they were), 78 when they are refused, with every complaint; 1 when the proxy could not be asked.
 */
import type { Reload } from "../control/reload.js";
import type { Complaint } from "../shared/errors.js";
import { type AdminOptions, openDoor, sayRefusal } from "./admin-client.js";
import { EXIT, type ExitCode, print, say, sayComplaints } from "./output.js";

/** Names are looked up before settings are taken, which may last, in ms. */
const RELOAD_MS_MAX = 60_000;

export async function reload(options: AdminOptions): Promise<ExitCode> {
  const door = openDoor(options);
  if (!door.ok) return sayRefusal(door);
  const answer = await door.ask<Reload>({ method: "POST", path: "/reload", waitMs: RELOAD_MS_MAX });
  if (!answer.ok) {
    if (answer.code !== EXIT.settings || answer.text === undefined) return sayRefusal(answer);
    const { complaints } = JSON.parse(answer.text) as { readonly complaints: readonly Complaint[] };
    if (options.json) print(answer.text.trimEnd());
    sayComplaints("error", complaints);
    say("the settings are refused; those before stay in use");
    return answer.code;
  }
  sayComplaints("warning", answer.value.warnings);
  if (options.json) print(answer.text.trimEnd());
  else for (const line of describeReload(answer.value)) print(line);
  return EXIT.ok;
}

export function describeReload(reload: Reload): readonly string[] {
  if (reload.result !== "applied") return [`the settings are as they were; plan ${reload.generation}`];
  const { generation, changes, workersBehind } = reload;
  const count = changes.length === 1 ? "1 change" : `${changes.length} changes`;
  return [
    `plan ${generation} is in use: ${count}`,
    ...changes.map(({ path, says }) => `  ${path}: ${says}`),
    ...workersBehind.map((worker) => `worker ${worker} has not come to it yet`),
  ];
}
