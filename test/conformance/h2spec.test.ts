/** h2spec against listeners of HTTP/2, with prior knowledge and over TLS: every case passes but those listed with a reason. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { buildH2spec, runH2spec, WITHOUT_H2SPEC } from "../support/h2spec.js";
import { priorKnowledge } from "../support/http2-scene.js";
import { Scene } from "../support/scene.js";
import { TlsWorld } from "../support/tls.js";

/** Cases that do not pass with prior knowledge, each with the sentence of an RFC that says they need not. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  "http2/3.5: Sends invalid connection preface":
    "RFC 9113 3.3: what does not begin with the preface is HTTP/1 on that port, and gets a 400 before the close",
};
/** Of generic, hpack and http2, the strict ones included; fewer would mean that the report was not read. */
const CASES = 146;
const world = new TlsWorld();

for (const tls of [false, true])
  test(`h2spec, ${tls ? "TLS" : "prior knowledge"}`, { timeout: 400_000, skip: WITHOUT_H2SPEC }, async (t) => {
    const missing = await buildH2spec();
    if (missing !== undefined) return t.skip(missing);
    const scene = await Scene.open({ settings: tls ? world.settings() : priorKnowledge() });
    try {
      const cases = await runH2spec(scene.port, { tls });
      for (const [at, { name, failure }] of cases.entries())
        await t.test(`${name} (${at + 1})`, () => {
          const reason = tls ? undefined : EXCEPTIONS[name];
          if (reason === undefined) assert.equal(failure, undefined);
          else assert.notEqual(failure, undefined, `it passes, although: ${reason}`);
        });
      assert.equal(cases.length, CASES);
    } catch (error) {
      await scene.abandon();
      throw error;
    }
    // What h2spec sends is cut off in the middle of bodies now and then; that is not the origin's trouble.
    scene.origin.troubles.length = 0;
    await scene.end();
  });
