/** Listeners behind a balancer that speaks the PROXY protocol: whose connection it is, is believed of trusted peers only. */
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { connect } from "node:tls";
import { echo, echoed } from "../support/behaviours.js";
import { makeAuthority } from "../support/certificates.js";
import { request } from "../support/client.js";
import type { Answer } from "../support/message.js";
import { type Scene, scenario } from "../support/scene.js";

const trusting = (more: Record<string, unknown> = {}) => ({
  listeners: [{ address: "127.0.0.1:0", proxyProtocol: true, ...more }],
  forwarding: { trustedProxies: ["127.0.0.1"] },
});

/** Version 2: the addresses as bytes, and a field of the balancer's own behind them. */
function version2(): Buffer {
  const addresses = Buffer.from([192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x01, 0xbb, 4, 0, 1, 0]);
  const head = Buffer.from("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0", "latin1");
  head.writeUInt16BE(addresses.length, 14);
  return Buffer.concat([head, addresses]);
}

/** Whom the origin was told it serves. */
function forwarded(answer: Answer): string | undefined {
  return echoed(answer).fields.find(([name]) => name.toLowerCase() === "x-forwarded-for")?.[1];
}

async function forwardedFor(scene: Scene, header: Buffer | string): Promise<string | undefined> {
  const client = await scene.client();
  await client.send(header, request("GET /"));
  return forwarded(await client.answer());
}

scenario(
  "a PROXY header of either version names the client",
  { settings: trusting(), origin: echo() },
  async (scene) => {
    const version1 = "PROXY TCP4 192.0.2.7 198.51.100.1 12345 443\r\n";
    assert.equal(await forwardedFor(scene, version1), "192.0.2.7");
    assert.equal(await forwardedFor(scene, version2()), "192.0.2.7");
    assert.equal(await forwardedFor(scene, "PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n"), "2001:db8::7");
    assert.equal(await forwardedFor(scene, "PROXY UNKNOWN\r\n"), "127.0.0.1");
  },
);

scenario("a PROXY header may come a byte at a time", { settings: trusting(), origin: echo() }, async (scene) => {
  const client = await scene.client();
  for (const byte of version2()) await client.send(Buffer.from([byte]));
  await client.send(request("GET /"));
  assert.equal(forwarded(await client.answer()), "192.0.2.7");
});

scenario(
  "whoever the PROXY header names is not trusted for the sake of the balancer",
  { settings: trusting(), origin: echo() },
  async (scene) => {
    const client = await scene.client();
    await client.send("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", request("GET /", "X-Forwarded-For: 10.9.9.9"));
    assert.equal(forwarded(await client.answer()), "192.0.2.7");
  },
);

scenario("a connection without a PROXY header is refused where one is due", { settings: trusting() }, async (scene) => {
  for (const bytes of [request("GET /"), "PROXY TCP4 nonsense\r\n", "\x16\x03\x01"]) {
    const client = await scene.client();
    await client.send(bytes);
    assert.notEqual(await client.seesClose(1_000), "open");
  }
  assert.equal(await scene.counter("client_fault_bad_proxy_header"), 3);
  assert.equal(scene.origin.requests.length, 0);
});

scenario(
  "a peer that is not trusted may not name a client",
  { settings: { ...trusting(), forwarding: { trustedProxies: ["192.0.2.0/24"] } } },
  async (scene) => {
    const client = await scene.client();
    await client.send("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", request("GET /")).catch(() => undefined);
    assert.notEqual(await client.seesClose(1_000), "open");
    assert.equal(await scene.counter("client_fault_bad_proxy_header"), 1);
    assert.equal(scene.origin.requests.length, 0);
  },
);

scenario(
  "a balancer that says nothing is given up in time",
  { settings: { ...trusting(), timeouts: { clientHeadMs: 200 } } },
  async (scene) => {
    const client = await scene.client();
    await client.send("PROXY TC");
    assert.notEqual(await client.seesClose(2_000), "open");
  },
);

const folder = mkdtempSync(join(tmpdir(), "millrace-balanced-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const authority = makeAuthority("balanced");
const certificate = authority.issue({ names: ["www.example.org"] }).writeTo(folder, "www");

scenario(
  "the PROXY header comes before TLS",
  { settings: trusting({ tls: { certificates: [certificate], fallback: "first" } }), origin: echo() },
  async (scene) => {
    const socket = connectPlain(scene.port, "127.0.0.1");
    socket.write(version2());
    const tls = connect({ socket, ca: authority.cert, servername: "www.example.org" });
    const answer = await new Promise<string>((resolve, reject) => {
      let text = "";
      tls.on("error", reject);
      tls.on("data", (bytes: Buffer) => {
        text += bytes.toString("latin1");
      });
      tls.on("end", () => resolve(text));
      tls.write("GET / HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n");
    });
    tls.destroy();
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.match(answer, /192\.0\.2\.7/);
  },
);
