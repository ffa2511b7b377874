/**
 * The views of `millrace top` as lines: clients, origins, workers. Told what there is and how big the terminal is; writes
 * nothing.
 */
import type { Model, Named, TargetLine, Times, WorkerLine } from "../../control/model.js";
import { milliseconds, percent, short, since } from "../../shared/figures.js";
import { grid, type Line, type Piece, piece } from "./text.js";

export const VIEWS = ["client", "origin", "workers"] as const;
export type View = (typeof VIEWS)[number];

/** A terminal in characters. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Above this, answers with 5xx are shown in red. */
const ERROR_SHARE_RED = 0.01;
/** Below this, reuse is shown in yellow. */
const REUSE_SHARE_YELLOW = 0.9;

/** A screen of exactly so many lines at most: heading, the view, and which keys there are. */
export function screenOf(model: Model, view: View, size: Size, trouble: string | null): Line[] {
  const body = linesOf(model, view);
  const room = Math.max(0, size.rows - HEADING_LINES - 1);
  const shown = body.length <= room ? body : body.slice(0, Math.max(0, room - 1));
  const hidden = body.length - shown.length;
  const more: Line[] =
    hidden === 0 || room === 0 ? [] : [[piece(`… ${hidden} more lines; make the window taller`, "dim")]];
  return [...heading(model, view, trouble), ...shown, ...more, keys(view)].slice(0, size.rows);
}

const HEADING_LINES = 3;

function heading(model: Model, view: View, trouble: string | null): Line[] {
  const { client, origin, whyNotReady } = model;
  const state = whyNotReady === null ? piece("ready", "green") : piece(whyNotReady, "red");
  const isFailing = (client.errorShare ?? 0) > ERROR_SHARE_RED;
  return [
    [
      piece(`millrace ${model.version}`, "bold"),
      piece(`  up ${since(model.uptimeMs)}  ${count(model.workers.length, "worker")}  plan ${model.generation}  `),
      state,
    ],
    [
      piece(`${short(client.requests)} requests/s  `),
      piece(`5xx ${percent(client.errorShare)}`, isFailing ? "red" : "plain"),
      piece("  reuse "),
      reuse(origin.reuseShare),
      piece(`  p99 ${milliseconds(client.exchangeMs.p99)}  ${short(client.connectionsOpen)} clients`),
    ],
    trouble === null ? [piece(`— ${view} —`, "dim")] : [piece(trouble, "red")],
  ];
}

/** Only what is on one view. */
export function linesOf(model: Model, view: View): Line[] {
  switch (view) {
    case "client":
      return clientLines(model.client);
    case "origin":
      return originLines(model.origin);
    case "workers":
      return workerLines(model.workers);
  }
}

function clientLines(client: Model["client"]): Line[] {
  return [
    figures("requests", [
      [short(client.requests), "/s"],
      [short(client.exchangesOpen), " under way"],
      [short(client.tunnelsOpen), " tunnels"],
    ]),
    figures(
      "answers",
      client.answers.map(({ name, perSecond }) => [`${name} ${short(perSecond)}`, "/s"]),
    ),
    figures("connections", [
      [short(client.connectionsOpen), " open"],
      [short(client.connectionsIdle), " idle"],
      [short(client.connectionsNew), " new/s"],
      [short(client.tlsHandshakes), " TLS handshakes/s"],
    ]),
    figures("bytes", [
      [short(client.bytesReceived), "B/s received"],
      [short(client.bytesSent), "B/s sent"],
    ]),
    times("exchange", client.exchangeMs),
    list("closes", client.closes),
    list("faults", client.faults, "red"),
  ];
}

function originLines(origin: Model["origin"]): Line[] {
  return [
    [...label("requests"), piece(`${short(origin.requests)}/s  reuse `), reuse(origin.reuseShare)],
    figures("connections", [
      [short(origin.connectionsOpen), " open"],
      [short(origin.connectionsIdle), " idle"],
      [short(origin.opened), " opened/s"],
      [short(origin.stolen), " stolen/s"],
      [short(origin.waiting), " requests waiting"],
    ]),
    figures("again", [
      [short(origin.retried), " retried/s"],
      [short(origin.escalated), " escalated/s"],
    ]),
    times("first byte", origin.firstByteMs),
    list("not reused", origin.notReused),
    list("closes", origin.closes),
    list("faults", origin.faults, "red"),
    [],
    ...targetLines(origin.targets),
  ];
}

const TARGET_HEADING = [
  "ORIGIN",
  "TARGET",
  "ADDRESS",
  "STATE",
  "OPEN",
  "IDLE",
  "BUSY",
  "WAIT",
  "OK/S",
  "FAILED/S",
  "LATENCY",
];

/** What is in trouble stands first. */
function targetLines(targets: readonly TargetLine[]): Line[] {
  if (targets.length === 0) return [[piece("no targets", "dim")]];
  const weight = ({ state }: TargetLine) => (state === "up" ? 1 : 0);
  const rows = [...targets]
    .sort((a, b) => weight(a) - weight(b))
    .map((one) => [
      one.origin,
      one.target,
      one.address,
      piece(one.state, one.state === "up" ? "green" : one.state === "down" ? "red" : "yellow"),
      ...[one.open, one.idle, one.inflight, one.waiting, one.succeeded].map(short),
      piece(short(one.failed), one.failed > 0 ? "red" : "plain"),
      one.latencyMs === null ? "-" : milliseconds(one.latencyMs),
    ]);
  return grid([TARGET_HEADING, ...rows]);
}

const WORKER_HEADING = [
  "WORKER",
  "STATE",
  "REQ/S",
  "CLIENTS",
  "UNDER WAY",
  "ORIGIN CONNS",
  "STOLEN/S",
  "BUSY",
  "TURN P99",
];

function workerLines(workers: readonly WorkerLine[]): Line[] {
  const busiest = Math.max(0, ...workers.map((one) => one.requests));
  const rows = workers.map((one) => [
    String(one.worker),
    one.ready ? piece("at work", "green") : piece("missing", "red"),
    short(one.requests),
    short(Math.max(0, one.clientsOpen)),
    short(Math.max(0, one.exchangesOpen)),
    // A connection that one worker opened may be closed by another.
    String(one.originsOpen),
    short(one.stolen),
    percent(one.busyShare),
    milliseconds(one.turnP99Ms),
    piece(bar(busiest === 0 ? 0 : one.requests / busiest), "dim"),
  ]);
  return grid([[...WORKER_HEADING, ""], ...rows]);
}

const BAR_WIDTH = 20;

function bar(share: number): string {
  return "#".repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH, ".");
}

function reuse(share: number | null): Piece {
  return piece(percent(share), share !== null && share < REUSE_SHARE_YELLOW ? "yellow" : "plain");
}

function label(name: string): Line {
  return [piece(name.padEnd(LABEL_WIDTH), "dim")];
}

const LABEL_WIDTH = 13;

function figures(name: string, all: readonly (readonly [string, string])[]): Line {
  return [...label(name), ...all.flatMap(([figure, unit]) => [piece(figure, "bold"), piece(`${unit}  `)])];
}

function times(name: string, { p50, p90, p99, max }: Times): Line {
  const parts = [`p50 ${milliseconds(p50)}`, `p90 ${milliseconds(p90)}`, `p99 ${milliseconds(p99)}`];
  return [...label(name), piece(`${parts.join("  ")}  max ${milliseconds(max)}`), piece("  since the start", "dim")];
}

function list(name: string, all: readonly Named[], style: Piece["style"] = "plain"): Line {
  if (all.length === 0) return [...label(name), piece("none", "dim")];
  return [...label(name), ...all.map((one) => piece(`${one.name} ${short(one.perSecond)}/s  `, style))];
}

function keys(view: View): Line {
  const names = VIEWS.flatMap((one) => [
    piece(` ${one.charAt(0)} `, "reverse"),
    piece(` ${one} `, one === view ? "bold" : "dim"),
  ]);
  return [...names, piece(" q ", "reverse"), piece(" leave", "dim")];
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
