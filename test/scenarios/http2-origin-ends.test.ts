/** Origins of HTTP/2 that go, refuse, fail or attack: what was not processed is sent again, what was is told as it is. */
import { strict as assert } from "node:assert";
import { request } from "../support/client.js";
import { encodeFields, literal } from "../support/hpack.js";
import {
  continuation,
  data,
  frame,
  goaway,
  headers,
  ping,
  priority,
  resetStream,
  settings,
  windowUpdate,
} from "../support/http2-frames.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import {
  type AskedHere,
  answerHttp2,
  echoHttp2,
  peersOf,
  serveHttp2,
  speakingHttp2,
  toHttp2,
  toldBy,
} from "../support/http2-scripts.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** The first connection plays `first`, all others echo. */
function firstThenEcho(first: Script): Script {
  return (connection) => (connection.id === 0 ? first : echoHttp2())(connection);
}

for (const method of ["GET", "POST"] as const)
  scenario(
    `S3-09 ${method}: streams above the last one of a GOAWAY were not processed, and are sent again elsewhere`,
    toHttp2({
      origin: firstThenEcho(
        speakingHttp2(async (peer, connection) => {
          const first = await peer.nextRequest();
          const second = await peer.nextRequest();
          await peer.send(goaway(first.stream));
          await answerHttp2({ peer, ...first, path: "", connection }, 200, "first");
          assert.ok(second.stream > first.stream);
          await connection.ended();
        }),
      ),
      settings: { routes: [{ forwardTo: "app", retry: false }] },
    }),
    async (scene) => {
      const [one, other] = [await scene.client(), await scene.client()];
      const first = one.ask("GET /first");
      await scene.origin.sees("the first connection", (origin) => origin.accepted === 1);
      const second = method === "POST" ? other.post("POST /second", "body") : other.ask("GET /second");
      const answers = await Promise.all([first, second]);
      assert.equal(answers[0].body.toString(), "first");
      const told = toldBy(answers[1]);
      assert.deepEqual(
        [told.pseudo[":path"], told.connection, told.body],
        ["/second", 1, method === "POST" ? "body" : ""],
      );
    },
  );

for (const [whole, ends, length, error] of [
  [true, true, null, "NO_ERROR"],
  [true, true, null, "CANCEL"],
  [true, false, null, "NO_ERROR"],
  [false, false, "7", "NO_ERROR"],
  [false, false, null, "CANCEL"],
] as const)
  scenario(
    `an answer with ${ends ? "its end" : "no end"} and ${length === null ? "no" : "a longer"} length before a reset (${error}) is ${whole ? "whole" : "cut"} (RFC 9113 8.1)`,
    toHttp2({
      origin: speakingHttp2(async (peer, connection) => {
        const { stream } = await peer.nextRequest();
        await peer.respond(stream, 200, length === null ? [] : [["content-length", length]], false);
        await peer.send(Buffer.concat([data(stream, "enough", ends), resetStream(stream, error)]));
        await connection.ended();
      }),
    }),
    async (scene) => {
      const client = await scene.client();
      await client.send(request("POST /a", "Content-Length: 100000"), "x".repeat(10));
      if (whole) assert.equal((await client.answer()).body.toString(), "enough");
      else await assert.rejects(client.answer(), /truncated/);
      assert.equal(await scene.counter("answers_broken"), whole ? 0 : 1);
      assert.equal(await scene.counter("origin_failures"), whole ? 0 : 1);
    },
  );

scenario(
  "S3-09 GOAWAY at rest: the connection is not used again, and the next request has one of its own",
  toHttp2(),
  async (scene) => {
    const client = await scene.client();
    assert.equal(toldBy(await client.ask("GET /a")).connection, 0);
    await peersOf.get(scene.origin.lastConnection)?.send(goaway(1));
    await scene.origin.lastConnection.ended();
    assert.equal(toldBy(await client.ask("GET /b")).connection, 1);
    assert.equal(await scene.counter("origin_failures"), 0);
  },
);

scenario(
  "S3-09 GOAWAY of 2^31-1 before the real one: what is under way finishes, nothing new is begun",
  toHttp2({
    origin: firstThenEcho(
      serveHttp2(async (asked) => {
        await asked.peer.send(goaway(2 ** 31 - 1));
        await pause(150);
        await answerHttp2(asked, 200, "late");
        await asked.peer.send(goaway(asked.stream));
      }),
    ),
  }),
  async (scene) => {
    const [one, other] = [await scene.client(), await scene.client()];
    const late = one.ask("GET /late");
    await scene.origin.sees("the first connection", (origin) => origin.accepted === 1);
    await pause(60);
    assert.equal(toldBy(await other.ask("GET /other")).connection, 1);
    assert.equal((await late).body.toString(), "late");
  },
);

for (const method of ["GET", "POST"] as const)
  scenario(
    `${method} on a stream that is refused (REFUSED_STREAM) is sent again, body and all`,
    toHttp2({
      origin: serveHttp2(async (asked) => {
        refusals += 1;
        if (refusals % 2 === 1) await asked.peer.reset(asked.stream, "REFUSED_STREAM");
        else await answerHttp2(asked, 200, await asked.peer.body(asked.stream));
      }),
      settings: { routes: [{ forwardTo: "app", retry: false }] },
    }),
    async (scene) => {
      refusals = 0;
      const client = await scene.client();
      const answer = method === "POST" ? await client.post("POST /a", "body") : await client.ask("GET /a");
      assert.deepEqual([answer.status, answer.body.toString()], [200, method === "POST" ? "body" : ""]);
      assert.equal(refusals, 2);
    },
  );
let refusals = 0;

scenario(
  "an origin that refuses every stream is a 502 or 503 in the end, not a loop",
  toHttp2({
    origin: serveHttp2((asked) => {
      refusals += 1;
      return asked.peer.reset(asked.stream, "REFUSED_STREAM");
    }),
  }),
  async (scene) => {
    refusals = 0;
    const answer = await (await scene.client()).ask("GET /a");
    assert.ok(answer.status === 502 || answer.status === 503, String(answer.status));
    assert.ok(refusals <= 16, `${refusals} times`);
  },
);

scenario(
  "a stream that is reset before its head is a 502 for a POST, and its connection goes on",
  toHttp2({
    origin: serveHttp2(async (asked) => {
      if (asked.path === "/bad") await asked.peer.reset(asked.stream, "INTERNAL_ERROR");
      else await answerHttp2(asked, 200, asked.path);
    }),
  }),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.post("POST /bad", "x")).status, 502);
    assert.equal((await client.ask("GET /good")).status, 200);
    assert.equal(scene.origin.accepted, 1);
  },
);

scenario(
  "S4-03 an answer that is reset midway never ends cleanly, over HTTP/1 nor HTTP/2",
  {
    ...toHttp2({
      origin: serveHttp2(async ({ peer, stream }) => {
        await peer.respond(stream, 200);
        await peer.data(stream, "some");
        await pause(50);
        await peer.reset(stream, "INTERNAL_ERROR");
      }),
    }),
    settings: priorKnowledge(),
  },
  async (scene) => {
    const old = await scene.client();
    await old.send("GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert.equal((await old.answerOrPart()).complete, false);
    const peer = await openHttp2(scene);
    const { whole, reset } = await peer.outcome(await peer.request("GET /a"));
    assert.ok(!whole && reset === "INTERNAL_ERROR", String(reset));
    assert.equal(await scene.counter("answers_broken"), 2);
  },
);

scenario(
  "a client that leaves resets its stream at the origin with CANCEL, and nobody else's",
  toHttp2({
    origin: serveHttp2(async (asked) => {
      if (asked.path === "/other") await answerHttp2(asked, 200, "other");
    }),
  }),
  async (scene) => {
    const [leaving, staying] = [await scene.client(), await scene.client()];
    await staying.ask("GET /other");
    await leaving.send("GET /wait HTTP/1.1\r\nHost: a.example\r\n\r\n");
    const peer = peersOf.get(scene.origin.lastConnection);
    const asked = await peer?.until("the request", () => peer.opened[1]);
    assert.ok(peer !== undefined && asked !== undefined);
    await leaving.reset();
    assert.equal(await peer.resetOf(asked), "CANCEL");
    assert.equal((await staying.ask("GET /other")).status, 200);
    assert.equal(scene.origin.accepted, 1);
  },
);

const MISDEEDS: readonly (readonly [what: string, misdeed: (asked: AskedHere) => Promise<void>])[] = [
  ["DATA before its head", ({ peer, stream }) => peer.data(stream, "x", true)],
  ["a head without :status", ({ peer, stream }) => peer.send(headers(stream, encodeFields([["x-a", "b"]])))],
  ["a :status that is none", ({ peer, stream }) => peer.send(headers(stream, literal(":status", "2x0")))],
  ["101", ({ peer, stream }) => peer.send(headers(stream, encodeFields([[":status", "101"]]), { end: false }))],
  [
    "a name in upper case",
    ({ peer, stream }) =>
      peer.send(
        headers(
          stream,
          encodeFields([
            [":status", "200"],
            ["X-A", "b"],
          ]),
        ),
      ),
  ],
  [
    "Connection",
    ({ peer, stream }) =>
      peer.send(
        headers(
          stream,
          encodeFields([
            [":status", "200"],
            ["connection", "close"],
          ]),
        ),
      ),
  ],
  [
    "less DATA than its length",
    async ({ peer, stream }) => {
      await peer.respond(stream, 200, [["content-length", "10"]]);
      await peer.data(stream, "short", true);
    },
  ],
  [
    "PUSH_PROMISE",
    ({ peer, stream }) =>
      peer.send(
        frame("PUSH_PROMISE", stream, Buffer.concat([Buffer.from([0, 0, 0, 2]), encodeFields([[":method", "GET"]])]), {
          flags: 4,
        }),
      ),
  ],
  [
    "a header block that HPACK cannot read",
    ({ peer, stream }) => peer.send(headers(stream, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f]))),
  ],
  [
    "more than the window",
    async ({ peer, stream }) => {
      await peer.respond(stream, 200);
      for (let n = 0; n < 2_000; n += 1) await peer.send(data(stream, Buffer.alloc(16_384)));
    },
  ],
];

for (const [what, misdeed] of MISDEEDS)
  scenario(
    `an origin that sends ${what} harms its own exchange alone, and a new connection serves the next`,
    toHttp2({
      originOptions: { record: false },
      origin: (connection) =>
        connection.id > 0
          ? echoHttp2()(connection)
          : serveHttp2(async (asked) => {
              await misdeed(asked);
              await connection.ended(5_000).catch(() => undefined);
            })(connection),
      settings: { routes: [{ forwardTo: "app", retry: false }] },
      originSettings: { firstByteMs: 1_000, betweenBytesMs: 500 },
    }),
    async (scene) => {
      const client = await scene.client();
      await client.send("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx");
      const answer = await client.answerOrPart("POST");
      assert.ok(answer.status >= 500 || !answer.complete, `${answer.status}, complete ${answer.complete}`);
      for (const connection of scene.origin.connections) await connection.close();
      const next = await scene.client();
      assert.equal((await next.ask("GET /b")).status, 200);
    },
  );

const FLOODS: readonly (readonly [what: string, make: (n: number) => Buffer])[] = [
  ["SETTINGS", () => settings()],
  ["PING", () => ping()],
  ["WINDOW_UPDATE", () => windowUpdate(0, 1)],
  ["PRIORITY", (n) => priority(2 * n + 1)],
  [
    "empty CONTINUATION",
    (n) => (n === 0 ? headers(1, "", { endHeaders: false, end: false }) : continuation(1, "", false)),
  ],
  ["103", () => headers(1, encodeFields([[":status", "103"]]), { end: false })],
];

for (const [what, make] of FLOODS)
  scenario(
    `an origin that floods with ${what} loses its stream or its connection: a 502, and others are served`,
    toHttp2({
      originOptions: { record: false },
      origin: serveHttp2(async (asked) => {
        const { peer, path } = asked;
        if (path !== "/flood") return answerHttp2(asked, 200, "fine");
        for (
          let n = 0;
          n < 50_000 && peer.ending === "open" && peer.received(asked.stream).reset === undefined;
          n += 100
        )
          await peer.send(...Array.from({ length: 100 }, (_, more) => make(n + more)));
      }),
      settings: { routes: [{ forwardTo: "app", retry: false }] },
    }),
    async (scene) => {
      const client = await scene.client();
      const flooded = await client.post("POST /flood", "x");
      assert.equal(flooded.status, 502);
      assert.equal((await client.ask("GET /fine")).body.toString(), "fine");
    },
  );
