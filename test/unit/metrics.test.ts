/**
 * Promises of GET /metrics: every counter has its series, both formats are as their descriptions say, labels are
 * escaped, and how many series there are is bounded.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { chooseFormat, escapeValue, writeFamilies } from "../../src/admin/metrics/exposition.js";
import { distributionOf, familiesOf } from "../../src/admin/metrics/families.js";
import { COUNTER_ROWS, HISTOGRAM_ROWS, rowOf } from "../../src/admin/metrics/table.js";
import { OTHER_SLOT } from "../../src/config/route-slots.js";
import type { RouteCounts } from "../../src/control/stats.js";
import { bucketOf } from "../../src/shared/histogram.js";
import { STATS_LAYOUT } from "../../src/shared/stats-layout.js";
import { METRICS, rawRow, readExposition, readingOf, targetOf } from "../support/metrics.js";
import { missing } from "../support/peers.js";

const AWKWARD = 'C:\\tls "new"\nfile.pem';

/** Of everything something. */
const FULL = readingOf({
  workers: [
    rawRow(
      { requests: 7, client_connections_open: -1, origin_fault_status: 2, turn_micros: 1_500_000, answers_5xx: 3 },
      { exchange_micros: { 40: 2, 100: 1 }, origin_connection_requests: { 1: 4 } },
    ),
    rawRow({ requests: 5, client_connections_open: 3, origin_fault_status: 1 }, { exchange_micros: { 271: 1 } }),
  ],
  acceptor: rawRow({ acceptor_accepted: 9, acceptor_refused_limit: 2 }),
  certificates: [{ file: AWKWARD, notAfter: "2027-01-01T00:00:00.000Z", daysLeft: 1 }],
  localAlarms: { local_resource: 1, tls_local_error: 0 },
  store: {
    state: "memoryOnly",
    targets: 3,
    variants: 4,
    bytes: 5000,
    waiting: 6,
    refused: 7,
    writes: 8,
    writesLost: 9,
    evictions: 10,
    purges: 11,
    broken: 12,
    lookUps: 13,
    hits: 14,
    batches: 15,
  },
  routes: {
    names: [AWKWARD],
    counts: [Object.fromEntries(STATS_LAYOUT.routes.words.map(({ name }) => [name, 1])) as RouteCounts],
  },
  origins: [
    { name: "app", unresolved: null, policy: { check: null } as never, targets: [targetOf({ succeeded: 4, idle: 2 })] },
    { name: "gone", unresolved: "dns_timeout", policy: { check: null } as never, targets: [] },
  ],
});

function read(
  format: "prometheus" | "openmetrics" = "prometheus",
  bounds = METRICS as { targetsMax: number; perWorker: boolean },
) {
  const families = readExposition(writeFamilies(familiesOf(FULL, bounds), format), format);
  const values = new Map(
    families.flatMap(({ samples }) =>
      samples.map(({ name, labels, value }) => [`${name}${JSON.stringify(labels)}`, value] as const),
    ),
  );
  return { families, value: (name: string, labels: object = {}) => values.get(`${name}${JSON.stringify(labels)}`) };
}

describe("the table of series", () => {
  it("has a row for every counter and every histogram of the layout", () => {
    const without = STATS_LAYOUT.counters.filter(({ name }) => rowOf(name) === null).map(({ name }) => name);
    assert.deepEqual(without, [], "add rows to src/admin/metrics/table.ts");
    const told = HISTOGRAM_ROWS.map((row) => row.histogram);
    assert.deepEqual(
      STATS_LAYOUT.histograms.map(({ name }) => name).filter((name) => !told.includes(name)),
      [],
    );
  });

  it("has no row without a counter, and no two counters become one series", () => {
    const rows = STATS_LAYOUT.counters.map(({ name }) => rowOf(name));
    assert.deepEqual(
      COUNTER_ROWS.filter((row) => !rows.some((one) => one?.row === row)).map((row) => row.counter),
      [],
    );
    const series = rows.map((one) => `${one?.row.series} ${one?.row.label ?? ""} ${one?.rest}`);
    assert.equal(new Set(series).size, series.length);
    const kinds = new Map<string, string>();
    for (const { name, kind } of STATS_LAYOUT.counters) {
      const found = rowOf(name)?.row.series ?? "";
      assert.equal(kinds.get(found) ?? kind, kind, `${found} is of one kind`);
      kinds.set(found, kind);
    }
  });

  it("says a sentence of its own wherever several counters share a series", () => {
    for (const row of COUNTER_ROWS) assert.equal(row.label !== undefined, row.counter.endsWith("*"), row.counter);
    for (const row of COUNTER_ROWS)
      if (row.label !== undefined) assert.match(row.help ?? "", /^[A-Z].*\.$/, row.counter);
  });
});

describe("the page of metrics", () => {
  it("is Prometheus text, and OpenMetrics where that is asked for, with the same series and values", () => {
    const [text, open] = [read("prometheus"), read("openmetrics")];
    const flat = (page: typeof text) =>
      page.families.flatMap((one) => one.samples.map((each) => JSON.stringify(each))).sort();
    assert.deepEqual(flat(text), flat(open));
    assert.ok(flat(text).length > 200);
  });

  it("tells each worker, sums what is not a worker's, and scales to seconds", () => {
    const { value } = read();
    assert.equal(value("millrace_requests_total", { worker: "0" }), 7);
    assert.equal(value("millrace_requests_total", { worker: "1" }), 5);
    assert.equal(value("millrace_client_connections_open", { worker: "0" }), -1, "a gauge of one worker may be");
    assert.equal(value("millrace_origin_faults_total", { fault: "status" }), 3);
    assert.equal(value("millrace_turn_busy_seconds_total", { worker: "0" }), 1.5);
    assert.equal(value("millrace_answers_total", { class: "5xx", worker: "0" }), 3);
    assert.equal(value("millrace_accepted_connections_total"), 9);
    assert.equal(value("millrace_refused_connections_total", { reason: "limit" }), 2);
    assert.equal(value("millrace_local_alarms_total", { class: "local_resource" }), 1);
    assert.equal(value("millrace_origin_unresolved", { origin: "gone" }), 1);
    const target = { origin: "app", target: "app.test:80", address: "10.0.0.1:80" };
    assert.equal(value("millrace_target_requests_succeeded_total", target), 4);
    assert.equal(value("millrace_target_latency_seconds", target), undefined, "what is not known is not told");
    assert.equal(value("millrace_build_info", { version: "1.2.3", core: "1.2.3", node: "20.0.0" }), 1);
  });

  it("tells sums alone where workers are not to be told", () => {
    const { value } = read("prometheus", { targetsMax: 500, perWorker: false });
    assert.equal(value("millrace_requests_total"), 12);
    assert.equal(value("millrace_requests_total", { worker: "0" }), undefined);
  });

  it("escapes what operators call their files, targets and origins", () => {
    assert.equal(escapeValue(AWKWARD), 'C:\\\\tls \\"new\\"\\nfile.pem');
    const expiry = Date.parse("2027-01-01T00:00:00.000Z") / 1000;
    for (const format of ["prometheus", "openmetrics"] as const) {
      const found = read(format).value("millrace_certificate_expiry_timestamp_seconds", { file: AWKWARD });
      assert.equal(found, expiry, format);
    }
  });

  it("counts values exactly at every bound of a histogram", () => {
    const values = [1, 31, 32, 63, 64, 95, 96, 1_000, 1_023, 1_024, 5_000_000, 2 ** 40];
    const counts = Array.from({ length: 400 }, () => 0);
    for (const value of values) counts[bucketOf(value, 3)] = (counts[bucketOf(value, 3)] ?? 0) + 1;
    const { upTo, sum } = distributionOf(counts, 3, { from: 32, to: 2 ** 26, scale: 1e-6 });
    for (const { bound, count } of upTo) {
      const micros = bound === Number.POSITIVE_INFINITY ? bound : Math.round(bound * 1e6);
      assert.equal(count, values.filter((value) => value <= micros).length, `up to ${micros}`);
    }
    const real = values.reduce((all, value) => all + value, 0) / 1e6;
    assert.ok(Math.abs(sum - real) / real < 0.07, `${sum} against ${real}`);
    assert.ok(upTo.length < 50);
  });
});

describe("targets in the metrics", () => {
  const targets = Array.from({ length: 30 }, (_, n) =>
    targetOf({ number: n, address: `10.0.0.${n}`, succeeded: 1, idle: 2, latencyMicros: 1500 }),
  );
  const origins = [{ name: "app", unresolved: null, policy: { check: null } as never, targets }];
  const pageOf = (targetsMax: number) =>
    readExposition(
      writeFamilies(familiesOf(readingOf({ origins }), { targetsMax, perWorker: true }), "openmetrics"),
      "openmetrics",
    );

  it("have series of their own up to the bound; the others are added up, and nothing is lost", () => {
    for (const targetsMax of [0, 10, 30]) {
      const succeeded = pageOf(targetsMax).find((one) => one.name === "millrace_target_requests_succeeded")?.samples;
      assert.equal(succeeded?.length, Math.min(30, targetsMax + 1), `${targetsMax}`);
      assert.equal(
        succeeded?.reduce((sum, one) => sum + one.value, 0),
        30,
      );
    }
    const states = pageOf(10).find((one) => one.name === "millrace_target_state")?.samples ?? [];
    const other = states.find(({ labels }) => labels["target"] === "other" && labels["state"] === "up");
    assert.equal(other?.value, 20);
    const latency = pageOf(10).find((one) => one.name === "millrace_target_latency_seconds")?.samples ?? [];
    assert.equal(latency.length, 10, "a mean cannot be added up");
  });
});

describe("routes in the metrics", () => {
  const none = Object.fromEntries(STATS_LAYOUT.routes.words.map(({ name }) => [name, 0])) as RouteCounts;
  const counts = Array.from({ length: STATS_LAYOUT.routes.slots }, () => none);

  it("have series of their own by name; the last place is told as other, once it has counted something", () => {
    const told = (last: RouteCounts) => {
      const one = { ...none, requests: 3, answers_2xx: 2, answers_5xx: 1, exchange_micros: 1_500_000 };
      const routes = { names: ["api", "rest"], counts: [one, ...counts.slice(1, OTHER_SLOT), last] };
      const page = writeFamilies(familiesOf(readingOf({ routes }), METRICS), "prometheus");
      return readExposition(page, "prometheus").flatMap(({ samples }) =>
        samples.filter(({ name, value }) => name.startsWith("millrace_route_") && value > 0),
      );
    };
    assert.deepEqual(
      told(none).map(({ name, labels, value }) => [name, labels["route"], labels["class"], value]),
      [
        ["millrace_route_requests_total", "api", undefined, 3],
        ["millrace_route_answers_total", "api", "2xx", 2],
        ["millrace_route_answers_total", "api", "5xx", 1],
        ["millrace_route_exchange_seconds_total", "api", undefined, 1.5],
      ],
    );
    const other = told({ ...none, requests: 7 }).filter(({ labels }) => labels["route"] === "other");
    assert.deepEqual(
      other.map(({ value }) => value),
      [7],
    );
  });
});

describe("the reader of these tests", () => {
  const head = "# HELP a_total A.\n# TYPE a_total counter\n";
  const histogram = "# HELP h H.\n# TYPE h histogram\n";

  it("reads what is right", () => {
    const [family] = readExposition(`${head}a_total{x="\\"\\n\\\\"} 1.5e3\n`, "prometheus");
    assert.deepEqual(family?.samples, [{ name: "a_total", labels: { x: '"\n\\' }, value: 1500 }]);
  });

  for (const [title, page, format] of [
    ["a last line without an end", `${head}a_total 1`, "prometheus"],
    ["a value below zero of a counter", `${head}a_total -1\n`, "prometheus"],
    ["a series that stands twice", `${head}a_total 1\na_total 2\n`, "prometheus"],
    ["a sample of nobody", `${head}b_total 1\n`, "prometheus"],
    [
      "a family in two places",
      `${head}a_total 1\n# HELP b B.\n# TYPE b gauge\nb 1\n${head}a_total{x="1"} 1\n`,
      "prometheus",
    ],
    ["a type after a sample", "# HELP a A.\na 1\n# TYPE a gauge\n", "prometheus"],
    ["an escape that there is not", `${head}a_total{x="\\t"} 1\n`, "prometheus"],
    ["a label that stands twice", `${head}a_total{x="1",x="2"} 1\n`, "prometheus"],
    ["a value that is no number", `${head}a_total 0x10\n`, "prometheus"],
    ["a page without its end", "# HELP a A.\n# TYPE a counter\na_total 1\n", "openmetrics"],
    ["a counter called by its samples", `${head}a_total 1\n# EOF\n`, "openmetrics"],
    ["a unit that is not in the name", "# HELP a A.\n# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n", "openmetrics"],
    [
      "buckets that fall",
      `${histogram}h_bucket{le="1.0"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`,
      "prometheus",
    ],
    [
      "bounds that fall",
      `${histogram}h_bucket{le="2.0"} 1\nh_bucket{le="1.0"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`,
      "prometheus",
    ],
    ["a histogram without infinity", `${histogram}h_bucket{le="1.0"} 1\nh_sum 1\nh_count 1\n`, "prometheus"],
    ["a histogram that miscounts", `${histogram}h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n`, "prometheus"],
  ] as const) {
    it(`complains of ${title}`, () => assert.throws(() => readExposition(page, format)));
  }
});

describe("the format", () => {
  for (const [accept, format] of [
    [undefined, "prometheus"],
    ["*/*", "prometheus"],
    ["text/plain", "prometheus"],
    ["application/json", "prometheus"],
    ["application/openmetrics-text", "openmetrics"],
    ["application/openmetrics-text; version=1.0.0; charset=utf-8", "openmetrics"],
    ["application/openmetrics-text; version=2.0.0", "prometheus"],
    [
      "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
      "openmetrics",
    ],
    ["application/openmetrics-text;q=0.3, text/plain;q=0.5", "prometheus"],
    ["application/openmetrics-text;q=0", "prometheus"],
    ["application/openmetrics-text;q=nonsense", "prometheus"],
  ] as const) {
    it(`of "${accept}" is ${format}`, () => assert.equal(chooseFormat(accept), format));
  }

  it("passes promtool's own check", { skip: missing("promtool") }, () => {
    const input = writeFamilies(familiesOf(FULL, METRICS), "prometheus");
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input, encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
    assert.equal((stdout + stderr).trim(), "", "not even a hint");
  });
});
