/**
 * Other settings for a running proxy: what they do not touch goes on as it was, what they take away finishes what it has,
 * and what cannot be taken changes nothing.
 */
import { strict as assert } from "node:assert";
import type { Reload, SettingsInput } from "../../src/index.js";
import { echo, echoed, reply, serve } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { type Origins, type Scene, scenario } from "../support/scene.js";
import { Changes, PATIENCE_MS, pause, WireError } from "../support/wire.js";

/** The scene's settings as they are written, with other parts in place of its own. */
function settingsOf(scene: Scene, over: SettingsInput = {}): SettingsInput {
  const { settings } = scene.millrace;
  return {
    workers: settings.workers,
    log: settings.log,
    listeners: ["127.0.0.1:0"],
    origins: Object.fromEntries(Object.entries(scene.origins).map(([name, { url }]) => [name, { targets: [url] }])),
    ...(settings.routes === undefined ? {} : { routes: settings.routes as NonNullable<SettingsInput["routes"]> }),
    ...over,
  };
}

async function applied(scene: Scene, over: SettingsInput): Promise<Extract<Reload, { readonly result: "applied" }>> {
  const reload = await scene.millrace.reload(settingsOf(scene, over));
  if (reload.result !== "applied") throw new WireError(`the reload was ${JSON.stringify(reload)}`);
  assert.deepEqual(reload.workersBehind, []);
  return reload;
}

async function refused(scene: Scene, over: SettingsInput): Promise<readonly string[]> {
  const before = scene.millrace.settings;
  const reload = await scene.millrace.reload(settingsOf(scene, over));
  if (reload.result !== "refused") throw new WireError(`the reload was ${reload.result}`);
  assert.equal(scene.millrace.settings, before, "nothing has changed");
  return reload.complaints.map(({ path, says }) => `${path}: ${says}`);
}

function targetsOf(scene: Scene, origin: string) {
  return scene.millrace.origins().origins.find((one) => one.name === origin)?.targets ?? [];
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const due = Date.now() + PATIENCE_MS; !holds(); await pause(5)) {
    if (Date.now() > due) throw new WireError(`it never came about: ${what}`);
  }
}

const TWO = { origins: { app: echo(), other: echo() }, settings: { routes: [{ forwardTo: "app" }] } } as const;

for (const workers of [1, 2]) {
  scenario(
    `a route of other settings is taken by a client that was there before, and its connections stay (workers: ${workers})`,
    { ...TWO, workers },
    async (scene) => {
      const client = await scene.client();
      const first = echoed(await client.ask("GET /a"));
      const { changes, generation } = await applied(scene, {
        routes: [{ name: "b", match: { path: "/b" }, answer: { status: 200, body: "new" } }, { forwardTo: "app" }],
      });
      assert.equal(generation, 2);
      assert.ok(
        changes.some(({ path, says }) => path === "routes.b" && says === "added"),
        JSON.stringify(changes),
      );
      assert.equal((await client.ask("GET /b")).body.toString(), "new");
      assert.equal(echoed(await client.ask("GET /a")).connection, first.connection);
      assert.equal(
        (
          await scene.millrace.reload(
            settingsOf(scene, { routes: [...(scene.millrace.settings.routes ?? [])] as never }),
          )
        ).result,
        "unchanged",
      );
    },
  );
}

const held = new Changes();
let isHeld = true;
const holding = serve(async (_, connection) => {
  while (isHeld) await held.next(PATIENCE_MS);
  await connection.send(reply(200, "at last"));
});

scenario(
  "a target that other settings are without finishes what it has; its idle connections close and are counted",
  { origins: { app: holding, other: echo() }, settings: { routes: [{ forwardTo: "app" }] }, workers: 2 },
  async (scene) => {
    isHeld = false;
    const [idle, busy] = [await scene.client(), await scene.client()];
    await Promise.all([idle, busy].map((client) => client.ask("GET /a")));
    await scene.sees("origin_connections_idle", await scene.counter("origin_connections_open"));
    isHeld = true;
    await busy.send(request("GET /slow"));
    await scene.sees("exchanges_open", 1);
    const open = await scene.counter("origin_connections_open");
    await applied(scene, { origins: { app: { targets: [scene.origins["other"]?.url ?? ""] } } });
    await scene.sees("origin_connections_open", 1);
    assert.equal(await scene.counter("origin_closes_target_gone"), open - 1);
    assert.equal((await idle.ask("GET /b")).status, 200);
    isHeld = false;
    held.wake();
    assert.equal((await busy.answer()).body.toString(), "at last");
    assert.equal(echoed(await busy.ask("GET /c")).target, "/c", "the next request goes to the new target");
  },
);

scenario(
  "health survives where a target stays, with its history; drained by hand stays drained",
  { ...TWO, workers: 2 },
  async (scene) => {
    const both = Object.values(scene.origins).map(({ url }) => url);
    const health = { passive: { failures: 1, downMs: 60_000, downMsMax: 60_000 } };
    await applied(scene, { origins: { app: { targets: [...both, "http://127.0.0.1:9"], health } } });
    const client = await scene.client();
    const stateOf = (port: number) => targetsOf(scene, "app").find((one) => one.port === port)?.health;
    for (let n = 0; n < 12 && stateOf(9)?.state !== "down"; n += 1) {
      assert.equal((await client.ask("GET /a")).status, 200);
      await pause(50);
    }
    await until("the target that is not there is down", () => stateOf(9)?.state === "down");
    const [drained] = both;
    scene.millrace.drainTarget("app", drained?.slice("http://".length) ?? "");
    const before = targetsOf(scene, "app").map(({ port, state, succeeded, health: { history } }) => ({
      port,
      state,
      succeeded,
      history,
    }));
    await applied(scene, {
      origins: { app: { targets: [...both, "http://127.0.0.1:9"], health, connectMs: 1234 }, more: { targets: both } },
      timeouts: { clientIdleMs: 12_345 },
    });
    const after = targetsOf(scene, "app").map(({ port, state, succeeded, health: { history } }) => ({
      port,
      state,
      succeeded,
      history,
    }));
    assert.deepEqual(after, before);
    assert.deepEqual(new Set(targetsOf(scene, "more").map(({ state }) => state)), new Set(["up"]));
  },
);

scenario("a target whose checks put it down is tried again when settings check it no more", TWO, async (scene) => {
  const targets = ["http://127.0.0.1:9", scene.origin.url];
  const checked = { tcp: true, intervalMs: 100, timeoutMs: 100, fall: 1 } as const;
  await applied(scene, { origins: { app: { targets, health: checked } } });
  const state = () => targetsOf(scene, "app").find((one) => one.port === 9)?.health.state;
  await until("the target is down", () => state() === "down");
  await applied(scene, { origins: { app: { targets } } });
  assert.equal(state(), "suspect");
});

for (const workers of [1, 2]) {
  scenario(
    `a listener comes, serves, and goes: who is connected is sent away with the next answer (workers: ${workers})`,
    { ...TWO, workers },
    async (scene) => {
      const other = "127.0.0.3:0";
      await applied(scene, { listeners: ["127.0.0.1:0", other] });
      const { listeners } = scene.millrace.plans();
      const place = listeners.find(({ address }) => address === "127.0.0.3");
      assert.ok(place !== undefined);
      const client = await scene.client({ host: place.address, port: place.port });
      const stays = await scene.client();
      for (const one of [client, stays]) assert.equal((await one.ask("GET /a")).status, 200);
      await applied(scene, {});
      await assert.rejects(scene.client({ host: place.address, port: place.port }));
      const last = await client.ask("GET /b");
      assert.equal(last.status, 200);
      assert.match(last.head, /\r\nConnection: close\r\n/i);
      assert.equal(await client.seesClose(), "end");
      assert.doesNotMatch((await stays.ask("GET /b")).head, /\r\nConnection: close\r\n/i);
      const again = await applied(scene, { listeners: ["127.0.0.1:0", other] });
      assert.ok(again.changes.some(({ path, says }) => path.startsWith("listeners: ") && says === "added"));
    },
  );
}

scenario("what cannot be taken changes nothing, and everything wrong is said", TWO, async (scene) => {
  const blocked = scene.origin.url.slice("http://".length);
  assert.deepEqual(await refused(scene, { workers: 2, pool: { steal: false }, timeouts: { clientIdleMs: 12_345 } }), [
    "workers: changes with a restart only: threads and shared memory are made for their number",
    "pool.steal: changes with a restart only: the pool is divided once",
  ]);
  const [inUse] = await refused(scene, { listeners: ["127.0.0.1:0", blocked] });
  assert.match(inUse ?? "", /: Listener "listener-2" cannot listen on .* \(another program uses this port/);
  const wrong = await refused(scene, { routes: [{ forwardTo: "nobody" }], timeouts: { clientIdleMs: -1 } });
  assert.equal(wrong.length, 2, wrong.join("\n"));
  assert.equal((await (await scene.client()).ask("GET /a")).status, 200);
  assert.equal(scene.millrace.plans().generation, 1);
});

scenario(
  "reloads that come together are served one after the other, each whole",
  { ...TWO, workers: 2 },
  async (scene) => {
    const asked = Array.from({ length: 20 }, (_, n) =>
      scene.millrace.reload(settingsOf(scene, { timeouts: { clientIdleMs: 10_000 + n } })),
    );
    const reloads = await Promise.all(asked);
    assert.deepEqual(
      reloads.map(({ result, generation }) => `${result} ${generation}`),
      reloads.map((_, n) => `applied ${n + 2}`),
    );
    assert.equal(scene.millrace.settings.timeouts.clientIdleMs, 10_019);
  },
);

scenario(
  "a worker that dies during reloads comes back with the plan of the last one",
  { ...TWO, workers: 2, settings: { routes: [{ forwardTo: "app" }], log: { level: "silent" } } },
  async (scene) => {
    let replaced = 0;
    scene.millrace.on("workerReplaced", () => {
      replaced += 1;
    });
    for (let n = 0; n < 10; n += 1) {
      if (n % 5 === 1) scene.millrace.provokePanic(n % 2);
      const reload = await scene.millrace.reload(
        settingsOf(scene, { routes: [{ answer: { status: 200, body: `plan ${n}` } }] }),
      );
      assert.equal(reload.result, "applied");
    }
    await until("both are replaced", () => replaced === 2);
    for (let n = 0; n < 8; n += 1) {
      const client = await scene.client();
      assert.equal((await client.ask("GET /a")).body.toString(), "plan 9");
    }
    assert.deepEqual(scene.millrace.plans().generations, [11, 11]);
  },
);

scenario(
  "a request that waits in line for a target that is taken away still gets it",
  {
    origins: { app: holding, other: echo() },
    settings: (origins: Origins) => ({
      origins: { app: { targets: [origins["app"]?.url ?? ""], targetConnections: 1 } },
      routes: [{ forwardTo: "app" }],
    }),
  },
  async (scene) => {
    isHeld = true;
    const [first, second] = [await scene.client(), await scene.client()];
    await first.send(request("GET /a"));
    await scene.sees("exchanges_open", 1);
    await second.send(request("GET /b"));
    await scene.sees("pool_queue_length", 1);
    await applied(scene, { origins: { app: { targets: [scene.origins["other"]?.url ?? ""] } } });
    isHeld = false;
    held.wake();
    for (const client of [first, second]) assert.equal((await client.answer()).body.toString(), "at last");
  },
);
