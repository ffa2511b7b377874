/**
 * Failing targets under load: what clients see before and after a target is known to be bad, how much more load failing
 * origins get, and the way back.
 */
import { strict as assert } from "node:assert";
import type { Millrace } from "../../src/index.js";
import { reply, serve } from "../support/behaviours.js";
import type { RawClient } from "../support/client.js";
import type { Handler, Script } from "../support/origin.js";
import { type Scene, type SceneOptions, scenario } from "../support/scene.js";
import { PATIENCE_MS, pause, WireError } from "../support/wire.js";

const NAMES = ["t0", "t1", "t2", "t3"] as const;

/** A handler that can be told to fail. */
class Switch {
  fail: Handler | undefined;
  readonly script: Script = serve((asked, connection) =>
    this.fail === undefined ? connection.send(reply(200, "ok")) : this.fail(asked, connection),
  );
}

/** States of an origin's targets, as the control plane judges them. */
function states(scene: Scene, origin: string): string[] {
  const { millrace } = scene.proxy as unknown as { readonly millrace: Millrace };
  const found = millrace.origins().origins.find(({ name }) => name === origin);
  return (found?.targets ?? []).map(({ health }) => health.state);
}

async function until(what: string, look: () => boolean, ms = PATIENCE_MS): Promise<void> {
  const due = Date.now() + ms;
  while (!look()) {
    if (Date.now() > due) throw new WireError(`${what}: not within ${ms} ms`);
    await pause(5);
  }
}

/** Clients that ask without a pause until told to stop; what they were answered. */
class Load {
  readonly answers: { readonly atMs: number; readonly method: string; readonly status: number }[] = [];
  #stop = false;
  #done: Promise<void> = Promise.resolve();

  async start(scene: Scene, count: number): Promise<void> {
    const clients: RawClient[] = await Promise.all(
      Array.from({ length: count }, () => scene.client({ record: false })),
    );
    this.#done = Promise.all(clients.map((client, who) => this.#ask(client, who))).then(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await this.#done;
  }

  failedSince(atMs: number): string[] {
    return this.answers
      .filter((one) => one.atMs >= atMs && one.status !== 200)
      .map((one) => `${one.method} ${one.status}`);
  }

  async #ask(client: RawClient, who: number): Promise<void> {
    for (let n = 0; !this.#stop; n += 1) {
      const method = (n + who) % 2 === 0 ? "GET" : "POST";
      const atMs = performance.now();
      const { status } = method === "GET" ? await client.ask("GET /load") : await client.post("POST /load", "body");
      this.answers.push({ atMs, method, status });
      await pause(2);
    }
  }
}

/** Four targets of one origin; what is found bad stays out for the rest of the test. */
function fourTargets(switches: readonly Switch[]): SceneOptions {
  return {
    workers: 2,
    originOptions: { record: false },
    origins: Object.fromEntries(NAMES.map((name, n) => [name, switches[n]?.script ?? serve(() => undefined)])),
    settings: (origins) => ({
      origins: {
        four: {
          targets: NAMES.map((name) => origins[name]?.url ?? ""),
          firstByteMs: 600,
          health: { passive: { failures: 3, downMs: 60_000 } },
        },
      },
      routes: [{ forwardTo: "four", retry: { statuses: [500], backoffMs: 0 } }],
      retryBudget: { percent: 100, perSecond: 100 },
    }),
  };
}

for (const [how, fail] of [
  ["dies", undefined],
  ["stalls", () => undefined],
  ["resets", (_, connection) => connection.reset()],
  ["returns 500", (_, connection) => connection.send(reply(500, "broken"))],
] as readonly (readonly [string, Handler | undefined])[]) {
  const switches = NAMES.map(() => new Switch());
  scenario(
    `S2-11 S2-13 one of four targets ${how} under load: after detection no client sees it`,
    fourTargets(switches),
    async (scene) => {
      const load = new Load();
      await load.start(scene, 12);
      await pause(150);
      assert.deepEqual(load.failedSince(0), []);
      const [bad] = switches;
      if (bad !== undefined && fail !== undefined) bad.fail = fail;
      else await scene.origins["t0"]?.stop();
      await until("the detection", () => states(scene, "four")[0] === "down");
      // Requests that were under way at the detection are still what they were.
      await pause(300);
      const detectedMs = performance.now();
      await until("load after it", () => load.answers.filter((one) => one.atMs >= detectedMs).length > 200);
      await load.stop();
      assert.deepEqual(load.failedSince(detectedMs), [], "after detection nobody sees it");
      const seen = load.failedSince(0);
      assert.ok(
        seen.every((one) => one.startsWith("POST ")),
        `before detection only what was sent and must not be repeated: ${seen.join()}`,
      );
      assert.ok(seen.length <= 20, `${seen.length} requests failed`);
      assert.deepEqual(states(scene, "four").slice(1), ["up", "up", "up"]);
    },
  );
}

for (const [how, script, status] of [
  ["close", serve((_, connection) => connection.close()), 502],
  ["say 503", serve((_, connection) => connection.send(reply(503))), 503],
] as const) {
  scenario(
    `S2-15 a storm with all targets failing (they ${how}) costs the origin at most 1.2 times the requests`,
    {
      workers: 2,
      origins: { t0: script, t1: script, t2: script, t3: script },
      settings: (origins) => ({
        origins: {
          four: { targets: NAMES.map((name) => origins[name]?.url ?? ""), health: { passive: { level: 0 } } },
        },
        routes: [{ forwardTo: "four", retry: { attempts: 4, statuses: [503], backoffMs: 0 } }],
        retryBudget: { percent: 20, perSecond: 0 },
      }),
    },
    async (scene) => {
      const [clients, each] = [20, 50];
      await Promise.all(
        Array.from({ length: clients }, async () => {
          const client = await scene.client();
          for (let n = 0; n < each; n += 1) assert.equal((await client.ask("GET /a")).status, status);
        }),
      );
      const got = NAMES.reduce((sum, name) => sum + (scene.origins[name]?.requests.length ?? 0), 0);
      const asked = clients * each;
      assert.ok(got <= asked * 1.2, `${got} attempts for ${asked} requests`);
      assert.ok(got > asked * 1.1, `${got}: the budget is used`);
      assert.equal(await scene.counter("origin_failures"), got, "one event each");
      assert.ok((await scene.counter("retries_over_budget")) > 0);
    },
  );
}

scenario(
  "S2-11 S2-14 all targets fail: escalation, then the operator's answer, and the way back",
  {
    origins: { t0: serve(() => undefined), t1: serve(() => undefined), spare: serve(() => undefined) },
    settings: (origins) => ({
      origins: {
        main: {
          targets: [origins["t0"]?.url ?? "", origins["t1"]?.url ?? ""],
          health: { passive: { failures: 2, downMs: 400, downMsMax: 400 } },
        },
      },
      routes: [{ forwardTo: "main", escalate: [{ to: "spare" }], answers: [{ status: 503, body: "closed" }] }],
      retryBudget: { perSecond: 1_000 },
    }),
  },
  async (scene) => {
    const { t0, t1, spare } = scene.origins;
    assert.ok(t0 !== undefined && t1 !== undefined && spare !== undefined);
    for (const bad of [t0, t1]) bad.script = serve((_, connection) => connection.close());
    spare.script = serve((_, connection) => connection.send(reply(200, "spare", "Connection: close")));
    const client = await scene.client();
    for (let n = 0; n < 4; n += 1) assert.equal((await client.ask("GET /a")).body.toString(), "spare");
    // Requests alone take all out but the last: without a check nobody would notice its return.
    await until("one of two down", () => states(scene, "main").includes("down"));
    const asked = t0.requests.length + t1.requests.length;
    assert.equal((await client.ask("GET /b")).body.toString(), "spare");
    assert.equal(t0.requests.length + t1.requests.length, asked + 1, "a target that is down is not asked");
    spare.script = serve((_, connection) => connection.close());
    for (let n = 0; n < 3; n += 1) {
      const answer = await client.ask("GET /c");
      assert.deepEqual([answer.status, answer.body.toString()], [503, "closed"]);
    }
    for (const good of [t0, t1]) good.script = serve((_, connection) => connection.send(reply(200, "main")));
    const sinceMs = performance.now();
    while ((await client.ask("GET /d")).body.toString() !== "main") {
      assert.ok(performance.now() - sinceMs < PATIENCE_MS, "main is used again at once");
    }
    const before = [t0.requests.length, t1.requests.length];
    while (!states(scene, "main").every((state) => state === "up")) {
      assert.ok(performance.now() - sinceMs < PATIENCE_MS, "both are up again");
      assert.equal((await client.ask("GET /e")).status, 200);
    }
    assert.ok(t0.requests.length > (before[0] ?? 0) && t1.requests.length > (before[1] ?? 0), "both are used again");
  },
);

scenario(
  "S2-12 S2-13 a listed status that could only be passed on counts against its target all the same",
  {
    origins: {
      good: serve((_, connection) => connection.send(reply(200))),
      bad: serve((_, connection) => connection.send(reply(500, "mine"))),
    },
    settings: (origins) => ({
      origins: {
        both: {
          targets: [origins["good"]?.url ?? "", origins["bad"]?.url ?? ""],
          health: { passive: { failures: 3, downMs: 60_000 } },
        },
      },
      routes: [{ forwardTo: "both", retry: { statuses: [500] } }],
    }),
  },
  async (scene) => {
    const client = await scene.client();
    const statuses: number[] = [];
    for (let n = 0; n < 6; n += 1) statuses.push((await client.post("POST /a", "x")).status);
    assert.deepEqual(statuses.sort(), [200, 200, 200, 500, 500, 500]);
    await until("the bad target down", () => states(scene, "both")[1] === "down");
    for (let n = 0; n < 6; n += 1) assert.equal((await client.post("POST /a", "x")).status, 200);
    assert.equal(scene.origins["bad"]?.requests.length, 3);
  },
);
