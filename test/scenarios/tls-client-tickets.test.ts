/** Tickets: clients resume, on whatever worker and across installed plans, but never past a rule that asks for more. */
import { strict as assert } from "node:assert";
import type { ConnectionOptions } from "node:tls";
import { makeAuthority } from "../support/certificates.js";
import { type Scene, scenario } from "../support/scene.js";
import { NAME, TlsWorld, type Tried, tryTls } from "../support/tls.js";
import { PATIENCE_MS, pause } from "../support/wire.js";

const world = new TlsWorld();
const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

/** Comes back with the session of an earlier connection. */
function again(scene: Scene, before: Tried, options: ConnectionOptions): Promise<Tried> {
  assert.ok(before.session !== undefined, "there was no ticket");
  return tryTls(scene.port, { ...options, session: before.session });
}

/** Waits until the listener serves another certificate than one with this serial. */
async function swapped(scene: Scene, options: ConnectionOptions, before: string): Promise<void> {
  const due = Date.now() + PATIENCE_MS;
  for (;;) {
    const tried = await tryTls(scene.port, options);
    if (tried.serial !== before) return;
    assert.ok(Date.now() < due, "the new certificate was not served in time");
    await pause(10);
  }
}

const authority = makeAuthority("clients' root");
const client = authority.issue({ names: ["a client"], client: true });
const shown = { cert: client.cert, key: client.key };
const ca = authority.writeTo(world.folder, "clients");
const certificates = [world.pair({ names: ["open.example.org", "closed.example.org", "other.example.org"] })];

for (const version of VERSIONS) {
  const asks = (): ConnectionOptions => world.asks({ minVersion: version, maxVersion: version });

  scenario(`a ticket resumes a session (${version})`, { settings: world.settings() }, async (scene) => {
    const first = await tryTls(scene.port, asks());
    const second = await again(scene, first, asks());
    assert.deepEqual([first.reused, second.reused, second.line], [false, true, "HTTP/1.1 200 OK"]);
    assert.equal(await scene.counter("tls_resumed"), 1);
    assert.equal(await scene.counter("tls_handshakes"), 2);
  });

  scenario(
    `a ticket of one worker is good at any other (${version})`,
    { settings: world.settings(), workers: 2 },
    async (scene) => {
      const first = await tryTls(scene.port, asks());
      // Those who come while others stay are spread over both workers.
      const staying = await Promise.all(Array.from({ length: 2 }, () => scene.client({ tls: asks() })));
      const tried = await Promise.all(Array.from({ length: 12 }, () => again(scene, first, asks())));
      assert.ok(tried.every(({ reused }) => reused));
      const { workers } = await scene.proxy.stats();
      const resumed = workers.map(({ counters }) => counters.tls_resumed);
      assert.equal(resumed.filter((count) => count > 0).length, 2, resumed.join());
      for (const client of staying) await client.close();
    },
  );

  const { files } = world.issue();
  scenario(
    `a ticket survives the swap of the certificate, and a full handshake gets the new one (${version})`,
    { settings: world.settings({ certificates: [files] }) },
    async (scene) => {
      const first = await tryTls(scene.port, asks());
      const stays = await scene.client({ tls: asks() });
      const renewed = world.authority.issue({ names: [NAME] });
      renewed.writeTo(world.folder, files.cert.slice(world.folder.length + 1, -".pem".length));
      scene.millrace.reloadCertificates();
      await swapped(scene, asks(), first.serial);
      const second = await again(scene, first, asks());
      assert.deepEqual([second.reused, second.line], [true, "HTTP/1.1 200 OK"]);
      // Whoever was there before is not disturbed.
      assert.equal((await stays.ask("GET /")).status, 200);
    },
  );

  scenario(
    `without tickets nobody resumes (${version})`,
    { settings: world.settings({ tickets: false }) },
    async (scene) => {
      const first = await tryTls(scene.port, asks());
      // TLS 1.2 clients keep a session of the server's by its number, which is not kept here.
      const second = await tryTls(scene.port, { ...asks(), ...(first.session && { session: first.session }) });
      assert.deepEqual([second.reused, second.line], [false, "HTTP/1.1 200 OK"]);
      if (version === "TLSv1.3") assert.equal(first.session, undefined);
      assert.equal(await scene.counter("tls_resumed"), 0);
    },
  );

  const rules = world.settings({
    certificates,
    clientCertificates: [
      { hosts: ["closed.example.org"], ca },
      { hosts: ["other.example.org"], ca, required: false },
    ],
  });

  scenario(
    `S0-08 a ticket is no way past a rule for client certificates (${version})`,
    { settings: rules },
    async (scene) => {
      const open = await tryTls(scene.port, { ...asks(), servername: "open.example.org" }, "open.example.org");
      const closed = { ...asks(), servername: "closed.example.org" };
      const past = await again(scene, open, closed);
      assert.deepEqual([past.reused, past.line], [false, undefined]);
      assert.match(past.code ?? "", /ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE)/);
      const known = await again(scene, open, { ...closed, ...shown });
      assert.deepEqual([known.reused, known.line !== undefined], [false, true]);
      // And not back from the one to the other, though the authority is the same.
      const back = await again(scene, known, { ...asks(), servername: "other.example.org" });
      assert.equal(back.reused, false);
    },
  );

  scenario(
    `a session with a client certificate resumes with it, and is still known by it (${version})`,
    {
      settings: world.settings({ certificates, clientCertificates: [{ ca }] }),
      accessLog: true,
    },
    async (scene) => {
      const options = { ...asks(), ...shown, servername: "closed.example.org" };
      const first = await tryTls(scene.port, options);
      const second = await again(scene, first, options);
      assert.deepEqual([second.reused, second.line], [true, "HTTP/1.1 200 OK"]);
      const [one, two] = await scene.accessLog(2);
      assert.deepEqual([one?.["resumed"], two?.["resumed"]], [false, true]);
      assert.equal(typeof one?.["client_cert_sha256"], "string");
      assert.equal(two?.["client_cert_sha256"], one?.["client_cert_sha256"]);
    },
  );
}
