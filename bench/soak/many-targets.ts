/**
 * `npm run soak:targets`: memory of an origin of 1,000 targets with 10,000 idle connections. Ends with 1 when it grew by
 * 32 MiB or more. Both processes need some 10,100 descriptors (`ulimit -n`).
 */
import { footprint } from "../../test/support/many-targets.js";

const GROWTH_MAX = 32 * (1 << 20);
const [TARGETS, IDLE_EACH] = [1_000, 10];

const { targets, idle, grownBytes } = await footprint(TARGETS, IDLE_EACH);
const mebibytes = (grownBytes / (1 << 20)).toFixed(1);
console.log(`${targets} targets, ${idle} idle connections: ${mebibytes} MiB more than with one of each`);
process.exitCode = grownBytes < GROWTH_MAX ? 0 : 1;
