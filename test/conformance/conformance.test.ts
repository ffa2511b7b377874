/**
 * The conformance table, played against Millrace over real sockets: one test a row, named by what it says.
 */
import { strict as assert } from "node:assert";
import { after, before, describe, test } from "node:test";
import { Scene } from "../support/scene.js";
import { GROUPS } from "./cases/index.js";
import { type Bench, benchScript, judgeAnswer, judgeRequest } from "./judge.js";
import { BENCH_SETTINGS, ORIGIN_SETTINGS } from "./settings.js";

for (const group of GROUPS) {
  describe(`conformance: ${group.name}`, () => {
    let scene: Scene;
    let bench: Bench;
    before(async () => {
      scene = await Scene.open({ origin: benchScript, settings: BENCH_SETTINGS, originSettings: ORIGIN_SETTINGS });
      bench = { port: scene.port, origin: scene.origin, patienceMs: 4_000 };
    });
    after(async () => {
      scene.origin.troubles.length = 0; // they were judged case by case
      await scene.end();
    });
    for (const row of group.cases) {
      test(`${row.level}, RFC ${row.rfc}: ${row.name}`, async () => {
        const complaints = row.kind === "request" ? await judgeRequest(row, bench) : await judgeAnswer(row, bench);
        assert.deepEqual(complaints, []);
      });
    }
  });
}
