/**
 * The way of clients to TLS on the wire: a redirect that takes only what did not come over TLS, and
 * Strict-Transport-Security on every answer over it and on no other.
 */
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { connect } from "node:tls";
import type { SettingsInput } from "../../src/index.js";
import { fixed } from "../support/behaviours.js";
import { makeAuthority } from "../support/certificates.js";
import { type Scene, type SettingsOverlay, scenario } from "../support/scene.js";

const folder = mkdtempSync(join(tmpdir(), "millrace-redirect-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const root = makeAuthority("a root");
const certificates = [root.issue({ names: ["www.example.org"] }).writeTo(folder)];

/** A plain listener and one with TLS in front of one origin, and routes. */
function settings(routes: NonNullable<SettingsInput["routes"]>, more: SettingsOverlay = {}): SettingsOverlay {
  const tls = { certificates, hsts: { maxAgeS: 300, includeSubDomains: true } };
  return { listeners: ["127.0.0.1:0", { address: "127.0.0.1:0", tls }], routes, ...more };
}

/** The head of the answer to a request over TLS, on a connection of its own. */
async function askOverTls(scene: Scene, path: string): Promise<string> {
  const port = scene.proxy.started.listeners[1]?.port ?? 0;
  const socket = connect({ host: "127.0.0.1", port, servername: "www.example.org", ca: root.cert });
  await once(socket, "secureConnect");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n`);
  let answer = "";
  for await (const piece of socket as AsyncIterable<Buffer>) answer += piece.toString("latin1");
  return answer.slice(0, answer.indexOf("\r\n\r\n"));
}

const HSTS = /^strict-transport-security: (.*)$/gim;
const hstsOf = (head: string): readonly (string | undefined)[] => [...head.matchAll(HSTS)].map((found) => found[1]);

scenario(
  "a redirect to TLS keeps name and path, leaves the port behind, and takes nothing that came over TLS",
  { settings: settings([{ redirect: { scheme: "https", port: 8443 } }, { answer: { body: "hello" } }]) },
  async (scene) => {
    const client = await scene.client();
    const moved = await client.ask("GET /a/b?c=d", "Host: www.example.org:8080");
    assert.equal(moved.status, 308);
    assert.equal(moved.fields.one("location"), "https://www.example.org:8443/a/b?c=d");
    assert.match(await askOverTls(scene, "/a/b?c=d"), /^HTTP\/1\.1 200 /);
    const explain = (url: string) => scene.millrace.explain({ url }).action;
    assert.deepEqual([explain("http://www.example.org/"), explain("https://www.example.org/")], ["redirect", "answer"]);
  },
);

scenario(
  "what came over TLS to a trusted proxy came over TLS, and nobody else can say so",
  {
    settings: settings([{ redirect: { scheme: "https" } }, { answer: { body: "hello" } }], {
      forwarding: { trustedProxies: ["127.0.0.1"] },
    }),
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /", "X-Forwarded-Proto: https")).status, 200);
    assert.equal((await client.ask("GET /", "X-Forwarded-Proto: http")).status, 308);
    assert.equal((await client.ask("GET /")).status, 308);
  },
);

scenario(
  "an untrusted client that says it came over TLS is redirected all the same",
  { settings: settings([{ redirect: { scheme: "https" } }]) },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /", "X-Forwarded-Proto: https")).status, 308);
  },
);

scenario(
  "Strict-Transport-Security is on every answer over TLS once, in place of the origin's own, and on no other",
  {
    origin: fixed("ok", "Strict-Transport-Security: max-age=1"),
    settings: settings([
      { match: { path: "/app" }, forwardTo: "app" },
      { match: { path: "/own" }, answer: {} },
      { match: { path: "/moved" }, redirect: { to: "/own" } },
    ]),
  },
  async (scene) => {
    for (const path of ["/app", "/own", "/moved", "/nowhere"]) {
      assert.deepEqual(hstsOf(await askOverTls(scene, path)), ["max-age=300; includeSubDomains"], path);
    }
    const client = await scene.client();
    for (const path of ["/own", "/moved", "/nowhere"]) {
      assert.equal((await client.ask(`GET ${path}`)).fields.has("strict-transport-security"), false, path);
    }
    assert.equal((await client.ask("GET /app")).fields.one("strict-transport-security"), "max-age=1");
  },
);
