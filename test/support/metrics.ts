/**
 * For tests about metrics: a reading as a proxy would give it, and a reader of both text formats that was written from
 * their descriptions, not from our writer, and complains of everything they forbid.
 */
import type { MetricsReading } from "../../src/admin/metrics/families.js";
import type { TargetReport } from "../../src/control/health.js";
import type { RawRow } from "../../src/control/stats.js";
import { STATS_LAYOUT } from "../../src/shared/stats-layout.js";
import { targetReadingOf } from "./fake-targets.js";

/** Bounds that hold nothing back. */
export const METRICS = { targetsMax: 500, perWorker: true } as const;

/** A row of zeros but for what is given: counters by name, histograms as `{ bucket: count }`. */
export function rawRow(
  counters: Readonly<Record<string, number>> = {},
  histograms: Readonly<Record<string, Readonly<Record<number, number>>>> = {},
): RawRow {
  return {
    counters: Object.fromEntries(STATS_LAYOUT.counters.map(({ name }) => [name, counters[name] ?? 0])),
    histograms: Object.fromEntries(
      STATS_LAYOUT.histograms.map(({ name, buckets }) => [
        name,
        Array.from({ length: buckets }, (_, at) => histograms[name]?.[at] ?? 0),
      ]),
    ),
  } as unknown as RawRow;
}

/** A reading of a proxy that has done nothing, with the given parts in place of its own. */
export function readingOf(parts: Partial<MetricsReading> = {}): MetricsReading {
  return {
    version: "1.2.3",
    core: "1.2.3",
    node: "20.0.0",
    startedAtMs: 1_700_000_000_000,
    isReady: true,
    generation: 1,
    generations: [1],
    reloads: { applied: 0, unchanged: 0, refused: 0, last: null, goodAtMs: 0 },
    workers: [rawRow()],
    acceptor: rawRow(),
    workersReplaced: 0,
    accessLogLostLines: 0,
    certificates: [],
    routes: { names: [], counts: [] },
    origins: [],
    localAlarms: { local_resource: 0 },
    cpuSeconds: 1.5,
    residentBytes: 1e8,
    store: null,
    ...parts,
  };
}

/** A target that has done nothing, with the given parts in place of its own. */
export function targetOf(parts: Partial<TargetReport> = {}): TargetReport {
  return {
    ...targetReadingOf(),
    health: {
      state: "up",
      downForMs: null,
      checksInRow: 0,
      failuresInRow: 0,
      falls: 0,
      lastTrouble: null,
      lastCheckMicros: null,
      history: [],
    },
    ...parts,
  };
}

/** One line of a page. */
export interface ReadSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A family as it was read; `name` as its TYPE line has it. */
export interface ReadFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly unit: string | null;
  readonly samples: readonly ReadSample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const NUMBER = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/;

interface Draft {
  readonly name: string;
  type: string | null;
  help: string | null;
  unit: string | null;
  readonly samples: ReadSample[];
}

/** Names of samples that belong to a family, by its type: suffixes. */
const SUFFIXES: Readonly<Record<"prometheus" | "openmetrics", Readonly<Record<string, readonly string[]>>>> = {
  prometheus: { counter: [""], gauge: [""], histogram: ["_bucket", "_sum", "_count"] },
  openmetrics: { counter: ["_total"], gauge: [""], info: ["_info"], histogram: ["_bucket", "_sum", "_count"] },
};

/** Reads a page of the Prometheus text format 0.0.4 or of OpenMetrics 1.0; throws at the first breach. */
export function readExposition(page: string, format: "prometheus" | "openmetrics"): readonly ReadFamily[] {
  if (!page.endsWith("\n")) throw new Error("the last line must end in a line feed");
  if (page.includes("\r")) throw new Error("lines end in a line feed alone");
  const lines = page.slice(0, -1).split("\n");
  if (format === "openmetrics" && lines.pop() !== "# EOF") throw new Error("an OpenMetrics page ends in # EOF");
  const drafts: Draft[] = [];
  const closed = new Set<string>();
  for (const line of lines) {
    if (line === "") throw new Error("an empty line");
    const meta = /^# (HELP|TYPE|UNIT) (\S+) (.*)$/.exec(line);
    if (meta === null && line.startsWith("#")) throw new Error(`no comment we write: ${line}`);
    const [name, sample] = meta === null ? [null, readSample(line)] : [meta[2] ?? "", null];
    let draft = drafts.at(-1);
    if (name !== null && draft?.name !== name) {
      if (closed.has(name)) throw new Error(`the lines of ${name} do not stand together`);
      if (!NAME.test(name)) throw new Error(`no name: ${name}`);
      closed.add(name);
      draft = { name, type: null, help: null, unit: null, samples: [] };
      drafts.push(draft);
    }
    if (draft === undefined) throw new Error(`a sample before any TYPE: ${line}`);
    if (sample === null) readMeta(draft, meta?.[1] ?? "", meta?.[3] ?? "", format);
    else takeSample(draft, sample, format);
  }
  return drafts.map((draft) => finish(draft, format));
}

function readMeta(draft: Draft, kind: string, text: string, format: "prometheus" | "openmetrics"): void {
  const key = kind === "HELP" ? "help" : kind === "TYPE" ? "type" : "unit";
  if (draft[key] !== null) throw new Error(`${kind} of ${draft.name} stands twice`);
  if (draft.samples.length > 0) throw new Error(`${kind} of ${draft.name} comes after a sample`);
  if (key === "type" && SUFFIXES[format][text] === undefined) throw new Error(`no type of ${format}: ${text}`);
  if (key === "unit" && format === "prometheus") throw new Error("Prometheus text has no UNIT");
  if (key === "unit" && !draft.name.endsWith(`_${text}`)) throw new Error(`${draft.name} does not end in _${text}`);
  draft[key] = key === "help" ? unescaped(text, format === "openmetrics") : text;
}

function takeSample(draft: Draft, sample: ReadSample, format: "prometheus" | "openmetrics"): void {
  if (draft.type === null || draft.help === null) throw new Error(`${draft.name} lacks HELP or TYPE`);
  const suffixes = SUFFIXES[format][draft.type] ?? [];
  if (!suffixes.some((one) => sample.name === draft.name + one)) {
    throw new Error(`${sample.name} does not belong to the ${draft.type} ${draft.name}`);
  }
  if (draft.type === "counter" && !(sample.value >= 0)) throw new Error(`${sample.name} is below zero`);
  if (draft.type === "info" && sample.value !== 1) throw new Error(`${sample.name} is not 1`);
  const key = (one: ReadSample) => JSON.stringify([one.name, Object.entries(one.labels).sort()]);
  if (draft.samples.some((one) => key(one) === key(sample))) throw new Error(`a series stands twice: ${key(sample)}`);
  draft.samples.push(sample);
}

function finish({ name, type, help, unit, samples }: Draft, format: "prometheus" | "openmetrics"): ReadFamily {
  if (type === null || help === null || help === "") throw new Error(`${name} lacks HELP or TYPE`);
  if (type === "histogram") readHistogram(name, samples, format);
  return { name, type, help, unit, samples };
}

/** Bounds rise, counts never fall, the last bound is infinity and its count the count. */
function readHistogram(name: string, samples: readonly ReadSample[], format: "prometheus" | "openmetrics"): void {
  const buckets = samples.filter((one) => one.name === `${name}_bucket`);
  let [bound, count] = [Number.NEGATIVE_INFINITY, 0];
  for (const { labels, value } of buckets) {
    const le = labels["le"] ?? "";
    if (!NUMBER.test(le)) throw new Error(`${name} has a bound that is no number: ${le}`);
    if (format === "openmetrics" && !/[.e]|Inf/.test(le)) throw new Error(`the bound ${le} has no fraction`);
    const here = toNumber(le);
    if (!(here > bound) || value < count) throw new Error(`${name} is not cumulative at ${le}`);
    [bound, count] = [here, value];
  }
  if (bound !== Number.POSITIVE_INFINITY) throw new Error(`${name} has no +Inf`);
  if (samples.find((one) => one.name === `${name}_count`)?.value !== count) throw new Error(`${name} miscounts`);
  if (!samples.some((one) => one.name === `${name}_sum`)) throw new Error(`${name} has no sum`);
}

function readSample(line: string): ReadSample {
  const head = /^([a-zA-Z0-9_:]+)/.exec(line)?.[1] ?? "";
  if (!NAME.test(head)) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  let rest = line.slice(head.length);
  if (rest.startsWith("{")) {
    rest = rest.slice(1);
    for (;;) {
      const pair = /^([^=]+)="((?:[^"\\]|\\.)*)"(,|\})/.exec(rest);
      if (pair === null) throw new Error(`broken labels: ${line}`);
      const [all, label = "", value = "", end] = pair;
      if (!LABEL.test(label) || label in labels) throw new Error(`a label that may not be: ${label}`);
      labels[label] = unescaped(value, true);
      rest = rest.slice(all.length);
      if (end === "}") break;
    }
  }
  const value = /^ (\S+)$/.exec(rest)?.[1] ?? "";
  if (!NUMBER.test(value)) throw new Error(`no value: ${line}`);
  return { name: head, labels, value: toNumber(value) };
}

function unescaped(text: string, isQuoted: boolean): string {
  const known: Readonly<Record<string, string>> = isQuoted
    ? { "\\\\": "\\", "\\n": "\n", '\\"': '"' }
    : { "\\\\": "\\", "\\n": "\n" };
  return text.replaceAll(/\\./g, (one) => {
    const stands = known[one];
    if (stands === undefined) throw new Error(`no escape: ${one}`);
    return stands;
  });
}

function toNumber(text: string): number {
  if (text.endsWith("Inf")) return text.startsWith("-") ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(text);
}
