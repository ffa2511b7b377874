/**
 * The certificates of tests, as OpenSSL (through Node.js) reads them: what a test asks for is what it gets.
 */
import { strict as assert } from "node:assert";
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { daysFromNow, type IssueOptions, makeAuthority } from "../support/certificates.js";

function issued(options: IssueOptions) {
  const authority = makeAuthority("a root");
  const made = authority.issue(options);
  return { authority, made, cert: new X509Certificate(made.leaf) };
}

for (const kind of ["ec", "rsa"] as const) {
  test(`a certificate with an ${kind} key is for the names asked for, is signed by its authority, and fits its key`, () => {
    const { authority, made, cert } = issued({
      kind,
      names: ["www.example.org", "*.example.net", "127.0.0.1", "2001:db8::1"],
    });
    const names = "DNS:www.example.org, DNS:*.example.net, IP Address:127.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1";
    assert.equal(cert.subjectAltName, names);
    assert.ok(cert.verify(new X509Certificate(authority.cert).publicKey));
    assert.ok(cert.checkIssued(new X509Certificate(authority.cert)));
    assert.ok(cert.checkPrivateKey(createPrivateKey(made.key)));
    assert.equal(cert.publicKey.asymmetricKeyType, kind);
    const pin = createHash("sha256")
      .update(cert.publicKey.export({ type: "spki", format: "der" }))
      .digest("base64");
    assert.equal(made.pin, pin);
  });
}

test("times before and after 2050 are what was asked for", () => {
  const [notBefore, notAfter] = [new Date("2001-02-03T04:05:06Z"), new Date("2051-02-03T04:05:06Z")];
  const { cert } = issued({ notBefore, notAfter });
  assert.deepEqual([new Date(cert.validFrom), new Date(cert.validTo)], [notBefore, notAfter]);
});

/** How a handshake ends between a client and a server that OpenSSL runs; the server's view, as "" or an error. */
async function shakeHands(server: Parameters<typeof createServer>[0], client: object): Promise<string> {
  const listener = createServer({ ...server }, (socket) => socket.end("hello"));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const socket: TLSSocket = connect({ port: (listener.address() as AddressInfo).port, host: "127.0.0.1", ...client });
  try {
    return await new Promise((resolve) => {
      listener.once("tlsClientError", (failure) => resolve(failure.message));
      socket.once("error", (failure) => resolve(failure.message));
      socket.once("data", () => resolve(""));
    });
  } finally {
    socket.destroy();
    listener.close();
  }
}

test("OpenSSL takes a chain over an intermediate, refuses an expired one, and refuses a revoked client", async () => {
  const root = makeAuthority("a root");
  const between = root.makeIntermediate("one between");
  const good = between.issue({ names: ["www.example.org"] });
  const trusting = { ca: root.cert, servername: "www.example.org" };
  assert.equal(await shakeHands({ cert: good.cert, key: good.key }, trusting), "");
  assert.match(await shakeHands({ cert: good.leaf, key: good.key }, trusting), /unable to verify/);
  const old = root.issue({ names: ["www.example.org"], notAfter: daysFromNow(-1), notBefore: daysFromNow(-9) });
  assert.match(await shakeHands({ cert: old.cert, key: old.key }, trusting), /expired/);

  const [friend, gone] = [
    root.issue({ names: ["friend.example.org"], client: true }),
    root.issue({ names: ["gone.example.org"], client: true }),
  ];
  const asking = { cert: good.cert, key: good.key, ca: root.cert, crl: root.makeCrl([gone]), requestCert: true };
  const shown = (one: typeof friend) => ({ ...trusting, cert: one.cert, key: one.key });
  assert.equal(await shakeHands({ ...asking, rejectUnauthorized: true }, shown(friend)), "");
  assert.notEqual(await shakeHands({ ...asking, rejectUnauthorized: true }, shown(gone)), "");
});
