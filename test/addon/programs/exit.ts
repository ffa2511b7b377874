/**
 * Leaves by `process.exit(7)` while a proxy is at work. Argument: when.
 */
import assert from "node:assert/strict";
import { pause } from "../../support/wire.js";
import { ask, Crowd, openTunnel, portOf, proxyTo, recordThreads, startOrigin, until } from "./kit.js";

const EXIT_CODE = 7;

const when = process.argv[2] ?? "";
const thread = recordThreads();
const origin = await startOrigin();
const proxy = proxyTo(origin, { accessLog: when === "logging" ? { to: "/dev/null" } : false });

/** Requests that nobody will answer, and tunnels that are open. */
async function occupy(port: number): Promise<void> {
  await Promise.all(Array.from({ length: 8 }, () => openTunnel(port)));
  for (let count = 0; count < 8; count++) ask(port, "/slow").catch(() => {});
  await until("requests in flight", () => proxy.stats().all.counters.exchanges_open >= 8);
  assert.equal(proxy.stats().all.counters.tunnels_open, 8);
}

/** Brings the proxy to the moment of leaving; resolves when it is there, or leaves from a callback of its own. */
const moments: Readonly<Record<string, () => Promise<void>>> = {
  starting: async () => {
    void proxy.start();
    await pause(Number(process.argv[3]));
  },
  started: async () => void (await portOf(proxy)),
  "in-flight": async () => occupy(await portOf(proxy)),
  "under-load": async () => new Crowd(await portOf(proxy), 32).answersMore(200),
  logging: async () => new Crowd(await portOf(proxy), 32).answersMore(200),
  stopping: async () => {
    await occupy(await portOf(proxy));
    void proxy.stop();
    await pause(20);
  },
  replacing: async () => {
    await new Crowd(await portOf(proxy), 8).answersMore(8);
    proxy.on("workerReplaced", () => process.exit(EXIT_CODE));
    await thread("edge worker 0")?.terminate();
    await pause(5000);
    throw new Error("nobody was replaced");
  },
  terminating: async () => {
    await occupy(await portOf(proxy));
    void thread("edge worker 0")?.terminate();
    void thread("acceptor")?.terminate();
  },
};

const moment = moments[when];
if (moment === undefined) throw new Error(`leave when? "${when}" is not known`);
await moment();
process.exit(EXIT_CODE);
