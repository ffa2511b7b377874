/**
 * Active health checks, from the engine's connection to the target's state: what is asked, what is well, how soon a
 * target is down and up again, and when nobody is checked any more.
 */
import { strict as assert } from "node:assert";
import type { Millrace } from "../../src/index.js";
import { reply, serve } from "../support/behaviours.js";
import { RawOrigin, type Script } from "../support/origin.js";
import { type Origins, type Scene, type SettingsOverlay, scenario } from "../support/scene.js";
import { pause, WireError } from "../support/wire.js";

const INTERVAL_MS = 100;
/** What a loaded machine may add to any promise in time. */
const SLACK_MS = 2_000;
const FAST = { intervalMs: INTERVAL_MS, jitterPercent: 0, timeoutMs: 100, rise: 2, fall: 3 };
/** Only checks judge; the targets' requests do not. */
const ALONE = { passive: { level: 0 } } as const;

/** Settings of one origin `app` whose targets are all origins of the scene. */
function checked(health: object): (origins: Origins) => SettingsOverlay {
  return (origins) => {
    const targets = Object.values(origins).map((origin) => origin.url);
    return { origins: { app: { targets, health: { ...FAST, ...ALONE, ...health } } }, routes: [{ forwardTo: "app" }] };
  };
}

function millraceOf(scene: Scene): Millrace {
  const { proxy } = scene;
  if (!("millrace" in proxy)) throw new WireError("the proxy runs apart");
  return proxy.millrace as Millrace;
}

function targetAt(scene: Scene, port: number) {
  const app = millraceOf(scene)
    .origins()
    .origins.find((one) => one.name === "app");
  const target = app?.targets.find((one) => one.port === port);
  if (target === undefined) throw new WireError(`no target on port ${port}`);
  return target;
}

/** Waits until a target is in this state; says how long that took, in ms. */
async function becomes(scene: Scene, port: number, state: string, ms = 8_000): Promise<number> {
  const since = performance.now();
  while (targetAt(scene, port).health.state !== state) {
    const spent = performance.now() - since;
    if (spent > ms) throw new WireError(`the target is ${targetAt(scene, port).health.state}, not ${state}`);
    await pause(5);
  }
  return performance.now() - since;
}

function lastReason(scene: Scene, port: number): string {
  return targetAt(scene, port).health.history.at(-1)?.reason ?? "";
}

/** Times between so many checks of the one target and the next, in ms. */
async function checkGaps(scene: Scene, count: number): Promise<readonly number[]> {
  const times: number[] = [];
  scene.origin.script = (connection) => {
    times.push(performance.now());
    return void connection.ended(60_000);
  };
  while (times.length <= count) await pause(2);
  return times.slice(1).map((at, index) => at - (times[index] ?? 0));
}

/** Answers checks with what `health` says at the moment, anything else with 200. */
function app(health: { status: number; body: string }): Script {
  return serve((request, connection) =>
    connection.send(request.target === "/health" ? reply(health.status, health.body) : reply(200, "app")),
  );
}

const well = () => app({ status: 200, body: "" });

scenario(
  "S2-11 a target that dies is down within fall × interval, no client sees it, and it is up again within rise × interval",
  {
    origins: { one: well(), two: well() },
    workers: 2,
    // Until it is down every other request needs a second attempt, and none may be refused one.
    settings: (origins) => ({
      ...checked({ http: { path: "/health" } })(origins),
      retryBudget: { percent: 100, perSecond: 100_000 },
    }),
  },
  async (scene) => {
    const port = scene.origins["one"]?.port ?? 0;
    const client = await scene.client();
    let over = false;
    const statuses = new Set<number>();
    const asking = (async () => {
      while (!over) statuses.add((await client.ask("GET /a")).status);
    })();
    await scene.origins["one"]?.stop();
    const fell = await becomes(scene, port, "down");
    assert.ok(fell <= FAST.fall * INTERVAL_MS + SLACK_MS, `down after ${fell} ms`);
    assert.match(lastReason(scene, port), /3 checks failed: connect_refused/);
    const returned = await RawOrigin.start(well(), { port });
    try {
      const rose = await becomes(scene, port, "up");
      assert.ok(rose <= FAST.rise * INTERVAL_MS + SLACK_MS, `up after ${rose} ms`);
      await returned.sees("requests", (origin) => origin.requests.some((one) => one.target === "/a"));
      over = true;
      await asking;
    } finally {
      over = true;
      await returned.stop();
    }
    assert.deepEqual([...statuses], [200]);
  },
);

const changing = { status: 200, body: "" };
scenario(
  "a check fails by a status that is not well, and says which",
  { origins: { one: app(changing), two: well() }, settings: checked({ http: { path: "/health", statuses: [200] } }) },
  async (scene) => {
    const port = scene.origins["one"]?.port ?? 0;
    changing.status = 503;
    await becomes(scene, port, "down");
    assert.match(lastReason(scene, port), /status_503/);
    changing.status = 204;
    const before = await scene.counter("checks_failed");
    while ((await scene.counter("checks_failed")) < before + 2) await pause(10);
    assert.equal(targetAt(scene, port).health.state, "down", "204 is not among the statuses");
    changing.status = 200;
    await becomes(scene, port, "up");
  },
);

const talking = { status: 200, body: `${"x".repeat(40_000)} all is well` };
scenario(
  "a check finds the text its body must hold, and fails without it",
  {
    origins: { one: app(talking), two: app({ status: 200, body: "all is well" }) },
    settings: checked({ http: { path: "/health", bodyContains: "is well" } }),
  },
  async (scene) => {
    const port = scene.origins["one"]?.port ?? 0;
    while ((await scene.counter("checks")) < 6) await pause(10);
    assert.equal(targetAt(scene, port).health.state, "up");
    talking.body = "all is ill";
    await becomes(scene, port, "down");
    assert.match(lastReason(scene, port), /body_mismatch/);
    assert.equal(targetAt(scene, scene.origins["two"]?.port ?? 0).health.state, "up");
  },
);

scenario(
  "an answer that is no HTTP, is cut short, or never comes makes a bad check, and says so",
  { origins: { one: well(), two: well() }, settings: checked({ http: { path: "/health", bodyContains: "a" } }) },
  async (scene) => {
    const one = scene.origins["one"];
    if (one === undefined) throw new WireError("no origin");
    const plays: readonly (readonly [RegExp, Script])[] = [
      [/malformed/, serve((_, connection) => connection.send("SSH-2.0-OpenSSH\r\n\r\n"))],
      [
        /body_truncated/,
        serve(async (_, connection) => {
          await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nb");
          await connection.close();
        }),
      ],
      [/eof_before_headers/, serve((_, connection) => connection.close())],
      [/timeout/, async (connection) => void (await connection.ended(60_000))],
    ];
    for (const [why, script] of plays) {
      one.script = app({ status: 200, body: "a" });
      await becomes(scene, one.port, "up");
      one.script = script;
      await becomes(scene, one.port, "down");
      assert.match(lastReason(scene, one.port), why);
    }
  },
);

scenario(
  "a check of TCP is a connection without a byte",
  { origins: { one: (connection) => void connection.ended(60_000) }, settings: checked({ tcp: true }) },
  async (scene) => {
    while ((await scene.counter("checks")) < 5) await pause(10);
    assert.ok(scene.origin.accepted >= 5);
    assert.equal(scene.origin.receivedBytes, 0);
    assert.equal(await scene.counter("checks_failed"), 0);
    assert.ok(scene.origin.open.length <= 1, "each is closed at once");
  },
);

scenario(
  "a check says who asks, is none of the origin's requests and uses none of its connections",
  { origins: { one: well() }, settings: checked({ http: { path: "/health" } }) },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 200);
    while ((await scene.counter("checks")) < 4) await pause(10);
    const check = scene.origin.requests.find((one) => one.target === "/health");
    assert.deepEqual(
      check?.fields.lines.map((line) => `${line.name}: ${line.value}`),
      [`Host: 127.0.0.1:${scene.origin.port}`, "User-Agent: millrace-check", "Connection: close"],
    );
    assert.equal(await scene.counter("origin_requests"), 1);
    assert.equal(await scene.counter("origin_connections_opened"), 1);
    const used = scene.origin.requests.map((one) => one.connection.id);
    assert.equal(new Set(used).size, used.length, "no two on one connection");
  },
);

scenario(
  "checks of a target come around the interval, not in step, from one worker whatever their number",
  { origins: { one: well() }, workers: 2, settings: checked({ tcp: true, intervalMs: 200, jitterPercent: 50 }) },
  async (scene) => {
    const gaps = await checkGaps(scene, 12);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    assert.ok(mean > 130, `twice as often as asked for: ${gaps.map(Math.round)}`);
    assert.ok(Math.max(...gaps) - Math.min(...gaps) > 20, `all alike: ${gaps.map(Math.round)}`);
  },
);

scenario(
  "a target that is listed twice, or as a name and as its address, is checked once an interval",
  {
    origins: { one: well() },
    settings: (origins) => {
      const port = origins["one"]?.port;
      const targets = [`127.0.0.1:${port}`, { address: `127.0.0.1:${port}`, weight: 2 }, `localhost:${port}`];
      const health = { ...FAST, ...ALONE, tcp: true as const, intervalMs: 200 };
      return { origins: { app: { targets, health } }, routes: [{ forwardTo: "app" }] };
    },
  },
  async (scene) => {
    const gaps = await checkGaps(scene, 8);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    assert.ok(mean > 130, `more often than once an interval of 200 ms: ${gaps.map(Math.round)}`);
    assert.equal(targetAt(scene, scene.origin.port).health.state, "up");
  },
);

scenario(
  "a target that is down is down for all workers at once",
  { origins: { one: well(), two: well() }, workers: 2, settings: checked({ tcp: true }) },
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => scene.client()));
    const port = scene.origins["one"]?.port ?? 0;
    await scene.origins["one"]?.stop();
    await becomes(scene, port, "down");
    const before = await scene.counter("origin_connects_failed");
    for (let round = 0; round < 10; round++) {
      for (const answer of await Promise.all(clients.map((client) => client.ask("GET /a")))) {
        assert.equal(answer.status, 200);
      }
    }
    assert.equal(await scene.counter("origin_connects_failed"), before, "nobody tries it");
  },
);

scenario(
  "nobody checks a target that is drained by hand, until that is undone, nor any target after the stop",
  { origins: { one: well() }, settings: checked({ tcp: true }) },
  async (scene) => {
    const name = `127.0.0.1:${scene.origin.port}`;
    await scene.origin.sees("a check", (origin) => origin.accepted > 0);
    millraceOf(scene).drainTarget("app", name);
    await pause(2 * INTERVAL_MS);
    const drained = scene.origin.accepted;
    await pause(5 * INTERVAL_MS);
    assert.equal(scene.origin.accepted, drained);
    millraceOf(scene).drainTarget("app", name, { undo: true });
    await scene.origin.sees("another check", (origin) => origin.accepted > drained);
    await scene.stop(0);
    const stopped = scene.origin.accepted;
    await pause(5 * INTERVAL_MS);
    assert.equal(scene.origin.accepted, stopped);
  },
);
