/**
 * Certificates that are swapped under load: no request fails by it, every swap is served, and clients go on resuming.
 * `SWAPS` says how often (60 unless told otherwise; 1,000 before a release).
 */
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { type ConnectionOptions, connect } from "node:tls";
import { fixed } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { type Scene, scenario } from "../support/scene.js";
import { NAME, TlsWorld, tryTls } from "../support/tls.js";
import { PATIENCE_MS, pause, within } from "../support/wire.js";

const world = new TlsWorld();
const SWAPS = Number(process.env["SWAPS"] ?? "60");
const { files } = world.issue();
const file = files.cert.slice(world.folder.length + 1, -".pem".length);

/** What the clients saw. */
interface Seen {
  requests: number;
  full: number;
  resumed: number;
  readonly failed: string[];
}

/** Plays until it is over; what fails is noted, not thrown. */
async function play(seen: Seen, isOver: () => boolean, once: () => Promise<void>): Promise<void> {
  while (!isOver()) {
    await once().catch((error: unknown) => seen.failed.push(String(error)));
    await pause(1);
  }
}

/** A client that keeps its connection. */
async function keeps(scene: Scene, seen: Seen, isOver: () => boolean): Promise<void> {
  const client = await scene.client({ tls: world.asks(), record: false });
  await play(seen, isOver, async () => {
    assert.equal((await client.ask("GET /")).status, 200);
    seen.requests += 1;
  });
}

/** A client that comes anew for every request, with a session of before or without. */
async function comes(scene: Scene, seen: Seen, isOver: () => boolean, asks: ConnectionOptions): Promise<void> {
  await play(seen, isOver, async () => {
    const tried = await tryTls(scene.port, asks);
    assert.equal(tried.line, "HTTP/1.1 200 OK", tried.code);
    assert.equal(tried.reused, asks.session !== undefined);
    seen.requests += 1;
    seen[tried.reused ? "resumed" : "full"] += 1;
  });
}

/** Puts another certificate into the files, and waits until it is served. */
async function swap(scene: Scene): Promise<void> {
  const issued = world.authority.issue({ names: [NAME] });
  issued.writeTo(world.folder, file);
  scene.millrace.reloadCertificates();
  const wanted = BigInt(issued.serial);
  const due = Date.now() + PATIENCE_MS;
  while (BigInt(`0x${await servedSerial(scene)}`) !== wanted)
    assert.ok(Date.now() < due, "a certificate was not served");
}

async function servedSerial(scene: Scene): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port: scene.port, ...world.asks() });
  await within(once(socket, "secureConnect"), PATIENCE_MS, "a handshake");
  const serial = socket.getPeerX509Certificate()?.serialNumber ?? "0";
  socket.write(request("GET /", "Connection: close"));
  socket.resume();
  await within(once(socket, "close"), PATIENCE_MS, "the end");
  return serial;
}

scenario(
  "certificate swap under load: zero failed requests, and resumption survives",
  {
    settings: world.settings({ certificates: [files] }),
    workers: 2,
    origin: fixed("served"),
    originOptions: { record: false },
  },
  async (scene) => {
    const seen: Seen = { requests: 0, full: 0, resumed: 0, failed: [] };
    const sessions = await Promise.all(
      (["TLSv1.2", "TLSv1.3"] as const).map(async (maxVersion) => {
        const { session } = await tryTls(scene.port, world.asks({ maxVersion }));
        assert.ok(session !== undefined);
        return { maxVersion, session };
      }),
    );
    let over = false;
    const isOver = (): boolean => over;
    const playing = [
      keeps(scene, seen, isOver),
      keeps(scene, seen, isOver),
      comes(scene, seen, isOver, world.asks()),
      ...sessions.map((resuming) => comes(scene, seen, isOver, world.asks(resuming))),
    ];
    try {
      for (let n = 0; n < SWAPS; n += 1) await swap(scene);
    } finally {
      over = true;
      await Promise.all(playing);
    }
    assert.deepEqual(seen.failed, []);
    assert.ok(seen.full > SWAPS / 4 && seen.resumed > SWAPS / 4, JSON.stringify(seen));
    assert.equal(await scene.counter("tls_handshakes_failed"), 0);
    assert.equal(await scene.counter("answers_5xx"), 0);
    if (process.env["SWAPS"] !== undefined) console.log(JSON.stringify(seen));
  },
  { timeoutMs: 60_000 + SWAPS * 1_000 },
);
