/** Client certificates: who is let in by which rule, and that a request cannot go around the rule of its Host. */
import { strict as assert } from "node:assert";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { daysFromNow, type Issued, makeAuthority } from "../support/certificates.js";
import { missing } from "../support/peers.js";
import { scenario } from "../support/scene.js";
import { NAME, runApart, TlsWorld, tryTls } from "../support/tls.js";

const world = new TlsWorld();
const ours = makeAuthority("our clients");
const theirs = makeAuthority("their clients");
const between = ours.makeIntermediate("our clients, second line");
const ca = ours.writeTo(world.folder, "ours");
const of = (issued: Issued): ConnectionOptions => ({ cert: issued.cert, key: issued.key });
const person = (options: Parameters<typeof ours.issue>[0] = {}): Issued =>
  ours.issue({ names: ["somebody"], client: true, ...options });

const good = person();
const revoked = person();
const crl = join(world.folder, "revoked.crl");
writeFileSync(crl, ours.makeCrl([revoked]) + between.makeCrl([]));

const NOBODY = /ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE)/;
/** What a client shows, and the alert it is refused with; undefined = it is let in. */
const SHOWN: readonly (readonly [who: string, shows: ConnectionOptions, alert?: RegExp])[] = [
  ["a certificate of the right authority", of(good)],
  ["an RSA certificate of the right authority", of(person({ kind: "rsa" }))],
  ["a certificate with one in between", of(between.issue({ names: ["somebody"], client: true }))],
  ["none", {}, NOBODY],
  ["a certificate of another authority", of(theirs.issue({ names: ["somebody"], client: true })), /UNKNOWN_CA|DECRYPT/],
  ["an expired certificate", of(person({ notAfter: daysFromNow(-1) })), /CERTIFICATE_EXPIRED/],
  [
    "a certificate that begins tomorrow",
    of(person({ notBefore: daysFromNow(1) })),
    /CERTIFICATE_(EXPIRED|UNKNOWN)|BAD_CERT/,
  ],
  [
    "a server's certificate",
    of(ours.issue({ names: ["somebody"] })),
    /BAD_CERTIFICATE|UNSUPPORTED_CERT|CERTIFICATE_UNKNOWN/,
  ],
  ["a revoked certificate", of(revoked), /CERTIFICATE_REVOKED/],
];

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  for (const [who, shows, alert] of SHOWN) {
    const asks = world.asks({ ...shows, maxVersion: version, minVersion: version });

    scenario(
      `where a client certificate is required, a client that shows ${who} is ${alert ? "refused" : "let in"} (${version})`,
      { settings: world.settings({ clientCertificates: [{ ca, crl }] }) },
      async (scene) => {
        const tried = await tryTls(scene.port, asks);
        if (alert === undefined) assert.equal(tried.line, "HTTP/1.1 200 OK", tried.code);
        else {
          assert.match(tried.code ?? "", alert);
          assert.equal(scene.origin.accepted, 0);
          await scene.sees("client_closes_tls", 1);
          assert.equal(await scene.counter("tls_handshakes_failed"), 1);
        }
      },
    );
  }

  scenario(
    `where a client certificate is optional, none is good enough, and a bad one is not (${version})`,
    { settings: world.settings({ clientCertificates: [{ ca, crl, required: false }] }) },
    async (scene) => {
      for (const [who, shows, alert] of SHOWN) {
        const tried = await tryTls(scene.port, world.asks({ ...shows, maxVersion: version, minVersion: version }));
        if (alert === undefined || who === "none") assert.equal(tried.line, "HTTP/1.1 200 OK", who);
        else assert.match(tried.code ?? "", alert, who);
      }
    },
  );
}

scenario(
  "curl shows its certificate, and is refused without",
  { settings: world.settings({ clientCertificates: [{ ca }] }) },
  async (scene) => {
    const files = good.writeTo(world.folder, "curl");
    const url = `https://${NAME}:${scene.port}/`;
    const args = ["-sS", "-k", "--resolve", `${NAME}:${scene.port}:127.0.0.1`, "-o", "/dev/null", "-w", "%{http_code}"];
    assert.equal((await runApart("curl", [...args, "--cert", files.cert, "--key", files.key, url])).out, "200");
    const refused = await runApart("curl", [...args, url]);
    assert.match(refused.err, /alert certificate required/);
  },
  { skip: missing("curl") },
);

const OPEN = "open.example.org";
const CLOSED = "closed.example.org";
const LOOSE = "any.loose.example.org";
const rules = {
  certificates: [world.pair({ names: [OPEN, CLOSED, "*.loose.example.org"] })],
  clientCertificates: [
    { hosts: [CLOSED], ca },
    { hosts: ["*.loose.example.org"], ca, required: false },
  ],
};

scenario(
  "a rule holds for its names, exact or by wildcard, and for no other",
  { settings: world.settings(rules) },
  async (scene) => {
    const lines = async (servername: string, shows: ConnectionOptions) =>
      (await tryTls(scene.port, world.asks({ servername, ...shows }), servername)).line;
    const [ok, stranger] = ["HTTP/1.1 200 OK", of(theirs.issue({ client: true }))];
    assert.deepEqual([await lines(OPEN, {}), await lines(LOOSE, {}), await lines(CLOSED, {})], [ok, ok, undefined]);
    assert.deepEqual([await lines(CLOSED, of(good)), await lines(CLOSED.toUpperCase(), of(good))], [ok, ok]);
    assert.equal(await lines(CLOSED.toUpperCase(), {}), undefined);
    // Where nobody is asked, nobody is judged.
    assert.deepEqual([await lines(OPEN, stranger), await lines(LOOSE, stranger)], [ok, undefined]);
  },
);

const MISMATCHES: readonly (readonly [policy: "ignore" | "warn" | "refuse", status: number, counted: number])[] = [
  ["ignore", 200, 0],
  ["warn", 200, 1],
  ["refuse", 403, 1],
];

for (const [hostPolicy, status, counted] of MISMATCHES)
  scenario(
    `S0-20 a Host under another client-certificate rule than its connection: ${hostPolicy}`,
    { settings: world.settings({ ...rules, hostPolicy }), processLog: true, apart: true },
    async (scene) => {
      const client = await scene.client({ tls: world.asks({ servername: OPEN }) });
      assert.equal((await client.ask("GET /", `Host: ${OPEN}`)).status, 200);
      const answer = await client.ask("GET /around", `Host: ${CLOSED}:443`);
      assert.equal(answer.status, status);
      assert.equal(
        scene.origin.requests.some(({ target }) => target === "/around"),
        status === 200,
      );
      assert.equal(await scene.counter("tls_name_mismatches"), counted);
    },
  );

scenario(
  "S0-20 a Host that no rule is for, or the same rule, is nobody's business",
  { settings: world.settings({ ...rules, hostPolicy: "refuse" }) },
  async (scene) => {
    const asked: readonly (readonly [sni: string, host: string])[] = [
      [CLOSED, OPEN],
      [CLOSED, "unknown.example.org"],
      [CLOSED, CLOSED.toUpperCase()],
      [OPEN, "unknown.example.org"],
      [LOOSE, "other.loose.example.org"],
    ];
    for (const [servername, host] of asked) {
      const tried = await tryTls(scene.port, world.asks({ servername, ...of(good) }), host);
      assert.equal(tried.line, "HTTP/1.1 200 OK", `${host} over ${servername}`);
    }
    assert.equal(await scene.counter("tls_name_mismatches"), 0);
  },
);

scenario(
  "S0-20 absolute targets are judged by the name they go to, and a client without SNI by having none",
  { settings: world.settings({ ...rules, hostPolicy: "refuse" }) },
  async (scene) => {
    const client = await scene.client({ tls: world.asks({ servername: OPEN }) });
    const around = await client.ask(`GET http://${CLOSED}/around`, `Host: ${CLOSED}`);
    assert.equal(around.status, 403);
    const nameless = await scene.client({ tls: { rejectUnauthorized: false } });
    assert.equal((await nameless.ask("GET /", `Host: ${CLOSED}`)).status, 403);
    assert.equal(await scene.counter("tls_name_mismatches"), 2);
  },
);

scenario(
  "S0-20 the log says which names differed, and that the request was refused",
  {
    settings: world.settings({ ...rules, hostPolicy: "refuse" }, { log: { level: "warn" } }),
    processLog: true,
    apart: true,
  },
  async (scene) => {
    const tried = await tryTls(scene.port, world.asks({ servername: OPEN }), CLOSED);
    assert.match(tried.line ?? "", / 403 /);
    await scene.sees("tls_name_mismatches", 1);
    await scene.stop(2_000);
    const said = JSON.stringify(scene.processLog());
    assert.match(
      said,
      new RegExp(`"host":"${CLOSED}","serverName":"${OPEN}","refused":true,"msg":"tls_name_mismatch"`),
    );
  },
);
