/**
 * A process whose disk is full: no file of it may grow beyond a bound, which whoever started it lifts later on. It writes
 * into a store all the while and tells in JSON lines how the store is. Started as a program by the test.
 */
import { fileURLToPath } from "node:url";
import { findOne, openStore, purgeOf, put } from "./store.js";

export const PROGRAM = fileURLToPath(import.meta.url);

/** A line of the program. */
export interface FullReport {
  readonly state: string;
  readonly lost: number;
  /** Whether what was written before the disk was full is still read. */
  readonly oldIsRead: boolean;
  /** Whether what was purged while the disk was full is read. */
  readonly purgedIsRead: boolean;
  readonly newIsRead: boolean;
  readonly said: readonly string[];
}

async function run(folder: string): Promise<void> {
  let skippedMs = 0;
  const opened = await openStore(folder, { bodyInlineBytes: 65_536, now: () => Date.now() + skippedMs });
  const { store, reader, facts, said } = opened;
  const target = (number: number) => `http://a/${number}`;
  await store.apply([put({ target: target(1) }), put({ target: target(2) })]);
  let number = 3;
  const report = (): FullReport => ({
    state: facts.state,
    lost: facts.get("writesLost"),
    oldIsRead: findOne(reader, target(1)).length > 0,
    purgedIsRead: findOne(reader, target(2)).length > 0,
    newIsRead: findOne(reader, target(number - 1)).length > 0,
    said: [...said],
  });
  const tell = () => process.stdout.write(`${JSON.stringify(report())}\n`);
  while (facts.state === "ready") {
    await store.apply([put({ target: target(number), body: Buffer.alloc(50_000, number) })]);
    number += 1;
  }
  tell();
  await store.purge(purgeOf({ kind: "target", name: target(2) }));
  tell();
  // Until the bound is lifted.
  await new Promise((resolve) => process.stdin.once("data", resolve));
  skippedMs = 3_600_000;
  await store.apply([put({ target: target(number), body: Buffer.alloc(50_000, number), stamp: 2 })]);
  number += 1;
  tell();
  await opened.close();
  process.exit(0);
}

const [, program, folder] = process.argv;
if (program === PROGRAM && folder !== undefined) await run(folder);
