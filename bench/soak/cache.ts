/**
 * `npm run soak:cache -- --seconds 1800`: mixed load on a cache with a store, with faults of the origin and purges. Prints
 * each minute what was seen and what memory and disk it takes; ends with 1 when an answer was wrong or the books are.
 */
import { readdirSync, statSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sweepBooks } from "../../test/support/books.js";
import { loadMixed, MixOrigin, mixSettings } from "../../test/support/cache-mix.js";
import { residentBytes, startApart } from "../../test/support/proxy.js";
import { newFolder } from "../../test/support/store.js";

const STEP_SECONDS = 60;
const MIB = 1024 * 1024;

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" } } });
const wanted = Number(values.seconds);
if (!Number.isInteger(wanted) || wanted < 1)
  throw new Error(`--seconds: "${values.seconds}" is not a whole number above 0`);

function bytesIn(folder: string): number {
  const names = readdirSync(folder, { withFileTypes: true });
  return names.reduce((sum, entry) => {
    const path = join(folder, entry.name);
    return sum + (entry.isDirectory() ? bytesIn(path) : (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512);
  }, 0);
}

function purgeAt(port: number, body: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const sent = request({ port, host: "127.0.0.1", method: "POST", path: "/cache/purge", headers }, (answer) => {
      answer.resume().on("end", () => {
        if (answer.statusCode === 200) resolve();
        else reject(new Error(`the purge was answered with ${answer.statusCode}`));
      });
    });
    sent.on("error", reject).end(JSON.stringify(body));
  });
}

const origin = await MixOrigin.start();
const { folder, remove } = newFolder();
const proxy = await startApart(mixSettings(origin, folder));
const port = proxy.started.listeners[0]?.port ?? 0;
const adminPort = proxy.started.admin?.port ?? 0;
let bad = 0;
for (let done = 0; done < wanted && bad === 0; ) {
  const seconds = Math.min(STEP_SECONDS, wanted - done);
  const seen = await loadMixed(port, origin, seconds, (body) => purgeAt(adminPort, body));
  done += seconds;
  bad += seen.wrong.length;
  for (const one of seen.wrong) console.log(`wrong: ${one}`);
  const { counters } = (await proxy.stats()).all;
  console.log(
    [
      `${done} s: ${seen.requests} requests, ${((seen.hits / seen.requests) * 100).toFixed(1)} % hits`,
      `${counters.cache_coalesced} coalesced, ${counters.cache_store_found} from the store so far`,
      `${seen.faults} faults of the origin, ${seen.purges} purges, ${seen.wrong.length} wrong`,
      `${(residentBytes(proxy.pid) / MIB).toFixed(0)} MiB resident, ${(bytesIn(folder) / MIB).toFixed(0)} MiB on disk`,
    ].join("; "),
  );
}
const complaints = await sweepBooks(proxy);
for (const one of complaints) console.log(`books: ${one}`);
await proxy.stop();
await origin.stop();
remove();
process.exitCode = bad + complaints.length === 0 ? 0 : 1;
