/** Workers die alone: a panic costs the connections of one worker, which is replaced while the others serve on. */
import { strict as assert } from "node:assert";
import { echoed, reply, serve } from "../support/behaviours.js";
import { type RawClient, request } from "../support/client.js";
import { takes } from "../support/lateness.js";
import { type Scene, scenario } from "../support/scene.js";
import { PATIENCE_MS, pause } from "../support/wire.js";

async function replaced(scene: Scene, count: number): Promise<void> {
  const due = Date.now() + PATIENCE_MS;
  while ((await scene.proxy.stats()).workersReplaced < count) {
    assert.ok(Date.now() < due, "the worker was not replaced in time");
    await pause(10);
  }
}

scenario("a worker that panics is replaced within a second, and the other serves on", { workers: 2 }, async (scene) => {
  const clients = await Promise.all(Array.from({ length: 20 }, () => scene.client()));
  for (const client of clients) await client.ask("GET /before");
  await takes(0, 1_000, async () => {
    await scene.proxy.provokePanic(0);
    await replaced(scene, 1);
  });
  const left = clients.filter((client) => client.ending === "open");
  assert.ok(left.length >= 5 && left.length <= 15, `${left.length} of 20 connections are left`);
  for (const client of left) assert.equal(echoed(await client.ask("GET /after")).target, "/after");
  const fresh = await Promise.all(Array.from({ length: 10 }, () => scene.client()));
  for (const client of fresh) assert.equal(echoed(await client.ask("GET /fresh")).target, "/fresh");
});

scenario(
  "requests go on being answered while workers panic one after the other",
  {
    workers: 2,
    origin: serve((asked, connection) => connection.send(reply(200, asked.target))),
    originOptions: { record: false },
  },
  async (scene) => {
    let over = false;
    let answered = 0;
    const play = Array.from({ length: 16 }, async (_, who) => {
      let client: RawClient | undefined;
      for (let n = 0; !over; n += 1) {
        if (client === undefined || client.ending !== "open") {
          await client?.close();
          client = await scene.client();
        }
        await client.send(request(`GET /${who}/${n}`));
        const one = client;
        const there = await one.wire.until(
          "an answer or the end",
          (unread, ending) => (unread.length > 0 ? true : ending === "open" ? undefined : false),
          5_000,
        );
        if (!there) continue;
        const answer = await one.answerOrPart();
        if (!answer.complete) continue;
        if (answer.status === 200) assert.equal(answer.body.toString(), `/${who}/${n}`);
        else assert.ok(answer.status >= 500, String(answer.status));
        answered += answer.status === 200 ? 1 : 0;
      }
    });
    for (let n = 0; n < 4; n += 1) {
      await pause(300);
      await scene.proxy.provokePanic(n % 2);
      await replaced(scene, n + 1);
    }
    const before = answered;
    await pause(200);
    over = true;
    await Promise.all(play);
    assert.ok(answered > before, "answers come after the last replacement");
  },
  { timeoutMs: 30_000 },
);

scenario("a panic in the only worker: it is replaced and serves again", {}, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /");
  await scene.proxy.provokePanic(0);
  await client.wire.until("the loss of its connection", (_, ending) => (ending === "open" ? undefined : ending));
  await replaced(scene, 1);
  const fresh = await scene.client();
  assert.equal((await fresh.ask("GET /")).status, 200);
  assert.equal(scene.origin.open.length, 1, "the dead worker's origin connections are closed");
});

scenario("connections spread over the workers by load", { workers: 2 }, async (scene) => {
  const clients = await Promise.all(Array.from({ length: 40 }, () => scene.client()));
  for (const client of clients) await client.ask("GET /");
  const taken = (await scene.proxy.stats()).workers.map((row) => row.counters.client_connections_accepted);
  assert.equal(
    taken.reduce((sum, count) => sum + count, 0),
    40,
  );
  for (const count of taken) assert.ok(count >= 15 && count <= 25, `workers took ${taken.join(" and ")}`);
});
