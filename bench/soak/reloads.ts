/**
 * `npm run soak:reload -- --reloads 10000`: reloads under load at length. Ends with 1 when a request failed, a reload was not
 * taken everywhere, what stays open did not, or the proxy's memory grew: its mean over the last fifth of the reloads may be
 * at most 8 MiB above that over the second fifth.
 */
import { parseArgs } from "node:util";
import { reloadUnderLoad } from "../../test/support/reloads.js";

const GROWTH_MAX = 8 * (1 << 20);

const { values } = parseArgs({ options: { reloads: { type: "string", default: "10000" } } });
const wanted = Number(values.reloads);
if (!Number.isInteger(wanted) || wanted < 20)
  throw new Error(`--reloads: "${values.reloads}" is not a number above 19`);

const inMebibytes = (bytes: number): string => (bytes / (1 << 20)).toFixed(1);
const mean = (figures: readonly number[]): number => figures.reduce((sum, one) => sum + one, 0) / figures.length;

const sinceMs = performance.now();
const { answered, wrong, echoes, pieces, residentBytes } = await reloadUnderLoad(wanted, (done, resident) =>
  console.log(`${done} reloads, ${inMebibytes(resident)} MiB resident`),
);
const seconds = Math.round((performance.now() - sinceMs) / 1000);
const grown = mean(residentBytes.slice(16)) - mean(residentBytes.slice(4, 8));
const requests = Object.values(answered).reduce((sum, one) => sum + one, 0);
console.log(`${wanted} reloads in ${seconds} s, ${requests} requests: ${JSON.stringify(answered)}`);
console.log(`the WebSocket echoed ${echoes} messages, the stream of HTTP/2 had ${pieces} pieces`);
console.log(`${inMebibytes(grown)} MiB more at the end than at the beginning; ${wrong.length} wrong`);
for (const one of wrong.slice(0, 20)) console.log(`wrong: ${one}`);
process.exitCode = wrong.length === 0 && grown < GROWTH_MAX ? 0 : 1;
