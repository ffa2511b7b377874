/**
 * `millrace top`: what a running proxy does, second by second, asked at its admin API. On a terminal it takes the screen;
 * else, and with --once or --json, it prints.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Status } from "../admin/routes.js";
import { type Model, modelOf, type Snapshot } from "../control/model.js";
import type { OriginsReport } from "../control/origins.js";
import type { Stats } from "../control/stats.js";
import { type AdminOptions, type Door, openDoor, type Refusal, sayRefusal } from "./admin-client.js";
import { EXIT, type ExitCode, print } from "./output.js";
import { isScreen, openScreen, sizeOf, wantsColour } from "./top/screen.js";
import { paint } from "./top/text.js";
import { linesOf, screenOf, VIEWS, type View } from "./top/views.js";

export interface TopOptions extends AdminOptions {
  readonly view: View;
  /** Seconds between two readings. */
  readonly interval: number;
  readonly once: boolean;
}

export async function top(options: TopOptions): Promise<ExitCode> {
  const door = openDoor(options);
  if (!door.ok) return sayRefusal(door);
  const first = await takeSnapshot(door);
  if ("ok" in first) return sayRefusal(first);
  if (options.once || options.json || !isScreen(process.env)) return printModels(door, first, options);
  return showScreen(door, first, options);
}

/** One reading, or why there is none. */
async function takeSnapshot(door: Door): Promise<Snapshot | Refusal> {
  const atMs = performance.now();
  const [status, stats, origins] = await Promise.all([
    door.ask<Status>({ method: "GET", path: "/status" }),
    door.ask<Stats>({ method: "GET", path: "/stats" }),
    door.ask<OriginsReport>({ method: "GET", path: "/origins" }),
  ]);
  if (!status.ok) return status;
  if (!stats.ok) return stats;
  if (!origins.ok) return origins;
  return { atMs, status: status.value, stats: stats.value, origins: origins.value };
}

/** Prints each interval until the proxy no longer answers, or once. */
async function printModels(door: Door, first: Snapshot, options: TopOptions): Promise<ExitCode> {
  let before = first;
  for (;;) {
    await sleep(options.interval * 1000);
    const now = await takeSnapshot(door);
    if ("ok" in now) return sayRefusal(now);
    const model = modelOf(before, now);
    before = now;
    if (options.json) print(JSON.stringify(model));
    else print(plainPage(model, options));
    if (options.once) return EXIT.ok;
  }
}

/** All views one below the other with --once, else the one that was asked for. */
function plainPage(model: Model, { once, view }: TopOptions): string {
  const { columns } = process.stdout.isTTY ? sizeOf(process.stdout) : { columns: Number.POSITIVE_INFINITY };
  const isColoured = wantsColour(process.env, process.stdout.isTTY === true);
  const [head, summary] = screenOf(model, view, { columns, rows: 3 }, null);
  const views = once ? VIEWS : [view];
  const parts = views.flatMap((one) => [[], ...linesOf(model, one)]);
  return [head ?? [], summary ?? [], ...parts].map((line) => paint(line, columns, isColoured).trimEnd()).join("\n");
}

/** Draws until somebody leaves. */
async function showScreen(door: Door, first: Snapshot, options: TopOptions): Promise<ExitCode> {
  let { view } = options;
  let model = modelOf(first, first);
  let trouble: string | null = null;
  const isColoured = wantsColour(process.env, true);
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  const draw = () => {
    const size = screen.size();
    screen.draw(screenOf(model, view, size, trouble).map((line) => paint(line, size.columns, isColoured)));
  };
  const screen = openScreen({
    handleKey: (key) => {
      if (key === "q" || key === "\u0003" || key === "\u0004") leave();
      view = viewOfKey(key, view);
      draw();
    },
    handleResize: draw,
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, leave);
  try {
    let before = first;
    draw();
    while (await waited(options.interval, leaving.signal)) {
      const now = await takeSnapshot(door);
      trouble = "ok" in now ? now.says : null;
      if (!("ok" in now)) {
        model = modelOf(before, now);
        before = now;
      }
      draw();
    }
  } finally {
    screen.close();
  }
  return EXIT.ok;
}

/** False = it was cut short. */
async function waited(seconds: number, signal: AbortSignal): Promise<boolean> {
  return sleep(seconds * 1000, true, { signal }).catch(() => false);
}

/** A view by its first letter; Tab for the next one. */
function viewOfKey(key: string, view: View): View {
  if (key === "\t") return VIEWS[(VIEWS.indexOf(view) + 1) % VIEWS.length] ?? view;
  return VIEWS.find((one) => one.charAt(0) === key.toLowerCase()) ?? view;
}
