/**
 * Origins over TLS when nobody asks: checks shake hands under the same trust as requests and say why they are bad;
 * connections that carry nothing are opened for nothing, so there are none.
 */
import { strict as assert } from "node:assert";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { createMillrace } from "../../src/index.js";
import { echo } from "../support/behaviours.js";
import { daysFromNow } from "../support/certificates.js";
import { RawOrigin } from "../support/origin.js";
import { Scene, scenario } from "../support/scene.js";
import { BROKEN_HANDSHAKES, NAMES, overTls, speaking, trusted, trusting } from "../support/tls-origins.js";
import { atOnce, clientsOf } from "../support/traffic.js";
import { PATIENCE_MS, pause, WireError } from "../support/wire.js";

const FAST = { intervalMs: 100, jitterPercent: 0, timeoutMs: 400, rise: 2, fall: 2, passive: { level: 0 } } as const;
const PROBES = [
  ["http", { http: { path: "/health" } }],
  ["tcp", { tcp: true }],
] as const;

const expired = () => trusted().issue({ names: NAMES, notBefore: daysFromNow(-9), notAfter: daysFromNow(-1) });

/** Everything that can make the checks of a target bad by TLS, and what that is called. */
const BAD: readonly (readonly [string, string, () => Promise<RawOrigin>])[] = [
  ["shows an expired certificate", "tls_verify", () => RawOrigin.start(echo(), { tls: speaking(expired()) })],
  ...BROKEN_HANDSHAKES.map(({ what, fault, script }) => [what, fault, () => RawOrigin.start(script)] as const),
];

for (const [probe, asked] of PROBES) {
  scenario(
    `S2-11 ${probe} checks shake hands as requests do, and a target that does is up`,
    overTls({ tls: { sni: "@a.example" }, originSettings: { health: { ...FAST, timeoutMs: 5_000, ...asked } } }),
    async (scene) => {
      while ((await scene.counter("checks")) < 5) await pause(10);
      assert.equal(await scene.counter("checks_failed"), 0);
      assert.equal(scene.millrace.origins().origins[0]?.targets[0]?.health.state, "up");
      assert.ok(scene.origin.connections.every((one) => one.serverName === "a.example"));
      assert.equal(scene.origin.requests.length > 0, probe === "http");
      assert.ok(scene.origin.requests.every((one) => one.target === "/health"));
    },
  );

  for (const [what, why, start] of BAD) {
    test(`S2-11 S1-10 ${probe} checks of a target that ${what} are bad, and the reason is ${why}`, {
      timeout: 60_000,
    }, async () => {
      const broken = await start();
      const scene = await Scene.open({
        settings: {
          origins: {
            checked: {
              targets: [`https://127.0.0.1:${broken.port}`],
              tls: trusting(),
              health: { ...FAST, ...asked },
            },
          },
          routes: [{ forwardTo: "checked" }],
        },
      });
      try {
        const look = () => scene.millrace.origins().origins.find((one) => one.name === "checked")?.targets[0]?.health;
        const due = Date.now() + PATIENCE_MS;
        while (look()?.state !== "down") {
          if (Date.now() > due) throw new WireError(`the target is ${look()?.state}`);
          await pause(10);
        }
        assert.match(look()?.history.at(-1)?.reason ?? "", new RegExp(why));
        await broken.stop();
        await scene.end();
      } finally {
        await scene.abandon();
        await broken.stop();
      }
    });
  }
}

for (const workers of [1, 2]) {
  scenario(
    `S1-04 no connection to an origin is left without a request: 400 requests of 8 clients, ${workers} worker(s)`,
    overTls({ workers }),
    async (scene) => {
      const clients = await clientsOf(scene, 8, false);
      await atOnce(clients, 50);
      const silent = scene.origin.connections.filter((one) => one.wire.receivedBytes === 0);
      assert.equal(silent.length, 0);
      assert.equal(scene.origin.failedHandshakes, 0);
      assert.ok(scene.origin.accepted <= 8);
    },
  );
}

scenario(
  "S1-04 what is opened ahead is all that carries nothing",
  overTls({ originSettings: { standby: 3 } }),
  async (scene) => {
    await scene.sees("origin_connections_idle", 3);
    const clients = await clientsOf(scene, 4, false);
    await atOnce(clients, 25);
    const silent = scene.origin.connections.filter((one) => one.wire.receivedBytes === 0);
    assert.ok(silent.length <= 3, `${silent.length} connections carried nothing`);
    assert.equal(scene.origin.failedHandshakes, 0);
  },
);

/** A listener on TCP that counts what its connections were sent. */
async function counting(): Promise<{ readonly port: number; readonly bytes: () => number[]; stop(): Promise<void> }> {
  const seen = new Map<Socket, number>();
  const server = createServer((socket) => {
    seen.set(socket, 0);
    socket.on("error", () => undefined).on("data", (data) => seen.set(socket, (seen.get(socket) ?? 0) + data.length));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  if (address === null || typeof address === "string") throw new WireError("no port");
  return {
    port: address.port,
    bytes: () => [...seen.values()],
    stop: async () => {
      for (const socket of seen.keys()) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

test("S1-04 a proxy that starts and stops opens no connection to its origins", { timeout: 60_000 }, async () => {
  const origin = await counting();
  const millrace = createMillrace({
    workers: 2,
    listeners: ["127.0.0.1:0"],
    log: { level: "silent" },
    origins: { app: { targets: `https://127.0.0.1:${origin.port}`, tls: trusting() } },
    routes: [{ forwardTo: "app" }],
  } as never);
  await millrace.start();
  await pause(300);
  await millrace.stop();
  assert.deepEqual(origin.bytes(), []);
  await origin.stop();
});
