/**
 * A proxy that has nothing to do does nothing: with a thousand idle client connections and a warm pool it uses less
 * than one percent of a processor.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { cpuMs } from "../support/proxy.js";
import { pause } from "../support/wire.js";
import { Child } from "./child.js";

const CLIENTS = 1000;
/** Clients that connect and ask at once. */
const AT_ONCE = 50;
const WATCHED_MS = 3000;
const SHARE_MAX = 0.01;
/** What the start and the connections left to do (compiling, collecting) is done by then, in ms. */
const SETTLE_MS = 1500;

/** How long both sides keep an idle connection, in ms. */
const KEPT_MS = 60_000;

let origin: Server;
let folder = "";

/** Settings under which neither side closes while it is watched. */
function settingsFile(): string {
  const path = join(folder, "millrace.config.json");
  const targets = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
  const origins = { app: { targets, idleMs: KEPT_MS } };
  writeFileSync(path, JSON.stringify({ workers: 2, listeners: ["127.0.0.1:0"], origins }));
  return path;
}

/** A connection that was answered once and is kept. */
function keptConnection(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"));
    let answer = "";
    socket.setEncoding("latin1").on("data", (text: string) => {
      answer += text;
      if (!answer.endsWith("ok")) return;
      socket.removeAllListeners("data");
      resolve(socket);
    });
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed before it was answered")));
  });
}

/** Defines the tests of one line of Node. */
export function testIdleness(line: number): void {
  before(async () => {
    origin = createServer((_asked, answer) => answer.end("ok"));
    folder = mkdtempSync(join(tmpdir(), "millrace-addon-"));
    origin.keepAliveTimeout = KEPT_MS;
    await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
  });
  after(() => {
    origin.close();
    origin.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  });

  it(`${CLIENTS} idle connections and a warm pool cost less than ${SHARE_MAX * 100} % of a processor`, async () => {
    const args = ["run", "--config", settingsFile(), "--log-level", "silent"];
    const child = new Child(line, "../../src/cli/main.js", { args, says: /^millrace: listening on .*\n$/ });
    const [, port] = await child.says(/listening on http:\/\/127\.0\.0\.1:(\d+)/);
    const sockets: Socket[] = [];
    while (sockets.length < CLIENTS) {
      sockets.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => keptConnection(Number(port))))));
    }
    await pause(SETTLE_MS);
    const before = cpuMs(child.pid);
    const sinceMs = performance.now();
    await pause(WATCHED_MS);
    const share = (cpuMs(child.pid) - before) / (performance.now() - sinceMs);
    const pooled = await new Promise((resolve) => origin.getConnections((_failure, count) => resolve(count)));
    const open = sockets.filter((socket) => !socket.destroyed).length;
    child.process.kill("SIGTERM");
    await child.ends();
    for (const socket of sockets) socket.destroy();
    assert.equal(open, CLIENTS, "every client is still connected");
    assert.ok(Number(pooled) > 0, "the pool is warm");
    assert.ok(share < SHARE_MAX, `${(share * 100).toFixed(2)} % of a processor`);
  });
}
