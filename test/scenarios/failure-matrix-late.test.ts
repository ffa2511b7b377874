/** Late answers, stray bytes and second answers: what comes when nobody waits for it never reaches anybody else. */
import { strict as assert } from "node:assert";
import { echo, reply, serve } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { lineOf } from "../support/failures.js";
import type { Script } from "../support/origin.js";
import { type Scene, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

const poison = reply(200, "poison");

/** Answers each request with its own path. */
const own: Script = serve((asked, connection) => connection.send(reply(200, asked.target)));

/** Many requests on several client connections, each of which must get its own answer. */
async function everybodyGetsTheirOwn(scene: Scene, rounds = 40): Promise<void> {
  await Promise.all(
    [0, 1, 2, 3].map(async (who) => {
      const client = await scene.client();
      for (let n = 0; n < rounds; n += 1) {
        const answer = await client.ask(`GET /${who}/${n}`);
        assert.deepEqual([answer.status, answer.body.toString()], [200, `/${who}/${n}`]);
      }
      await client.seesSilence(10);
      await client.close();
    }),
  );
}

for (const late of ["420 ms", "500 ms", "as soon as its connection has ended"]) {
  scenario(
    `S3-05 an answer ${late} after a request that is waited for 400 ms reaches nobody`,
    {
      accessLog: true,
      originSettings: { firstByteMs: 400, health: { passive: { level: 0 } } },
      settings: { routes: [{ forwardTo: "app", retry: false }] },
      origin: serve(async (asked, connection) => {
        if (asked.target.startsWith("/late")) {
          if (late.endsWith(" ms")) await pause(Number.parseInt(late, 10));
          else await connection.ended();
          await connection.send(poison);
        } else await connection.send(reply(200, asked.target));
      }),
    },
    async (scene) => {
      const client = await scene.client();
      let inTime = 0;
      for (let n = 0; n < 3; n += 1) {
        await client.ask("GET /before");
        const { status } = await client.ask(`GET /late/${n}`);
        if (status === 200 && late.endsWith(" ms")) {
          // A machine so busy that the answer overtook the timer: it was in time, and its own request got it.
          inTime += 1;
          continue;
        }
        assert.equal(status, 504);
        const line = await lineOf(scene, `/late/${n}`);
        assert.deepEqual([line["fault"], line["reused"]], ["header_timeout", true]);
        await everybodyGetsTheirOwn(scene);
      }
      const asked = scene.origin.requests.filter((one) => one.target.startsWith("/late"));
      const ended = asked.filter(({ connection }) => connection.wire.ending !== "open");
      assert.ok(ended.length >= 3 - inTime, "its connection has ended");
      assert.equal(await scene.counter("origin_closes_fault"), 3 - inTime);
    },
  );
}

scenario(
  "S3-05 the rest of an answer that stopped in its body reaches nobody",
  {
    originSettings: { betweenBytesMs: 100 },
    origin: serve(async (asked, connection) => {
      if (asked.target !== "/stops") return connection.send(reply(200, asked.target));
      await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${poison.length * 2}\r\n\r\n`, poison);
      await connection.ended();
      await connection.send(poison);
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /stops"));
    assert.equal((await client.answerOrPart()).complete, false);
    await everybodyGetsTheirOwn(scene);
    await pause(150);
    await everybodyGetsTheirOwn(scene);
  },
);

scenario(
  "S3-05 S0-13 two answers to one request: the second reaches nobody",
  {
    workers: 2,
    origin: serve((asked, connection) => {
      const twice = asked.target.endsWith("7");
      return connection.send(reply(200, asked.target), ...(twice ? [poison] : []));
    }),
  },
  async (scene) => {
    await everybodyGetsTheirOwn(scene);
    assert.ok((await scene.counter("origin_closes_stray_bytes")) > 0);
  },
);

for (const gapMs of [0, 1, 5]) {
  scenario(
    `S3-05 S0-13 a second answer ${gapMs} ms behind the first reaches nobody`,
    {
      workers: 2,
      origin: serve(async (asked, connection) => {
        await connection.send(reply(200, asked.target));
        if (!asked.target.endsWith("7")) return;
        if (gapMs > 0) await pause(gapMs);
        else await new Promise((resolve) => setImmediate(resolve));
        await connection.send(poison);
      }),
    },
    async (scene) => {
      // Between the check before use and the first byte of our request nobody can tell a stray answer from ours (RFC
      // 9112 9.2): here the next request comes when the stray one has.
      for (let n = 0; n < 30; n += 1) {
        const client = await scene.client();
        assert.equal((await client.ask(`GET /${n}`)).body.toString(), `/${n}`);
        await pause(gapMs + 15);
        await client.seesSilence(0);
        await client.close();
      }
      assert.ok((await scene.counter("origin_closes_stray_bytes")) >= 3);
    },
  );
}

for (const [what, bytes] of [
  ["a whole answer", poison],
  ["half a head", Buffer.from("HTTP/1.1 200 OK\r\n")],
  ["one byte", Buffer.from("\n")],
  ["a 408 as some servers send before they close", reply(408, "timeout", "Connection: close")],
] as const) {
  scenario(`S3-05 S0-13 ${what} on an idle connection reaches nobody`, { origin: own, workers: 2 }, async (scene) => {
    const client = await scene.client();
    for (let n = 0; n < 20; n += 1) {
      assert.equal((await client.ask(`GET /${n}`)).body.toString(), `/${n}`);
      await scene.origin.lastConnection.send(bytes);
      await scene.sees("origin_connections_open", 0);
      await client.seesSilence(0);
    }
    assert.equal(await scene.counter("origin_closes_stray_bytes"), 20);
    await everybodyGetsTheirOwn(scene);
  });
}

scenario(
  "S3-05 an early answer and then another for the body reaches nobody else",
  {
    origin: async (connection) => {
      if (connection.id > 0) return echo()(connection);
      const head = await connection.head();
      await connection.send(reply(413, "too much"));
      await connection.body(head).catch(() => undefined);
      await connection.send(poison);
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /a", "Content-Length: 100000"));
    assert.equal((await client.answer("POST")).status, 413);
    await client.close();
    for (let n = 0; n < 5; n += 1) {
      const other = await scene.client();
      assert.ok(!(await other.ask("GET /b")).body.includes("poison"));
    }
  },
);
