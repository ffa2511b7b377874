/**
 * Turns into one table: medians over the rounds, ratios round by round, the promises and whether they were kept; as text,
 * Markdown and JSON.
 */
import type { CandidateName, Options } from "./options.js";
import { judge, TARGETS, type Verdict } from "./targets.js";
import type { Figures, Result, Turn, Work } from "./works.js";

/** Candidates that every other one is compared with; `bare` is one for Millrace only. */
const YARDSTICKS = ["floor", "haproxy", "nginx", "bare"] as const satisfies readonly CandidateName[];
const COMPARED_WITH_BARE: readonly CandidateName[] = ["millrace", "guarded", "caching"];
const SAYS_BARE =
  "Millrace is as its defaults are. Bare: no health, no retries, no admin port. Guarded: a check each second, health, retries within their budget, and the admin port that explains.";
/** Above this share of foreign work on the proxy's CPUs a figure is marked as rough. */
const FOREIGN_MAX = 0.05;

export interface Row {
  readonly work: Work["name"];
  readonly candidate: CandidateName;
  readonly workTitle: string;
  readonly candidateTitle: string;
  /** Medians over the rounds. */
  readonly figures: Figures;
  /** Median over the rounds of this candidate's judged figure divided by the yardstick's of the same round. */
  readonly ratios: Readonly<Partial<Record<CandidateName, number>>>;
  /** Median share of the proxy's CPUs that something else used. */
  readonly foreign: number;
  readonly faults: readonly string[];
  readonly turns: readonly Turn[];
}

export interface Judged {
  readonly says: string;
  readonly sense: string;
  readonly bound: number;
  readonly value?: number;
  readonly verdict: Verdict;
}

export interface Report {
  readonly date: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly placement: string;
  readonly settings: Pick<Options, "rounds" | "seconds" | "idleConnections">;
  /** What could not take part, and why. */
  readonly leftOut: readonly string[];
  readonly rows: readonly Row[];
  readonly targets: readonly Judged[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** Medians of each figure that the turns have. */
function medians(turns: readonly Turn[]): Figures {
  const names = Object.keys(turns[0]?.figures ?? {}) as (keyof Figures)[];
  return Object.fromEntries(names.map((name) => [name, median(turns.map((turn) => turn.figures[name] ?? Number.NaN))]));
}

/** The rows of one work. */
export function rowsOf(work: Work, results: readonly Result[]): Row[] {
  return results.map(({ candidate, turns }) => {
    const ratios: Partial<Record<CandidateName, number>> = {};
    for (const name of YARDSTICKS) {
      const yardstick = results.find((result) => result.candidate.name === name);
      if (!yardstick || yardstick.candidate === candidate) continue;
      if (name === "bare" && !COMPARED_WITH_BARE.includes(candidate.name)) continue;
      ratios[name] = median(turns.map((turn, round) => share(turn, yardstick.turns[round], work)));
    }
    return {
      work: work.name,
      candidate: candidate.name,
      workTitle: work.title,
      candidateTitle: candidate.title,
      figures: medians(turns),
      ratios,
      foreign: median(turns.map((turn) => turn.foreign)),
      faults: turns.flatMap((turn) => turn.faults),
      turns,
    };
  });
}

function share(turn: Turn, other: Turn | undefined, work: Work): number {
  return (turn.figures[work.judged] ?? Number.NaN) / (other?.figures[work.judged] ?? Number.NaN);
}

/** Every promise of the works that were run; a row with faults proves nothing. */
export function judgeAll(rows: readonly Row[], works: readonly Work[]): Judged[] {
  return TARGETS.filter((target) => works.some((work) => work.name === target.work)).map((target) => {
    const work = works.find((candidate) => candidate.name === target.work);
    const whose = target.whose ?? "millrace";
    const row = rows.find((one) => one.work === target.work && one.candidate === whose && one.faults.length === 0);
    const value = work && row && (target.versus ? against(row, target.versus) : row.figures[work.judged]);
    const { says, sense, bound } = target;
    return { says, sense, bound, ...(value === undefined ? {} : { value }), verdict: judge(target, value) };
  });
}

/** A row's ratio to a yardstick; to several, that to the best of them. */
function against(row: Row, versus: CandidateName | readonly CandidateName[]): number | undefined {
  const ratios = [versus].flat().map((name) => row.ratios[name]);
  return ratios.includes(undefined) ? undefined : Math.max(...ratios.map((ratio) => ratio ?? Number.NaN));
}

const HEADINGS = [
  "work",
  "proxy",
  "CPU µs",
  "req/s",
  "p50",
  "p99",
  "KB/1,000 idle",
  "reused",
  "× floor",
  "× HAProxy",
  "× nginx",
  "× bare",
] as const;

function cellsOf(row: Row): string[] {
  const { figures, ratios } = row;
  const shown = (value: number | undefined, digits: number): string =>
    value === undefined ? "" : value.toFixed(digits);
  const mark = row.faults.length > 0 ? " (!)" : row.foreign > FOREIGN_MAX ? " (~)" : "";
  return [
    row.workTitle,
    row.candidateTitle + mark,
    shown(figures.cpuUs, figures.cpuUs !== undefined && figures.cpuUs >= 100 ? 0 : 2),
    figures.requestsPerSecond === undefined ? "" : Math.round(figures.requestsPerSecond).toLocaleString("en"),
    latency(figures.p50Us),
    latency(figures.p99Us),
    figures.idleKb === undefined ? "" : Math.round(figures.idleKb).toLocaleString("en"),
    figures.reusePercent === undefined ? "" : `${figures.reusePercent.toFixed(3)} %`,
    ...YARDSTICKS.map((name) => shown(ratios[name], 2)),
  ];
}

function latency(us: number | undefined): string {
  if (us === undefined) return "";
  return us < 1_000 ? `${us.toFixed(0)} µs` : `${(us / 1_000).toFixed(us < 10_000 ? 2 : 1)} ms`;
}

/** The table with aligned columns; each work is named once. Columns that nothing fills are left out. */
function table(report: Report): string {
  const body = report.rows.map(cellsOf);
  const lines = [HEADINGS as readonly string[], ...body];
  const used = HEADINGS.map((_, at) => at).filter((at) => body.some((cells) => cells[at] !== ""));
  const widths = used.map((at) => Math.max(...lines.map((cells) => cells[at]?.length ?? 0)));
  const drawn = lines.map((cells, line) => {
    const repeated = line > 1 && cells[0] === lines[line - 1]?.[0];
    const texts = used.map((at, column) => {
      const text = at === 0 && repeated ? "" : (cells[at] ?? "");
      return at < 2 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
    });
    return `| ${texts.join(" | ")} |`;
  });
  const rule = `|${used.map((at, column) => `${"-".repeat((widths[column] ?? 0) + 1)}${at < 2 ? "-" : ":"}`).join("|")}|`;
  return [drawn[0], rule, ...drawn.slice(1)].join("\n");
}

function notes(report: Report): string[] {
  const { rounds, seconds, idleConnections } = report.settings;
  const said = [
    `Medians of ${rounds} rounds of ${seconds} s, every proxy in turn; ratios are taken round by round. CPU µs: user and system time of the whole proxy per request (1 MiB bodies: per MiB). Idle: resident growth by ${idleConnections.toLocaleString("en")} connections.`,
    `Placement: ${report.placement}.`,
    ...(report.rows.some((row) => row.candidate === "bare") ? [SAYS_BARE] : []),
    ...report.leftOut.map((line) => `Left out: ${line}.`),
  ];
  for (const row of report.rows) {
    const who = `${row.candidateTitle} at "${row.workTitle}"`;
    if (row.faults.length > 0) said.push(`(!) ${who}: ${[...new Set(row.faults)].join("; ")}.`);
    else if (row.foreign > FOREIGN_MAX)
      said.push(
        `(~) ${who}: others, the kernel's network thread among them, used ${(row.foreign * 100).toFixed(0)} % of its CPU.`,
      );
  }
  return said;
}

function targetLine({ says, sense, bound, value, verdict }: Judged): string {
  return `${says}: ${value === undefined ? "-" : value.toFixed(value < 10 ? 3 : 1)} (${sense} ${bound}): ${verdict}`;
}

/** The report for people; it is Markdown that reads well as text. */
export function render(report: Report): string {
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `Load bench, ${report.date.slice(0, 10)}: ${versions.join(", ")}.`,
    "",
    table(report),
    "",
    ...notes(report),
    ...(report.targets.length > 0 ? ["", "Targets:", ""] : []),
    ...report.targets.map((target) => `- ${targetLine(target)}`),
    "",
  ].join("\n");
}
