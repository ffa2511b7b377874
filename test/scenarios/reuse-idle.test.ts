/** How long an idle connection is kept: the settings' time, shortened by what the origin says and does; ages and shares. */
import { strict as assert } from "node:assert";
import { get } from "node:http";
import { reply, serve } from "../support/behaviours.js";
import { timed } from "../support/lateness.js";
import type { Script } from "../support/origin.js";
import { type Scene, scenario } from "../support/scene.js";
import { atOnce, clientsOf, inTurn, millraceOf } from "../support/traffic.js";
import { PATIENCE_MS, pause } from "../support/wire.js";

/** What the proxy has learned about its one target, once it has: the client may have its answer before that. */
async function learnedMs(scene: Scene): Promise<number> {
  const due = Date.now() + PATIENCE_MS;
  for (;;) {
    const learned = await readLearnedMs(scene);
    if (learned > 0 || Date.now() > due) return learned;
    await pause(5);
  }
}

/** The same as `GET /origins` tells it now. */
async function readLearnedMs(scene: Scene): Promise<number> {
  const port = scene.proxy.started.admin?.port ?? 0;
  const text = await new Promise<string>((resolve, reject) => {
    const asked = get({ port, host: "127.0.0.1", path: "/origins", agent: false }, (answer) => {
      answer.setEncoding("utf8");
      let body = "";
      answer.on("data", (piece: string) => {
        body += piece;
      });
      answer.on("end", () => resolve(body));
    });
    asked.on("error", reject);
  });
  const told = JSON.parse(text) as { origins: { targets: { learnedIdleMs: number }[] }[] };
  return told.origins[0]?.targets[0]?.learnedIdleMs ?? -1;
}

const ADMIN = { admin: { address: "127.0.0.1:0" } };
const hinting = (seconds: number): Script =>
  serve((_, connection) => connection.send(reply(200, "x", `Keep-Alive: timeout=${seconds}`)));

/** Closes a connection that has been idle for `ms`. */
const impatient = (ms: number, ...fields: string[]): Script => {
  const timers = new Map<number, NodeJS.Timeout>();
  return serve(async (_, connection) => {
    clearTimeout(timers.get(connection.id));
    await connection.send(reply(200, "x", ...fields));
    timers.set(
      connection.id,
      setTimeout(() => connection.wire.socket.destroy(), ms),
    );
  });
};

scenario(
  "a Keep-Alive hint shortens the idle time by a margin, and GET /origins shows it",
  { origin: hinting(1), settings: ADMIN },
  async (scene) => {
    await inTurn(await clientsOf(scene, 1), 1);
    const learned = await learnedMs(scene);
    assert.ok(learned > 0 && learned < 1_000, `${learned} ms`);
    await scene.origin.sees("our close", (origin) => origin.open.length === 0);
    assert.equal(await scene.counter("origin_closes_idle_timeout"), 1);
  },
);

scenario(
  "a Keep-Alive hint never makes the idle time longer than the settings say",
  { origin: hinting(60), originSettings: { idleMs: 250 }, settings: ADMIN },
  async (scene) => {
    await inTurn(await clientsOf(scene, 1), 1);
    assert.ok((await learnedMs(scene)) > 250);
    await scene.origin.sees("our close", (origin) => origin.open.length === 0);
    assert.equal(await scene.counter("origin_closes_idle_timeout"), 1);
  },
);

scenario(
  "after the origin closed idle connections twice, we close the next one first, and GET /origins shows why",
  { origin: impatient(600), settings: ADMIN },
  async (scene) => {
    const clients = await clientsOf(scene, 1);
    await inTurn(clients, 1);
    await scene.sees("origin_closes_by_origin", 1);
    assert.equal(await readLearnedMs(scene), 0, "one close may be anything");
    await inTurn(clients, 1);
    await scene.sees("origin_closes_by_origin", 2);
    const learned = await learnedMs(scene);
    assert.ok(learned >= 400 && learned < 600, `${learned} ms`);
    for (let n = 1; n <= 2; n += 1) {
      await inTurn(clients, 1);
      await scene.sees("origin_closes_idle_timeout", n);
    }
    assert.equal(await scene.counter("origin_closes_by_origin"), 2);
  },
);

scenario(
  "S0-01 an origin's restart does not spoil reuse",
  {
    origin: serve(async (_, connection) => {
      await pause(40);
      await connection.send(reply(200, "x"));
    }),
    settings: ADMIN,
  },
  async (scene) => {
    const clients = await clientsOf(scene, 4);
    await atOnce(clients, 1);
    assert.equal(scene.origin.accepted, 4);
    await pause(150);
    for (const connection of scene.origin.open) connection.wire.socket.destroy();
    await scene.sees("origin_closes_by_origin", 4);
    for (let n = 0; n < 5; n += 1) {
      await inTurn(clients, 1);
      await pause(300);
    }
    assert.equal(await readLearnedMs(scene), 0);
    assert.equal(scene.origin.accepted, 5, "one connection carries all that came after the restart");
    assert.equal(await scene.counter("origin_closes_idle_timeout"), 0);
  },
);

scenario(
  "a hint that promises more than the origin keeps does not undo what its closes taught",
  {
    origin: impatient(600, "Keep-Alive: timeout=60"),
    settings: ADMIN,
  },
  async (scene) => {
    const clients = await clientsOf(scene, 1);
    for (let n = 1; n <= 2; n += 1) {
      await inTurn(clients, 1);
      await scene.sees("origin_closes_by_origin", n);
    }
    for (let n = 1; n <= 2; n += 1) {
      await inTurn(clients, 1);
      assert.ok((await learnedMs(scene)) < 600);
      await scene.sees("origin_closes_idle_timeout", n);
    }
    assert.equal(await scene.counter("origin_closes_by_origin"), 2);
  },
);

scenario(
  "idleLearn: false leaves the idle time as the settings say",
  { origin: impatient(200), originSettings: { idleLearn: false } },
  async (scene) => {
    const clients = await clientsOf(scene, 1);
    for (let n = 1; n <= 3; n += 1) {
      await inTurn(clients, 1);
      await scene.sees("origin_closes_by_origin", n);
    }
    assert.equal(await scene.counter("origin_closes_idle_timeout"), 0);
    assert.equal(millraceOf(scene).origins().origins[0]?.targets[0]?.learnedIdleMs, 0);
  },
);

scenario(
  "S3-06 connections opened at once end by their age apart from each other, within the jitter",
  {
    origin: serve(async (_, connection) => {
      await pause(30);
      await connection.send(reply(200, "x"));
    }),
    originSettings: { ageMs: 1_000, ageJitterPercent: 60, idleMs: 10_000 },
  },
  async (scene) => {
    const clients = await clientsOf(scene, 16);
    const beganMs = performance.now();
    const { result: endedMs, excusedMs } = await timed(async () => {
      await Promise.all(clients.map((client) => client.ask("GET /a")));
      const ends = scene.origin.connections.map((one) => one.ended().then(() => performance.now() - beganMs));
      return Promise.all(ends);
    });
    const [first, last] = [Math.min(...endedMs), Math.max(...endedMs)];
    assert.equal(endedMs.length, 16);
    assert.ok(first >= 380 && last <= 2_200 + excusedMs, `between ${first} and ${last} ms`);
    assert.ok(last - first >= 200, `all within ${last - first} ms`);
    assert.equal(await scene.counter("origin_closes_age"), 16);
  },
);

scenario(
  "a connection carries its share of requests and no more, whichever worker uses it",
  { workers: 2, originSettings: { requests: 5 } },
  async (scene) => {
    await inTurn(await clientsOf(scene, 6), 100);
    assert.equal(scene.origin.accepted, 20);
    const counts = new Map<number, number>();
    for (const { connection } of scene.origin.requests) counts.set(connection.id, (counts.get(connection.id) ?? 0) + 1);
    assert.deepEqual([...new Set(counts.values())], [5]);
    assert.equal(await scene.counter("origin_closes_requests"), 20);
  },
);
