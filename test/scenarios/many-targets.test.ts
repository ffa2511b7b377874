/** Memory of an origin of many targets, at a tenth of what `npm run soak:targets` measures. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { footprint } from "../support/many-targets.js";

/** A tenth of the 32 MiB that 1,000 targets and 10,000 connections may take, and the noise of one process beside another. */
const GROWTH_MAX = 3.2 * (1 << 20) + 8 * (1 << 20);

test("100 targets with 1,000 idle connections take little memory", { timeout: 120_000 }, async () => {
  const { idle, grownBytes } = await footprint(100, 10);
  assert.ok(idle >= 1_000, `${idle} idle connections`);
  assert.ok(grownBytes < GROWTH_MAX, `${(grownBytes / (1 << 20)).toFixed(1)} MiB`);
});
