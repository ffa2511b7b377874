/**
 * Escalation: whatever way an origin fails — silent, refused, reset, timed out, unresolvable, answering 5xx — its
 * request goes to the origin the route names, once each, marked, under that origin's name and identity.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { createMillrace } from "../../src/index.js";
import { reply, serve } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { startDnsServer } from "../support/dns-server.js";
import { CALLS, DeafListener, lineOf, perform, REPLAY_BYTES } from "../support/failures.js";
import { takes } from "../support/lateness.js";
import type { Script } from "../support/origin.js";
import { Scene, type SceneOptions, type SettingsOverlay, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

type Route = NonNullable<SettingsOverlay["routes"]>[number];

const spare: Script = serve((asked, connection) =>
  connection.send(reply(200, asked.method === "HEAD" ? "" : "from the spare")),
);
const closes: Script = serve((_, connection) => connection.close());
const resets: Script = serve((_, connection) => connection.reset());

/** Origins `main` and `spare`, and a route from the one that escalates to the other. */
function escalates(main: Script, route: Partial<Route> = {}): SceneOptions {
  return {
    accessLog: true,
    origins: { main, spare },
    originSettings: { firstByteMs: 500, connectMs: 500, health: { passive: { level: 0 } } },
    settings: {
      limits: { replayBodyBytes: REPLAY_BYTES },
      routes: [{ forwardTo: "main", escalate: [{ to: "spare" }], ...route }],
    },
  };
}

/** One GET that must be answered by the spare, in time, marked and told. */
async function goesToSpare(scene: Scene, fault: string): Promise<void> {
  const before = (await scene.proxy.stats()).all.counters;
  const client = await scene.client();
  const path = `/${fault}`;
  // With 500 ms for a connection or a first byte.
  const answer = await takes(0, 3_000, () => client.ask(`GET ${path}`));
  const after = (await scene.proxy.stats()).all.counters;
  const line = await lineOf(scene, path);
  assert.deepEqual([answer.status, answer.body.toString()], [200, "from the spare"], fault);
  assert.equal(after.escalations - before.escalations, 1);
  assert.equal(after.origin_failures - before.origin_failures, 1, "one failure event");
  assert.equal(scene.origins["spare"]?.last.fields.one("x-millrace-escalated"), "1");
  assert.deepEqual([line["fault"], line["origin"], line["escalations"], line["status"]], [fault, "spare", 1, 200]);
  assert.equal(line["not_repeated"], undefined);
  await client.close();
}

for (const [fault, main] of [
  ["eof_before_headers", closes],
  ["reset_before_headers", resets],
  ["header_timeout", serve(() => undefined)],
  ["malformed_headers", serve((_, connection) => connection.send("what?\r\n\r\n"))],
  ["status", serve((_, connection) => connection.send(reply(500, "broken")))],
] as const) {
  scenario(`S2-03 S2-04 S2-08 ${fault} escalates by "5xx"`, escalates(main, { retry: false }), (scene) =>
    goesToSpare(scene, fault),
  );
}

/** A scene whose origin `main` is at `url`. */
async function withMainAt(url: string, more: SettingsOverlay, play: (scene: Scene) => Promise<void>): Promise<void> {
  const options = escalates(closes);
  const scene = await Scene.open({
    ...options,
    settings: { ...(options.settings as SettingsOverlay), ...more, origins: { main: { targets: [url] } } },
  });
  try {
    await play(scene);
    await scene.end();
  } finally {
    await scene.abandon();
  }
}

test("S2-04 S2-08 a refused connection escalates as a 5xx does", { timeout: 30_000 }, () =>
  withMainAt("http://127.0.0.1:1", {}, (scene) => goesToSpare(scene, "connect_refused")),
);

test("S2-04 S2-08 an unreachable address escalates as a 5xx does", { timeout: 30_000 }, () =>
  withMainAt("http://255.255.255.255:9", {}, (scene) => goesToSpare(scene, "connect_unreachable")),
);

test("S2-04 S2-08 a connection nobody accepts escalates as a 5xx does, in time", { timeout: 30_000 }, async () => {
  const deaf = await DeafListener.start();
  try {
    await withMainAt(deaf.url, {}, (scene) => goesToSpare(scene, "connect_timeout"));
  } finally {
    await deaf.stop();
  }
});

for (const [fault, kind] of [
  ["dns_nxdomain", "nxdomain"],
  ["dns_servfail", "servfail"],
  ["dns_timeout", "silence"],
] as const) {
  test(`S2-02 S2-04 a name that does not resolve (${fault}) escalates as a 5xx does`, { timeout: 30_000 }, async () => {
    const dns = await startDnsServer();
    dns.set("main.test", { kind });
    try {
      const settings = { dns: { servers: [dns.address], timeoutMs: 200 } };
      await withMainAt("http://main.test:80", settings, (scene) => goesToSpare(scene, fault));
    } finally {
      await dns.close();
    }
  });
}

scenario(
  "S2-03 a rule of classes escalates these and no others",
  escalates(
    serve((asked, connection) => {
      if (asked.target === "/500") return connection.send(reply(500, "mine"));
      return asked.target === "/silent" ? undefined : connection.close();
    }),
    { escalate: [{ on: ["header_timeout"], to: "spare" }] },
  ),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /silent")).status, 200);
    assert.deepEqual((await client.ask("GET /500")).body.toString(), "mine");
    assert.equal((await client.ask("GET /closed")).status, 502);
    assert.equal(scene.origins["spare"]?.requests.length, 1);
  },
);

scenario(
  "S2-03 an answer that says it is too long escalates by its class: no byte of it went out",
  escalates(
    serve((_, connection) => connection.send(reply(200, "x".repeat(2_000)))),
    { limits: { answerBodyBytes: 1_000 }, escalate: [{ on: ["answer_too_large"], to: "spare" }] },
  ),
  (scene) => goesToSpare(scene, "answer_too_large"),
);

test("S2-03 codes and classes that do not exist, and origins that do not, refuse the settings", () => {
  for (const [escalate, says] of [
    [[{ on: [600], to: "main" }], "escalate"],
    [[{ on: ["header_timeot"], to: "main" }], "header_timeout"],
    [[{ on: [99], to: "main" }], "escalate"],
    [[{ on: ["5xx"], to: "nobody" }], "nobody"],
  ] as const) {
    const settings = {
      origins: { main: { targets: "http://127.0.0.1:1" } },
      routes: [{ forwardTo: "main", escalate }],
    };
    assert.throws(() => createMillrace(settings as never), new RegExp(says), JSON.stringify(escalate));
  }
});

scenario(
  "S2-03 an address may be named in place of an origin",
  {
    ...escalates(closes),
    settings: (origins) => ({
      routes: [{ forwardTo: "main", escalate: [{ to: origins["spare"]?.url ?? "" }] }],
    }),
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).body.toString(), "from the spare");
  },
);

for (const [host, expected] of [
  ["client", "shop.example"],
  ["target", "127.0.0.1:PORT"],
  ["spare.example", "spare.example"],
] as const) {
  scenario(
    `S2-05 Host and identity are those of the new target (host: ${host})`,
    {
      ...escalates(closes),
      settings: {
        origins: { main: { host: "main.example" }, spare: { host, localAddress: "127.0.0.9" } },
        routes: [{ forwardTo: "main", escalate: [{ to: "spare" }] }],
      },
    },
    async (scene) => {
      const client = await scene.client();
      for (let n = 0; n < 2; n += 1) assert.equal((await client.ask("GET /a", "Host: shop.example")).status, 200);
      const [main, other] = [scene.origins["main"], scene.origins["spare"]];
      assert.equal(main?.last.fields.one("host"), "main.example");
      assert.equal(other?.last.fields.one("host"), expected.replace("PORT", String(other?.port)));
      assert.equal(other?.last.connection.wire.socket.remoteAddress, "127.0.0.9");
      assert.equal(other?.accepted, 1, "and its own connection is reused");
    },
  );
}

for (const anyMethod of [false, true]) {
  for (const [what, main, sent] of [
    ["was sent", closes, true],
    ["was not sent", undefined, false],
  ] as const) {
    const options = escalates(main ?? closes, { escalate: [{ to: "spare", anyMethod }] });
    scenario(
      `S2-06 what escalates by method and body when the request ${what} (anyMethod ${anyMethod})`,
      options,
      async (scene) => {
        if (main === undefined) await scene.origins["main"]?.stop();
        for (const call of CALLS) {
          for (const body of ["none", "small", "large"] as const) {
            const path = `/${call.method}${call.keyed}/${body}`;
            const client = await scene.client();
            const answer = await perform(client, call, path, body);
            const repeatable = call.idempotent || call.keyed;
            const may = sent ? repeatable && body !== "large" : repeatable || anyMethod;
            assert.equal(answer.status, may ? 200 : 502, path);
            const got = scene.origins["spare"]?.requests.filter((one) => one.target === path).length;
            assert.equal(got, may ? 1 : 0, path);
            await client.close();
          }
        }
      },
    );
  }
}

scenario(
  "S2-07 every level once: a request goes through all origins of the rules and never back",
  {
    accessLog: true,
    origins: { a: closes, b: serve((_, connection) => connection.send(reply(503))), c: resets, d: spare },
    settings: {
      routes: [{ forwardTo: "a", escalate: [{ to: "b" }, { to: "b", on: ["503"] }, { to: "c" }, { to: "d" }] }],
    },
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).body.toString(), "from the spare");
    for (const [name, marker] of [
      ["a", undefined],
      ["b", "1"],
      ["c", "2"],
      ["d", "3"],
    ] as const) {
      assert.equal(scene.origins[name]?.requests.length, 1, name);
      assert.equal(scene.origins[name]?.last.fields.one("x-millrace-escalated"), marker, name);
    }
    assert.equal((await lineOf(scene, "/a"))["escalations"], 3);
    assert.equal(await scene.counter("origin_failures"), 3);
  },
);

scenario(
  "S2-07 when all levels fail, the last failure is the answer",
  {
    accessLog: true,
    origins: { a: closes, b: resets, c: serve(() => undefined) },
    originSettings: { firstByteMs: 150 },
    settings: { routes: [{ forwardTo: "a", escalate: [{ to: "b" }, { to: "c" }] }] },
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 504);
    const line = await lineOf(scene, "/a");
    assert.deepEqual([line["fault"], line["failures"], line["escalations"]], ["header_timeout", 3, 2]);
  },
);

scenario(
  "S2-07 a request that was escalated by a proxy before us goes no further",
  escalates(closes),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a", "X-Millrace-Escalated: 1")).status, 502);
    assert.equal(scene.origins["spare"]?.requests.length, 0);
    assert.equal((await client.ask("GET /b")).status, 200);
  },
);

scenario(
  "S2-07 the marker is ours: two proxies that escalate to each other do it once",
  escalates(closes),
  async (scene) => {
    const other = await Scene.open({
      origins: { main: closes },
      settings: {
        origins: { peer: { targets: [`http://127.0.0.1:${scene.port}`], idleMs: 100 } },
        routes: [{ forwardTo: "main", escalate: [{ to: "peer" }] }],
      },
    });
    try {
      const client = await other.client();
      assert.equal((await client.ask("GET /a")).status, 502);
      assert.equal(scene.origins["main"]?.requests.length, 1);
      assert.equal(scene.origins["spare"]?.requests.length, 0);
      await other.end();
    } finally {
      await other.abandon();
    }
  },
);

scenario(
  "S2-09 edits of the answer are made once, for the answer the client gets",
  escalates(
    serve((_, connection) => connection.send(reply(500, "x", "X-From: main"))),
    {
      responseHeaders: { add: { "X-Once": "1" } },
      requestHeaders: { add: { "X-Edit": "1" } },
    },
  ),
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a");
    assert.deepEqual(answer.fields.all("x-once"), ["1"]);
    assert.deepEqual(answer.fields.all("x-from"), [], "nothing of the answer that failed is left");
    assert.deepEqual(scene.origins["spare"]?.last.fields.all("x-edit"), ["1"]);
  },
);

scenario("S2-15 a client that is gone is not escalated", escalates(serve(() => undefined)), async (scene) => {
  const client = await scene.client();
  await client.send(request("GET /a"));
  await scene.origins["main"]?.sees("the request", (origin) => origin.requests.length === 1);
  await client.reset();
  await pause(700);
  assert.equal(scene.origins["spare"]?.requests.length, 0);
  assert.equal(await scene.counter("escalations"), 0);
});
