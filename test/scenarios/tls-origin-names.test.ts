/**
 * Names in TLS to origins: whom it is asked for and whom its certificate must be for are chosen by the settings, each by
 * itself, whatever the client asked for; and no two requests with different names share a connection.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { createMillrace } from "../../src/index.js";
import { echoed } from "../support/behaviours.js";
import { startDnsServer } from "../support/dns-server.js";
import { Scene, type SettingsOverlay, scenario } from "../support/scene.js";
import { overTls, trusted, trusting, usual, writeCertificate } from "../support/tls-origins.js";

/** A listener that speaks TLS, so that clients may ask for a name. */
const secureListener = (): NonNullable<SettingsOverlay["listeners"]> => [
  { address: "127.0.0.1:0", tls: { certificates: [writeCertificate(usual(), "listener")] } },
];

/** A client that asks the proxy for this name. */
const asking = (servername: string) => ({ tls: { ca: trusted().cert, servername } });

/** Client's SNI a, target b, Host c, verify name d: who is asked for, and whose certificate is taken. */
const POLICIES = [
  { sni: "host", verifyName: "sni", asked: "c.example", verified: "c.example" },
  { sni: "host", verifyName: "target", asked: "c.example", verified: "b.example" },
  { sni: "host", verifyName: "@d.example", asked: "c.example", verified: "d.example" },
  { sni: "serverName", verifyName: "sni", asked: "a.example", verified: "a.example" },
  { sni: "serverName", verifyName: "target", asked: "a.example", verified: "b.example" },
  { sni: "target", verifyName: "sni", asked: "b.example", verified: "b.example" },
  { sni: "target", verifyName: "@d.example", asked: "b.example", verified: "d.example" },
  { sni: "@e.example", verifyName: "sni", asked: "e.example", verified: "e.example" },
  { sni: "@e.example", verifyName: "target", asked: "e.example", verified: "b.example" },
  { sni: "none", verifyName: "target", asked: "", verified: "b.example" },
  { sni: "none", verifyName: "@d.example", asked: "", verified: "d.example" },
] as const;

/** Plays with an origin written as b.example that shows a certificate for these names only. */
async function withNames(
  tls: object,
  names: readonly string[],
  play: (scene: Scene) => Promise<void>,
  origin: object = { host: "client" },
): Promise<void> {
  const dns = await startDnsServer();
  dns.set("b.example", { kind: "addresses", addresses: ["127.0.0.1"] });
  const options = overTls({ shows: trusted().issue({ names }) });
  const scene = await Scene.open({
    ...options,
    settings: (origins) => ({
      listeners: secureListener(),
      dns: { servers: [dns.address] },
      origins: {
        app: {
          targets: [`https://b.example:${origins["app"]?.port}`],
          tls: trusting(tls),
          health: { passive: { level: 0 } },
          ...origin,
        },
      },
    }),
  });
  try {
    await play(scene);
    await scene.end();
  } finally {
    await scene.abandon();
    await dns.close();
  }
}

for (const { sni, verifyName, asked, verified } of POLICIES) {
  test(`S0-09 sni ${sni}, verifyName ${verifyName}: asks for ${asked || "nobody"}, takes a certificate for ${verified}`, {
    timeout: 60_000,
  }, async () => {
    await withNames({ sni, verifyName }, [verified], async (scene) => {
      const client = await scene.client(asking("a.example"));
      const answer = await client.ask("GET /a", "Host: c.example");
      assert.equal(answer.status, 200, answer.head);
      assert.equal(scene.origin.lastConnection.serverName, asked);
      assert.equal(scene.origin.last.fields.one("host"), "c.example");
    });
    const others = ["a.example", "b.example", "c.example", "d.example", "e.example", "127.0.0.1"];
    await withNames(
      { sni, verifyName },
      others.filter((name) => name !== verified),
      async (scene) => {
        const client = await scene.client(asking("a.example"));
        const answer = await client.ask("GET /a", "Host: c.example");
        assert.match(answer.fields.one("proxy-status") ?? "", /details="tls_verify"/, "and no other");
      },
    );
  });
}

for (const [host, asked] of [
  ["target", "b.example"],
  ["shop.example:8443", "shop.example"],
] as const) {
  test(`S0-09 sni host with host ${host} asks for the name the origin is sent, without its port`, async () => {
    await withNames(
      { sni: "host" },
      [asked],
      async (scene) => {
        const client = await scene.client(asking("a.example"));
        assert.equal((await client.ask("GET /a", "Host: c.example")).status, 200);
        assert.equal(scene.origin.lastConnection.serverName, asked);
      },
      { host },
    );
  });
}

scenario(
  "S0-09 an address is asked for by no name, and its certificate must be for the address",
  overTls({ shows: trusted().issue({ names: ["127.0.0.1"] }) }),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 200);
    assert.equal(scene.origin.lastConnection.serverName, "");
  },
);

scenario(
  "S0-03 S0-04 S0-07 requests that ask for different names never share a connection, equal names do in any case",
  overTls({ tls: { sni: "host", verifyName: "@a.example" }, originSettings: { host: "client" } }),
  async (scene) => {
    const client = await scene.client();
    const used: number[] = [];
    for (const host of ["a.example", "b.example", "A.EXAMPLE:80", "a.example", "a.example.org", "b.example"]) {
      used.push(echoed(await client.ask("GET /a", `Host: ${host}`)).connection);
    }
    assert.deepEqual(used, [0, 1, 0, 0, 2, 1]);
    assert.deepEqual(
      scene.origin.connections.map((one) => one.serverName),
      ["a.example", "b.example", "a.example.org"],
    );
    assert.equal(await scene.counter("origin_tls_resumed"), 0, "and no name has another's tickets");
  },
);

scenario(
  "S0-07 no name and some name never match, no name and no name do",
  overTls({
    settings: () => ({ listeners: secureListener() }),
    tls: { sni: "serverName", verifyName: "target" },
  }),
  async (scene) => {
    const nameless = await scene.client({ tls: { ca: trusted().cert, checkServerIdentity: () => undefined } });
    const named = await scene.client(asking("b.example"));
    const used: number[] = [];
    for (const client of [nameless, named, nameless, named]) used.push(echoed(await client.ask("GET /a")).connection);
    assert.deepEqual(used, [0, 1, 0, 1]);
    assert.deepEqual(
      scene.origin.connections.map((one) => one.serverName),
      ["", "b.example"],
    );
  },
);

/** Connections used by Host a, b, A, a, where all of them are asked for under one name. */
const WORDS = [
  ["none", [0, 1, 2, 3]],
  ["ip", [0, 0, 0, 0]],
  ["hostonly", [0, 1, 0, 0]],
] as const;

for (const [word, wanted] of WORDS) {
  scenario(
    `S0-05 the match word ${word} over TLS`,
    overTls({ tls: { sni: "@d.example" }, originSettings: { host: "client", match: word } }),
    async (scene) => {
      const client = await scene.client();
      const used: number[] = [];
      for (const host of ["a.example", "b.example", "A.example", "a.example"]) {
        used.push(echoed(await client.ask("GET /a", `Host: ${host}`)).connection);
      }
      assert.deepEqual(used, wanted);
    },
  );
}

for (const match of ["host", "both"] as const) {
  scenario(
    `S0-05 S0-06 the match word ${match} over TLS: the name and the session's own name are one`,
    overTls({ tls: { sni: "host" }, originSettings: { host: "client", match } }),
    async (scene) => {
      const client = await scene.client();
      const used: number[] = [];
      for (const host of ["a.example", "b.example", "A.example", "a.example"]) {
        used.push(echoed(await client.ask("GET /a", `Host: ${host}`)).connection);
      }
      assert.deepEqual(used, [0, 1, 0, 0]);
    },
  );
}

for (const [match, sni, says] of [
  ["host", "target", /"host" can never match/],
  ["both", "none", /"both" can never match/],
] as const) {
  test(`S0-06 match ${match} with sni ${sni} could never match and is refused`, () => {
    const settings = {
      origins: { app: { targets: "https://b.example", host: "client", match, tls: { ...trusting(), sni } } },
      routes: [{ forwardTo: "app" }],
    };
    assert.throws(() => createMillrace(settings as never), says);
  });
}

for (const [name, host] of [
  ["is no DNS name", "a..example"],
  ["has a label that begins with a hyphen", "-a.example"],
] as const) {
  scenario(
    `S1-01 S1-03 a Host that ${name} cannot be asked for: tls_local_error, and the target is not blamed`,
    overTls({
      accessLog: true,
      tls: { sni: "host", verifyName: "target" },
      originSettings: {
        host: "client",
        health: { passive: { level: 4, failures: 1, downMs: 60_000 }, panicPercent: 0 },
      },
    }),
    async (scene) => {
      const client = await scene.client();
      const answer = await client.ask("GET /a", `Host: ${host}`);
      assert.equal(answer.status, 503, answer.head);
      assert.match(answer.fields.one("proxy-status") ?? "", /error=proxy_internal_error; details="tls_local_error"/);
      const [line] = await scene.accessLog(1);
      assert.deepEqual(
        [line?.["fault"], line?.["whose"], line?.["phase"], line?.["not_repeated"]],
        ["tls_local_error", "proxy", "connecting", "local_fault"],
      );
      assert.equal((await client.ask("GET /b", "Host: a.example")).status, 200);
      assert.equal(scene.origin.requests.length, 1);
    },
  );
}
