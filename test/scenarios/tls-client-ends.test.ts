/** Ends over TLS: both sides say that they end, an end nobody announced is a cut, and one direction may end alone. */
import { strict as assert } from "node:assert";
import { echoed, reply, serve, verbatimAndClose } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { missing } from "../support/peers.js";
import { scenario } from "../support/scene.js";
import { NAME, runApart, TlsWorld } from "../support/tls.js";
import { TappedClient } from "../support/tls-records.js";
import { pause } from "../support/wire.js";

const world = new TlsWorld();
const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

for (const version of VERSIONS) {
  const asks = world.asks({ minVersion: version, maxVersion: version });

  scenario(
    `an answer that ends with the connection ends with close_notify, then FIN (${version})`,
    { settings: world.settings(), origin: verbatimAndClose("HTTP/1.1 200 OK\r\n\r\n", "all there is") },
    async (scene) => {
      for (const version10 of [true, false]) {
        const client = await TappedClient.connect(scene.port, asks);
        await client.wire.send(version10 ? "GET / HTTP/1.0\r\n\r\n" : request("GET /", "Connection: close"));
        const all = (await client.wire.takeAll()).toString();
        assert.ok(all.includes("all there is"), all);
        assert.equal(client.wire.ending, "end");
        assert.ok(await client.wasToldEnd());
        await client.close();
      }
    },
  );

  scenario(
    `S3-12 an answer that breaks off does not end with close_notify: nobody can take it for whole (${version})`,
    {
      settings: world.settings(),
      origin: serve(async (_, connection) => {
        await connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
        await connection.pause(50);
        await connection.reset();
      }),
    },
    async (scene) => {
      const client = await TappedClient.connect(scene.port, asks);
      await client.wire.send("GET / HTTP/1.0\r\n\r\n");
      const all = (await client.wire.takeAll()).toString();
      assert.ok(all.endsWith("part"), all);
      assert.ok(!(await client.wasToldEnd()));
      await client.close();
    },
  );

  scenario(
    `S3-12 a client that ends its upload short by close_notify has a short body, and the origin sees no end (${version})`,
    { settings: world.settings() },
    async (scene) => {
      for (const [index, framing] of ["Content-Length: 100", "Transfer-Encoding: chunked"].entries()) {
        const client = await TappedClient.connect(scene.port, asks);
        await client.wire.send(`${request("POST /up", framing)}${index === 0 ? "some" : "4\r\nsome\r\n"}`);
        const began = (): boolean => scene.origin.connections.at(index)?.wire.received.includes("some") === true;
        await scene.origin.sees("the beginning", began);
        client.tap.finFollows = false;
        client.tls.end();
        await scene.origin.connections.at(index)?.ended();
        await client.wire.takeAll();
        await client.close();
      }
      assert.equal(scene.origin.requests.filter(({ complete }) => complete).length, 0);
      for (const fault of ["origin_fault_eof_before_headers", "origin_fault_reset_before_headers"] as const)
        assert.equal(await scene.counter(fault), 0);
    },
  );

  scenario(
    `a client that says it ends behind a whole request gets its answer, and our word that we end (${version})`,
    {
      settings: world.settings(),
      origin: serve(async (asked, connection) => {
        await connection.pause(50);
        await connection.send(reply(200, asked.body));
      }),
    },
    async (scene) => {
      for (const finFollows of [true, false]) {
        const client = await TappedClient.connect(scene.port, asks);
        client.tap.finFollows = finFollows;
        await client.wire.send(`${request("POST /up", "Transfer-Encoding: chunked")}3\r\nall\r\n0\r\n\r\n`);
        client.tls.end();
        const all = (await client.wire.takeAll()).toString();
        assert.match(all, /^HTTP\/1\.1 200 .*\r\n\r\nall$/s);
        assert.ok(await client.wasToldEnd(), `fin follows: ${finFollows}`);
        await client.close();
      }
    },
  );

  scenario(
    `a client that ends an idle connection gets our word and a FIN at once (${version})`,
    { settings: world.settings() },
    async (scene) => {
      const client = await TappedClient.connect(scene.port, asks);
      await client.wire.send(request("GET /"));
      await client.wire.until("the answer", (unread) => (unread.includes("\r\n\r\n{") ? true : undefined));
      client.wire.take(client.wire.unread.length);
      client.tap.finFollows = false;
      client.tls.end();
      await client.wire.takeAll(2_000);
      assert.ok(await client.wasToldEnd());
      await client.close();
      await scene.sees("client_closes_by_client", 1);
    },
  );

  scenario(
    `a FIN without close_notify in the middle of an upload is a cut, and behind a whole request loses nothing (${version})`,
    { settings: world.settings() },
    async (scene) => {
      const client = await TappedClient.connect(scene.port, asks);
      await client.wire.send(`${request("POST /up", "Content-Length: 100")}some`);
      await scene.origin.sees("the beginning", (origin) => origin.receivedBytes > 0);
      client.tap.socket.end();
      await scene.origin.lastConnection.ended();
      await client.close();
      await scene.sees("exchanges_open", 0);
      assert.equal(scene.origin.requests.filter(({ complete }) => complete).length, 0);
      const whole = await TappedClient.connect(scene.port, asks);
      await whole.wire.send(request("GET /whole"));
      whole.tap.socket.end();
      await whole.wire.until("the answer", (unread) => (unread.includes("\r\n\r\n{") ? true : undefined));
      await whole.close();
    },
  );
}

scenario(
  "a client that stays silent behind its close_notify is not waited for longer than lingering takes",
  { settings: world.settings({}, { timeouts: { clientLingerMs: 300 } }) },
  async (scene) => {
    const client = await TappedClient.connect(scene.port, world.asks());
    client.tap.finFollows = false;
    client.tls.end();
    await pause(0);
    await scene.sees("client_connections_open", 0, 2_000);
    await client.close();
  },
);

scenario(
  "curl takes a close-delimited answer for whole, and one that breaks off for broken",
  {
    settings: world.settings(),
    origin: serve(async (asked, connection) => {
      await connection.send("HTTP/1.0 200 OK\r\n\r\nsome of it");
      await connection.pause(50);
      await (asked.target === "/whole" ? connection.close() : connection.reset());
    }),
  },
  async (scene) => {
    const fetch = (path: string) =>
      runApart("curl", [
        "-sSk",
        "--http1.0",
        "--resolve",
        `${NAME}:${scene.port}:127.0.0.1`,
        `https://${NAME}:${scene.port}${path}`,
      ]);
    const whole = await fetch("/whole");
    assert.deepEqual([whole.code, whole.out], [0, "some of it"], whole.err);
    // 56: the connection broke while data was received.
    assert.equal((await fetch("/part")).code, 56);
  },
  { skip: missing("curl") },
);

scenario("an echo over TLS is the same as without", { settings: world.settings() }, async (scene) => {
  const client = await scene.client({ tls: world.asks() });
  assert.equal(echoed(await client.post("POST /up", "body")).body, "body");
});
