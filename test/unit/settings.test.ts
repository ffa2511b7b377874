/**
 * Promises of the settings: every complaint at once, each with its path; suggestions; warnings about order.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkSettings } from "../../src/config/check.js";
import { describeComplaint } from "../../src/shared/errors.js";

/** All complaints about a document, as lines. */
function complaintsAbout(document: unknown): readonly string[] {
  const checked = checkSettings(document);
  return checked.ok ? [] : checked.complaints.map(describeComplaint);
}

/** All warnings about a document, as lines. */
function warningsAbout(document: unknown): readonly string[] {
  return checkSettings(document).warnings.map(describeComplaint);
}

const API = { api: { targets: "http://127.0.0.1:9000" } };

describe("settings", () => {
  it("are filled in from one origin alone", () => {
    const checked = checkSettings({ origins: API });
    assert.ok(checked.ok);
    assert.equal(checked.settings.workers, "auto");
    assert.deepEqual(checked.settings.listeners, ["127.0.0.1:8080"]);
    assert.equal(checked.settings.limits.headBytes, 32_768);
    assert.equal(checked.settings.origins["api"]?.idleMs, 4000);
    assert.equal(checked.settings.accessLog, false);
    assert.deepEqual(checked.warnings, []);
  });

  it("complain of everything at once, each complaint with its path", () => {
    const complaints = complaintsAbout({
      workrs: 2,
      listeners: [":99999", { address: "127.0.0.1:1", backlogg: 1 }],
      pool: { shards: 0, steal: "maybe" },
      limits: { headBytes: 10, fieldCount: "x" },
      accessLog: { too: "stdout" },
      origins: { api: { targets: ["ftp://a"], hots: "client" }, "b c": { targets: [] } },
      routes: [
        { forwardTo: "ap", match: { path: "a", method: "get" } },
        { forwardTo: "api", answer: { status: 200 }, requestHeaders: { set: { Host: "x" } } },
        {},
        { redirect: { to: "https://{hots}", status: 300 } },
      ],
    });
    for (const expected of [
      'workrs: is not a setting; did you mean "workers"?',
      'listeners[0]: "99999" is not a port (0 to 65535; 0 = a free one)',
      'listeners[1].backlogg: is not a setting; did you mean "backlog"?',
      'pool.shards: must be "auto" or a whole number, 1 to 256',
      "pool.steal: must be true or false",
      "limits.headBytes: must be 256 to 61440 bytes",
      "limits.fieldCount: must be a whole number, 8 to 4096",
      'accessLog.too: is not a setting; did you mean "to"?',
      'origins.api.targets[0]: "ftp://a" is not an http:// or https:// address',
      'origins.api.hots: is not a setting; did you mean "host"?',
      'origins["b c"].targets: must name at least one',
      'routes[0].forwardTo: no origin is called "ap"; did you mean "api"?',
      'routes[0].match.path: "a" must begin with "/"',
      'routes[0].match.method: "get" is not a method (methods are upper case)',
      "routes[1]: has forwardTo and answer; only one may be there",
      "routes[2]: needs one of forwardTo, answer or redirect",
      "routes[3].redirect.status: must be 301, 302, 303, 307 or 308",
      'routes[3].redirect.to: "{hots}" is not known; only {host}, {name} and {path} are',
    ]) {
      assert.ok(complaints.includes(expected), `missing: ${expected}\nin:\n${complaints.join("\n")}`);
    }
    assert.equal(new Set(complaints).size, complaints.length, "no complaint is made twice");
  });

  it("never throw, whatever the document is", () => {
    for (const document of [null, undefined, 1, "x", [], { origins: [] }, { routes: {} }, { routes: [null, 1, []] }]) {
      assert.ok(complaintsAbout(document).length > 0);
    }
  });

  it("refuse edits of fields the proxy itself decides, by name", () => {
    for (const name of ["Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer"]) {
      for (const edits of [{ set: { [name]: "x" } }, { add: { [name]: "x" } }, { remove: [name] }]) {
        const found = complaintsAbout({ origins: API, routes: [{ forwardTo: "api", requestHeaders: edits }] });
        assert.equal(found.length, 1, `${name} in ${JSON.stringify(edits)}: ${found.join("; ")}`);
        assert.match(found[0] ?? "", /cannot be edited/);
      }
    }
  });

  it("refuse header values that would break a message", () => {
    const routes = [{ forwardTo: "api", responseHeaders: { set: { "X-A": "a\r\nX-B: b" } } }];
    assert.match(complaintsAbout({ origins: API, routes })[0] ?? "", /control characters \(found U\+000D\)/);
  });

  it("hold limits to each other", () => {
    const limits = { requestLineBytes: 2000, headBytes: 1000 };
    assert.deepEqual(complaintsAbout({ origins: API, limits }), [
      "limits.requestLineBytes: must be at most limits.headBytes (1000)",
    ]);
    assert.deepEqual(complaintsAbout({ origins: API, workers: 2, pool: { shards: 3 } }), [
      "pool.shards: must be at most the number of workers (2)",
    ]);
  });

  it("take 0 as no limit, but nothing between 0 and the least", () => {
    assert.deepEqual(complaintsAbout({ origins: API, timeouts: { tunnelIdleMs: 0 } }), []);
    assert.deepEqual(complaintsAbout({ origins: API, timeouts: { tunnelIdleMs: 5 } }), [
      "timeouts.tunnelIdleMs: must be 0 (no limit) or 10 to 4294967295 ms",
    ]);
  });

  it("want each listener to have a name of its own", () => {
    const listeners = [":1", { name: "main", address: ":2" }];
    assert.deepEqual(complaintsAbout({ origins: API, listeners }), [
      'listeners[1].name: "main" is the name of listeners[0] already',
    ]);
  });

  it("keep the admin API on this machine unless its Hosts are named", () => {
    const about = (admin: object) => complaintsAbout({ origins: API, admin });
    assert.match(about({ address: ":9901" })[0] ?? "", /^admin\.address: is not a loopback address/);
    assert.deepEqual(about({ address: ":9901", hosts: ["edge.internal"] }), []);
    assert.deepEqual(about({ address: "[::1]:9901" }), []);
    assert.deepEqual(about({ address: "unix:/run/millrace/admin.sock" }), []);
    assert.match(about({ address: "unix:admin.sock" })[0] ?? "", /is not an absolute path/);
    assert.match(about({ address: `unix:/${"x".repeat(107)}` })[0] ?? "", /at most 107 bytes/);
  });

  it("want a token that nobody guesses, or a file that holds one", () => {
    const about = (token: unknown) => complaintsAbout({ origins: API, admin: { token } as object });
    assert.deepEqual(about("0123456789abcdef"), []);
    for (const token of ["short", "has spaces in it, many", "(hidden)", ""]) {
      assert.match(about(token)[0] ?? "", /^admin\.token/, token);
    }
    assert.match(about({ file: "/no/such/token" })[0] ?? "", /^admin\.token\.file: cannot be read: ENOENT/);
    const beyond = checkSettings({ origins: API, admin: { address: ":9901", hosts: ["edge.internal"] } });
    assert.deepEqual(
      beyond.warnings.map(({ path }) => path),
      ["admin.token"],
    );
  });

  it("want routes as soon as there are several origins, and an origin as soon as there are none", () => {
    const two = { a: { targets: "127.0.0.1:1" }, b: { targets: "127.0.0.1:2" } };
    assert.match(complaintsAbout({ origins: two })[0] ?? "", /^routes: is missing/);
    assert.match(complaintsAbout({})[0] ?? "", /^origins: is missing/);
    assert.deepEqual(complaintsAbout({ routes: [{ answer: { body: "hello" } }] }), []);
  });

  it("refuse a rewrite of a prefix that no prefix matched", () => {
    const routes = [{ forwardTo: "api", match: { path: "/a" }, rewrite: { prefix: "/b" } }];
    assert.match(complaintsAbout({ origins: API, routes })[0] ?? "", /needs a match.path that ends in/);
  });
});

describe("warnings", () => {
  it("name a route that an earlier one hides, and which", () => {
    const hides = (earlier: object, later: object) =>
      warningsAbout({
        origins: API,
        routes: [
          { match: earlier, forwardTo: "api" },
          { match: later, forwardTo: "api" },
        ],
      });
    const hidden = ["routes[1]: can never match: routes[0] takes all of it before"];
    assert.deepEqual(hides({}, { path: "/a" }), hidden);
    assert.deepEqual(hides({ path: "/a/*" }, { path: "/a" }), hidden);
    assert.deepEqual(hides({ path: "/a/*" }, { path: "/a/b/*" }), hidden);
    assert.deepEqual(hides({ host: "*.example.org" }, { host: "a.example.org", path: "/" }), hidden);
    assert.deepEqual(hides({ method: ["GET", "PUT"] }, { method: "GET" }), hidden);
    assert.deepEqual(hides({ header: { "X-A": true } }, { header: { "x-a": "1" } }), hidden);
    assert.deepEqual(hides({ path: "/a/**" }, { path: "/a" }), []);
    assert.deepEqual(hides({ path: "/a/*" }, { path: "/ab" }), []);
    assert.deepEqual(hides({ path: "/a" }, { path: "/a/*" }), []);
    assert.deepEqual(hides({ host: "*.example.org" }, { host: "example.org" }), []);
    assert.deepEqual(hides({ method: "GET" }, {}), []);
    assert.deepEqual(hides({ header: { "x-a": "1" } }, { header: { "x-a": true } }), []);
  });

  it("name an origin no route uses", () => {
    const origins = { ...API, old: { targets: "127.0.0.1:1" } };
    assert.deepEqual(warningsAbout({ origins, routes: [{ forwardTo: "api" }] }), [
      "origins.old: is not used by any route",
    ]);
  });
});
