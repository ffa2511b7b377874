/**
 * Promises of what a service manager is told: nothing where nobody asked, the words of sd_notify(3) in their order, and
 * nothing any more by a process that stops or has handed over. The last test tells a real datagram socket.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ServiceManager } from "../../src/control/service-manager.js";
import { missing } from "../support/peers.js";

/** A manager that writes down what it is told. */
function listener(environment: NodeJS.ProcessEnv, takesOver = false) {
  const told: string[] = [];
  const manager = new ServiceManager(environment, 7, takesOver, (address, text) => told.push(`${address} ${text}`));
  return { manager, told };
}

const ASKED = { NOTIFY_SOCKET: "/run/notify" };

describe("the service manager", () => {
  it("is told nothing where it did not ask", () => {
    for (const environment of [{}, { NOTIFY_SOCKET: "" }, { WATCHDOG_USEC: "1000" }]) {
      const { manager, told } = listener(environment);
      manager.ready("serving");
      manager.startWatchdog();
      manager.reloading();
      manager.stopping();
      assert.deepEqual(told, []);
    }
  });

  it("is told of ready, of reloading with the time of the monotonic clock, and of the stop, after which nothing comes", () => {
    const { manager, told } = listener(ASKED);
    manager.ready("serving");
    const before = process.hrtime.bigint() / 1000n;
    manager.reloading();
    manager.stopping();
    manager.ready("serving");
    assert.deepEqual(told[0], "/run/notify READY=1\nSTATUS=serving");
    const micros = BigInt(/^\/run\/notify RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(told[1] ?? "")?.[1] ?? 0);
    assert.ok(micros >= before && micros <= process.hrtime.bigint() / 1000n);
    assert.deepEqual(told.slice(2), ["/run/notify STOPPING=1"]);
  });

  it("is told which process is the main one before it is told that this one is ready, and hears no more of us", () => {
    const { manager, told } = listener(ASKED);
    manager.handedOver(42);
    manager.stopping();
    assert.deepEqual(told, ["/run/notify MAINPID=42\nREADY=1\nSTATUS=process 42 has taken over"]);
  });

  it("is told of life twice in its time, by the process it watches and the one that takes its place", (t) => {
    t.mock.timers.enable({ apis: ["setInterval"] });
    const watched = { ...ASKED, WATCHDOG_USEC: "2000000", WATCHDOG_PID: "7" };
    const rows = [
      { environment: watched, takesOver: false, count: 4 },
      { environment: { ...watched, WATCHDOG_PID: "8" }, takesOver: true, count: 4 },
      { environment: { ...watched, WATCHDOG_PID: "8" }, takesOver: false, count: 0 },
      { environment: ASKED, takesOver: false, count: 0 },
    ];
    for (const { environment, takesOver, count } of rows) {
      const { manager, told } = listener(environment, takesOver);
      manager.startWatchdog();
      t.mock.timers.tick(4000);
      manager.stopping();
      t.mock.timers.tick(4000);
      const lives = told.filter((one) => one === "/run/notify WATCHDOG=1");
      assert.equal(lives.length, count, JSON.stringify({ environment, takesOver }));
    }
  });

  it("that is gone stops nothing", () => {
    const manager = new ServiceManager({ NOTIFY_SOCKET: "/nowhere/notify" }, 7, false);
    manager.ready("serving");
  });

  for (const kind of ["file", "abstract"] as const) {
    it(`hears it over a real datagram socket (${kind})`, { skip: missing("python3") }, async () => {
      const folder = mkdtempSync(join(tmpdir(), "millrace-notify-"));
      const address = kind === "file" ? join(folder, "s") : `@millrace-test-${process.pid}`;
      const program = [
        "import socket, sys",
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "s.bind(sys.argv[1].replace('@', chr(0), 1))",
        "s.settimeout(10)",
        "print('bound', flush=True)",
        "print(repr(s.recv(4096)), flush=True)",
      ].join("\n");
      const receiver = spawn("python3", ["-c", program, address], { stdio: ["ignore", "pipe", "inherit"] });
      let said = "";
      receiver.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
      await once(receiver.stdout, "data");
      new ServiceManager({ NOTIFY_SOCKET: address }, 7, false).ready("serving");
      await once(receiver, "close");
      rmSync(folder, { recursive: true });
      assert.equal(said, "bound\nb'READY=1\\nSTATUS=serving'\n");
    });
  }
});
