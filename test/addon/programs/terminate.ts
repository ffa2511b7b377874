/**
 * Terminates edge workers and acceptors of a proxy that is under load, again and again: each is replaced, the proxy
 * answers on, its books balance and nothing is left over.
 */
import assert from "node:assert/strict";
import {
  Crowd,
  expectAnswer,
  expectNothingLeft,
  expectReplacement,
  portOf,
  proxyTo,
  recordThreads,
  retire,
  startOrigin,
} from "./kit.js";

/** Deaths of one seat that are replaced without a wait; the next would only make the test slower. */
const DEATHS_A_SEAT = 5;
const EDGE_SEATS = 5;
const CLIENTS = 12;

const thread = recordThreads();
const origin = await startOrigin();

/** One proxy whose every seat loses its thread five times; the replacement comes within a second. */
async function lifetime(): Promise<void> {
  const proxy = proxyTo(origin, { workers: EDGE_SEATS });
  const port = await portOf(proxy);
  const crowd = new Crowd(port, CLIENTS);
  await crowd.answersMore(CLIENTS);
  for (let death = 0; death < DEATHS_A_SEAT; death++) {
    for (const title of [...Array.from({ length: EDGE_SEATS }, (_, index) => `edge worker ${index}`), "acceptor"]) {
      const victim = thread(title);
      assert.ok(victim !== undefined, `nobody sits in the seat of ${title}`);
      await expectReplacement(proxy, title, () => void victim.terminate());
      await crowd.answersMore(2);
    }
  }
  assert.equal(proxy.stats().workersReplaced, DEATHS_A_SEAT * (EDGE_SEATS + 1));
  await crowd.stop();
  await expectAnswer(port);
  await retire(proxy);
}

await expectNothingLeft(lifetime);
await origin.close();
