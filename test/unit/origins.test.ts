/**
 * Promises of names, health and plan put together, over a fake core and a name server of our own: a name that changes
 * makes a new plan, one that does not resolve stops nothing, and trouble that workers note ends in a target's state.
 */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { checkSettings } from "../../src/config/check.js";
import type { Plan } from "../../src/config/plan-types.js";
import type { SettingsInput } from "../../src/config/settings.js";
import { NO_MATERIAL } from "../../src/config/tls-files.js";
import { type CorePort, Origins } from "../../src/control/origins.js";
import { createLog } from "../../src/shared/log.js";
import { type DnsServer, startDnsServer } from "../support/dns-server.js";
import { FakeTargets } from "../support/fake-targets.js";

let server: DnsServer;
before(async () => {
  server = await startDnsServer();
});
beforeEach(() => {
  server.asked.length = 0;
});
after(() => server.close());

/** A core that takes plans as the real one does: targets are known by origin and address, and keep their numbers. */
class FakeCore extends FakeTargets implements CorePort {
  readonly plans: Plan[] = [];
  refusal: string | null = null;
  refused = 0;

  readonly installPlan = (plan: Plan): void => {
    if (this.refusal !== null) {
      this.refused += 1;
      throw new Error(this.refusal);
    }
    this.plans.push(plan);
    const wanted = plan.origins.flatMap((origin) =>
      origin.targets.map((target) => ({ origin: origin.name, ...target })),
    );
    const isWanted = (one: { origin: string; address: string }) =>
      wanted.some((target) => target.origin === one.origin && target.address === one.address);
    for (const one of this.targets) if (!isWanted(one)) one.state = "removed";
    for (const { origin, label, address } of wanted) {
      const known = this.targets.find((one) => one.origin === origin && one.address === address);
      if (known === undefined) this.add(origin, label, address);
      else if (known.state === "removed") known.state = "up";
    }
  };
  readonly planTaken = () => ({ workers: [0, 1].map(() => this.plans.length - 1), listeners: true });
  readonly explain = (request: object): string => JSON.stringify({ route: "all", action: "forward", got: request });
  readonly dumpConnections = (): void => {};
}

async function start(input: SettingsInput, core = new FakeCore()): Promise<{ origins: Origins; core: FakeCore }> {
  const dns = { servers: [server.address], refreshMinMs: 100, negativeMs: 100, timeoutMs: 200 };
  const checked = checkSettings({ dns, ...input });
  if (!checked.ok) throw new Error(JSON.stringify(checked.complaints));
  const origins = new Origins(checked.settings, 2, () => NO_MATERIAL, createLog("silent"));
  core.installPlan(await origins.resolve());
  origins.attach(core);
  return { origins, core };
}

/** Waits until something holds; look-ups are real, and so is their time. */
async function until(holds: () => boolean): Promise<void> {
  const sinceMs = performance.now();
  while (!holds()) {
    assert.ok(performance.now() - sinceMs < 3000, "it did not happen within 3 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function addresses(plan: Plan | undefined, origin = 0): readonly string[] {
  return plan?.origins[origin]?.targets.map((target) => target.address) ?? [];
}

describe("a name that changes", () => {
  it("makes a new plan; health stays with every address that stays", async (t) => {
    server.set("app.test", { kind: "addresses", addresses: ["10.0.0.1", "10.0.0.2"], ttlS: 0 });
    const { origins, core } = await start({ origins: { app: { targets: "http://app.test" } } });
    t.after(() => origins.close());
    core.fail(1, 4, 5);
    assert.equal(
      origins.handleNote({ event: "target_troubled", target: 1, class: "eof_before_headers", rung: 4 }),
      true,
    );
    await until(() => core.at(1).state === "down");
    server.set("app.test", { kind: "addresses", addresses: ["10.0.0.2", "10.0.0.3"], ttlS: 0 });
    await until(() => core.plans.length === 2);
    assert.deepEqual(addresses(core.plans[1]), ["10.0.0.2", "10.0.0.3"]);
    const report = origins.report().origins[0];
    assert.deepEqual(
      report?.targets.map((target) => `${target.address} ${target.health.state}`),
      ["10.0.0.2 down", "10.0.0.3 up"],
    );
  });

  it("keeps the old plan while the core refuses the new one, and offers it again with the next change", async (t) => {
    server.set("app.test", { kind: "addresses", addresses: ["10.0.0.1"], ttlS: 0 });
    const { origins, core } = await start({ origins: { app: { targets: "http://app.test" } } });
    t.after(() => origins.close());
    core.refusal = "no";
    server.set("app.test", { kind: "addresses", addresses: ["10.0.0.2"], ttlS: 0 });
    await until(() => core.refused === 1);
    assert.deepEqual(origins.report().names[0]?.addresses, ["10.0.0.2"]);
    assert.deepEqual(origins.report().origins[0]?.targets[0]?.address, "10.0.0.1");
    core.refusal = null;
    server.set("app.test", { kind: "addresses", addresses: ["10.0.0.3"], ttlS: 0 });
    await until(() => core.plans.length === 2);
    assert.deepEqual(addresses(core.plans[1]), ["10.0.0.3"]);
  });
});

describe("a name that does not resolve", () => {
  it("leaves its origin without targets, says why, and stops neither the start nor other origins", async (t) => {
    server.set("gone.test", { kind: "servfail" });
    server.set("app.test", { kind: "addresses", addresses: ["10.0.0.1"] });
    const { origins, core } = await start({
      origins: { gone: { targets: "http://gone.test" }, app: { targets: ["http://app.test", "http://gone.test"] } },
      routes: [{ match: { path: "/gone" }, forwardTo: "gone" }, { forwardTo: "app" }],
    });
    t.after(() => origins.close());
    assert.equal(core.plans[0]?.origins[0]?.unresolved, "dns_servfail");
    assert.deepEqual(addresses(core.plans[0], 1), ["10.0.0.1"]);
    assert.equal(origins.report().origins[0]?.unresolved, "dns_servfail");
    server.set("gone.test", { kind: "addresses", addresses: ["10.0.0.9"] });
    await until(() => core.plans.length === 2);
    assert.deepEqual([addresses(core.plans[1]), core.plans[1]?.origins[0]?.unresolved], [["10.0.0.9"], undefined]);
  });
});

describe("S1-05 two families of which one cannot be connected to", () => {
  it("are reordered in a new plan: the dead one is tried later", async (t) => {
    server.set("dual.test", { kind: "addresses", addresses: ["10.0.0.1", "fd00::1"] });
    const { origins, core } = await start({ origins: { app: { targets: "http://dual.test" } } });
    t.after(() => origins.close());
    assert.deepEqual(addresses(core.plans[0]), ["fd00::1", "10.0.0.1"]);
    core.fail(0, 1, 5);
    origins.handleNote({ event: "target_troubled", target: 0, class: "connect_unreachable", rung: 1 });
    await until(() => core.plans.length === 2);
    assert.deepEqual(
      core.plans[1]?.origins[0]?.targets.map((target) => `${target.address} tier ${target.tier}`),
      ["10.0.0.1 tier 0", "fd00::1 tier 1"],
    );
  });
});

describe("notes and orders", () => {
  it("about other things are for the log; checks and connections reach those who wait for them", async (t) => {
    const { origins, core } = await start({
      origins: { app: { targets: "http://127.0.0.1:1", health: { tcp: true } } },
    });
    t.after(() => origins.close());
    assert.equal(origins.handleNote({ event: "origin_fault", level: "warn" }), false);
    const why = "connect_refused";
    for (let check = 0; check < 3; check++) {
      assert.equal(origins.handleNote({ event: "check", target: 0, ok: false, micros: 5, why }), true);
    }
    assert.equal(core.at(0).state, "down");
    const gathered = origins.connections();
    for (const worker of [0, 1]) {
      origins.handleNote({ event: "connections", ticket: 1, worker, clients: [], origins: [worker] });
    }
    assert.deepEqual(
      (await gathered).workers.map((one) => one.origins),
      [[0], [1]],
    );
    assert.deepEqual(origins.drain("app", "127.0.0.1:1", false), { concerned: 1, changed: 1 });
    const asked = { method: "GET", isSecure: false, host: "a", path: "/", headers: [], clientAddress: "::1" };
    assert.deepEqual(origins.explain(asked), { route: "all", action: "forward", got: asked, curl: null });
  });

  it("come to nothing once the proxy stops", async () => {
    const { origins, core } = await start({ origins: { app: { targets: "http://127.0.0.1:1" } } });
    origins.close();
    core.fail(0, 4, 99);
    origins.handleNote({ event: "target_troubled", target: 0, class: "eof_before_headers", rung: 4 });
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.deepEqual(core.orders, []);
    assert.deepEqual(origins.report().origins[0]?.targets, []);
  });
});
