/** Which target a request goes to, as the targets see it: cookies, hashes, tiers, zones, and slow returns. */
import { strict as assert } from "node:assert";
import { fixed } from "../support/behaviours.js";
import type { RawClient } from "../support/client.js";
import type { Script } from "../support/origin.js";
import { type Origins, type Scene, type SceneOptions, scenario } from "../support/scene.js";
import { clientsOf, millraceOf } from "../support/traffic.js";
import { pause } from "../support/wire.js";

type Address = { readonly address: string; readonly tier?: "primary" | "backup"; readonly zone?: string };

/** An origin `both` of several targets, each of which answers with its own name. */
function targets(names: readonly string[], more: object, each: (name: string) => object = () => ({})): SceneOptions {
  const scripts: Record<string, Script> = Object.fromEntries(names.map((name) => [name, fixed(name)]));
  return {
    origins: scripts,
    originOptions: { record: false },
    settings: (origins: Origins) => ({
      zone: "here",
      origins: {
        both: {
          targets: names.map((name): Address => ({ address: origins[name]?.url ?? "", ...each(name) })),
          ...more,
        },
      },
      routes: [{ forwardTo: "both" }],
    }),
  };
}

/** How many of `count` requests each target took. */
async function shares(client: RawClient, count: number, ...fields: string[]): Promise<Record<string, number>> {
  const taken: Record<string, number> = {};
  for (let n = 0; n < count; n += 1) {
    const name = (await client.ask("GET /a", ...fields)).body.toString();
    taken[name] = (taken[name] ?? 0) + 1;
  }
  return taken;
}

/** Takes a target out by hand, or back in. */
function drain(scene: Scene, name: string, undo = false): void {
  millraceOf(scene).drainTarget("both", `127.0.0.1:${scene.origins[name]?.port}`, { undo });
}

async function oneClient(scene: Scene): Promise<RawClient> {
  const [client] = await clientsOf(scene, 1, false);
  assert.ok(client !== undefined);
  return client;
}

scenario(
  "a client with the cookie stays with its target, and gets another cookie when that is gone",
  targets(["one", "two", "three"], { sticky: { cookie: "millrace", maxAgeS: 60 } }),
  async (scene) => {
    const client = await oneClient(scene);
    const first = await client.ask("GET /a");
    const home = first.body.toString();
    const setCookie = first.fields.one("set-cookie") ?? "";
    assert.match(setCookie, /^millrace=[^;]+;.*Max-Age=60/);
    const cookie = `Cookie: other=1; ${setCookie.split(";")[0]}`;
    assert.deepEqual(await shares(client, 30, cookie), { [home]: 30 });
    assert.equal((await client.ask("GET /a", cookie)).fields.one("set-cookie"), undefined, "it has the cookie already");
    drain(scene, home);
    const moved = await client.ask("GET /a", cookie);
    assert.notEqual(moved.body.toString(), home);
    assert.notEqual((moved.fields.one("set-cookie") ?? "").split(";")[0], setCookie.split(";")[0]);
    drain(scene, home, true);
    assert.deepEqual(await shares(client, 10, cookie), { [home]: 10 });
  },
);

scenario(
  "with a consistent hash of the path each path has its target, and keeps it when another target goes",
  {
    ...targets(["one", "two", "three", "four"], { balance: { consistentHash: "path", boundPercent: 10_000 } }),
    workers: 2,
  },
  async (scene) => {
    const clients = await clientsOf(scene, 4, false);
    const home = new Map<string, string>();
    const ask = async (path: string, n: number): Promise<string> =>
      (await clients[n % clients.length]?.ask(`GET ${path}`))?.body.toString() ?? "";
    for (let n = 0; n < 40; n += 1) home.set(`/${n}`, await ask(`/${n}`, n));
    assert.equal(new Set(home.values()).size, 4, "all targets have paths");
    for (const [path, name] of home) assert.equal(await ask(`${path}?query`, path.length), name);
    drain(scene, "two");
    let n = 1;
    for (const [path, name] of home) {
      n += 1;
      if (name === "two") assert.notEqual(await ask(path, n), "two");
      else assert.equal(await ask(path, n), name);
    }
  },
);

scenario(
  "a backup gets nothing while a primary may be used, everything when none may, and nothing again after",
  targets(["one", "two", "spare"], {}, (name) => ({ tier: name === "spare" ? "backup" : "primary" })),
  async (scene) => {
    const client = await oneClient(scene);
    assert.deepEqual(await shares(client, 20), { one: 10, two: 10 });
    drain(scene, "one");
    assert.deepEqual(await shares(client, 10), { two: 10 });
    drain(scene, "two");
    assert.deepEqual(await shares(client, 10), { spare: 10 });
    drain(scene, "two", true);
    assert.deepEqual(await shares(client, 10), { two: 10 });
  },
);

scenario(
  "targets of our own zone are preferred, and others serve when ours are gone",
  targets(["near", "far"], {}, (name) => ({ zone: name === "near" ? "here" : "there" })),
  async (scene) => {
    const client = await oneClient(scene);
    assert.deepEqual(await shares(client, 20), { near: 20 });
    drain(scene, "near");
    assert.deepEqual(await shares(client, 10), { far: 10 });
    drain(scene, "near", true);
    assert.deepEqual(await shares(client, 10), { near: 10 });
  },
);

scenario(
  "a target that comes back takes its share slowly, and whole in the end",
  targets(["old", "back"], { slowStartMs: 1_500 }),
  async (scene) => {
    const client = await oneClient(scene);
    drain(scene, "back");
    assert.deepEqual(await shares(client, 10), { old: 10 });
    drain(scene, "back", true);
    const early = (await shares(client, 60))["back"] ?? 0;
    assert.ok(early <= 20, `${early} of the first 60 went to the target that came back`);
    await pause(1_600);
    assert.deepEqual(await shares(client, 40), { old: 20, back: 20 });
  },
);

for (const [warm, cold] of [
  ["one", "two"],
  ["two", "one"],
] as const)
  scenario(
    `two choices send every request where a connection is ready rather than to a target that has none (${warm})`,
    targets(["one", "two"], { balance: "twoChoices", idleMs: 60_000 }),
    async (scene) => {
      const client = await oneClient(scene);
      // While the other is out, one request leaves a connection behind; otherwise they are equals.
      drain(scene, cold);
      assert.deepEqual(await shares(client, 1), { [warm]: 1 });
      await scene.sees("origin_connections_idle", 1);
      drain(scene, cold, true);
      assert.deepEqual(await shares(client, 60), { [warm]: 60 });
      assert.equal(scene.origins[warm]?.accepted, 1);
      assert.equal(scene.origins[cold]?.accepted, 0);
      // Without it they are equals, of whom one is drawn: forty draws find the other.
      for (let n = 0; n < 40 && scene.origins[cold]?.accepted === 0; n += 1) {
        for (const connection of scene.origins[warm]?.open ?? []) await connection.close();
        await scene.sees("origin_connections_idle", 0);
        await client.ask("GET /a");
        await scene.sees("origin_connections_idle", 1);
      }
      assert.equal(scene.origins[cold]?.accepted, 1);
    },
  );
