/**
 * `npm run soak:stale -- --runs 100000`: the stale race at length, in chunks of 20,000 requests, each against a proxy of
 * its own. Ends with 1 when a client saw what it must not see.
 */
import { parseArgs } from "node:util";
import { raceStale } from "../../test/support/stale-race.js";

const CHUNK = 20_000;

const { values } = parseArgs({ options: { runs: { type: "string", default: "20000" } } });
const wanted = Number(values.runs);
if (!Number.isInteger(wanted) || wanted < 1) throw new Error(`--runs: "${values.runs}" is not a whole number above 0`);

let [runs, lost, bad, repeats, seenInTime] = [0, 0, 0, 0, 0];
while (runs < wanted) {
  const result = await raceStale(Math.min(CHUNK, wanted - runs));
  const wrong = [...result.failed, ...result.twice, ...result.unexplained];
  for (const one of wrong.slice(0, 10)) console.log(`wrong: ${one}`);
  runs += result.runs;
  lost += result.lost;
  bad += wrong.length;
  repeats += result.repeats;
  seenInTime += result.seenInTime;
  console.log(
    `${runs} requests: ${bad} wrong, ${lost} POST answered 502 with the reason, ${repeats} repeated unseen, ${seenInTime} closes seen before the write`,
  );
}
process.exitCode = bad === 0 ? 0 : 1;
