/**
 * Loads the addon where and as often as somebody might: first in the main thread or in workers only, twice, and with a
 * whole proxy inside a worker that ends one way or another. Argument: which.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { loadNative, type NativeCore, nativePath } from "../../../src/native.js";
import { VERSION } from "../../../src/version.js";
import { ask, expectAnswer, expectSameGround, groundNow, type Origin, startOrigin } from "./kit.js";
import type { FromGuest, GuestOrders } from "./load-guest.js";

const ROUNDS = 5;
const GUEST = new URL("./load-guest.js", import.meta.url);

function guest(orders: GuestOrders): Worker {
  return new Worker(GUEST, { workerData: orders });
}

async function exitOf(worker: Worker): Promise<number> {
  const [code] = (await once(worker, "exit", { signal: AbortSignal.timeout(15_000) })) as [number];
  return code;
}

/** Workers that load the addon and leave, some of them by force. */
async function visit(): Promise<void> {
  for (let done = 0; done < ROUNDS; done++) {
    const codes = await Promise.all([1, 2, 3].map(() => exitOf(guest({ kind: "load" }))));
    assert.deepEqual(codes, [0, 0, 0]);
    const staying = guest({ kind: "load-and-stay" });
    await once(staying, "message");
    assert.equal(await staying.terminate(), 1);
  }
}

/** A whole proxy in a worker, which ends like this; its port is free afterwards. */
async function host(origin: Origin, how: "stop" | "exit" | "terminate"): Promise<void> {
  const worker = guest({ kind: "proxy", origin: origin.url, how });
  const [{ port }] = (await once(worker, "message")) as [FromGuest];
  await expectAnswer(port);
  const unanswered = Array.from({ length: 4 }, () => ask(port, "/slow").catch(() => "lost"));
  const code = exitOf(worker);
  if (how === "terminate") void worker.terminate();
  else worker.postMessage("end");
  assert.equal(await code, how === "stop" ? 0 : how === "exit" ? 5 : 1);
  assert.deepEqual(new Set(await Promise.all(unanswered)), new Set(["lost"]));
  await assert.rejects(ask(port, "/gone"), { code: "ECONNREFUSED" }, "its sockets went with it");
}

async function hosts(): Promise<void> {
  const origin = await startOrigin();
  const round = async () => {
    await host(origin, "stop");
    await host(origin, "exit");
    await host(origin, "terminate");
  };
  await round();
  const before = groundNow();
  for (let done = 1; done < 3; done++) await round();
  await expectSameGround(before);
  await origin.close();
}

/** The same file once more past every cache, and the same code from another file. */
async function twice(): Promise<void> {
  const require = createRequire(import.meta.url);
  const first = loadNative();
  delete require.cache[nativePath()];
  const again = require(nativePath()) as NativeCore;
  const folder = mkdtempSync(join(tmpdir(), "millrace-addon-"));
  try {
    const copy = join(folder, "copy.node");
    copyFileSync(nativePath(), copy);
    const other = require(copy) as NativeCore;
    for (const core of [first, again, other]) {
      assert.equal(core.version(), VERSION);
      assert.equal(core.statsLayout(), first.statsLayout());
      core.stopThread();
      assert.throws(() => core.drain(77, false), /no proxy number 77/);
    }
    const codes = await Promise.all([nativePath(), copy].map((path) => exitOf(guest({ kind: "load-twice", path }))));
    assert.deepEqual(codes, [0, 0]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

switch (process.argv[2]) {
  case "main-first":
    assert.equal(loadNative().version(), VERSION);
    await visit();
    assert.equal(loadNative().version(), VERSION);
    break;
  case "worker-only":
    await visit();
    break;
  case "worker-hosts":
    await hosts();
    break;
  case "main-first-worker-hosts":
    loadNative();
    await hosts();
    break;
  case "twice":
    await twice();
    break;
  default:
    throw new Error("which way of loading?");
}
