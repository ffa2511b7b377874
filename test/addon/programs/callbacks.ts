/**
 * Edge threads whose callbacks misbehave in every way JavaScript knows. Whatever a thread does, the process lives, the
 * thread ends as JavaScript says it does, and the next one in its place serves. Run with `--expose-gc`.
 */
import assert from "node:assert/strict";
import type { Worker } from "node:worker_threads";
import { Bare, hears } from "./bare.js";
import type { Conduct } from "./bare-edge.js";
import { ask, expectAnswer, expectSameGround, groundNow, startOrigin } from "./kit.js";

const ROUNDS = 4;
const TERMINATIONS_IN_TURN = 10;

const origin = await startOrigin();

/** Whoever misbehaves may lose the connection it is asked on. */
function provoke(bare: Bare): Promise<unknown> {
  return ask(bare.port, "/provoke").catch(() => "lost");
}

/** Not `events.once`, which an error would reject. */
function exitOf(edge: Worker): Promise<number> {
  return new Promise((resolve) => edge.once("exit", resolve));
}

async function leaves(edge: Worker): Promise<void> {
  const code = exitOf(edge);
  edge.postMessage({ kind: "stop" });
  assert.equal(await code, 0);
}

async function stepsOf(edge: Worker): Promise<readonly string[]> {
  const told = hears(edge, "steps");
  edge.postMessage({ kind: "steps" });
  return (await told).steps;
}

/** The thread dies of what its callback throws. */
async function dies(
  bare: Bare,
  conduct: Conduct,
  of: RegExp,
  kill: () => unknown = () => provoke(bare),
): Promise<void> {
  const edge = await bare.seat(conduct);
  const error = new Promise<Error>((resolve) => edge.once("error", resolve));
  const code = exitOf(edge);
  const asked = kill();
  assert.match((await error).message, of);
  assert.equal(await code, 1);
  await asked;
}

async function diesOfExceptions(bare: Bare): Promise<void> {
  await dies(bare, "throw", /^thrown in a turn$/);
  await dies(bare, "throw-in-tick", /^thrown in a tick$/);
  await dies(bare, "reject", /^rejected in a turn$/);
  await dies(bare, "stop-and-throw", /^thrown after a stop$/);
  await dies(bare, "throw-on-failure", /^thrown on failure$/, () => bare.provokePanic());
}

async function livesOn(bare: Bare): Promise<void> {
  const edge = await bare.seat("throw-and-live");
  for (let count = 0; count < 5; count++) await expectAnswer(bare.port);
  const steps = await stepsOf(edge);
  assert.ok(steps.length >= 5 && steps.every((step) => step === "thrown in a turn"), steps.join());
  await leaves(edge);
}

async function ticksInOrder(bare: Bare): Promise<void> {
  const edge = await bare.seat("ticks");
  for (let count = 0; count < 10; count++) await expectAnswer(bare.port);
  const steps = await stepsOf(edge);
  assert.ok(steps.length >= 30, steps.join());
  assert.match(steps.join(), /^(turn,tick,promise,?)+$/, "ticks and promises of a turn run before the next turn");
  await leaves(edge);
}

async function leavesByItself(bare: Bare): Promise<void> {
  const leaving = await bare.seat("exit");
  const code = exitOf(leaving);
  await provoke(bare);
  assert.equal(await code, 3);

  const stopping = await bare.seat("stop");
  const stopped = hears(stopping, "in-turn");
  await provoke(bare);
  await stopped;
  await leaves(stopping);
}

async function isRefusedASecondEngine(bare: Bare): Promise<void> {
  const edge = await bare.seat("start-again");
  for (let count = 0; count < 5; count++) await expectAnswer(bare.port);
  const steps = await stepsOf(edge);
  assert.ok(steps.length >= 5 && steps.every((step) => /already runs an engine/.test(step)), steps.join());
  await leaves(edge);
}

async function isTerminatedInATurn(bare: Bare): Promise<void> {
  for (let count = 0; count < TERMINATIONS_IN_TURN; count++) {
    const edge = await bare.seat("spin");
    const inTurn = hears(edge, "in-turn");
    const asked = provoke(bare);
    await inTurn;
    assert.equal(await edge.terminate(), 1);
    await asked;
  }
}

async function staysAfterAPanic(bare: Bare): Promise<void> {
  const edge = await bare.seat("ignore-failure");
  const failed = hears(edge, "failed");
  bare.provokePanic();
  assert.equal((await failed).says, "a test asked worker 0 to panic");
  await leaves(edge);
}

async function collectsGarbage(bare: Bare): Promise<void> {
  const edge = await bare.seat("collect");
  for (let count = 0; count < 20; count++) {
    await expectAnswer(bare.port);
    assert.ok(globalThis.gc !== undefined, "run with --expose-gc");
    globalThis.gc();
  }
  const steps = await stepsOf(edge);
  assert.ok(steps.length >= 20 && steps.every((step) => step === "function"), "collected in every turn");
  assert.ok(bare.stats.sum("requests") >= 20, "the stats block is where it was");
  await leaves(edge);
}

/** Every misbehaviour, and after each a thread that behaves. One worker takes connections itself; two have an acceptor. */
async function round(workers: number): Promise<void> {
  const bare = await Bare.open(origin, workers);
  for (const scene of [
    diesOfExceptions,
    livesOn,
    ticksInOrder,
    leavesByItself,
    isRefusedASecondEngine,
    isTerminatedInATurn,
    staysAfterAPanic,
    collectsGarbage,
  ]) {
    await scene(bare);
    const quiet = await bare.seat("quiet");
    await expectAnswer(bare.port, `/after-${scene.name}`);
    await leaves(quiet);
  }
  await bare.close();
}

await round(1);
await round(2);
const before = groundNow();
for (let done = 2; done < ROUNDS; done++) await round(1 + (done % 2));
await expectSameGround(before);
await origin.close();
