/**
 * Promises of the plan: what settings compile to, field for field, and how numbers cross the border.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { unpack } from "msgpackr";
import { checkSettings } from "../../src/config/check.js";
import { compilePath } from "../../src/config/paths.js";
import { compilePlan, encodePlan, namesToResolve } from "../../src/config/plan.js";
import type { Plan } from "../../src/config/plan-types.js";
import { OTHER_SLOT, RouteSlots } from "../../src/config/route-slots.js";
import type { SettingsInput } from "../../src/config/settings.js";

/** The plan of settings that must be right, for two workers. */
function planOf(input: SettingsInput, names: Readonly<Record<string, readonly string[]>> = {}): Plan {
  const checked = checkSettings(input);
  assert.ok(checked.ok, JSON.stringify(checked));
  return compilePlan(checked.settings, { workers: 2, addresses: new Map(Object.entries(names)) });
}

/** What a route forwards by that says nothing of it. */
const POLICY_DEFAULT = {
  unrepeatable: { kind: "reuseIfRecent", withinMs: 5000 },
  firstByteMs: null,
  betweenBytesMs: null,
  totalMs: null,
  retry: {
    attempts: 3,
    statuses: [],
    perTryMs: 0,
    backoffMs: 25,
    backoffMaxMs: 250,
    retryAfter: true,
    idempotencyKey: true,
  },
  escalate: [],
  answers: [],
  halfClose: "finish",
  connectionAuth: "bound",
  requestBodyBytes: null,
  answerBodyBytes: 0,
};

describe("the plan", () => {
  it("of one origin forwards everything to it", () => {
    const plan = planOf({ origins: { api: { targets: "http://127.0.0.1:9000" } } });
    assert.deepEqual(plan.listeners, [{ name: "main", address: "127.0.0.1", port: 8080, backlog: 4096 }]);
    assert.deepEqual(plan.pool, { shards: 2, steal: true, connections: 0, queueLength: 1024, queueWaitMs: 5000 });
    assert.deepEqual(plan.origins, [
      {
        name: "api",
        targets: [{ label: "127.0.0.1:9000", address: "127.0.0.1", port: 9000, weight: 1, tier: 0 }],
        host: { kind: "client" },
        connectMs: 3000,
        firstByteMs: 30_000,
        betweenBytesMs: 30_000,
        idleMs: 4000,
        ageMs: 0,
        requests: 0,
        targetConnections: 0,
        targetIdle: 1024,
        connections: 0,
        totalMs: 0,
        idleLearn: true,
        ageJitterPercent: 30,
        standby: 0,
        tcpKeepaliveMs: 0,
        tcpUserTimeoutMs: 0,
        localAddress: null,
        matchOn: ["ip"],
        balance: { kind: "roundRobin" },
        sticky: null,
        slowStartMs: 0,
        panicPercent: 50,
        health: null,
      },
    ]);
    const action = {
      kind: "forward",
      origin: 0,
      rewrite: null,
      requestFields: [],
      answerFields: [],
      policy: POLICY_DEFAULT,
    };
    assert.deepEqual(plan.routes, [
      { name: "all", slot: 0, hosts: [], path: { kind: "any" }, methods: [], headers: [], action },
    ]);
  });

  it("carries listeners, targets and policies in every notation", () => {
    const plan = planOf(
      {
        workers: 2,
        listeners: [":80", { name: "six", address: "[::1]:0", backlog: 5 }, "localhost:1"],
        pool: { shards: 1 },
        forwarding: { trustedProxies: ["10.0.0.0/8", "::1"] },
        accessLog: {},
        origins: {
          a: { targets: ["http://app.internal", { address: "[::1]:7", weight: 3 }], host: "target" },
          b: { targets: "127.0.0.1:1", host: "www.example.org" },
        },
        routes: [{ forwardTo: "b" }, { forwardTo: "a" }],
      },
      { "app.internal": ["10.0.0.1", "10.0.0.2"] },
    );
    assert.deepEqual(plan.listeners, [
      { name: "main", address: "0.0.0.0", port: 80, backlog: 4096 },
      { name: "six", address: "::1", port: 0, backlog: 5 },
      { name: "listener-3", address: "127.0.0.1", port: 1, backlog: 4096 },
    ]);
    assert.deepEqual(plan.origins[0]?.targets, [
      { label: "app.internal:80", address: "10.0.0.1", port: 80, weight: 1, tier: 0 },
      { label: "app.internal:80", address: "10.0.0.2", port: 80, weight: 1, tier: 0 },
      { label: "[::1]:7", address: "::1", port: 7, weight: 3, tier: 0 },
    ]);
    assert.deepEqual(plan.origins[0]?.host, { kind: "target" });
    assert.deepEqual(plan.origins[1]?.host, { kind: "literal", value: "www.example.org" });
    assert.deepEqual(plan.forwarding.trusted, [
      { address: "10.0.0.0", prefixBits: 8 },
      { address: "::1", prefixBits: 128 },
    ]);
    assert.equal(plan.accessLog, true);
    assert.equal(plan.pool.shards, 1);
    assert.deepEqual(
      plan.routes.map((route) => route.name),
      ["route-1", "route-2"],
    );
  });

  it("carries matches, edits, answers and redirects", () => {
    const plan = planOf({
      origins: { api: { targets: "127.0.0.1:1" } },
      routes: [
        {
          name: "all of it",
          match: { host: ["Example.ORG", "*.b.org"], path: "/a/*", method: "GET", header: { "X-A": "1", "X-B": true } },
          forwardTo: "api",
          rewrite: { prefix: "/v2/" },
          requestHeaders: { add: { "X-N": ["1", "2"] }, set: { "X-S": "s" }, remove: ["X-R"] },
        },
        { match: { path: "/down" }, answer: { status: 503, headers: { "Retry-After": "9" }, body: "später\n" } },
        { redirect: { to: "https://{host}{path}" } },
      ],
    });
    assert.deepEqual(plan.routes[0], {
      name: "all of it",
      slot: 0,
      hosts: ["example.org", "*.b.org"],
      path: { kind: "prefix", value: "/a" },
      methods: ["GET"],
      headers: [
        { name: "x-a", value: "1" },
        { name: "x-b", value: null },
      ],
      action: {
        kind: "forward",
        origin: 0,
        rewrite: { kind: "prefix", from: "/a", to: "/v2" },
        requestFields: [
          { kind: "remove", name: "X-R" },
          { kind: "set", name: "X-S", value: "s" },
          { kind: "add", name: "X-N", value: "1" },
          { kind: "add", name: "X-N", value: "2" },
        ],
        answerFields: [],
        policy: POLICY_DEFAULT,
      },
    });
    const fields = [{ name: "Retry-After", value: "9" }];
    const body = Buffer.from("später\n");
    assert.deepEqual(
      plan.routes.map(({ slot }) => slot),
      [0, 1, 2],
    );
    assert.deepEqual(plan.routes[1]?.action, { kind: "answer", status: 503, fields, body });
    assert.deepEqual(plan.routes[2]?.action, { kind: "redirect", status: 308, location: "https://{host}{path}" });
  });

  it("counts a route where one of its name was counted before, and those that are too many at the last place", () => {
    const slots = new RouteSlots();
    const slotsOf = (names: readonly string[]) => {
      const routes = names.map((name) => ({ name, answer: { status: 200 } }));
      const checked = checkSettings({
        routes: [...routes, { forwardTo: "api" }],
        origins: { api: { targets: "127.0.0.1:1" } },
      });
      assert.ok(checked.ok);
      return compilePlan(checked.settings, { workers: 1, addresses: new Map(), slots }).routes.map(({ slot }) => slot);
    };
    assert.deepEqual(slotsOf(["a", "b"]), [0, 1, 2]);
    assert.deepEqual(slotsOf(["c", "b"]), [3, 1, 2], "b stays where it is; nobody takes the place of a");
    const many = Array.from({ length: 100 }, (_, at) => `r${at}`);
    assert.deepEqual(slotsOf(many).slice(0, 60).at(-1), OTHER_SLOT);
    assert.deepEqual(slotsOf(["a", "r99"]), [0, OTHER_SLOT, 2]);
    assert.deepEqual([slots.names.length, slots.names[3]], [OTHER_SLOT, "c"]);
  });

  it("reads each notation of a path as one match", () => {
    assert.deepEqual(compilePath(undefined), { kind: "any" });
    assert.deepEqual(compilePath("/*"), { kind: "any" });
    assert.deepEqual(compilePath("/"), { kind: "exact", value: "/" });
    assert.deepEqual(compilePath("/a"), { kind: "exact", value: "/a" });
    assert.deepEqual(compilePath("/a/*"), { kind: "prefix", value: "/a" });
    assert.deepEqual(compilePath("/a/**"), { kind: "prefix", value: "/a/" });
    assert.deepEqual(compilePath("/a/*/b"), { kind: "pattern", value: "/a/*/b" });
    assert.deepEqual(compilePath("/a*"), { kind: "pattern", value: "/a*" });
    assert.deepEqual(compilePath("/*/b/*"), { kind: "pattern", value: "/*/b/*" });
  });

  it("keeps whole numbers whole on the wire, beyond 32 bits too", () => {
    const requestBodyBytes = Number.MAX_SAFE_INTEGER;
    const document = encodePlan(planOf({ origins: { api: { targets: "127.0.0.1:1" } }, limits: { requestBodyBytes } }));
    const wire = Buffer.from(document);
    assert.ok(!wire.includes(0xcb), "no 64-bit float anywhere in the document");
    const read = unpack(wire) as { limits: { requestBodyBytes: number | bigint }; version: number };
    assert.equal(BigInt(read.limits.requestBodyBytes), BigInt(requestBodyBytes));
    assert.equal(read.version, 1);
  });

  it("names what must be resolved, each name once and no address", () => {
    const checked = checkSettings({
      origins: { api: { targets: ["a.test:1", "a.test:2", "http://b.test", "127.0.0.1:1", "[::1]:1"] } },
    });
    assert.ok(checked.ok);
    assert.deepEqual(namesToResolve(checked.settings), ["a.test", "b.test"]);
  });
});
