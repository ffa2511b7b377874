/**
 * Connections kept to origins over TLS: they are reused as plain ones are, whatever TLS says between two answers; what
 * an origin sends or ends at rest reaches nobody; and tickets shorten what must be opened anew.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { echoed, reply, serve } from "../support/behaviours.js";
import { missing, Peer } from "../support/peers.js";
import { Scene, scenario } from "../support/scene.js";
import { raceStale } from "../support/stale-race.js";
import { overTls, trusting, usual, writeCertificate } from "../support/tls-origins.js";
import { clientsOf, inTurn, pairOnTwoWorkers } from "../support/traffic.js";
import { pause } from "../support/wire.js";

const REQUESTS = 500;
const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

/** Plays with nginx as the origin. */
async function withNginx(version: string, server: string, standby: number, play: (scene: Scene) => Promise<void>) {
  const files = writeCertificate(usual(), "nginx");
  const nginx = await Peer.nginx(
    server,
    `ssl_certificate ${files.cert}; ssl_certificate_key ${files.key}; ssl_protocols ${version}; keepalive_requests 10000;`,
    { ssl: true },
  );
  const scene = await Scene.open({
    settings: {
      origins: { app: { targets: [`https://127.0.0.1:${nginx.port}`], tls: trusting(), standby } },
      routes: [{ forwardTo: "app" }],
    },
  });
  try {
    await play(scene);
    await nginx.stop();
    await scene.end();
  } finally {
    await scene.abandon();
    await nginx.stop();
  }
}

for (const version of VERSIONS) {
  for (const standby of [0, 2]) {
    const ahead = standby > 0 ? `, ${standby} opened ahead` : "";
    scenario(
      `S0-01 ${REQUESTS} requests in turn take one connection: scripted origin, ${version}${ahead}`,
      overTls({
        speaks: { minVersion: version, maxVersion: version },
        originSettings: { standby, idleMs: 60_000 },
      }),
      async (scene) => {
        if (standby > 0) await scene.sees("origin_connections_idle", standby);
        const [client] = await clientsOf(scene, 1, false);
        assert.ok(client !== undefined);
        await inTurn([client], REQUESTS);
        const { counters } = (await scene.proxy.stats()).all;
        const carrying = new Set(scene.origin.requests.map((one) => one.connection.id));
        assert.equal(carrying.size, 1);
        assert.equal(counters.origin_closes_stray_bytes + counters.origin_closes_by_origin, 0);
        assert.equal(counters.origin_requests, REQUESTS);
        assert.ok(counters.origin_requests_reused >= REQUESTS - 1, `${counters.origin_requests_reused} reused`);
        assert.equal(scene.origin.lastConnection.session.getProtocol(), version);
      },
    );

    test(
      `S0-01 ${REQUESTS} requests in turn take one connection: nginx, ${version}${ahead}`,
      { timeout: 60_000, skip: missing("nginx") },
      () =>
        withNginx(version, 'return 200 "$connection_requests $ssl_protocol";', standby, async (scene) => {
          if (standby > 0) await scene.sees("origin_connections_idle", standby);
          const client = await scene.client({ record: false });
          let last = "";
          for (let n = 0; n < REQUESTS; n += 1) last = (await client.ask("GET /a")).body.toString();
          assert.equal(last, `${REQUESTS} ${version}`, "all over one connection");
          const { counters } = (await scene.proxy.stats()).all;
          assert.equal(counters.origin_closes_stray_bytes + counters.origin_closes_by_origin, 0);
        }),
    );
  }

  test(`S0-08 a new connection to the same origin is a short handshake, ${version}`, { timeout: 60_000 }, async () => {
    const resumed: boolean[] = [];
    const options = overTls({
      origin: serve((_, connection) => {
        resumed.push(connection.session.isSessionReused());
        return connection.send(reply(200, "bye", "Connection: close"));
      }),
      speaks: { minVersion: version, maxVersion: version },
    });
    const scene = await Scene.open(options);
    try {
      const client = await scene.client();
      for (let n = 0; n < 5; n += 1) assert.equal((await client.ask("GET /a")).status, 200);
      // A ticket of TLS 1.3 is used once, and this origin gives two with a full handshake and none with a short one.
      assert.deepEqual(
        resumed,
        version === "TLSv1.3" ? [false, true, true, false, true] : [false, true, true, true, true],
      );
      assert.equal(await scene.counter("origin_tls_handshakes"), 5);
      assert.equal(await scene.counter("origin_tls_resumed"), resumed.filter((one) => one).length);
      await scene.end();
    } finally {
      await scene.abandon();
    }
  });
}

for (const version of VERSIONS) {
  test(
    `S0-08 nginx, which gives a ticket with every handshake, sees one full handshake, ${version}`,
    { timeout: 60_000, skip: missing("nginx") },
    () =>
      withNginx(version, 'return 200 "$ssl_session_reused"; keepalive_timeout 0;', 0, async (scene) => {
        const client = await scene.client();
        const told: string[] = [];
        for (let n = 0; n < 5; n += 1) told.push((await client.ask("GET /a")).body.toString());
        assert.deepEqual(told, [".", "r", "r", "r", "r"]);
        assert.equal(await scene.counter("origin_tls_resumed"), 4);
      }),
  );
}

for (const [what, one, two] of [
  ["whom they trust", {}, { verifyName: "@a.example" }],
  ["the name they ask for", { sni: "@a.example" }, { sni: "@b.example" }],
] as const) {
  scenario(
    `S0-03 S0-08 origins of one address that differ in ${what} share neither connections nor tickets`,
    overTls({
      settings: (origins) => ({
        origins: {
          one: { targets: [origins["app"]?.url ?? ""], tls: trusting(one) },
          two: { targets: [origins["app"]?.url ?? ""], tls: trusting(two) },
        },
        routes: [
          { match: { path: "/one" }, forwardTo: "one" },
          { match: { path: "/two" }, forwardTo: "two" },
          { forwardTo: "app" },
        ],
      }),
    }),
    async (scene) => {
      const client = await scene.client();
      const used: number[] = [];
      for (let n = 0; n < 6; n += 1) {
        used.push(echoed(await client.ask(n % 2 === 0 ? "GET /one" : "GET /two")).connection);
      }
      assert.deepEqual(used, [0, 1, 0, 1, 0, 1]);
      assert.equal(await scene.counter("origin_tls_resumed"), 0);
    },
  );
}

scenario(
  "S0-08 S0-15 a connection that another worker takes keeps its name: it serves that name and no other",
  overTls({ workers: 2, tls: { sni: "host", verifyName: "target" }, originSettings: { host: "client" } }),
  async (scene) => {
    const { first, second } = await pairOnTwoWorkers(scene);
    const used: string[] = [];
    for (const [client, host] of [
      [first, "a.example"],
      [second, "a.example"],
      [second, "b.example"],
      [first, "b.example"],
      [first, "a.example"],
    ] as const) {
      const answer = await client.ask("GET /a", `Host: ${host}`);
      const { connection } = echoed(answer);
      used.push(`${host} ${connection} ${scene.origin.connections[connection]?.serverName}`);
    }
    assert.deepEqual(used, [
      "a.example 0 a.example",
      "a.example 0 a.example",
      "b.example 1 b.example",
      "b.example 1 b.example",
      "a.example 0 a.example",
    ]);
    assert.ok((await scene.counter("origin_connections_stolen")) >= 2);
  },
);

for (const [what, end] of [
  ["with its word", "close"],
  ["by a FIN alone", "cut"],
  ["by a reset", "reset"],
] as const) {
  for (const method of ["GET", "POST"] as const) {
    scenario(
      `S0-13 a connection that the origin ended ${what} at rest carries no ${method}`,
      overTls({ accessLog: true }),
      async (scene) => {
        const client = await scene.client();
        assert.equal((await client.ask("GET /1")).status, 200);
        await scene.origin.lastConnection[end]();
        await scene.sees("origin_closes_by_origin", 1);
        const answer = method === "GET" ? await client.ask("GET /2") : await client.post("POST /2", "body");
        assert.equal(answer.status, 200);
        assert.equal(echoed(answer).connection, 1);
        assert.equal(await scene.counter("origin_failures"), 0);
        assert.equal(await scene.counter("origin_repeats"), 0);
      },
    );
  }
}

scenario(
  "S0-13 bytes of the application on a connection at rest: it is closed, and they reach nobody",
  overTls(),
  async (scene) => {
    const client = await scene.client();
    for (let n = 1; n <= 3; n += 1) {
      assert.equal(echoed(await client.ask(`GET /${n}`)).connection, n - 1);
      await scene.origin.lastConnection.send(reply(200, "for nobody"));
      await scene.sees("origin_closes_stray_bytes", n);
    }
    const answer = await client.post("POST /4", "body");
    assert.deepEqual([echoed(answer).target, echoed(answer).connection], ["/4", 3]);
  },
);

scenario(
  "S3-05 an answer behind the answer is nobody's, however it is sealed",
  overTls({
    origin: serve(async (asked, connection) => {
      const own = reply(200, asked.target);
      await connection.send(own, asked.target === "/two" ? reply(200, "late") : "");
      if (asked.target === "/late") {
        await pause(10);
        await connection.send(reply(200, "later"));
      }
    }),
  }),
  async (scene) => {
    const client = await scene.client();
    for (const path of ["/a", "/two", "/b", "/late", "/c"]) {
      assert.equal((await client.ask(`GET ${path}`)).body.toString(), path);
      if (path === "/late") await scene.sees("origin_closes_stray_bytes", 2);
    }
    assert.equal(scene.origin.accepted, 3);
  },
);

test("S2-01 the stale race over TLS: no repeatable request fails, no POST is executed twice", {
  timeout: 120_000,
}, async () => {
  const options = overTls();
  const { failed, twice, unexplained } = await raceStale(1_600, {
    originOptions: { ...options.originOptions },
    ...(options.originSettings && { originSettings: options.originSettings }),
  });
  assert.deepEqual({ failed, twice, unexplained }, { failed: [], twice: [], unexplained: [] });
});
