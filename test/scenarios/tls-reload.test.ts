/**
 * Certificates that are renewed while clients are served: no request notices, whoever connects afterwards gets the new one,
 * and who was here before resumes.
 */
import { strict as assert } from "node:assert";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { type Issued, makeAuthority } from "../support/certificates.js";
import { type Scene, type SceneOptions, scenario } from "../support/scene.js";
import { pause, WireError } from "../support/wire.js";

const root = makeAuthority("a root");
const names = ["www.example.org"];
const issue = (): Issued => root.issue({ names });
const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder with a certificate in it, and a scene whose only listener serves that. */
function served(first: Issued, workers: number): { readonly folder: string; readonly options: SceneOptions } {
  const folder = mkdtempSync(join(tmpdir(), "millrace-tls-reload-"));
  folders.push(folder);
  const tls = { certificates: [first.writeTo(folder)] };
  return { folder, options: { workers, settings: { listeners: [{ address: "127.0.0.1:0", tls }] } } };
}

const CLIENT = { host: "127.0.0.1", servername: "www.example.org", ca: root.cert } as const;

async function shakeHands(scene: Scene, session?: Buffer): Promise<TLSSocket> {
  const socket = connect({ ...CLIENT, port: scene.port, ...(session === undefined ? {} : { session }) });
  await once(socket, "secureConnect");
  return socket;
}

async function serialServed(scene: Scene): Promise<string> {
  const socket = await shakeHands(scene);
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

function serialOf({ leaf }: Issued): string {
  return new X509Certificate(leaf).serialNumber;
}

/** One request; its status, once the answer is whole. */
function ask(scene: Scene, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = request({ ...CLIENT, port: scene.port, agent, path: "/" }, (answer) => {
      answer.on("error", reject).on("end", () => resolve(answer.complete ? (answer.statusCode ?? 0) : 0));
      answer.resume();
    });
    asking.on("error", reject).end();
  });
}

/** Certificates put in place of each other while clients ask. */
const SWAPS = 60;

for (const workers of [1, 2]) {
  const first = issue();
  const { folder, options } = served(first, workers);
  scenario(
    `no request fails while certificates are swapped ${SWAPS} times, and the last one is served (workers: ${workers})`,
    options,
    async (scene) => {
      let over = false;
      const statuses: number[] = [];
      const keepAsking = async (keepAlive: boolean) => {
        const agent = new Agent({ keepAlive, maxSockets: 1 });
        while (!over) statuses.push(await ask(scene, agent));
        agent.destroy();
      };
      const asking = [keepAsking(true), keepAsking(true), keepAsking(false)];
      let last = first;
      for (let n = 0; n < SWAPS; n++) {
        last = issue();
        last.writeTo(folder);
        scene.millrace.reloadCertificates();
        await pause(5);
      }
      over = true;
      await Promise.all(asking);
      assert.deepEqual([...new Set(statuses)], [200]);
      assert.ok(statuses.length > SWAPS, `only ${statuses.length} requests`);
      assert.equal(await scene.counter("tls_handshakes_failed"), 0);
      assert.equal(await serialServed(scene), serialOf(last));
    },
  );
}

{
  const first = issue();
  const { folder, options } = served(first, 2);
  scenario("a client resumes with the ticket it had before the certificate was swapped", options, async (scene) => {
    const socket = await shakeHands(scene);
    const [session] = (await once(socket, "session")) as [Buffer];
    socket.destroy();
    const next = issue();
    next.writeTo(folder);
    scene.millrace.reloadCertificates();
    assert.equal(await serialServed(scene), serialOf(next));
    const back = await shakeHands(scene, session);
    assert.equal(back.isSessionReused(), true);
    back.destroy();
  });
}

{
  const first = issue();
  const { folder, options } = served(first, 1);
  scenario("a new certificate is noticed by itself, and a broken one leaves the old in use", options, async (scene) => {
    writeFileSync(join(folder, "server.pem"), "-----BEGIN CERTIFICATE-----\n");
    const troubled = () => scene.millrace.certificates().listeners[0]?.certificates[0]?.trouble ?? null;
    await until(() => troubled() !== null);
    assert.match(troubled() ?? "", /server\.pem: a PEM block in it does not end/);
    assert.equal(await serialServed(scene), serialOf(first));
    const next = issue();
    next.writeTo(folder);
    await until(() => troubled() === null);
    assert.equal(await serialServed(scene), serialOf(next));
    const [book] = (await scene.proxy.stats()).certificates;
    assert.deepEqual([book?.file, book?.daysLeft], [join(folder, "server.pem"), 89]);
  });
}

async function until(holds: () => boolean, ms = 20_000): Promise<void> {
  for (let waitedMs = 0; !holds(); waitedMs += 20) {
    if (waitedMs > ms) throw new WireError("it did not come about");
    await pause(20);
  }
}
