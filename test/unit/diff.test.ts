/**
 * Promises of the difference of two plans: applied to the one it gives the other, it is as small as can be, and listeners
 * keep their places for life.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { checkSettings } from "../../src/config/check.js";
import { describeChange } from "../../src/config/describe-change.js";
import { applyChange, diffPlans, isNoChange, placeListeners } from "../../src/config/diff.js";
import { compilePlan } from "../../src/config/plan.js";
import type { Plan } from "../../src/config/plan-types.js";
import { complainOfRestart, RESTART_ONLY_PATHS } from "../../src/config/restart.js";
import { RouteSlots } from "../../src/config/route-slots.js";
import type { Settings, SettingsInput } from "../../src/config/settings.js";

function settingsOf(input: unknown): Settings {
  const checked = checkSettings(input);
  assert.ok(checked.ok, JSON.stringify(checked));
  return checked.settings;
}

/** As a running proxy has them: the same for one plan and the next. */
const SLOTS = new RouteSlots();

function planOf(input: unknown): Plan {
  return compilePlan(settingsOf(input), { workers: 2, addresses: new Map(), slots: SLOTS });
}

/** What changes from one document to another, in words. */
function changesOf(before: SettingsInput, after: SettingsInput): readonly string[] {
  const [a, b] = [planOf(before), planOf(after)];
  return describeChange(a, diffPlans(a, placeListeners(a, b))).map(({ path, says }) => `${path}: ${says}`);
}

const target = (port: number) => `http://127.0.0.1:${port}`;

/** Targets, some of them with a weight or a tier. */
const targets = fc.uniqueArray(
  fc.record({
    address: fc.integer({ min: 9000, max: 9006 }).map(target),
    weight: fc.integer({ min: 1, max: 3 }),
    tier: fc.constantFrom("primary", "backup"),
  }),
  { minLength: 1, maxLength: 5, selector: (one) => one.address },
);

const origin = fc.record(
  {
    targets,
    connectMs: fc.constantFrom(100, 200),
    balance: fc.constantFrom("roundRobin", "leastConnections"),
    httpVersions: fc.constantFrom(["1.1"], ["2"]),
    health: fc.constantFrom({}, { tcp: true }, { tcp: true, intervalMs: 500 }),
    sticky: fc.constantFrom(false, { cookie: "a" }),
  },
  { requiredKeys: ["targets"] },
);

/** Settings whose parts come, go, change and move. */
const documents = fc
  .record({
    names: fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { minLength: 1 }),
    origins: fc.array(origin, { minLength: 4, maxLength: 4 }),
    ports: fc.uniqueArray(fc.integer({ min: 8080, max: 8084 }), { minLength: 1, maxLength: 3 }),
    proxied: fc.boolean(),
    clientIdleMs: fc.constantFrom(1000, 2000),
    via: fc.boolean(),
    routes: fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.constantFrom("/", "/x/")), { maxLength: 4 }),
  })
  .map(({ names, origins, ports, proxied, clientIdleMs, via, routes }): unknown => {
    const nameAt = (place: number) => names[place % names.length] ?? "a";
    const listed = routes.map(([to, then, prefix], index) => ({
      name: `r${index % 3}-${to}`,
      match: { host: `h${index}.example.org`, path: `${prefix}${index}/*` },
      forwardTo: nameAt(to),
      ...(nameAt(to) === nameAt(then) ? {} : { escalate: [{ on: [502], to: nameAt(then) }] }),
    }));
    return {
      listeners: ports.map((port) => ({ address: `127.0.0.1:${port}`, proxyProtocol: proxied })),
      origins: Object.fromEntries(names.map((name, index) => [name, origins[index]])),
      timeouts: { clientIdleMs },
      forwarding: { via, trustedProxies: ["127.0.0.1"] },
      routes: [...listed, { name: "rest", forwardTo: nameAt(0) }],
    };
  });

describe("the difference of two plans", () => {
  it("gives the second when it is applied to the first, and is nothing between equals", () => {
    fc.assert(
      fc.property(documents, documents, (one, other) => {
        const before = planOf(one);
        const after = placeListeners(before, planOf(other));
        const change = diffPlans(before, after);
        assert.deepEqual(applyChange(before, change), after);
        assert.ok(isNoChange(diffPlans(after, after)));
        assert.equal(isNoChange(change), describeChange(before, change).length === 0);
      }),
      { numRuns: 400 },
    );
  });

  it("holds for a row of plans, whose listeners never lose their places", () => {
    fc.assert(
      fc.property(fc.array(documents, { minLength: 2, maxLength: 6 }), ([first, ...others]) => {
        let plan = planOf(first);
        for (const other of others) {
          const next = placeListeners(plan, planOf(other));
          for (const [place, { address, port }] of plan.listeners.entries()) {
            assert.deepEqual([next.listeners[place]?.address, next.listeners[place]?.port], [address, port]);
          }
          const open = next.listeners.filter((one) => one.gone !== true);
          const written = planOf(other).listeners;
          assert.deepEqual(new Set(open), new Set(written));
          assert.ok(next.listeners.length <= 5, "an address that comes back gets its place back");
          plan = applyChange(plan, diffPlans(plan, next));
          assert.deepEqual(plan, next);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("is as small as can be: what only moves because others come and go has not changed", () => {
    const route = (name: string) => ({ name, match: { host: `${name}.example.org` }, forwardTo: name });
    const before = {
      origins: { a: { targets: target(9000) }, b: { targets: target(9001) } },
      routes: [route("a"), route("b")],
    };
    const after = { origins: { b: { targets: target(9001) } }, routes: [route("b")] };
    assert.deepEqual(changesOf(before, after), ["origins.a: removed", "routes.a: removed"]);
    assert.deepEqual(changesOf(after, before), ["origins.a: added", "routes.a: added"]);
  });

  it("is said by the paths of the settings, without values", () => {
    const before = { listeners: ["127.0.0.1:8080"], origins: { a: { targets: [target(9000), target(9001)] } } };
    const after = {
      listeners: ["127.0.0.1:8081"],
      origins: { a: { targets: [target(9001), target(9002)], connectMs: 77 } },
      timeouts: { clientIdleMs: 77 },
    };
    assert.deepEqual(changesOf(before, after), [
      "timeouts: changed",
      "listeners: main: removed",
      "listeners: main: added",
      "origins.a.connectMs: changed",
      "origins.a.targets: 127.0.0.1:9000 at 127.0.0.1 removed",
      "origins.a.targets: 127.0.0.1:9002 at 127.0.0.1 added",
    ]);
  });
});

describe("settings that take a restart", () => {
  const base: SettingsInput = { workers: 2, origins: { a: { targets: target(9000) } } };

  it("are named with their path, all at once, and nothing else is", () => {
    const other = settingsOf({
      ...base,
      workers: 3,
      pool: { shards: 1, steal: false },
      accessLog: {},
      admin: {},
      timeouts: { clientIdleMs: 77 },
      listeners: ["127.0.0.1:8081"],
    });
    const paths = complainOfRestart(settingsOf(base), other).map(({ path }) => path);
    assert.deepEqual(paths, ["workers", "pool.shards", "pool.steal", "accessLog", "admin"]);
    assert.deepEqual(complainOfRestart(other, other), []);
    for (const path of paths) assert.ok(RESTART_ONLY_PATHS.includes(path));
  });
});
