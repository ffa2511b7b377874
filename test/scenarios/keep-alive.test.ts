/** Connections that stay: keep-alive, pipelining and its order, HTTP/1.0 on either side, clients that leave. */
import { strict as assert } from "node:assert";
import { byPath, echoed, reply, serve, verbatimAndClose } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

scenario("one client connection carries a thousand requests over one origin connection", {}, async (scene) => {
  const client = await scene.client();
  for (let n = 0; n < 1_000; n += 1) {
    const seen = echoed(await client.ask(`GET /n/${n}`));
    assert.equal(seen.target, `/n/${n}`);
    assert.equal(seen.connection, 0);
  }
  assert.equal(await scene.counter("origin_requests_reused"), 999);
  assert.equal(await scene.counter("origin_connections_opened"), 1);
});

scenario(
  "pipelined requests are answered in order although the origin answers at different speeds",
  {
    origin: serve(async (asked, connection) => {
      await pause(Number(asked.target.slice(1)) % 3 === 0 ? 15 : 0);
      await connection.send(reply(200, asked.target));
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(...Array.from({ length: 30 }, (_, n) => request(`GET /${n}`)));
    for (let n = 0; n < 30; n += 1) assert.equal((await client.answer()).body.toString(), `/${n}`);
    await client.seesSilence(20);
  },
);

scenario("pipelined requests of two clients never swap answers", { workers: 2 }, async (scene) => {
  const clients = await Promise.all(Array.from({ length: 8 }, () => scene.client()));
  await Promise.all(
    clients.map(async (client, who) => {
      await client.send(...Array.from({ length: 50 }, (_, n) => request(`GET /${who}/${n}`)));
      for (let n = 0; n < 50; n += 1) assert.equal(echoed(await client.answer()).target, `/${who}/${n}`);
    }),
  );
});

scenario(
  "a deep pipeline of 10,000 requests is answered whole and in order",
  {
    settings: { limits: { pipelinedRequests: 100_000 } },
    origin: serve((asked, connection) => connection.send(reply(200, asked.target))),
  },
  async (scene) => {
    const client = await scene.client();
    const sending = client.send(...Array.from({ length: 10_000 }, (_, n) => request(`GET /${n}`)));
    for (let n = 0; n < 10_000; n += 1) assert.equal((await client.answer()).body.toString(), `/${n}`);
    await sending;
  },
);

scenario(
  "the request after the pipeline limit is answered with close",
  { settings: { limits: { pipelinedRequests: 5 } } },
  async (scene) => {
    const client = await scene.client();
    await client.send(...Array.from({ length: 50 }, (_, n) => request(`GET /${n}`)));
    let answered = 0;
    for (;;) {
      const answer = await client.answer();
      assert.equal(echoed(answer).target, `/${answered}`);
      answered += 1;
      if (answer.fields.one("connection") === "close") break;
    }
    assert.ok(answered >= 5 && answered <= 7, `${answered} requests were answered in a row`);
    await client.seesClose();
  },
);

scenario(
  "limits.clientRequests: the last request of a connection is answered with close",
  { settings: { limits: { clientRequests: 3 } } },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /1")).fields.has("connection"), false);
    assert.equal((await client.ask("GET /2")).fields.has("connection"), false);
    assert.equal((await client.ask("GET /3")).fields.one("connection"), "close");
    assert.equal(await client.seesClose(), "end");
  },
);

scenario("S4-05 a client that closes an idle connection is closed without an error", {}, async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  await client.halfClose();
  await client.seesClose();
  await scene.sees("client_connections_open", 0);
  assert.equal(await scene.counter("client_closes_by_client"), 1);
  assert.equal(await scene.counter("client_closes_error"), 0);
});

scenario("a client that closes after its request still gets the answer", {}, async (scene) => {
  const client = await scene.client();
  await client.send(request("GET /last", "Connection: close"));
  await client.halfClose();
  assert.equal(echoed(await client.answer()).target, "/last");
  await client.seesClose();
});

scenario("an HTTP/1.0 client without keep-alive reads to the end", {}, async (scene) => {
  const client = await scene.client();
  const answer = await client.ask("GET /a HTTP/1.0");
  assert.equal(echoed(answer).version, "HTTP/1.1");
  await client.seesClose();
});

scenario("an HTTP/1.0 client with keep-alive is kept and told so", {}, async (scene) => {
  const client = await scene.client();
  for (const path of ["/a", "/b", "/c"]) {
    const answer = await client.ask(`GET ${path} HTTP/1.0`, "Connection: keep-alive");
    assert.equal(answer.fields.one("connection")?.toLowerCase(), "keep-alive");
    assert.equal(echoed(answer).target, path);
  }
  await client.ask("GET /last HTTP/1.0");
  await client.seesClose();
});

scenario(
  "an HTTP/1.0 origin is served by one connection a request",
  {
    origin: verbatimAndClose("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
  },
  async (scene) => {
    const client = await scene.client();
    for (let n = 0; n < 5; n += 1) assert.equal((await client.ask("GET /a")).body.toString(), "hi");
    assert.equal(scene.origin.accepted, 5);
    await scene.sees("origin_connections_open", 0);
  },
);

scenario(
  "an HTTP/1.0 origin that says keep-alive keeps its connection",
  {
    origin: serve((_, connection) =>
      connection.send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"),
    ),
  },
  async (scene) => {
    const client = await scene.client();
    for (let n = 0; n < 5; n += 1) await client.ask("GET /a");
    assert.equal(scene.origin.accepted, 1);
  },
);

scenario(
  "a client reset before its answer costs nobody else anything",
  {
    origin: byPath({
      "/slow": async (_, connection) => {
        await pause(80);
        await connection.send(reply(200, "slow"));
      },
      "/fast": (_, connection) => connection.send(reply(200, "fast")),
    }),
  },
  async (scene) => {
    const gone = await scene.client();
    await gone.send(request("GET /slow"));
    await pause(20);
    await gone.reset();
    const other = await scene.client();
    assert.equal((await other.ask("GET /fast")).body.toString(), "fast");
    await pause(120);
    assert.equal((await other.ask("GET /fast")).body.toString(), "fast");
    await scene.sees("exchanges_open", 0);
  },
);

scenario(
  "connections that never send a byte are nobody's burden",
  { settings: { timeouts: { clientHeadMs: 300 } } },
  async (scene) => {
    const silent = await Promise.all(Array.from({ length: 50 }, () => scene.client()));
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 200);
    await Promise.all(silent.map((one) => one.seesClose()));
  },
);
