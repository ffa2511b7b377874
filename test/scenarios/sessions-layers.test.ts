/** Sessions below HTTP: ends by layer (S3-12), slow readers (S3-14), TCP's timers (S3-15), dumps (S3-16), S4-13. */
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { echo, reply, serve } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** `ss` prints what the kernel knows of a socket; where it is not installed, nobody can ask for its timers. */
const SS = ["/usr/bin/ss", "/bin/ss", "/usr/sbin/ss", "/sbin/ss"].find((path) => existsSync(path));
const WITHOUT_SS = SS === undefined ? "ss (iproute2) is not installed" : false;

/** What the kernel says of the established connections to a port, timers among it. */
function timersTo(port: number): string {
  const asked = ["-tnoH", "state", "established", "dport", "=", `:${port}`];
  return execFileSync(SS as string, asked, { encoding: "utf8" });
}

scenario(
  "S3-12 the end of reading leaves writing open while an exchange is on: both halves end apart",
  {
    origin: async (connection) => {
      await connection.head();
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
      await connection.halfClose();
      await connection.ended();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /a", "Content-Length: 400", "Connection: close"), "half");
    assert.equal((await client.answer("POST")).body.toString(), "hi", "what was written reaches the client");
    await client.halfClose();
    await client.seesClose();
    await scene.sees("exchanges_open", 0);
    await scene.sees("origin_connections_open", 0);
  },
);

scenario(
  "S3-12 a client that stopped sending and takes nothing is given up, and its origin's connection with it",
  {
    origin: async (connection) => {
      await connection.request();
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 80000000\r\n\r\n");
      while (connection.wire.ending === "open" && !connection.wire.socket.destroyed)
        await connection.send(Buffer.alloc(262_144));
    },
    settings: { timeouts: { clientWriteMs: 300 } },
  },
  async (scene) => {
    const client = await scene.client({ record: false });
    client.wire.stopReading();
    client.wire.socket.end(request("GET /a"));
    await scene.sees("client_half_closes", 1);
    await scene.sees("exchanges_open", 0);
    assert.equal(await scene.counter("client_fault_client_write_timeout"), 1);
    await scene.sees("origin_connections_open", 0);
    client.wire.socket.destroy();
  },
);

scenario(
  "S3-14 a slow reader is dropped when it takes nothing for clientWriteMs, one that takes a little is not",
  {
    origin: async (connection) => {
      await connection.request();
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n");
      for (let sent = 0; sent < 30_000_000; sent += 300_000) await connection.send(Buffer.alloc(300_000));
      await connection.ended();
    },
    settings: { timeouts: { clientWriteMs: 800 } },
  },
  async (scene) => {
    const client = await scene.client({ record: false });
    await client.send(request("GET /a"));
    for (let turn = 0; turn < 8; turn += 1) {
      client.wire.stopReading();
      await pause(150);
      client.wire.resumeReading();
      await pause(4);
    }
    assert.equal(await scene.counter("client_fault_client_write_timeout"), 0);
    client.wire.stopReading();
    await scene.sees("exchanges_open", 0);
    client.wire.socket.destroy();
  },
);

scenario(
  "S3-15 tcpKeepaliveMs sets the keepalive timer of origin connections",
  {
    originSettings: { tcpKeepaliveMs: 60_000, tcpUserTimeoutMs: 20_000 },
  },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await scene.sees("origin_connections_idle", 1);
    const text = timersTo(scene.origin.port);
    const timer = /timer:\(keepalive,([^,]+),/.exec(text)?.[1] ?? "none";
    const seconds = timer.endsWith("sec") ? Number.parseFloat(timer) : timer.endsWith("min") ? 60 : Number.NaN;
    assert.ok(seconds > 50 && seconds <= 60, text);
  },
  { skip: WITHOUT_SS },
);

scenario(
  "S3-15 without them there is no such timer, and an idle connection is closed by nothing but its idle time",
  {
    originSettings: { idleMs: 60_000 },
  },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await scene.sees("origin_connections_idle", 1);
    const text = timersTo(scene.origin.port);
    assert.ok(text.includes(`:${scene.origin.port}`) && !text.includes("keepalive"), text);
  },
  { skip: WITHOUT_SS },
);

scenario(
  "S3-16 connections() shows each session of both sides: state, age, counts, owner, worker",
  {
    workers: 2,
    origin: serve(async (asked, connection) => {
      await pause(asked.target === "/slow" ? 200 : 0);
      await connection.send(reply(200, "x"));
    }),
  },
  async (scene) => {
    const [idle, busy] = [await scene.client(), await scene.client()];
    await idle.ask("GET /a", "Authorization: NTLM abc");
    await idle.ask("GET /b");
    await busy.send(request("GET /slow"));
    await scene.origin.sees("the slow one", (origin) => origin.requests.length === 3);
    const { workers, silent } = await scene.millrace.connections();
    assert.deepEqual(silent, []);
    assert.deepEqual(
      workers.map((one) => one.worker),
      [0, 1],
    );
    const clients = workers.flatMap((one) => one.clients) as Record<string, unknown>[];
    const origins = workers.flatMap((one) => one.origins) as Record<string, unknown>[];
    const rested = clients.find((one) => one["port"] === idle.port);
    assert.equal(rested?.["state"], "idle");
    assert.equal(rested?.["requests"], 2);
    assert.equal(rested?.["owns"], true);
    assert.equal(rested?.["address"], "127.0.0.1");
    const active = clients.find((one) => one["port"] === busy.port);
    assert.equal(active?.["state"], "exchange");
    assert.match(String(active?.["request"]), /\/slow$/);
    assert.equal(active?.["origin"], "app");
    const pinned = origins.find((one) => one["state"] === "resting");
    assert.equal(pinned?.["requests"], 2);
    assert.equal(pinned?.["owner"], rested?.["number"]);
    assert.equal(origins.filter((one) => one["state"] === "active").length, 1);
    for (const one of [...clients, ...origins]) assert.ok(Number(one["ageMs"]) >= 0 && Number(one["ageMs"]) < 10_000);
    await busy.answer();
  },
);

scenario(
  "S4-13 requests per connection at its close, and idle connections by target",
  { origin: echo() },
  async (scene) => {
    const client = await scene.client();
    for (let turn = 0; turn < 5; turn += 1) await client.ask("GET /a");
    await scene.sees("origin_connections_idle", 1);
    const target = () => JSON.stringify(scene.millrace.origins());
    assert.match(target(), /"idle":1\b/);
    assert.equal((await scene.proxy.stats()).all.histograms.origin_connection_requests.count, 0);
    await scene.origin.lastConnection.close();
    await scene.sees("origin_connections_open", 0);
    assert.match(target(), /"idle":0\b/);
    const { origin_connection_requests: carried } = (await scene.proxy.stats()).all.histograms;
    assert.equal(carried.count, 1);
    assert.equal(carried.max, 5);
  },
);

scenario(
  "S4-15 descriptors run short: idle origin connections go before clients are refused, and come back after",
  {
    origin: serve(async (_, connection) => {
      await pause(60);
      await connection.send(reply(200, "x"));
    }),
    originSettings: { idleMs: 60_000 },
    apart: true,
    descriptors: 256,
  },
  async (scene) => {
    const fill = await Promise.all(Array.from({ length: 60 }, () => scene.client()));
    await Promise.all(fill.map((client) => client.ask("GET /a")));
    await scene.sees("origin_connections_idle", 60);
    const more = await Promise.all(Array.from({ length: 90 }, () => scene.client()));
    for (const client of more) assert.equal((await client.ask("GET /b")).status, 200);
    assert.ok((await scene.counter("origin_closes_descriptors_scarce")) >= 60);
    assert.equal(await scene.counter("acceptor_errors"), 0, "no client was refused");
    assert.equal((await more[0]?.ask("GET /c").catch(() => undefined))?.fields.one("connection") ?? "close", "close");
    for (const client of [...fill, ...more]) await client.close();
    await scene.sees("client_connections_open", 0);
    await pause(400);
    const late = await scene.client();
    for (let turn = 0; turn < 2; turn += 1) assert.equal((await late.ask("GET /d")).fields.has("connection"), false);
  },
);

test("S3-14 ping probes of HTTP/2", {
  skip: "connections at rest are not asked by PING; TCP's own probes are",
}, () => {});
