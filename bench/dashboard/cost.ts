/**
 * `npm run bench:dashboard`: what it costs a proxy of two workers under full load to be watched. In turns of some seconds,
 * nobody watches, one dashboard does, five do, /metrics is scraped each second, and both. Prints the CPU of the main thread,
 * which is the one that answers, and of the whole process for each request; ends with 1 where watching costs more than a
 * hundredth of a CPU.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startApart } from "../../test/support/proxy.js";
import { floorProgram, freePort, RUN_FOLDER } from "../load/candidates.js";
import { PROJECT_ROOT } from "../load/machine.js";
import { start, stopAll, stopWithUs, untilListening } from "../load/processes.js";
import { cpuBetween, readCpu } from "../load/usage.js";
import { applyLoad } from "../load/wrk.js";

const SECONDS = Number(process.argv[2] ?? 10);
const ROUNDS = Number(process.argv[3] ?? 3);
const CONNECTIONS = 64;
/** Share of one CPU that watching may cost. */
const COST_MAX = 0.01;

/** Somebody who watches; called, it begins, and what it returns ends it. */
type Watcher = (port: number) => () => void;

const page: Watcher = (port) => {
  const asking = get({ host: "127.0.0.1", port, path: "/live", agent: false }, (answer) => void answer.resume());
  asking.on("error", () => {});
  return () => asking.destroy();
};

const scraper: Watcher = (port) => {
  const scrape = () =>
    get({ host: "127.0.0.1", port, path: "/metrics", agent: false }, (answer: IncomingMessage) => void answer.resume());
  const timer = setInterval(scrape, 1000);
  return () => clearInterval(timer);
};

const TURNS: readonly { readonly name: string; readonly watchers: readonly Watcher[] }[] = [
  { name: "nobody watches", watchers: [] },
  { name: "one dashboard", watchers: [page] },
  { name: "five dashboards", watchers: [page, page, page, page, page] },
  { name: "metrics each second", watchers: [scraper] },
  { name: "one dashboard and metrics", watchers: [page, scraper] },
];

/** What one turn came to. */
interface Cost {
  /** CPU of the main thread, as a share of one CPU. */
  readonly main: number;
  /** CPU microseconds of the whole process for each request. */
  readonly perRequest: number;
  readonly requestsPerSecond: number;
}

function mainThread(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[0]);
}

async function takeTurn(pid: number, port: number, adminPort: number, watchers: readonly Watcher[]): Promise<Cost> {
  const ends = watchers.map((watch) => watch(adminPort));
  await sleep(1500);
  const [cpuBefore, mainBefore, before] = [readCpu([pid]), mainThread(pid), performance.now()];
  const load = { port, path: "/128", connections: CONNECTIONS, seconds: SECONDS, closing: false, tls: false, cpus: [] };
  const { requests, requestsPerSecond, faults } = await applyLoad(load);
  const wallNs = (performance.now() - before) * 1e6;
  const cost = {
    main: (mainThread(pid) - mainBefore) / wallNs,
    perRequest: cpuBetween(cpuBefore, readCpu([pid])) / 1000 / requests,
    requestsPerSecond,
  };
  for (const end of ends) end();
  if (faults.length > 0) throw new Error(faults.join());
  return cost;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function bench(): Promise<boolean> {
  mkdirSync(RUN_FOLDER, { recursive: true });
  const source = join(PROJECT_ROOT, "bench", "floor", "origin.c");
  execFileSync("cc", ["-O2", "-Wall", "-o", floorProgram("origin"), source], { stdio: "inherit" });
  const originPort = await freePort();
  await untilListening(start("origin", floorProgram("origin"), [String(originPort)], { files: 4096 }), originPort);
  const proxy = await startApart({
    workers: 2,
    listeners: ["127.0.0.1:0"],
    admin: { address: "127.0.0.1:0" },
    log: { level: "warn" },
    origins: { app: { targets: `http://127.0.0.1:${originPort}` } },
  });
  const { listeners, admin } = proxy.started;
  const costs = new Map<string, Cost[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name, watchers } of TURNS) {
      const cost = await takeTurn(proxy.pid, listeners[0]?.port ?? 0, admin?.port ?? 0, watchers);
      costs.set(name, [...(costs.get(name) ?? []), cost]);
    }
  }
  await proxy.stop();
  return print(costs);
}

/** True = nothing costs more than it may. */
function print(costs: ReadonlyMap<string, readonly Cost[]>): boolean {
  const middle = (name: string, of: (cost: Cost) => number) => median((costs.get(name) ?? []).map(of));
  const idle = middle("nobody watches", (cost) => cost.main);
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  console.log(`2 workers, ${CONNECTIONS} connections, turns of ${SECONDS} s, medians of ${ROUNDS}`);
  console.log("| | main thread | of it for watching | process, CPU µs a request | requests/s |");
  console.log("|---|---|---|---|---|");
  let isGood = true;
  for (const { name } of TURNS) {
    const own = middle(name, (cost) => cost.main);
    const perRequest = middle(name, (cost) => cost.perRequest).toFixed(2);
    const rate = middle(name, (cost) => cost.requestsPerSecond).toFixed(0);
    console.log(`| ${name} | ${percent(own)} | ${percent(own - idle)} | ${perRequest} | ${rate} |`);
    if ((name === "one dashboard" || name === "metrics each second") && own - idle > COST_MAX) isGood = false;
  }
  return isGood;
}

stopWithUs();
try {
  process.exitCode = (await bench()) ? 0 : 1;
} finally {
  await stopAll();
}
