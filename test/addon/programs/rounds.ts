/**
 * Starts and stops a whole proxy again and again, with requests in between, and looks at what each hundred rounds left
 * behind. Argument: how many rounds.
 */
import { Agent } from "node:http";
import { expectAnswer, expectSameGround, groundNow, portOf, proxyTo, startOrigin } from "./kit.js";

const rounds = Number(process.argv[2]);
/** Rounds after which caches, thread pools and compiled code are what they stay. */
const WARM_ROUNDS = 50;
/**
 * Growth of resident memory allowed over all rounds after the warm ones, in MiB. Bare threads of Node alone grow a process
 * by a dozen, and not every time by as many; one worker's read buffer forgotten in each round would be 75.
 */
const GROWTH_MIB_MAX = 48;

const origin = await startOrigin();

async function round(): Promise<void> {
  const proxy = proxyTo(origin);
  const port = await portOf(proxy);
  const agent = new Agent({ keepAlive: true });
  await expectAnswer(port, "/one", agent);
  await Promise.all([expectAnswer(port, "/two", agent), expectAnswer(port, "/three")]);
  agent.destroy();
  await proxy.stop({ deadlineMs: 2000 });
}

for (let done = 0; done < WARM_ROUNDS; done++) await round();
const before = groundNow();
for (let done = WARM_ROUNDS; done < rounds; done++) await round();
const after = await expectSameGround(before, GROWTH_MIB_MAX);
await origin.close();
console.log(
  `resident ${before.residentMiB.toFixed(1)} → ${after.residentMiB.toFixed(1)} MiB, ${after.threads} threads`,
);
