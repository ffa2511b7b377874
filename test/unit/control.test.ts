/**
 * Promises of small parts of the control plane: CPUs, back-off, histograms, suggestions, the environment, names.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { applyEnvironment } from "../../src/config/env.js";
import { editDistance, suggest } from "../../src/config/suggest.js";
import { Backoff, DEATHS_AT_ONCE_MAX, WINDOW_MS } from "../../src/control/backoff.js";
import { cgroupCpuQuota, usableCpus } from "../../src/control/cpus.js";
import { bucketOf, bucketTop, quantile } from "../../src/shared/histogram.js";

/** A file system of a few files. */
function files(there: Readonly<Record<string, string>>): (path: string) => string | null {
  return (path) => there[path] ?? null;
}

describe("usable CPUs", () => {
  it("are the affinity where no cgroup limits them", () => {
    assert.equal(usableCpus(files({}), 6), 6);
    assert.equal(
      usableCpus(files({ "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "max 100000\n" }), 6),
      6,
    );
  });

  it("are the quota of cgroup v2, rounded up, the tightest on the way to the root", () => {
    const read = files({
      "/proc/self/cgroup": "0::/a/b\n",
      "/sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
      "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
    });
    assert.equal(cgroupCpuQuota(read), 1.5);
    assert.equal(usableCpus(read, 8), 2);
    assert.equal(usableCpus(read, 1), 1);
  });

  it("are the quota of cgroup v1, also seen from inside a container", () => {
    const read = files({
      "/proc/self/cgroup": "5:cpuset:/x\n4:cpu,cpuacct:/docker/123\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    });
    assert.equal(cgroupCpuQuota(read), 0.5);
    assert.equal(usableCpus(read, 8), 1);
    assert.equal(
      cgroupCpuQuota(files({ "/proc/self/cgroup": "4:cpu:/\n", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1" })),
      null,
    );
  });
});

describe("back-off", () => {
  it("replaces at once until a thread dies again and again, then waits longer each time", () => {
    const backoff = new Backoff();
    const waits = Array.from({ length: DEATHS_AT_ONCE_MAX + 4 }, (_, death) => backoff.handleDeath(death * 100, 100));
    assert.deepEqual(waits.slice(0, DEATHS_AT_ONCE_MAX), Array(DEATHS_AT_ONCE_MAX).fill(0));
    assert.deepEqual(waits.slice(DEATHS_AT_ONCE_MAX), [250, 500, 1000, 2000]);
  });

  it("forgives a thread that lived", () => {
    const backoff = new Backoff();
    for (let death = 0; death < 10; death++) backoff.handleDeath(death, 1);
    assert.equal(backoff.handleDeath(WINDOW_MS * 3, WINDOW_MS * 2), 0);
  });
});

describe("histograms", () => {
  it("put every value into a bucket at most value / 2^S wide", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer({ min: 1, max: 8 }), (value, subBits) => {
        const bucket = bucketOf(value, subBits);
        const top = bucketTop(bucket, subBits);
        assert.ok(value <= top, `${value} is above the top ${top} of its bucket`);
        assert.ok(top - value <= value / 2 ** subBits, `${top} is too far above ${value}`);
        assert.equal(bucketOf(top, subBits), bucket);
        if (top < Number.MAX_SAFE_INTEGER) assert.equal(bucketOf(top + 1, subBits), bucket + 1);
      }),
    );
  });

  it("give quantiles never below the true one and at most 1/2^S above", () => {
    const values = fc.array(fc.integer({ min: 0, max: 5_000_000 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (list, share) => {
        const counts: number[] = Array(512).fill(0);
        for (const value of list) counts[bucketOf(value, 3)] = (counts[bucketOf(value, 3)] ?? 0) + 1;
        const sorted = [...list].sort((a, b) => a - b);
        const truth = sorted[Math.max(1, Math.ceil(share * list.length)) - 1] ?? 0;
        const read = quantile(counts, 3, share);
        assert.ok(read >= truth && read <= truth * (1 + 1 / 8), `${read} for ${truth}`);
      }),
    );
    assert.equal(quantile([0, 0], 3, 0.5), 0);
  });
});

describe("suggestions", () => {
  it("find the word that was meant, and none for another word", () => {
    assert.equal(suggest("workrs", ["name", "workers"]), "workers");
    assert.equal(suggest("too", ["to"]), "to");
    assert.equal(suggest("headbytes", ["headBytes"]), "headBytes");
    assert.equal(suggest("zebra", ["name", "workers"]), null);
    assert.equal(editDistance("ab", "ba"), 1);
    assert.equal(editDistance("", "abc"), 3);
  });
});

describe("the environment", () => {
  const document = { listeners: [{ address: ":1" }], origins: { "my-api": { targets: ":1" } } };

  it("sets scalars wherever they stand", () => {
    const { document: changed, complaints } = applyEnvironment(document, {
      MILLRACE_WORKERS: "3",
      MILLRACE_NAME: "edge",
      MILLRACE_LIMITS__HEAD_BYTES: "4096",
      MILLRACE_POOL__STEAL: "false",
      MILLRACE_LISTENERS__0__ADDRESS: ":2",
      MILLRACE_ORIGINS__MY_API__IDLE_MS: "7",
      MILLRACE_ADMIN__ADDRESS: "127.0.0.1:3",
      MILLRACE_NATIVE_PATH: "/x",
      PATH: "/bin",
    });
    assert.deepEqual(complaints, []);
    assert.deepEqual(changed, {
      workers: 3,
      name: "edge",
      limits: { headBytes: 4096 },
      pool: { steal: false },
      listeners: [{ address: ":2" }],
      origins: { "my-api": { targets: ":1", idleMs: 7 } },
      admin: { address: "127.0.0.1:3" },
    });
    assert.deepEqual(document.listeners, [{ address: ":1" }], "the document itself is not changed");
  });

  it("complains of what names no setting or no single value", () => {
    const { complaints } = applyEnvironment(document, {
      MILLRACE_LIMITS__HED_BYTES: "1",
      MILLRACE_ORIGINS__MY_API: "x",
    });
    assert.deepEqual(complaints, [
      { path: "MILLRACE_LIMITS__HED_BYTES", says: 'names no setting: limits.hedBytes; did you mean "headBytes"?' },
      {
        path: "MILLRACE_ORIGINS__MY_API",
        says: "origins.my-api is not a single value; set it in a settings file",
      },
    ]);
  });
});
