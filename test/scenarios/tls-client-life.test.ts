/** TLS connections when the proxy drains, or a worker dies: those at work finish, those at rest are told, nobody else suffers. */
import { strict as assert } from "node:assert";
import { reply, serve } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { scenario } from "../support/scene.js";
import { TlsWorld, tryTls } from "../support/tls.js";
import { TappedClient } from "../support/tls-records.js";
import { PATIENCE_MS, pause } from "../support/wire.js";

const world = new TlsWorld();

for (const version of ["TLSv1.2", "TLSv1.3"] as const)
  scenario(
    `a drain ends idle TLS connections with close_notify, and lets those at work finish (${version})`,
    {
      settings: world.settings(),
      origin: serve(async (asked, connection) => {
        if (asked.target === "/slow") await connection.pause(400);
        await connection.send(reply(200, "done"));
      }),
    },
    async (scene) => {
      const asks = world.asks({ maxVersion: version });
      const [idle, fresh, busy] = await Promise.all([1, 2, 3].map(() => TappedClient.connect(scene.port, asks)));
      assert.ok(idle !== undefined && fresh !== undefined && busy !== undefined);
      await idle.wire.send(request("GET /"));
      await idle.wire.until("the answer", (unread) => (unread.includes("done") ? true : undefined));
      await busy.wire.send(request("GET /slow"));
      await scene.origin.sees("the slow request", (origin) => origin.requests.length === 2);
      await scene.stop(5_000);
      assert.ok((await idle.wasToldEnd()) && (await fresh.wasToldEnd()));
      const answer = (await busy.wire.takeAll()).toString();
      assert.match(answer, /^HTTP\/1\.1 200 .*\r\nConnection: close\r\n.*done$/s);
      assert.ok(await busy.wasToldEnd());
      for (const client of [idle, fresh, busy]) await client.close();
    },
  );

scenario(
  "a drain does not wait for handshakes that are not over",
  { settings: world.settings({ handshakeMs: 60_000 }) },
  async (scene) => {
    const client = await scene.client();
    await client.send(Buffer.from([22, 3, 1, 0]));
    await scene.sees("tls_handshakes_open", 1);
    const began = performance.now();
    await scene.stop(1_500);
    assert.ok(performance.now() - began < 4_000);
    assert.notEqual(client.ending, "open");
  },
);

scenario(
  "a worker that dies takes its TLS connections along and nobody else's, and its tickets are still good",
  { settings: world.settings(), workers: 2 },
  async (scene) => {
    const before = await tryTls(scene.port, world.asks());
    const clients = await Promise.all(Array.from({ length: 12 }, () => scene.client({ tls: world.asks() })));
    for (const client of clients) assert.equal((await client.ask("GET /")).status, 200);
    await scene.proxy.provokePanic(0);
    const due = Date.now() + PATIENCE_MS;
    while ((await scene.proxy.stats()).workersReplaced < 1) {
      assert.ok(Date.now() < due, "the worker was not replaced in time");
      await pause(10);
    }
    const left = clients.filter(({ ending }) => ending === "open");
    assert.ok(left.length >= 3 && left.length <= 9, `${left.length} of 12 connections are left`);
    for (const client of left) assert.equal((await client.ask("GET /after")).status, 200);
    assert.ok(before.session !== undefined);
    for (let n = 0; n < 6; n += 1) {
      const again = await tryTls(scene.port, { ...world.asks(), session: before.session });
      assert.deepEqual([again.reused, again.line], [true, "HTTP/1.1 200 OK"]);
    }
  },
);
