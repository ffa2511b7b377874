/**
 * Promises of the keeper of health: what it hears, what it reads, what it tells the core, and that it rests when
 * nothing happens.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  HealthKeeper,
  HISTORY_MAX,
  LOOK_AGAIN_MS,
  LOOK_EVERY_MS,
  SUSPECT_LOOK_MS,
  SUSPECT_LOOK_MS_MAX,
} from "../../src/control/health.js";
import { Scheduler } from "../../src/control/scheduler.js";
import type { HealthPolicy, PassivePolicy } from "../../src/shared/policies.js";
import { FakeClock } from "../support/fake-clock.js";
import { FakeTargets, PLAIN_POLICY } from "../support/fake-targets.js";

/** A keeper over a fake core, and everything it said. */
class Scene {
  readonly clock = new FakeClock();
  readonly core = new FakeTargets();
  readonly said: { readonly level: string; readonly message: string; readonly fields: object }[] = [];
  readonly unreachable: string[] = [];
  readonly keeper: HealthKeeper;

  constructor(policy: HealthPolicy, origins: readonly string[]) {
    for (const origin of origins) this.core.add(origin);
    const say = (level: string) => (fields: object, message: string) => {
      this.said.push({ level, message, fields });
    };
    this.keeper = new HealthKeeper({
      port: this.core,
      policyOf: () => policy,
      scheduler: new Scheduler(assert.ifError, this.clock),
      log: { info: say("info"), warn: say("warn"), error: say("error") },
      handleUnreachable: (target) => this.unreachable.push(target.address),
      wallClockMs: () => 0,
    });
    this.keeper.look();
  }

  /** Fails as the core would: the counters, then a note. */
  fail(target: number, rung: 1 | 2 | 3 | 4, times = 1, faultClass = "eof_before_headers"): void {
    this.core.fail(target, rung, times);
    this.keeper.handleTrouble({ target, class: faultClass, rung });
    this.clock.advance(LOOK_EVERY_MS);
  }

  state(target: number): string {
    return this.core.at(target).state;
  }
}

function scene(policy: Partial<HealthPolicy> = {}, origins: readonly string[] = ["app", "app"]): Scene {
  return new Scene({ ...PLAIN_POLICY, ...policy }, origins);
}

function passive(more: Partial<PassivePolicy>): Partial<HealthPolicy> {
  return { passive: { ...PLAIN_POLICY.passive, ...more } };
}

describe("the last usable target of an origin", () => {
  it("S2-11 is never given up for what requests say alone, for refusing everything helps nobody", () => {
    const alone = scene(passive({ level: 4, failures: 1, windowMs: 0 }), ["app"]);
    alone.fail(0, 4, 5);
    assert.equal(alone.state(0), "up");
  });

  it("S2-11 goes down all the same when a check will notice its return", () => {
    const checked = scene({ ...passive({ level: 4, failures: 1, windowMs: 0 }), check: { rise: 1, fall: 1 } }, ["app"]);
    checked.fail(0, 4, 5);
    assert.equal(checked.state(0), "down");
  });
});

describe("S2-11 the keeper of health", () => {
  it("tells the core each change once, logs it with its reason, and brings the target back", () => {
    const it = scene();
    it.fail(0, 4, 2);
    assert.deepEqual(it.core.orders, []);
    it.fail(0, 4);
    it.clock.advance(500);
    assert.deepEqual(it.core.orders, ["0 down"]);
    it.clock.advance(500);
    assert.deepEqual(it.core.orders, ["0 down", "0 suspect"]);
    it.core.succeed(0);
    it.clock.advance(SUSPECT_LOOK_MS);
    assert.deepEqual(it.core.orders, ["0 down", "0 suspect", "0 up"]);
    assert.deepEqual(
      it.said.map((one) => `${one.level} ${one.message}`),
      ["warn a target is down", "info a target is tried again", "info a target is up"],
    );
    assert.deepEqual(it.said[0]?.fields, {
      origin: "app",
      target: "name:80",
      address: "10.0.0.0:80",
      from: "up",
      to: "down",
      reason: "3 requests failed in a row: eof_before_headers",
    });
  });

  it("reads nothing and has no timer while nothing fails", () => {
    const it = scene();
    assert.equal(it.core.looks, 1);
    it.clock.advance(3_600_000);
    assert.deepEqual([it.core.looks, it.clock.armed], [1, 0]);
    it.fail(0, 4);
    it.clock.advance(3_600_000);
    assert.deepEqual([it.core.looks, it.clock.armed], [3, 0], "one look for the note, one for what came behind it");
  });

  it("reads at most once in 20 ms however many notes arrive, and once more for what was not said", () => {
    const it = scene({}, Array(100).fill("app"));
    for (let note = 0; note < 1000; note++) it.keeper.handleTrouble({ target: note % 100, class: "x", rung: 4 });
    assert.equal(it.core.looks, 1);
    it.clock.advance(LOOK_EVERY_MS);
    assert.equal(it.core.looks, 2);
    it.core.fail(7, 4, 3);
    it.clock.advance(LOOK_AGAIN_MS);
    assert.equal(it.state(7), "down");
  });

  it("stops the tries of a suspect target that keeps silent, and judges when they end", () => {
    const it = scene();
    it.fail(0, 3, 3, "header_timeout");
    it.clock.advance(1000);
    assert.equal(it.state(0), "suspect");
    it.core.at(0).inflight = 2;
    it.clock.advance(SUSPECT_LOOK_MS);
    assert.equal(it.state(0), "down", "no more of it");
    it.clock.advance(20_000);
    it.core.at(0).inflight = 0;
    it.core.fail(0, 3, 2);
    it.clock.advance(SUSPECT_LOOK_MS);
    assert.deepEqual(it.core.orders, ["0 down", "0 suspect", "0 down"], "down already: the core is not told again");
    assert.equal(it.keeper.report()[0]?.health.state, "down");
  });

  it("looks at a suspect target ever more seldom while nobody tries it, and soon when somebody does", () => {
    const it = scene();
    it.fail(0, 3, 3);
    it.clock.advance(1000);
    assert.equal(it.state(0), "suspect");
    const before = it.core.looks;
    it.clock.advance(60_000);
    assert.ok(it.core.looks - before <= 65, `${it.core.looks - before} looks in a minute`);
    it.core.at(0).inflight = 1;
    it.clock.advance(SUSPECT_LOOK_MS_MAX);
    it.core.succeed(0);
    it.clock.advance(SUSPECT_LOOK_MS);
    assert.equal(it.state(0), "up");
  });

  it("keeps a bounded history of each target", () => {
    const it = scene(passive({ downMs: 10, downMsMax: 10 }));
    for (let round = 0; round < 20; round++) {
      it.fail(0, 4, 3);
      it.clock.advance(100);
      it.core.succeed(0);
      it.clock.advance(SUSPECT_LOOK_MS_MAX);
      assert.equal(it.state(0), "up");
    }
    const [first] = it.keeper.report();
    assert.equal(first?.health.history.length, HISTORY_MAX);
    assert.deepEqual(first?.health.history.at(-1), {
      at: "1970-01-01T00:00:00.000Z",
      from: "suspect",
      to: "up",
      reason: "a request succeeded",
    });
  });
});

describe("S2-13 what counts against health is a ladder", () => {
  for (const level of [0, 1, 2, 3, 4] as const) {
    it(`level ${level} counts the failures up to it and none above`, () => {
      for (const rung of [1, 2, 3, 4] as const) {
        const it = scene(passive({ level }));
        for (let failure = 0; failure < 5; failure++) it.fail(0, rung);
        assert.equal(it.state(0), rung <= level ? "down" : "up", `rung ${rung}`);
      }
    });
  }

  it("never counts our own limits: a full pool is trouble on rung 0", () => {
    const it = scene();
    for (let note = 0; note < 50; note++) {
      it.keeper.handleTrouble({ target: 0, class: "pool_full", rung: 0 });
      it.clock.advance(100);
    }
    assert.deepEqual(it.core.orders, []);
  });

  it("counts a connect timeout double", () => {
    const it = scene();
    it.fail(0, 1, 1, "connect_timeout");
    assert.equal(it.state(0), "up");
    it.fail(0, 1, 1, "connect_timeout");
    assert.equal(it.state(0), "down");
  });
});

describe("S1-03 faults of this host", () => {
  it("never mark a target down, and three origins failing alike raise one alarm", () => {
    const it = scene({}, ["a", "b", "c", "d"]);
    for (let round = 0; round < 50; round++) {
      for (const target of [0, 1, 2, 3]) it.keeper.handleTrouble({ target, class: "local_resource", rung: 0 });
    }
    it.clock.advance(1000);
    assert.deepEqual(it.core.orders, []);
    assert.equal(it.core.looks, 1);
    assert.deepEqual(
      it.said.map(({ level, fields }) => ({ level, fields })),
      [{ level: "error", fields: { class: "local_resource", origins: ["a", "b", "c"] } }],
    );
  });
});

describe("checks", () => {
  it("that the engine reports are judged by rise and fall", () => {
    const it = scene({ check: { rise: 2, fall: 2 } });
    const check = (ok: boolean) => it.keeper.handleCheck({ target: 1, ok, micros: 250, why: ok ? "" : "status 500" });
    check(false);
    check(false);
    assert.deepEqual(it.core.orders, ["1 down"]);
    check(true);
    check(true);
    assert.deepEqual(it.core.orders, ["1 down", "1 suspect", "1 up"]);
    const report = it.keeper.report()[1]?.health;
    assert.deepEqual([report?.lastCheckMicros, report?.history[0]?.reason], [250, "2 checks failed: status 500"]);
    it.keeper.handleCheck({ target: 99, ok: false, micros: 1, why: "a target that has gone" });
  });
});

describe("statistical ejection", () => {
  it("compares the targets of an origin an interval after a failure", () => {
    const ejection = {
      intervalMs: 1000,
      requestsMin: 10,
      targetsMin: 3,
      deviations: 1.3,
      percentMax: 50,
      ejectMs: 500,
      ejectMsMax: 5000,
    };
    const it = scene({ ejection, ...passive({ level: 0 }) }, ["app", "app", "app", "app", "other"]);
    for (const target of [0, 1, 2, 3]) it.core.succeed(target, 1_000_000);
    it.fail(2, 4);
    for (const target of [0, 1, 3]) it.core.succeed(target, 100);
    it.core.succeed(2, 50);
    it.core.fail(2, 4, 50);
    it.clock.advance(1000);
    assert.deepEqual(it.core.orders, ["2 down"]);
    assert.match(it.keeper.report()[2]?.health.history[0]?.reason ?? "", /50\.0 % of its requests succeeded/);
    it.clock.advance(500);
    it.core.succeed(2);
    it.clock.advance(SUSPECT_LOOK_MS);
    assert.equal(it.state(2), "up");
    it.clock.advance(60_000);
    assert.equal(it.clock.armed, 0);
  });
});

describe("draining by hand", () => {
  it("concerns a label or one address, is undone, and takes in what the name resolves to later", () => {
    const it = scene({}, ["app", "app", "other"]);
    assert.deepEqual(it.keeper.drain("app", "nobody:80", false), { concerned: 0, changed: 0 });
    assert.deepEqual(it.keeper.drain("app", "name:80", false), { concerned: 2, changed: 2 });
    assert.deepEqual(it.keeper.drain("app", "name:80", false), { concerned: 2, changed: 0 });
    assert.deepEqual(it.core.orders, ["0 draining", "1 draining"]);
    const later = it.core.add("app");
    it.keeper.look();
    assert.equal(it.state(later), "draining");
    assert.deepEqual(it.keeper.drain("app", "name:80", true), { concerned: 3, changed: 3 });
    assert.deepEqual(it.core.orders.slice(3), ["0 up", "1 up", "3 up"]);
    assert.deepEqual(it.keeper.drain("other", "10.0.0.2:80", false), { concerned: 1, changed: 1 });
    assert.equal(it.state(2), "draining");
  });
});

describe("targets that come and go with plans", () => {
  it("are forgotten when removed, and begin anew when they come back", () => {
    const it = scene();
    it.fail(0, 4, 3);
    it.core.at(0).state = "removed";
    it.keeper.look();
    assert.equal(it.keeper.report().length, 1);
    it.clock.advance(60_000);
    assert.deepEqual(it.core.orders, ["0 down"], "nobody moves what has gone");
    it.core.at(0).state = "down";
    it.keeper.look();
    assert.deepEqual(it.core.orders, ["0 down", "0 up"]);
  });

  it("that cannot be connected to are reported, for the order of address families", () => {
    const it = scene();
    it.fail(0, 1, 3, "connect_refused");
    it.fail(1, 4, 3);
    assert.deepEqual(it.unreachable, ["10.0.0.0"]);
  });
});
