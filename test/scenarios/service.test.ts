/**
 * Millrace as a service: it takes the sockets that a manager has opened (LISTEN_FDS), tells the manager what happens
 * (NOTIFY_SOCKET), and goes on doing both through an upgrade; the unit files in examples/systemd are ones that systemd
 * accepts.
 */
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { SettingsInput } from "../../src/index.js";
import { echo } from "../support/behaviours.js";
import { RawOrigin } from "../support/origin.js";
import { missing, sparePort } from "../support/peers.js";
import { ended, getBy, TakenOver } from "../support/takeover.js";
import { pause, WireError } from "../support/wire.js";

const UNITS = fileURLToPath(new URL("../../../examples/systemd/", import.meta.url));

/** A proxy that was not started yet, in front of an origin. */
async function withProxy(play: (proxy: TakenOver, settings: SettingsInput) => Promise<void>): Promise<void> {
  const origin = await RawOrigin.start(echo());
  const proxy = new TakenOver();
  const settings: SettingsInput = {
    listeners: [{ name: "web", address: "127.0.0.1:1" }],
    origins: { app: { targets: origin.url } },
    admin: { address: `unix:${proxy.socket}` },
  };
  try {
    await play(proxy, settings);
  } finally {
    await proxy.stop();
    await origin.stop();
  }
}

/** Asks until somebody answers: a manager that starts a service with the first connection has it start meanwhile. */
async function served(port: number): Promise<void> {
  for (let n = 0; n < 100; n += 1) {
    if ((await getBy(new Agent(), { port }).catch(() => 0)) === 200) return;
    await pause(50);
  }
  throw new WireError(`nobody answers at port ${port}`);
}

test(
  "sockets of systemd are taken by name and by address, handed on in an upgrade, and what is for nobody is closed",
  {
    timeout: 60_000,
    skip: missing("systemd-socket-activate"),
  },
  () =>
    withProxy(async (proxy, settings) => {
      const [named, placed, stray] = [await sparePort(), await sparePort(), await sparePort()];
      proxy.write({ ...settings, listeners: [{ name: "web", address: "127.0.0.1:1" }, `127.0.0.1:${placed}`] });
      const sockets = [named, placed, stray].flatMap((port) => ["-l", `127.0.0.1:${port}`]);
      const by = [
        "systemd-socket-activate",
        ...sockets,
        "--fdname=web:millrace.socket:stray",
        process.execPath,
      ] as const;
      const starting = proxy.start({ by: [...by] });
      await served(named);
      await starting;
      await served(placed);
      assert.deepEqual([await proxy.port(0), await proxy.port(1)], [named, placed]);
      await proxy.hears(
        /"name":"stray","msg":"a socket this process was started with is for no listener, and was closed"/,
      );
      const first = await proxy.pid();
      const second = await proxy.upgrade();
      await ended(first);
      for (const port of [named, placed]) await served(port);
      assert.equal(await proxy.pid(), second);
      await assert.rejects(getBy(new Agent(), { port: stray }), /ECONNREFUSED/);
    }),
);

/** A service manager's end of NOTIFY_SOCKET: Node.js has no datagram sockets of the file system. */
class Manager {
  readonly address: string;
  readonly #child: ChildProcess;
  #said = "";

  private constructor(address: string, child: ChildProcess) {
    this.address = address;
    this.#child = child;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#said += text;
    });
  }

  static async start(folder: string): Promise<Manager> {
    const address = join(folder, "notify");
    const program = [
      "import json, socket, sys",
      "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
      "s.bind(sys.argv[1])",
      "print('[]', flush=True)",
      "while True: print(json.dumps(s.recv(4096).decode().split('\\n')), flush=True)",
    ].join("\n");
    const child = spawn("python3", ["-c", program, address], { stdio: ["ignore", "pipe", "inherit"] });
    const manager = new Manager(address, child);
    await once(child.stdout, "data");
    return manager;
  }

  /** Datagrams so far, each as its lines. */
  get told(): readonly (readonly string[])[] {
    const lines = this.#said.split("\n").slice(1, -1);
    return lines.map((line) => JSON.parse(line) as readonly string[]);
  }

  async hears(what: string): Promise<void> {
    for (let n = 0; n < 500; n += 1) {
      if (this.told.some((lines) => lines.includes(what))) return;
      await pause(20);
    }
    throw new WireError(`the manager was not told ${what}: ${JSON.stringify(this.told)}`);
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }
}

test(
  "a manager is told of ready, life, the process that takes over, and the stop",
  {
    timeout: 60_000,
    skip: missing("python3"),
  },
  () =>
    withProxy(async (proxy, settings) => {
      proxy.write({ ...settings, listeners: ["127.0.0.1:0"] });
      const manager = await Manager.start(proxy.folder);
      try {
        const environment = { NOTIFY_SOCKET: manager.address, WATCHDOG_USEC: "200000" };
        await proxy.start({ environment });
        await manager.hears("READY=1");
        await manager.hears("WATCHDOG=1");
        const first = await proxy.pid();
        process.kill(first, "SIGUSR2");
        await manager.hears("RELOADING=1");
        await ended(first);
        const second = await proxy.pid();
        await manager.hears(`MAINPID=${second}`);
        const told = manager.told.map((lines) => lines[0]?.replace(/\d+$/, "")).filter((one) => one !== "WATCHDOG=");
        assert.deepEqual(told, ["READY=", "RELOADING=", "MAINPID="]);
        assert.ok(manager.told.find((lines) => lines[0] === `MAINPID=${second}`)?.includes("READY=1"));
        const lives = manager.told.length;
        await pause(400);
        assert.ok(manager.told.length > lives, "the new process says that it lives");
        process.kill(second, "SIGTERM");
        await manager.hears("STOPPING=1");
        await ended(second);
      } finally {
        manager.stop();
      }
    }),
);

test(
  "an upgrade that fails leaves the manager with a service that is ready",
  {
    timeout: 60_000,
    skip: missing("python3"),
  },
  () =>
    withProxy(async (proxy, settings) => {
      proxy.write({ ...settings, listeners: ["127.0.0.1:0"] });
      const manager = await Manager.start(proxy.folder);
      try {
        await proxy.start({ environment: { NOTIFY_SOCKET: manager.address } });
        const pid = await proxy.pid();
        proxy.write("process.exit(4);\n");
        process.kill(pid, "SIGUSR2");
        await manager.hears("STATUS=the upgrade failed: the new process ended with code 4");
        assert.deepEqual(manager.told.at(-1)?.[0], "READY=1");
        assert.equal(await proxy.pid(), pid);
      } finally {
        manager.stop();
      }
    }),
);

test("systemd accepts the unit files, and finds the service well confined", {
  timeout: 60_000,
  skip: missing("systemd-analyze"),
}, () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-units-"));
  try {
    const names = readdirSync(UNITS);
    assert.deepEqual([...names].sort(), ["millrace.service", "millrace.socket"]);
    for (const name of names) {
      copyFileSync(join(UNITS, name), join(folder, name));
      // The program is not installed here, and that is not the unit's fault.
      const text = readFileSync(join(folder, name), "utf8").replaceAll("/usr/bin/millrace", "/bin/true");
      writeFileSync(join(folder, name), text);
    }
    const verified = analyze(["verify", "--man=no", ...names.map((name) => join(folder, name))]);
    assert.deepEqual(verified, { code: 0, said: "" });
    const judged = analyze(["security", "--offline=true", "--threshold=25", join(folder, "millrace.service")]);
    assert.equal(judged.code, 0, judged.said);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

function analyze(options: readonly string[]): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync("systemd-analyze", options, { encoding: "utf8" });
  return { code: status, said: stdout + stderr };
}
