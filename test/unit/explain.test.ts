/**
 * Promises about what the control plane tells: requests to be explained, the command of curl, connections gathered from
 * workers, and how commands lay it out.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { promisify } from "node:util";
import { describeConnections } from "../../src/cli/connections.js";
import { describeExplanation } from "../../src/cli/explain.js";
import { describeOrigins } from "../../src/cli/origins.js";
import { columns, outline } from "../../src/cli/table.js";
import { checkSettings } from "../../src/config/check.js";
import { ConnectionGatherer } from "../../src/control/connections.js";
import { curlCommand, curlTls, readExplanation } from "../../src/control/curl-command.js";
import { type CoreExplanation, encodeHead, parseExplainInput } from "../../src/control/explain.js";
import { type Issued, makeAuthority } from "../support/certificates.js";
import { FakeTargets } from "../support/fake-targets.js";
import { missing } from "../support/peers.js";

const folder = mkdtempSync(join(tmpdir(), "millrace-explain-"));
after(() => rmSync(folder, { recursive: true, force: true }));

describe("a request to be explained", () => {
  it("keeps its path as it is written, and takes Host from its fields first", () => {
    assert.deepEqual(parseExplainInput({ url: "HTTP://a.example:81/x/../%2e?q#".replace("#", "") }), {
      method: "GET",
      isSecure: false,
      host: "a.example:81",
      path: "/x/../%2e?q",
      headers: [],
      clientAddress: "127.0.0.1",
    });
    const input = {
      url: "http://[::1]",
      method: "PUT",
      headers: { HOST: "b.example", A: " c " },
      clientAddress: "::1",
    };
    assert.deepEqual(parseExplainInput(input), {
      method: "PUT",
      isSecure: false,
      host: "b.example",
      path: "/",
      headers: [["A", "c"]],
      clientAddress: "::1",
    });
    assert.equal(parseExplainInput({ url: "http://a?b" }).path, "/?b");
  });

  it("is given to the core as a client would write it", () => {
    const request = parseExplainInput({ url: "http://a.example/x/../y?q", method: "PUT", headers: { "X-A": "é" } });
    const head = "PUT /x/../y?q HTTP/1.1\r\nHost: a.example\r\nX-A: é\r\n\r\n";
    assert.equal(Buffer.from(encodeHead(request)).toString("utf8"), head);
  });

  it("is refused with what is wrong", () => {
    const url = "http://a/";
    for (const [input, says] of [
      [null, /must be an object/],
      [{}, /^url: /],
      [{ url: "/x" }, /^url: /],
      [{ url: "http://u@a/" }, /^url: /],
      [{ url: "http://a/ b" }, /^url: /],
      [{ url, method: "GE T" }, /^method: /],
      [{ url, clientAddress: "a" }, /^clientAddress: /],
      [{ url, clientAddress: "fe80::1%eth0" }, /^clientAddress: /],
      [{ url, headers: [["a"]] }, /^headers: must be/],
      [{ url, headers: "a: b" }, /^headers: must be/],
      [{ url, headers: { "a b": "c" } }, /^headers: "a b" is not a field name/],
      [{ url, headers: { a: "b\r\nc: d" } }, /^headers: the value of a/],
      [{ url, header: [] }, /"header" is not known/],
    ] as const) {
      assert.throws(
        () => parseExplainInput(input),
        { code: "MILLRACE_ARGUMENT", message: says },
        JSON.stringify(input),
      );
    }
  });
});

function explanation(more: Partial<CoreExplanation> = {}): CoreExplanation {
  return {
    route: "all",
    action: "forward",
    request: { method: "GET", path: "/a/../b?c='d'", host: "www.example.org", headers: [["X-A", "it's"]] },
    target: { label: "app.internal:8080", address: "fd00::7", port: 8080 },
    timeouts: { connectMs: 1500 },
    ...more,
  };
}

describe("S1-05 the equivalent curl command", () => {
  it("asks the same target by its name, with the same Host, path and fields", () => {
    assert.equal(
      curlCommand(explanation(), null),
      "curl -v --http1.1 --path-as-is --resolve 'app.internal:8080:[fd00::7]' --connect-timeout 1.5 " +
        "-H 'Host: www.example.org' -H 'X-A: it'\\''s' 'http://app.internal:8080/a/../b?c='\\''d'\\'''",
    );
  });

  it("is the same for targets written as v4, v6, loopback or remote address", () => {
    const request = { method: "HEAD", path: "/", host: "h" };
    for (const [label, address] of [
      ["127.0.0.1:80", "127.0.0.1"],
      ["[::1]:80", "::1"],
      ["192.0.2.1:80", "192.0.2.1"],
      ["[2001:db8::1]:80", "2001:db8::1"],
    ] as const) {
      const command = curlCommand(explanation({ request, timeouts: {}, target: { label, address, port: 80 } }), null);
      const place = `http://${label}/`;
      const word = label.startsWith("[") ? `'${place}'` : place;
      assert.equal(command, `curl -v --http1.1 --path-as-is -I -H 'Host: h' ${word}`);
    }
  });

  it("is none where nothing would be forwarded", () => {
    assert.equal(curlCommand(explanation({ target: null }), null), null);
    assert.equal(readExplanation('{"route":null,"action":"none"}', () => null).curl, null);
  });

  it("works in a shell, and the origin sees what the proxy would send", { skip: missing("curl") }, async (t) => {
    const seen: unknown[] = [];
    const origin = createServer((request, response) => {
      const { host, "x-a": field, "x-empty": empty } = request.headers;
      seen.push([request.method, request.url, host, field, empty]);
      response.end("ok");
    });
    t.after(() => origin.close());
    origin.listen(0, "127.0.0.1");
    await once(origin, "listening");
    const { port } = origin.address() as AddressInfo;
    const target = { label: `app.internal:${port}`, address: "127.0.0.1", port };
    const fields = [
      ["X-A", "it's $HOME"],
      ["X-Empty", ""],
      ["Content-Length", "5"],
    ] as const;
    const request = { method: "PUT", path: "/a/../b?c='d'&e", host: "www.example.org", headers: fields };
    const command = curlCommand(explanation({ request, target }), null) ?? "";
    const { stdout } = await promisify(execFile)("sh", ["-c", command.replace("curl -v", "curl -sS")]);
    assert.equal(stdout, "ok");
    assert.deepEqual(seen, [["PUT", "/a/../b?c='d'&e", "www.example.org", "it's $HOME", ""]]);
  });
});

describe("S1-05 the equivalent curl command of a target reached by TLS", () => {
  const SAID = { sni: "app.internal", verifyName: "app.internal", verify: true, minVersion: "1.2", maxVersion: "1.3" };
  const PLACE = "--resolve app.internal:8443:192.0.2.7 https://app.internal:8443/";

  /** The command for an origin with these settings of TLS, of which the core says this, without what is always the same. */
  function commandFor(tls: object, said: Partial<typeof SAID> = {}, address = "192.0.2.7"): string {
    const checked = checkSettings({ origins: { app: { targets: "https://app.internal:8443", tls } } }, folder);
    assert.ok(checked.ok, JSON.stringify(checked));
    const request = { method: "GET", path: "/", host: "www.example.org" };
    const target = { label: "app.internal:8443", address, port: 8443 };
    const explained = explanation({ origin: "app", request, timeouts: {}, target, tls: { ...SAID, ...said } });
    const command = curlCommand(explained, curlTls(checked.settings, explained)) ?? "";
    return command
      .replace("curl -v --http1.1 --path-as-is ", "")
      .replace("-H 'Host: www.example.org' ", "")
      .replaceAll(`${folder}/`, "");
  }

  it("asks for the name that the proxy would ask for, at the address it would take", () => {
    assert.equal(commandFor({}), PLACE);
    const other = commandFor({}, { sni: "x.test", verifyName: "x.test" });
    assert.equal(other, "--resolve x.test:8443:192.0.2.7 https://x.test:8443/");
    assert.equal(commandFor({}, { sni: "", verifyName: "192.0.2.7" }), "https://192.0.2.7:8443/");
    const six = commandFor({}, { sni: "", verifyName: "2001:db8::1" }, "2001:db8::1");
    assert.equal(six, "'https://[2001:db8::1]:8443/'");
  });

  it("trusts, shows and pins what the proxy would, and checks no name that curl cannot", () => {
    const root = makeAuthority("a root");
    root.writeTo(folder, "ca");
    const issued = root.issue();
    issued.writeTo(folder, "us");
    assert.equal(commandFor({ ca: "ca.pem" }), `--cacert ca.pem ${PLACE}`);
    assert.equal(commandFor({}, { verifyName: "x.test" }), `-k ${PLACE}`);
    assert.equal(commandFor({ ca: "ca.pem" }, { verify: false }), `-k ${PLACE}`);
    const clientCertificate = { cert: "us.pem", key: "us.key" };
    assert.equal(commandFor({ clientCertificate }), `--cert us.pem --key us.key ${PLACE}`);
    assert.equal(commandFor({ clientCertificate: { cert: both(issued) } }), `--cert both.pem --key both.pem ${PLACE}`);
    assert.equal(commandFor({ pins: [issued.pin] }).split(" ")[0], "--pinnedpubkey");
    assert.equal(commandFor({}, { maxVersion: "1.2" }), `--tls-max 1.2 ${PLACE}`);
    assert.equal(commandFor({}, { minVersion: "1.3" }), `--tlsv1.3 ${PLACE}`);
  });

  function both({ cert, key }: Issued): string {
    writeFileSync(join(folder, "both.pem"), cert + key);
    return "both.pem";
  }

  it("says nothing of TLS where the core says nothing", () => {
    const checked = checkSettings({ origins: { app: { targets: "http://127.0.0.1" } } });
    assert.ok(checked.ok);
    assert.equal(curlTls(checked.settings, explanation({ origin: "app" })), null);
  });
});

describe("a request over TLS to be explained", () => {
  it("is told to the core by its scheme, and by nothing else", () => {
    const head = (url: string, method = "GET") =>
      Buffer.from(encodeHead(parseExplainInput({ url, method, headers: { Host: "b.test" } }))).toString();
    assert.equal(head("https://a.test/x?y"), "GET https://b.test/x?y HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert.equal(head("HTTPS://a.test"), "GET https://b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n");
    assert.equal(head("http://a.test/x"), "GET /x HTTP/1.1\r\nHost: b.test\r\n\r\n");
  });
});

describe("connections gathered from workers", () => {
  it("are complete when each has answered once; strays and doubles are left out", async () => {
    const gatherer: ConnectionGatherer = new ConnectionGatherer((ticket) => {
      gatherer.handleNote({ ticket, worker: 1, clients: [{ a: 1 }], origins: [] });
      gatherer.handleNote({ ticket: ticket + 9, worker: 0, clients: [], origins: [] });
      gatherer.handleNote({ ticket, worker: 7, clients: [], origins: [] });
      setImmediate(() => gatherer.handleNote({ ticket, worker: 0, clients: [], origins: [{ b: 2 }, {}] }));
    }, 60_000);
    const { workers, silent } = await gatherer.gather(2);
    assert.deepEqual(silent, []);
    assert.deepEqual(workers, [
      { worker: 0, clients: [], origins: [{ b: 2 }, {}] },
      { worker: 1, clients: [{ a: 1 }], origins: [] },
    ]);
  });

  it("name the worker that did not answer in time", async () => {
    const gatherer: ConnectionGatherer = new ConnectionGatherer((ticket) => {
      gatherer.handleNote({ ticket, worker: 0, clients: [], origins: [] });
    }, 20);
    assert.deepEqual((await gatherer.gather(3)).silent, [1, 2]);
  });
});

describe("what commands print", () => {
  it("is aligned in columns, and nested values are outlined", () => {
    assert.deepEqual(
      columns([
        ["A", "BB"],
        ["ccc", "d"],
      ]),
      ["A    BB", "ccc  d"],
    );
    assert.deepEqual(outline({ a: 1, b: { c: null, d: ["x", 2] }, e: [{ f: 1, g: 2 }, { f: 3 }], h: [], i: {} }), [
      "a: 1",
      "b:",
      "  c: none",
      "  d: x, 2",
      "e:",
      "  - f: 1",
      "    g: 2",
      "  - f: 3",
      "h: none",
      "i: none",
    ]);
  });

  it("explains a request with the command last", () => {
    const lines = describeExplanation({ ...explanation(), identity: "10.0.0.1:80 plain", curl: "curl x" });
    assert.deepEqual(lines, [
      "route: all",
      "action: forward",
      "target:",
      "  label: app.internal:8080",
      "  address: fd00::7",
      "  port: 8080",
      "timeouts:",
      "  connectMs: 1500",
      "identity: 10.0.0.1:80 plain",
      "the origin would see:",
      "  GET /a/../b?c='d'",
      "  Host: www.example.org",
      "  X-A: it's",
      "by hand:",
      "  curl x",
    ]);
  });

  it("shows each target with its state and why, and names that fail", () => {
    const core = new FakeTargets();
    core.add("app");
    const history = [{ at: "", from: "up" as const, to: "down" as const, reason: "3 requests failed" }];
    const health = { state: "down" as const, downForMs: 5, checksInRow: 0, failuresInRow: 0, falls: 1 };
    const target = { ...core.at(0), succeeded: 7, failedTcp: 2, failedBroken: 1, latencyMicros: 1500 };
    const report = { ...target, health: { ...health, lastTrouble: null, lastCheckMicros: null, history } };
    const policy = { check: null, passive: { level: 4 as const, failures: 3, windowMs: 0, downMs: 1, downMsMax: 1 } };
    const lines = describeOrigins({
      origins: [
        { name: "app", unresolved: null, policy: { ...policy, ejection: null }, targets: [report] },
        { name: "gone", unresolved: "dns_nxdomain", policy: { ...policy, ejection: null }, targets: [] },
      ],
      names: [
        { name: "n", addresses: [], fault: "dns_nxdomain", ageMs: null, nextLookUpMs: 9, laterFamily: null },
        { name: "fine", addresses: ["::1"], fault: null, ageMs: 1, nextLookUpMs: 9, laterFamily: null },
      ],
    });
    assert.deepEqual(
      lines.map((line) => line.replace(/ +/g, " ")),
      [
        "ORIGIN TARGET ADDRESS STATE OPEN IDLE BUSY WAIT OK FAILED LATENCY WHY",
        "app name:80 10.0.0.0:80 down 0 0 0 0 7 3 1.5 ms 3 requests failed",
        "gone - - dns_nxdomain",
        "name n: dns_nxdomain, no address is known; asked again in 9 ms",
      ],
    );
  });

  it("lists connections of all workers", () => {
    const workers = [{ worker: 0, clients: [{ peer: "10.0.0.1:5", state: "idle" }], origins: [] }];
    assert.deepEqual(describeConnections({ workers, silent: [1] }), [
      "1 connections of clients",
      "worker  peer        state",
      "0       10.0.0.1:5  idle",
      "0 connections to origins",
      "worker 1 did not answer",
    ]);
  });
});
