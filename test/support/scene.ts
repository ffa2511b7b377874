/**
 * A scene: Millrace between scripted clients and scripted origins. `scenario` is a test that opens one, plays it, and
 * ends it: everything is closed, the books are swept, and no descriptor may be left. Every test on the wire uses it.
 */
import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { CounterName, Millrace, SettingsInput } from "../../src/index.js";
import { echo } from "./behaviours.js";
import { sweepBooks } from "./books.js";
import { type ClientOptions, RawClient } from "./client.js";
import { type OriginOptions, RawOrigin, type Script } from "./origin.js";
import { descriptors, openSockets, type RunningProxy, startApart, startHere } from "./proxy.js";
import { PATIENCE_MS, pause, WireError } from "./wire.js";

/** How long a scenario may take on a loaded machine; milliseconds. */
const TEST_MS = 120_000;

export type Origins = Readonly<Record<string, RawOrigin>>;
type OriginSettings = Omit<NonNullable<SettingsInput["origins"]>[string], "targets">;

/** Settings of which any part may be left out, because the scene has it. */
type Overlay<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { readonly [Key in keyof T]?: Overlay<T[Key]> }
    : T;
export type SettingsOverlay = Overlay<SettingsInput>;

export interface SceneOptions {
  /** Script of the one origin, called `app`; an echo unless told otherwise. */
  readonly origin?: Script;
  /** Scripts of several origins, by name, in place of `origin`. */
  readonly origins?: Readonly<Record<string, Script>>;
  /** Settings of every origin: times, limits, host. */
  readonly originSettings?: OriginSettings;
  /** How the origins listen and record. */
  readonly originOptions?: OriginOptions;
  /** Settings laid over those of the scene; a function is told where the origins are. */
  readonly settings?: SettingsOverlay | ((origins: Origins) => SettingsOverlay);
  readonly workers?: number;
  /** Run the proxy in a process of its own. */
  readonly apart?: boolean;
  /** Descriptors that process may have. */
  readonly descriptors?: number;
  /** Keep what the process says that runs apart: `scene.processLog()` reads it; the settings say from which level on. */
  readonly processLog?: boolean;
  /** Keep an access log that `scene.accessLog()` reads. */
  readonly accessLog?: boolean;
}

/** One line of the access log. */
export type LogLine = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Lays settings over others; arrays and scalars replace, objects merge. */
function overlay<T>(base: T, top: unknown): T {
  if (!isRecord(base) || !isRecord(top)) return top as T;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(top)) merged[key] = key in base ? overlay(merged[key], value) : value;
  return merged as T;
}

export class Scene {
  readonly proxy: RunningProxy;
  readonly origins: Origins;
  readonly folder: string;
  readonly #said: readonly string[];
  readonly #clients: RawClient[] = [];
  readonly #before: { readonly sockets: number; readonly running: number };
  #over = false;
  #stopped = false;

  private constructor(
    proxy: RunningProxy,
    origins: Origins,
    folder: string,
    socketsBefore: number,
    said: readonly string[],
  ) {
    this.#said = said;
    this.proxy = proxy;
    this.origins = origins;
    this.folder = folder;
    this.#before = { sockets: socketsBefore, running: descriptors(proxy.pid).length };
  }

  static async open(options: SceneOptions = {}): Promise<Scene> {
    const socketsBefore = openSockets(process.pid);
    const folder = mkdtempSync(join(tmpdir(), "millrace-scene-"));
    const origins: Record<string, RawOrigin> = {};
    const said: string[] = [];
    const log = options.processLog === true ? (text: string) => said.push(text) : undefined;
    try {
      for (const [name, script] of Object.entries(options.origins ?? { app: options.origin ?? echo() })) {
        origins[name] = await RawOrigin.start(script, options.originOptions);
      }
      const settings = sceneSettings(options, origins, folder);
      const proxy = await (options.apart === true
        ? startApart(settings, { descriptors: options.descriptors, log })
        : startHere(settings));
      return new Scene(proxy, origins, folder, socketsBefore, said);
    } catch (error) {
      for (const origin of Object.values(origins)) await origin.stop();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** The port of the first listener. */
  get port(): number {
    const port = this.proxy.started.listeners[0]?.port;
    if (port === undefined) throw new WireError("the proxy does not listen");
    return port;
  }

  /** The origin called `app`, or the first one. */
  get origin(): RawOrigin {
    const origin = this.origins["app"] ?? Object.values(this.origins)[0];
    if (origin === undefined) throw new WireError("the scene has no origin");
    return origin;
  }

  /** The proxy's own calls, where it runs in this process. */
  get millrace(): Millrace {
    if (this.proxy.millrace === undefined) throw new WireError("the proxy runs in another process");
    return this.proxy.millrace;
  }

  /** A new client connection, to the first listener unless told otherwise, closed with the scene. */
  async client(options: ClientOptions & { readonly port?: number } = {}): Promise<RawClient> {
    const client = await RawClient.connect(options.port ?? this.port, options);
    this.#clients.push(client);
    return client;
  }

  /** A counter of the books, summed over all workers. */
  async counter(name: CounterName): Promise<number> {
    return (await this.proxy.stats()).all.counters[name];
  }

  /** Waits until a counter or gauge has this value. */
  async sees(name: CounterName, value: number, ms = PATIENCE_MS): Promise<void> {
    const due = Date.now() + ms;
    for (;;) {
      const now = await this.counter(name);
      if (now === value) return;
      if (Date.now() > due) throw new WireError(`${name} is ${now}, not ${value}, after ${ms} ms`);
      await pause(5);
    }
  }

  /** The lines of the access log, once there are `count` of them. */
  async accessLog(count: number, ms = PATIENCE_MS): Promise<LogLine[]> {
    const due = Date.now() + ms;
    for (;;) {
      // What stands behind the last line end is still being written.
      const lines = readFileSync(join(this.folder, "access.log"), "utf8").split("\n").slice(0, -1);
      if (lines.length >= count) return lines.map((line) => JSON.parse(line) as LogLine);
      if (Date.now() > due)
        throw new WireError(`${lines.length} lines in the access log, not ${count}, after ${ms} ms`);
      await pause(10);
    }
  }

  /** What the process has said in its log so far. */
  processLog(): LogLine[] {
    const lines = this.#said.join("").split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  /** Stops the proxy as part of the play; its books cannot be asked any more. */
  stop(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    return this.proxy.stop(deadlineMs);
  }

  /** Closes everything and sweeps: what is out of balance fails. */
  async end(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    const complaints: string[] = [];
    try {
      for (const client of this.#clients) await client.close();
      for (const [name, origin] of Object.entries(this.origins)) {
        for (const trouble of origin.troubles) complaints.push(`origin ${name}: ${trouble.message}`);
        await origin.stop();
      }
      if (!this.#stopped) {
        complaints.push(...(await sweepBooks(this.proxy)));
        complaints.push(...(await this.#sweepDescriptors()));
      }
    } finally {
      await this.#leave(2_000);
    }
    if (this.proxy.pid === process.pid) complaints.push(...(await sweepSockets(this.#before.sockets)));
    assert.deepEqual(complaints, [], "the scene ends with balanced books");
  }

  /** Ends without looking, after a test has failed already. */
  async abandon(): Promise<void> {
    if (this.#over) return;
    this.#over = true;
    try {
      for (const client of this.#clients) await client.close();
      for (const origin of Object.values(this.origins)) await origin.stop();
    } finally {
      await this.#leave(0);
    }
  }

  /** Stops the proxy, and leaves no folder behind even when it does not stop. */
  async #leave(deadlineMs: number): Promise<void> {
    try {
      await this.proxy.stop(deadlineMs);
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  /** Descriptors must come back to what they were before the first client. */
  async #sweepDescriptors(): Promise<string[]> {
    const due = Date.now() + PATIENCE_MS;
    for (;;) {
      const open = descriptors(this.proxy.pid).length;
      if (open <= this.#before.running) return [];
      if (Date.now() > due) return [`${open} descriptors are open; before the first client ${this.#before.running}`];
      await pause(20);
    }
  }
}

/** Sockets of this process must come back to what they were; one that was closed just now may still be there. */
async function sweepSockets(before: number): Promise<string[]> {
  const due = Date.now() + PATIENCE_MS;
  for (;;) {
    const open = openSockets(process.pid);
    if (open <= before) return [];
    if (Date.now() > due) return [`${open} sockets are open after the stop; before the start ${before}`];
    await pause(20);
  }
}

function sceneSettings(options: SceneOptions, origins: Origins, folder: string): SettingsInput {
  const base: SettingsInput = {
    workers: options.workers ?? 1,
    listeners: ["127.0.0.1:0"],
    log: { level: "silent" },
    accessLog: options.accessLog === true ? { to: join(folder, "access.log") } : false,
    origins: Object.fromEntries(
      Object.entries(origins).map(([name, origin]) => [name, { ...options.originSettings, targets: [origin.url] }]),
    ),
  };
  const { settings } = options;
  return overlay(base, typeof settings === "function" ? settings(origins) : (settings ?? {}));
}

/** A test with a scene around it, named by the promise it keeps. */
export function scenario(
  promise: string,
  options: SceneOptions,
  play: (scene: Scene) => Promise<void>,
  limits: { readonly timeoutMs?: number; readonly skip?: string | false } = {},
): void {
  test(promise, { timeout: limits.timeoutMs ?? TEST_MS, skip: limits.skip ?? false }, async ({ signal }) => {
    const scene = await Scene.open(options);
    // A test that is out of time is left where it stands: what it waits for ends with its scene.
    signal.addEventListener("abort", () => void scene.abandon().catch(() => undefined), { once: true });
    try {
      await play(scene);
    } catch (error) {
      await scene.abandon();
      throw error;
    }
    await scene.end();
  });
}
