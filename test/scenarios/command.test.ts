/** The command as operators run it: signals, zero-config forwarding, what it costs to do nothing. */
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { echo, echoed, reply, serve } from "../support/behaviours.js";
import { RawClient, request } from "../support/client.js";
import { takes } from "../support/lateness.js";
import { RawOrigin, type Script } from "../support/origin.js";
import { cpuMs, descriptors } from "../support/proxy.js";
import { PATIENCE_MS, pause, WireError, within } from "../support/wire.js";

const PROGRAM = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

interface Running {
  readonly child: ChildProcess;
  readonly port: number;
  readonly origin: RawOrigin;
  readonly exit: Promise<number | null>;
}

/** Runs `millrace run --listen 127.0.0.1:0 --to <a scripted origin>`, plays, and sees that nothing is left running. */
async function withCommand(
  script: Script,
  options: readonly string[],
  play: (running: Running) => Promise<void>,
): Promise<void> {
  const origin = await RawOrigin.start(script);
  const folder = mkdtempSync(`${tmpdir()}/millrace-command-`);
  const child = spawn(process.execPath, [PROGRAM, "run", "--listen", "127.0.0.1:0", "--to", origin.url, ...options], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  try {
    const port = await within(announcedPort(child), 15_000, "the announcement");
    await play({ child, port, origin, exit });
  } finally {
    child.kill("SIGKILL");
    await exit;
    await origin.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function announcedPort(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    let said = "";
    const listen = (text: Buffer): void => {
      said += text.toString();
      const port = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (port !== undefined) resolve(Number(port));
    };
    child.stdout?.on("data", listen);
    child.stderr?.on("data", listen);
    child.once("exit", (code) => reject(new WireError(`it ended with ${code}: ${said}`)));
  });
}

const slow = (ms: number): Script =>
  serve(async (_, connection) => {
    await pause(ms);
    await connection.send(reply(200, "slow"));
  });

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal}: what is in flight is answered with close, and the exit code is 0`, { timeout: 30_000 }, () =>
    withCommand(slow(400), ["--workers", "2"], async ({ child, port, origin, exit }) => {
      const client = await RawClient.connect(port);
      await client.send(request("GET /"));
      await origin.sees("the request", (one) => one.requests.length === 1);
      child.kill(signal);
      const answer = await client.answer();
      assert.equal(answer.status, 200);
      assert.equal(answer.fields.one("connection"), "close");
      assert.equal(await within(exit, PATIENCE_MS, "the exit"), 0);
      await client.close();
    }),
  );
}

test("a second signal leaves at once", { timeout: 30_000 }, () =>
  withCommand(slow(20_000), [], async ({ child, port, origin, exit }) => {
    const client = await RawClient.connect(port);
    await client.send(request("GET /"));
    await origin.sees("the request", (one) => one.requests.length === 1);
    child.kill("SIGTERM");
    await pause(300);
    assert.equal(child.exitCode, null, "the first signal waits for the request");
    await takes(0, 1_000, async () => {
      child.kill("SIGTERM");
      assert.notEqual(await within(exit, PATIENCE_MS, "the exit"), 0);
    });
    await client.close();
  }),
);

test("a command with open idle connections leaves promptly", { timeout: 30_000 }, () =>
  withCommand(echo(), ["--workers", "2"], async ({ child, port, exit }) => {
    const clients = await Promise.all(Array.from({ length: 50 }, () => RawClient.connect(port)));
    for (const client of clients) assert.equal(echoed(await client.ask("GET /x")).target, "/x");
    await takes(0, 2_000, async () => {
      child.kill("SIGTERM");
      assert.equal(await within(exit, PATIENCE_MS, "the exit"), 0);
    });
    for (const client of clients) await client.close();
  }),
);

test(
  "doing nothing costs next to nothing: under 3 % of a CPU over 3 s, with 100 idle connections",
  { timeout: 30_000 },
  () =>
    withCommand(echo(), ["--workers", "2"], async ({ child, port }) => {
      const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)));
      for (const client of clients) await client.ask("GET /x");
      await pause(1_500);
      const before = cpuMs(child.pid ?? 0);
      await pause(3_000);
      const used = cpuMs(child.pid ?? 0) - before;
      assert.ok(used <= 90, `${used} ms of CPU in 3 s`);
      for (const client of clients) await client.close();
    }),
);

test("a thousand connections come and go without a descriptor left", { timeout: 30_000 }, () =>
  withCommand(echo(), ["--workers", "2"], async ({ child, port, origin }) => {
    const before = descriptors(child.pid ?? 0).length;
    for (let round = 0; round < 10; round += 1) {
      const clients = await Promise.all(Array.from({ length: 100 }, () => RawClient.connect(port)));
      await Promise.all(clients.map((client, n) => (n % 3 === 0 ? client.send("GET / HT") : client.ask("GET /"))));
      await Promise.all(clients.map((client, n) => (n % 2 === 0 ? client.reset() : client.close())));
    }
    await origin.sees("its idle connections closed", (one) => one.open.length === 0);
    let after = descriptors(child.pid ?? 0).length;
    for (let n = 0; n < 100 && after > before; n += 1) {
      await pause(30);
      after = descriptors(child.pid ?? 0).length;
    }
    assert.ok(after <= before, `${after} descriptors; before ${before}`);
  }),
);
