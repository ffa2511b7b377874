/**
 * Promises of the settings of origins and of the connections to them: what can never work is refused by name, what has no
 * effect is warned about.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { judgeNameServer, parseTarget } from "../../src/config/addresses.js";
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

/** A document with one origin that says this. */
function origin(says: object): object {
  return { origins: { api: { targets: "http://127.0.0.1:9000", ...says } } };
}

describe("what must match before a connection is shared", () => {
  it("S0-05: each of Traffic Server's words is known, and a word that adds nothing is warned about by name", () => {
    for (const match of ["none", "ip", "host", "both", "hostonly", ["ip", "host"], ["ip", "hostonly"]]) {
      assert.deepEqual(complaintsAbout(origin({ match })), [], JSON.stringify(match));
      assert.deepEqual(warningsAbout(origin({ match })), [], JSON.stringify(match));
    }
    const warned = (match: readonly string[]) => warningsAbout(origin({ match }));
    assert.deepEqual(warned(["none", "ip"]), [
      'origins.api.match: "ip" adds nothing: "none" switches sharing off already',
    ]);
    assert.deepEqual(warned(["both", "ip"]), ['origins.api.match: "ip" adds nothing beside "both"']);
    assert.deepEqual(warned(["both", "host"]), ['origins.api.match: "host" adds nothing beside "both"']);
    assert.deepEqual(warned(["hostonly", "host"]), ['origins.api.match: "hostonly" adds nothing beside "host"']);
    assert.deepEqual(warned(["ip", "ip"]), ['origins.api.match: "ip" is there twice']);
    assert.equal(complaintsAbout(origin({ match: "hots" })).length, 1);
    assert.deepEqual(complaintsAbout(origin({ match: [] })), ["origins.api.match: must name at least one"]);
  });

  it("S0-06: a combination that can never match is refused when the settings load", () => {
    for (const word of ["sni", "cert"]) {
      const says = `origins.api.match: "${word}" can never match: it needs TLS to the origin, and its targets are http://`;
      assert.deepEqual(complaintsAbout(origin({ match: [word] })), [says]);
      assert.deepEqual(complaintsAbout(origin({ match: ["host", word], host: "www.example.org" })), [says]);
    }
    assert.deepEqual(complaintsAbout(origin({ match: ["host"], host: "client" })), []);
  });
});

describe("the scope of the pool", () => {
  it("is one word for shards and stealing, and is refused beside what contradicts it", () => {
    const about = (pool: object, workers: unknown = 4) => complaintsAbout({ ...origin({}), workers, pool });
    assert.deepEqual(about({ scope: "thread", shards: 2 }), [
      'pool.shards: contradicts pool.scope "thread", which means a shard for each worker; leave one out',
    ]);
    assert.deepEqual(about({ scope: "thread", shards: 4 }), []);
    assert.equal(about({ scope: "thread", shards: 4 }, "auto").length, 1);
    assert.deepEqual(about({ scope: "thread", steal: true }), [
      'pool.steal: contradicts pool.scope "thread", which means no stealing; leave one out',
    ]);
    assert.deepEqual(about({ scope: "global", shards: 2 }), [
      'pool.shards: contradicts pool.scope "global", which means one shard; leave one out',
    ]);
    assert.deepEqual(about({ scope: "hybrid", shards: 1, steal: false }), [
      'pool.shards: contradicts pool.scope "hybrid", which means several shards; leave one out',
      'pool.steal: contradicts pool.scope "hybrid", which means stealing; leave one out',
    ]);
    assert.deepEqual(about({ scope: "hybrid", shards: 2 }), []);
  });

  it("fills in what it stands for, so that the printed settings can be read again", () => {
    for (const [scope, shards, steal] of [
      ["thread", "auto", false],
      ["global", 1, true],
      ["hybrid", "auto", true],
    ] as const) {
      const checked = checkSettings({ ...origin({}), pool: { scope } });
      assert.ok(checked.ok);
      assert.deepEqual([checked.settings.pool.shards, checked.settings.pool.steal], [shards, steal]);
      assert.ok(checkSettings(JSON.parse(JSON.stringify(checked.settings))).ok);
    }
  });
});

describe("presets", () => {
  it("S3-17: longIdle is idle 5 min and transactions 30 s, what is written wins, and without it we leave first", () => {
    const settingsOf = (says: object) => {
      const checked = checkSettings(origin(says));
      assert.ok(checked.ok, JSON.stringify(checked));
      const { idleMs, firstByteMs, betweenBytesMs, idleLearn } = checked.settings.origins["api"] ?? assert.fail();
      return [idleMs, firstByteMs, betweenBytesMs, idleLearn];
    };
    assert.deepEqual(settingsOf({ preset: "longIdle" }), [300_000, 30_000, 30_000, true]);
    assert.deepEqual(settingsOf({ preset: "longIdle", idleMs: 90_000, firstByteMs: 7000 }), [
      90_000,
      7000,
      30_000,
      true,
    ]);
    assert.deepEqual(settingsOf({}), [4000, 30_000, 30_000, true]);
    assert.match(complaintsAbout(origin({ preset: "long" }))[0] ?? "", /^origins\.api\.preset: /);
  });
});

describe("connections of an origin", () => {
  it("are refused where one number rules out another", () => {
    assert.deepEqual(complaintsAbout(origin({ standby: 5, targetConnections: 4 })), [
      "origins.api.standby: must be at most targetConnections (4)",
    ]);
    assert.deepEqual(complaintsAbout(origin({ standby: 5 })), []);
    assert.deepEqual(complaintsAbout(origin({ localAddress: "::1" })), [
      "origins.api.localAddress: is IPv6, and no target is; none could be reached",
    ]);
    assert.deepEqual(complaintsAbout(origin({ localAddress: "::1", targets: "http://a.test" })), []);
    assert.match(complaintsAbout(origin({ localAddress: "eth0" }))[0] ?? "", /is not an IP address of this host/);
  });

  it("are refused a choice of versions that nobody can make, and a check in one that is not spoken", () => {
    const https = { targets: "https://a.test" };
    assert.deepEqual(complaintsAbout(origin({ httpVersions: ["2", "1.1"] })), [
      'origins.api.httpVersions: lets targets choose by ALPN, which http:// targets do not have; say ["2"] or ["1.1"]',
    ]);
    assert.deepEqual(complaintsAbout(origin({ httpVersions: ["2", "1.1"], ...https })), []);
    assert.deepEqual(complaintsAbout(origin({ httpVersions: ["2"] })), []);
    const health = { http: { path: "/up" } };
    assert.deepEqual(complaintsAbout(origin({ httpVersions: ["2"], health })), [
      'origins.api.health.http: asks by HTTP/1.1, which this origin is not spoken to in (httpVersions); say tcp, or add "1.1"',
    ]);
    assert.deepEqual(complaintsAbout(origin({ httpVersions: ["2", "1.1"], health, ...https })), []);
    assert.deepEqual(complaintsAbout(origin({ httpVersions: ["2"], health: { tcp: true } })), []);
  });

  it("are warned about where a number has no effect", () => {
    assert.deepEqual(warningsAbout(origin({ idleMs: 5000, ageMs: 1000 })), [
      "origins.api.idleMs: is never reached: connections end at the age of ageMs (1000)",
    ]);
    assert.deepEqual(warningsAbout(origin({ connections: 5, targetConnections: 6 })), [
      "origins.api.targetConnections: is never reached: connections allows 5 to all targets together",
    ]);
    assert.deepEqual(warningsAbout(origin({ idleMs: 5000, ageMs: 0, connections: 6, targetConnections: 6 })), []);
  });

  it("that come back to this proxy are warned about", () => {
    const loop = ['origins.api.targets: "127.0.0.1:8080" is a listener of this proxy itself'];
    const about = (listeners: readonly string[], targets = "127.0.0.1:8080") =>
      warningsAbout({ ...origin({ targets }), listeners });
    assert.deepEqual(about(["127.0.0.1:8080"]), loop);
    assert.deepEqual(about([":8080"]), loop);
    assert.equal(about([":8080"], "http://localhost:8080").length, 1);
    assert.deepEqual(about(["127.0.0.1:8081", "127.0.0.2:8080"]), []);
    assert.deepEqual(about([":8080"], "192.0.2.1:8080"), []);
  });
});

describe("targets", () => {
  it("may be a name with SRV records", () => {
    assert.deepEqual(parseTarget("srv+http://_http._tcp.Example.org"), {
      ok: true,
      value: {
        host: "_http._tcp.example.org",
        port: 80,
        label: "_http._tcp.example.org",
        isSecure: false,
        name: "example.org",
      },
    });
    for (const wrong of ["srv+http://example.org", "srv+http://_http._tcp.a.test:80"]) {
      assert.equal(parseTarget(wrong).ok, false, wrong);
    }
  });

  it("have a tier, and a zone that means something only where the proxy has one", () => {
    const targets = [
      { address: "127.0.0.1:1", zone: "a" },
      { address: "127.0.0.1:2", tier: "backup" },
    ];
    assert.deepEqual(warningsAbout(origin({ targets })), [
      "origins.api.targets: zones have no effect while the proxy itself has none (zone)",
    ]);
    assert.deepEqual(warningsAbout({ ...origin({ targets }), zone: "a" }), []);
    assert.deepEqual(complaintsAbout(origin({ targets: [{ address: "127.0.0.1:1", tier: "spare" }] })), [
      'origins.api.targets[0].tier: must be "primary", "backup" or a whole number, 0 to 255',
    ]);
  });

  it("that are there twice are warned about at the second place, whatever notation they have", () => {
    const about = (...targets: readonly unknown[]) => warningsAbout(origin({ targets }));
    assert.deepEqual(about("127.0.0.1:1", "127.0.0.1:2", { address: "http://127.0.0.1:1/", weight: 3 }), [
      'origins.api.targets[2]: "http://127.0.0.1:1/" is there as targets[0] already: both are one target, with one health and one limit',
    ]);
    assert.equal(about("http://App.test", "app.test:80", "app.test:80").length, 2);
    assert.deepEqual(about("127.0.0.1:1", "127.0.0.1:2", "127.0.0.2:1", "[::1]:1", "localhost:1"), []);
  });

  it("are chosen by a policy that is known", () => {
    assert.deepEqual(complaintsAbout(origin({ balance: "random" })), [
      'origins.api.balance: must be "roundRobin", "leastConnections", "twoChoices" or an object with consistentHash',
    ]);
    const hash = (consistentHash: unknown) => complaintsAbout(origin({ balance: { consistentHash } }));
    assert.deepEqual(hash({ header: "X-Key" }), []);
    assert.match(hash({ header: "X Key" })[0] ?? "", /"X Key" must be a token/);
    assert.match(hash("query")[0] ?? "", /must be "path", "clientAddress", or an object with header or cookie/);
  });
});

describe("health", () => {
  it("is checked in one way, with times that fit each other", () => {
    const about = (health: object) => [complaintsAbout(origin({ health })), warningsAbout(origin({ health }))];
    assert.deepEqual(about({ http: { path: "/up" }, tcp: true }), [
      ["origins.api.health: has http and tcp; only one may be there"],
      [],
    ]);
    assert.deepEqual(about({ tcp: true, intervalMs: 1000, timeoutMs: 1500 }), [
      [],
      ["origins.api.health.timeoutMs: the next check is due before this one gives up (intervalMs 1000)"],
    ]);
    assert.deepEqual(about({ intervalMs: 1000, rise: 2 }), [
      [],
      ["origins.api.health.intervalMs: has no effect without http or tcp: nothing is checked"],
    ]);
    assert.deepEqual(about({ passive: { downMs: 9000, downMsMax: 1000 }, ejection: { ejectMs: 400_000 } })[0], [
      "origins.api.health.passive.downMs: must be at most downMsMax (1000)",
      "origins.api.health.ejection.ejectMs: must be at most ejectMsMax (300000)",
    ]);
    assert.deepEqual(about({ passive: { level: 5 } })[0], [
      "origins.api.health.passive.level: must be a whole number, 0 to 4",
    ]);
    assert.match(about({ http: { path: "up" } })[0]?.[0] ?? "", /health\.http\.path: "up" must begin with "\/"/);
    assert.match(
      about({ http: { path: "/up", statuses: ["600"] } })[0]?.[0] ?? "",
      /statuses\[0\]: "600" is not a status/,
    );
  });

  it("never ejects where no target can be that much worse than the others", () => {
    const about = (targets: number, ejection: object) => {
      const addresses = Array.from({ length: targets }, (_, index) => `127.0.0.1:${index + 1}`);
      return warningsAbout(origin({ targets: addresses, health: { ejection } }));
    };
    assert.deepEqual(about(2, {}), [
      "origins.api.health.ejection: has no effect: the origin has 2 targets, and targetsMin asks for 4",
    ]);
    assert.deepEqual(about(4, { deviations: 1.9 }), [
      "origins.api.health.ejection.deviations: is never reached: one of 4 targets lies at most 1.73 below the mean",
    ]);
    assert.deepEqual(about(4, {}), []);
    const twin = { targets: ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:3"], health: { ejection: {} } };
    assert.match(warningsAbout(origin(twin)).at(-1) ?? "", /the origin has 3 targets, and targetsMin asks for 4$/);
  });
});

describe("what holds for the whole process", () => {
  it("is refused where its numbers contradict each other", () => {
    assert.deepEqual(complaintsAbout({ ...origin({}), dns: { refreshMinMs: 400_000 } }), [
      "dns.refreshMinMs: must be at most dns.refreshMaxMs (300000)",
    ]);
    const spool = { folder: "/var/spool/millrace", requestBytes: 10_000_000, totalBytes: 1_000_000 };
    assert.deepEqual(complaintsAbout({ ...origin({}), spool }), [
      "spool.requestBytes: must be at most spool.totalBytes (1000000)",
    ]);
    assert.deepEqual(complaintsAbout({ ...origin({}), spool: { folder: "spool" } }), [
      'spool.folder: "spool" must be an absolute path',
    ]);
    assert.deepEqual(warningsAbout({ ...origin({}), spool: { folder: "/x", requestBytes: 1000 } }), [
      "spool.requestBytes: has no effect: bodies up to limits.replayBodyBytes (65536) are kept in memory",
    ]);
  });

  it("takes name servers as addresses", () => {
    for (const right of ["127.0.0.53", "127.0.0.53:5353", "::1", "[::1]:53"])
      assert.equal(judgeNameServer(right), null);
    assert.match(judgeNameServer("ns.test") ?? "", /is not an IP address/);
    assert.match(judgeNameServer("127.0.0.1:0") ?? "", /is not a port/);
    assert.match(complaintsAbout({ ...origin({}), dns: { servers: ["ns"] } })[0] ?? "", /^dns\.servers\[0\]: "ns"/);
  });
});
