/**
 * Promises of TLS in the plan: what settings and files compile to, field for field, and that the core decodes it.
 */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { checkSettings } from "../../src/config/check.js";
import { compilePlan, encodePlan } from "../../src/config/plan.js";
import type { Plan } from "../../src/config/plan-types.js";
import type { SettingsInput } from "../../src/config/settings.js";
import { readTlsFiles, usesOf } from "../../src/config/tls-files.js";
import { loadNative } from "../../src/native.js";
import { makeAuthority } from "../support/certificates.js";

const folder = mkdtempSync(join(tmpdir(), "millrace-plan-tls-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const root = makeAuthority("a root");
const names = ["www.example.org"];
const second = makeAuthority("another root");
const between = root.makeIntermediate("one between");
const www = between.issue({ names });
const shown = root.issue({ names: ["edge.example.org"], client: true });
const files = {
  www: www.writeTo(folder, "www"),
  shown: shown.writeTo(folder, "shown"),
  root: root.writeTo(folder, "root"),
  second: second.writeTo(folder, "second"),
  crl: join(folder, "crl.pem"),
};
writeFileSync(files.crl, root.makeCrl([shown]));

/** The plan of settings that must be right, for one worker; the core has decoded it. */
function planOf(input: SettingsInput, names: Readonly<Record<string, readonly string[]>> = {}): Plan {
  const checked = checkSettings(input, folder);
  assert.ok(checked.ok, JSON.stringify(checked));
  const { material } = readTlsFiles(usesOf(checked.settings));
  const plan = compilePlan(checked.settings, { workers: 1, addresses: new Map(Object.entries(names)), material });
  loadNative().checkPlan(encodePlan(plan));
  return plan;
}

const APP = { app: { targets: "http://127.0.0.1:9000" } };

describe("TLS of a listener in the plan", () => {
  it("is absent where there is none, and so is the PROXY header", () => {
    const plan = planOf({ listeners: [{ address: ":0", tls: false }], origins: APP });
    assert.deepEqual(plan.listeners, [{ name: "main", address: "0.0.0.0", port: 0, backlog: 4096 }]);
    assert.ok(!("clientCertificate" in plan.forwarding));
  });

  it("is certificates and keys as text, the first for everybody else, and defaults", () => {
    const plan = planOf({ listeners: [{ address: ":0", tls: { certificates: [files.www] } }], origins: APP });
    assert.deepEqual(plan.listeners[0]?.tls, {
      certificates: [{ label: files.www.cert, chain: www.cert, key: www.key }],
      fallback: 0,
      minVersion: "1.2",
      maxVersion: "1.3",
      alpn: ["h2", "http/1.1", "http/1.0"],
      tickets: true,
      handshakeMs: 10_000,
      hostPolicy: "refuse",
      clientAuth: [],
      hsts: "",
    });
  });

  it("has keys of every kind and notation that the checks let pass, and the core takes them all", () => {
    const keys = [
      generateKeyPairSync("ec", { namedCurve: "P-384" }),
      generateKeyPairSync("ec", { namedCurve: "P-521" }),
      generateKeyPairSync("ed25519"),
      generateKeyPairSync("rsa", { modulusLength: 3072 }),
    ].map(({ privateKey }) => privateKey);
    const certificates = keys.map((key, n) => {
      const issued = root.issue({ names, key: key.export({ type: "pkcs8", format: "pem" }).toString() });
      return issued.writeTo(folder, `kind-${n}`);
    });
    for (const [n, type] of ["sec1", "sec1", "pkcs8", "pkcs1"].entries()) {
      const own = keys[n]?.export({ type: type as "pkcs8", format: "pem" }) ?? "";
      writeFileSync(certificates[n]?.key ?? "", own);
    }
    const plan = planOf({ listeners: [{ address: ":0", tls: { certificates } }], origins: APP });
    assert.equal(plan.listeners[0]?.tls?.certificates.length, keys.length);
  });

  it("S0-20: carries every policy for names, rules for client certificates, and what else is said", () => {
    for (const hostPolicy of ["ignore", "warn", "refuse"] as const) {
      const plan = planOf({
        listeners: [
          {
            address: ":0",
            proxyProtocol: true,
            tls: {
              certificates: [files.www],
              fallback: "refuse",
              versions: ["1.3"],
              tickets: false,
              handshakeMs: 500,
              hostPolicy,
              hsts: { maxAgeS: 63_072_000, includeSubDomains: true, preload: true },
              clientCertificates: [
                { hosts: ["WWW.example.org"], ca: [files.root, files.second], crl: files.crl },
                { required: false, ca: files.second },
              ],
            },
          },
        ],
        forwarding: { trustedProxies: ["10.0.0.0/8"], clientCertificate: true },
        origins: APP,
      });
      const [listener] = plan.listeners;
      assert.equal(listener?.proxyProtocol, true);
      assert.equal(plan.forwarding.clientCertificate, true);
      assert.deepEqual(listener?.tls, {
        certificates: [{ label: files.www.cert, chain: www.cert, key: www.key }],
        fallback: null,
        minVersion: "1.3",
        maxVersion: "1.3",
        alpn: ["h2", "http/1.1", "http/1.0"],
        tickets: false,
        handshakeMs: 500,
        hostPolicy,
        clientAuth: [
          {
            hosts: ["www.example.org"],
            required: true,
            ca: root.cert + second.cert,
            crl: listener?.tls?.clientAuth[0]?.crl,
          },
          { hosts: [], required: false, ca: second.cert, crl: "" },
        ],
        hsts: "max-age=63072000; includeSubDomains; preload",
      });
      assert.match(
        listener?.tls?.clientAuth[0]?.crl ?? "",
        /^-----BEGIN X509 CRL-----\n[^-]+-----END X509 CRL-----\n$/,
      );
    }
  });
});

describe("the core's own look at TLS in the plan", () => {
  it("refuses what does not fit, beginning with its place in the settings", () => {
    const certificates = [files.www, files.shown];
    const plan = planOf({ listeners: [{ address: ":0", tls: { certificates } }], origins: APP });
    const [listener] = plan.listeners;
    const tls = listener?.tls;
    assert.ok(tls !== undefined);
    const [first, second] = tls.certificates;
    assert.ok(first !== undefined && second !== undefined);
    const swapped = { ...tls, certificates: [first, { ...second, key: first.key }] };
    const document = encodePlan({ ...plan, listeners: [{ ...listener, tls: swapped } as typeof listener] } as Plan);
    assert.throws(() => loadNative().checkPlan(document), /listeners\[0\]\.tls\.certificates\[1\]/);
  });
});

describe("TLS to an origin in the plan", () => {
  const tlsOf = (tls: object) => planOf({ origins: { api: { targets: "https://127.0.0.1", tls } } }).origins[0]?.tls;

  it("is absent for http://, and verifies by the system's authorities for https://", () => {
    assert.equal(planOf({ origins: APP }).origins[0]?.tls, undefined);
    const plan = planOf({ origins: { api: { targets: "https://127.0.0.1" } } });
    assert.deepEqual(plan.origins[0]?.tls, {
      systemRoots: true,
      roots: "",
      verify: true,
      sni: { kind: "target" },
      verifyName: { kind: "sni" },
      certificate: null,
      minVersion: "1.2",
      maxVersion: "1.3",
      alpn: ["http/1.1"],
      pins: [],
      handshakeMs: 10_000,
    });
  });

  it("S0-09: sends and verifies the names that are configured, each where it belongs", () => {
    const names = (tls: object) => {
      const { sni, verifyName } = tlsOf(tls) ?? {};
      return [sni, verifyName];
    };
    const served = { listeners: [{ address: ":0", tls: { certificates: [files.www] } }] };
    assert.deepEqual(names({ sni: "host" }), [{ kind: "host" }, { kind: "sni" }]);
    assert.deepEqual(names({ sni: "host", verifyName: "target" }), [{ kind: "host" }, { kind: "target" }]);
    assert.deepEqual(names({ sni: "none", verifyName: "@A.test" }), [
      { kind: "none" },
      { kind: "literal", value: "a.test" },
    ]);
    assert.deepEqual(names({ sni: "@B.test" }), [{ kind: "literal", value: "b.test" }, { kind: "sni" }]);
    const byClient = { api: { targets: "https://127.0.0.1", tls: { sni: "serverName" } } };
    assert.deepEqual(planOf({ ...served, origins: byClient }).origins[0]?.tls?.sni, { kind: "serverName" });
  });

  it("carries authorities, our certificate, pins and versions", () => {
    const pins = [www.pin, shown.pin];
    const tls = { ca: files.root, systemRoots: false, clientCertificate: files.shown, versions: ["1.2"], pins };
    const plan = tlsOf(tls);
    assert.deepEqual(plan?.certificate, { label: files.shown.cert, chain: shown.cert, key: shown.key });
    assert.deepEqual([plan?.roots, plan?.systemRoots, plan?.pins], [root.cert, false, pins]);
    assert.deepEqual([plan?.minVersion, plan?.maxVersion], ["1.2", "1.2"]);
  });

  it("gives targets the name their certificate is for, whatever address they have", () => {
    const origins = { api: { targets: ["https://WWW.example.org:8443", "https://[::1]"] }, plain: APP.app };
    const routes = [{ forwardTo: "api" }];
    const plan = planOf({ origins, routes }, { "WWW.example.org": ["192.0.2.1", "192.0.2.2"] });
    const common = { weight: 1, tier: 0 };
    const label = "www.example.org:8443";
    assert.deepEqual(plan.origins[0]?.targets, [
      { label, address: "192.0.2.1", port: 8443, ...common, name: "www.example.org" },
      { label, address: "192.0.2.2", port: 8443, ...common, name: "www.example.org" },
      { label: "[::1]:443", address: "::1", port: 443, ...common, name: "::1" },
    ]);
    assert.ok(plan.origins[1]?.targets.every((target) => !("name" in target)));
  });

  it("reaches by TLS what a route escalates to over https", () => {
    const routes = [{ forwardTo: "app", escalate: [{ on: ["connect_refused" as const], to: "https://127.0.0.1" }] }];
    const plan = planOf({ origins: APP, routes });
    assert.deepEqual(
      plan.origins.map(({ name, tls }) => [name, tls?.verify]),
      [
        ["app", undefined],
        ["127.0.0.1:443", true],
      ],
    );
  });
});

describe("a redirect to TLS in the plan", () => {
  it("is for what did not come over TLS, and other routes are for both unless they say a scheme", () => {
    const answer = { body: "hello" };
    const routes = [
      { redirect: { scheme: "https" } },
      { match: { scheme: "https" }, answer },
      { match: { scheme: "http" }, answer },
      { answer },
    ] as const;
    const { routes: compiled } = planOf({ routes });
    assert.deepEqual(
      compiled.map((route) => route.secure),
      [false, true, false, undefined],
    );
  });

  it("keeps name and path and leaves the port of the plain listener behind", () => {
    const locationOf = (redirect: { scheme: "https"; port?: number }) => {
      const action = planOf({ routes: [{ redirect }] }).routes[0]?.action;
      return action?.kind === "redirect" ? [action.status, action.location] : null;
    };
    assert.deepEqual(locationOf({ scheme: "https" }), [308, "https://{name}{path}"]);
    assert.deepEqual(locationOf({ scheme: "https", port: 443 }), [308, "https://{name}{path}"]);
    assert.deepEqual(locationOf({ scheme: "https", port: 8443 }), [308, "https://{name}:8443{path}"]);
  });
});
