/**
 * A process that writes into a store as fast as it can until it is killed, and what is true of the store then: each entry
 * is whole, with the body that belongs to it, or absent. Started as a program by `killRounds`.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { StoreWrite } from "../../src/shared/store.js";
import { type OpenedStore, openStore, purgeOf, put, readAll } from "./store.js";

const PROGRAM = fileURLToPath(import.meta.url);
/** So few names that entries are replaced, removed and evicted all the time. */
const NAMES = 400;
const QUOTA = 3_000_000;

/** A body that tells whose it is and in which version: its first line, then bytes that follow from it. */
function bodyOf(target: string, version: number, length: number): Buffer {
  const line = `${target} ${version} ${length}\n`;
  const filling = createHash("sha256").update(line).digest();
  return Buffer.concat([Buffer.from(line), Buffer.alloc(length, filling)]);
}

function isWhole(target: string, body: Buffer): boolean {
  const line = body.subarray(0, body.indexOf(10)).toString();
  const [name = "", version = "", length = ""] = line.split(" ");
  return name === target && bodyOf(target, Number(version), Number(length)).equals(body);
}

/** Numbers that follow from a seed, below `bound`. */
function dice(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** Writes until it is killed. */
async function writeOn(folder: string, seed: number): Promise<void> {
  const { store } = await openStore(folder, { bytes: QUOTA, bodyInlineBytes: 2000 });
  const throwDice = dice(seed);
  process.stdout.write("writing\n");
  for (let round = 0; ; round += 1) {
    const writes = Array.from({ length: 1 + throwDice(20) }, (): StoreWrite => {
      const target = `http://a/${throwDice(NAMES)}`;
      if (throwDice(10) === 0) return { kind: "removeTarget", target: Buffer.from(target), stamp: round - 1 };
      const body = bodyOf(target, round, throwDice(4) === 0 ? throwDice(60_000) : throwDice(2000));
      return put({ target, id: String(throwDice(2)), body, tags: [`tag${throwDice(5)}`], stamp: round });
    });
    await store.apply(writes);
    if (throwDice(50) === 0) await store.purge(purgeOf({ kind: "tag", name: `tag${throwDice(5)}` }, { stamp: round }));
    if (throwDice(5) === 0) await store.chore();
  }
}

/** What rounds of killing came to. */
export interface KillReport {
  /** Entries read back over all rounds. */
  readonly entries: number;
  /** What was not as it must be. */
  readonly faults: readonly string[];
}

/**
 * Kills a process that writes into the folder at random instants, each time reading back all that is there.
 *
 * @param first Of the seeds: each round has one.
 */
export async function killRounds(folder: string, rounds: number, first = 1): Promise<KillReport> {
  const faults: string[] = [];
  let entries = 0;
  for (let seed = first; seed < first + rounds; seed += 1) {
    const child = spawn(process.execPath, [PROGRAM, folder, String(seed)], { stdio: ["ignore", "pipe", "inherit"] });
    const exited = once(child, "exit");
    await Promise.race([once(child.stdout, "data"), exited]);
    if (child.exitCode !== null) throw new Error(`seed ${seed}: the writer ended by itself, with ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, dice(seed)(120)));
    child.kill("SIGKILL");
    await exited;
    const opened = await openStore(folder, { bytes: QUOTA, bodyInlineBytes: 2000 });
    for (const says of opened.said) faults.push(`seed ${seed}: ${says}`);
    const found = await readBack(opened);
    entries += found.entries;
    faults.push(...found.faults.map((fault) => `seed ${seed}: ${fault}`));
    await opened.close();
  }
  return { entries, faults };
}

async function readBack(opened: OpenedStore): Promise<KillReport> {
  const faults: string[] = [];
  let entries = 0;
  for (let number = 0; number < NAMES; number += 1) {
    const target = `http://a/${number}`;
    for (const [id, body] of await readAll(opened.reader, target)) {
      entries += 1;
      if (body === null) faults.push(`${target} ${id}: its file is missing or damaged`);
      else if (!isWhole(target, body)) faults.push(`${target} ${id}: wrong bytes`);
    }
  }
  if (opened.facts.get("variants") < entries) faults.push("more was found than the books tell");
  if (opened.facts.get("bytes") > QUOTA) faults.push("the quota is exceeded");
  return { entries, faults };
}

const [, program, folder, seed] = process.argv;
if (program === PROGRAM && folder !== undefined) await writeOn(folder, Number(seed));
