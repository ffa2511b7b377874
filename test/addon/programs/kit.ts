/**
 * What the programs of these tests share: an origin, clients that keep asking, the threads of the proxy as they are
 * made, and the ground a process stands on (descriptors, threads, memory) before and after.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { Agent, createServer, get, request } from "node:http";
import { createRequire, syncBuiltinESMExports } from "node:module";
import type { AddressInfo, Socket } from "node:net";
import { Worker } from "node:worker_threads";
import { createMillrace, type Millrace, type SettingsInput } from "../../../src/index.js";
import { auditBooks, restlessGauges } from "../../support/books.js";
import { descriptors, residentBytes } from "../../support/proxy.js";
import { pause } from "../../support/wire.js";

/** An origin in this process. `/slow` is never answered; an upgrade is granted and echoes. */
export interface Origin {
  readonly url: string;
  close(): Promise<void>;
}

export async function startOrigin(): Promise<Origin> {
  const tunnels = new Set<Socket>();
  const server = createServer((asked, answer) => {
    if (asked.url !== "/slow") answer.end(`origin saw ${asked.url}`);
  });
  server.on("upgrade", (_asked, socket: Socket) => {
    tunnels.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => tunnels.delete(socket));
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const tunnel of tunnels) tunnel.destroy();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** A proxy of this process in front of an origin, not started. */
export function proxyTo(origin: Origin, more: SettingsInput | Record<string, unknown> = {}): Millrace {
  return createMillrace({
    workers: 2,
    listeners: ["127.0.0.1:0"],
    log: { level: "silent" },
    accessLog: false,
    admin: false,
    origins: { app: { targets: origin.url } },
    ...more,
  } as SettingsInput);
}

/** Starts a proxy and returns its port. */
export async function portOf(proxy: Millrace): Promise<number> {
  const port = (await proxy.start()).listeners[0]?.port;
  assert.ok(port !== undefined && port > 0);
  return port;
}

/** Asks once; resolves with the answer's body, rejects when there is none. */
export function ask(port: number, path: string, agent?: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = get({ port, host: "127.0.0.1", path, agent: agent ?? false, timeout: 10_000 }, (answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (text: string) => {
        body += text;
      });
      answer.on("end", () => (answer.statusCode === 200 ? resolve(body) : reject(new Error(`${answer.statusCode}`))));
      answer.on("error", reject);
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer within 10 s")));
    asked.on("error", reject);
  });
}

/** Asks once and expects the origin's answer. */
export async function expectAnswer(port: number, path = "/a", agent?: Agent): Promise<void> {
  assert.equal(await ask(port, path, agent), `origin saw ${path}`);
}

/** Opens a tunnel through the proxy and proves that it echoes. */
export function openTunnel(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: "127.0.0.1", headers: { Connection: "Upgrade", Upgrade: "echo" } });
    asked.on("error", reject);
    asked.on("upgrade", (_answer, socket: Socket) => {
      socket.on("error", () => socket.destroy());
      socket.once("data", () => resolve(socket));
      socket.write("ping");
    });
    asked.end();
  });
}

/** Clients that ask again and again on connections they keep; what fails is counted, and asked anew. */
export class Crowd {
  answers = 0;
  failures = 0;
  /** What failed last, for the message of a test that expected no failure. */
  lastFailure = "";
  readonly #agent: Agent;
  readonly #loops: Promise<void>[];
  #going = true;

  constructor(port: number, clients: number) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: clients });
    this.#loops = Array.from({ length: clients }, () => this.#loop(port));
  }

  /** Resolves when this many more answers have come. */
  async answersMore(count: number): Promise<void> {
    const goal = this.answers + count;
    await until("answers for the crowd", () => this.answers >= goal);
  }

  async stop(): Promise<void> {
    this.#going = false;
    await Promise.all(this.#loops);
    this.#agent.destroy();
  }

  async #loop(port: number): Promise<void> {
    while (this.#going) {
      try {
        await expectAnswer(port, "/crowd", this.#agent);
        this.answers += 1;
      } catch (thrown) {
        this.failures += 1;
        this.lastFailure = String(thrown);
        await pause(2);
      }
    }
  }
}

/** Waits until something holds. */
export async function until(what: string, holds: () => boolean, ms = 10_000): Promise<void> {
  const due = performance.now() + ms;
  while (!holds()) {
    assert.ok(performance.now() < due, `not within ${ms} ms: ${what}`);
    await pause(2);
  }
}

/** What a proxy tells of a thread that was replaced. */
export interface Replacement {
  readonly worker: number | "acceptor";
  readonly reason: string;
}

/** What a replacement may take, in ms. */
const REPLACED_MS_MAX = 1000;
/** A replacement costs no more than this many bare threads of Node, where the machine is too busy for a second. */
const BARE_THREADS_MAX = 8;

/**
 * Measures how long the replacement of a thread takes, from now until `replaced` resolves. It must be under a second, or
 * little against what a thread that does nothing takes at the same time.
 */
export async function expectPrompt<T>(who: string, replaced: Promise<T>): Promise<T> {
  const sinceMs = performance.now();
  const bare = once(new Worker("", { eval: true }), "exit").then(() => performance.now() - sinceMs);
  const told = await replaced;
  const tookMs = performance.now() - sinceMs;
  const bareMs = await bare;
  if (tookMs < REPLACED_MS_MAX) return told;
  const says = `${who} was replaced after ${Math.round(tookMs)} ms; a bare thread takes ${Math.round(bareMs)} ms`;
  assert.ok(tookMs < bareMs * BARE_THREADS_MAX, says);
  return told;
}

/** All threads made since this was called, by their name, newest last; `entry` may put another file in their place. */
export function recordThreads(entry: (url: URL) => URL = (url) => url): (title: string) => Worker | undefined {
  const module = createRequire(import.meta.url)("node:worker_threads") as { Worker: typeof Worker };
  const Original = module.Worker;
  const made: { title: string; worker: Worker }[] = [];
  module.Worker = class extends Original {
    constructor(url: string | URL, options?: ConstructorParameters<typeof Worker>[1]) {
      super(url instanceof URL ? entry(url) : url, options);
      const record = { title: options?.name ?? "", worker: this };
      made.push(record);
      this.once("exit", () => made.splice(made.indexOf(record), 1));
    }
  };
  syncBuiltinESMExports();
  return (title) => made.findLast((one) => one.title === title)?.worker;
}

/** Ends a thread by `kill` and returns what the proxy tells of its replacement, which must be prompt. */
export async function expectReplacement(proxy: Millrace, who: string, kill: () => void): Promise<Replacement> {
  const replaced = once(proxy, "workerReplaced", { signal: AbortSignal.timeout(10_000) });
  kill();
  const [told] = (await expectPrompt(who, replaced)) as [Replacement];
  return told;
}

/** What a process stands on. */
export interface Ground {
  /** How many descriptors of each kind; the numbers of sockets and pipes do not matter. */
  readonly descriptors: Readonly<Record<string, number>>;
  readonly threads: number;
  readonly residentMiB: number;
}

/** Where the program runs with `--expose-gc`, what nobody holds any more is let go of first. */
export function groundNow(): Ground {
  globalThis.gc?.();
  const kinds = descriptors(process.pid).map((place) => place.replace(/^(socket|pipe):.*$/, "$1"));
  const counts: Record<string, number> = {};
  for (const kind of kinds.sort()) counts[kind] = (counts[kind] ?? 0) + 1;
  return {
    descriptors: counts,
    threads: readdirSync("/proc/self/task").length,
    residentMiB: residentBytes(process.pid) / (1 << 20),
  };
}

/** Nothing may be left over against an earlier ground; the kernel and libuv get a moment to let go. */
export async function expectSameGround(before: Ground, growthMiBMax = Number.POSITIVE_INFINITY): Promise<Ground> {
  const due = performance.now() + 5000;
  for (;;) {
    const now = groundNow();
    const left = leftOver(before, now);
    if (left.length === 0 || performance.now() > due) {
      assert.deepEqual(left, []);
      const grown = now.residentMiB - before.residentMiB;
      assert.ok(grown <= growthMiBMax, `resident memory grew by ${grown.toFixed(1)} MiB, ${growthMiBMax} are allowed`);
      return now;
    }
    await pause(20);
  }
}

/** What there is more of than before, as sentences. */
function leftOver(before: Ground, now: Ground): readonly string[] {
  const counts = { ...now.descriptors, thread: now.threads };
  const earlier: Readonly<Record<string, number>> = { ...before.descriptors, thread: before.threads };
  return Object.entries(counts)
    .filter(([kind, count]) => count > (earlier[kind] ?? 0))
    .map(([kind, count]) => `${count} of ${kind}, before ${earlier[kind] ?? 0}`);
}

/** The books of a proxy whose clients have gone must balance. */
export async function expectBalance(proxy: Millrace): Promise<void> {
  const due = performance.now() + 5000;
  for (;;) {
    const stats = proxy.stats();
    const clients = restlessGauges(stats).filter((gauge) => !gauge.startsWith("origin_connections_"));
    const complaints = [...clients, ...auditBooks(stats)];
    if (complaints.length === 0) return;
    assert.ok(performance.now() < due, `the books do not balance:\n${complaints.join("\n")}`);
    await pause(20);
  }
}

/** Ends a proxy: its clients gone, its books balanced, nothing waited for. */
export async function retire(proxy: Millrace): Promise<void> {
  await expectBalance(proxy);
  await proxy.stop({ deadlineMs: 1000 });
}

/** One lifetime warms the process up; after another it must stand on the same ground. */
export async function expectNothingLeft(lifetime: () => Promise<void>): Promise<void> {
  await lifetime();
  const before = groundNow();
  await lifetime();
  await expectSameGround(before);
}
