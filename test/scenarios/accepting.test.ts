/**
 * Who takes connections: the acceptor for several workers, the only worker for itself. Either way nobody is taken beyond
 * the limits, and nobody waits for ever.
 */
import { strict as assert } from "node:assert";
import { echo } from "../support/behaviours.js";
import type { RawClient } from "../support/client.js";
import { cpuMs } from "../support/proxy.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** Waits for the end of a connection that was refused; resolves false when it is still open then. */
function isRefused(client: RawClient): Promise<boolean> {
  return client.wire
    .until("the refusal", (_, ending) => (ending === "open" ? undefined : ending), 1_000)
    .then(() => true)
    .catch(() => false);
}

for (const workers of [1, 2]) {
  const by = workers === 1 ? "by the only worker" : "by the acceptor";

  scenario(`every connection is taken and counted once, ${by}`, { workers }, async (scene) => {
    const clients = await Promise.all(Array.from({ length: 200 }, () => scene.client()));
    for (const client of clients) assert.equal((await client.ask("GET /")).status, 200);
    assert.equal(await scene.counter("acceptor_accepted"), 200);
    assert.equal(await scene.counter("client_connections_accepted"), 200);
  });

  scenario(
    `limits.clientConnections: a connection too many is refused ${by}, the others go on`,
    { workers, settings: { limits: { clientConnections: 2 } }, origin: echo() },
    async (scene) => {
      const [a, b] = [await scene.client(), await scene.client()];
      await a.ask("GET /a");
      await b.ask("GET /b");
      assert.ok(await isRefused(await scene.client()));
      assert.equal(await scene.counter("acceptor_refused_limit"), 1);
      assert.equal((await a.ask("GET /a2")).status, 200);
      await b.close();
      await scene.sees("client_connections_open", 1);
      const d = await scene.client();
      assert.equal((await d.ask("GET /d")).status, 200);
    },
  );

  scenario(
    `without a descriptor left, who waits is refused ${by}, at no cost of CPU, and later ones are served`,
    { workers, apart: true, descriptors: 128 },
    async (scene) => {
      const crowd = await Promise.all(Array.from({ length: 160 }, () => scene.client()));
      const ends = await Promise.all(crowd.map(isRefused));
      assert.ok(ends.some(Boolean) && !ends.every(Boolean), "some are refused, some are served");
      assert.ok((await scene.counter("acceptor_errors")) > 0);
      const before = cpuMs(scene.proxy.pid);
      await pause(1_000);
      assert.ok(cpuMs(scene.proxy.pid) - before < 300, "nothing spins while descriptors are short");
      for (const client of crowd) await client.close();
      await scene.sees("client_connections_open", 0);
      const late = await scene.client();
      assert.equal((await late.ask("GET /late")).status, 200);
    },
  );
}

scenario("who connects while the only worker is being replaced is served by its replacement", {}, async (scene) => {
  await scene.proxy.provokePanic(0);
  const client = await scene.client();
  const answer = await client.ask("GET /").catch(() => undefined);
  // Taken by the dying one, it is lost with it; the next is not.
  if (answer === undefined) assert.equal((await (await scene.client()).ask("GET /again")).status, 200);
  else assert.equal(answer.status, 200);
});
