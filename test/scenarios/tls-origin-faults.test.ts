/**
 * Handshakes with origins that fail: every way has a class of its own in the log, the counters and the answer; nothing
 * was sent, so any method goes on to the next target; and none is ever made up for by less security.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { CounterName } from "../../src/index.js";
import { echo, reply, serve } from "../support/behaviours.js";
import { daysFromNow, type Issued, makeAuthority } from "../support/certificates.js";
import { BODIES, type BodySize, CALLS, lineOf, perform, REPLAY_BYTES } from "../support/failures.js";
import { takes } from "../support/lateness.js";
import { RawOrigin } from "../support/origin.js";
import { Scene, type SceneOptions, scenario } from "../support/scene.js";
import { BROKEN_HANDSHAKES, NAMES, overTls, speaking, trusted, trusting } from "../support/tls-origins.js";
import { pause } from "../support/wire.js";

const HANDSHAKE_MS = 300;

/** An origin that always fails, and perhaps one behind it that works. */
interface Row {
  readonly what: string;
  readonly fault: "tls_alert" | "tls_eof" | "tls_timeout" | "tls_verify";
  readonly start: () => Promise<RawOrigin>;
}

const overTcp: readonly Row[] = BROKEN_HANDSHAKES.map(({ what, fault, script }) => ({
  what,
  fault,
  start: () => RawOrigin.start(script),
}));

const stranger = makeAuthority("stranger");
const BAD_CERTIFICATES: readonly (readonly [string, () => Issued])[] = [
  ["is signed by nobody we trust", () => stranger.issue({ names: NAMES })],
  ["has expired", () => trusted().issue({ names: NAMES, notBefore: daysFromNow(-9), notAfter: daysFromNow(-1) })],
  ["is not valid yet", () => trusted().issue({ names: NAMES, notBefore: daysFromNow(1) })],
  ["is for another name", () => trusted().issue({ names: ["other.example"] })],
  ["is for another address", () => trusted().issue({ names: ["127.0.0.2"] })],
  ["is for clients", () => trusted().issue({ names: NAMES, client: true })],
];

const badCertificates: readonly Row[] = BAD_CERTIFICATES.map(([what, issue]) => ({
  what: `shows a certificate that ${what}`,
  fault: "tls_verify",
  start: () => RawOrigin.start(echo(), { tls: speaking(issue()) }),
}));

const ROWS: readonly Row[] = [...overTcp, ...badCertificates];

const STATUS = { tls_alert: 502, tls_eof: 502, tls_timeout: 504, tls_verify: 502 } as const;
const PROXY_STATUS = {
  tls_alert: "tls_alert_received",
  tls_eof: "tls_protocol_error",
  tls_timeout: "connection_timeout",
  tls_verify: "tls_certificate_error",
} as const;

function at(broken: RawOrigin, others: readonly string[]): SceneOptions {
  const targets = [`https://127.0.0.1:${broken.port}`, ...others];
  return {
    accessLog: true,
    settings: {
      limits: { replayBodyBytes: REPLAY_BYTES },
      retryBudget: { perSecond: 1_000 },
      origins: {
        both: {
          targets: targets.map((address, n) => ({ address, ...(n > 0 ? { tier: "backup" as const } : {}) })),
          tls: trusting({ handshakeMs: HANDSHAKE_MS }),
          health: { passive: { level: 0 } },
        },
      },
      routes: [{ forwardTo: "both" }],
    },
  };
}

/** Plays with a target that fails in this way before one that works, or alone. */
async function withBroken(row: Row, alone: boolean, play: (scene: Scene, broken: RawOrigin) => Promise<void>) {
  const [broken, works] = await Promise.all([row.start(), RawOrigin.start(echo(), { tls: speaking() })]);
  const scene = await Scene.open(at(broken, alone ? [] : [works.url]));
  try {
    await play(scene, broken);
    // Else the scene would wait until what rests has rested long enough.
    await Promise.all([broken.stop(), works.stop()]);
    await scene.end();
  } finally {
    await scene.abandon();
    await Promise.all([broken.stop(), works.stop()]);
  }
}

for (const row of ROWS) {
  test(
    `S2-02 S1-10 a target that ${row.what}: ${row.fault} in log, counters and answer, once, and no request byte`,
    {
      timeout: 60_000,
    },
    () =>
      withBroken(row, true, async (scene, broken) => {
        const client = await scene.client();
        const answer = await takes(0, 2_000, () => client.ask("GET /one"));
        assert.equal(answer.status, STATUS[row.fault]);
        const told = new RegExp(`error=${PROXY_STATUS[row.fault]}; details="${row.fault}"`);
        assert.match(answer.fields.one("proxy-status") ?? "", told);
        const line = await lineOf(scene, "/one");
        assert.deepEqual(
          [line["fault"], line["whose"], line["phase"], line["failures"], line["attempts"], line["not_repeated"]],
          [row.fault, "origin", "connecting", 1, 1, "no_other_target"],
        );
        const { counters } = (await scene.proxy.stats()).all;
        assert.equal(counters[`origin_fault_${row.fault}` as CounterName], 1);
        assert.deepEqual(
          [counters.origin_failures, counters.origin_connects_failed, counters.origin_tls_handshakes],
          [1, 1, 0],
        );
        // Neither another try at the same address nor one without TLS.
        assert.ok(broken.accepted + broken.failedHandshakes <= 1, `${broken.accepted} connections`);
        assert.doesNotMatch(broken.connections.map((one) => one.wire.received.toString("latin1")).join(""), /GET/);
      }),
  );

  test(
    `S2-01 S2-02 a target that ${row.what}: the next target, once, with every method and body`,
    {
      timeout: 60_000,
    },
    () =>
      withBroken(row, false, async (scene) => {
        const paths: string[] = [];
        for (const call of CALLS) {
          for (const body of Object.keys(BODIES) as BodySize[]) {
            const path = `/${call.method}${call.keyed ? "-keyed" : ""}/${body}`;
            const client = await scene.client();
            assert.equal((await perform(client, call, path, body)).status, 200, path);
            paths.push(path);
            await client.close();
          }
        }
        for (const path of paths) {
          const line = await lineOf(scene, path);
          assert.deepEqual([line["fault"], line["failures"], line["attempts"]], [row.fault, 1, 2], path);
        }
      }),
  );
}

scenario(
  "S1-10 a certificate that is not good is no better at the second request, and is told from all other trouble",
  overTls({ shows: stranger.issue({ names: NAMES }), originSettings: { health: { passive: { level: 0 } } } }),
  async (scene) => {
    const client = await scene.client();
    for (let n = 0; n < 3; n += 1) assert.equal((await client.ask("GET /a")).status, 502);
    const { counters } = (await scene.proxy.stats()).all;
    assert.deepEqual([counters.origin_fault_tls_verify, counters.origin_failures], [3, 3]);
    assert.equal(scene.origin.requests.length, 0);
    assert.equal(scene.origin.accepted + scene.origin.failedHandshakes, 3);
  },
);

scenario(
  "S1-10 verify: false takes any certificate, and nothing else does",
  overTls({ shows: stranger.issue({ names: ["other.example"] }), tls: { verify: false } }),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 200);
  },
);

const FAULTS = ["tls_alert", "tls_eof", "tls_timeout", "tls_verify"] as const;

for (const level of [1, 2] as const) {
  for (const fault of FAULTS) {
    const row = ROWS.find((one) => one.fault === fault);
    if (row === undefined) continue;
    const counts = level === 2;
    test(`S2-13 ${fault} ${counts ? "counts" : "does not count"} against a target at level ${level}`, {
      timeout: 60_000,
    }, async () => {
      const [broken, works] = await Promise.all([row.start(), RawOrigin.start(echo(), { tls: speaking() })]);
      const scene = await Scene.open({
        settings: {
          origins: {
            both: {
              targets: [`https://127.0.0.1:${broken.port}`, works.url],
              tls: trusting({ handshakeMs: HANDSHAKE_MS }),
              health: { passive: { level, failures: 2, downMs: 60_000 }, panicPercent: 0 },
            },
          },
          routes: [{ forwardTo: "both" }],
        },
      });
      const state = (): string | undefined => {
        const both = scene.millrace.origins().origins.find((one) => one.name === "both");
        return both?.targets.find((one) => one.port === broken.port)?.health.state;
      };
      try {
        const client = await scene.client();
        const failures = () => scene.counter(`origin_fault_${fault}`);
        while ((await failures()) < 4 && state() === "up") assert.equal((await client.ask("GET /a")).status, 200);
        if (counts) while (state() === "up") await pause(5);
        else await pause(200);
        assert.equal(state(), counts ? "down" : "up");
        await Promise.all([broken.stop(), works.stop()]);
        await scene.end();
      } finally {
        await scene.abandon();
        await Promise.all([broken.stop(), works.stop()]);
      }
    });
  }
}

for (const fault of FAULTS) {
  const row = ROWS.find((one) => one.fault === fault);
  if (row === undefined) continue;
  test(`S2-03 ${fault} escalates by its class, by "5xx" and by no other class`, { timeout: 60_000 }, async () => {
    const broken = await row.start();
    const scene = await Scene.open({
      accessLog: true,
      origins: { spare: serve((_, connection) => connection.send(reply(200, "from the spare"))) },
      settings: {
        origins: {
          main: {
            targets: [`https://127.0.0.1:${broken.port}`],
            tls: trusting({ handshakeMs: HANDSHAKE_MS }),
            health: { passive: { level: 0 } },
          },
        },
        routes: [
          { match: { path: "/class" }, forwardTo: "main", escalate: [{ on: [fault], to: "spare" }] },
          { match: { path: "/5xx" }, forwardTo: "main", escalate: [{ to: "spare" }] },
          {
            match: { path: "/other" },
            forwardTo: "main",
            escalate: [{ on: [fault === "tls_eof" ? "tls_alert" : "tls_eof", "connect_refused"], to: "spare" }],
          },
        ],
      },
    });
    try {
      const client = await scene.client();
      assert.equal((await client.ask("GET /class")).body.toString(), "from the spare");
      assert.equal((await client.ask("GET /5xx")).body.toString(), "from the spare");
      assert.equal((await client.ask("GET /other")).status, STATUS[fault]);
      await scene.end();
    } finally {
      await scene.abandon();
      await broken.stop();
    }
  });
}
