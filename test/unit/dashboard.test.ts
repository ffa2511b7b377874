/**
 * Promises of the dashboard that need no browser: one sampler however many watch, nothing read while nobody does, what a
 * page makes of the stream, and what its files are served with.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { columnOf, heightOf, ROWS, rowOf } from "../../src/admin/dashboard/heat.js";
import { announce, readLine, SECONDS, stretchesOf, take, type View } from "../../src/admin/dashboard/store.js";
import { PAGE_PATHS } from "../../src/admin/page.js";
import { type Admin, startAdmin } from "../../src/admin/server.js";
import { EVENTS_MAX, Live, type LiveReading, TARGETS_MAX } from "../../src/control/live.js";
import type { Frame, Hello } from "../../src/control/live-frames.js";
import type { RouteCounts, Stats } from "../../src/control/stats.js";
import { MillraceError } from "../../src/shared/errors.js";
import { bucketOf } from "../../src/shared/histogram.js";
import { LogTail, TAIL_LINE_CHARACTERS_MAX, TAIL_LINES_MAX } from "../../src/shared/log-tail.js";
import { STATS_LAYOUT } from "../../src/shared/stats-layout.js";
import { ANYWHERE, adminSource, askAt } from "../support/admin.js";
import { targetOf } from "../support/metrics.js";

const SUB_BITS = STATS_LAYOUT.histograms[0].subBits;
const NO_TIMES = { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };

function row(requests: number) {
  const counters = Object.fromEntries(STATS_LAYOUT.counters.map(({ name }) => [name, 0]));
  return {
    counters: { ...counters, requests },
    histograms: Object.fromEntries(STATS_LAYOUT.histograms.map(({ name }) => [name, NO_TIMES])),
  };
}

function routeCounts(parts: Partial<RouteCounts>): RouteCounts {
  const none = Object.fromEntries(STATS_LAYOUT.routes.words.map(({ name }) => [name, 0])) as RouteCounts;
  return { ...none, ...parts };
}

/** A proxy whose every reading is counted, and has seen 100 more requests of 1 ms. */
class Read {
  readonly tail = new LogTail();
  count = 0;
  targets: readonly Parameters<typeof targetOf>[0][] = [{}];
  isStopped = false;

  readonly reading: LiveReading = {
    status: () => adminSource().status(),
    stats: () => {
      if (this.isStopped) throw new MillraceError("MILLRACE_STATE", "stopped");
      this.count += 1;
      const one = row(100 * this.count);
      return { uptimeMs: 1, all: one, workers: [one], acceptor: row(0), certificates: [] } as unknown as Stats;
    },
    origins: () => {
      const targets = this.targets.map((one) => targetOf(one));
      return { origins: [{ name: "app", unresolved: null, policy: {} as never, targets }], names: [] };
    },
    certificates: () => ({ listeners: [], origins: [] }),
    exchanges: () => {
      const counts = Array.from({ length: 272 }, () => 0);
      counts[bucketOf(1000, SUB_BITS)] = 100 * this.count;
      return counts;
    },
    routes: () => ({
      names: ["web"],
      counts: [
        routeCounts({ requests: 50 * this.count, answers_2xx: 50 * this.count, exchange_micros: 100_000 * this.count }),
      ],
    }),
    cacheTop: () => [],
    plans: () => [{ at: "2026-01-01T00:00:00.000Z", generation: 1, what: "the start" }],
    replacements: () => [{ at: "2026-01-02T00:00:00.000Z", worker: 3, reason: "it panicked" }],
    tail: this.tail,
    nowMs: () => 1_000_000 + 1000 * this.count,
  };
}

describe("the stream", () => {
  it("is read once a second however many watch, and not at all when nobody does", (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const read = new Read();
    const live = new Live(read.reading);
    assert.equal(read.count, 0);
    const heard: string[][] = [[], [], []];
    const stops = heard.map((lines) => live.watch((line) => lines.push(line)));
    assert.equal(read.count, 1, "the first reading serves all who come in the same second");
    t.mock.timers.tick(3000);
    assert.equal(read.count, 4);
    assert.deepEqual(
      heard.map((lines) => lines.length),
      [4, 4, 4],
    );
    assert.equal(heard[0]?.[3], heard[2]?.[3], "the same line for all");
    stops[0]?.();
    t.mock.timers.tick(1000);
    assert.deepEqual([heard[0]?.length, heard[1]?.length, read.count], [4, 5, 5]);
    for (const stop of stops) stop();
    t.mock.timers.tick(10_000);
    assert.equal(read.count, 5);
  });

  it("greets whoever comes later with what came before", (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const read = new Read();
    read.tail.take('{"level":30,"msg":"before"}\n');
    const live = new Live(read.reading);
    live.watch(() => {});
    t.mock.timers.tick(2000);
    let first = "";
    live.watch((line) => {
      first = line;
    });
    const hello = JSON.parse(first) as Hello;
    assert.deepEqual([hello.kind, hello.subBits, hello.points.length], ["hello", SUB_BITS, 2]);
    assert.deepEqual(
      hello.frame.log.map(({ text }) => text),
      ['{"level":30,"msg":"before"}'],
    );
    assert.deepEqual(
      hello.frame.events?.map(({ kind, says }) => [kind, says]),
      [
        ["restart", "worker 3 died and was replaced (it panicked)"],
        ["plan", "plan 1: the start"],
      ],
    );
  });

  it("tells of a second what happened in it, log lines once, and events when there are others", (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const read = new Read();
    const live = new Live(read.reading);
    const lines: string[] = [];
    live.watch((line) => lines.push(line));
    read.tail.take("one\n");
    t.mock.timers.tick(1000);
    read.targets = [{ state: "down" as never }];
    t.mock.timers.tick(1000);
    const [second, third] = lines.slice(1).map((line) => JSON.parse(line) as Frame);
    assert.deepEqual(second?.point.buckets, [[bucketOf(1000, SUB_BITS), 100]]);
    assert.deepEqual([second?.routes[0]?.route, second?.routes[0]?.meanMs], ["web", 2]);
    assert.ok((second?.routes[0]?.requests ?? 0) > 0);
    assert.ok((second?.point.p99 ?? 0) >= 1 && (second?.point.p99 ?? 9) < 1.2);
    assert.deepEqual([second?.log.map(({ text }) => text), third?.log], [["one"], []]);
    assert.deepEqual([second?.events !== undefined, third?.events], [true, undefined]);
  });

  it("skips seconds in which there is nothing to read, and refuses who comes then", (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const read = new Read();
    const live = new Live(read.reading);
    let heard = 0;
    const stop = live.watch(() => {
      heard += 1;
    });
    read.isStopped = true;
    t.mock.timers.tick(3000);
    assert.equal(heard, 1);
    stop();
    assert.throws(() => live.watch(() => {}), { code: "MILLRACE_STATE" });
  });

  it("tells of so many targets and events at most, and first of targets in trouble", () => {
    const read = new Read();
    const history = Array.from({ length: 20 }, () => ({ at: "2026-01-01", from: "up", to: "down", reason: "x" }));
    read.targets = Array.from({ length: TARGETS_MAX + 5 }, (_, number) => {
      const state = number === TARGETS_MAX + 4 ? "down" : "up";
      const health = { ...targetOf({}).health, state, history } as never;
      return { number, address: `10.0.0.${number}`, health };
    });
    let first = "";
    new Live(read.reading).watch((line) => {
      first = line;
    })();
    const { frame } = JSON.parse(first) as Hello;
    assert.deepEqual([frame.targets.length, frame.untold, frame.targets[0]?.state], [TARGETS_MAX, 5, "down"]);
    assert.equal(frame.events?.length, EVENTS_MAX);
  });
});

describe("the tail of the log", () => {
  it("keeps so many lines, cuts long ones, and knows what a reader has missed", () => {
    const tail = new LogTail();
    for (let line = 1; line <= TAIL_LINES_MAX + 5; line++) tail.take(`line ${line}\n`);
    assert.deepEqual([tail.count, tail.since(0).length, tail.since(0)[0]?.text], [205, 200, "line 6"]);
    assert.deepEqual(
      tail.since(203).map(({ number }) => number),
      [204, 205],
    );
    tail.take("x".repeat(10_000));
    assert.equal(tail.since(205)[0]?.text.length, TAIL_LINE_CHARACTERS_MAX + 1);
  });
});

/** What a page knows after a greeting and these frames. */
function viewOf(
  t: { mock: { timers: { enable: (o: object) => void; tick: (ms: number) => void } } },
  seconds: number,
): View {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const read = new Read();
  let view: View | null = null;
  new Live(read.reading).watch((line) => {
    view = take(view, line);
  });
  for (let second = 0; second < seconds; second++) {
    read.tail.take(`line ${second}\n`);
    t.mock.timers.tick(1000);
  }
  if (view === null) throw new Error("no greeting");
  return view;
}

describe("the page", () => {
  it("keeps so many seconds and lines, and what was not told anew", (t) => {
    const view = viewOf(t as never, SECONDS + 30);
    assert.deepEqual([view.points.length, view.log.length, view.events.length], [SECONDS, 200, 2]);
    assert.equal(take(null, JSON.stringify({ point: {} })), null, "a sample before the greeting is of no use");
  });

  it("says aloud what became ready, not ready, or of another state, and nothing else", (t) => {
    const view = viewOf(t as never, 1);
    const down = { ...view, targets: view.targets.map((one) => ({ ...one, state: "down" })) };
    const broken = { ...view, model: { ...view.model, whyNotReady: "It drains." } };
    assert.equal(announce(view, view), null);
    assert.match(announce(view, down) ?? "", /^Target \S+ of app is down\.$/);
    assert.equal(announce(view, broken), "Not ready: It drains.");
    assert.equal(announce(broken, view), "Ready.");
    const two = (state: string) => ({
      ...view,
      targets: ["a", "b"].map((address) => ({ ...(view.targets[0] as (typeof view.targets)[0]), address, state })),
    });
    assert.equal(announce(two("up"), two("down")), "2 targets changed, 2 of them to down.");
  });

  it("draws a timeline from the start of the proxy on, without gaps", () => {
    const nowMs = Date.parse("2026-01-01T00:10:00Z");
    const history = [
      { at: "2026-01-01T00:05:00Z", from: "up", to: "down", reason: "x" },
      { at: "2026-01-01T00:07:30Z", from: "down", to: "suspect", reason: "x" },
    ];
    const drawn = (uptimeMs: number) =>
      stretchesOf({ state: "suspect", history }, nowMs, 600_000, uptimeMs).map(({ state, from, to }) => [
        state,
        from,
        to,
      ]);
    assert.deepEqual(drawn(3_600_000), [
      ["up", 0, 0.5],
      ["down", 0.5, 0.75],
      ["suspect", 0.75, 1],
    ]);
    assert.deepEqual(drawn(360_000)[0], ["up", 0.4, 0.5]);
    assert.deepEqual(stretchesOf({ state: "up", history: [] }, nowMs, 1000, 5000), [{ state: "up", from: 0, to: 1 }]);
  });

  it("shows lines of the log as they read, and as they are where they are none", () => {
    const { level, says } = readLine('{"level":40,"time":0,"msg":"a target is down","origin":"app","n":1}');
    assert.deepEqual([level, says], ["warn", 'a target is down  origin="app"  n=1']);
    assert.deepEqual(readLine('{"level":4…'), { at: "", level: "", says: '{"level":4…' });
  });

  it("has a row for every duration, and puts marks where the rows are", () => {
    assert.deepEqual([rowOf(0), rowOf(1e9)], [0, ROWS - 1]);
    for (const ms of [0.1, 1, 10, 100, 1000, 10_000]) assert.equal(rowOf(ms), Math.floor(heightOf(ms) * ROWS));
    const point = { buckets: [[bucketOf(1000, SUB_BITS), 3]] } as never;
    assert.equal(columnOf(point, SUB_BITS)[rowOf(1.05)], 3);
    assert.equal(
      columnOf(point, SUB_BITS).reduce((sum, one) => sum + one, 0),
      3,
    );
  });
});

describe("the files of the page", () => {
  let admin: Admin;
  before(async () => {
    admin = await startAdmin({ ...ANYWHERE, token: "s3cret-s3cret-s3cret" }, adminSource());
  });
  after(() => admin.close());

  it("are had without the token, tell nothing but that one is asked for, and may load nothing from elsewhere", async () => {
    for (const path of PAGE_PATHS) {
      const { status, headers, text } = await askAt(admin.port, path);
      assert.equal(status, 200, path);
      const policy = String(headers["content-security-policy"]);
      assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
      assert.doesNotMatch(policy, /unsafe|https?:|\*/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.equal(headers["x-content-type-options"], "nosniff");
      assert.equal(headers["referrer-policy"], "no-referrer");
      assert.doesNotMatch(text, /s3cret/);
    }
    assert.match((await askAt(admin.port, "/")).text, /data-token="asked"/);
  });

  it("hold no address of another host", async () => {
    for (const path of PAGE_PATHS) {
      const { text } = await askAt(admin.port, path);
      const hosts = [...text.matchAll(/https?:\/\/([\w.-]+)/g)].map((found) => found[1]);
      // Names of XML, which nobody fetches.
      assert.deepEqual(
        [...new Set(hosts)].filter((one) => one !== "www.w3.org"),
        [],
        path,
      );
    }
  });

  it("say that no token is asked for where there is none", async (t) => {
    const open = await startAdmin(ANYWHERE, adminSource());
    t.after(() => open.close());
    assert.match((await askAt(open.port, "/")).text, /data-token="none"/);
  });

  it("stream as many samples as were asked for, and refuse other questions", async () => {
    const headers = { Authorization: "Bearer s3cret-s3cret-s3cret" };
    assert.equal((await askAt(admin.port, "/live?samples=1", { headers })).text, '{"kind":"hello"}\n');
    assert.equal((await askAt(admin.port, "/live", { headers, method: "HEAD" })).status, 200);
    for (const query of ["samples=0", "samples=x", "samples=1.5", "seconds=1"]) {
      assert.equal((await askAt(admin.port, `/live?${query}`, { headers })).status, 400, query);
    }
    assert.equal((await askAt(admin.port, "/live?samples=1")).status, 401);
  });
});
