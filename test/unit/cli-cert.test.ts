/**
 * Promises of the command line about TLS: what `check` and `cert` say and exit with, that no command ever prints a key, and
 * that SIGHUP reads certificates again. Each test runs the real program.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { describeCertificates } from "../../src/cli/cert.js";
import type { CertificatesReport } from "../../src/control/certificate-report.js";
import { daysFromNow, makeAuthority } from "../support/certificates.js";

const PROGRAM = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "millrace-cert-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The settings are not in the working directory: relative paths begin at them. */
const below = join(folder, "etc");
mkdirSync(below);
const root = makeAuthority("a root");
root.writeTo(below, "ca");
const www = root.issue({ names: ["www.example.org", "*.example.net"], notAfter: daysFromNow(50) });
www.writeTo(below, "www");
root.issue({ kind: "rsa", names: ["www.example.org"], notAfter: daysFromNow(60.5) }).writeTo(below, "rsa");
const shown = root.issue({ names: ["edge.example.org"], client: true });
shown.writeTo(below, "shown");
writeFileSync(join(below, "crl.pem"), root.makeCrl([]));

const TLS = {
  certificates: [
    { cert: "www.pem", key: "www.key" },
    { cert: "rsa.pem", key: "rsa.key" },
  ],
  clientCertificates: [{ hosts: ["a.example.net"], ca: "ca.pem", crl: "crl.pem" }],
};
const GOOD = {
  workers: 1,
  listeners: ["127.0.0.1:0", { name: "secure", address: "127.0.0.1:0", tls: TLS }],
  origins: {
    app: { targets: "https://127.0.0.1:1", tls: { clientCertificate: { cert: "shown.pem", key: "shown.key" } } },
  },
  routes: [{ match: { path: "/app" }, forwardTo: "app" }, { answer: { body: "hello" } }],
};

function settings(name: string, document: object): string {
  const path = join(below, name);
  writeFileSync(path, JSON.stringify(document));
  return path;
}

function start(options: readonly string[]): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !/^MILLRACE_(?!NATIVE_PATH)/.test(name));
  return spawn(process.execPath, [PROGRAM, ...options], { cwd: folder, env: Object.fromEntries(inherited) });
}

async function millrace(...options: readonly string[]) {
  const child = start(options);
  let [out, err] = ["", ""];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (err += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

describe("millrace cert", () => {
  it("prints names, issuer, key, end, days left and chain of what each listener would serve, and the fallback", async () => {
    const { code, out, err } = await millrace("cert", "-c", settings("good.json", GOOD));
    assert.equal(err, "");
    assert.equal(code, 0);
    const lines = out.trimEnd().split("\n");
    assert.equal(
      lines[0],
      "listener secure (127.0.0.1:0), TLS 1.2 and 1.3; clients that no certificate is for get the certificate marked *",
    );
    const day = daysFromNow(50).toISOString().slice(0, 10);
    assert.match(
      lines[2] ?? "",
      new RegExp(`^ {2}\\* www\\.example\\.org \\*\\.example\\.net +EC P-256 +CN=a root +${day} +49 +1 +.*www\\.pem$`),
    );
    assert.match(lines[3] ?? "", /^ {2}www\.example\.org +RSA 2048 +CN=a root +\S+ +60 +1 +\S+rsa\.pem$/);
    assert.match(
      lines[4] ?? "",
      /^ {2}clients must show a certificate for a\.example\.net, issued by CN=a root, unless/,
    );
    assert.match(out, /^origin app is shown\n.*\n {2}edge\.example\.org /m);
  });

  it("prints the same as JSON, with the keys of no certificate", async () => {
    const { code, out } = await millrace("cert", "--json", "-c", settings("good.json", GOOD));
    assert.equal(code, 0);
    const report = JSON.parse(out) as CertificatesReport;
    assert.deepEqual(
      report.listeners.map(({ listener, certificates }) => [listener, certificates.map((one) => one.isFallback)]),
      [["secure", [true, false]]],
    );
    assert.equal(report.origins[0]?.certificate.file, join(below, "shown.pem"));
    assert.doesNotMatch(out, /PRIVATE KEY/);
  });

  it("exits with 1 when one has expired, so that a timer can watch over them", async () => {
    const old = root.issue({ notBefore: daysFromNow(-9), notAfter: daysFromNow(-2) });
    old.writeTo(below, "old");
    const tls = { certificates: [{ cert: "old.pem", key: "old.key" }], fallback: "refuse" };
    const path = settings("old.json", { ...GOOD, listeners: [{ address: "127.0.0.1:0", tls }] });
    const { code, out, err } = await millrace("cert", "-c", path);
    assert.equal(code, 1);
    assert.match(out, /clients that no certificate is for are refused\n/);
    assert.match(out, / expired +1 +/);
    assert.match(err, /^warning: listeners\[0\]\.tls\.certificates\[0\]\.cert \(line \d+\): .*old\.pem: expired on /);
  });

  it("exits with 78 and every complaint when the settings or files are wrong", async () => {
    const tls = { certificates: [{ cert: "www.pem", key: "shown.key" }, { cert: "none.pem" }] };
    const path = settings("bad.json", { ...GOOD, listeners: [{ address: "127.0.0.1:0", tls }] });
    for (const command of [["cert"], ["check", "--offline"]]) {
      const { code, out, err } = await millrace(...command, "-c", path);
      assert.deepEqual([code, out], [78, ""]);
      assert.match(
        err,
        /listeners\[0\]\.tls\.certificates\[0\]\.key \(line \d+\): \S+shown\.key: does not belong to the certificate in/,
      );
      assert.match(
        err,
        /listeners\[0\]\.tls\.certificates\[1\]\.cert \(line \d+\): \S+none\.pem: there is no such file/,
      );
    }
  });

  it("says so when there is nothing to print", () => {
    assert.deepEqual(describeCertificates({ listeners: [], origins: [] }), [
      "no listener has TLS, and no origin is shown a certificate",
    ]);
  });
});

describe("settings with TLS", () => {
  it("are printed with absolute paths and without any key", async () => {
    const { code, out } = await millrace("print-config", "--json", "-c", settings("good.json", GOOD));
    assert.equal(code, 0);
    assert.match(out, new RegExp(`"cert":"${join(below, "www.pem")}"`));
    assert.doesNotMatch(out, /BEGIN|PRIVATE/);
    const again = await millrace("check", "--offline", "-c", settings("printed.json", JSON.parse(out) as object));
    assert.equal(again.code, 0, again.err);
  });

  it("are run: a listener is announced as https, and SIGHUP takes what the files hold by then", async () => {
    const child = start(["run", "-c", settings("good.json", GOOD)]);
    try {
      let said = "";
      child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
      const port = await new Promise<number>((resolve, reject) => {
        child.stderr?.on("data", () => {
          const found = /listening on http:\/\/127\.0\.0\.1:\d+, https:\/\/127\.0\.0\.1:(\d+) /.exec(said)?.[1];
          if (found !== undefined) resolve(Number(found));
        });
        child.once("close", (code) => reject(new Error(`it ended with ${code}: ${said}`)));
      });
      assert.equal(await serialServed(port), serialOf(www.leaf));
      const next = root.issue({ names: ["www.example.org"] });
      next.writeTo(below, "www");
      child.kill("SIGHUP");
      for (let n = 0; !said.includes("certificates were reloaded") && n < 500; n++) await sleep(10);
      assert.equal(await serialServed(port), serialOf(next.leaf));
      assert.doesNotMatch(said, /PRIVATE KEY/);
    } finally {
      child.kill("SIGTERM");
    }
    assert.deepEqual(await once(child, "close"), [0, null]);
  });
});

function serialOf(pem: string): string {
  return new X509Certificate(pem).serialNumber;
}

/** The serial number of the certificate that a client gets which asks for www.example.org and verifies it. */
async function serialServed(port: number): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port, servername: "www.example.org", ca: root.cert });
  await once(socket, "secureConnect");
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}
