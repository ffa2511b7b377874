/**
 * A path to the origin that loses packets (S3-15), or everything: what is healthy is not given up, what TCP's own timers
 * are told to give up is. The file plays each of its tests in a process inside a network of its own (`support/lossy.ts`).
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { fixed } from "../support/behaviours.js";
import { enter, LOSSY_HOST, type LossyPlay, lose, playInside, sentAgain, whyNoLoss } from "../support/lossy.js";
import { Scene, type SceneOptions } from "../support/scene.js";
import { raceStale } from "../support/stale-race.js";
import { clientsOf, inTurn } from "../support/traffic.js";
import { pause } from "../support/wire.js";

/** No bound of ours is to end what TCP repairs by itself. */
const FAR_MS = 60_000;
const PATIENT = { connectMs: FAR_MS, firstByteMs: FAR_MS, betweenBytesMs: FAR_MS, idleMs: FAR_MS };
const LOSS_PERCENT = 5;
const CLIENTS = 16;
const REQUESTS = 80;

/** A scene whose origin `app` is behind the lossy path, which loses nothing yet. */
async function inScene(options: SceneOptions, play: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = await Scene.open({ originOptions: { host: LOSSY_HOST }, ...options });
  try {
    await play(scene);
    await scene.end();
  } finally {
    await scene.abandon();
  }
}

/** Nothing was closed and nothing failed: every connection that was ever opened is idle. */
async function allAreKept(scene: Scene, count: number): Promise<void> {
  await scene.sees("origin_connections_idle", count);
  const { counters } = (await scene.proxy.stats()).all;
  const closes = Object.entries(counters).filter(([name, n]) => name.startsWith("origin_closes_") && n > 0);
  assert.deepEqual(closes, []);
  assert.deepEqual(
    [counters.origin_connections_opened, counters.origin_failures, counters.origin_repeats],
    [count, 0, 0],
  );
}

const PLAYS: readonly LossyPlay[] = [
  {
    promise: `S3-15 with ${LOSS_PERCENT} % loss no request fails, and no idle connection is evicted`,
    play: () =>
      inScene(
        {
          workers: 2,
          origin: fixed("hello"),
          originSettings: { ...PATIENT, tcpKeepaliveMs: 1_000 },
          settings: { routes: [{ forwardTo: "app", unrepeatable: "reuse" }] },
        },
        async (scene) => {
          const clients = await clientsOf(scene, CLIENTS, false);
          const before = sentAgain();
          lose(LOSS_PERCENT);
          await Promise.all(
            clients.map(async (client, who) => {
              for (let n = 0; n < REQUESTS; n += 1) {
                const answer = await ((n + who) % 2 === 0 ? client.ask("GET /a") : client.post("POST /a", "once"));
                assert.equal(answer.status, 200);
              }
            }),
          );
          const opened = scene.origin.accepted;
          assert.ok(opened <= CLIENTS, `${opened} connections for ${CLIENTS} clients`);
          await allAreKept(scene, opened);
          // At rest the kernel asks every second whether the other end lives, and loses some of that too.
          await pause(4_000);
          await allAreKept(scene, opened);
          await inTurn(clients, CLIENTS);
          await allAreKept(scene, opened);
          const again = sentAgain() - before;
          assert.ok(again > (CLIENTS * REQUESTS) / 50, `${again} segments were sent again: was anything lost?`);
        },
      ),
  },
  {
    promise: `S3-15 S4-09 with ${LOSS_PERCENT} % loss and an origin that closes, a repeat hides every failure it may hide`,
    play: async () => {
      lose(LOSS_PERCENT);
      const before = sentAgain();
      const { failed, twice, unexplained, repeats, seenInTime } = await raceStale(800, {
        host: LOSSY_HOST,
        originSettings: PATIENT,
        patienceMs: FAR_MS,
        resets: false,
      });
      assert.deepEqual({ failed, twice, unexplained }, { failed: [], twice: [], unexplained: [] });
      assert.ok(repeats + seenInTime > 0, "the race was never run");
      assert.ok(sentAgain() - before > 20, "nothing was lost");
    },
  },
  {
    promise: "S3-15 tcpUserTimeoutMs ends a connection whose bytes nobody acknowledges, and its request goes elsewhere",
    play: () =>
      inScene(
        {
          accessLog: true,
          originOptions: { host: "0.0.0.0" },
          origins: { app: fixed("main"), spare: fixed("spare") },
          settings: (origins) => ({
            origins: {
              app: {
                ...PATIENT,
                connectMs: 500,
                tcpUserTimeoutMs: 1_500,
                targets: [
                  `http://${LOSSY_HOST}:${origins["app"]?.port}`,
                  { address: `http://127.0.0.1:${origins["spare"]?.port}`, tier: "backup" },
                ],
              },
            },
            routes: [{ forwardTo: "app" }],
          }),
        },
        async (scene) => {
          const client = await scene.client();
          assert.equal((await client.ask("GET /a")).body.toString(), "main");
          await scene.sees("origin_connections_idle", 1);
          lose(100);
          await client.send("GET /b HTTP/1.1\r\nHost: a.example\r\n\r\n");
          assert.equal((await client.answer("GET", FAR_MS / 2)).body.toString(), "spare");
          const [, line] = await scene.accessLog(2);
          assert.equal(line?.["failures"], 2, JSON.stringify(line));
          assert.equal(await scene.counter("origin_fault_header_timeout"), 0);
          assert.equal(await scene.counter("origin_repeats"), 1);
          assert.equal(await scene.counter("origin_fault_connect_timeout"), 1);
        },
      ),
  },
  {
    promise: "S3-15 tcpKeepaliveMs finds out that an idle connection leads nowhere any more, and nothing else does",
    play: () =>
      inScene(
        {
          originOptions: { host: "0.0.0.0" },
          origins: { asked: fixed("asked"), unasked: fixed("unasked") },
          settings: (origins) => ({
            origins: {
              asked: {
                ...PATIENT,
                tcpKeepaliveMs: 1_000,
                tcpUserTimeoutMs: 1_500,
                targets: [`http://${LOSSY_HOST}:${origins["asked"]?.port}`],
              },
              unasked: { ...PATIENT, targets: [`http://${LOSSY_HOST}:${origins["unasked"]?.port}`] },
            },
            routes: [{ match: { path: "/asked" }, forwardTo: "asked" }, { forwardTo: "unasked" }],
          }),
        },
        async (scene) => {
          const client = await scene.client();
          for (const path of ["/asked", "/unasked"]) assert.equal((await client.ask(`GET ${path}`)).status, 200);
          await scene.sees("origin_connections_idle", 2);
          lose(100);
          await scene.sees("origin_connections_idle", 1, FAR_MS / 2);
          assert.equal(await scene.counter("origin_closes_by_origin"), 1);
          lose(0);
          for (const path of ["/asked", "/unasked"]) assert.equal((await client.ask(`GET ${path}`)).status, 200);
          assert.deepEqual([scene.origins["asked"]?.accepted, scene.origins["unasked"]?.accepted], [2, 1]);
        },
      ),
  },
  {
    promise: "S1-08 S2-04 SYNs that nobody answers are a connect_timeout, and the origin serves as soon as they arrive",
    play: () =>
      inScene({ accessLog: true, originSettings: { ...PATIENT, connectMs: 800 } }, async (scene) => {
        const client = await scene.client();
        lose(100);
        assert.equal((await client.ask("GET /a")).status, 504);
        const [line] = await scene.accessLog(1);
        assert.deepEqual([line?.["fault"], line?.["phase"]], ["connect_timeout", "connecting"]);
        assert.equal(scene.origin.accepted, 0);
        lose(0);
        assert.equal((await client.ask("GET /b")).status, 200);
      }),
  },
];

const inside = playInside();
if (inside !== undefined) await PLAYS[inside]?.play();
else {
  const skip = whyNoLoss();
  for (const [index, { promise }] of PLAYS.entries())
    test(promise, { timeout: 180_000, skip }, ({ signal }) => enter(fileURLToPath(import.meta.url), index, signal));
}
