/** The stale race with all methods at once; `STALE_RUNS=100000`, or `npm run soak:stale`, runs it at length. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { raceStale } from "../support/stale-race.js";

const RUNS = Number(process.env["STALE_RUNS"] ?? "3000");

test(`S4-07 S4-09 ${RUNS} requests to an origin that leaves: none that may be repeated fails, no POST runs twice`, {
  timeout: 200_000,
}, async () => {
  const { runs, failed, twice, unexplained, lost, repeats, seenInTime } = await raceStale(RUNS);
  assert.deepEqual({ failed, twice, unexplained }, { failed: [], twice: [], unexplained: [] });
  assert.ok(repeats + seenInTime > 0, "the race was never run");
  assert.ok(lost <= runs * 0.02, `${lost} of ${runs} were lost: most closes are seen in time`);
});
