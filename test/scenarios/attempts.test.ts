/** What an attempt leaves behind: a line that says what failed, no descriptor, no connection that carried nothing. */
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { byPath, echo, serve } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { DeafListener } from "../support/failures.js";
import { descriptors } from "../support/proxy.js";
import { Scene, scenario } from "../support/scene.js";
import { atOnce, clientsOf, inTurn } from "../support/traffic.js";
import { pause } from "../support/wire.js";

/** Failed attempts of the leak test; `FAILURES=1000000` for the long one. */
const FAILURES = Number(process.env["FAILURES"] ?? "3000");

scenario(
  "S1-02 the line of a failed request says where it went, how far it got, what failed, and how often it was tried",
  {
    accessLog: true,
    origin: byPath({ "/cut": (_, connection) => connection.close() }),
    settings: {
      origins: { gone: { targets: "http://127.0.0.1:1" } },
      routes: [
        { name: "nobody", match: { path: "/gone" }, forwardTo: "gone" },
        { name: "all", forwardTo: "app" },
      ],
    },
  },
  async (scene) => {
    const [client] = await clientsOf(scene, 1);
    assert.equal((await client?.ask("GET /cut?q=1", "Host: shop.example"))?.status, 502);
    const port = scene.origin.port;
    assert.equal((await client?.ask("GET /gone"))?.status, 502);
    const [cut, gone] = await scene.accessLog(2);
    assert.ok(cut !== undefined && gone !== undefined);
    assert.deepEqual(
      [cut["host"], cut["path"], cut["route"], cut["origin"], cut["target"], cut["fault"], cut["whose"]],
      ["shop.example", "/cut?q=1", "all", "app", `127.0.0.1:${port}`, "eof_before_headers", "origin"],
    );
    assert.deepEqual([gone["fault"], gone["whose"]], ["connect_refused", "origin"]);
    assert.notEqual(cut["phase"], gone["phase"]);
    for (const line of [cut, gone]) {
      assert.match(String(line["phase"]), /^[a-z_]+$/);
      assert.ok(Number(line["attempts"]) >= 1 && Number(line["failures"]) >= 1);
      assert.equal(typeof line["not_repeated"], "string");
    }
  },
);

scenario(
  "S1-04 every connection an origin sees carries a request, under load and after it",
  { workers: 2, originOptions: { record: false } },
  async (scene) => {
    await atOnce(await clientsOf(scene, 32, false), 40);
    for (const client of await clientsOf(scene, 20, false)) await client.reset();
    const silent = scene.origin.connections.filter((one) => one.wire.receivedBytes === 0);
    assert.equal(silent.length, 0, `${silent.length} of ${scene.origin.accepted} connections never carried a byte`);
  },
);

for (const [name, host, url] of [
  ["IPv4 loopback", "127.0.0.1", "127.0.0.1"],
  ["another address of this host", "127.0.0.9", "127.0.0.9"],
  ["IPv6 loopback", "::1", "[::1]"],
  ["a name", "127.0.0.1", "localhost"],
] as const) {
  scenario(
    `S1-05 an origin is reached alike by ${name}`,
    {
      origin: echo(),
      originOptions: { host },
      settings: (origins) => ({ origins: { app: { targets: [`http://${url}:${origins["app"]?.port}`] } } }),
    },
    async (scene) => {
      await inTurn(await clientsOf(scene, 2), 20);
      assert.equal(scene.origin.accepted, 1);
      assert.equal(scene.origin.requests.length, 20);
    },
  );
}

/** Every other bound of the tests of one, so far off that which of them ended an exchange is seen in its length. */
const FAR_MS = 40_000;

const TIMES: readonly (readonly [string, string, number, object])[] = [
  ["firstByteMs", "/silent", 504, { firstByteMs: 200 }],
  ["totalMs", "/silent", 504, { totalMs: 200 }],
  ["totalMs", "/drips", 0, { totalMs: 200 }],
  ["betweenBytesMs", "/stops", 0, { betweenBytesMs: 200 }],
];

for (const [name, path, status, times] of TIMES) {
  scenario(
    `S1-08 ${name} alone ends an exchange (${path})`,
    {
      origin: byPath({
        "/silent": (_, connection) => connection.ended(FAR_MS).then(() => undefined),
        "/stops": (_, connection) => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
        "/drips": async (_, connection) => {
          await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
          while (connection.wire.ending === "open") {
            await connection.send("x");
            await pause(50);
          }
        },
      }),
      originSettings: { connectMs: FAR_MS, firstByteMs: FAR_MS, betweenBytesMs: FAR_MS, totalMs: 0, ...times },
    },
    async (scene) => {
      const [client] = await clientsOf(scene, 1);
      assert.ok(client !== undefined);
      const beganMs = performance.now();
      await client.send(request(`GET ${path}`));
      const answer = await client.answerOrPart("GET", FAR_MS);
      const tookMs = performance.now() - beganMs;
      assert.ok(tookMs >= 150 && tookMs < FAR_MS / 2, `${tookMs} ms`);
      if (status === 504) assert.equal(answer.status, 504);
      else assert.equal(answer.complete, false);
    },
  );
}

test("S1-08 connectMs alone ends an attempt whose connection nobody takes", { timeout: 60_000 }, async () => {
  const deaf = await DeafListener.start();
  const others = { firstByteMs: FAR_MS, betweenBytesMs: FAR_MS, totalMs: 0 };
  const scene = await Scene.open({
    accessLog: true,
    settings: { origins: { app: { targets: [deaf.url], connectMs: 300, ...others } } },
  });
  try {
    const client = await scene.client();
    const beganMs = performance.now();
    await client.send(request("GET /a"));
    assert.equal((await client.answer("GET", FAR_MS)).status, 504);
    const tookMs = performance.now() - beganMs;
    assert.ok(tookMs >= 250 && tookMs < FAR_MS / 2, `${tookMs} ms`);
    const [line] = await scene.accessLog(1);
    assert.deepEqual([line?.["fault"], line?.["phase"]], ["connect_timeout", "connecting"]);
    await scene.end();
  } finally {
    await scene.abandon();
    await deaf.stop();
  }
});

scenario(
  "S1-08 connectMs has no part in what comes after the connection",
  {
    origin: serve(async (_, connection) => {
      await pause(600);
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
      await pause(600);
      await connection.send("i");
    }),
    originSettings: { connectMs: 300, firstByteMs: FAR_MS, betweenBytesMs: FAR_MS, totalMs: 0 },
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).body.toString(), "hi");
    await scene.sees("origin_connections_idle", 1);
    assert.equal(await scene.counter("origin_failures"), 0);
  },
);

/** A figure of the kernel's TCP statistics. */
function tcpFigure(name: string): number {
  const lines = readFileSync("/proc/net/netstat", "latin1").split("\n");
  const [names, figures] = lines.filter((line) => line.startsWith("TcpExt:")).map((line) => line.split(" "));
  return Number(figures?.[names?.indexOf(name) ?? -1] ?? Number.NaN);
}

scenario("S1-09 no connection is opened with data in its first packet", {}, async (scene) => {
  const before = tcpFigure("TCPFastOpenActive");
  assert.ok(Number.isInteger(before));
  await inTurn(await clientsOf(scene, 2), 10);
  await scene.origin.lastConnection.close();
  await inTurn(await clientsOf(scene, 2), 10);
  assert.equal(tcpFigure("TCPFastOpenActive"), before);
});

async function failMany(scene: Scene): Promise<void> {
  const clients = await clientsOf(scene, 8, false);
  await Promise.all(
    clients.map(async (client, who) => {
      for (let n = 0; n < FAILURES / clients.length; n += 1) {
        const answer = await (who % 2 === 0 ? client.ask("GET /a") : client.post("POST /a", "x"));
        assert.equal(answer.status, 502);
      }
    }),
  );
}

scenario(
  `S1-11 ${FAILURES} failed attempts and as many again leave no descriptor, no pool entry and balanced books`,
  {
    apart: true,
    workers: 2,
    origin: (connection) => connection.reset(),
    originOptions: { record: false },
    originSettings: { health: { passive: { level: 0 } } },
  },
  async (scene) => {
    await failMany(scene);
    const open = descriptors(scene.proxy.pid).length;
    await failMany(scene);
    await scene.sees("origin_connections_open", 0);
    assert.ok(descriptors(scene.proxy.pid).length <= open + 8, "descriptors do not grow");
    assert.equal(await scene.counter("origin_connections_idle"), 0);
    assert.equal(await scene.counter("pool_queue_length"), 0);
  },
  { timeoutMs: 200_000 + FAILURES },
);
