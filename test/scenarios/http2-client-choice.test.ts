/** Which version of HTTP a client's connection speaks: by ALPN over TLS, by its first bytes without. */
import { strict as assert } from "node:assert";
import type { ConnectionOptions } from "node:tls";
import { echoed } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { PREFACE, settings } from "../support/http2-frames.js";
import { Http2Peer } from "../support/http2-peer.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import { scenario } from "../support/scene.js";
import { TlsWorld, tryTls } from "../support/tls.js";

const world = new TlsWorld();

/** A scene whose TLS listener speaks these versions. */
function spoken(...httpVersions: ("1.1" | "2")[]) {
  return {
    listeners: [{ address: "127.0.0.1:0", httpVersions, tls: { certificates: [world.pair()] } }],
  };
}

const OFFERS: readonly (readonly [
  versions: readonly ("1.1" | "2")[] | undefined,
  offer: string[] | undefined,
  agreed: string | false,
])[] = [
  [undefined, ["h2", "http/1.1"], "h2"],
  [undefined, ["http/1.1", "h2"], "h2"],
  [undefined, ["http/1.1"], "http/1.1"],
  [undefined, undefined, false],
  [["1.1"], ["h2", "http/1.1"], "http/1.1"],
  [["1.1", "2"], ["h2", "http/1.1"], "h2"],
];

for (const [versions, offer, agreed] of OFFERS)
  scenario(
    `a listener of ${versions?.join(" and ") ?? "TLS by itself"} and a client that offers ${offer ?? "nothing"} agree on ${agreed || "nothing, which is HTTP/1.1"}`,
    { settings: versions === undefined ? world.settings() : spoken(...versions) },
    async (scene) => {
      const asks: ConnectionOptions = world.asks(offer === undefined ? {} : { ALPNProtocols: offer });
      if (agreed === "h2") {
        const peer = await openHttp2(scene, { connection: { tls: asks } });
        assert.equal((await peer.ask("GET /a", { scheme: "https" })).status, 200);
        await scene.sees("http2_connections", 1);
        return;
      }
      const tried = await tryTls(scene.port, asks);
      assert.deepEqual([tried.alpn, tried.line], [agreed, "HTTP/1.1 200 OK"]);
      assert.equal(await scene.counter("http2_connections"), 0);
    },
  );

scenario(
  "a listener of 1.1 alone refuses a client that offers h2 alone, with no_application_protocol",
  { settings: spoken("1.1") },
  async (scene) => {
    const tried = await tryTls(scene.port, world.asks({ ALPNProtocols: ["h2"] }));
    assert.match(tried.code ?? "", /NO_APPLICATION_PROTOCOL/);
    await scene.sees("client_closes_tls", 1);
  },
);

scenario(
  "prior knowledge and HTTP/1 on one plain port, at the same time",
  { settings: priorKnowledge() },
  async (scene) => {
    const [old, peer] = [await scene.client(), await openHttp2(scene)];
    for (let turn = 0; turn < 3; turn += 1) {
      assert.equal(echoed(await old.ask("GET /old")).target, "/old");
      assert.equal(echoed(await peer.ask("GET /new")).target, "/new");
    }
    assert.equal(await scene.counter("http2_connections"), 1);
    assert.equal(await scene.counter("http2_connections_open"), 1);
    assert.equal(await scene.counter("client_connections_open"), 2);
    await peer.close();
    await scene.sees("http2_connections_open", 0);
  },
);

scenario("a plain listener speaks HTTP/1 alone unless told otherwise", {}, async (scene) => {
  const client = await scene.client();
  await client.send(PREFACE, settings());
  const answer = await client.answer("PRI");
  assert.ok(answer.status === 505 || answer.status === 400, answer.head);
  await client.seesClose();
  assert.equal(await scene.counter("http2_connections"), 0);
});

scenario(
  "the preface in pieces, and after it everything at once, is understood",
  { settings: priorKnowledge() },
  async (scene) => {
    const client = await scene.client();
    for (const octet of PREFACE) {
      await client.send(Buffer.from([octet]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const peer = await Http2Peer.client(client.wire, { manners: false });
    await peer.send(settings());
    await peer.frame("SETTINGS");
    assert.equal(echoed(await peer.ask("GET /a")).target, "/a");
  },
);

scenario(
  "what begins like the preface and is a request of HTTP/1 is one",
  { settings: priorKnowledge() },
  async (scene) => {
    for (const method of ["P", "PR", "PRI", "PRIX", "PRY", "PUT"]) {
      const client = await scene.client();
      await client.sendSlowly([request(`${method} /a`).slice(0, 2), request(`${method} /a`).slice(2)], 20);
      const answer = await client.answer(method);
      assert.ok(answer.status === 200 || answer.status === 501, `${method}: ${answer.head}`);
      await client.close();
    }
    assert.equal(await scene.counter("http2_connections"), 0);
  },
);

for (const [what, bytes] of [
  ["junk", Buffer.alloc(64, 0xa5)],
  ["a preface that is wrong at its end", Buffer.concat([PREFACE.subarray(0, -1), Buffer.from("x")])],
] as const)
  scenario(
    `what is neither version is refused, and nothing forwarded: ${what}`,
    { settings: priorKnowledge() },
    async (scene) => {
      const client = await scene.client();
      await client.send(bytes);
      const all = await client.wire.takeAll();
      assert.match(all.toString("latin1"), /^HTTP\/1\.1 (400|505) /);
      assert.equal(scene.origin.receivedBytes, 0);
      await scene.sees("client_connections_open", 0);
    },
  );

scenario("HTTP/1 asks for h2c by Upgrade and is served as HTTP/1", { settings: priorKnowledge() }, async (scene) => {
  const client = await scene.client();
  const answer = await client.ask(
    "GET /a",
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
  );
  assert.equal(answer.status, 200, "RFC 9113 3.1: that way is not used any more");
  const names = echoed(answer).fields.map(([name]) => name.toLowerCase());
  assert.ok(!names.includes("http2-settings") && !names.includes("upgrade"), names.join());
});

const [OPEN, CLOSED] = ["open.example.org", "closed.example.org"];
const authority = world.authority.writeTo(world.folder, "clients");

for (const [hostPolicy, statuses] of [
  ["ignore", [200]],
  // RFC 9113 9.1.2: 421 tells a client to come over a connection of its own.
  ["refuse", [421, 403]],
] as const)
  scenario(
    `S0-20 a stream for a host under another client-certificate rule than its connection: ${hostPolicy}`,
    {
      settings: world.settings({
        certificates: [world.pair({ names: [OPEN, CLOSED] })],
        clientCertificates: [{ hosts: [CLOSED], ca: authority }],
        hostPolicy,
      }),
    },
    async (scene) => {
      const peer = await openHttp2(scene, { connection: { tls: world.asks({ servername: OPEN }) } });
      const ask = (host: string, path: string) => peer.ask(`GET ${path}`, { authority: host, scheme: "https" });
      assert.equal((await ask(OPEN, "/")).status, 200);
      const { status } = await ask(CLOSED, "/around");
      assert.ok((statuses as readonly number[]).includes(status), String(status));
      assert.equal(
        scene.origin.requests.some(({ target }) => target === "/around"),
        status === 200,
      );
      assert.equal((await ask(OPEN, "/again")).status, 200, "the connection serves on");
      assert.equal(await scene.counter("tls_name_mismatches"), status === 200 ? 0 : 1);
    },
  );
