/** Origins of HTTP/2 that people really use: Node and nginx, with TLS and without; and S0-10, which asks certificates. */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { test } from "node:test";
import { openHttp2 } from "../support/http2-scene.js";
import { toHttp2OverTls, toldBy } from "../support/http2-scripts.js";
import { bodyDigest, bodyPiece } from "../support/load.js";
import { missing, Peer } from "../support/peers.js";
import { Scene, type SettingsOverlay, scenario } from "../support/scene.js";
import { speaking, trusted, trustedFile, trusting, usual, writeCertificate } from "../support/tls-origins.js";

type OriginSettings = NonNullable<SettingsOverlay["origins"]>[string];

/** Plays with a scene whose one origin is somebody else. */
async function before(origin: OriginSettings, play: (scene: Scene) => Promise<void>): Promise<void> {
  const listeners = [{ address: "127.0.0.1:0", httpVersions: ["1.1" as const, "2" as const] }];
  const scene = await Scene.open({ workers: 2, settings: { listeners, origins: { app: origin } } });
  try {
    await play(scene);
    await scene.end();
  } finally {
    await scene.abandon();
  }
}

/** A server of Node's, its connections counted. */
async function nodeServer(tls: boolean) {
  const serve = (asked: Http2ServerRequest, answer: Http2ServerResponse): void => {
    if (asked.method === "GET") {
      answer.setHeader("x-version", asked.httpVersion);
      answer.end(bodyPiece(0, Number(asked.url.slice(1))));
      return;
    }
    const hash = createHash("sha256");
    asked.on("data", (piece: Buffer) => hash.update(piece));
    asked.once("end", () => {
      answer.addTrailers({ "x-trailer": "behind" });
      answer.end(hash.digest("hex"));
    });
  };
  const { cert, key } = usual();
  const server: Http2Server = tls ? createSecureServer({ cert, key, allowHTTP1: false }, serve) : createServer(serve);
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on(tls ? "secureConnection" : "connection", (socket: Socket) => {
    accepted += 1;
    sockets.add(socket);
  });
  server.on("sessionError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    accepted: () => accepted,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

for (const tls of [false, true])
  test(`node:http2 as the origin, ${tls ? "TLS" : "prior knowledge"}: many clients, few connections, every body whole`, {
    timeout: 60_000,
  }, async () => {
    const node = await nodeServer(tls);
    const url = `${tls ? "https" : "http"}://127.0.0.1:${node.port}`;
    const settings: OriginSettings = { targets: [url], httpVersions: ["2"], ...(tls ? { tls: trusting() } : {}) };
    try {
      await before(settings, async (scene) => {
        const clients = await Promise.all(Array.from({ length: 20 }, () => scene.client({ record: false })));
        const peers = await Promise.all(Array.from({ length: 4 }, () => openHttp2(scene)));
        await Promise.all([
          ...clients.map(async (client, n) => {
            for (let turn = 0; turn < 10; turn += 1) {
              const size = (n * 10 + turn) * 700;
              const answer = await client.ask(`GET /${size}`);
              assert.deepEqual([answer.status, answer.fields.one("x-version")], [200, "2.0"]);
              assert.ok(answer.body.equals(bodyPiece(0, size)));
              assert.equal((await client.post("POST /up", bodyPiece(0, size))).body.toString(), bodyDigest(size));
            }
          }),
          ...peers.map(async (peer) => {
            for (let turn = 0; turn < 10; turn += 1) {
              const answer = await peer.ask("POST /up", { body: bodyPiece(0, 50_000 + turn) });
              assert.equal(answer.body.toString(), bodyDigest(50_000 + turn));
              assert.equal(answer.trailers?.one("x-trailer"), "behind");
            }
          }),
        ]);
        assert.ok(node.accepted() <= 4, `${node.accepted()} connections`);
        assert.equal(await scene.counter("answers_5xx"), 0);
      });
    } finally {
      await node.stop();
    }
  });

for (const tls of [false, true])
  test(`nginx as an origin of HTTP/2, ${tls ? "TLS" : "prior knowledge"}: two thousand requests, none lost as it ends its connections`, {
    timeout: 60_000,
    skip: missing("nginx"),
  }, async () => {
    const files = writeCertificate(usual(), `nginx-http2-${tls}`);
    const nginx = await Peer.nginx(
      // Each connection is ended with GOAWAY after so many requests.
      'location / { default_type text/plain; return 200 "$server_protocol $request_uri"; }',
      `keepalive_requests 100; ${tls ? `ssl_certificate ${files.cert}; ssl_certificate_key ${files.key};` : ""}`,
      { ssl: tls, http2: true },
    );
    const url = `${tls ? "https" : "http"}://127.0.0.1:${nginx.port}`;
    try {
      await before({ targets: [url], httpVersions: ["2"], ...(tls ? { tls: trusting() } : {}) }, async (scene) => {
        const clients = await Promise.all(Array.from({ length: 20 }, () => scene.client({ record: false })));
        await Promise.all(
          clients.map(async (client, n) => {
            for (let turn = 0; turn < 100; turn += 1) {
              const answer = await client.ask(`GET /${n}/${turn}`);
              assert.equal(answer.body.toString(), `HTTP/2.0 /${n}/${turn}`, answer.head);
            }
          }),
        );
        const { counters } = (await scene.proxy.stats()).all;
        assert.equal(counters.answers_2xx, 2_000);
        assert.ok(counters.origin_connections_opened < 200, `${counters.origin_connections_opened} connections`);
      });
    } finally {
      await nginx.stop();
    }
  });

const byName = {
  host: "client",
  tls: { ca: trustedFile(), systemRoots: false, sni: "host" } as never,
  httpVersions: ["2" as const],
};

scenario(
  "S0-10 a connection carries requests for every name its certificate is for, and for no other",
  toHttp2OverTls({ originSettings: byName }, ["h2"], speaking(trusted().issue({ names: ["a.example", "b.example"] }))),
  async (scene) => {
    const client = await scene.client();
    const used: number[] = [];
    for (const host of ["a.example", "b.example", "a.example"]) {
      const answer = await client.ask("GET /a", `Host: ${host}`);
      assert.equal(answer.status, 200, answer.head);
      const told = toldBy(answer);
      assert.equal(told.pseudo[":authority"], host);
      used.push(told.connection);
    }
    // Whether b.example rides along or has a connection of its own, c.example must not ride along.
    assert.ok(new Set(used).size <= 2);
    const refused = await client.ask("GET /a", "Host: c.example");
    assert.equal(refused.status, 502);
    assert.match(refused.fields.one("proxy-status") ?? "", /tls_verify/);
    assert.equal((await client.ask("GET /a", "Host: a.example")).status, 200);
  },
);
