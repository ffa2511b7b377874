/**
 * Sessions as connections to origins and clients live them: when one may be used again and which term said no (S3-01 …
 * S3-03, S4-16), idle and age (S3-04, S3-06), caps (S3-08), draining (S3-09 … S3-11), ends by layer (S3-12), slow
 * readers (S3-14), TCP's own timers (S3-15), the dump (S3-16), and what they carried (S4-13).
 */
import { strict as assert } from "node:assert";
import type { CounterName } from "../../src/index.js";
import { echo, echoed, reply, serve } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { timed } from "../support/lateness.js";
import type { Script } from "../support/origin.js";
import { type SceneOptions, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** Reads a request and answers it with this, once. */
function once(...steps: ((connection: Parameters<Script>[0]) => Promise<unknown> | undefined)[]): Script {
  return async (connection) => {
    await connection.head();
    for (const step of steps) await step(connection);
    await connection.ended().catch(() => undefined);
  };
}

interface Term {
  readonly term: string;
  readonly ids: string;
  readonly counter: CounterName;
  readonly options: SceneOptions;
  /** The request; a GET unless told otherwise. */
  readonly line?: readonly [string, ...string[]];
}

const OK = reply(200, "hi");
const send =
  (...bytes: (string | Buffer)[]) =>
  (connection: Parameters<Script>[0]) =>
    connection.send(...bytes);

/** Each term of "may be used again", alone false. */
const TERMS: readonly Term[] = [
  {
    term: "the answer says close",
    ids: "S3-02 S3-03 S4-16",
    counter: "origin_closes_not_kept",
    options: { origin: once(send(reply(200, "hi", "Connection: close"))) },
  },
  {
    term: "the answer is HTTP/1.0 without keep-alive",
    ids: "S3-02 S3-03",
    counter: "origin_closes_not_kept",
    options: { origin: once(send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi")) },
  },
  {
    term: "the length is unknown, so its end was waited for",
    ids: "S3-03 S4-16",
    counter: "origin_closes_not_kept",
    options: { origin: once(send("HTTP/1.1 200 OK\r\n\r\nhi"), (connection) => connection.halfClose()) },
  },
  {
    term: "more bytes came than the length",
    ids: "S3-01 S3-03 S4-16",
    counter: "origin_closes_stray_bytes",
    options: { origin: once(send(OK, "surplus")) },
  },
  {
    term: "the end of the connection was seen together with the answer",
    ids: "S3-02 S3-03 S4-16",
    counter: "origin_closes_by_origin",
    options: {
      origin: once(async (connection) => {
        connection.wire.socket.end(OK);
      }),
    },
  },
  {
    term: "the request was not sent whole",
    ids: "S3-01 S3-03 S4-16",
    counter: "origin_closes_request_unfinished",
    line: ["POST /a", "Content-Length: 60000"],
    options: { origin: once(send(OK)) },
  },
  {
    term: "it carried as many requests as it may",
    ids: "S3-03",
    counter: "origin_closes_requests",
    options: { originSettings: { requests: 1 } },
  },
  {
    term: "it is old, seen when it is returned",
    ids: "S3-03 S3-06",
    counter: "origin_closes_age",
    options: {
      originSettings: { ageMs: 50, ageJitterPercent: 0 },
      origin: once((c) => c.pause(120).then(() => c.send(OK))),
    },
  },
  {
    term: "an upgrade was made of it",
    ids: "S3-02 S3-03",
    counter: "origin_closes_tunnel_end",
    line: ["GET /a", "Connection: upgrade", "Upgrade: x"],
    options: {
      origin: once(send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), (c) =>
        c.halfClose(),
      ),
    },
  },
  {
    term: "its bytes were no answer",
    ids: "S3-02 S3-03",
    counter: "origin_closes_fault",
    options: { origin: once(send("HTTP/1.1 nonsense\r\n\r\n")) },
  },
  {
    term: "fewer bytes came than the length",
    ids: "S4-16 S3-03",
    counter: "origin_closes_fault",
    options: { origin: once(send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"), (c) => c.halfClose()) },
  },
  {
    term: "the operator keeps none",
    ids: "S4-16 S3-03",
    counter: "origin_closes_not_kept",
    options: { settings: { persistence: { origin: false } } },
  },
];

for (const { term, ids, counter, options, line } of TERMS)
  scenario(`${ids} not used again: ${term}; ${counter} says so`, options, async (scene) => {
    const client = await scene.client();
    await client.send(request(...(line ?? ["GET /a"])));
    await client.head();
    await scene.origin.sees("a connection", (origin) => origin.accepted >= 1);
    if (line?.[1] === "Connection: upgrade") await client.halfClose();
    await scene.sees(counter, 1);
    await scene.sees("origin_connections_open", 0);
    assert.equal(scene.origin.accepted, 1);
  });

scenario(
  "S3-01 S4-16 used again when every term agrees: length or last chunk reached, all sent, keep-alive on both sides",
  {
    origin: serve((asked, connection) =>
      asked.target === "/chunked"
        ? connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
        : connection.send(OK),
    ),
  },
  async (scene) => {
    const client = await scene.client();
    for (const path of ["/length", "/chunked", "/length"])
      assert.equal((await client.ask(`GET ${path}`)).body.toString(), "hi");
    assert.equal(scene.origin.accepted, 1);
  },
);

scenario(
  "S4-16 fewer bytes than the length so far: waited for, neither kept nor closed",
  {
    origin: serve(async (_, connection) => {
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi");
      await pause(100);
      await connection.send("ho");
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a"));
    await pause(50);
    assert.equal(await scene.counter("origin_connections_idle"), 0);
    assert.equal(await scene.counter("origin_connections_open"), 1);
    assert.equal((await client.answer()).body.toString(), "hiho");
    await scene.sees("origin_connections_idle", 1);
  },
);

scenario(
  "S3-04 the idle timeout runs only between requests, begins anew after each, and ends without an error",
  {
    originSettings: { idleMs: 1_500 },
    origin: serve(async (asked, connection) => {
      await pause(asked.target === "/long" ? 1_900 : 0);
      await connection.send(reply(200, String(connection.id)));
    }),
  },
  async (scene) => {
    const client = await scene.client();
    for (let turn = 0; turn < 4; turn += 1) {
      assert.equal((await client.ask("GET /a")).body.toString(), "0");
      await pause(500);
    }
    assert.equal((await client.ask("GET /long")).body.toString(), "0", "a request longer than the idle time");
    assert.equal(await scene.origin.lastConnection.ended(), "end");
    assert.equal(await scene.counter("origin_closes_idle_timeout"), 1);
    assert.equal(await scene.counter("origin_failures"), 0);
  },
);

scenario("S3-04 idleMs 0 keeps none", { originSettings: { idleMs: 0 } }, async (scene) => {
  const client = await scene.client();
  for (let turn = 0; turn < 3; turn += 1) assert.equal(echoed(await client.ask("GET /a")).connection, turn);
});

scenario(
  "S3-06 ages lie around ageMs, each connection its own, and end it while it is idle",
  {
    originSettings: { ageMs: 600, ageJitterPercent: 50, idleMs: 60_000 },
    origin: serve(async (_, connection) => {
      await pause(40);
      await connection.send(OK);
    }),
  },
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 24 }, () => scene.client()));
    const bornMs = performance.now();
    const { result: ends, excusedMs } = await timed(async () => {
      await Promise.all(clients.map((client) => client.ask("GET /a")));
      return Promise.all(scene.origin.connections.map((one) => one.ended().then(() => performance.now() - bornMs)));
    });
    const [first, last] = [Math.min(...ends), Math.max(...ends)];
    assert.ok(first >= 280, `the first ended after ${first} ms`);
    assert.ok(last <= 1_200 + excusedMs, `the last ended after ${last} ms`);
    assert.ok(last - first > 100, `all within ${last - first} ms`);
    await scene.sees("origin_closes_age", 24);
  },
);

scenario(
  "S3-06 age is checked when a connection is picked",
  {
    originSettings: { ageMs: 150, ageJitterPercent: 0 },
  },
  async (scene) => {
    const client = await scene.client();
    const seen = new Set<number>();
    const untilMs = performance.now() + 700;
    while (performance.now() < untilMs) {
      seen.add(echoed(await client.ask("GET /a")).connection);
      await pause(5);
    }
    assert.ok(seen.size >= 4, `${seen.size} connections in 700 ms`);
    await scene.sees("origin_closes_age", scene.origin.accepted - scene.origin.open.length);
  },
);

scenario(
  "S3-08 idle connections are capped by target, and over all origins the one idle longest gives way",
  {
    origins: { app: echo(), other: echo() },
    originSettings: { targetIdle: 2 },
    settings: {
      pool: { connectionsMax: 3 },
      routes: [{ match: { host: "other.example" }, forwardTo: "other" }, { forwardTo: "app" }],
    },
  },
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 6 }, () => scene.client()));
    await Promise.all(clients.map((client) => client.ask("GET /a")));
    await scene.sees("exchanges_open", 0);
    assert.ok((await scene.counter("origin_connections_idle")) <= 2);
    for (let turn = 0; turn < 3; turn += 1)
      await Promise.all(clients.map((client) => client.ask("GET /a", "Host: other.example")));
    await scene.sees("exchanges_open", 0);
    assert.ok((await scene.counter("origin_connections_open")) <= 3);
    assert.ok((await scene.counter("origin_closes_evicted")) >= 1);
  },
);

scenario(
  "S3-09 drain towards origins: idle ones close now, the active one finishes, new requests are refused",
  {
    origin: serve(async (asked, connection) => {
      await pause(asked.target === "/slow" ? 250 : 20);
      await connection.send(reply(200, asked.target));
    }),
  },
  async (scene) => {
    const [a, b] = [await scene.client(), await scene.client()];
    await Promise.all([a.ask("GET /1"), b.ask("GET /2")]);
    await a.send(request("GET /slow"));
    await scene.origin.sees("the slow request", (origin) => origin.requests.length === 3);
    scene.millrace.drainTarget("app", scene.origin.url.replace("http://", ""));
    await scene.sees("origin_connections_idle", 0);
    await scene.sees("origin_connections_open", 1);
    const refused = await b.ask("GET /3");
    assert.equal(refused.status, 503);
    assert.match(refused.fields.one("proxy-status") ?? "", /no_healthy_target/);
    assert.equal((await a.answer()).body.toString(), "/slow");
    await scene.sees("origin_connections_open", 0);
  },
);

scenario(
  "S3-10 S3-11 drain towards clients: answered with close, waited for, then forced at the deadline",
  {
    origin: serve(async (asked, connection) => {
      await pause(asked.target === "/never" ? 60_000 : 150);
      await connection.send(reply(200, asked.target));
    }),
  },
  async (scene) => {
    const [quick, stuck, idle] = [await scene.client(), await scene.client(), await scene.client()];
    await quick.send(request("GET /quick"));
    await stuck.send(request("GET /never"));
    await scene.origin.sees("both", (origin) => origin.requests.length === 2);
    const stopped = scene.stop(700);
    await idle.seesClose();
    const answer = await quick.answer();
    assert.equal(answer.fields.one("connection"), "close");
    await quick.seesClose();
    await stopped;
    await stuck.seesClose();
    assert.ok(!stuck.wire.received.includes("200"), "forced, not answered");
    for (const one of scene.origin.connections) await one.ended();
  },
);
