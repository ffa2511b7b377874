/** Clients that abuse TLS itself: floods and oversize end their own connection, cost little, and nobody else notices. */
import { strict as assert } from "node:assert";
import { missing } from "../support/peers.js";
import { cpuMs, residentBytes } from "../support/proxy.js";
import { type Scene, scenario } from "../support/scene.js";
import { sClient, TlsWorld } from "../support/tls.js";
import {
  ALERT,
  APPLICATION,
  alertOf,
  CHANGE_CIPHER_SPEC,
  type Forger,
  HANDSHAKE,
  helloOf,
  helloOffering,
  record,
  TappedClient,
} from "../support/tls-records.js";
import { pause } from "../support/wire.js";

const world = new TlsWorld();
const apart = { settings: world.settings(), apart: true } as const;
const forging = world.asks({ minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256" });
const MIB = 1 << 20;
/** What a flood may cost before it is stopped. */
const CPU_MS_MAX = 300;
const GROWTH_MAX = 8 * MIB;
/** The longest another client may wait meanwhile, on a machine that does other things too. */
const WAIT_MS_MAX = 1_000;

const EMPTY = Buffer.alloc(0);
const FLOODS: readonly (readonly [what: string, make: (forger: Forger) => Buffer, count: number])[] = [
  ["empty records", (forger) => forger.seal(APPLICATION, EMPTY), 20_000],
  ["empty records with padding", (forger) => forger.seal(APPLICATION, EMPTY, 1_000), 20_000],
  ["KeyUpdates that ask for ours", (forger) => forger.keyUpdate(true), 20_000],
  ["KeyUpdates that ask for nothing", (forger) => forger.keyUpdate(false), 20_000],
  ["warning alerts", (forger) => forger.seal(ALERT, Buffer.from([1, 90])), 20_000],
  ["ChangeCipherSpecs", () => record(CHANGE_CIPHER_SPEC, Buffer.from([1])), 20_000],
  [
    "KeyUpdates and empty records by turns",
    (forger) => Buffer.concat([forger.seal(APPLICATION, EMPTY), forger.keyUpdate(true)]),
    60_000,
  ],
  [
    "KeyUpdates and padding by turns",
    (forger) => Buffer.concat([forger.seal(APPLICATION, EMPTY, 100), forger.keyUpdate(false)]),
    60_000,
  ],
];

/** Another client of the same worker, which must be answered all the time; the longest it waited, in ms. */
function bystander(scene: Scene): { readonly stop: () => Promise<number> } {
  let over = false;
  const watching = (async () => {
    const client = await scene.client({ tls: world.asks(), record: false });
    let longest = 0;
    while (!over) {
      const began = performance.now();
      assert.equal((await client.ask("GET /")).status, 200);
      longest = Math.max(longest, performance.now() - began);
      await pause(20);
    }
    await client.close();
    return longest;
  })();
  return {
    stop: () => {
      over = true;
      return watching;
    },
  };
}

for (const [what, make, count] of FLOODS)
  scenario(`a flood of ${what} ends its connection, and costs nobody else anything`, apart, async (scene) => {
    const client = await TappedClient.connect(scene.port, forging);
    const forger = client.forger();
    const flood = Buffer.concat(Array.from({ length: count }, () => make(forger)));
    const other = bystander(scene);
    await pause(200);
    const [memory, cpu] = [residentBytes(scene.proxy.pid), cpuMs(scene.proxy.pid)];
    client.tap.socket.write(flood);
    await client.wasToldEnd(5_000);
    const spent = cpuMs(scene.proxy.pid) - cpu;
    const longest = await other.stop();
    assert.ok(spent < CPU_MS_MAX, `${spent} ms of CPU`);
    assert.ok(longest < WAIT_MS_MAX, `another client waited ${longest.toFixed(0)} ms`);
    assert.ok(residentBytes(scene.proxy.pid) - memory < GROWTH_MAX);
    await client.close();
  });

/** What it seals next is not what the peer expects next. */
function skipOne(forger: Forger): Forger {
  forger.seal(APPLICATION, EMPTY);
  return forger;
}

const OVERSIZED: readonly (readonly [what: string, bytes: (forger: Forger) => Buffer])[] = [
  ["a record of 64 KiB", () => Buffer.concat([Buffer.from([APPLICATION, 3, 3, 0xff, 0xff]), Buffer.alloc(0xffff)])],
  ["a record whose head says one byte too many", () => Buffer.from([APPLICATION, 3, 3, 0x48, 0x01, 0])],
  ["a record that holds one byte too many", (forger) => forger.seal(APPLICATION, Buffer.alloc(16_385, "x"))],
  ["a record under the wrong key", (forger) => skipOne(forger).seal(APPLICATION, EMPTY)],
  ["a record of no known type", () => record(99, Buffer.alloc(40))],
  ["a ClientHello where none may come", (forger) => forger.seal(HANDSHAKE, Buffer.from([1, 0, 0, 2, 3, 3]))],
];

for (const [what, bytes] of OVERSIZED)
  scenario(
    `after the handshake, ${what} ends the connection with an alert, and nothing goes on`,
    { settings: world.settings() },
    async (scene) => {
      const client = await TappedClient.connect(scene.port, forging);
      const before = client.tap.seen.length;
      client.tap.socket.write(bytes(client.forger()));
      await client.wasToldEnd();
      // Alert and type inside, and the tag; it is not the word of a good end, for Node says so.
      const lengths = client.tap.seen.slice(before).map(({ content }) => content.length);
      assert.ok(lengths.includes(19), lengths.join());
      await client.close();
      await scene.sees("client_connections_open", 0);
      assert.equal(scene.origin.accepted, 0);
    },
  );

scenario(
  "the alert for a bad record arrives, though the client is still sending when it fails",
  { settings: world.settings() },
  async (scene) => {
    const client = await TappedClient.connect(scene.port, forging);
    await pause(100); // the tickets
    const before = client.tap.seen.length;
    client.tap.socket.write(skipOne(client.forger()).seal(APPLICATION, EMPTY));
    client.tap.socket.write(Buffer.alloc(8 * MIB));
    await client.wasToldEnd();
    const seen = client.tap.seen.slice(before).map(({ content }) => content.length);
    assert.deepEqual(seen, [19]);
    assert.equal(client.tap.socket.errored, null);
    await client.close();
    await scene.sees("client_closes_error", 1);
  },
);

scenario("the greatest record there may be is good", { settings: world.settings() }, async (scene) => {
  const client = await TappedClient.connect(scene.port, forging);
  const forger = client.forger();
  const head = Buffer.from(`POST /up HTTP/1.1\r\nHost: a.example\r\nContent-Length: ${3 * 16_384}\r\n\r\n`);
  client.tap.socket.write(forger.seal(APPLICATION, head, 16_384 - head.length));
  for (let n = 0; n < 3; n += 1) client.tap.socket.write(forger.seal(APPLICATION, Buffer.alloc(16_384, "x")));
  await client.wire.until("the answer", (unread) => (unread.includes("200 OK") ? true : undefined));
  assert.equal(scene.origin.last.body.length, 3 * 16_384);
  await client.close();
});

scenario("KeyUpdates between requests are followed, both ways", { settings: world.settings() }, async (scene) => {
  const client = await TappedClient.connect(scene.port, forging);
  const forger = client.forger();
  for (let n = 0; n < 50; n += 1) {
    const request = Buffer.from(`GET /${n} HTTP/1.1\r\nHost: a.example\r\n\r\n`);
    client.tap.socket.write(forger.keyUpdate(n % 2 === 0));
    client.tap.socket.write(forger.seal(APPLICATION, request));
    await client.wire.until("the answer", (unread) => (unread.includes(`"/${n}"`) ? true : undefined));
  }
  await client.close();
});

scenario(
  "a flood of ChangeCipherSpecs within the handshake is refused",
  { settings: world.settings() },
  async (scene) => {
    const client = await scene.client();
    await client.send(helloOffering([0x001d], "www.example.org"));
    const flood = Buffer.concat(Array.from({ length: 5_000 }, () => record(CHANGE_CIPHER_SPEC, Buffer.from([1]))));
    await client.send(flood);
    // The library ends it without an alert.
    await client.wire.takeAll();
    await scene.sees("client_closes_tls", 1);
  },
);

scenario(
  "empty records before the ClientHello, and within it, are refused",
  { settings: world.settings() },
  async (scene) => {
    const hello = await helloOf(world.asks());
    for (const bytes of [Buffer.concat([record(HANDSHAKE, EMPTY), hello]), record(HANDSHAKE, EMPTY)]) {
      const client = await scene.client();
      await client.send(bytes);
      const all = await client.wire.takeAll();
      assert.notEqual(alertOf(all), undefined);
      await client.close();
    }
    await scene.sees("client_closes_tls", 2);
  },
);

scenario(
  "S1-07 renegotiation in TLS 1.2 is not done: OpenSSL is told so",
  { settings: world.settings() },
  async (scene) => {
    const said = await sClient(scene.port, ["-tls1_2"], ["R\n", "\n"], 300);
    assert.match(said.out + said.err, /RENEGOTIATING/);
    assert.match(said.out + said.err, /no renegotiation/);
    assert.equal(await scene.counter("tls_handshakes"), 1);
  },
  { skip: missing("openssl") },
);

scenario(
  "OpenSSL's KeyUpdates are followed, and the connection serves on",
  { settings: world.settings() },
  async (scene) => {
    const ask = "GET /after HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
    const said = await sClient(scene.port, ["-tls1_3", "-crlf"], ["K\n", "k\n", "K\n", ask.replaceAll("\r", "")], 100);
    assert.match(said.err, /KEYUPDATE/);
    assert.match(said.out, /HTTP\/1\.1 200 OK/);
  },
  { skip: missing("openssl") },
);

scenario(
  "renegotiation that Node asks for is refused, and the proxy lives on",
  { settings: world.settings() },
  async (scene) => {
    const client = await TappedClient.connect(scene.port, world.asks({ maxVersion: "TLSv1.2" }));
    const error = await new Promise<Error | null>((resolve) => {
      client.tls.once("error", resolve);
      client.tls.renegotiate({}, resolve);
    });
    assert.match(String(error), /renegotiation/i);
    await client.close();
    const other = await scene.client({ tls: world.asks() });
    assert.equal((await other.ask("GET /")).status, 200);
  },
);
