/**
 * The failure matrix where nothing was sent: connections that are refused, lead nowhere or are never accepted move to
 * the next target whatever the method; what fails on this host is nobody's failure out there.
 */
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { CounterName, Stats } from "../../src/index.js";
import { reply, serve } from "../support/behaviours.js";
import { RawClient, request } from "../support/client.js";
import {
  BODIES,
  type BodySize,
  CALLS,
  DeafListener,
  Ledger,
  lineOf,
  perform,
  REPLAY_BYTES,
} from "../support/failures.js";
import { RawOrigin } from "../support/origin.js";
import { descriptors, type FromHost, type ToHost } from "../support/proxy.js";
import { Scene, type SceneOptions, scenario } from "../support/scene.js";
import { PATIENCE_MS, pause, WireError, within } from "../support/wire.js";

/** One target that fails to connect, before one that answers, or alone. */
function before(target: string, alone: boolean, ledger: Ledger): SceneOptions {
  return {
    accessLog: true,
    // Every request here is a second one: none has been sent before it arrives.
    origins: {
      two: ledger.firstFails((asked, connection) => connection.send(reply(200, asked.method === "HEAD" ? "" : "ok"))),
    },
    settings: (origins) => ({
      limits: { replayBodyBytes: REPLAY_BYTES },
      retryBudget: { perSecond: 1_000 },
      origins: {
        both: {
          targets: [target, ...(alone ? [] : [{ address: origins["two"]?.url ?? "", tier: "backup" as const }])],
          connectMs: 120,
          health: { passive: { level: 0 } },
        },
      },
      routes: [{ forwardTo: "both" }],
    }),
  };
}

interface Row {
  readonly fault: string;
  readonly status: number;
  readonly target: () => Promise<{ readonly url: string; readonly stop: () => Promise<void> }>;
}

const ROWS: readonly Row[] = [
  {
    fault: "connect_refused",
    status: 502,
    target: async () => {
      const origin = await RawOrigin.start(serve(() => undefined));
      const { url } = origin;
      await origin.stop();
      return { url, stop: () => Promise.resolve() };
    },
  },
  {
    // Linux answers ENETUNREACH to a connection to the broadcast address, whatever its routes are.
    fault: "connect_unreachable",
    status: 502,
    target: () => Promise.resolve({ url: "http://255.255.255.255:9", stop: () => Promise.resolve() }),
  },
  {
    fault: "connect_timeout",
    status: 504,
    target: async () => {
      const deaf = await DeafListener.start();
      return { url: deaf.url, stop: () => deaf.stop() };
    },
  },
];

async function judgeAll(scene: Scene, ledger: Ledger, row: Row, alone: boolean): Promise<void> {
  for (const call of CALLS) {
    for (const body of Object.keys(BODIES) as BodySize[]) {
      const path = `/case/${call.method}${call.keyed ? "-keyed" : ""}/${body}`;
      const counted = `origin_fault_${row.fault}` as CounterName;
      const earlier = (await scene.proxy.stats()).all.counters;
      const client = await scene.client();
      const answer = await perform(client, call, path, body);
      const line = await lineOf(scene, path);
      const later = (await scene.proxy.stats()).all.counters;
      assert.equal(answer.status, alone ? row.status : 200, `${path}: what the client sees`);
      assert.equal(answer.complete, true, path);
      assert.equal(later.origin_failures - earlier.origin_failures, 1, `${path}: one failure event`);
      assert.equal(later[counted] - earlier[counted], 1, `${path}: of its class`);
      const sights = ledger.of(path);
      assert.deepEqual(
        sights.map((sight) => sight.bodyBytes),
        alone ? [] : [BODIES[body]],
        `${path}: the origin that works gets it once and whole`,
      );
      assert.deepEqual(
        [line["fault"], line["whose"], line["phase"], line["failures"], line["not_repeated"], line["attempts"]],
        [row.fault, "origin", "connecting", 1, alone ? "no_other_target" : undefined, alone ? 1 : 2],
        `${path}: the line says ${JSON.stringify(line)}`,
      );
      await client.close();
    }
  }
}

for (const row of ROWS) {
  for (const alone of [false, true]) {
    const next = alone ? "no other target" : "the next target";
    test(`S2-01 S2-02 S2-04 failure matrix: ${row.fault}, ${next}, every method and body`, {
      timeout: 60_000,
    }, async () => {
      const target = await row.target();
      const ledger = new Ledger();
      const scene = await Scene.open(before(target.url, alone, ledger));
      try {
        await judgeAll(scene, ledger, row, alone);
        await scene.end();
      } finally {
        await scene.abandon();
        await target.stop();
      }
    });
  }
}

for (const [errno, localAddress, target] of [
  // An address that is not ours: bind says EADDRNOTAVAIL.
  ["EADDRNOTAVAIL", "192.0.2.77", undefined],
  // From loopback to elsewhere: connect says EINVAL.
  ["EINVAL", "127.0.0.1", "http://192.0.2.1:9"],
] as const) {
  scenario(
    `S1-03 S2-13 ${errno} on this host marks no target, takes no further attempt and says whose fault it is`,
    {
      accessLog: true,
      settings: (origins) => ({
        retryBudget: { perSecond: 1_000 },
        origins: {
          app: {
            targets: [target ?? origins["app"]?.url ?? "", target ?? "http://127.0.0.1:1"],
            localAddress,
            health: { passive: { level: 4, failures: 1, downMs: 60_000 }, panicPercent: 0 },
          },
        },
      }),
    },
    async (scene) => {
      const client = await scene.client();
      for (let n = 0; n < 5; n += 1) {
        const answer = await client.ask(`GET /${n}`);
        assert.equal(answer.status, 503);
        assert.match(answer.fields.one("proxy-status") ?? "", /error=proxy_internal_error; details="local_resource"/);
        const line = await lineOf(scene, `/${n}`);
        assert.deepEqual(
          [line["fault"], line["whose"], line["phase"], line["failures"], line["not_repeated"]],
          ["local_resource", "proxy", "connecting", 1, "local_fault"],
        );
      }
      // Were a target marked by any of these, the class would have become no_healthy_target.
      await pause(150);
      await client.ask("GET /after");
      assert.equal(await scene.counter("origin_fault_local_resource"), 6);
      assert.equal(await scene.counter("origin_next_targets"), 0);
    },
  );
}

/** Descriptors of a process that runs out of them; enough for its start, in which threads load their files at once. */
const DESCRIPTORS = 180;

/** The host process of the tests, with fewer descriptors. */
class NarrowHost {
  readonly #child: ChildProcess;

  constructor(most: number) {
    const host = fileURLToPath(new URL("../support/host.js", import.meta.url));
    this.#child = spawn("sh", ["-c", `ulimit -n ${most} && exec "$0" "$1"`, process.execPath, host], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
  }

  /** How many descriptors it has open. */
  get descriptors(): number {
    return descriptors(this.#child.pid ?? 0).length;
  }

  async ask(message: ToHost): Promise<FromHost> {
    const answered = once(this.#child, "message");
    this.#child.send(message);
    const [answer] = (await within(answered, PATIENCE_MS, `the answer to ${message.kind}`)) as [FromHost];
    return answer;
  }

  async sees(what: string, look: (counters: Stats["all"]["counters"]) => boolean): Promise<void> {
    const due = Date.now() + PATIENCE_MS;
    for (;;) {
      const told = await this.ask({ kind: "stats" });
      if (told.kind === "stats" && look(told.stats.all.counters)) return;
      if (Date.now() > due) throw new WireError(`${what} was not seen within ${PATIENCE_MS} ms`);
      await pause(10);
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}

test("S1-03 descriptors that ran out mark no target, and the next request is served", { timeout: 60_000 }, async () => {
  let release = false;
  const origin = await RawOrigin.start(
    serve(async (_, connection) => {
      while (!release) await pause(5);
      await connection.send(reply(200, "ok"));
    }),
  );
  const host = new NarrowHost(DESCRIPTORS);
  const clients: RawClient[] = [];
  try {
    const started = await host.ask({
      kind: "start",
      settings: {
        // A worker that is alone takes its own clients, and leaves them at the door while descriptors are scarce.
        workers: 2,
        listeners: ["127.0.0.1:0"],
        log: { level: "silent" },
        accessLog: false,
        origins: {
          app: { targets: origin.url, health: { passive: { failures: 1, downMs: 60_000 }, panicPercent: 0 } },
        },
      },
    });
    assert.equal(started.kind, "started");
    const port = started.kind === "started" ? (started.started.listeners[0]?.port ?? 0) : 0;
    // Clients take most of the descriptors; then each of them wants an origin connection, for which too few are left.
    const count = Math.floor((DESCRIPTORS - host.descriptors) * 0.7);
    for (let n = 0; n < count; n += 1) clients.push(await RawClient.connect(port));
    await host.sees("that all clients are there", (counters) => counters.client_connections_open === count);
    for (const client of clients) await client.send(request("GET /a"));
    await host.sees("that descriptors ran out", (counters) => counters.origin_fault_local_resource > 0);
    release = true;
    for (const client of clients) await client.close();
    await host.sees("that all clients have gone", (counters) => counters.client_connections_open === 0);
    const client = await RawClient.connect(port);
    clients.push(client);
    assert.equal((await client.ask("GET /after")).status, 200);
  } finally {
    release = true;
    for (const client of clients) await client.close();
    await host.stop();
    await origin.stop();
  }
});
