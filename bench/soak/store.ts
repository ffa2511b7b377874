/**
 * `npm run soak:store -- --rounds 500`: kills a process that writes into a store, at random instants, and reads back all
 * that is there each time. Ends with 1 when an entry was not whole, or the store had to mend itself.
 */
import { parseArgs } from "node:util";
import { newFolder } from "../../test/support/store.js";
import { killRounds } from "../../test/support/store-killed.js";

const STEP = 25;

const { values } = parseArgs({ options: { rounds: { type: "string", default: "500" } } });
const wanted = Number(values.rounds);
if (!Number.isInteger(wanted) || wanted < 1)
  throw new Error(`--rounds: "${values.rounds}" is not a whole number above 0`);

const { folder, remove } = newFolder();
let [rounds, entries, wrong] = [0, 0, 0];
while (rounds < wanted) {
  const now = Math.min(STEP, wanted - rounds);
  const report = await killRounds(folder, now, rounds + 1);
  rounds += now;
  entries += report.entries;
  wrong += report.faults.length;
  for (const fault of report.faults) console.log(`wrong: ${fault}`);
  console.log(`${rounds} kills: ${entries} entries read back, ${wrong} wrong`);
}
remove();
process.exitCode = wrong === 0 ? 0 : 1;
