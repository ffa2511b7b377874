/** How much memory an origin of many targets and many idle connections takes, measured on a process of its own. */
import { createServer } from "node:net";
import { settle } from "./load.js";
import { residentBytes } from "./proxy.js";
import { Scene } from "./scene.js";
import { clientsOf, inTurn } from "./traffic.js";
import { pause, WireError } from "./wire.js";

/** Longest the ready connections may take to be there. */
const FILL_MS = 60_000;
const ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** What was measured. */
export interface Footprint {
  readonly targets: number;
  readonly idle: number;
  /** Resident bytes beyond those of a proxy with one target and one connection. */
  readonly grownBytes: number;
}

/** The 127.x addresses of this host, one a target. */
function addressOf(n: number): string {
  return `127.1.${Math.floor(n / 250)}.${(n % 250) + 1}`;
}

/** Resident bytes of a proxy once each of `targets` targets has `idleEach` idle connections, and how many there are. */
async function measure(port: number, targets: number, idleEach: number): Promise<{ bytes: number; idle: number }> {
  const scene = await Scene.open({
    apart: true,
    workers: 2,
    settings: {
      origins: {
        many: {
          targets: Array.from({ length: targets }, (_, n) => `http://${addressOf(n)}:${port}`),
          standby: idleEach,
          idleMs: 600_000,
          connectMs: 20_000,
        },
      },
      routes: [{ forwardTo: "many" }],
    },
  });
  try {
    const due = Date.now() + FILL_MS;
    for (;;) {
      const idle = await scene.counter("origin_connections_idle");
      if (idle >= targets * idleEach) break;
      if (Date.now() > due) throw new WireError(`${idle} of ${targets * idleEach} connections after ${FILL_MS} ms`);
      await pause(100);
    }
    await inTurn(await clientsOf(scene, 4, false), 500);
    await settle();
    const idle = await scene.counter("origin_connections_idle");
    return { bytes: residentBytes(scene.proxy.pid), idle };
  } finally {
    await scene.abandon();
  }
}

/** Measures an origin of `targets` targets with `idleEach` idle connections each, against one with one of each. */
export async function footprint(targets: number, idleEach: number): Promise<Footprint> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", () => socket.write(ANSWER));
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: "0.0.0.0", backlog: 4_096 }, resolve));
  try {
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const small = await measure(port, 1, 1);
    const large = await measure(port, targets, idleEach);
    return { targets, idle: large.idle, grownBytes: large.bytes - small.bytes };
  } finally {
    server.close();
  }
}
