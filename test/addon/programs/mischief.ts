/**
 * JavaScript that goes wrong inside an edge worker: the thread is replaced and the proxy serves on. One that never
 * returns gets no new connections, and still does not keep the proxy from stopping.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { BroadcastChannel } from "node:worker_threads";
import {
  Crowd,
  expectAnswer,
  expectSameGround,
  groundNow,
  portOf,
  proxyTo,
  recordThreads,
  retire,
  startOrigin,
} from "./kit.js";
import type { Mischief } from "./mischief-edge.js";

const EXPECTED: readonly (readonly [Mischief["kind"], RegExp])[] = [
  ["throw", /a stranger threw/],
  ["reject", /a stranger rejected/],
  ["exit", /ended with code 3/],
];

const stranger = new URL("./mischief-edge.js", import.meta.url);
const thread = recordThreads((url) => (url.pathname.endsWith("/workers/edge.js") ? stranger : url));
const channel = new BroadcastChannel("mischief");
const origin = await startOrigin();

function tell(kind: Mischief["kind"], title: string): void {
  const victim = thread(title);
  assert.ok(victim !== undefined);
  channel.postMessage({ kind, threadId: victim.threadId } satisfies Mischief);
}

async function replaced(): Promise<void> {
  const proxy = proxyTo(origin);
  const port = await portOf(proxy);
  const crowd = new Crowd(port, 8);
  for (const [kind, reason] of EXPECTED) {
    await crowd.answersMore(8);
    const death = once(proxy, "workerReplaced", { signal: AbortSignal.timeout(10_000) });
    tell(kind, "edge worker 1");
    const [told] = (await death) as [{ worker: number; reason: string }];
    assert.equal(told.worker, 1);
    assert.match(told.reason, reason);
  }
  await crowd.stop();
  await retire(proxy);
}

async function stuck(): Promise<void> {
  const proxy = proxyTo(origin);
  const port = await portOf(proxy);
  const spinning = new Promise((resolve) => {
    channel.onmessage = resolve;
  });
  tell("spin", "edge worker 1");
  await spinning;
  // The first connection that lies unread in its inbox is the one that shows it; it is lost with the worker.
  const first = Array.from({ length: 4 }, () => expectAnswer(port).catch(() => "lost"));
  await new Promise((resolve) => setTimeout(resolve, 700));
  for (let count = 0; count < 20; count++) await expectAnswer(port, "/not-to-the-stuck-one");
  const sinceMs = performance.now();
  await proxy.stop({ deadlineMs: 100 });
  assert.ok(performance.now() - sinceMs < 5000, "a worker that never returns is terminated");
  await Promise.all(first);
}

await replaced();
const before = groundNow();
await replaced();
await stuck();
await expectSameGround(before);
channel.close();
await origin.close();
