/** What a TLS handshake with a client agrees upon: version, cipher, key exchange and protocol, as configured and no other. */
import { strict as assert } from "node:assert";
import type { ConnectionOptions } from "node:tls";
import { missing, run } from "../support/peers.js";
import { scenario } from "../support/scene.js";
import { NAME, sClient, TlsWorld, tryTls } from "../support/tls.js";
import { ALERTS, alertOf, HANDSHAKE, helloOffering, recordsOf } from "../support/tls-records.js";

const world = new TlsWorld();
type Version = "1.2" | "1.3";
const NODE_NAME = { "1.2": "TLSv1.2", "1.3": "TLSv1.3" } as const;

/** What the listener speaks, what the client offers, and what comes of it; undefined = the alert protocol_version. */
const RANGES: readonly (readonly [listener: readonly Version[], client: readonly Version[], agreed?: Version])[] = [
  [["1.2", "1.3"], ["1.2", "1.3"], "1.3"],
  [["1.2", "1.3"], ["1.2"], "1.2"],
  [["1.2", "1.3"], ["1.3"], "1.3"],
  [["1.2"], ["1.2", "1.3"], "1.2"],
  [["1.2"], ["1.3"]],
  [["1.3"], ["1.2", "1.3"], "1.3"],
  [["1.3"], ["1.2"]],
];

for (const listener of [["1.2", "1.3"], ["1.2"], ["1.3"]] as const)
  scenario(
    `S1-07 a listener of TLS ${listener.join(" and ")} speaks the newest version that both know, and refuses the others by alert`,
    { settings: world.settings({ versions: [...listener] }) },
    async (scene) => {
      for (const [own, client, agreed] of RANGES) {
        if (own.join() !== listener.join()) continue;
        const [least = "1.2", most = least] = client;
        const versions = { minVersion: NODE_NAME[least], maxVersion: NODE_NAME[most] } as const;
        const tried = await tryTls(scene.port, world.asks(versions));
        if (agreed !== undefined) {
          assert.deepEqual([tried.protocol, tried.line], [NODE_NAME[agreed], "HTTP/1.1 200 OK"]);
        } else {
          assert.equal(tried.code, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
          await scene.sees("client_closes_tls", 1);
          assert.equal(await scene.counter("tls_handshakes_failed"), 1);
        }
      }
    },
  );

scenario(
  "TLS 1.1 and older are refused, whoever asks",
  { settings: world.settings() },
  async (scene) => {
    const said = await sClient(scene.port, ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    // A client that old names no signature algorithms either.
    assert.match(said.err + said.out, /alert (protocol version|handshake failure)/);
    await scene.sees("tls_handshakes_failed", 1);
  },
  { skip: missing("openssl") },
);

const SUITES: readonly (readonly [Version, string, string])[] = [
  ["1.3", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"],
  ["1.3", "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"],
  ["1.3", "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"],
  ["1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
  ["1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"],
  ["1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"],
];
const NOT_OURS = [
  "ECDHE-ECDSA-AES128-SHA",
  "ECDHE-ECDSA-AES256-SHA384",
  "AES128-GCM-SHA256",
  "DHE-RSA-AES128-GCM-SHA256",
];

scenario(
  "every cipher suite with forward secrecy and AEAD carries requests",
  { settings: world.settings() },
  async (scene) => {
    for (const [version, ciphers, standard] of SUITES) {
      const only = { ciphers, minVersion: NODE_NAME[version], maxVersion: NODE_NAME[version] } as const;
      const tried = await tryTls(scene.port, world.asks(only));
      assert.deepEqual([tried.cipher, tried.line], [standard, "HTTP/1.1 200 OK"]);
    }
  },
);

scenario(
  "CBC suites and suites without forward secrecy are refused with handshake_failure",
  { settings: world.settings() },
  async (scene) => {
    for (const ciphers of NOT_OURS) {
      const tried = await tryTls(scene.port, world.asks({ ciphers, maxVersion: "TLSv1.2" }));
      assert.match(tried.code ?? "", /HANDSHAKE_FAILURE/, ciphers);
    }
    await scene.sees("client_closes_tls", NOT_OURS.length);
  },
);

const OFFERS: readonly (readonly [what: string, offer: ConnectionOptions["ALPNProtocols"], agreed: string | false])[] =
  [
    ["http/1.1", ["http/1.1"], "http/1.1"],
    ["http/1.0", ["http/1.0"], "http/1.0"],
    ["something else first", ["spdy/3", "http/1.1"], "http/1.1"],
    ["nothing", undefined, false],
  ];

for (const [what, offer, agreed] of OFFERS)
  scenario(`a client that offers ${what} by ALPN speaks HTTP/1.1`, { settings: world.settings() }, async (scene) => {
    const tried = await tryTls(scene.port, world.asks(offer === undefined ? {} : { ALPNProtocols: offer }));
    assert.deepEqual([tried.alpn, tried.line], [agreed, "HTTP/1.1 200 OK"]);
  });

scenario(
  "a client that offers only protocols nobody speaks is told no_application_protocol",
  { settings: world.settings() },
  async (scene) => {
    for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
      const tried = await tryTls(scene.port, world.asks({ ALPNProtocols: ["spdy/3"], maxVersion: version }));
      assert.equal(tried.code, "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL");
    }
    await scene.sees("tls_handshakes_failed", 2);
  },
);

const X25519MLKEM768 = 0x11ec;
const X25519 = 0x001d;
/** RFC 8446 4.1.3: this random makes a ServerHello a HelloRetryRequest. */
const RETRY = Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex");

scenario(
  "a client that prefers post-quantum key exchange and shares no key for it is asked for X25519MLKEM768",
  { settings: world.settings() },
  async (scene) => {
    const client = await scene.client();
    await client.send(helloOffering([X25519MLKEM768, X25519], NAME));
    const first = await client.wire.until("an answer", (unread) => recordsOf(unread).records[0]);
    assert.equal(first.type, HANDSHAKE, `the alert ${alertOf(client.wire.unread)}`);
    assert.deepEqual(first.content.subarray(6, 38), RETRY);
    // The extension key_share names the group it wants.
    const wanted = Buffer.from([0, 51, 0, 2, X25519MLKEM768 >> 8, X25519MLKEM768 & 255]);
    assert.ok(first.content.includes(wanted), first.content.toString("hex"));
    await client.close();
    await scene.sees("client_closes_tls", 1);
  },
);

scenario(
  "a client that shares no group with us is told handshake_failure",
  { settings: world.settings() },
  async (scene) => {
    const client = await scene.client();
    await client.send(helloOffering([0x0100], NAME)); // ffdhe2048
    const alert = await client.wire.until("an alert", (unread) => alertOf(unread));
    assert.equal(alert, ALERTS.handshake_failure);
    await scene.sees("client_closes_tls", 1);
  },
);

/** OpenSSL knows it from 3.5 on. */
function withoutPostQuantum(): string | false {
  const absent = missing("openssl");
  if (absent !== false) return absent;
  const [, major = "0", minor = "0"] = /^OpenSSL (\d+)\.(\d+)/.exec(run("openssl", ["version"]).out) ?? [];
  return Number(major) * 100 + Number(minor) < 305 ? `openssl ${major}.${minor} knows no X25519MLKEM768` : false;
}

scenario(
  "X25519MLKEM768 is agreed upon with OpenSSL",
  { settings: world.settings() },
  async (scene) => {
    const said = await sClient(scene.port, ["-tls1_3"]);
    assert.match(said.out, /Negotiated TLS1.3 group: X25519MLKEM768/);
  },
  { skip: withoutPostQuantum() },
);
