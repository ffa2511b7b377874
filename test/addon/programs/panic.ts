/**
 * Twenty panics: each edge worker, and the acceptor, is replaced within a second, while the connections of a worker that is left in peace see
 * no failed request.
 */
import assert from "node:assert/strict";
import { Agent } from "node:http";
import type { Millrace } from "../../../src/index.js";
import {
  Crowd,
  expectAnswer,
  expectNothingLeft,
  expectReplacement,
  portOf,
  proxyTo,
  retire,
  startOrigin,
  until,
} from "./kit.js";

/** Edge workers that panic; the one after them is left in peace. */
const EDGE_VICTIMS = 3;
const WORKERS = EDGE_VICTIMS + 1;
/** All that panic, as the core numbers them: the acceptor comes after the workers. */
const VICTIMS: readonly number[] = [...Array.from({ length: EDGE_VICTIMS }, (_, worker) => worker), WORKERS];
/** Five deaths of one seat are replaced without a wait. */
const PANICS_A_VICTIM = 5;

const origin = await startOrigin();

/** Which worker holds an idle connection more than in an earlier reading. */
function newHolder(proxy: Millrace, before: readonly number[]): number {
  return openByWorker(proxy).findIndex((open, worker) => open > (before[worker] ?? 0));
}

function openByWorker(proxy: Millrace): readonly number[] {
  return proxy.stats().workers.map((row) => row.counters.client_connections_open);
}

/** Kept connections to the last worker, and to nobody else: they ask for as long as they are told to. */
class Peaceful {
  answers = 0;
  readonly #loops: Promise<void>[] = [];
  readonly #agents: Agent[] = [];
  #going = true;

  async connect(proxy: Millrace, port: number, worker: number, count: number): Promise<void> {
    // Those of other workers are kept until the end, or the acceptor would find everybody else less loaded.
    const elsewhere: Agent[] = [];
    while (this.#agents.length < count) {
      const before = openByWorker(proxy);
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      await expectAnswer(port, "/hello", agent);
      (newHolder(proxy, before) === worker ? this.#agents : elsewhere).push(agent);
    }
    for (const agent of elsewhere) agent.destroy();
    for (const agent of this.#agents) this.#loops.push(this.#loop(port, agent));
  }

  async stop(): Promise<void> {
    this.#going = false;
    await Promise.all(this.#loops);
    for (const agent of this.#agents) agent.destroy();
  }

  async #loop(port: number, agent: Agent): Promise<void> {
    while (this.#going) {
      await expectAnswer(port, "/peace", agent);
      this.answers += 1;
    }
  }
}

/** One panic; fails when the replacement takes a second. */
async function loseTo(proxy: Millrace, victim: number): Promise<void> {
  const { worker, reason } = await expectReplacement(proxy, `number ${victim}`, () => proxy.provokePanic(victim));
  assert.equal(worker, victim === WORKERS ? "acceptor" : victim);
  assert.match(reason, /^a test asked (worker \d|the acceptor) to panic$/);
}

async function lifetime(): Promise<void> {
  const proxy = proxyTo(origin, { workers: WORKERS });
  const port = await portOf(proxy);
  const peaceful = new Peaceful();
  await peaceful.connect(proxy, port, EDGE_VICTIMS, 4);
  const crowd = new Crowd(port, 8);
  for (let panic = 0; panic < PANICS_A_VICTIM; panic++) {
    for (const victim of VICTIMS) {
      await crowd.answersMore(4);
      const answered = peaceful.answers;
      await loseTo(proxy, victim);
      await until("an answer of the worker in peace", () => peaceful.answers > answered, 100);
    }
  }
  await crowd.stop();
  await peaceful.stop();
  assert.equal(proxy.stats().workersReplaced, VICTIMS.length * PANICS_A_VICTIM);
  assert.equal(proxy.stats().workers[EDGE_VICTIMS]?.counters.client_closes_worker_lost, 0);
  await retire(proxy);
}

await expectNothingLeft(lifetime);
await origin.close();
