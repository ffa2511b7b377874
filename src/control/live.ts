/**
 * One stream of samples for all who watch a running proxy: once a second, while there is a watcher, everything is read
 * once, written once, and handed to all. Nobody watches: nothing is read.
 */
import { quantile } from "../shared/histogram.js";
import type { LogTail } from "../shared/log-tail.js";
import { STATS_LAYOUT } from "../shared/stats-layout.js";
import type { CacheTop } from "./cache.js";
import type { CertificatesReport } from "./certificate-report.js";
import type { Frame, Hello, LiveEvent, LiveRoute, LiveTarget, Point } from "./live-frames.js";
import { type Model, modelOf, type Snapshot, type TargetLine } from "./model.js";
import type { OriginsReport, PlanChange } from "./origins.js";
import type { RouteCounts, RoutesReading } from "./stats.js";
import type { PastReplacement } from "./supervisor.js";
import { placeOf } from "./targets.js";

/** Between two samples, in ms. */
const SAMPLE_MS = 1000;
/** Seconds that a new watcher is told of, where somebody watched already. */
export const POINTS_MAX = 180;
/** Samples over which the need of a target is taken. */
const NEED_SAMPLES = 60;
/** Targets that are told of; those in trouble come first. */
export const TARGETS_MAX = 100;
/** Changes of its health that are told of a target. */
const STEPS_MAX = 10;
/** Events that are told. */
export const EVENTS_MAX = 60;
/** What is asked for most out of the cache: how many are told, and once in how many samples. */
const TOP_MAX = 10;
const TOP_EVERY = 5;
/** Certificates are read again once in so many samples. */
const CERTIFICATES_EVERY = 30;

const EXCHANGES = STATS_LAYOUT.histograms[0];

/** Where everything comes from. Each may throw a MillraceError while the proxy does not run. */
export interface LiveReading {
  readonly status: () => Snapshot["status"];
  readonly stats: () => Snapshot["stats"];
  readonly origins: () => OriginsReport;
  readonly certificates: () => CertificatesReport;
  /** The histogram of exchanges, bucket by bucket, over all workers. */
  readonly exchanges: () => readonly number[];
  readonly routes: () => RoutesReading;
  readonly cacheTop: (count: number) => readonly CacheTop[];
  readonly plans: () => readonly PlanChange[];
  readonly replacements: () => readonly PastReplacement[];
  readonly tail: LogTail;
  /** In ms since 1970. */
  readonly nowMs: () => number;
}

/** Takes a line of JSON with its line end. */
export type Watcher = (line: string) => void;

/** The stream of one proxy. */
export class Live {
  readonly #reading: LiveReading;
  readonly #watchers = new Set<Watcher>();
  #timer: NodeJS.Timeout | null = null;
  #sampler: Sampler | null = null;

  constructor(reading: LiveReading) {
    this.#reading = reading;
  }

  /**
   * Tells what there is, at once, and from then on every second, until the returned function is called.
   *
   * @throws MillraceError when the proxy does not run, as its readings do.
   */
  watch(watcher: Watcher): () => void {
    this.#sampler ??= new Sampler(this.#reading);
    watcher(`${JSON.stringify(this.#sampler.hello())}\n`);
    this.#watchers.add(watcher);
    this.#timer ??= setInterval(() => this.#tick(), SAMPLE_MS).unref();
    return () => this.#leave(watcher);
  }

  #leave(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#sampler = null;
  }

  #tick(): void {
    const line = this.#sample();
    if (line !== null) for (const watcher of [...this.#watchers]) watcher(line);
  }

  /** Null = the proxy is between two states, and there is nothing to read. */
  #sample(): string | null {
    try {
      const frame = this.#sampler?.next();
      return frame === undefined ? null : `${JSON.stringify(frame)}\n`;
    } catch {
      return null;
    }
  }
}

/** One reading of everything that is compared with the next. */
interface Reading {
  readonly snapshot: Snapshot;
  readonly exchanges: readonly number[];
  readonly routes: RoutesReading;
}

/** Reads, and remembers what the next reading is compared with. */
class Sampler {
  readonly #reading: LiveReading;
  readonly #points: Point[] = [];
  /** By number of the target: requests at once, sample by sample. */
  readonly #needs = new Map<string, number[]>();
  #before: Reading;
  #samples = 0;
  #logged: number;
  #eventsTold = "";
  #certificates: CertificatesReport;
  #frame: Frame;

  constructor(reading: LiveReading) {
    this.#reading = reading;
    this.#before = this.#read();
    this.#certificates = reading.certificates();
    this.#logged = reading.tail.count;
    this.#frame = this.#frameOf(modelOf(this.#before.snapshot, this.#before.snapshot), null, []);
  }

  /** What somebody who comes now must know. */
  hello(): Hello {
    const { tail } = this.#reading;
    const log = tail.since(0).filter((line) => line.number <= this.#logged);
    const news = { events: this.#events(), certificates: this.#certificates, cacheTop: this.#cacheTop() };
    const frame = { ...this.#frame, log, ...news };
    return { kind: "hello", subBits: EXCHANGES.subBits, points: this.#points, frame };
  }

  next(): Frame {
    const before = this.#before;
    const now = this.#read();
    const model = modelOf(before.snapshot, now.snapshot);
    this.#before = now;
    this.#samples += 1;
    const changed = now.exchanges.map((count, bucket) => Math.max(0, count - (before.exchanges[bucket] ?? 0)));
    const seconds = (now.snapshot.atMs - before.snapshot.atMs) / 1000;
    this.#frame = this.#frameOf(model, changed, routesOf(before.routes, now.routes, Math.max(0.001, seconds)));
    this.#points.push(this.#frame.point);
    if (this.#points.length > POINTS_MAX) this.#points.shift();
    return this.#withNews(this.#frame);
  }

  #read(): Reading {
    const { status, stats, origins, exchanges, routes } = this.#reading;
    const snapshot = { atMs: performance.now(), status: status(), stats: stats(), origins: origins() };
    return { snapshot, exchanges: exchanges(), routes: routes() };
  }

  /** @param exchanges Of this second; null = it is the first sample. */
  #frameOf(model: Model, exchanges: readonly number[] | null, routes: readonly LiveRoute[]): Frame {
    const steps = new Map(
      this.#before.snapshot.origins.origins.flatMap(({ targets }) =>
        targets.map((one) => [`${one.origin} ${placeOf(one)}`, one.health.history]),
      ),
    );
    const weight = ({ state }: TargetLine) => (state === "up" ? 1 : 0);
    const told = [...model.origin.targets].sort((a, b) => weight(a) - weight(b)).slice(0, TARGETS_MAX);
    const targets = told.map((target): LiveTarget => {
      const key = `${target.origin} ${target.address}`;
      const history = (steps.get(key) ?? []).slice(-STEPS_MAX);
      return { ...target, needed: this.#need(key, target), history };
    });
    // The targets stand beside the model, with more of each.
    const slim = { ...model, origin: { ...model.origin, targets: [] } };
    const untold = model.origin.targets.length - targets.length;
    return { point: pointOf(model, exchanges, this.#reading.nowMs()), model: slim, routes, targets, untold, log: [] };
  }

  /** Requests under way are counted only where a balancer asks for it; a connection in use has one at least. */
  #need(key: string, { open, idle, inflight, waiting }: TargetLine): number {
    const now = Math.max(inflight, open - idle) + waiting;
    const needs = [...(this.#needs.get(key) ?? []), now].slice(-NEED_SAMPLES);
    this.#needs.set(key, needs);
    return Math.max(...needs);
  }

  #withNews(frame: Frame): Frame {
    const { tail } = this.#reading;
    const log = tail.since(this.#logged);
    this.#logged = tail.count;
    const events = this.#events();
    const told = JSON.stringify(events);
    const isNew = told !== this.#eventsTold;
    this.#eventsTold = told;
    const isDue = this.#samples % CERTIFICATES_EVERY === 0;
    if (isDue) this.#certificates = this.#reading.certificates();
    return {
      ...frame,
      log,
      ...(isNew ? { events } : {}),
      ...(isDue ? { certificates: this.#certificates } : {}),
      ...(this.#samples % TOP_EVERY === 0 ? { cacheTop: this.#cacheTop() } : {}),
    };
  }

  #cacheTop(): readonly CacheTop[] {
    return this.#frame.model.cache === null ? [] : this.#reading.cacheTop(TOP_MAX);
  }

  #events(): readonly LiveEvent[] {
    const { origins } = this.#before.snapshot.origins;
    const { plans, replacements } = this.#reading;
    const health = origins.flatMap(({ targets }) =>
      targets.flatMap(({ origin, label, health: { history } }) =>
        history.map(
          ({ at, from, to, reason }): LiveEvent => ({
            at,
            kind: "health",
            isTrouble: to === "down",
            says: `${origin} ${label}: ${from} → ${to} (${reason})`,
          }),
        ),
      ),
    );
    const made = plans().map(
      ({ at, generation, what }): LiveEvent => ({
        at,
        kind: "plan",
        isTrouble: false,
        says: `plan ${generation}: ${what}`,
      }),
    );
    const died = replacements().map(({ at, worker, reason }): LiveEvent => {
      const who = worker === "acceptor" ? "the acceptor" : `worker ${worker}`;
      return { at, kind: "restart", isTrouble: true, says: `${who} died and was replaced (${reason})` };
    });
    const all = [...health, ...made, ...died].sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
    return all.slice(0, EVENTS_MAX);
  }
}

/** Every route that has a place of its own, and the others as one where they had a request. */
function routesOf(before: RoutesReading, now: RoutesReading, seconds: number): readonly LiveRoute[] {
  const last = now.counts.length - 1;
  const places = [
    ...now.names.map((route, place) => ({ route, place })),
    ...((now.counts[last]?.requests ?? 0) > 0 ? [{ route: "other", place: last }] : []),
  ];
  return places.map(({ route, place }) => {
    const [then, of] = [before.counts[place], now.counts[place]];
    const rise = (word: keyof RouteCounts) => Math.max(0, (of?.[word] ?? 0) - (then?.[word] ?? 0));
    const ended =
      rise("answers_1xx") + rise("answers_2xx") + rise("answers_3xx") + rise("answers_4xx") + rise("answers_5xx");
    return {
      route,
      requests: rise("requests") / seconds,
      failed5xx: rise("answers_5xx") / seconds,
      meanMs: ended === 0 ? null : rise("exchange_micros") / ended / 1000,
    };
  });
}

function pointOf({ client }: Model, exchanges: readonly number[] | null, nowMs: number): Point {
  const answered = (name: string) => client.answers.find((one) => one.name === name)?.perSecond ?? 0;
  const at = (share: number) =>
    exchanges === null || exchanges.every((count) => count === 0)
      ? null
      : quantile(exchanges, EXCHANGES.subBits, share) / 1000;
  return {
    atMs: nowMs,
    requests: client.requests,
    failed4xx: answered("4xx"),
    failed5xx: answered("5xx"),
    p50: at(0.5),
    p99: at(0.99),
    buckets: (exchanges ?? []).flatMap((count, bucket) => (count === 0 ? [] : [[bucket, count] as const])),
  };
}
