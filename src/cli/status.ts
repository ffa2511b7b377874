/**
 * `millrace status`: the running proxy in a few lines: versions, since when, whether it is ready, listeners, workers. Exit
 * 1 when it is not ready, so that a script can wait for it.
 */
import type { Status } from "../admin/routes.js";
import { describeComplaint } from "../shared/errors.js";
import { since } from "../shared/figures.js";
import { type AdminOptions, openDoor, sayRefusal } from "./admin-client.js";
import { EXIT, type ExitCode, print } from "./output.js";

export async function printStatus(options: AdminOptions): Promise<ExitCode> {
  const door = openDoor(options);
  if (!door.ok) return sayRefusal(door);
  const answer = await door.ask<Status>({ method: "GET", path: "/status" });
  if (!answer.ok) return sayRefusal(answer);
  if (options.json) print(answer.text.trimEnd());
  else for (const line of describeStatus(answer.value)) print(line);
  return answer.value.whyNotReady === null ? EXIT.ok : EXIT.failure;
}

export function describeStatus(status: Status): readonly string[] {
  const { version, core, node, pid, state, whyNotReady, workers, workersReplaced, generation } = status;
  const missing = workers.filter(({ ready }) => !ready).map(({ worker }) => worker);
  const atWork = missing.length === 0 ? "all at work" : `missing: ${missing.join(", ")}`;
  return [
    `millrace ${version}, core ${core}, Node.js ${node}, process ${pid}`,
    `${state} for ${since(status.uptimeMs)}, since ${status.startedAt}; plan ${generation}`,
    whyNotReady === null ? "ready" : `not ready: ${whyNotReady}`,
    ...status.listeners.map(({ name, address, port }) => `listener ${name}: ${address} port ${port}`),
    `workers: ${workers.length}, ${atWork}; ${workersReplaced} replaced since the start`,
    `log level: ${status.logLevel}`,
    ...describeReload(status),
  ];
}

/** The latest reload, and which workers have not come to the plan. */
function describeReload({ lastReload, workers, generation }: Status): readonly string[] {
  const behind = workers.filter((one) => one.ready && one.generation !== generation);
  return [
    ...(lastReload === null ? [] : [`last reload: ${lastReload.result} at ${lastReload.at} (${lastReload.cause})`]),
    ...(lastReload?.complaints ?? []).map((complaint) => `  ${describeComplaint(complaint)}`),
    ...behind.map((one) => `worker ${one.worker} still runs plan ${one.generation}`),
  ];
}
