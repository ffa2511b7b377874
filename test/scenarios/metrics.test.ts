/**
 * GET /metrics of a running proxy: what it says is what the books say, it can be read in both formats, asking for it
 * moves no figure, and the ratio that the alert rule for reuse watches falls when connections are no longer reused.
 */
import { strict as assert } from "node:assert";
import { rowOf } from "../../src/admin/metrics/table.js";
import { STATS_LAYOUT } from "../../src/shared/stats-layout.js";
import { reply, serve } from "../support/behaviours.js";
import { type ReadFamily, readExposition } from "../support/metrics.js";
import { type Scene, scenario } from "../support/scene.js";

const ADMIN = { address: "127.0.0.1:0" } as const;

/** Reads the page; each scrape on a connection of its own, so that no descriptor outlives the scene. */
async function scrape(
  scene: Scene,
  format: "prometheus" | "openmetrics" = "prometheus",
): Promise<readonly ReadFamily[]> {
  const accept = format === "openmetrics" ? "application/openmetrics-text" : "text/plain";
  const answer = await fetch(`http://127.0.0.1:${scene.proxy.started.admin?.port}/metrics`, {
    headers: { Accept: accept, Connection: "close" },
  });
  assert.equal(answer.status, 200);
  assert.match(
    answer.headers.get("content-type") ?? "",
    format === "openmetrics" ? /^application\/openmetrics-text; version=1/ : /^text\/plain; version=0\.0\.4/,
  );
  assert.equal(answer.headers.get("vary"), "Accept");
  return readExposition(await answer.text(), format);
}

/** Sum over all samples of a name that have these labels. */
function sum(families: readonly ReadFamily[], name: string, labels: Readonly<Record<string, string>> = {}): number {
  return families
    .flatMap((family) => family.samples)
    .filter((one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value))
    .reduce((all, one) => all + one.value, 0);
}

async function ask(scene: Scene, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const answer = await fetch(`http://127.0.0.1:${scene.port}/`, { headers: { Connection: "close" } });
    await answer.arrayBuffer();
  }
}

for (const workers of [1, 2]) {
  scenario(
    `metrics say of every counter what the books say, with ${workers} workers`,
    { workers, settings: { admin: ADMIN } },
    async (scene) => {
      await ask(scene, 6);
      await scene.sees("client_connections_open", 0);
      const [stats, families] = [await scene.proxy.stats(), await scrape(scene)];
      for (const { name, kind } of STATS_LAYOUT.counters) {
        const found = rowOf(name);
        assert.ok(found !== null);
        const { row, rest } = found;
        const series = `millrace_${row.series}${kind === "counter" ? "_total" : ""}`;
        const told = sum(families, series, row.label === undefined ? {} : { [row.label]: rest });
        // The loop goes on turning between the two readings.
        if (["turns", "turn_micros", "events"].includes(name)) continue;
        assert.ok(Math.abs(told - stats.all.counters[name] * (row.scale ?? 1)) < 1e-9, `${name}: ${told}`);
      }
      assert.equal(sum(families, "millrace_exchange_duration_seconds_count"), 6);
      assert.equal(sum(families, "millrace_target_requests_succeeded_total", { origin: "app" }), 6);
      assert.equal(sum(families, "millrace_workers"), workers);
      assert.equal(sum(families, "millrace_ready"), 1);
    },
  );
}

scenario(
  "routes are counted by name: what they forward, answer and redirect; and a route that no request takes is told too",
  {
    workers: 2,
    settings: {
      admin: ADMIN,
      routes: [
        { name: "well", match: { path: "/healthz" }, answer: { body: "ok" } },
        { name: "old", match: { path: "/old" }, redirect: { to: "/new" } },
        { name: "idle", match: { path: "/never" }, answer: { status: 204 } },
        { name: "web", match: { path: "/web" }, forwardTo: "app" },
      ],
    },
  },
  async (scene) => {
    for (const path of ["/healthz", "/healthz", "/old", "/web", "/web", "/web", "/nowhere"]) {
      const asking = { headers: { Connection: "close" }, redirect: "manual" } as const;
      await (await fetch(`http://127.0.0.1:${scene.port}${path}`, asking)).arrayBuffer();
    }
    await scene.sees("client_connections_open", 0);
    const families = await scrape(scene);
    const requests = (route: string) => sum(families, "millrace_route_requests_total", { route });
    assert.deepEqual(["well", "old", "idle", "web"].map(requests), [2, 1, 0, 3]);
    const answers = (route: string, kind: string) =>
      sum(families, "millrace_route_answers_total", { route, class: kind });
    assert.deepEqual([answers("well", "2xx"), answers("old", "3xx"), answers("web", "2xx")], [2, 1, 3]);
    assert.equal(sum(families, "millrace_route_answers_total"), 6, "what no route takes is in none");
    assert.ok(sum(families, "millrace_route_exchange_seconds_total", { route: "web" }) > 0);
    assert.equal(sum(families, "millrace_route_requests_total", { route: "other" }), 0);
  },
);

scenario("asking the admin port is in no figure of the books", { settings: { admin: ADMIN } }, async (scene) => {
  await ask(scene, 1);
  await scene.sees("client_connections_open", 0);
  const quiet = ({ all }: Awaited<ReturnType<typeof scene.proxy.stats>>) =>
    Object.entries(all.counters).filter(([name]) => !["turns", "turn_micros", "events"].includes(name));
  const before = quiet(await scene.proxy.stats());
  for (let n = 0; n < 5; n++) await scrape(scene, n % 2 === 0 ? "prometheus" : "openmetrics");
  assert.deepEqual(quiet(await scene.proxy.stats()), before);
});

let keeps = true;

/** Keeps its connections until it is told otherwise. */
const wavering = serve(async (_, connection) => {
  if (keeps) return connection.send(reply(200, "kept"));
  await connection.send(reply(200, "closed", "Connection: close"));
  await connection.close();
});

scenario(
  "S0-19 the ratio that the alert rule watches falls when an origin begins to close its connections",
  { origin: wavering, settings: { admin: ADMIN } },
  async (scene) => {
    const ratioSince = async (before: readonly ReadFamily[]): Promise<number> => {
      const now = await scrape(scene);
      const rise = (name: string) => sum(now, name) - sum(before, name);
      return rise("millrace_origin_requests_reused_total") / rise("millrace_origin_requests_total");
    };
    keeps = true;
    await ask(scene, 1);
    const first = await scrape(scene);
    await ask(scene, 20);
    const kept = await ratioSince(first);
    assert.equal(kept, 1);
    keeps = false;
    const second = await scrape(scene);
    await ask(scene, 20);
    const closed = await ratioSince(second);
    assert.ok(closed < 0.9 * kept && closed <= 0.05, `${closed}`);
    const third = await scrape(scene);
    const because = third.find((one) => one.name === "millrace_origin_requests_not_reused_total")?.samples ?? [];
    assert.equal(because.find(({ labels }) => labels["reason"] === "no_idle")?.value, 20);
  },
);
