/** HTTP/2 to origins: which version is spoken, what a request looks like, and how many share a connection. */
import { strict as assert } from "node:assert";
import { echo, echoed } from "../support/behaviours.js";
import { settings } from "../support/http2-frames.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import {
  answerHttp2,
  echoHttp2,
  peersOf,
  serveHttp2,
  speakingHttp2,
  toHttp2,
  toHttp2OverTls,
  toldBy,
} from "../support/http2-scripts.js";
import { bodyPiece } from "../support/load.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

scenario("with prior knowledge: a request of HTTP/1 arrives as one of HTTP/2", toHttp2(), async (scene) => {
  const client = await scene.client();
  const answer = await client.post("POST /a?b=c", "hello", "X-Test: 1", "Cookie: a=1; b=2");
  assert.equal(answer.status, 200);
  const told = toldBy(answer);
  assert.deepEqual(told.pseudo, {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/a?b=c",
    ":authority": "a.example",
  });
  assert.equal(told.body, "hello");
  const names = told.fields.map(({ name }) => name);
  for (const name of ["host", "connection", "transfer-encoding", "te", "upgrade", "keep-alive"])
    assert.ok(!names.includes(name), name);
  assert.ok(names.includes("x-test") && names.includes("x-forwarded-for"));
});

scenario(
  "requests of HTTP/2 pass through as such, bodies and trailers both ways",
  {
    ...toHttp2({
      origin: serveHttp2(async (asked) => {
        const body = await asked.peer.body(asked.stream);
        const trailers = asked.peer.received(asked.stream).trailers?.fields.one("x-up") ?? "none";
        await answerHttp2(asked, 200, body, [["x-seen", trailers]], [["x-down", "2"]]);
      }),
    }),
    settings: priorKnowledge(),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const body = Buffer.concat([bodyPiece(0, 400_000)]);
    const answer = await peer.ask("POST /up", { body, trailers: [["x-up", "1"]] });
    assert.deepEqual([answer.fields.one("x-seen"), answer.trailers?.one("x-down")], ["1", "2"]);
    assert.ok(answer.body.equals(body));
  },
);

const AGREED: readonly (readonly [
  what: string,
  offered: ("1.1" | "2")[] | undefined,
  spoken: string[],
  version: string,
])[] = [
  ["both speak HTTP/2", ["2", "1.1"], ["h2", "http/1.1"], "2"],
  ["the origin speaks HTTP/1.1 alone", ["2", "1.1"], ["http/1.1"], "1.1"],
  ["nothing is set", undefined, ["h2", "http/1.1"], "1.1"],
  ["HTTP/1.1 alone is set", ["1.1"], ["h2", "http/1.1"], "1.1"],
  ["HTTP/2 alone is set", ["2"], ["h2", "http/1.1"], "2"],
];

for (const [what, httpVersions, spoken, version] of AGREED)
  scenario(
    `ALPN to an origin, where ${what}: HTTP/${version}`,
    toHttp2OverTls(
      {
        origin: (connection) => (connection.session.alpnProtocol === "h2" ? echoHttp2() : echo())(connection),
        originSettings: httpVersions === undefined ? { httpVersions: ["1.1"] } : { httpVersions },
      },
      spoken,
    ),
    async (scene) => {
      const answer = await (await scene.client()).ask("GET /a");
      assert.equal(answer.status, 200);
      if (version === "2") assert.equal(toldBy(answer).pseudo[":scheme"], "https");
      else assert.equal(echoed(answer).version, "HTTP/1.1");
    },
  );

scenario(
  "HTTP/2 alone, and an origin that does not agree to it: 502, and its connection is not used",
  toHttp2OverTls({ origin: echo(), originSettings: { httpVersions: ["2"] } }, ["http/1.1"]),
  async (scene) => {
    const answer = await (await scene.client()).ask("GET /a");
    assert.equal(answer.status, 502);
    assert.equal(scene.origin.requests.length, 0);
  },
);

for (const workers of [1, 2])
  scenario(
    `sixty requests at once of many clients over ${workers} worker${workers === 1 ? "" : "s"} share one connection`,
    toHttp2({
      workers,
      origin: serveHttp2(
        async (asked) => {
          await pause(100);
          await answerHttp2(asked, 200, asked.path);
        },
        { settings: { maxConcurrentStreams: 100 } },
      ),
    }),
    async (scene) => {
      await (await scene.client()).ask("GET /first");
      const clients = await Promise.all(Array.from({ length: 60 }, () => scene.client()));
      const answers = await Promise.all(clients.map((client, n) => client.ask(`GET /${n}`)));
      for (const [n, answer] of answers.entries()) assert.equal(answer.body.toString(), `/${n}`);
      assert.equal(scene.origin.accepted, 1);
    },
  );

for (const most of [1, 3])
  scenario(
    `no more than ${most} streams are open at once where the origin says so, and everybody is served`,
    toHttp2({
      origin: serveHttp2(
        async (asked) => {
          const { peer } = asked;
          const open = peer.opened.filter((stream) => !answered.has(`${asked.connection.id} ${stream}`));
          crowds.push(open.length);
          await pause(20);
          answered.add(`${asked.connection.id} ${asked.stream}`);
          await answerHttp2(asked, 200, asked.path);
        },
        { settings: { maxConcurrentStreams: most } },
      ),
    }),
    async (scene) => {
      await (await scene.client()).ask("GET /first");
      crowds.length = 0;
      const clients = await Promise.all(Array.from({ length: 12 }, () => scene.client()));
      const answers = await Promise.all(clients.map((client, n) => client.ask(`GET /${n}`)));
      for (const [n, answer] of answers.entries()) assert.equal(answer.body.toString(), `/${n}`);
      assert.ok(Math.max(...crowds) <= most, `${Math.max(...crowds)} at once`);
    },
  );
const crowds: number[] = [];
const answered = new Set<string>();

scenario(
  "an origin that allows no streams for a while is waited for, and the request is sent once it allows one",
  toHttp2({
    origin: speakingHttp2(
      async (peer, connection) => {
        await pause(200);
        await peer.announce({ maxConcurrentStreams: 10 });
        for (;;) {
          const { stream, head } = await peer.nextRequest(60_000);
          await answerHttp2({ peer, stream, head, path: head.pseudo[":path"] ?? "", connection }, 200, "at last");
        }
      },
      { settings: { maxConcurrentStreams: 0 } },
    ),
  }),
  async (scene) => {
    const answer = await (await scene.client()).ask("GET /a");
    assert.deepEqual([answer.status, answer.body.toString()], [200, "at last"]);
  },
);

scenario(
  "interim answers of an origin of HTTP/2 are relayed",
  {
    ...toHttp2({
      origin: serveHttp2(async (asked) => {
        await asked.peer.respond(asked.stream, 103, [["link", "</a.css>"]]);
        await pause(50);
        await answerHttp2(asked, 200, "done");
      }),
    }),
    settings: priorKnowledge(),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const answer = await peer.ask("GET /a");
    assert.deepEqual([answer.interim.map(({ status }) => status), answer.body.toString()], [[103], "done"]);
    const old = await (await scene.client()).ask("GET /a");
    assert.deepEqual([old.interim.map(({ status }) => status), old.body.toString()], [[103], "done"]);
  },
);

scenario(
  "HEAD, 204 and 304 of an origin of HTTP/2 end with their heads",
  toHttp2({
    origin: serveHttp2((asked) =>
      asked.path === "/head"
        ? asked.peer.respond(asked.stream, 200, [["content-length", "4000"]], true)
        : asked.peer.respond(asked.stream, Number(asked.path.slice(1)), [], true),
    ),
  }),
  async (scene) => {
    const client = await scene.client();
    for (let turn = 0; turn < 2; turn += 1) {
      assert.equal((await client.ask("HEAD /head")).fields.one("content-length"), "4000");
      assert.equal((await client.ask("GET /204")).status, 204);
      assert.equal((await client.ask("GET /304")).status, 304);
    }
    assert.equal(scene.origin.accepted, 1);
  },
);

scenario(
  "an origin's window is kept to, also when SETTINGS change it below what was sent",
  {
    ...toHttp2({
      origin: speakingHttp2(
        async (peer, connection) => {
          // Before it has heard of them, nobody keeps to our SETTINGS.
          await peer.respond((await peer.nextRequest()).stream, 204, [], true);
          const { stream, head } = await peer.nextRequest();
          await peer.until("the first window", () => peer.received(stream).bytes === 10_000 || undefined);
          await peer.announce({ initialWindowSize: 5_000 });
          await peer.roundTrip();
          await peer.give(stream, 5_000);
          await pause(100);
          assert.equal(peer.received(stream).bytes, 10_000, "the window is at zero");
          await peer.give(stream, 200_000);
          const body = await peer.body(stream);
          await answerHttp2({ peer, stream, head, path: "", connection }, 200, body);
          await connection.ended(60_000);
        },
        { window: "kept", settings: { initialWindowSize: 10_000 } },
      ),
    }),
    settings: priorKnowledge(),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    assert.equal((await peer.ask("GET /first")).status, 204);
    const body = Buffer.concat([bodyPiece(0, 60_000)]);
    assert.ok((await peer.ask("POST /up", { body })).body.equals(body));
  },
);

scenario(
  "S3-12 an origin that gives no window stops the client",
  {
    ...toHttp2({
      origin: speakingHttp2(
        async (peer, connection) => {
          await peer.nextRequest();
          await connection.ended(60_000);
        },
        { window: "kept", bodies: false },
      ),
    }),
    settings: priorKnowledge({ http2: { streamWindowBytes: 131_072, connectionWindowBytes: 262_144 } }),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const stream = await peer.request("POST /up", { open: true });
    let sent = 0;
    const sending = (async () => {
      for (; sent < 8 << 20; sent += 65_536) await peer.upload(stream, Buffer.alloc(65_536), false, 2_000);
    })().catch(() => undefined);
    await sending;
    assert.ok(sent < 1 << 20, `${sent} bytes were taken from the client, 65,535 by the origin`);
    await peer.reset(stream);
    await scene.sees("exchanges_open", 0);
  },
);

scenario(
  "S3-12 a client that takes nothing stops the origin: no more than the windows comes in",
  {
    ...toHttp2({
      origin: serveHttp2(async (asked) => {
        await asked.peer.respond(asked.stream, 200);
        for (let n = 0; n < 500; n += 1) await asked.peer.upload(asked.stream, Buffer.alloc(65_536), false, 60_000);
      }),
    }),
    settings: priorKnowledge(),
  },
  async (scene) => {
    const peer = await openHttp2(scene, { window: "kept", bodies: false });
    const stuck = await peer.request("GET /big");
    await peer.until("the window's worth", () => peer.received(stuck).bytes === 65_535 || undefined);
    await pause(500);
    const received = await scene.counter("origin_bytes_received");
    assert.ok(received < 3 << 20, `${received} bytes were read from the origin`);
    await peer.reset(stuck);
    await scene.sees("exchanges_open", 0);
  },
);

scenario(
  "SETTINGS of every kind, in the middle of everything, are acknowledged and kept to",
  toHttp2({
    origin: serveHttp2(async (asked) => {
      await asked.peer.send(settings({ headerTableSize: 0, maxFrameSize: 65_536, initialWindowSize: 100_000 }));
      await answerHttp2(asked, 200, bodyPiece(0, 100_000));
    }),
  }),
  async (scene) => {
    const client = await scene.client();
    for (let turn = 0; turn < 5; turn += 1) {
      const answer = await client.ask("GET /a", `X-Turn: ${turn}`);
      assert.equal(answer.body.length, 100_000);
    }
    const connection = scene.origin.connections[0];
    const peer = connection && peersOf.get(connection);
    const acks = peer?.frames.filter(({ type, flags }) => type === "SETTINGS" && flags === 1).length ?? 0;
    assert.equal(acks, 6);
  },
);

scenario(
  "an origin's PING is answered, also while nothing else goes on",
  toHttp2({ originSettings: { idleMs: 60_000 } }),
  async (scene) => {
    await (await scene.client()).ask("GET /a");
    const peer = peersOf.get(scene.origin.lastConnection);
    for (let turn = 0; turn < 3; turn += 1) await peer?.roundTrip(5_000);
  },
);
