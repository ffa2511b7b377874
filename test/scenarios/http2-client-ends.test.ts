/** How streams and connections of HTTP/2 end: by the client, by its leaving, by the origin's faults. */
import { strict as assert } from "node:assert";
import { byPath, reply, serve } from "../support/behaviours.js";
import { goaway } from "../support/http2-frames.js";
import { bothWays, openHttp2, priorKnowledge } from "../support/http2-scene.js";
import type { Handler } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { TlsWorld } from "../support/tls.js";
import { pause } from "../support/wire.js";

const world = new TlsWorld();

/** Says nothing until its connection ends. */
const silent: Handler = async (_, connection) => {
  await connection.ended(60_000);
};
const answering: Handler = (asked, connection) => connection.send(reply(200, asked.target));

bothWays(
  world,
  "RST_STREAM of the client cancels the attempt: the origin's connection is closed, the outcome is client gone",
  { origin: byPath({ "/wait": silent, "/other": answering }), accessLog: true },
  async (open, scene) => {
    const peer = await open();
    const stream = await peer.request("GET /wait");
    await scene.origin.sees("the request", (origin) => origin.requests.length === 1);
    await peer.reset(stream);
    await scene.origin.sees("the end of its connection", (origin) => origin.open.length === 0);
    await scene.sees("exchanges_open", 0);
    assert.equal(await scene.counter("client_fault_client_gone"), 1);
    assert.equal(await scene.counter("http2_resets_by_client"), 1);
    assert.equal(await scene.counter("origin_failures"), 0, "nobody blames the origin");
    const [line] = await scene.accessLog(1);
    assert.match(JSON.stringify(line), /client_gone/);
    assert.equal((await peer.ask("GET /other")).body.toString(), "/other", "the connection serves on");
  },
);

scenario(
  "RST_STREAM in the middle of an answer, and in the middle of an upload, cancel as well",
  {
    settings: priorKnowledge(),
    origin: async (connection) => {
      const asked = await connection.head();
      if (asked.method === "GET") {
        await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome");
        await connection.ended();
      } else await connection.body(asked);
    },
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const down = await peer.request("GET /down");
    await peer.until("the beginning", () => peer.received(down).bytes === 4 || undefined);
    await peer.reset(down);
    await scene.sees("origin_connections_open", 0);
    const up = await peer.request("POST /up", { open: true });
    await peer.data(up, "some");
    await scene.origin.sees("the beginning", (origin) => origin.lastConnection.wire.received.includes("some"));
    await peer.reset(up);
    await scene.sees("exchanges_open", 0);
    await scene.sees("origin_connections_open", 0);
    assert.deepEqual(
      scene.origin.requests.filter(({ complete }) => complete),
      [],
    );
    assert.equal(await scene.counter("client_fault_client_gone"), 2);
    await peer.roundTrip();
  },
);

scenario(
  "what comes on a stream that was reset is of no consequence: DATA, trailers, WINDOW_UPDATE, another RST_STREAM",
  { settings: priorKnowledge(), origin: byPath({ "/wait": silent, "/other": answering }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    // RFC 9113 5.1: what was on its way when we reset is ignored.
    const stream = await peer.request("POST /wait", { open: true, fields: [["content-length", "1"]] });
    await peer.data(stream, "more than one");
    assert.equal(await peer.resetOf(stream), "PROTOCOL_ERROR");
    await peer.data(stream, "still more");
    await peer.give(stream, 100);
    await peer.reset(stream);
    assert.equal((await peer.ask("GET /other")).status, 200);
  },
);

for (const how of ["FIN", "reset"] as const)
  for (const halfClose of ["abort", "finish", "propagate"] as const)
    scenario(
      `half-close matrix, ${halfClose}, HTTP/2: ${how} of a connection with open streams aborts all of them`,
      {
        settings: priorKnowledge({ routes: [{ forwardTo: "app", halfClose }] }),
        origin: async (connection) => {
          await connection.head();
          await connection.ended();
        },
      },
      async (scene) => {
        const peer = await openHttp2(scene);
        for (let n = 0; n < 3; n += 1) await peer.request(`GET /${n}`);
        await peer.data(await peer.request("POST /up", { open: true }), "some");
        await scene.origin.sees("four requests", (origin) => origin.accepted === 4);
        await (how === "FIN" ? peer.wire.halfClose() : peer.wire.reset());
        await scene.origin.sees("the end of all connections", (origin) => origin.open.length === 0);
        await scene.sees("exchanges_open", 0);
        await scene.sees("client_connections_open", 0);
        assert.equal(await scene.counter("client_fault_client_gone"), 4);
        assert.equal(await scene.counter("origin_failures"), 0);
        assert.equal(await scene.counter("http2_connections_open"), 0);
      },
    );

for (const halfClose of ["abort", "finish", "propagate"] as const)
  scenario(
    `half-close matrix, ${halfClose}, HTTP/2: END_STREAM alone is never an abort`,
    {
      settings: priorKnowledge({ routes: [{ forwardTo: "app", halfClose }] }),
      origin: serve(async (asked, connection) => {
        await pause(150);
        await connection.send(reply(200, asked.body));
      }),
    },
    async (scene) => {
      const peer = await openHttp2(scene);
      const [late, bodied] = await Promise.all([peer.ask("GET /late"), peer.ask("POST /late", { body: "all" })]);
      assert.deepEqual([late.status, bodied.body.toString()], [200, "all"]);
      assert.equal(await scene.counter("client_half_closes"), 0);
    },
  );

scenario(
  "an idle connection that the client ends is closed in silence",
  { settings: priorKnowledge() },
  async (scene) => {
    const peer = await openHttp2(scene);
    await peer.ask("GET /a");
    await peer.wire.halfClose();
    const error = await peer.seesEnd();
    assert.ok(error === undefined || error === "NO_ERROR", String(error));
    await scene.sees("client_connections_open", 0);
    assert.equal(await scene.counter("client_closes_by_client"), 1);
    assert.equal(await scene.counter("client_closes_error"), 0);
  },
);

scenario(
  "GOAWAY of the client: its open streams are answered",
  {
    settings: priorKnowledge(),
    origin: serve(async (asked, connection) => {
      await pause(100);
      await connection.send(reply(200, asked.target));
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const streams = [await peer.request("GET /1"), await peer.request("GET /2")];
    await peer.send(goaway(0));
    for (const [n, stream] of streams.entries()) assert.equal((await peer.answer(stream)).body.toString(), `/${n + 1}`);
    await peer.wire.halfClose();
    await scene.sees("client_connections_open", 0);
    assert.equal(await scene.counter("client_fault_client_gone"), 0);
  },
);

const FAULTS: readonly (readonly [what: string, handler: Handler, status: number])[] = [
  ["ends before its head", (_, connection) => connection.close(), 502],
  ["resets before its head", (_, connection) => connection.reset(), 502],
  ["sends garbage", (_, connection) => connection.send("garbage\r\n\r\n"), 502],
  ["keeps silent", silent, 504],
];

for (const [what, handler, status] of FAULTS)
  scenario(
    `an origin that ${what} is a ${status} on its stream; the connection serves on`,
    {
      settings: priorKnowledge({ routes: [{ forwardTo: "app", retry: false }] }),
      origin: byPath({ "/bad": handler, "/good": answering }),
      originSettings: { firstByteMs: 300 },
    },
    async (scene) => {
      const peer = await openHttp2(scene);
      const [bad, good] = await Promise.all([peer.ask("POST /bad", { body: "x" }), peer.ask("GET /good")]);
      assert.deepEqual([bad.status, good.status], [status, 200]);
      assert.equal((await peer.ask("GET /good")).status, 200);
      assert.equal(await scene.counter("http2_connections_open"), 1);
    },
  );

const CUTS: readonly (readonly [what: string, bytes: string])[] = [
  ["a length that is not reached", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"],
  ["chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
  ["a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n"],
];

for (const [what, bytes] of CUTS)
  for (const ending of ["close", "reset", "silence"] as const)
    scenario(
      `S4-03 an answer cut by ${what} and ${ending} ends in RST_STREAM, never in END_STREAM`,
      {
        settings: priorKnowledge(),
        accessLog: true,
        originSettings: { betweenBytesMs: 300 },
        origin: byPath({
          "/cut": async (_, connection) => {
            await connection.send(bytes);
            await pause(50);
            if (ending === "close") await connection.close();
            if (ending === "reset") await connection.reset();
            if (ending === "silence") await connection.ended();
          },
          "/good": answering,
        }),
      },
      async (scene) => {
        const peer = await openHttp2(scene);
        const stream = await peer.request("GET /cut");
        const { status, reset, whole } = await peer.outcome(stream);
        assert.equal(whole, status === 502, `status ${status}, reset ${reset}`);
        if (!whole) assert.equal(reset, "INTERNAL_ERROR");
        assert.equal((await peer.ask("GET /good")).status, 200, "the connection serves on");
        assert.equal(await scene.counter("answers_broken"), 1);
        assert.match(JSON.stringify(await scene.accessLog(1)), /truncated|malformed|eof|reset|timeout/);
      },
    );

scenario(
  "S3-05 a late answer after a first-byte timeout reaches nobody: only its stream fails, the connection stays",
  {
    settings: priorKnowledge({ routes: [{ forwardTo: "app", retry: false }] }),
    originSettings: { firstByteMs: 200 },
    origin: byPath({
      "/late": async (_, connection) => {
        await pause(500);
        await connection.send(reply(200, "late"));
      },
      "/other": answering,
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const late = await peer.request("GET /late");
    const { status } = await peer.outcome(late);
    assert.equal(status, 504);
    for (let turn = 0; turn < 8; turn += 1) {
      assert.equal((await peer.ask("GET /other")).body.toString(), "/other");
      await pause(60);
    }
    assert.ok(!peer.received(late).pieces.some((piece) => piece.includes("late\n")));
    assert.equal(await scene.counter("client_connections_accepted"), 1);
  },
);

scenario(
  "S3-05 an answer that stops midway resets its stream alone; what comes late on the origin's connection reaches nobody",
  {
    settings: priorKnowledge(),
    originSettings: { betweenBytesMs: 200 },
    origin: byPath({
      "/stops": async (_, connection) => {
        await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfirst");
        await pause(500);
        await connection.send("lat");
      },
      "/other": answering,
    }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stops = await peer.request("GET /stops");
    const beside = await peer.request("GET /other");
    assert.equal(await peer.resetOf(stops), "INTERNAL_ERROR");
    assert.equal((await peer.answer(beside)).status, 200);
    for (let turn = 0; turn < 8; turn += 1) {
      assert.equal((await peer.ask("GET /other")).body.toString(), "/other");
      await pause(60);
    }
    assert.equal(Buffer.concat(peer.received(stops).pieces).toString(), "first");
  },
);

scenario(
  "an early answer is given whole, the rest of the upload is not wanted, and the connection serves on",
  {
    settings: priorKnowledge(),
    origin: async (connection) => {
      const head = await connection.head();
      if (head.target === "/early") {
        await connection.send(reply(403, "no", "Connection: close"));
        await connection.ended();
      } else await connection.send(reply(200, head.target));
    },
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.request("POST /early", { open: true, fields: [["content-length", "1000000"]] });
    await peer.data(stream, "some");
    assert.equal((await peer.answer(stream)).body.toString(), "no");
    // RFC 9113 8.1: told after the answer's end, with NO_ERROR.
    assert.equal(await peer.resetOf(stream), "NO_ERROR");
    await peer.data(stream, Buffer.alloc(10_000));
    assert.equal((await peer.ask("GET /next")).body.toString(), "/next");
  },
);
