/** Handshakes that never come to an end: silent, slow, plain or meaningless clients are told what can be told, and closed. */
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { takes } from "../support/lateness.js";
import { openSockets } from "../support/proxy.js";
import { type Scene, scenario } from "../support/scene.js";
import { TlsWorld, tryTls } from "../support/tls.js";
import { ALERTS, alertOf, HANDSHAKE, helloOf, record } from "../support/tls-records.js";

const world = new TlsWorld();
const HANDSHAKE_MS = 400;
const hurried = { settings: world.settings({ handshakeMs: HANDSHAKE_MS }) };

/** Every handshake so far failed, and each closed its connection for that. */
async function seesFailed(scene: Scene, count: number): Promise<void> {
  await scene.sees("client_closes_tls", count);
  assert.equal(await scene.counter("tls_handshakes_failed"), count);
  assert.equal(await scene.counter("tls_handshakes"), 0);
  assert.equal(await scene.counter("tls_handshakes_open"), 0);
  assert.equal(scene.origin.accepted, 0);
}

scenario("S1-08 a silent client is closed when its handshake takes too long", hurried, async (scene) => {
  const client = await scene.client();
  await takes(HANDSHAKE_MS - 50, HANDSHAKE_MS + 1_000, () => client.seesClose());
  await client.close();
  await seesFailed(scene, 1);
});

scenario("S1-08 a client that stops within its ClientHello is closed in time", hurried, async (scene) => {
  const hello = await helloOf(world.asks());
  const client = await scene.client();
  await client.send(hello.subarray(0, hello.length / 2));
  await takes(HANDSHAKE_MS - 50, HANDSHAKE_MS + 1_000, () => client.seesClose());
  await client.close();
  await seesFailed(scene, 1);
});

scenario("S1-08 a client that goes silent behind our flight is closed in time", hurried, async (scene) => {
  const client = await scene.client();
  await client.send(await helloOf(world.asks()));
  await client.wire.until("our flight", (unread) => (unread.length > 500 ? true : undefined));
  client.wire.take(client.wire.unread.length);
  await takes(HANDSHAKE_MS - 100, HANDSHAKE_MS + 1_000, () => client.wire.takeAll());
  await client.close();
  await seesFailed(scene, 1);
});

scenario("S1-08 a client that drips its ClientHello does not prolong its time by that", hurried, async (scene) => {
  const hello = await helloOf(world.asks());
  const client = await scene.client();
  const pieces = [...hello].map((byte) => Buffer.of(byte));
  void client.sendSlowly(pieces, 20);
  await takes(HANDSHAKE_MS - 50, HANDSHAKE_MS + 1_000, () => client.wire.takeAll());
  await client.close();
  await seesFailed(scene, 1);
});

scenario(
  "a ClientHello that comes byte by byte within its time is as good as any",
  { settings: world.settings() },
  async (scene) => {
    const hello = await helloOf(world.asks());
    const client = await scene.client();
    await client.sendSlowly(
      [...hello].map((byte) => Buffer.of(byte)),
      1,
    );
    const first = await client.wire.until("a ServerHello", (unread) => (unread.length > 100 ? unread[0] : undefined));
    assert.equal(first, HANDSHAKE);
  },
);

for (const how of ["halfClose", "reset"] as const)
  scenario(
    `a client that says ${how} within its handshake is a failed handshake, and nothing is left`,
    hurried,
    async (scene) => {
      const hello = await helloOf(world.asks());
      for (const bytes of [hello.subarray(0, 0), hello.subarray(0, 60), hello]) {
        const client = await scene.client();
        await client.send(bytes);
        await client[how]();
        await client.close();
      }
      await seesFailed(scene, 3);
    },
  );

scenario(
  "plain HTTP to a TLS port is answered 400 in plain HTTP, and told why",
  { settings: world.settings() },
  async (scene) => {
    for (const line of ["GET / HTTP/1.1", "POST /up HTTP/1.0", "OPTIONS * HTTP/1.1"]) {
      const client = await scene.client();
      await client.send(`${line}\r\nHost: a.example\r\n\r\n`);
      const answer = await client.answer();
      assert.equal(answer.status, 400);
      assert.match(answer.body.toString(), /This port speaks HTTPS, and the request was plain HTTP\./);
      assert.equal(await client.seesClose(), "end");
      await client.close();
    }
    await seesFailed(scene, 3);
  },
);

const GARBAGE: readonly (readonly [what: string, bytes: Buffer, alert: number])[] = [
  ["bytes of no protocol", Buffer.alloc(100, 0xff), ALERTS.decode_error],
  [
    "a handshake message that is no ClientHello",
    record(HANDSHAKE, Buffer.from([20, 0, 0, 0])),
    ALERTS.unexpected_message,
  ],
  ["a malformed ClientHello", record(HANDSHAKE, Buffer.from([1, 0, 0, 3, 3, 3, 0])), ALERTS.decode_error],
  ["application data", record(23, Buffer.alloc(32)), ALERTS.unexpected_message],
];

for (const [what, bytes, alert] of GARBAGE)
  scenario(`a client that begins with ${what} gets an alert and a clean end`, hurried, async (scene) => {
    const client = await scene.client();
    await client.send(bytes);
    const all = await client.wire.takeAll();
    assert.equal(alertOf(all), alert, all.toString("hex"));
    assert.equal(client.ending, "end");
    await client.close();
    await seesFailed(scene, 1);
  });

scenario("a ClientHello longer than anybody's is refused before it is whole", hurried, async (scene) => {
  const client = await scene.client();
  const head = Buffer.from([1, 0, 0x80, 0]); // 32 KiB
  await client.send(record(HANDSHAKE, Buffer.concat([head, Buffer.alloc(16_000)])));
  const all = await client.wire.takeAll();
  assert.equal(alertOf(all), ALERTS.decode_error);
  await client.close();
  await seesFailed(scene, 1);
});

const CROWD = 1_000;

scenario(
  "a thousand clients that only shake hands cost nothing when they are gone, and others are served meanwhile",
  { settings: world.settings(), workers: 2 },
  async (scene) => {
    const before = openSockets(scene.proxy.pid);
    const crowd: TLSSocket[] = [];
    for (let n = 0; n < CROWD; n += 100) {
      const some = Array.from({ length: 100 }, () => connect({ host: "127.0.0.1", port: scene.port, ...world.asks() }));
      await Promise.all(some.map((socket) => once(socket, "secureConnect")));
      crowd.push(...some);
      assert.equal((await tryTls(scene.port, world.asks())).line, "HTTP/1.1 200 OK");
    }
    await scene.sees("client_connections_open", CROWD);
    for (const socket of crowd) socket.destroy();
    await scene.sees("client_connections_open", 0);
    assert.equal(await scene.counter("tls_handshakes"), CROWD + CROWD / 100);
    assert.equal(await scene.counter("tls_handshakes_failed"), 0);
    // The pool of the origin may keep what the ten requests needed.
    assert.ok(openSockets(scene.proxy.pid) <= before + 2 * (CROWD / 100));
  },
);
