/** What TLS changes in requests and answers: Client-Cert, X-Forwarded-Proto, Strict-Transport-Security, the access log. */
import { strict as assert } from "node:assert";
import { createHash, X509Certificate } from "node:crypto";
import { echoed, reply, serve } from "../support/behaviours.js";
import { makeAuthority } from "../support/certificates.js";
import { type RawClient, request } from "../support/client.js";
import { type Scene, scenario } from "../support/scene.js";
import { NAME, TlsWorld, tryTls } from "../support/tls.js";

const world = new TlsWorld();
const clients = makeAuthority("our clients");
const ca = clients.writeTo(world.folder, "clients");
const person = clients.issue({ names: ["somebody"], client: true });
const shows = world.asks({ cert: person.cert, key: person.key });
const der = new X509Certificate(person.leaf).raw;
const asksForOne = { clientCertificates: [{ ca, required: false }] };

/** What clients may try to be taken for. */
const FORGED = [
  "Client-Cert: :Zm9yZ2Vk:",
  "Client_Cert: :Zm9yZ2Vk:",
  "Client-Cert-Chain: :Zm9yZ2Vk:",
  "CLIENT-cert: x",
];

/** What an origin was told by fields whose names could be read as `client-cert…`. */
async function told(client: RawClient): Promise<(readonly [string, string])[]> {
  const { fields } = echoed(await client.ask("GET /", ...FORGED));
  return fields.filter(([name]) => /^client.cert/i.test(name)).map(([name, value]) => [name.toLowerCase(), value]);
}

scenario(
  "a verified client certificate goes to the origin as Client-Cert (RFC 9440), and what the client says itself does not",
  { settings: world.settings(asksForOne, { forwarding: { clientCertificate: true } }) },
  async (scene) => {
    const client = await scene.client({ tls: shows });
    const expected = [["client-cert", `:${der.toString("base64")}:`]];
    assert.deepEqual(await told(client), expected);
    assert.deepEqual(await told(client), expected, "the second request, too");
    assert.deepEqual(await told(await scene.client({ tls: world.asks() })), [], "nobody showed one");
  },
);

scenario(
  "Client-Cert of clients is dropped though none is forwarded, over TLS and without",
  {
    settings: world.settings(asksForOne),
  },
  async (scene) => {
    assert.deepEqual(await told(await scene.client({ tls: shows })), []);
  },
);

scenario("Client-Cert of plain clients is dropped", {}, async (scene) => {
  assert.deepEqual(await told(await scene.client()), []);
});

const PLAIN_TOO = {
  listeners: [
    { address: "127.0.0.1:0", tls: { certificates: [world.pair()], hsts: { maxAgeS: 600, includeSubDomains: true } } },
    { address: "127.0.0.1:0" },
  ],
  routes: [{ match: { path: "/away" }, redirect: { to: "https://else.example.org{path}" } }, { forwardTo: "app" }],
} as const;

scenario(
  "X-Forwarded-Proto says https over TLS and http without, whatever the client says",
  { settings: { ...PLAIN_TOO } },
  async (scene) => {
    const proto = async (client: RawClient) =>
      echoed(await client.ask("GET /", "X-Forwarded-Proto: gopher")).fields.filter(([name]) =>
        /^x-forwarded-proto$/i.test(name),
      );
    assert.deepEqual(await proto(await scene.client({ tls: world.asks() })), [["X-Forwarded-Proto", "https"]]);
    assert.deepEqual(await proto(await plainClient(scene)), [["X-Forwarded-Proto", "http"]]);
  },
);

async function plainClient(scene: Scene): Promise<RawClient> {
  const port = scene.proxy.started.listeners[1]?.port ?? 0;
  return scene.client({ port });
}

const HSTS = "strict-transport-security";

scenario(
  "Strict-Transport-Security is on every answer over TLS, in place of the origin's: forwarded, our own, a redirect, an error",
  {
    settings: { ...PLAIN_TOO },
    origin: serve((asked, connection) =>
      asked.target === "/none"
        ? connection.reset()
        : connection.send(
            reply(200, "x", "Strict-Transport-Security: max-age=1", "strict-transport-security: max-age=2"),
          ),
    ),
  },
  async (scene) => {
    const client = await scene.client({ tls: world.asks() });
    const kinds = [
      ["GET /", 200],
      ["GET /away", 308],
      ["POST /none", 502],
    ] as const;
    for (const [line, status] of kinds) {
      const answer = await client.ask(line, ...(line.startsWith("POST") ? ["Content-Length: 0"] : []));
      assert.equal(answer.status, status);
      assert.deepEqual(answer.fields.all(HSTS), ["max-age=600; includeSubDomains"], line);
    }
    await client.send(request("GET /", "Content-Length: x"));
    const refused = await client.answer();
    assert.deepEqual([refused.status, refused.fields.all(HSTS)], [400, ["max-age=600; includeSubDomains"]]);
  },
);

scenario(
  "Strict-Transport-Security is not added without TLS (RFC 6797 7.2), and an origin's own passes",
  {
    settings: { ...PLAIN_TOO },
    origin: serve((_, connection) => connection.send(reply(200, "x", "Strict-Transport-Security: max-age=1"))),
  },
  async (scene) => {
    const client = await plainClient(scene);
    assert.deepEqual((await client.ask("GET /")).fields.all(HSTS), ["max-age=1"]);
    assert.deepEqual((await client.ask("GET /away")).fields.all(HSTS), []);
  },
);

scenario(
  "S1-02 the access log tells version, cipher, server name, resumption and certificate of a TLS client, and of a plain one nothing",
  {
    settings: {
      listeners: [
        { address: "127.0.0.1:0", tls: { certificates: [world.pair()], ...asksForOne } },
        { address: "127.0.0.1:0" },
      ],
    },
    accessLog: true,
  },
  async (scene) => {
    const client = await scene.client({ tls: { ...shows, minVersion: "TLSv1.3", ciphers: "TLS_AES_256_GCM_SHA384" } });
    await client.ask("GET /one");
    const [one] = await scene.accessLog(1);
    const digest = createHash("sha256").update(der).digest("hex");
    const fields = ["tls", "cipher", "server_name", "resumed", "client_cert_sha256"] as const;
    const seen = (line: Readonly<Record<string, unknown>> | undefined) => fields.map((field) => line?.[field]);
    assert.deepEqual(seen(one), ["TLSv1.3", "TLS13_AES_256_GCM_SHA384", NAME, false, digest]);
    await tryTls(scene.port, { rejectUnauthorized: false, maxVersion: "TLSv1.2" });
    const [, two] = await scene.accessLog(2);
    assert.deepEqual(
      [two?.["tls"], two?.["server_name"], two?.["client_cert_sha256"]],
      ["TLSv1.2", undefined, undefined],
    );
    await (await plainClient(scene)).ask("GET /three");
    const [, , three] = await scene.accessLog(3);
    assert.deepEqual(seen(three), [undefined, undefined, undefined, undefined, undefined]);
  },
);
