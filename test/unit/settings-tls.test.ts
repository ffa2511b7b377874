/**
 * Promises of the settings of TLS, on both sides: what can never work is refused by name, what has no effect or gives up
 * what TLS is for is warned about.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { parseTarget } from "../../src/config/addresses.js";
import { checkSettings } from "../../src/config/check.js";
import { describeComplaint } from "../../src/shared/errors.js";
import { makeAuthority } from "../support/certificates.js";

const folder = mkdtempSync(join(tmpdir(), "millrace-tls-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const authority = makeAuthority("a root");
authority.writeTo(folder, "ca");
authority.issue({ names: ["www.example.org", "*.example.net"] }).writeTo(folder, "www");

/** All complaints about a document, as lines. */
function complaintsAbout(document: unknown): readonly string[] {
  const checked = checkSettings(document, folder);
  return checked.ok ? [] : checked.complaints.map(describeComplaint);
}

/** All warnings about a document, as lines. */
function warningsAbout(document: unknown): readonly string[] {
  return checkSettings(document, folder).warnings.map(describeComplaint);
}

const APP = { app: { targets: "http://127.0.0.1:9000" } };
const WWW = { cert: "www.pem", key: "www.key" };

/** A document with one listener that serves `www`, and says this. */
function listener(tls: object, beside: object = {}): object {
  return { origins: APP, listeners: [{ address: ":443", tls: { certificates: [WWW], ...tls }, ...beside }] };
}

/** A document with one origin that is reached by TLS, and says this. */
function origin(says: object, targets: unknown = "https://www.example.org"): object {
  return { origins: { api: { targets, ...says } } };
}

describe("targets", () => {
  it("are reached by TLS where they say https, on port 443 unless they say another", () => {
    const of = (text: string) => {
      const parsed = parseTarget(text);
      assert.ok(parsed.ok, text);
      return [parsed.value.host, parsed.value.port, parsed.value.isSecure, parsed.value.name];
    };
    assert.deepEqual(of("https://WWW.example.org."), ["WWW.example.org.", 443, true, "www.example.org"]);
    assert.deepEqual(of("https://[2001:db8::1]:8443"), ["2001:db8::1", 8443, true, "2001:db8::1"]);
    assert.deepEqual(of("www.example.org"), ["www.example.org", 80, false, "www.example.org"]);
    assert.deepEqual(of("srv+https://_https._tcp.Example.org"), ["_https._tcp.example.org", 443, true, "example.org"]);
    assert.equal(parseTarget("ftp://www.example.org").ok, false);
  });

  it("of one origin are all reached by TLS, or none", () => {
    assert.deepEqual(complaintsAbout(origin({}, ["https://a.test", "http://b.test"])), [
      'origins.api.targets: has http:// targets ("b.test:80") among https:// ones; make them two origins, and escalate from one to the other',
    ]);
    assert.deepEqual(complaintsAbout(origin({ tls: {} }, "http://a.test")), [
      "origins.api.tls: has a meaning for https:// targets only, and these are http://",
    ]);
  });
});

describe("TLS to origins", () => {
  it("S1-10: verifies by default, by the name the target is written as, and says so when settings are printed", () => {
    const checked = checkSettings(origin({}));
    assert.ok(checked.ok);
    const { tls } = checked.settings.origins["api"] ?? {};
    assert.deepEqual(tls, {
      verify: true,
      systemRoots: true,
      sni: "target",
      verifyName: "sni",
      versions: ["1.2", "1.3"],
      pins: [],
      handshakeMs: 10_000,
    });
    assert.deepEqual(checked.warnings, []);
  });

  it("that could never verify is refused", () => {
    const about = (tls: object) => complaintsAbout(origin({ tls }));
    assert.deepEqual(about({ systemRoots: false }), [
      "origins.api.tls.systemRoots: is false and ca names nobody, so no certificate could ever be trusted",
    ]);
    assert.deepEqual(about({ systemRoots: false, ca: "ca.pem" }), []);
    assert.deepEqual(about({ systemRoots: false, verify: false }), []);
    assert.deepEqual(about({ sni: "none" }), [
      'origins.api.tls.verifyName: is "sni", and none is sent (sni: "none"), so no certificate could ever be for it; say "target" or "@name"',
    ]);
    assert.deepEqual(about({ sni: "none", verifyName: "target" }), []);
    assert.deepEqual(about({ sni: "serverName" }), [
      'origins.api.tls.verifyName: is "sni", and no listener has TLS, so no client ever sends one; say "target" or "@name"',
    ]);
    assert.deepEqual(complaintsAbout({ ...listener({}), ...origin({ tls: { sni: "serverName" } }) }), []);
  });

  it("without verification is warned about, and so is what has no effect then", () => {
    assert.deepEqual(warningsAbout(origin({ tls: { verify: false, ca: "ca.pem", verifyName: "target" } })), [
      "origins.api.tls.verify: is false: whoever stands between can answer, read and change everything",
      "origins.api.tls.ca: has no effect without verify",
      "origins.api.tls.verifyName: has no effect without verify",
    ]);
  });

  it("S0-09: has a policy for each name of its own, or a literal", () => {
    const about = (tls: object) => complaintsAbout(origin({ tls }));
    for (const sni of ["host", "target", "@www.example.net"]) assert.deepEqual(about({ sni }), [], sni);
    for (const verifyName of ["sni", "target", "@www.example.net"]) assert.deepEqual(about({ verifyName }), []);
    assert.deepEqual(about({ sni: "hots" }), [
      'origins.api.tls.sni: must be "host", "serverName", "target", "none" or a name after "@", e.g. "@www.example.org"',
    ]);
    for (const wrong of ["@", "@127.0.0.1", "@a b"]) assert.equal(about({ verifyName: wrong }).length, 1, wrong);
  });

  it("takes pins that are the SHA-256 of a key, and nothing else", () => {
    const about = (pin: string) => complaintsAbout(origin({ tls: { pins: [pin] } }));
    assert.deepEqual(about(authority.issue().pin), []);
    for (const wrong of ["", "abc", Buffer.alloc(31).toString("base64"), `${Buffer.alloc(32).toString("base64")} `]) {
      assert.match(about(wrong)[0] ?? "", /^origins\.api\.tls\.pins\[0\]: .* is not the base64 of 32 bytes/);
    }
  });
});

describe("what must match before a TLS connection is shared", () => {
  const about = (says: object, targets?: unknown) => complaintsAbout(origin(says, targets));
  const never = (why: string) => [
    `origins.api.match: "host" can never match: ${why}; say sni: "host", or match "hostonly"`,
  ];

  it("S0-06: Host kept from the client can never be the routed name that the session was opened for", () => {
    assert.deepEqual(
      about({ match: ["host"] }),
      never("Host is the client's, and sessions are opened for the target's own name (tls.sni: \"target\")"),
    );
    assert.deepEqual(about({ match: "both" })[0]?.startsWith('origins.api.match: "both" can never match'), true);
    for (const says of [
      { match: "host", host: "target" },
      { match: "host", host: "WWW.example.org" },
      { match: "host", tls: { sni: "host" } },
      { match: "host", host: "other.test", tls: { sni: "@other.test", verifyName: "target" } },
      { match: "hostonly" },
      { match: ["ip", "sni"] },
    ]) {
      assert.deepEqual(about(says), [], JSON.stringify(says));
    }
  });

  it("S0-06 S0-07: no name is never the name asked for", () => {
    const nameless = { match: "host", tls: { sni: "none", verifyName: "target" } };
    assert.deepEqual(about(nameless), never('sessions are opened for no name (tls.sni: "none")'));
    assert.deepEqual(
      about({ match: "host", host: "target" }, "https://127.0.0.1"),
      never("the targets are IP addresses, for which TLS sends no name"),
    );
  });

  it("S0-06: two literals that differ never match, and one for the client's Host is warned about", () => {
    const tls = { sni: "@one.test" };
    assert.deepEqual(
      about({ match: "host", host: "two.test", tls }),
      never('Host is "two.test", and sessions are opened for "one.test" (tls.sni)'),
    );
    assert.deepEqual(warningsAbout(origin({ match: "host", tls })), [
      'origins.api.match: connections are shared only by requests for "one.test", which is what sessions are opened for (tls.sni)',
    ]);
  });

  it("may be the certificate we show, and a word for one that is never shown is warned about", () => {
    const tls = { clientCertificate: WWW };
    assert.deepEqual(complaintsAbout(origin({ match: ["ip", "cert"], tls })), []);
    assert.deepEqual(warningsAbout(origin({ match: ["ip", "cert"], tls })), []);
    assert.deepEqual(warningsAbout(origin({ match: ["ip", "cert"] })), [
      'origins.api.match: "cert" adds nothing: no certificate is shown (tls.clientCertificate)',
    ]);
  });
});

describe("TLS of listeners", () => {
  it("has rules for client certificates of which each can hold", () => {
    const rules = (...clientCertificates: object[]) => listener({ clientCertificates });
    assert.deepEqual(complaintsAbout(rules({ ca: "ca.pem" }, { hosts: ["www.example.org"], ca: "ca.pem" })), [
      "listeners[0].tls.clientCertificates[0]: is for every name (it has no hosts), so those after it are never asked; put it last",
    ]);
    const hidden = rules({ hosts: ["*.example.net"], ca: "ca.pem" }, { hosts: ["a.example.net"], ca: "ca.pem" });
    assert.deepEqual(warningsAbout(hidden), [
      'listeners[0].tls.clientCertificates[1].hosts[0]: is never asked: "*.example.net" in an earlier rule takes "a.example.net"',
    ]);
  });

  it("warns of a rule for a name that none of its certificates is for", () => {
    const hosts = ["www.example.org", "a.example.net", "*.example.net", "a.b.example.net", "other.test"];
    assert.deepEqual(warningsAbout(listener({ clientCertificates: [{ hosts, ca: "ca.pem" }] })), [
      'listeners[0].tls.clientCertificates[0].hosts[3]: no certificate of this listener is for "a.b.example.net"',
      'listeners[0].tls.clientCertificates[0].hosts[4]: no certificate of this listener is for "other.test"',
    ]);
  });

  it("speaks versions that exist, each named once", () => {
    assert.deepEqual(complaintsAbout(listener({ versions: [] })), [
      "listeners[0].tls.versions: must name at least one",
    ]);
    assert.deepEqual(complaintsAbout(listener({ versions: ["1.3", "1.3"] })), [
      "listeners[0].tls.versions: names a version twice",
    ]);
    assert.equal(complaintsAbout(listener({ versions: ["1.1"] })).length, 1);
  });

  it("offers preloading only where browsers would take it", () => {
    const about = (hsts: object) => complaintsAbout(listener({ hsts }));
    assert.equal(about({ preload: true }).length, 1);
    assert.equal(about({ preload: true, includeSubDomains: true, maxAgeS: 86_400 }).length, 1);
    assert.deepEqual(about({ preload: true, includeSubDomains: true }), []);
  });

  it("is complained of in a listener beside others that are wrong", () => {
    const about = complaintsAbout({ origins: APP, listeners: [{ addres: ":1" }, { address: ":2", tls: {} }] });
    assert.ok(about.includes('listeners[0].addres: is not a setting; did you mean "address"?'), about.join("\n"));
    assert.ok(about.includes("listeners[1].tls.certificates: is missing"), about.join("\n"));
  });
});

describe("what clients and peers say of others", () => {
  it("a PROXY header is expected only where somebody may send one", () => {
    const document = { origins: APP, listeners: [{ address: ":80", proxyProtocol: true }] };
    assert.deepEqual(complaintsAbout(document), [
      "listeners[0].proxyProtocol: lets nobody in: forwarding.trustedProxies names nobody who may say whom it speaks for",
    ]);
    assert.deepEqual(complaintsAbout({ ...document, forwarding: { trustedProxies: ["10.0.0.0/8"] } }), []);
  });

  it("a client's certificate is passed on only where one is asked for", () => {
    const forwarding = { clientCertificate: true };
    assert.deepEqual(warningsAbout({ ...listener({}), forwarding }), [
      "forwarding.clientCertificate: has no effect: no listener asks clients for a certificate",
    ]);
    assert.deepEqual(warningsAbout({ ...listener({ clientCertificates: [{ ca: "ca.pem" }] }), forwarding }), []);
  });
});

describe("redirects", () => {
  it("go to a place or to the same place over TLS, not both and not neither", () => {
    const about = (redirect: object) => complaintsAbout({ routes: [{ redirect }] });
    assert.deepEqual(about({ scheme: "https" }), []);
    assert.deepEqual(about({ scheme: "https", port: 8443 }), []);
    assert.deepEqual(about({}), ["routes[0].redirect: needs either to or scheme"]);
    assert.deepEqual(about({ to: "/a", scheme: "https" }), ["routes[0].redirect: needs either to or scheme"]);
    assert.deepEqual(about({ to: "/a", port: 1 }), ["routes[0].redirect.port: has a meaning beside scheme only"]);
    assert.deepEqual(about({ scheme: "http" }), ['routes[0].redirect.scheme: must be "https"']);
  });

  it("to TLS never take what came over it, so routes behind them can match", () => {
    const beside = (...routes: object[]) => {
      const document = { ...listener({}), origins: {}, routes };
      return [...complaintsAbout(document), ...warningsAbout(document)];
    };
    const answer = { answer: {} };
    assert.deepEqual(beside({ redirect: { scheme: "https" } }, answer), []);
    assert.deepEqual(beside({ redirect: { scheme: "https" } }, { match: { scheme: "https" }, ...answer }), []);
    assert.deepEqual(beside({ redirect: { scheme: "https" } }, { match: { scheme: "http" }, ...answer }), [
      "routes[1]: can never match: routes[0] takes all of it before",
    ]);
    assert.deepEqual(beside({ match: { scheme: "https" }, redirect: { scheme: "https" } }), [
      'routes[0].match.scheme: is "https": what came over TLS is where this redirect leads',
    ]);
  });
});
