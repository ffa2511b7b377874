/**
 * Promises of the files that settings of TLS name: each flaw is said with its place in the settings, its file and its
 * reason, all at once; what is only odd is warned about.
 */
import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { checkSettings } from "../../src/config/check.js";
import { readTlsFiles, usesOf } from "../../src/config/tls-files.js";
import { describeComplaint } from "../../src/shared/errors.js";
import { daysFromNow, makeAuthority } from "../support/certificates.js";

const folder = mkdtempSync(join(tmpdir(), "millrace-files-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const root = makeAuthority("a root");
const between = root.makeIntermediate("one between");
const good = between.issue({ names: ["www.example.org"] });
const other = root.issue({ names: ["other.example.org"] });

/** Writes a file into the test's folder; its name is its path for the settings. */
function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return name;
}

const CERT = file("good.pem", good.cert);
const KEY = file("good.key", good.key);
const CA = file("ca.pem", root.cert);
const CRL = file("crl.pem", root.makeCrl([other]));

function check(certificate: object, rule?: object) {
  const clientCertificates = rule === undefined ? [] : [rule];
  const listeners = [{ address: ":443", tls: { certificates: [certificate], clientCertificates } }];
  return checkSettings({ listeners, origins: { app: { targets: "http://127.0.0.1:9000" } } }, folder);
}

/** What is wrong with a certificate or a rule, without the place in the settings and the folder. */
function wrong(certificate: object, rule?: object): readonly string[] {
  const checked = check(certificate, rule);
  return checked.ok ? [] : checked.complaints.map((one) => short(describeComplaint(one)));
}

function odd(certificate: object, rule?: object): readonly string[] {
  return check(certificate, rule).warnings.map((one) => short(describeComplaint(one)));
}

function short(line: string): string {
  return line.replace(/^listeners\[0\]\.tls\./, "").replaceAll(`${folder}/`, "");
}

describe("a certificate with its key", () => {
  it("is taken with its chain, from two files or from one, whatever the key's notation", () => {
    assert.deepEqual(wrong({ cert: CERT, key: KEY }), []);
    assert.deepEqual(odd({ cert: CERT, key: KEY }), []);
    assert.deepEqual(wrong({ cert: file("both.pem", `${good.cert}\n${good.key}`) }), []);
    const sec1 = createPrivateKey(good.key).export({ type: "sec1", format: "pem" }).toString();
    assert.deepEqual(wrong({ cert: CERT, key: file("sec1.key", `comments\r\n${sec1.replaceAll("\n", "\r\n")}`) }), []);
    const rsa = root.issue({ kind: "rsa" });
    const pkcs1 = createPrivateKey(rsa.key).export({ type: "pkcs1", format: "pem" }).toString();
    assert.deepEqual(wrong({ cert: file("rsa.pem", rsa.cert), key: file("rsa.key", pkcs1) }), []);
  });

  it("is refused with place, file and reason", () => {
    mkdirSync(join(folder, "folder"));
    const encrypted = createPrivateKey(good.key).export({
      type: "pkcs8",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "x",
    });
    const legacy = createPrivateKey(good.key).export({
      type: "sec1",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "x",
    });
    const half = good.cert.slice(0, good.cert.length / 2);
    const broken = good.leaf.replace(/\n[A-Za-z0-9+/]{8}/, "\nAAAAAAAA");
    const weak = root.issue({ kind: "rsa", rsaBits: 1024 });
    const curve = root.issue({
      key: generateKeyPairSync("ec", { namedCurve: "secp256k1" })
        .privateKey.export({ type: "pkcs8", format: "pem" })
        .toString(),
    });
    for (const [certificate, says] of [
      [{ cert: "none.pem", key: KEY }, "certificates[0].cert: none.pem: there is no such file"],
      [{ cert: "folder", key: KEY }, "certificates[0].cert: folder: is a folder"],
      [{ cert: CERT, key: "none.key" }, "certificates[0].key: none.key: there is no such file"],
      [{ cert: file("text.pem", "hello"), key: KEY }, "certificates[0].cert: text.pem: holds no certificate"],
      [{ cert: KEY, key: KEY }, "certificates[0].cert: good.key: holds no certificate, but a key"],
      [{ cert: CERT, key: CERT }, "certificates[0].cert: good.pem: holds no private key, but a certificate"],
      [{ cert: CERT }, "certificates[0].cert: good.pem: holds no private key, but a certificate"],
      [
        { cert: file("half.pem", half), key: KEY },
        "certificates[0].cert: half.pem: a PEM block in it does not end, or is not well formed",
      ],
      [
        { cert: CERT, key: file("locked.key", encrypted.toString()) },
        "certificates[0].key: locked.key: its key has a passphrase; write one without (openssl pkey)",
      ],
      [
        { cert: CERT, key: file("legacy.key", legacy.toString()) },
        "certificates[0].key: legacy.key: its key has a passphrase; write one without (openssl pkey)",
      ],
      [
        { cert: CERT, key: file("other.key", other.key) },
        "certificates[0].key: other.key: does not belong to the certificate in good.pem (CN=www.example.org)",
      ],
      [
        { cert: file("weak.pem", weak.cert), key: file("weak.key", weak.key) },
        "certificates[0].cert: weak.pem: has an RSA key of 1024 bits; it must have 2048 at least",
      ],
      [
        { cert: file("curve.pem", curve.cert), key: file("curve.key", curve.key) },
        "certificates[0].cert: curve.pem: has a key of kind EC secp256k1; it must be RSA, EC P-256, P-384, P-521 or Ed25519",
      ],
      [
        { cert: file("order.pem", good.leaf + root.cert + between.cert), key: KEY },
        "certificates[0].cert: order.pem: its certificate 1 (CN=www.example.org) was not issued by the next (CN=a root); the order is the certificate itself, then its issuer, then that one's",
      ],
    ] as const) {
      assert.deepEqual(wrong(certificate), [says]);
    }
    const [unread = ""] = wrong({ cert: file("broken.pem", broken), key: KEY });
    assert.match(unread, /^certificates\[0\]\.cert: broken\.pem: its certificate 1 cannot be read: ./);
  });

  it("is warned about when it is over, not begun, or for nobody", () => {
    const issue = (name: string, options: Parameters<typeof root.issue>[0]) => {
      const made = root.issue(options).writeTo(folder, name);
      return { cert: made.cert, key: made.key };
    };
    const over = issue("over", { notBefore: new Date("2020-01-01"), notAfter: new Date("2021-01-01") });
    assert.deepEqual(odd(over), ["certificates[0].cert: over.pem: expired on 2021-01-01"]);
    assert.deepEqual(wrong(over), []);
    const soon = issue("soon", { notBefore: new Date("2049-01-01"), notAfter: new Date("2052-01-01") });
    assert.deepEqual(odd(soon), ["certificates[0].cert: soon.pem: is not valid before 2049-01-01"]);
    assert.deepEqual(odd(issue("nobody", { names: [] })), [
      "certificates[0].cert: nobody.pem: is for no name (it has no subjectAltName), so clients refuse it",
    ]);
    const old = root.makeIntermediate("an old one", { notBefore: daysFromNow(-9), notAfter: daysFromNow(-5) });
    const under = old.issue().writeTo(folder, "under");
    assert.match(odd(under)[0] ?? "", /under\.pem: certificate 2 \(CN=an old one\) expired on /);
  });
});

describe("authorities and lists of revoked certificates", () => {
  const about = (rule: object) => wrong({ cert: CERT, key: KEY }, rule);

  it("are taken from one file or several", () => {
    assert.deepEqual(about({ ca: CA, crl: CRL }), []);
    assert.deepEqual(
      about({ ca: [CA, file("second.pem", between.cert)], crl: [CRL, file("empty.pem", between.makeCrl([]))] }),
      [],
    );
  });

  it("are refused with place, file and reason, both at once", () => {
    const mangled = root.makeCrl([other]).replace(/\n[A-Za-z0-9+/]{12}/, "\nAAAAAAAAAAAA");
    assert.deepEqual(about({ ca: CRL, crl: CA }), [
      "clientCertificates[0].ca: crl.pem: holds no certificate",
      'clientCertificates[0].crl: ca.pem: holds no list of revoked certificates ("BEGIN X509 CRL")',
    ]);
    const [said = ""] = about({ ca: [CA], crl: [CRL, file("mangled.pem", mangled)] });
    assert.match(said, /^clientCertificates\[0\]\.crl\[1\]: mangled\.pem: its list 1 cannot be read: ./);
  });

  it("are warned about when they could vouch for nobody", () => {
    assert.deepEqual(odd({ cert: CERT, key: KEY }, { ca: file("leaf.pem", other.leaf) }), [
      "clientCertificates[0].ca: leaf.pem: certificate 1 (CN=other.example.org) is no authority's: it issues nothing",
    ]);
  });
});

describe("files", () => {
  it("are complained of together with everything else that is wrong, each once however often it is named", () => {
    const listeners = ["a", "b"].map((name) => ({
      name,
      address: ":0",
      tls: { certificates: [{ cert: "gone.pem", key: "gone.key" }] },
    }));
    const checked = checkSettings(
      { listeners, workrs: 1, origins: { app: { targets: "https://a", tls: { ca: "no.pem" } } } },
      folder,
    );
    assert.ok(!checked.ok);
    assert.deepEqual(
      checked.complaints.map(describeComplaint).sort(),
      [
        `listeners[0].tls.certificates[0].cert: ${folder}/gone.pem: there is no such file`,
        `origins.app.tls.ca: ${folder}/no.pem: there is no such file`,
        'workrs: is not a setting; did you mean "workers"?',
      ].sort(),
    );
  });

  it("that are good are handed on beside those that are not", () => {
    const certificates = [
      { cert: CERT, key: KEY },
      { cert: "gone.pem", key: KEY },
    ].map(({ cert, key }) => ({
      cert: join(folder, cert),
      key: join(folder, key),
    }));
    const uses = usesOf({ listeners: [{ address: ":0", tls: { certificates } }], origins: {} });
    const { material, complaints } = readTlsFiles(uses);
    assert.deepEqual(
      [...material.pairs.values()].map((pair) => [pair.file, pair.certificates.length, pair.chain]),
      [[join(folder, CERT), 2, good.cert]],
    );
    assert.equal(complaints.length, 1);
  });
});
