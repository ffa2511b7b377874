/**
 * Promises about names of targets, against a name server of our own: traffic follows within the TTL, the last good
 * answer is kept, nothing waits longer than it may, both families and services are understood.
 */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { isServiceName, type NameAddress, placeTargets } from "../../src/config/names.js";
import { type FoundAddress, inHostsFile, type LookUp, lookUpWith } from "../../src/control/look-up.js";
import {
  FAMILY_LATER_MS,
  GATHER_MS,
  mergeAnswers,
  Names,
  nextLookUpMs,
  orderAddresses,
  resolveNames,
} from "../../src/control/resolve.js";
import { Scheduler } from "../../src/control/scheduler.js";
import type { DnsPolicy } from "../../src/shared/policies.js";
import { type DnsServer, startDnsServer } from "../support/dns-server.js";
import { FakeClock } from "../support/fake-clock.js";

let server: DnsServer;
let policy: DnsPolicy;
let hosts = "";
let system: readonly string[] = [];

before(async () => {
  server = await startDnsServer();
});
beforeEach(() => {
  hosts = "127.0.0.1 localhost\n";
  system = [];
  server.asked.length = 0;
  policy = { refreshMinMs: 1000, refreshMaxMs: 60_000, negativeMs: 2000, timeoutMs: 150, servers: [server.address] };
});
after(() => server.close());

const lookUp: LookUp = (name, asked) =>
  lookUpWith({
    hostsFile: () => Promise.resolve(hosts),
    system: () => (system.length > 0 ? Promise.resolve(system) : Promise.reject(new Error("ENOTFOUND"))),
  })(name, asked);

/** Names on a clock that a test moves; look-ups go to the real server. */
class Scene {
  readonly clock = new FakeClock();
  readonly said: string[] = [];
  changes = 0;
  readonly names: Names;
  #running = 0;

  constructor(...names: readonly string[]) {
    const say = (fields: object, message: string) => this.said.push(`${message} ${JSON.stringify(fields)}`);
    this.names = new Names({
      names,
      policy,
      scheduler: new Scheduler(assert.ifError, this.clock),
      log: { info: say, warn: say },
      handleChange: () => {
        this.changes += 1;
      },
      lookUp: async (name, asked) => {
        this.#running += 1;
        try {
          return await lookUp(name, asked);
        } finally {
          this.#running -= 1;
        }
      },
      dice: () => 0,
    });
  }

  /** Moves time on, and waits for the look-ups that this began. */
  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    while (this.#running > 0) await new Promise((resolve) => setTimeout(resolve, 2));
    await new Promise((resolve) => setImmediate(resolve));
    this.clock.advance(GATHER_MS);
  }

  addresses(name: string): readonly string[] {
    return (
      this.names
        .addresses()
        .addresses.get(name)
        ?.map((one) => one.address) ?? []
    );
  }
}

describe("a name that changes", () => {
  it("is looked up again when its TTL is over, and the change is told once", async () => {
    server.set("app.test", { kind: "addresses", addresses: ["10.0.0.1", "10.0.0.2"], ttlS: 5 });
    const it = new Scene("app.test");
    await it.names.start();
    assert.deepEqual(it.addresses("app.test"), ["10.0.0.1", "10.0.0.2"]);
    server.set("app.test", { kind: "addresses", addresses: ["10.0.0.3", "10.0.0.2"], ttlS: 5 });
    await it.advance(4900);
    assert.equal(it.changes, 0);
    await it.advance(100);
    assert.deepEqual(it.addresses("app.test"), ["10.0.0.2", "10.0.0.3"]);
    assert.equal(it.changes, 1);
    server.set("app.test", { kind: "addresses", addresses: ["10.0.0.2", "10.0.0.3"], ttlS: 5 });
    await it.advance(5000);
    assert.equal(it.changes, 1, "another order is no change");
    assert.equal(it.clock.armed, 1, "one timer for the next look-up");
    it.names.close();
    assert.equal(it.clock.armed, 0);
  });

  it("keeps within the policy's bounds whatever its TTL says", () => {
    const looked = (ttlMs: number | null) => ({ addresses: [], failed: [], ttlMs });
    fc.assert(
      fc.property(fc.nat(1_000_000), fc.double({ min: 0, max: 1, noNaN: true }), (ttlMs, dice) => {
        const waitMs = nextLookUpMs(policy, looked(ttlMs), () => dice);
        assert.ok(waitMs >= policy.refreshMinMs && waitMs <= policy.refreshMaxMs);
        assert.ok(waitMs <= Math.max(ttlMs, policy.refreshMinMs), "never later than the TTL");
        assert.ok(waitMs >= Math.min(ttlMs, policy.refreshMaxMs) * 0.9 - 1, "and not much earlier");
      }),
    );
    assert.equal(
      nextLookUpMs(policy, { ...looked(9e6), failed: [{ source: null, why: "dns_timeout" }] }, () => 0),
      2000,
    );
    assert.equal(
      nextLookUpMs(policy, looked(null), () => 0),
      30_000,
    );
  });
});

describe("a name that fails", () => {
  for (const [script, fault] of [
    [{ kind: "nxdomain" }, "dns_nxdomain"],
    [{ kind: "servfail" }, "dns_servfail"],
    [{ kind: "silence" }, "dns_timeout"],
  ] as const) {
    it(`with ${script.kind} is asked again after negativeMs; what was known is kept`, async () => {
      server.set("flaky.test", { kind: "addresses", addresses: ["10.0.0.1"], ttlS: 5 });
      const it = new Scene("flaky.test");
      await it.names.start();
      server.set("flaky.test", script);
      await it.advance(5000);
      assert.deepEqual(it.addresses("flaky.test"), ["10.0.0.1"]);
      assert.deepEqual([...it.names.addresses().unresolved], []);
      assert.equal(it.names.report()[0]?.fault, fault);
      assert.match(it.said[0] ?? "", /does not resolve; what is known of it is kept/);
      server.set("flaky.test", { kind: "addresses", addresses: ["10.0.0.9"], ttlS: 5 });
      await it.advance(2000);
      assert.deepEqual([it.addresses("flaky.test"), it.changes], [["10.0.0.9"], 1]);
      assert.equal(it.names.report()[0]?.fault, null);
      it.names.close();
    });

    it(`with ${script.kind} from the start is unresolved, delays the start no longer than it may, and is found later`, async () => {
      server.set("late.test", script);
      const it = new Scene("late.test");
      const sinceMs = performance.now();
      await it.names.start();
      assert.ok(performance.now() - sinceMs < 1500, "the start does not hang on a name");
      assert.deepEqual([...it.names.addresses().unresolved], [["late.test", fault]]);
      server.set("late.test", { kind: "addresses", addresses: ["::1"] });
      await it.advance(2000);
      assert.deepEqual([it.addresses("late.test"), it.changes], [["::1"], 1]);
      assert.deepEqual([...it.names.addresses().unresolved], []);
      it.names.close();
    });
  }

  it("in one family keeps that family's addresses and takes the other's new ones", async () => {
    server.set("dual.test", { kind: "addresses", addresses: ["fd00::1", "10.0.0.1"] });
    const it = new Scene("dual.test");
    await it.names.start();
    server.set("dual.test", { kind: "addresses", addresses: ["10.0.0.2"] });
    server.set("dual.test", { kind: "silence" }, "AAAA");
    await it.advance(60_000);
    assert.deepEqual(it.addresses("dual.test"), ["fd00::1", "10.0.0.2"]);
    server.set("dual.test", { kind: "nxdomain" }, "AAAA");
    await it.advance(60_000);
    assert.deepEqual(
      it.addresses("dual.test"),
      ["10.0.0.2"],
      "'no such name' beside an answer means: none of that type",
    );
    it.names.close();
  });

  it("blocks no other name", async () => {
    server.set("dead.test", { kind: "silence" });
    server.set("live.test", { kind: "addresses", addresses: ["10.0.0.1"], ttlS: 2 });
    const it = new Scene("dead.test", "live.test");
    await it.names.start();
    server.set("live.test", { kind: "addresses", addresses: ["10.0.0.2"], ttlS: 2 });
    await it.advance(2000);
    assert.deepEqual(it.addresses("live.test"), ["10.0.0.2"]);
    it.names.close();
  });

  it("is named by millrace check, with every other one", async () => {
    server.set("bad.test", { kind: "servfail" });
    server.set("good.test", { kind: "addresses", addresses: ["10.0.0.1"] });
    await assert.rejects(resolveNames(["bad.test", "good.test", "none.test"], policy, lookUp), {
      code: "MILLRACE_RESOLVE",
      message:
        'the target name "bad.test" does not resolve (dns_servfail); the target name "none.test" does not resolve (dns_nxdomain)',
    });
    const found = await resolveNames(["good.test"], policy, lookUp);
    assert.equal(found.get("good.test")?.[0]?.address, "10.0.0.1");
  });
});

describe("who is asked", () => {
  it("the hosts file first, and then no name server", async () => {
    hosts = "# 10.9.9.9 app.test\n10.0.0.7\tother App.Test # here\n::7 app.test\n";
    const { addresses } = await lookUp("app.test", policy);
    assert.deepEqual(
      addresses.map((one) => one.address),
      ["10.0.0.7", "::7"],
    );
    assert.deepEqual(server.asked, []);
    assert.deepEqual(inHostsFile("nonsense app.test\n", "app.test"), []);
  });

  it("the system for localhost, and for unknown names where no servers were set by hand", async () => {
    [hosts, system] = ["", ["127.0.0.1"]];
    assert.deepEqual((await lookUp("localhost", policy)).addresses[0]?.address, "127.0.0.1");
    assert.deepEqual(server.asked, []);
    assert.equal((await lookUp("unknown.test", policy)).failed[0]?.why, "dns_nxdomain");
  });

  it("an address that is no name server's fails the look-up and nothing else", async () => {
    policy = { ...policy, servers: ["not an address"] };
    const it = new Scene("app.test");
    await it.names.start();
    assert.deepEqual([...it.names.addresses().unresolved], [["app.test", "dns_servfail"]]);
    it.names.close();
  });
});

describe("services (SRV)", () => {
  it("become targets with their ports, weights, and priorities as ranks", async () => {
    server.set("_http._tcp.shop.test", {
      kind: "services",
      services: [
        { priority: 20, weight: 1, port: 9000, host: "spare.shop.test" },
        { priority: 10, weight: 30, port: 8001, host: "a.shop.test" },
        { priority: 10, weight: 0, port: 8002, host: "b.shop.test" },
      ],
    });
    for (const [host, address] of [
      ["a", "10.0.0.1"],
      ["b", "10.0.0.2"],
      ["spare", "10.0.0.3"],
    ] as const) {
      server.set(`${host}.shop.test`, { kind: "addresses", addresses: [address], ttlS: 7 });
    }
    const it = new Scene("_http._tcp.shop.test");
    await it.names.start();
    const { addresses } = it.names.addresses();
    assert.equal(it.names.report()[0]?.nextLookUpMs, 7000);
    const written = { label: "shop", host: "_http._tcp.shop.test", port: 80, weight: 2, tier: 0 };
    assert.deepEqual(placeTargets([written], addresses), [
      { label: "shop", address: "10.0.0.1", port: 8001, weight: 60, tier: 0 },
      { label: "shop", address: "10.0.0.2", port: 8002, weight: 2, tier: 0 },
      { label: "shop", address: "10.0.0.3", port: 9000, weight: 2, tier: 1 },
    ]);
    server.set("a.shop.test", { kind: "silence" });
    server.set("b.shop.test", { kind: "nxdomain" });
    await it.advance(7000);
    assert.deepEqual(it.addresses("_http._tcp.shop.test"), ["10.0.0.1", "10.0.0.3"], "silent: kept; gone: gone");
    it.names.close();
  });

  it("that are decidedly not there are unresolved", async () => {
    server.set("_http._tcp.none.test", {
      kind: "services",
      services: [{ priority: 0, weight: 0, port: 0, host: "." }],
    });
    assert.equal((await lookUp("_http._tcp.none.test", policy)).failed[0]?.why, "dns_nxdomain");
    assert.equal(isServiceName("_http._tcp.none.test"), true);
    assert.equal(isServiceName("my_app.test"), false);
  });
});

describe("S1-05 both address families of a name", () => {
  const found = (...addresses: readonly string[]): readonly FoundAddress[] =>
    addresses.map((address) => ({ address, port: null, weight: null, priority: 0, source: "x" }));
  const shape = (list: readonly NameAddress[]) => list.map((one) => `${one.address} ${one.rank}`);

  it("are tried in turn, IPv6 first", () => {
    const list = found("10.0.0.1", "10.0.0.2", "10.0.0.3", "::1", "::2");
    assert.deepEqual(shape(orderAddresses(list, null)), ["::1 0", "10.0.0.1 0", "::2 0", "10.0.0.2 0", "10.0.0.3 0"]);
    assert.deepEqual(shape(orderAddresses(found("::1", "10.0.0.1"), 6)), ["10.0.0.1 0", "::1 1"]);
    assert.deepEqual(shape(orderAddresses(found("::1", "10.0.0.1"), 4)), ["::1 0", "10.0.0.1 1"]);
  });

  it("one that cannot be connected to is tried after the other, until it is up or ten minutes are over", async () => {
    server.set("dual.test", { kind: "addresses", addresses: ["fd00::1", "fd00::2", "10.0.0.1"], ttlS: 60 });
    server.set("dual.test", { kind: "addresses", addresses: ["fd00::1", "fd00::2"], ttlS: 60 }, "AAAA");
    const it = new Scene("dual.test");
    await it.names.start();
    it.names.handleUnreachable("fd00::1");
    await it.advance(100);
    assert.equal(it.changes, 0, "one address is not the family");
    it.names.handleUnreachable("fd00::2");
    await it.advance(100);
    assert.deepEqual([it.addresses("dual.test"), it.changes], [["10.0.0.1", "fd00::1", "fd00::2"], 1]);
    it.names.handleReachable("fd00::1");
    await it.advance(100);
    assert.deepEqual(it.addresses("dual.test"), ["fd00::1", "10.0.0.1", "fd00::2"]);
    it.names.handleUnreachable("fd00::1");
    assert.equal(it.names.report()[0]?.laterFamily, 6);
    it.names.handleUnreachable("10.0.0.1");
    assert.equal(it.names.report()[0]?.laterFamily, null, "with both gone neither is better");
    it.names.handleReachable("10.0.0.1");
    it.names.handleUnreachable("fd00::2");
    assert.equal(it.names.report()[0]?.laterFamily, 6);
    for (let minute = 0; minute < FAMILY_LATER_MS / 60_000; minute++) await it.advance(60_000);
    assert.equal(it.names.report()[0]?.laterFamily, null);
    it.names.close();
  });
});

describe("answers put together", () => {
  it("keep exactly the old addresses whose question failed", () => {
    const one = (address: string, source: string): FoundAddress => ({
      address,
      port: null,
      weight: null,
      priority: 0,
      source,
    });
    const before = [one("10.0.0.1", "A x"), one("::1", "AAAA x")];
    const looked = { addresses: [one("10.0.0.2", "A x")], ttlMs: 1 };
    const merged = (failed: Parameters<typeof mergeAnswers>[1]["failed"]) =>
      mergeAnswers(before, { ...looked, failed }).map((found) => found.address);
    assert.deepEqual(merged([]), ["10.0.0.2"]);
    assert.deepEqual(merged([{ source: "AAAA x", why: "dns_timeout" }]), ["10.0.0.2", "::1"]);
    assert.deepEqual(merged([{ source: null, why: "dns_timeout" }]), ["10.0.0.1", "10.0.0.2", "::1"]);
  });
});
