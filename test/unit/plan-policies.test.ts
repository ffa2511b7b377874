/**
 * Promises of the plan's part about connections, targets and failures: each notation compiles to what the core reads, the
 * core takes it, and the control plane gets its numbers.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkSettings } from "../../src/config/check.js";
import { compilePlan, encodePlan, namesToResolve } from "../../src/config/plan.js";
import { compileHealth } from "../../src/config/plan-origins.js";
import type { Plan, PlanAction, PlanOrigin } from "../../src/config/plan-types.js";
import type { Settings, SettingsInput } from "../../src/config/settings.js";
import { loadNative } from "../../src/native.js";
import type { DnsPolicy } from "../../src/shared/policies.js";

type OriginInput = NonNullable<SettingsInput["origins"]>[string];
type RouteInput = NonNullable<SettingsInput["routes"]>[number];

const API: OriginInput = { targets: "127.0.0.1:1" };

function settingsOf(input: SettingsInput): Settings {
  const checked = checkSettings(input);
  assert.ok(checked.ok, JSON.stringify(checked));
  return checked.settings;
}

/** The plan for two workers, which the core must take. */
function planOf(input: SettingsInput): Plan {
  const plan = compilePlan(settingsOf(input), { workers: 2, addresses: new Map() });
  loadNative().checkPlan(encodePlan(plan));
  return plan;
}

function originOf(says: Partial<OriginInput>): PlanOrigin {
  return planOf({ origins: { api: { ...API, ...says } as OriginInput } }).origins[0] ?? assert.fail();
}

function forwardOf(says: RouteInput, more: Readonly<Record<string, OriginInput>> = {}) {
  const action: PlanAction | undefined = planOf({
    origins: { api: API, ...more },
    routes: [{ forwardTo: "api", ...says }],
  }).routes[0]?.action;
  assert.ok(action?.kind === "forward");
  return action.policy;
}

describe("the plan of connections", () => {
  it("S4-01: carries every switch of persistence, of both sides, with its times", () => {
    const plan = planOf({
      origins: { api: { ...API, idleMs: 60_000, ageMs: 3_600_000 } },
      persistence: { client: false, origin: false, afterErrors: false, clientAgeMs: 900_000 },
      timeouts: { clientIdleMs: 120_000 },
    });
    assert.deepEqual(plan.persistence, { client: false, origin: false, afterErrors: false, clientAgeMs: 900_000 });
    assert.equal(plan.timeouts.clientIdleMs, 120_000);
    assert.deepEqual([plan.origins[0]?.idleMs, plan.origins[0]?.ageMs], [60_000, 3_600_000]);
    assert.deepEqual(planOf({ origins: { api: API } }).persistence, {
      client: true,
      origin: true,
      afterErrors: true,
      clientAgeMs: 0,
    });
  });

  it("carries the retry budget, the spool and the zone, each with its default", () => {
    const plain = planOf({ origins: { api: API } });
    assert.deepEqual(plain.retryBudget, { percent: 20, perSecond: 10 });
    assert.deepEqual(plain.spool, { folder: "", requestBytes: 0, totalBytes: 0 });
    assert.equal(plain.zone, "");
    const plan = planOf({
      origins: { api: API },
      retryBudget: { percent: 0 },
      spool: { folder: "/var/tmp", requestBytes: 1_000_000, totalBytes: 8_000_000_000 },
      zone: "eu-1",
    });
    assert.deepEqual(plan.retryBudget, { percent: 0, perSecond: 10 });
    assert.deepEqual(plan.spool, { folder: "/var/tmp", requestBytes: 1_000_000, totalBytes: 8_000_000_000 });
    assert.equal(plan.zone, "eu-1");
  });

  it("S0-05: carries the words that must match, and none where nothing is shared", () => {
    assert.deepEqual(originOf({ match: "host" }).matchOn, ["host"]);
    assert.deepEqual(originOf({ match: ["ip", "hostonly"] }).matchOn, ["ip", "hostonly"]);
    assert.deepEqual(originOf({ match: ["both", "ip", "host", "both"] }).matchOn, ["both"]);
    assert.deepEqual(originOf({ match: ["ip", "none"] }).matchOn, []);
  });

  it("reads each scope as shards and stealing", () => {
    const poolOf = (scope: "thread" | "global" | "hybrid") => {
      const { shards, steal } = planOf({ origins: { api: API }, pool: { scope } }).pool;
      return [shards, steal];
    };
    assert.deepEqual(poolOf("thread"), [2, false]);
    assert.deepEqual(poolOf("global"), [1, true]);
    assert.deepEqual(poolOf("hybrid"), [2, true]);
  });

  it("carries the numbers of an origin", () => {
    const numbers = {
      connections: 100,
      totalMs: 60_000,
      idleLearn: false,
      ageJitterPercent: 10,
      standby: 3,
      tcpKeepaliveMs: 15_000,
      tcpUserTimeoutMs: 20_000,
      localAddress: "127.0.0.9",
      slowStartMs: 30_000,
    };
    const origin = originOf(numbers);
    for (const [name, value] of Object.entries(numbers)) assert.equal(origin[name as keyof PlanOrigin], value, name);
  });
});

describe("the plan of targets", () => {
  it("carries each way to choose one", () => {
    assert.deepEqual(originOf({ balance: "twoChoices" }).balance, { kind: "twoChoices" });
    const hashed = (consistentHash: "path" | { readonly header: string } | { readonly cookie: string }) =>
      originOf({ balance: { consistentHash } }).balance;
    assert.deepEqual(hashed("path"), { kind: "consistentHash", by: { kind: "path" }, boundPercent: 125 });
    assert.deepEqual(hashed({ header: "X-User" }), {
      kind: "consistentHash",
      by: { kind: "header", name: "x-user" },
      boundPercent: 125,
    });
    assert.deepEqual(hashed({ cookie: "Sid" }), {
      kind: "consistentHash",
      by: { kind: "cookie", name: "Sid" },
      boundPercent: 125,
    });
    assert.deepEqual(originOf({ sticky: { cookie: "node" } }).sticky, { name: "node", maxAgeS: 0 });
  });

  it("carries tiers, numbered without gaps, and zones", () => {
    const { targets } = originOf({
      targets: [
        { address: "127.0.0.1:1", zone: "eu-1" },
        { address: "127.0.0.1:2", tier: "backup", weight: 5 },
        { address: "127.0.0.1:3", tier: 7 },
      ],
    });
    assert.deepEqual(
      targets.map(({ port, tier, zone, weight }) => [port, tier, zone, weight]),
      [
        [1, 0, "eu-1", 1],
        [2, 1, undefined, 5],
        [3, 2, undefined, 1],
      ],
    );
  });

  it("makes of a service what its SRV records say, each priority a tier behind the target's own", () => {
    const input: SettingsInput = {
      origins: { api: { targets: [{ address: "srv+http://_http._tcp.Example.org", weight: 2, tier: 3 }] } },
    };
    const service = "_http._tcp.example.org";
    const settings = settingsOf(input);
    assert.deepEqual(namesToResolve(settings), [service]);
    const places = [
      { address: "10.0.0.1", port: 81, weight: 5, rank: 2 },
      { address: "::1", port: 82, weight: 0, rank: 0 },
    ];
    const plan = compilePlan(settings, { workers: 1, addresses: new Map([[service, places]]) });
    loadNative().checkPlan(encodePlan(plan));
    assert.deepEqual(plan.origins[0]?.targets, [
      { label: service, address: "10.0.0.1", port: 81, weight: 10, tier: 1 },
      { label: service, address: "::1", port: 82, weight: 2, tier: 0 },
    ]);
  });

  it("says why an origin has no targets", () => {
    const settings = settingsOf({ origins: { api: { targets: "http://a.test" }, plain: API }, routes: [] });
    const unresolved = new Map([["a.test", "dns_timeout" as const]]);
    const { origins } = compilePlan(settings, { workers: 1, addresses: new Map([["a.test", []]]), unresolved });
    assert.deepEqual(
      origins.map((origin) => [origin.targets.length, origin.unresolved]),
      [
        [0, "dns_timeout"],
        [1, undefined],
      ],
    );
  });
});

describe("the plan of health", () => {
  it("gives the core its checks, and the control plane the numbers to judge them by", () => {
    const input: SettingsInput = {
      origins: {
        api: { ...API, health: { http: { path: "/up", statuses: [204, "3xx"] }, rise: 4, fall: 5, panicPercent: 10 } },
        tcp: { ...API, health: { tcp: true, intervalMs: 1000, jitterPercent: 0, timeoutMs: 500 } },
        plain: { ...API, health: { ejection: { deviations: 1.25 }, passive: { level: 1 } } },
      },
      routes: [{ forwardTo: "api", escalate: [{ to: "tcp" }, { to: "plain" }, { to: "http://127.0.0.1:9" }] }],
    };
    const [api, tcp, plain] = planOf(input).origins;
    assert.deepEqual(api?.health, {
      probe: {
        kind: "http",
        path: "/up",
        host: "",
        statuses: [
          { from: 204, to: 204 },
          { from: 300, to: 399 },
        ],
        bodyContains: "",
      },
      intervalMs: 5000,
      jitterPercent: 20,
      timeoutMs: 2000,
    });
    assert.equal(api?.panicPercent, 10);
    assert.deepEqual(tcp?.health, { probe: { kind: "tcp" }, intervalMs: 1000, jitterPercent: 0, timeoutMs: 500 });
    assert.equal(plain?.health, null);

    const policies = compileHealth(settingsOf(input));
    assert.deepEqual([...policies.keys()], ["api", "tcp", "plain", "127.0.0.1:9"]);
    const passive = { level: 4, failures: 5, windowMs: 0, downMs: 5000, downMsMax: 60_000 };
    assert.deepEqual(policies.get("api"), { check: { rise: 4, fall: 5 }, passive, ejection: null });
    assert.deepEqual(policies.get("127.0.0.1:9"), { check: null, passive, ejection: null });
    assert.deepEqual(policies.get("plain"), {
      check: null,
      passive: { ...passive, level: 1 },
      ejection: {
        intervalMs: 10_000,
        requestsMin: 100,
        targetsMin: 4,
        deviations: 1.25,
        percentMax: 30,
        ejectMs: 30_000,
        ejectMsMax: 300_000,
      },
    });
  });

  it("gives the control plane how to look names up", () => {
    const dns: DnsPolicy = settingsOf({ origins: { api: API }, dns: { servers: ["[::1]:53"] } }).dns;
    assert.deepEqual(dns, {
      refreshMinMs: 1000,
      refreshMaxMs: 300_000,
      negativeMs: 5000,
      timeoutMs: 2000,
      servers: ["[::1]:53"],
    });
  });
});

describe("the plan of policies", () => {
  it("carries what a route says of connections, times, sizes and halves", () => {
    const policy = forwardOf({
      unrepeatable: { reuseIfRecentMs: 2000 },
      timeouts: { firstByteMs: 100, betweenBytesMs: 200, totalMs: 0 },
      limits: { requestBodyBytes: 0, answerBodyBytes: 6_000_000_000 },
      halfClose: "propagate",
      connectionAuth: "never",
    });
    assert.deepEqual(policy.unrepeatable, { kind: "reuseIfRecent", withinMs: 2000 });
    assert.deepEqual([policy.firstByteMs, policy.betweenBytesMs, policy.totalMs], [100, 200, 0]);
    assert.deepEqual([policy.requestBodyBytes, policy.answerBodyBytes], [0, 6_000_000_000]);
    assert.deepEqual([policy.halfClose, policy.connectionAuth], ["propagate", "never"]);
    assert.deepEqual(forwardOf({ unrepeatable: "standby" }).unrepeatable, { kind: "standby" });
  });

  it("carries retries, and one attempt where they are switched off", () => {
    const { retry } = forwardOf({
      retry: { attempts: 2, statuses: [502, "503-504"], perTryMs: 250, retryAfter: false },
    });
    assert.deepEqual(retry, {
      attempts: 2,
      statuses: [
        { from: 502, to: 502 },
        { from: 503, to: 504 },
      ],
      perTryMs: 250,
      backoffMs: 25,
      backoffMaxMs: 250,
      retryAfter: false,
      idempotencyKey: true,
    });
    assert.equal(forwardOf({ retry: false }).retry.attempts, 1);
  });

  it("S2-03: carries escalation to named origins and to addresses, which become origins of their own", () => {
    const input: SettingsInput = {
      origins: { api: API, backup: API },
      routes: [
        {
          forwardTo: "api",
          escalate: [
            { on: [429, "connect_refused"], to: "backup", anyMethod: true },
            { on: ["no_healthy_target"], to: "http://last.test:81" },
          ],
        },
        { match: { path: "/b" }, forwardTo: "backup", escalate: [{ to: "last.test:81" }] },
      ],
    };
    const settings = settingsOf(input);
    assert.deepEqual(namesToResolve(settings), ["last.test"]);
    const plan = compilePlan(settings, { workers: 1, addresses: new Map([["last.test", ["10.0.0.9"]]]) });
    loadNative().checkPlan(encodePlan(plan));
    assert.deepEqual(
      plan.origins.map((origin) => origin.name),
      ["api", "backup", "last.test:81"],
    );
    const [first, second] = plan.routes.map((route) => (route.action.kind === "forward" ? route.action.policy : null));
    assert.deepEqual(first?.escalate, [
      { statuses: [{ from: 429, to: 429 }], faults: ["connect_refused"], origin: 1, anyMethod: true, cacheS: 10 },
      { statuses: [], faults: ["no_healthy_target"], origin: 2, anyMethod: false, cacheS: 10 },
    ]);
    assert.equal(second?.escalate[0]?.origin, 2);
    assert.deepEqual(second?.escalate[0]?.statuses, [{ from: 500, to: 599 }]);
  });

  it("carries the operator's answers, each with its failures", () => {
    const { answers } = forwardOf({
      answers: [{ on: [504], status: 503, headers: { "Retry-After": "9" }, body: "später\n" }, { status: 500 }],
    });
    assert.deepEqual(answers, [
      {
        faults: ["connect_timeout", "tls_timeout", "header_timeout", "body_timeout", "dns_timeout", "total_timeout"],
        status: 503,
        fields: [{ name: "Retry-After", value: "9" }],
        body: Buffer.from("später\n"),
      },
      { faults: [], status: 500, fields: [], body: Buffer.from("") },
    ]);
  });
});
