/**
 * The families of GET /metrics, made from one reading of the proxy: its stats block by the table, origins and targets
 * within a bound, certificates, and the process. Nothing of it is counted here.
 */
import type { StoreReading } from "../../control/cache.js";
import type { OriginReport } from "../../control/origins.js";
import type { ReloadsReport } from "../../control/reload.js";
import type { CounterName, RawRow, RoutesReading, Stats } from "../../control/stats.js";
import { bucketTop } from "../../shared/histogram.js";
import { STATS_LAYOUT } from "../../shared/stats-layout.js";
import type { Distribution, Family, Labels, Sample } from "./exposition.js";
import { routeFamilies } from "./routes.js";
import { storeFamilies } from "./store.js";
import { HISTOGRAM_ROWS, type HistogramRow, rowOf } from "./table.js";
import { targetFamilies } from "./targets.js";

/** What is told, and how finely. */
export interface MetricsBounds {
  /** Targets with series of their own; the others are added up. */
  readonly targetsMax: number;
  /** Whether what workers count is told for each of them. */
  readonly perWorker: boolean;
}

/** One reading of a proxy. */
export interface MetricsReading extends Pick<Stats, "workersReplaced" | "accessLogLostLines" | "certificates"> {
  readonly version: string;
  readonly core: string;
  readonly node: string;
  /** When the proxy was started, in ms since 1970. */
  readonly startedAtMs: number;
  readonly isReady: boolean;
  /** Plans installed since the start, the first included. */
  readonly generation: number;
  /** By worker: the plan it runs. */
  readonly generations: readonly number[];
  readonly reloads: ReloadsReport;
  /** The workers' rows. */
  readonly workers: readonly RawRow[];
  readonly acceptor: RawRow;
  readonly routes: RoutesReading;
  /** Empty while the proxy is stopping. */
  readonly origins: readonly OriginReport[];
  /** By class of local faults: how often the alarm was raised. */
  readonly localAlarms: Readonly<Record<string, number>>;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** null = there is none. */
  readonly store: StoreReading | null;
}

export const PREFIX = "millrace_";

/** Everything there is to tell. */
export function familiesOf(reading: MetricsReading, bounds: MetricsBounds): readonly Family[] {
  return [
    ...proxyFamilies(reading),
    ...counterFamilies(reading, bounds.perWorker),
    ...HISTOGRAM_ROWS.flatMap((row) => histogramFamily(row, reading)),
    ...routeFamilies(reading.routes),
    ...targetFamilies(reading.origins, bounds.targetsMax),
    ...storeFamilies(reading.store, PREFIX),
    ...processFamilies(reading),
  ];
}

function proxyFamilies(reading: MetricsReading): readonly Family[] {
  const { version, core, node, certificates, localAlarms } = reading;
  const one = (value: number): readonly Sample[] => [{ labels: {}, value }];
  return [
    {
      name: `${PREFIX}build`,
      type: "info",
      help: "Versions of Millrace, its native core and Node.js.",
      samples: [{ labels: { version, core, node }, value: 1 }],
    },
    {
      name: `${PREFIX}start_time_seconds`,
      type: "gauge",
      unit: "seconds",
      help: "When the proxy was started, in seconds since 1970.",
      samples: one(reading.startedAtMs / 1000),
    },
    {
      name: `${PREFIX}ready`,
      type: "gauge",
      help: "1 where GET /readyz is 200.",
      samples: one(Number(reading.isReady)),
    },
    { name: `${PREFIX}workers`, type: "gauge", help: "Edge workers.", samples: one(reading.workers.length) },
    {
      name: `${PREFIX}plan_generation`,
      type: "gauge",
      help: "Plans installed since the start, the first included.",
      samples: one(reading.generation),
    },
    {
      name: `${PREFIX}plan_generation_oldest`,
      type: "gauge",
      help: "The oldest plan that a worker still runs; behind plan_generation for the length of a turn.",
      samples: one(Math.min(reading.generation, ...reading.generations)),
    },
    ...reloadFamilies(reading.reloads),
    {
      name: `${PREFIX}workers_replaced`,
      type: "counter",
      help: "Threads that died and were replaced.",
      samples: one(reading.workersReplaced),
    },
    {
      name: `${PREFIX}access_log_sink_lines_lost`,
      type: "counter",
      help: "Access-log lines lost because their sink was slow or broken.",
      samples: one(reading.accessLogLostLines),
    },
    {
      name: `${PREFIX}local_alarms`,
      type: "counter",
      help: "Alarms raised because several origins failed for want of something on this host, by class.",
      samples: Object.entries(localAlarms).map(([kind, value]) => ({ labels: { class: kind }, value })),
    },
    {
      name: `${PREFIX}certificate_expiry_timestamp_seconds`,
      type: "gauge",
      unit: "seconds",
      help: "When the certificate in a file ends, or the first of its chain does, in seconds since 1970.",
      samples: certificates.map(({ file, notAfter }) => ({ labels: { file }, value: Date.parse(notAfter) / 1000 })),
    },
  ];
}

function reloadFamilies({ applied, unchanged, refused, last, goodAtMs }: ReloadsReport): readonly Family[] {
  return [
    {
      name: `${PREFIX}reloads`,
      type: "counter",
      help: "Times that other settings were asked for, by what became of them.",
      samples: Object.entries({ applied, unchanged, refused }).map(([result, value]) => ({
        labels: { result },
        value,
      })),
    },
    {
      name: `${PREFIX}reload_last_good`,
      type: "gauge",
      help: "0 where the latest reload was refused: what runs is not what is written.",
      samples: [{ labels: {}, value: Number(last?.result !== "refused") }],
    },
    {
      name: `${PREFIX}reload_last_good_timestamp_seconds`,
      type: "gauge",
      unit: "seconds",
      help: "When settings were last found good, at the start or by a reload, in seconds since 1970.",
      samples: [{ labels: {}, value: goodAtMs / 1000 }],
    },
  ];
}

/** The names that client libraries give these figures in every language. */
function processFamilies({ cpuSeconds, residentBytes }: MetricsReading): readonly Family[] {
  return [
    {
      name: "process_cpu_seconds",
      type: "counter",
      unit: "seconds",
      help: "User and system time of the whole process, in seconds.",
      samples: [{ labels: {}, value: cpuSeconds }],
    },
    {
      name: "process_resident_memory_bytes",
      type: "gauge",
      unit: "bytes",
      help: "Resident memory of the whole process.",
      samples: [{ labels: {}, value: residentBytes }],
    },
  ];
}

type CounterShape = (typeof STATS_LAYOUT)["counters"][number];

/** Counters that share a series stand together, in the order of the layout. */
function counterFamilies(reading: MetricsReading, perWorker: boolean): readonly Family[] {
  const families = new Map<string, Family & { readonly type: "counter" | "gauge"; samples: Sample[] }>();
  for (const counter of STATS_LAYOUT.counters) {
    const found = rowOf(counter.name);
    if (found === null) continue;
    const { row, rest } = found;
    const name = `${PREFIX}${row.series}`;
    const family = families.get(name) ?? {
      name,
      type: counter.kind,
      help: row.help ?? counter.says,
      ...(row.unit === undefined ? {} : { unit: row.unit }),
      samples: [],
    };
    families.set(name, family);
    const labels = row.label === undefined ? {} : { [row.label]: rest };
    const scale = row.scale ?? 1;
    family.samples.push(
      ...samplesOf(counter, reading, { labels, scale, perWorker: perWorker && row.perWorker === true }),
    );
  }
  return [...families.values()];
}

function samplesOf(
  counter: CounterShape,
  { workers, acceptor }: MetricsReading,
  told: { readonly labels: Labels; readonly scale: number; readonly perWorker: boolean },
): readonly Sample[] {
  const name: CounterName = counter.name;
  if (told.perWorker) {
    return workers.map((row, worker) => ({
      labels: { ...told.labels, worker: String(worker) },
      value: (row.counters[name] ?? 0) * told.scale,
    }));
  }
  const sum = [...workers, acceptor].reduce((before, row) => before + row.counters[name], 0);
  return [{ labels: told.labels, value: sum * told.scale }];
}

function histogramFamily(row: HistogramRow, { workers, acceptor }: MetricsReading): readonly Family[] {
  const shape = STATS_LAYOUT.histograms.find((one) => one.name === row.histogram);
  if (shape === undefined) return [];
  const rows = [...workers, acceptor].map((one) => one.histograms[shape.name]);
  const counts = Array.from({ length: shape.buckets }, (_, at) => rows.reduce((sum, one) => sum + (one[at] ?? 0), 0));
  return [
    {
      name: `${PREFIX}${row.series}`,
      type: "histogram",
      ...(row.unit === undefined ? {} : { unit: row.unit }),
      help: `${shape.says} The sum is that of the buckets' middles, at most ${SUM_ERROR_PERCENT} % off.`,
      distributions: [distributionOf(counts, shape.subBits, row)],
    },
  ];
}

/** Half the width of a bucket of the layout (2^-3 of its value), rounded up. */
const SUM_ERROR_PERCENT = 7;

/** Fewer buckets than the layout has, each bound the largest value of one of those, so that every count is exact. */
export function distributionOf(
  counts: readonly number[],
  subBits: number,
  row: Pick<HistogramRow, "from" | "to" | "scale">,
): Distribution {
  const upTo: { bound: number; count: number }[] = [];
  let [below, sum] = [0, 0];
  for (const [bucket, count] of counts.entries()) {
    const top = bucketTop(bucket, subBits);
    const bottom = bucket === 0 ? 0 : bucketTop(bucket - 1, subBits) + 1;
    below += count;
    sum += count * ((bottom + top) / 2);
    if (top >= row.from && top < row.to && isBound(top + 1)) upTo.push({ bound: top * row.scale, count: below });
  }
  upTo.push({ bound: Number.POSITIVE_INFINITY, count: below });
  return { labels: {}, upTo, sum: sum * row.scale };
}

/** 2^n or 1.5 × 2^n. */
function isBound(end: number): boolean {
  const power = 2 ** Math.floor(Math.log2(end));
  return end === power || end === power * 1.5;
}
