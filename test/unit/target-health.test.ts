/**
 * Promises of the state machine of one target: every row of its table, and what holds whatever happens.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decideEjections, type Tally } from "../../src/control/ejection.js";
import { ALIKE_MS, LocalAlarm, QUIET_MS } from "../../src/control/local-alarm.js";
import { Scheduler } from "../../src/control/scheduler.js";
import {
  dueMs,
  type Health,
  type HealthEvent,
  handleEvent,
  newHealth,
  stateOf,
} from "../../src/control/target-health.js";
import type { EjectionPolicy, HealthPolicy } from "../../src/shared/policies.js";
import { FakeClock } from "../support/fake-clock.js";
import { PLAIN_POLICY } from "../support/fake-targets.js";

const CHECKED: HealthPolicy = { ...PLAIN_POLICY, check: { rise: 2, fall: 3 } };
const good: HealthEvent = { kind: "check", ok: true, why: "" };
const bad: HealthEvent = { kind: "check", ok: false, why: "connect_refused" };

function requests(succeeded: number, failed: number, inflight = 0, failuresInRow = failed): HealthEvent {
  return { kind: "requests", succeeded, failed, failuresInRow, inflight, why: "eof_before_headers" };
}

/** A target under a policy, and the time. */
class Story {
  nowMs = 5000;
  health: Health = newHealth(this.nowMs);
  readonly policy: HealthPolicy;

  constructor(policy: HealthPolicy) {
    this.policy = policy;
  }

  sees(...events: readonly HealthEvent[]): this {
    for (const event of events) this.health = handleEvent(this.policy, this.health, event, this.nowMs).health;
    return this;
  }

  after(ms: number): this {
    this.nowMs += ms;
    return this.sees({ kind: "time" });
  }

  is(state: string, core: string = state): this {
    assert.equal(this.health.phase.state, state);
    assert.equal(stateOf(this.health.phase), core);
    return this;
  }
}

function story(policy: HealthPolicy = PLAIN_POLICY): Story {
  return new Story(policy);
}

describe("S2-11 a target goes UP → DOWN → SUSPECT → UP", () => {
  it("down after failures in a row, and a success between them clears the row", () => {
    story().sees(requests(0, 2), requests(1, 0), requests(0, 2)).is("up").sees(requests(0, 1)).is("down");
    story().sees(requests(5, 2)).is("up").sees(requests(0, 1)).is("down");
    story()
      .sees(requests(5, 40, 0, 0))
      .is("up");
  });

  it("down after failures within the window, whatever succeeds between them", () => {
    const policy = { ...PLAIN_POLICY, passive: { ...PLAIN_POLICY.passive, windowMs: 500 } };
    story(policy).sees(requests(9, 2)).after(400).sees(requests(9, 1)).is("down");
    story(policy).sees(requests(0, 2)).after(501).sees(requests(0, 1)).is("up");
  });

  it("suspect when its time is over, and not before", () => {
    story().sees(requests(0, 3)).after(999).is("down").after(1).is("suspect");
  });

  it("up with the first success, down again with the first failure, for twice as long each time", () => {
    const again = story().sees(requests(0, 3)).after(1000).is("suspect").sees(requests(0, 1)).is("down");
    again
      .after(1999)
      .is("down")
      .after(1)
      .is("suspect")
      .sees(requests(0, 1))
      .after(3999)
      .is("down")
      .after(1)
      .is("suspect");
    again.sees(requests(1, 0)).is("up");
  });

  it("never longer out of use than the policy's maximum", () => {
    const long = story().sees(requests(0, 3));
    for (let fall = 0; fall < 30; fall++) {
      const due = dueMs(long.health.phase) ?? 0;
      assert.ok(due - long.nowMs <= 8000);
      long
        .after(due - long.nowMs)
        .is("suspect")
        .sees(requests(0, 1))
        .is("down");
    }
  });

  it("forgiven when it was up for as long as it had been down", () => {
    const back = story()
      .sees(requests(0, 3))
      .after(1000)
      .sees(requests(0, 1))
      .after(2000)
      .sees(requests(1, 0))
      .is("up");
    back.after(2000).sees(requests(0, 3)).is("down").after(1000).is("suspect");
    const soon = story().sees(requests(0, 3)).after(1000).sees(requests(1, 0)).is("up").after(10).sees(requests(0, 3));
    soon.after(1999).is("down").after(1).is("suspect");
  });

  it("a suspect target gets as many tries at once as the policy's rise, then none until one has ended", () => {
    const tried = story(CHECKED).sees(requests(0, 3)).after(1000).is("suspect");
    tried
      .sees(requests(0, 0, 1))
      .is("suspect")
      .sees(requests(0, 0, 2))
      .is("suspect", "down");
    tried
      .sees(requests(0, 0, 2))
      .is("suspect", "down")
      .sees(requests(0, 0, 1))
      .is("suspect");
    tried
      .sees(requests(0, 0, 2))
      .is("suspect", "down")
      .sees(requests(1, 0, 1))
      .is("up");
  });

  it("of tries that ended together the latest counts", () => {
    story()
      .sees(requests(0, 3))
      .after(1000)
      .sees(requests(1, 1, 0, 0))
      .is("up");
    story()
      .sees(requests(0, 3))
      .after(1000)
      .sees(requests(1, 1, 0, 1))
      .is("down");
  });
});

describe("active checks", () => {
  it("put a target down after `fall` bad ones in a row, and only a good one brings it back to be tried", () => {
    const checked = story(CHECKED).sees(bad, bad, good, bad, bad).is("up").sees(bad).is("down");
    assert.equal(dueMs(checked.health.phase), null);
    checked.after(1_000_000).is("down").sees(good).is("suspect").sees(good).is("up");
  });

  it("bring a target back within one interval, and put a suspect one down at once", () => {
    story(CHECKED)
      .sees(bad, bad, bad)
      .is("down")
      .sees(good)
      .is("suspect")
      .sees(bad)
      .is("down")
      .sees(good)
      .is("suspect");
  });

  it("bring back what requests put down, the first time; later only time does", () => {
    const flapping = story(CHECKED)
      .sees(requests(0, 3))
      .is("down")
      .sees(good)
      .is("suspect")
      .sees(requests(0, 1))
      .is("down");
    flapping.sees(good, good, good).is("down").after(2000).is("suspect");
  });

  it("that fail keep a target down whose time is over", () => {
    story(CHECKED).sees(requests(0, 3), bad, bad, bad).after(1000).is("down").sees(good).is("suspect");
  });

  it("with rise 1 bring it up at once", () => {
    story({ ...CHECKED, check: { rise: 1, fall: 1 } })
      .sees(bad)
      .is("down")
      .sees(good)
      .is("up");
  });
});

describe("draining by hand", () => {
  it("ends only by hand, and goes back to where the target was", () => {
    const drained = story(CHECKED).sees({ kind: "drain" }).is("draining");
    drained
      .sees(bad, bad, bad, requests(0, 9), { kind: "eject", why: "" }, { kind: "drain" })
      .after(1e9)
      .is("draining");
    drained.sees({ kind: "undrain" }).is("up").sees(bad, bad).is("up");
    story().sees(requests(0, 3), { kind: "drain" }).is("draining").sees({ kind: "undrain" }).is("suspect");
    story().sees({ kind: "undrain" }).is("up");
  });
});

const anyEvent: fc.Arbitrary<HealthEvent> = fc.oneof(
  fc.record({ kind: fc.constant("check" as const), ok: fc.boolean(), why: fc.constant("w") }),
  fc.record({
    kind: fc.constant("requests" as const),
    succeeded: fc.nat(3),
    failed: fc.nat(4),
    failuresInRow: fc.nat(4),
    inflight: fc.nat(4),
    why: fc.constant("w"),
  }),
  fc.constantFrom<HealthEvent>({ kind: "time" }, { kind: "eject", why: "w" }, { kind: "drain" }, { kind: "undrain" }),
);

/** What may follow what, as the table in target-health.ts says. */
const EXITS: Readonly<Record<string, readonly string[]>> = {
  up: ["down", "draining"],
  down: ["suspect", "up", "draining"],
  suspect: ["up", "down", "draining"],
  draining: ["up", "suspect"],
};

describe("whatever happens to a target", () => {
  const policies = fc.record({
    check: fc.option(fc.record({ rise: fc.integer({ min: 1, max: 3 }), fall: fc.integer({ min: 1, max: 3 }) })),
    passive: fc.record({
      level: fc.constantFrom(0 as const, 1 as const, 4 as const),
      failures: fc.integer({ min: 1, max: 4 }),
      windowMs: fc.constantFrom(0, 300),
      downMs: fc.integer({ min: 1, max: 500 }),
      downMsMax: fc.integer({ min: 500, max: 5000 }),
    }),
    ejection: fc.constant(null),
  });

  it("it moves only along the table, keeps its bounds, and is never down for ever without checks", () => {
    const steps = fc.array(fc.tuple(fc.nat(700), anyEvent), { maxLength: 60 });
    fc.assert(
      fc.property(policies, steps, (policy, list) => {
        const one = story(policy);
        for (const [waitMs, event] of list) {
          one.nowMs += waitMs;
          const from = one.health.phase;
          const { health, reason } = handleEvent(policy, one.health, event, one.nowMs);
          if (health.phase.state !== from.state) {
            assert.ok(EXITS[from.state]?.includes(health.phase.state), `${from.state} → ${health.phase.state}`);
            assert.notEqual(reason, null, "no change without a reason");
          }
          if (reason === null) assert.deepEqual(health.phase, from, "no reason without a change");
          const due = dueMs(health.phase);
          if (due !== null) assert.ok(due - one.nowMs <= policy.passive.downMsMax);
          if (health.phase.state === "down" && policy.check === null) assert.notEqual(due, null);
          if (from.state === "draining") assert.ok(event.kind === "undrain" || health.phase.state === "draining");
          one.health = health;
        }
      }),
    );
  });

  it("it comes back: once good checks and successes go on, it is up", () => {
    fc.assert(
      fc.property(policies, fc.array(anyEvent, { maxLength: 40 }), (policy, list) => {
        const one = story(policy).sees(...list);
        one.sees({ kind: "undrain" });
        for (let round = 0; round < 4; round++) one.after(10_000).sees(good, requests(1, 0));
        one.is("up");
      }),
    );
  });
});

describe("statistical ejection", () => {
  const policy: EjectionPolicy = {
    intervalMs: 1000,
    requestsMin: 10,
    targetsMin: 3,
    deviations: 1.3,
    percentMax: 30,
    ejectMs: 100,
    ejectMsMax: 1000,
  };
  const tally = (target: number, succeeded: number, failed: number, more: Partial<Tally> = {}): Tally => ({
    target,
    succeeded,
    failed,
    isUp: true,
    isEjected: false,
    ...more,
  });

  it("takes out what succeeds markedly less often than its siblings", () => {
    const found = decideEjections(policy, [tally(0, 99, 1), tally(1, 100, 0), tally(2, 60, 40), tally(3, 100, 0)]);
    assert.deepEqual(
      found.map((one) => one.target),
      [2],
    );
    assert.match(found[0]?.why ?? "", /^60\.0 % of its requests succeeded, below 67\.\d %/);
  });

  it("compares only targets that had enough requests, and only when there are enough of them", () => {
    assert.deepEqual(decideEjections(policy, [tally(0, 100, 0), tally(1, 100, 0), tally(2, 1, 8)]), []);
    assert.deepEqual(
      decideEjections(
        { ...policy, targetsMin: 5 },
        [0, 1, 2, 3].map((n) => tally(n, n ? 50 : 0, 50)),
      ),
      [],
    );
  });

  it("leaves all in use that fail alike", () => {
    assert.deepEqual(
      decideEjections(
        policy,
        [0, 1, 2, 3].map((n) => tally(n, 10, 90)),
      ),
      [],
    );
  });

  it("never takes out more than its share of the targets, but one", () => {
    const counts = fc.record({ succeeded: fc.nat(200), failed: fc.nat(200), isUp: fc.boolean() });
    fc.assert(
      fc.property(fc.array(counts, { maxLength: 30 }), fc.nat(100), fc.nat(5), (list, percentMax, ejectedBefore) => {
        const tallies = list.map((one, target) => tally(target, one.succeeded, one.failed, one));
        const out = Array.from({ length: ejectedBefore }, (_, n) =>
          tally(100 + n, 0, 0, { isUp: false, isEjected: true }),
        );
        const found = decideEjections({ ...policy, percentMax, deviations: 0.5 }, [...tallies, ...out]);
        const most = Math.max(1, Math.floor(((list.length + ejectedBefore) * percentMax) / 100));
        assert.ok(found.length === 0 || found.length + ejectedBefore <= most);
        for (const { target } of found) assert.ok(tallies[target]?.isUp && tallies[target].failed > 0);
      }),
    );
  });

  it("keeps a target out for longer each time it is ejected soon again", () => {
    const ejecting = story({ ...PLAIN_POLICY, ejection: policy })
      .sees({ kind: "eject", why: "slow" })
      .is("down");
    ejecting.after(100).is("suspect").sees(requests(1, 0)).is("up").sees({ kind: "eject", why: "slow" });
    ejecting.after(199).is("down").after(1).is("suspect");
  });
});

describe("S1-03 the alarm about this host's own faults", () => {
  it("is raised when three different origins fail alike within a second, and not again at once", () => {
    const alarm = new LocalAlarm();
    assert.equal(alarm.handleFault("local_resource", "a", 0), null);
    assert.equal(alarm.handleFault("local_resource", "a", 1), null);
    assert.equal(alarm.handleFault("local_resource", "b", 2), null);
    assert.equal(alarm.handleFault("tls_local_error", "c", 3), null, "another way to fail");
    assert.deepEqual(alarm.handleFault("local_resource", "c", 4), ["a", "b", "c"]);
    assert.equal(alarm.handleFault("local_resource", "d", 5), null);
    for (const origin of ["a", "b"]) assert.equal(alarm.handleFault("local_resource", origin, 5 + QUIET_MS), null);
    assert.equal(alarm.handleFault("local_resource", "c", 6 + QUIET_MS + ALIKE_MS), null, "too long after the others");
  });
});

describe("the scheduler", () => {
  it("has no timer when nothing is due, one however much is, and keeps times and replacements", () => {
    const clock = new FakeClock();
    const rang: string[] = [];
    const scheduler = new Scheduler((thrown) => rang.push(`failed: ${thrown}`), clock);
    const start = scheduler.nowMs;
    assert.equal(clock.armed, 0);
    scheduler.at("late", start + 300, () => rang.push("late"));
    scheduler.at("early", start + 100, () => rang.push("early"));
    scheduler.at("moved", start + 50, () => rang.push("never"));
    scheduler.at("moved", start + 200, () => rang.push("moved"));
    scheduler.atLatest("late", start + 900, () => rang.push("never"));
    scheduler.at("gone", start + 10, () => rang.push("never"));
    scheduler.cancel("gone");
    assert.equal(clock.armed, 1);
    clock.advance(150);
    assert.deepEqual(rang, ["early"]);
    assert.equal(scheduler.armedAtMs, start + 200);
    clock.advance(150);
    assert.deepEqual(rang, ["early", "moved", "late"]);
    assert.equal(clock.armed, 0);
    const broken = () => {
      throw "broken";
    };
    scheduler.at("broken", start + 310, broken);
    scheduler.at("after", start + 310, () => rang.push("after"));
    clock.advance(10);
    assert.deepEqual(rang.slice(3), ["failed: broken", "after"]);
    scheduler.at("again", start + 400, () => rang.push("never"));
    scheduler.close();
    assert.equal(clock.armed, 0);
  });
});
