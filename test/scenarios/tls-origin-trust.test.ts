/**
 * Trust between us and origins: certificates we show and those we take, pins, versions, and files that change. What was
 * opened or learned under one trust is never used under another, and what did not change is left alone.
 */
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { echoed, reply, serve } from "../support/behaviours.js";
import { type Issued, makeAuthority } from "../support/certificates.js";
import { request } from "../support/client.js";
import { lineOf } from "../support/failures.js";
import { missing, Peer } from "../support/peers.js";
import { Scene, scenario } from "../support/scene.js";
import { overTls, trusted, trusting, usual, writeCertificate, writePem } from "../support/tls-origins.js";
import { PATIENCE_MS, pause, WireError } from "../support/wire.js";

const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

const clients = makeAuthority("client root");
const stranger = makeAuthority("stranger");
const ours = clients.issue({ names: ["proxy.example"], client: true });
const revoked = clients.issue({ names: ["gone.example"], client: true });
const strange = stranger.issue({ names: ["proxy.example"], client: true });

/** Says whose certificate it was shown, and who signed it. */
const judging = serve((_, connection) => {
  const { subject, issuer } = connection.session.getPeerCertificate();
  return connection.send(reply(200, subject === undefined ? "nobody" : `${subject.CN} by ${issuer.CN}`));
});

for (const version of VERSIONS) {
  for (const [shown, told] of [
    [ours, "proxy.example by client root"],
    [strange, "proxy.example by stranger"],
    [undefined, "nobody"],
  ] as const) {
    scenario(
      `S0-03 an origin that asks for a client certificate is shown the one of the settings: ${told}, ${version}`,
      overTls({
        origin: judging,
        speaks: { minVersion: version, maxVersion: version, requestCert: true, ca: clients.cert },
        tls: shown === undefined ? {} : { clientCertificate: writeCertificate(shown, `client-${shown.serial}`) },
      }),
      async (scene) => {
        const client = await scene.client();
        assert.equal((await client.ask("GET /a")).body.toString(), told);
      },
    );
  }
}

/** OpenSSL's own server judges certificates, and says by alert what it thinks of them. */
async function withJudge(
  version: string,
  shown: Issued | undefined,
  play: (scene: Scene, port: number) => Promise<void>,
): Promise<void> {
  const own = writeCertificate(usual(), "judge");
  const args = ["-cert", own.cert, "-key", own.key, version === "TLSv1.2" ? "-tls1_2" : "-tls1_3", "-quiet"];
  const ca = ["-CAfile", writePem("clients", clients.cert), "-Verify", "1", "-verify_return_error"];
  const crl = ["-CRL", writePem("crl", clients.makeCrl([revoked])), "-crl_check"];
  const judge = await Peer.openssl([...args, ...ca, ...crl]);
  const clientCertificate = shown && writeCertificate(shown, `client-${shown.serial}`);
  const scene = await Scene.open({
    accessLog: true,
    processLog: true,
    apart: true,
    settings: {
      log: { level: "warn" },
      origins: {
        app: {
          targets: [`https://127.0.0.1:${judge.port}`],
          tls: trusting(clientCertificate === undefined ? {} : { clientCertificate }),
          health: { passive: { level: 0 } },
        },
      },
      routes: [{ forwardTo: "app" }],
    },
  });
  try {
    await play(scene, judge.port);
    await judge.stop();
    await scene.end();
  } finally {
    await scene.abandon();
    await judge.stop();
  }
}

async function noteOf(scene: Scene, event: string) {
  const due = Date.now() + PATIENCE_MS;
  for (;;) {
    const note = scene.processLog().find((line) => JSON.stringify(line).includes(event));
    if (note !== undefined) return note;
    if (Date.now() > due) throw new WireError(`no note of ${event}: ${JSON.stringify(scene.processLog())}`);
    await pause(10);
  }
}

for (const version of VERSIONS) {
  test(`S0-03 OpenSSL takes our certificate, ${version}`, { timeout: 60_000, skip: missing("openssl") }, () =>
    withJudge(version, ours, async (scene) => {
      const client = await scene.client();
      await client.send(request("GET /"));
      // It ends its page by a FIN alone, so that nobody can tell whether it is whole.
      assert.equal((await client.answerOrPart()).status, 200);
    }),
  );

  for (const [what, shown, alert] of [
    ["none", undefined, version === "TLSv1.2" ? "HandshakeFailure" : "CertificateRequired"],
    ["one of another authority", strange, "UnknownCA"],
    ["one that was revoked", revoked, "CertificateRevoked"],
  ] as const) {
    test(
      `S1-01 S2-02 an origin that wants another certificate than ours (${what}) is told by its alert, ${version}`,
      {
        timeout: 60_000,
        skip: missing("openssl"),
      },
      () =>
        withJudge(version, shown, async (scene, port) => {
          const client = await scene.client();
          const answer = await client.ask("GET /a");
          assert.equal(answer.status, 502);
          assert.match(answer.fields.one("proxy-status") ?? "", /error=tls_alert_received; details="tls_alert"/);
          const line = await lineOf(scene, "/a");
          assert.deepEqual([line["fault"], line["whose"], line["failures"]], ["tls_alert", "origin", 1]);
          assert.equal(await scene.counter("origin_fault_tls_alert"), 1);
          const note = await noteOf(scene, "origin_tls_failed");
          assert.deepEqual(
            [note["fault"], note["address"], note["origin"], note["sni"], note["says"]],
            ["tls_alert", `127.0.0.1:${port}`, "app", "", alert],
            JSON.stringify(note),
          );
          assert.match(String(note["library"]), /rustls/);
        }),
    );
  }

  test(`S0-03 nginx takes our certificate and nobody else's, ${version}`, {
    timeout: 60_000,
    skip: missing("nginx"),
  }, async () => {
    const own = writeCertificate(usual(), "nginx");
    const nginx = await Peer.nginx(
      'return 200 "$ssl_client_s_dn $ssl_client_verify";',
      `ssl_certificate ${own.cert}; ssl_certificate_key ${own.key}; ssl_protocols ${version}; ssl_verify_client on;
       ssl_client_certificate ${writePem("nginx-clients", clients.cert)};`,
      { ssl: true },
    );
    const at = { targets: [`https://127.0.0.1:${nginx.port}`] };
    const scene = await Scene.open({
      settings: {
        origins: {
          app: { ...at, tls: trusting({ clientCertificate: writeCertificate(ours, "ours") }) },
          strange: { ...at, tls: trusting({ clientCertificate: writeCertificate(strange, "strange") }) },
          none: { ...at, tls: trusting() },
        },
        routes: [
          { match: { path: "/strange" }, forwardTo: "strange" },
          { match: { path: "/none" }, forwardTo: "none" },
          { forwardTo: "app" },
        ],
      },
    });
    try {
      const client = await scene.client();
      for (let n = 0; n < 2; n += 1) {
        assert.equal((await client.ask("GET /a")).body.toString(), "CN=proxy.example SUCCESS");
        assert.equal((await client.ask("GET /strange")).status, 400);
        assert.equal((await client.ask("GET /none")).status, 400);
      }
      await nginx.stop();
      await scene.end();
    } finally {
      await scene.abandon();
      await nginx.stop();
    }
  });
}

scenario(
  "S0-03 S0-08 requests with different client certificates share neither connections nor tickets",
  overTls({
    speaks: { requestCert: true, ca: clients.cert },
    settings: (origins) => {
      const targets = [origins["app"]?.url ?? ""];
      return {
        origins: {
          one: { targets, tls: trusting({ clientCertificate: writeCertificate(ours, "one") }) },
          two: { targets, tls: trusting({ clientCertificate: writeCertificate(strange, "two") }) },
        },
        routes: [
          { match: { path: "/one" }, forwardTo: "one" },
          { match: { path: "/two" }, forwardTo: "two" },
          { forwardTo: "app" },
        ],
      };
    },
  }),
  async (scene) => {
    const client = await scene.client();
    const used: number[] = [];
    for (const path of ["/one", "/two", "/app", "/one", "/two", "/app"]) {
      used.push(echoed(await client.ask(`GET ${path}`)).connection);
    }
    assert.deepEqual(used, [0, 1, 2, 0, 1, 2]);
    assert.equal(await scene.counter("origin_tls_resumed"), 0);
  },
);

const OTHER_PIN = createHash("sha256").update("another key").digest("base64");

for (const [what, pins, status] of [
  ["the leaf's key", () => [usual().pin], 200],
  ["one of several keys", () => [OTHER_PIN, usual().pin], 200],
  ["a key that is not there", () => [OTHER_PIN], 502],
] as const) {
  for (const verify of [true, false]) {
    test(`S1-10 a pin of ${what}: ${status} (verify: ${verify})`, { timeout: 60_000 }, async () => {
      const scene = await Scene.open(overTls({ accessLog: true, tls: { pins: pins(), verify } }));
      try {
        const client = await scene.client();
        assert.equal((await client.ask("GET /a")).status, status);
        if (status !== 200) assert.equal((await lineOf(scene, "/a"))["fault"], "tls_verify");
        await scene.end();
      } finally {
        await scene.abandon();
      }
    });
  }
}

for (const version of VERSIONS) {
  const other = version === "TLSv1.2" ? "1.3" : "1.2";
  scenario(
    `S1-10 an origin that speaks ${version} only is not spoken to where the settings say ${other}: tls_alert, no downgrade`,
    overTls({
      speaks: { minVersion: version, maxVersion: version },
      tls: { versions: [other] },
    }),
    async (scene) => {
      const client = await scene.client();
      const answer = await client.ask("GET /a");
      assert.match(answer.fields.one("proxy-status") ?? "", /details="tls_alert"/);
      assert.equal(scene.origin.accepted, 0);
    },
  );
}

scenario(
  "S0-03 an authority that is taken out of the file ends its connections at once; other origins keep theirs",
  overTls({
    settings: (origins) => {
      const targets = [origins["app"]?.url ?? ""];
      const ca = writePem("changing", trusted().cert);
      return {
        origins: { changed: { targets, tls: { ca, systemRoots: false } }, kept: { targets, tls: trusting() } },
        routes: [{ match: { path: "/changed" }, forwardTo: "changed" }, { forwardTo: "kept" }],
      };
    },
  }),
  async (scene) => {
    const client = await scene.client();
    for (const [path, connection] of [
      ["/changed", 0],
      ["/kept", 1],
      ["/changed", 0],
      ["/kept", 1],
    ] as const) {
      assert.equal(echoed(await client.ask(`GET ${path}`)).connection, connection);
    }
    writePem("changing", stranger.cert);
    scene.millrace.reloadCertificates();
    const answer = await client.ask("GET /changed");
    assert.match(answer.fields.one("proxy-status") ?? "", /details="tls_verify"/, "at once, and on no old connection");
    assert.equal(echoed(await client.ask("GET /kept")).connection, 1);
    writePem("changing", stranger.cert + trusted().cert);
    scene.millrace.reloadCertificates();
    assert.equal((await client.ask("GET /changed")).status, 200);
    assert.equal(echoed(await client.ask("GET /kept")).connection, 1);
    assert.equal(await scene.counter("origin_tls_resumed"), 0, "tickets of the old trust are not used under the new");
  },
);

scenario(
  "S0-03 a client certificate that was renewed is the one shown from then on, on connections of its own",
  overTls({
    origin: judging,
    speaks: { requestCert: true, ca: clients.cert },
    tls: { clientCertificate: writeCertificate(ours, "renewed") },
  }),
  async (scene) => {
    const client = await scene.client();
    for (let n = 0; n < 2; n += 1)
      assert.equal((await client.ask("GET /a")).body.toString(), "proxy.example by client root");
    writeCertificate(clients.issue({ names: ["renewed.example"], client: true }), "renewed");
    scene.millrace.reloadCertificates();
    for (let n = 0; n < 2; n += 1)
      assert.equal((await client.ask("GET /a")).body.toString(), "renewed.example by client root");
    assert.equal(scene.origin.accepted, 2);
  },
);
