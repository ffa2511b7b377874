/**
 * What tests of failures share: origins that fail the first time a request of theirs is seen and answer it the second
 * time, a ledger of who saw what, and places that nobody can connect to.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { reply, serve } from "./behaviours.js";
import { type RawClient, request, requestWithBody } from "./client.js";
import type { Answer } from "./message.js";
import type { Handler, OriginConnection, RawOrigin, Script } from "./origin.js";
import type { LogLine, Scene } from "./scene.js";
import { PATIENCE_MS, pause, WireError, within } from "./wire.js";

/** One arrival of a request at an origin. */
export interface Sight {
  readonly path: string;
  readonly origin: RawOrigin;
  /** The connection had carried a request before. */
  readonly reused: boolean;
  readonly bodyBytes: number;
}

/** Who saw which request, and which connections a failure may have spoilt. */
export class Ledger {
  readonly sights: Sight[] = [];
  readonly #carried = new WeakMap<OriginConnection, number>();
  readonly #spoilt = new WeakSet<OriginConnection>();

  of(path: string): Sight[] {
    return this.sights.filter((sight) => sight.path === path);
  }

  /** Paths below /case fail by `fail` when they are first seen anywhere; everything else is answered. */
  firstFails(fail: Handler): Script {
    return serve(async (asked, connection) => {
      const carried = this.#carried.get(connection) ?? 0;
      this.#carried.set(connection, carried + 1);
      // Whoever hears of another request on it was not given up.
      this.#spoilt.delete(connection);
      if (!asked.target.startsWith("/case")) return connection.send(reply(200, "warm"));
      const again = this.of(asked.target).length > 0;
      this.sights.push({
        path: asked.target,
        origin: connection.origin,
        reused: carried > 0,
        bodyBytes: asked.body.length,
      });
      if (again) return connection.send(reply(200, asked.method === "HEAD" ? "" : "second"));
      this.#spoilt.add(connection);
      await fail(asked, connection);
    });
  }

  /** Connections of an origin on which nothing failed. */
  sound(origin: RawOrigin): number {
    return origin.open.filter((connection) => !this.#spoilt.has(connection)).length;
  }
}

/** A method as the failure matrix knows it. */
export interface Call {
  readonly method: string;
  readonly keyed: boolean;
  readonly safe: boolean;
  readonly idempotent: boolean;
}

export const CALLS: readonly Call[] = [
  { method: "GET", keyed: false, safe: true, idempotent: true },
  { method: "HEAD", keyed: false, safe: true, idempotent: true },
  { method: "PUT", keyed: false, safe: false, idempotent: true },
  { method: "DELETE", keyed: false, safe: false, idempotent: true },
  { method: "POST", keyed: false, safe: false, idempotent: false },
  { method: "POST", keyed: true, safe: false, idempotent: false },
];

/** Request bodies: absent, held for a repeat, and longer than what is held (`REPLAY_BYTES`). */
export const REPLAY_BYTES = 1_024;
export const BODIES = { none: 0, small: 700, large: 5_000 } as const;
export type BodySize = keyof typeof BODIES;

/** Sends a call and reads its answer, whole or not. */
export async function perform(client: RawClient, call: Call, path: string, body: BodySize): Promise<Answer> {
  const fields = call.keyed ? ['Idempotency-Key: "k-1"'] : [];
  const line = `${call.method} ${path}`;
  await client.send(
    body === "none" ? request(line, ...fields) : requestWithBody(line, "b".repeat(BODIES[body]), ...fields),
  );
  return client.answerOrPart(call.method);
}

/** The access-log line of the request to `path`. */
export async function lineOf(scene: Scene, path: string, ms = PATIENCE_MS): Promise<LogLine> {
  const due = Date.now() + ms;
  for (;;) {
    const line = (await scene.accessLog(0)).find((one) => one["path"] === path);
    if (line !== undefined) return line;
    if (Date.now() > due) throw new WireError(`no line of ${path} in the access log after ${ms} ms`);
    await pause(5);
  }
}

/** How long the deaf listener may take to be deaf; milliseconds. */
const START_MS = 20_000;
/** Connections the deaf listener's queue is asked to hold; Linux lets one more in. */
const DEAF_BACKLOG = 1;

/** How many connections wait to be accepted by the listener on an IPv4 port of this network. */
function waitingToBeAccepted(port: number): number {
  const local = new RegExp(
    `^\\s*\\d+: \\w+:${port.toString(16).toUpperCase().padStart(4, "0")} \\w+:\\w+ 0A \\w+:(\\w+)`,
    "m",
  );
  const found = local.exec(readFileSync("/proc/net/tcp", "latin1"))?.[1];
  if (found === undefined) throw new WireError(`nobody listens on port ${port}`);
  return Number.parseInt(found, 16);
}

/** A listener whose queue is full and whose process accepts nothing: a connection to it is never established. */
export class DeafListener {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #fill: Socket[] = [];

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#child = child;
  }

  static async start(): Promise<DeafListener> {
    const program = `
      const server = require("node:net").createServer();
      server.listen({ port: 0, host: "127.0.0.1", backlog: ${DEAF_BACKLOG} }, () => {
        require("node:fs").writeSync(1, server.address().port + "\\n");
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      });`;
    const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const [said] = (await within(once(child.stdout, "data"), START_MS, "the port of the deaf listener")) as [Buffer];
      const deaf = new DeafListener(Number(said.toString()), child);
      await deaf.#fillUp();
      return deaf;
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  /** Asked of the kernel, not timed: a connection that is merely slow would look like one that is not taken. */
  async #fillUp(): Promise<void> {
    const due = Date.now() + START_MS;
    for (;;) {
      const waiting = waitingToBeAccepted(this.port);
      if (waiting > DEAF_BACKLOG) return;
      if (waiting === this.#fill.length) {
        const socket = connect({ port: this.port, host: "127.0.0.1" });
        socket.on("error", () => undefined);
        this.#fill.push(socket);
      }
      if (Date.now() > due) throw new WireError("the deaf listener's queue does not fill up");
      await pause(5);
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#fill) socket.destroy();
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}
