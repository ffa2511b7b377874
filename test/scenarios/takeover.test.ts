/**
 * Upgrades without a gap: a new process takes the place of the old one while clients ask, over every kind of connection; what
 * is long lives on in the old one; a new process that does not become ready changes nothing.
 */
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { Agent } from "node:http";
import { Agent as SecureAgent } from "node:https";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import type { SettingsInput } from "../../src/index.js";
import { echo } from "../support/behaviours.js";
import { makeAuthority } from "../support/certificates.js";
import { RawOrigin } from "../support/origin.js";
import { descriptors } from "../support/proxy.js";
import { ended, GoingAway, getBy, isThere, PROGRAM, TakenOver, Tally } from "../support/takeover.js";
import { pause } from "../support/wire.js";

const NAME = "www.example.org";
const root = makeAuthority("a root");
const issued = root.issue({ names: [NAME] });

/** Upgrades while clients ask. */
const UPGRADES = 4;

/** A proxy of its own process in front of an origin, and what it leaves behind. */
async function withProxy(
  more: SettingsInput,
  play: (proxy: TakenOver, origin: RawOrigin, settings: SettingsInput) => Promise<void>,
): Promise<void> {
  const origin = await RawOrigin.start(echo());
  const proxy = new TakenOver();
  const settings: SettingsInput = {
    listeners: ["127.0.0.1:0"],
    origins: { app: { targets: origin.url } },
    admin: { address: `unix:${proxy.socket}` },
    ...more,
  };
  proxy.write(settings);
  try {
    await proxy.start();
    await play(proxy, origin, settings);
  } finally {
    await proxy.stop();
    await origin.stop();
  }
}

for (const workers of [1, 2]) {
  test(`no request fails through ${UPGRADES} upgrades: HTTP/1 kept and new, TLS, HTTP/2 (workers: ${workers})`, {
    timeout: 120_000,
  }, () => {
    const secure = (folder: string) => ({
      listeners: ["127.0.0.1:0", { address: "127.0.0.1:0", tls: { certificates: [issued.writeTo(folder)] } }],
    });
    return withProxy({ workers }, async (proxy, _, settings) => {
      // The second listener comes with the first upgrade: its socket is opened there, and handed on from then on.
      const first = await proxy.pid();
      proxy.write({ ...settings, ...secure(proxy.folder) });
      await proxy.upgrade();
      await ended(first);
      const [plain, tls] = [await proxy.port(0), await proxy.port(1)];
      const tally = new Tally();
      const kept = Array.from({ length: 6 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
      const shaken = Array.from({ length: 2 }, () => new SecureAgent({ keepAlive: true, maxSockets: 1 }));
      const secured = { port: tls, ca: root.cert, servername: NAME };
      const http2 = new GoingAway(tls, root.cert, NAME);
      const asking = [
        ...kept.map((agent) => tally.keepAsking("kept", () => getBy(agent, { port: plain }))),
        tally.keepAsking("new", () => getBy(new Agent(), { port: plain })),
        ...shaken.map((agent) => tally.keepAsking("tls", () => getBy(agent, secured))),
        tally.keepAsking("new tls", () => getBy(new SecureAgent(), secured)),
        tally.keepAsking("http/2", () => http2.get()),
      ];
      const pids = [await proxy.pid()];
      for (let n = 0; n < UPGRADES; n += 1) {
        await pause(300);
        pids.push(await proxy.upgrade());
        assert.deepEqual([await proxy.port(0), await proxy.port(1)], [plain, tls]);
      }
      await pause(300);
      tally.over = true;
      await Promise.all(asking);
      for (const agent of [...kept, ...shaken]) agent.destroy();
      http2.close();
      assert.deepEqual(tally.failures, []);
      assert.ok(tally.answered > 300, `only ${tally.answered} requests`);
      assert.ok(http2.sentAway >= UPGRADES, `sent away ${http2.sentAway} times`);
      assert.equal(new Set(pids).size, UPGRADES + 1);
      for (const pid of pids.slice(0, -1)) await ended(pid);
      assert.equal(await proxy.pid(), pids.at(-1));
    });
  });
}

test(
  "an upgraded process has as many descriptors as the one before it, and a private admin socket",
  {
    timeout: 60_000,
  },
  () =>
    withProxy({ workers: 2 }, async (proxy) => {
      const before = await proxy.pid();
      const own = descriptors(before).length;
      const pid = await proxy.upgrade();
      await ended(before);
      assert.equal(statSync(proxy.socket).mode & 0o777, 0o600);
      const after = descriptors(pid).length;
      assert.ok(after <= own, `${after} descriptors after, ${own} before`);
    }),
);

test("SIGUSR2 upgrades, and the admin API's port goes over with the rest", { timeout: 60_000 }, () =>
  withProxy({ admin: { address: "127.0.0.1:0" } }, async (proxy) => {
    const port = Number(/admin API on http:\/\/127\.0\.0\.1:(\d+)/.exec(proxy.said)?.[1]);
    const { pid: first } = (await proxy.ask("GET", "/status", port)).body;
    process.kill(Number(first), "SIGUSR2");
    await ended(Number(first));
    const { pid, listeners } = (await proxy.ask("GET", "/status", port)).body as {
      readonly pid?: number;
      readonly listeners?: readonly { readonly port: number }[];
    };
    assert.notEqual(pid, first);
    assert.equal((await proxy.ask("GET", "/readyz", port)).status, 200);
    assert.equal(await getBy(new Agent(), { port: listeners?.[0]?.port ?? 0 }), 200);
    process.kill(pid ?? 0, "SIGTERM");
    await ended(pid ?? 0);
  }),
);

test("a WebSocket lives on in the old process until shutdown.deadlineMs, and an idle client may ask once more", {
  timeout: 60_000,
}, async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server.on("connection", (socket) => socket.on("message", (data) => socket.send(data.toString())));
  await once(server, "listening");
  const { port: targetPort } = server.address() as { readonly port: number };
  const more: SettingsInput = {
    origins: { app: { targets: `http://127.0.0.1:${targetPort}` } },
    routes: [{ match: { path: "/ws" }, forwardTo: "app" }, { answer: { status: 200, body: "here" } }],
    shutdown: { deadlineMs: 2500 },
    upgrade: { idleMs: 1000 },
  };
  try {
    await withProxy(more, async (proxy) => {
      const port = await proxy.port();
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
      await once(socket, "open");
      const closed = once(socket, "close");
      const idle = new Agent({ keepAlive: true, maxSockets: 1 });
      assert.equal(await getBy(idle, { port }), 200);
      const quiet = connect(port, "127.0.0.1");
      quiet.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`);
      await once(quiet, "data");
      const quietEnds = once(quiet, "end");
      const old = await proxy.pid();
      const startedMs = Date.now();
      await proxy.upgrade();
      socket.send("still there");
      const [said] = (await once(socket, "message")) as [Buffer];
      assert.equal(said.toString(), "still there");
      assert.equal(await getBy(idle, { port }), 200);
      idle.destroy();
      await quietEnds;
      assert.ok(Date.now() - startedMs >= 900, "an idle client had no time to ask");
      quiet.destroy();
      assert.ok(isThere(old), "the WebSocket's process is gone");
      await closed;
      await ended(old);
    });
  } finally {
    server.close();
  }
});

/** What keeps a new process from taking over, and what is said then. */
const FAILURES: readonly {
  readonly what: string;
  readonly next: (settings: SettingsInput, taken: number) => SettingsInput | string;
  readonly says: RegExp;
  /** How long it may take; the second upgrade, which must succeed, has as long. */
  readonly readyMs?: number;
}[] = [
  {
    what: "settings that are wrong",
    next: (settings) => ({ ...settings, workers: "many" as unknown as number }),
    says: /the new process cannot start: workers/,
  },
  {
    what: "an address that is taken",
    next: (settings, taken) => ({ ...settings, listeners: ["127.0.0.1:0", `127.0.0.1:${taken}`] }),
    says: /the new process cannot start: Listener "listener-2" cannot listen on 127\.0\.0\.1:\d+/,
  },
  {
    what: "a start that never ends",
    next: () => "setInterval(() => {}, 1000);\nawait new Promise(() => {});\nexport default {};\n",
    says: /the new process was not ready within 6 s/,
    readyMs: 6000,
  },
  {
    what: "a process that ends at once",
    next: () => "process.exit(3);\n",
    says: /the new process ended with code 3/,
  },
];

for (const { what, next, says, readyMs = 30_000 } of FAILURES) {
  test(`an upgrade that meets ${what} changes nothing, and says why`, { timeout: 60_000 }, async () => {
    const busy: Server = createServer();
    await new Promise<void>((resolve) => busy.listen(0, "127.0.0.1", resolve));
    const { port: taken } = busy.address() as { readonly port: number };
    try {
      await withProxy({ upgrade: { readyMs } }, async (proxy, _, settings) => {
        const [pid, port] = [await proxy.pid(), await proxy.port()];
        const open = descriptors(pid).length;
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        assert.equal(await getBy(agent, { port }), 200);
        proxy.write(next(settings, taken));
        const { status, body } = await proxy.ask("POST", "/upgrade");
        assert.equal(status, 500);
        assert.match(String(body["detail"]), says);
        await proxy.hears(/the upgrade failed; this process serves on/);
        assert.equal((await proxy.ask("GET", "/readyz")).status, 200);
        assert.equal(await getBy(agent, { port }), 200);
        agent.destroy();
        assert.equal(await proxy.pid(), pid);
        // It can be tried again.
        proxy.write(settings);
        await pause(200);
        assert.ok(descriptors(pid).length <= open + 4, "the failed upgrade left descriptors behind");
        assert.notEqual(await proxy.upgrade(), pid);
        await ended(pid);
      });
    } finally {
      busy.close();
    }
  });
}

test("a process that is told to stop takes the one it was starting with it", { timeout: 60_000 }, () =>
  withProxy({}, async (proxy) => {
    const pid = await proxy.pid();
    const mark = join(proxy.folder, "started");
    proxy.write(
      `import { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(mark)}, String(process.pid));\nsetInterval(() => {}, 1000);\nawait new Promise(() => {});\n`,
    );
    const upgrading = proxy.ask("POST", "/upgrade").catch(() => undefined);
    let started = "";
    for (let n = 0; n < 300 && started === ""; n += 1) {
      await pause(20);
      started = statSync(mark, { throwIfNoEntry: false }) === undefined ? "" : readFileSync(mark, "utf8");
    }
    process.kill(pid, "SIGTERM");
    await ended(pid);
    await ended(Number(started));
    await upgrading;
  }),
);

test(
  "another address in the settings is another socket: the new process leaves the old one behind",
  {
    timeout: 60_000,
  },
  () =>
    withProxy({}, async (proxy, _, settings) => {
      const [pid, port] = [await proxy.pid(), await proxy.port()];
      proxy.write({ ...settings, listeners: ["127.0.0.2:0"] });
      await proxy.upgrade();
      await ended(pid);
      const [failure] = (await once(connect(port, "127.0.0.1"), "error")) as [NodeJS.ErrnoException];
      assert.equal(failure.code, "ECONNREFUSED");
      await proxy.hears(/a socket this process was started with is for no listener, and was closed/);
    }),
);

test("with shutdown.delayMs a signal ends readiness first, and then what is served", { timeout: 60_000 }, () =>
  withProxy({ shutdown: { delayMs: 2500 } }, async (proxy) => {
    const [pid, port] = [await proxy.pid(), await proxy.port()];
    process.kill(pid, "SIGTERM");
    await proxy.hears(/"delayMs":2500,.*"millrace is stopping"/);
    const { status, body } = await proxy.ask("GET", "/readyz");
    assert.equal(status, 503, JSON.stringify(body));
    assert.equal((await proxy.ask("GET", "/livez")).status, 200);
    assert.equal(await getBy(new Agent(), { port }), 200, "a new connection is taken");
    await ended(pid);
    await assert.rejects(getBy(new Agent(), { port }), /ECONNREFUSED/);
  }),
);

test(
  "millrace upgrade says which process has taken over, and what kept it from it, with exit 1",
  {
    timeout: 60_000,
  },
  () =>
    withProxy({}, async (proxy) => {
      const first = await proxy.pid();
      const asked = await command("upgrade", "--admin", `unix:${proxy.socket}`);
      const second = await proxy.pid();
      assert.equal(asked.code, 0, asked.err);
      assert.equal(asked.out, `process ${second} is ready and has taken over; the old one finishes what it has\n`);
      assert.notEqual(second, first);
      proxy.write("process.exit(5);\n");
      const refused = await command("upgrade", "--admin", `unix:${proxy.socket}`);
      assert.deepEqual([refused.code, refused.out], [1, ""]);
      assert.match(refused.err, /refuses: the new process ended with code 5/);
    }),
);

/** One of the other commands, to its end. */
function command(...options: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [PROGRAM, ...options], (_, out, err) =>
      resolve({ code: child.exitCode, out, err }),
    );
  });
}
