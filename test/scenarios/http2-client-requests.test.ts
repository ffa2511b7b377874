/** Requests and answers over HTTP/2: what the origin is told, what the client gets, many at once, and the books of it. */
import { strict as assert } from "node:assert";
import { byPath, chunkedReply, echo, echoed, fixed, reply, serve, verbatim } from "../support/behaviours.js";
import type { FieldPair } from "../support/hpack.js";
import { bothWays, openHttp2, priorKnowledge } from "../support/http2-scene.js";
import { scenario } from "../support/scene.js";
import { TlsWorld } from "../support/tls.js";
import { pause } from "../support/wire.js";

const world = new TlsWorld();

bothWays(
  world,
  "a request reaches the origin as HTTP/1.1, with its Host, and the answer comes back",
  {},
  async (open) => {
    const peer = await open();
    const answer = await peer.ask("GET /a?b=c", { fields: [["x-test", "1"]] });
    assert.equal(answer.status, 200);
    assert.equal(answer.fields.one("content-type"), "application/json");
    const seen = echoed(answer);
    assert.deepEqual([seen.method, seen.target, seen.version], ["GET", "/a?b=c", "HTTP/1.1"]);
    const fields = new Map(seen.fields.map(([name, value]) => [name.toLowerCase(), value]));
    assert.equal(fields.get("host"), "a.example");
    assert.equal(fields.get("x-test"), "1");
    assert.match(fields.get("via") ?? "", /^2(\.0)? millrace$/);
    assert.equal(seen.fields.filter(([name]) => name.startsWith(":")).length, 0);
    assert.equal(seen.framing, "none");
  },
);

bothWays(world, "bodies go both ways, by length and without one", {}, async (open) => {
  const peer = await open();
  const told = echoed(await peer.ask("POST /up", { body: "hello", fields: [["content-length", "5"]] }));
  assert.deepEqual([told.body, told.framing], ["hello", "length"]);
  const untold = echoed(await peer.ask("POST /up", { body: "hello" }));
  assert.deepEqual([untold.body, untold.framing], ["hello", "chunked"]);
  const empty = echoed(await peer.ask("POST /up", { fields: [["content-length", "0"]] }));
  assert.deepEqual([empty.body, empty.framing], ["", "length"]);
  assert.equal(echoed(await peer.ask("PUT /up", { body: "" })).body, "");
});

bothWays(
  world,
  "a hundred streams at once, answered in any order: each has its own answer, over one connection",
  {
    origin: serve(async (asked, connection) => {
      await pause(Math.random() * 40);
      await connection.send(reply(200, `${asked.target} ${asked.body}`, `X-Path: ${asked.target}`));
    }),
  },
  async (open, scene) => {
    const peer = await open();
    const paths = Array.from({ length: 100 }, (_, n) => `/${n}`);
    const answers = await Promise.all(paths.map((path) => peer.ask(`POST ${path}`, { body: `body of ${path}` })));
    for (const [n, answer] of answers.entries()) {
      assert.equal(answer.fields.one("x-path"), paths[n]);
      assert.equal(answer.body.toString(), `${paths[n]} body of ${paths[n]}`);
    }
    assert.equal(await scene.counter("client_connections_accepted"), 1);
    assert.equal(await scene.counter("http2_streams"), 100);
    assert.equal(await scene.counter("requests"), 100);
    await scene.sees("http2_streams_open", 0);
  },
);

scenario(
  "a thousand requests over one connection, ten at a time, reuse origin connections",
  { settings: priorKnowledge(), origin: fixed("hello"), originOptions: { record: false } },
  async (scene) => {
    const peer = await openHttp2(scene, { bodies: false });
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let n = 0; n < 100; n += 1) assert.equal((await peer.ask("GET /")).status, 200);
      }),
    );
    assert.ok(scene.origin.accepted <= 10, `${scene.origin.accepted} origin connections`);
    assert.equal(await scene.counter("http2_streams"), 1_000);
  },
);

scenario(
  "over two workers, connections of both versions share the origin's pool",
  { settings: priorKnowledge(), workers: 2 },
  async (scene) => {
    const peers = await Promise.all(Array.from({ length: 6 }, () => openHttp2(scene)));
    const old = await scene.client();
    for (let turn = 0; turn < 5; turn += 1) {
      const answers = await Promise.all(peers.map((peer, n) => peer.ask(`GET /${turn}/${n}`)));
      for (const [n, answer] of answers.entries()) assert.equal(echoed(answer).target, `/${turn}/${n}`);
      assert.equal((await old.ask("GET /old")).status, 200);
    }
    assert.ok((await scene.counter("origin_requests_reused")) > 0);
  },
);

bothWays(
  world,
  "HEAD, 204 and 304 end with their heads, and the fields are those of the origin",
  {
    origin: byPath({
      "/head": (_, connection) => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nETag: x\r\n\r\n"),
      "/204": (_, connection) => connection.send("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"),
      "/304": (_, connection) => connection.send('HTTP/1.1 304 Not Modified\r\nETag: "y"\r\nContent-Length: 9\r\n\r\n'),
    }),
  },
  async (open) => {
    const peer = await open();
    for (let turn = 0; turn < 2; turn += 1) {
      const head = await peer.ask("HEAD /head");
      assert.deepEqual([head.status, head.fields.one("content-length"), head.body.length], [200, "4000", 0]);
      const nothing = await peer.ask("GET /204");
      assert.deepEqual([nothing.status, nothing.fields.one("x-a"), nothing.body.length], [204, "b", 0]);
      const same = await peer.ask("GET /304");
      assert.deepEqual([same.status, same.fields.one("etag"), same.body.length], [304, '"y"', 0]);
    }
  },
);

bothWays(
  world,
  "trailers go both ways, and what may not be a trailer stays behind",
  {
    origin: serve((asked, connection) =>
      connection.send(
        chunkedReply(
          [JSON.stringify(asked.trailers.lines)],
          ["X-Sum: 42", "Content-Length: 3", "Connection: close", "grpc-status: 0"],
        ),
      ),
    ),
  },
  async (open) => {
    const peer = await open();
    const answer = await peer.ask("POST /up", {
      body: "x",
      trailers: [
        ["x-first", "1"],
        ["x-second", "2"],
      ],
    });
    const seen = JSON.parse(answer.body.toString()) as { name: string; value: string }[];
    assert.deepEqual(
      seen.map(({ name, value }) => [name.toLowerCase(), value]),
      [
        ["x-first", "1"],
        ["x-second", "2"],
      ],
    );
    assert.deepEqual(answer.trailers?.lines, [
      { name: "x-sum", value: "42" },
      { name: "grpc-status", value: "0" },
    ]);
  },
);

scenario("trailers behind a body of no bytes reach the origin too", { settings: priorKnowledge() }, async (scene) => {
  const peer = await openHttp2(scene);
  const seen = echoed(await peer.ask("POST /up", { trailers: [["x-only", "1"]] }));
  assert.deepEqual(
    [seen.body, seen.trailers.map(([name, value]) => [name.toLowerCase(), value])],
    ["", [["x-only", "1"]]],
  );
});

bothWays(
  world,
  "103 is relayed as it comes, before the answer",
  {
    origin: serve(async (_, connection) => {
      await connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
      await pause(100);
      await connection.send(reply(200, "done"));
    }),
  },
  async (open) => {
    const peer = await open();
    const stream = await peer.request("GET /a");
    await peer.until("the hint", () => peer.received(stream).interim.length > 0 || undefined);
    assert.equal(peer.received(stream).head, undefined, "the answer is still to come");
    const answer = await peer.answer(stream);
    assert.deepEqual(
      answer.interim.map(({ status, fields }) => [status, fields.one("link")]),
      [[103, "</a.css>; rel=preload"]],
    );
    assert.equal(answer.body.toString(), "done");
  },
);

bothWays(
  world,
  "the origin's 100 is relayed, then the body goes, then the answer comes",
  {
    origin: async (connection) => {
      const head = await connection.head();
      await connection.send("HTTP/1.1 100 Continue\r\n\r\n");
      const { body } = await connection.body(head);
      await connection.send(reply(200, body));
    },
  },
  async (open) => {
    const peer = await open();
    const stream = await peer.request("POST /up", { open: true, fields: [["expect", "100-continue"]] });
    await peer.until("100", () => peer.received(stream).interim[0]?.pseudo[":status"] === "100" || undefined);
    await peer.upload(stream, "now");
    assert.equal((await peer.answer(stream)).body.toString(), "now");
  },
);

scenario(
  "a final answer in place of 100 is given, and the stream ends without its body",
  {
    settings: priorKnowledge(),
    origin: async (connection) => {
      await connection.head();
      await connection.send(reply(417, "no"));
    },
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.request("POST /up", { open: true, fields: [["expect", "100-continue"]] });
    assert.equal((await peer.answer(stream)).status, 417);
    // RFC 9113 8.1: NO_ERROR says that the rest of the request is not wanted.
    assert.equal(await peer.resetOf(stream), "NO_ERROR");
    assert.equal((await peer.ask("GET /next")).status, 417);
  },
);

const CRUMBS: readonly FieldPair[] = [
  ["cookie", "a=1"],
  ["x-between", "x"],
  ["cookie", "b=2"],
  ["cookie", "c=3; d=4"],
];

scenario("cookie crumbs are joined by '; ' into one field", { settings: priorKnowledge() }, async (scene) => {
  const peer = await openHttp2(scene);
  const seen = echoed(await peer.ask("GET /a", { fields: CRUMBS }));
  const cookies = seen.fields.filter(([name]) => name.toLowerCase() === "cookie").map(([, value]) => value);
  assert.deepEqual(cookies, ["a=1; b=2; c=3; d=4"], "RFC 9113 8.2.3");
});

scenario(
  "other fields keep their order and duplicates, set-cookie both",
  {
    settings: priorKnowledge(),
    origin: byPath({
      "/echo": (asked, connection) => connection.send(reply(200, JSON.stringify(asked.fields.all("x-many")))),
      "/cookies": (_, connection) => connection.send(reply(200, "", "Set-Cookie: a=1", "X-B: 2", "Set-Cookie: c=3")),
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const many = Array.from({ length: 40 }, (_, n): FieldPair => ["x-many", String(n)]);
    const seen = JSON.parse((await peer.ask("GET /echo", { fields: many })).body.toString()) as string[];
    assert.deepEqual(
      seen,
      many.map(([, value]) => value),
    );
    assert.deepEqual((await peer.ask("GET /cookies")).fields.all("set-cookie"), ["a=1", "c=3"]);
  },
);

scenario(
  "what belongs to a connection of HTTP/1 does not reach the client; names come in lower case",
  {
    settings: priorKnowledge(),
    origin: verbatim(
      "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-UPPER-Case: Yes\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const answer = await peer.ask("GET /a");
    assert.equal(answer.body.toString(), "ok");
    assert.equal(answer.fields.one("x-upper-case"), "Yes");
    for (const name of ["connection", "keep-alive", "x-hop", "proxy-connection", "upgrade", "transfer-encoding"])
      assert.ok(!answer.fields.has(name), name);
  },
);

scenario("TE: trailers passes", { settings: priorKnowledge() }, async (scene) => {
  const peer = await openHttp2(scene);
  const answer = await peer.ask("GET /a", { fields: [["te", "trailers"]] });
  assert.equal(answer.status, 200);
  const te = echoed(answer).fields.filter(([name]) => name.toLowerCase() === "te");
  assert.deepEqual(
    te.map(([, value]) => value.toLowerCase()),
    ["trailers"],
  );
});

scenario(
  "an answer in DATA of a body without a length, and one that ends with its connection, end with END_STREAM",
  {
    settings: priorKnowledge(),
    origin: byPath({
      "/chunked": (_, connection) => connection.send(chunkedReply(["one", "two"])),
      "/close": async (_, connection) => {
        await connection.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        await connection.close();
      },
      "/empty": (_, connection) => connection.send(reply(200)),
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    assert.equal((await peer.ask("GET /chunked")).body.toString(), "onetwo");
    assert.equal((await peer.ask("GET /close")).body.toString(), "until the end");
    assert.equal((await peer.ask("GET /empty")).body.toString(), "");
  },
);

bothWays(
  world,
  "the access log says HTTP/2 in a line of its own for each stream, and the books count it",
  { origin: echo(), accessLog: true },
  async (open, scene) => {
    const peer = await open();
    const streams = [await peer.request("POST /one?q=1", { body: "12345" }), await peer.request("GET /two")];
    for (const stream of streams) await peer.answer(stream);
    const lines = await scene.accessLog(2);
    const one = lines.find((line) => line["path"] === "/one?q=1");
    assert.ok(one !== undefined && lines.some((line) => line["path"] === "/two"));
    assert.deepEqual(
      [one["protocol"], one["method"], one["host"], one["status"], one["request_bytes"], one["client"]],
      ["HTTP/2", "POST", "a.example", 200, 5, "127.0.0.1"],
    );
    assert.ok(Number(one["bytes"]) > 0);
    for (const [name, value] of [
      ["http2_connections", 1],
      ["http2_connections_open", 1],
      ["http2_streams", 2],
      ["http2_streams_open", 0],
      ["http2_resets_by_client", 0],
      ["http2_resets_by_us", 0],
      ["requests", 2],
      ["answers_2xx", 2],
    ] as const)
      assert.equal(await scene.counter(name), value, name);
  },
);

scenario(
  "answers of our own, redirects and fields that routes edit are the same over HTTP/2",
  {
    settings: priorKnowledge({
      routes: [
        { match: { path: "/fixed" }, answer: { status: 418, body: "teapot", headers: { "X-Mine": "1" } } },
        { match: { path: "/go" }, forwardTo: "app" },
      ],
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const fixedAnswer = await peer.ask("GET /fixed");
    assert.deepEqual([fixedAnswer.status, fixedAnswer.body.toString()], [418, "teapot"]);
    assert.equal(fixedAnswer.fields.one("x-mine"), "1");
    assert.equal((await peer.ask("GET /nowhere")).status, 404);
    assert.equal((await peer.ask("GET /go")).status, 200);
    assert.equal((await peer.ask("HEAD /fixed")).body.length, 0);
  },
);
