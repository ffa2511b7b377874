/** What two requests must have in common to share an origin connection, part by part, as the origin sees it. */
import { strict as assert } from "node:assert";
import { echo, echoed, reply, serve } from "../support/behaviours.js";
import { type Origins, type SettingsOverlay, scenario } from "../support/scene.js";
import { clientsOf, connectionOf, inTurn, pairOnTwoWorkers } from "../support/traffic.js";

/** Routes /one and /two to two origins that differ in nothing but what is given. */
function twoOrigins(one: object, two: object): SettingsOverlay {
  return {
    origins: { one, two } as NonNullable<SettingsOverlay["origins"]>,
    routes: [
      { match: { path: "/one" }, forwardTo: "one" },
      { match: { path: "/two" }, forwardTo: "two" },
      { forwardTo: "app" },
    ],
  };
}

const at = (origins: Origins, host = "127.0.0.1"): string => `http://${host}:${origins["app"]?.port}`;

const APART: readonly (readonly [string, (origins: Origins) => SettingsOverlay])[] = [
  [
    "our own address",
    (origins) => twoOrigins({ targets: [at(origins)] }, { targets: [at(origins)], localAddress: "127.0.0.2" }),
  ],
  ["the origin's name", (origins) => twoOrigins({ targets: [at(origins)] }, { targets: [at(origins)] })],
  [
    "the target's address",
    (origins) => twoOrigins({ targets: [at(origins)] }, { targets: [at(origins, "127.0.0.3")] }),
  ],
];

for (const [part, settings] of APART) {
  scenario(
    `S0-03 connections that differ in ${part} are never shared`,
    { origin: echo(), originOptions: { host: "0.0.0.0" }, settings },
    async (scene) => {
      const [client] = await clientsOf(scene, 1);
      assert.ok(client !== undefined);
      const used: number[] = [];
      for (let n = 0; n < 6; n += 1) used.push(await connectionOf(client, n % 2 === 0 ? "GET /one" : "GET /two"));
      assert.deepEqual(used, [0, 1, 0, 1, 0, 1]);
    },
  );
}

scenario(
  "S0-03 the local address of the settings is the one the origin sees",
  { originSettings: { localAddress: "127.0.0.2" } },
  async (scene) => {
    await inTurn(await clientsOf(scene, 2), 6);
    assert.deepEqual(
      scene.origin.connections.map((one) => one.wire.socket.remoteAddress),
      ["127.0.0.2"],
    );
  },
);

scenario(
  "S0-03 another port is another target, whatever else is equal",
  {
    origins: { one: echo(), two: echo() },
    settings: (origins) => ({
      origins: { both: { targets: [origins["one"]?.url ?? "", origins["two"]?.url ?? ""], host: "same.example" } },
      routes: [{ forwardTo: "both" }],
    }),
  },
  async (scene) => {
    await inTurn(await clientsOf(scene, 1), 20);
    for (const origin of Object.values(scene.origins)) {
      assert.equal(origin.accepted, 1);
      assert.equal(origin.requests.length, 10);
    }
  },
);

scenario(
  "S0-04 two names of one address keep their own connections although the address is the same",
  {
    settings: (origins) =>
      twoOrigins({ targets: [at(origins)], host: "a.example" }, { targets: [at(origins)], host: "b.example" }),
  },
  async (scene) => {
    const [client] = await clientsOf(scene, 1);
    assert.ok(client !== undefined);
    for (let n = 0; n < 5; n += 1) for (const path of ["/one", "/two"]) await client.ask(`GET ${path}`);
    const names = scene.origin.requests.map((one) => `${one.connection.id} ${one.fields.one("host")}`);
    assert.deepEqual([...new Set(names)], ["0 a.example", "1 b.example"]);
  },
);

/** Connections used by: a, b, A (the name in capitals), a. */
const WORDS: readonly (readonly [string, readonly ("none" | "ip" | "host" | "both" | "hostonly")[], number[]])[] = [
  ["none shares nothing", ["none"], [0, 1, 2, 3]],
  ["ip shares over all names", ["ip"], [0, 0, 0, 0]],
  ["host keeps names apart, without regard to case", ["host"], [0, 1, 0, 0]],
  ["both keeps names apart", ["both"], [0, 1, 0, 0]],
  ["ip and host keep names apart", ["ip", "host"], [0, 1, 0, 0]],
  ["hostonly keeps names apart", ["hostonly"], [0, 1, 0, 0]],
];

for (const [name, match, wanted] of WORDS) {
  scenario(`S0-05 the match word: ${name}`, { originSettings: { match: [...match] } }, async (scene) => {
    const [client] = await clientsOf(scene, 1);
    assert.ok(client !== undefined);
    const used: number[] = [];
    for (const host of ["a.example", "b.example", "A.EXAMPLE", "a.example"]) {
      used.push(await connectionOf(client, "GET /a", `Host: ${host}`));
    }
    assert.deepEqual(used, wanted);
    assert.equal(await scene.counter("origin_new_not_shared"), match.includes("none") ? 4 : 0);
  });
}

for (const [match, connections] of [
  [["hostonly"], 1],
  [["both"], 2],
] as const) {
  scenario(
    `S0-05 with ${match.join()} a name that has two targets has ${connections} connection(s)`,
    {
      origins: { one: echo(), two: echo() },
      settings: (origins) => ({
        origins: { both: { targets: [origins["one"]?.url ?? "", origins["two"]?.url ?? ""], match: [...match] } },
        routes: [{ forwardTo: "both" }],
      }),
    },
    async (scene) => {
      await inTurn(await clientsOf(scene, 1), 10);
      const accepted = Object.values(scene.origins).reduce((sum, origin) => sum + origin.accepted, 0);
      assert.equal(accepted, connections);
    },
  );
}

scenario(
  "S0-08 a connection that changes workers again and again still belongs to the name it was opened for",
  { workers: 2, originSettings: { match: ["host"] } },
  async (scene) => {
    const pair = await pairOnTwoWorkers(scene);
    for (let n = 0; n < 40; n += 1) {
      const client = n % 2 === 0 ? pair.first : pair.second;
      for (const [host, connection] of [
        ["a.example", 0],
        ["b.example", 1],
      ] as const) {
        assert.equal(await connectionOf(client, "GET /a", `Host: ${host}`), connection, `${host}, change ${n}`);
      }
    }
    assert.ok((await scene.counter("origin_connections_stolen")) >= 60);
    assert.equal(scene.origin.accepted, 2);
  },
);

for (const scheme of ["NTLM", "Negotiate"]) {
  scenario(
    `S0-16 a connection that ${scheme} authenticated is its client's alone, and goes with it`,
    {},
    async (scene) => {
      const [owner, other] = await clientsOf(scene, 2);
      assert.ok(owner !== undefined && other !== undefined);
      assert.equal(await connectionOf(owner, "GET /1", `Authorization: ${scheme} TlRMTVNTUAAB`), 0);
      assert.equal(await connectionOf(other, "GET /2"), 1);
      assert.equal(await connectionOf(owner, "GET /3"), 0, "the owner's next request, without the field");
      assert.equal(await connectionOf(other, "GET /4"), 1);
      await owner.close();
      await scene.sees("origin_closes_owner_gone", 1);
      assert.equal(await connectionOf(other, "GET /5"), 1);
      assert.equal(scene.origin.accepted, 2);
    },
  );
}

scenario(
  "S0-16 a challenge of the origin binds the connection it came on",
  {
    origin: serve((asked, connection) => {
      const body = JSON.stringify({ connection: connection.id });
      const challenged = asked.target === "/locked" && asked.fields.one("authorization") === undefined;
      return connection.send(challenged ? reply(401, body, "WWW-Authenticate: NTLM") : reply(200, body));
    }),
  },
  async (scene) => {
    const [owner, other] = await clientsOf(scene, 2);
    assert.ok(owner !== undefined && other !== undefined);
    assert.equal((await owner.ask("GET /locked")).status, 401);
    assert.equal(await connectionOf(other, "GET /2"), 1);
    assert.equal(echoed(await owner.ask("GET /locked", "Authorization: NTLM TlRMTVNTUAAD")).connection, 0);
  },
);

for (const [name, connectionAuth, fields, wanted] of [
  ["Basic is shared unless the route says otherwise", "bound", "Authorization: Basic YTpi", 0],
  ["Bearer is shared unless the route says otherwise", "bound", "Authorization: Bearer abc", 0],
  ["connectionAuth any binds Basic as well", "any", "Authorization: Basic YTpi", 1],
  ["connectionAuth never binds nothing", "never", "Authorization: NTLM TlRMTVNTUAAB", 0],
] as const) {
  scenario(`S0-16 ${name}`, { settings: { routes: [{ forwardTo: "app", connectionAuth }] } }, async (scene) => {
    const [one, two] = await clientsOf(scene, 2);
    assert.ok(one !== undefined && two !== undefined);
    assert.equal(await connectionOf(one, "GET /1", fields), 0);
    assert.equal(await connectionOf(two, "GET /2"), wanted);
  });
}
