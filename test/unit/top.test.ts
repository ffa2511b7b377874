/**
 * Promises of what `millrace top` shows: rates between two readings, lines that fit the terminal, no colours where none are
 * wanted, and nothing that a name could do to the terminal.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sizeOf, wantsColour } from "../../src/cli/top/screen.js";
import { grid, paint, piece } from "../../src/cli/top/text.js";
import { linesOf, screenOf, VIEWS } from "../../src/cli/top/views.js";
import { modelOf, type Snapshot } from "../../src/control/model.js";
import type { Stats } from "../../src/control/stats.js";
import { milliseconds, percent, short, since } from "../../src/shared/figures.js";
import { STATS_LAYOUT } from "../../src/shared/stats-layout.js";
import { adminSource } from "../support/admin.js";
import { targetOf } from "../support/metrics.js";

const NO_TIMES = { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };

function row(counters: Readonly<Record<string, number>>) {
  return {
    counters: Object.fromEntries(STATS_LAYOUT.counters.map(({ name }) => [name, counters[name] ?? 0])),
    histograms: Object.fromEntries(STATS_LAYOUT.histograms.map(({ name }) => [name, NO_TIMES])),
  };
}

function snapshot(
  atMs: number,
  counters: Readonly<Record<string, number>>,
  targets: readonly Parameters<typeof targetOf>[0][] = [{}],
): Snapshot {
  const stats = {
    uptimeMs: 60_000,
    all: row(counters),
    workers: [row(counters), row({})],
    acceptor: row({}),
    workersReplaced: 0,
    accessLogLostLines: 0,
    certificates: [],
  } as unknown as Stats;
  const origins = [
    { name: "app", unresolved: null, policy: {} as never, targets: targets.map((one) => targetOf(one)) },
  ];
  return { atMs, status: adminSource().status(), stats, origins: { origins, names: [] } };
}

const BEFORE = snapshot(1000, { requests: 100, answers_2xx: 100, origin_requests: 100, origin_requests_reused: 100 }, [
  { succeeded: 10 },
  { number: 1, label: "bad.test:80", failedTcp: 5 },
]);
const NOW = snapshot(
  3000,
  {
    requests: 300,
    answers_2xx: 290,
    answers_5xx: 10,
    origin_requests: 300,
    origin_requests_reused: 200,
    origin_new_stale: 100,
    client_connections_open: 12,
    turn_micros: 1_000_000,
  },
  [
    { succeeded: 50, latencyMicros: 1500 },
    { number: 1, label: "bad.test:80", failedTcp: 9, failedBroken: 2, health: { ...targetOf().health, state: "down" } },
  ],
);

describe("the model of top", () => {
  const model = modelOf(BEFORE, NOW);

  it("has rates per second and shares of what happened between two readings", () => {
    assert.equal(model.client.requests, 100);
    assert.equal(model.client.errorShare, 0.05);
    assert.equal(model.origin.reuseShare, 0.5);
    assert.deepEqual(model.origin.notReused, [{ name: "stale", perSecond: 50 }]);
    assert.equal(model.workers[0]?.busyShare, 0.5);
    assert.equal(model.workers[1]?.requests, 0);
    assert.deepEqual(
      model.origin.targets.map(({ target, succeeded, failed, latencyMs }) => [target, succeeded, failed, latencyMs]),
      [
        ["app.test:80", 20, 0, 1.5],
        ["bad.test:80", 0, 3, null],
      ],
    );
  });

  it("knows no shares of nothing, and nothing below zero when a proxy was started again", () => {
    const idle = modelOf(NOW, { ...NOW, atMs: 4000 });
    assert.deepEqual([idle.client.errorShare, idle.origin.reuseShare, idle.client.requests], [null, null, 0]);
    const anew = modelOf(NOW, { ...BEFORE, atMs: 5000 });
    assert.equal(anew.client.requests, 0);
    assert.ok(anew.origin.targets.every(({ succeeded, failed }) => succeeded >= 0 && failed >= 0));
    assert.equal(modelOf(NOW, NOW).client.requests, 0, "no time has passed");
  });

  it("is what --json prints: finite figures all through", () => {
    JSON.stringify(model, (_, value: unknown) => {
      if (typeof value === "number") assert.ok(Number.isFinite(value));
      return value;
    });
  });
});

describe("the screen of top", () => {
  const model = modelOf(BEFORE, NOW);

  it("fits every terminal, down to the smallest", () => {
    for (const view of VIEWS) {
      for (const columns of [1, 20, 40, 80, 200]) {
        for (const rows of [1, 2, 4, 8, 24, 60]) {
          const lines = screenOf(model, view, { columns, rows }, null);
          assert.ok(lines.length <= rows, `${view} ${columns}×${rows}`);
          for (const line of lines) assert.ok([...paint(line, columns, false)].length <= columns);
        }
      }
    }
  });

  it("says what is hidden, and what the trouble is", () => {
    const many = Array.from({ length: 50 }, (_, number) => ({ number, label: `t${number}.test:80` }));
    const full = modelOf(snapshot(0, {}, many), snapshot(1000, {}, many));
    const text = (trouble: string | null) =>
      screenOf(full, "origin", { columns: 200, rows: 20 }, trouble)
        .map((line) => paint(line, 200, false))
        .join("\n");
    assert.match(text(null), /… \d+ more lines/);
    assert.match(text("the admin API did not answer"), /the admin API did not answer/);
  });

  it("shows targets in trouble first, in red where colours are wanted and in words where not", () => {
    const lines = linesOf(model, "origin");
    const place = lines.findIndex((line) => line.some(({ text }) => text.startsWith("bad.test:80")));
    assert.ok(place >= 0 && place < lines.findIndex((line) => line.some(({ text }) => text.startsWith("app.test:80"))));
    const painted = paint(lines[place] ?? [], 200, true);
    assert.ok(painted.includes("\u001b[31m"));
    const plain = paint(lines[place] ?? [], 200, false);
    assert.ok(!plain.includes("\u001b") && plain.includes("down"));
  });

  it("lets no name move the cursor or colour anything", () => {
    const evil = [{ label: "\u001b[2Jevil\r\n\u0007\u202e:80" }];
    const shown = linesOf(modelOf(snapshot(0, {}, evil), snapshot(1000, {}, evil)), "origin")
      .map((line) => paint(line, 200, false))
      .join("");
    assert.ok(/^[^\p{Cc}\p{Cf}]*$/u.test(shown));
    assert.match(shown, /\?\[2Jevil/);
  });
});

describe("the text of top", () => {
  it("is short and says its unit", () => {
    const figures = [0, 0.25, 7, 999, 1000, 12_345, 99_960, 999_499, 1_500_000, 2e12].map(short);
    assert.deepEqual(figures, ["0", "0.3", "7", "999", "1.0k", "12.3k", "100k", "999k", "1.5M", "2.0T"]);
    assert.deepEqual([percent(null), percent(0), percent(0.9994)], ["-", "0.0 %", "99.9 %"]);
    assert.deepEqual([0.0123, 1.5, 123.4, 12_345].map(milliseconds), ["0.012 ms", "1.5 ms", "123 ms", "12.3 s"]);
    assert.deepEqual([8_000, 61_000, 3_660_000, 100_000_000].map(since), ["8 s", "1 min", "1 h 1 min", "1 d 3 h"]);
  });

  it("is cut at the width, colours not counted, and every colour is ended", () => {
    assert.equal(paint([piece("abc", "red"), piece("def")], 4, true), "\u001b[31mabc\u001b[0md");
    assert.equal(paint([piece("abc", "red"), piece("def")], 2, false), "ab");
    assert.equal(paint([piece("abc", "red")], 0, true), "");
  });

  it("sets numbers to the right, and words and addresses to the left", () => {
    const lines = grid([
      ["NAME", "ADDRESS", "N", "TIME"],
      ["a", "10.0.0.1:80", "5", "-"],
      ["long", "[::1]:80", "1.2k", "0.5 ms"],
    ]).map((line) => paint(line, 80, false));
    assert.deepEqual(lines, [
      "NAME  ADDRESS         N    TIME",
      "a     10.0.0.1:80     5       -",
      "long  [::1]:80     1.2k  0.5 ms",
    ]);
  });
});

describe("the terminal of top", () => {
  it("has colours by NO_COLOR, FORCE_COLOR, and what it is", () => {
    assert.equal(wantsColour({}, true), true);
    assert.equal(wantsColour({}, false), false);
    assert.equal(wantsColour({ NO_COLOR: "1" }, true), false);
    assert.equal(wantsColour({ NO_COLOR: "" }, true), true);
    assert.equal(wantsColour({ TERM: "dumb" }, true), false);
    assert.equal(wantsColour({ FORCE_COLOR: "1", NO_COLOR: "1" }, false), true);
    assert.equal(wantsColour({ FORCE_COLOR: "0" }, true), false);
  });

  it("is 80 by 24 where it does not say", () => {
    assert.deepEqual(sizeOf({}), { columns: 80, rows: 24 });
    assert.deepEqual(sizeOf({ columns: 0, rows: 0 }), { columns: 80, rows: 24 });
    assert.deepEqual(sizeOf({ columns: 40, rows: 10 }), { columns: 40, rows: 10 });
  });
});
