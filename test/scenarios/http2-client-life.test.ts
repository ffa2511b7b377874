/** What happens around connections of HTTP/2: dumps, workers that die, PROXY headers, limits of connections, TLS's ends. */
import { strict as assert } from "node:assert";
import { echoed, reply, serve } from "../support/behaviours.js";
import { PREFACE, settings } from "../support/http2-frames.js";
import { Http2Peer } from "../support/http2-peer.js";
import { bothWays, openHttp2, priorKnowledge } from "../support/http2-scene.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { TlsWorld } from "../support/tls.js";
import { TappedClient } from "../support/tls-records.js";
import { PATIENCE_MS, pause } from "../support/wire.js";

const world = new TlsWorld();

const silent: Script = async (connection) => {
  await connection.head();
  await connection.ended(60_000);
};

bothWays(
  world,
  "S3-16 connections() shows a connection of HTTP/2 and its streams",
  { origin: silent },
  async (open, scene) => {
    const peer = await open();
    const streams = [await peer.request("GET /one"), await peer.request("GET /two")];
    await scene.sees("exchanges_open", 2);
    const { workers } = await scene.millrace.connections();
    const clients = workers.flatMap((one) => one.clients) as Record<string, unknown>[];
    const requests = clients.map((one) => String(one["request"] ?? ""));
    assert.ok(
      requests.some((text) => text.endsWith("/one")) && requests.some((text) => text.endsWith("/two")),
      requests.join(),
    );
    assert.equal(clients.filter((one) => one["state"] === "multiplexed").length, 1);
    for (const stream of streams) await peer.reset(stream);
    await scene.sees("exchanges_open", 0);
  },
);

scenario(
  "a worker that panics takes its connections of HTTP/2 along, and its gauges with it; new ones are served",
  {
    settings: priorKnowledge(),
    workers: 2,
    origin: serve((asked, connection) => connection.send(reply(200, asked.target))),
  },
  async (scene) => {
    const peers = await Promise.all(Array.from({ length: 12 }, () => openHttp2(scene)));
    for (const peer of peers) assert.equal((await peer.ask("GET /before")).status, 200);
    await scene.proxy.provokePanic(0);
    const due = Date.now() + PATIENCE_MS;
    while ((await scene.proxy.stats()).workersReplaced < 1) {
      assert.ok(Date.now() < due, "the worker was not replaced in time");
      await pause(10);
    }
    await pause(100);
    const left = peers.filter((peer) => peer.ending === "open");
    assert.ok(left.length > 0 && left.length < peers.length, `${left.length} are left`);
    for (const peer of left) assert.equal((await peer.ask("GET /after")).body.toString(), "/after");
    assert.equal(await scene.counter("http2_connections_open"), left.length);
    const fresh = await Promise.all(Array.from({ length: 6 }, () => openHttp2(scene)));
    for (const peer of fresh) assert.equal((await peer.ask("GET /fresh")).status, 200);
  },
);

scenario(
  "a PROXY header before the preface says who the client is, to origins and to the log",
  {
    accessLog: true,
    settings: {
      listeners: [{ address: "127.0.0.1:0", proxyProtocol: true, httpVersions: ["1.1", "2"] }],
      forwarding: { trustedProxies: ["127.0.0.1"] },
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send("PROXY TCP4 192.0.2.7 192.0.2.1 5555 80\r\n", PREFACE, settings());
    const peer = await Http2Peer.client(client.wire, { manners: false });
    await peer.frame("SETTINGS");
    const seen = echoed(await peer.ask("GET /a"));
    assert.ok(seen.fields.some(([name, value]) => name.toLowerCase() === "x-forwarded-for" && value === "192.0.2.7"));
    const [line] = await scene.accessLog(1);
    assert.equal(line?.["client"], "192.0.2.7");
  },
);

scenario(
  "close_notify with streams open aborts them, with or without a FIN behind it",
  { settings: world.settings(), origin: silent },
  async (scene) => {
    for (const finFollows of [true, false]) {
      const client = await TappedClient.connect(scene.port, world.asks({ ALPNProtocols: ["h2"] }));
      const peer = await Http2Peer.client(client.wire);
      await peer.request("GET /a");
      await scene.sees("exchanges_open", 1);
      client.tap.finFollows = finFollows;
      client.tls.end();
      await scene.sees("exchanges_open", 0);
      await scene.sees("client_connections_open", 0);
      await client.close();
    }
    assert.equal(await scene.counter("client_fault_client_gone"), 2);
  },
);

scenario(
  "limits.clientRequests ends a connection by GOAWAY after so many streams, and none is lost",
  { settings: priorKnowledge({ limits: { clientRequests: 5 } }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    let answered = 0;
    for (let n = 0; n < 20 && peer.ending === "open"; n += 1) {
      const stream = await peer.request(`GET /${n}`);
      const { status } = await peer.outcome(stream);
      const said = peer.frames.findLast(({ type }) => type === "GOAWAY");
      const last = said?.payload.readUInt32BE(0) ?? Number.POSITIVE_INFINITY;
      if (status !== undefined) answered += 1;
      else assert.ok(stream > last || peer.ending !== "open", "a stream was lost");
    }
    await peer.seesEnd();
    assert.ok(answered >= 5 && answered < 12, `${answered} were answered`);
  },
);
