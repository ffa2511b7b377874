/**
 * Promises of profiles: one a worker at a time, and an end to each, whatever the worker does.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Profiles } from "../../src/control/profiles.js";

describe("profiles of workers", () => {
  it("end with what the worker sends, and another may begin", async () => {
    const profiles = new Profiles();
    const asked: string[] = [];
    const first = profiles.take(0, 10, () => asked.push("first"));
    await assert.rejects(
      profiles.take(0, 10, () => asked.push("too soon")),
      { code: "MILLRACE_STATE" },
    );
    const other = profiles.take(1, 10, () => asked.push("other"));
    profiles.handleAnswer(0, { ok: true, profile: "{}" });
    profiles.handleAnswer(1, { ok: false, says: "no inspector" });
    assert.deepEqual(await first, { ok: true, profile: "{}" });
    assert.deepEqual(await other, { ok: false, says: "no inspector" });
    const again = profiles.take(0, 10, () => asked.push("again"));
    profiles.handleAnswer(0, { ok: true, profile: "2" });
    assert.deepEqual(await again, { ok: true, profile: "2" });
    assert.deepEqual(asked, ["first", "other", "again"]);
  });

  it("end with a reason when the worker dies, or says nothing; what it sends later is nobody's", async () => {
    const profiles = new Profiles(20);
    const dying = profiles.take(0, 10, () => {});
    profiles.handleDeath(0);
    assert.deepEqual(await dying, { ok: false, says: "worker 0 died while it was profiled" });
    // The timer of a profile keeps no process alive, so something else must here.
    const alive = setTimeout(() => {}, 10_000);
    const silent = await profiles.take(1, 10, () => {});
    clearTimeout(alive);
    assert.deepEqual(silent, { ok: false, says: "worker 1 did not answer in time" });
    profiles.handleAnswer(1, { ok: true, profile: "late" });
    profiles.handleDeath(2);
  });
});
