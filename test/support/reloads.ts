/**
 * Reloads under load: clients of every kind ask without a pause while the settings change and change back, and a
 * WebSocket and a stream of HTTP/2 stay open through all of it. Every reload is another plan, with a target that never
 * was before. The proxy runs in a process of its own, so that its memory can be told.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, Agent as HttpAgent, request as httpRequest, type RequestOptions, type Server } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket, WebSocketServer } from "ws";
import type { SettingsInput } from "../../src/index.js";
import { makeAuthority } from "./certificates.js";
import { type RunningProxy, residentBytes, startApart } from "./proxy.js";
import { pause, within } from "./wire.js";

/** What reloads under load came to. */
export interface Reloaded {
  readonly reloads: number;
  /** By kind of client: requests that were answered as they must be. */
  readonly answered: Readonly<Record<string, number>>;
  /** What went wrong with a request, the WebSocket, the stream or a reload. */
  readonly wrong: readonly string[];
  /** Messages that came back over the one WebSocket, and pieces of the one stream. */
  readonly echoes: number;
  readonly pieces: number;
  /** Resident memory of the proxy each time a twentieth of the reloads was done. */
  readonly residentBytes: readonly number[];
}

const NAME = "www.example.org";
const BODY = "x".repeat(2000);
/** A piece of the stream every so often, in ms. */
const PIECE_MS = 20;

interface Ports {
  readonly targets: readonly number[];
  /** Free ports for a listener that comes and goes. */
  readonly extra: number;
}

type Pairs = readonly [Pair, Pair];
type Pair = { readonly cert: string; readonly key: string };

/** The settings of the n-th reload; no two that follow each other are the same. */
function settingsAt(n: number, { targets, extra }: Ports, pairs: Pairs): SettingsInput {
  const urls = targets.map((port) => `http://127.0.0.1:${port}`);
  const [first, second] = [urls[n % urls.length] ?? "", urls[(n + 1) % urls.length] ?? ""];
  // Nobody listens there, and nobody asks: the tier before it is well.
  const passing = { address: `http://127.1.${(n >> 8) & 0xff}.${n & 0xff}:9`, tier: "backup" as const };
  const listeners = [
    "127.0.0.1:0",
    { name: "secure", address: "127.0.0.2:0", tls: { certificates: [pairs[n % 2 === 0 ? 0 : 1]] } },
  ];
  return {
    workers: 2,
    log: { level: "silent" },
    listeners: n % 4 === 3 ? [...listeners, `127.0.0.1:${extra}`] : listeners,
    timeouts: { clientIdleMs: 60_000 + (n % 5) },
    origins: {
      app: { targets: n % 7 === 0 ? [first, passing] : [first, second, passing], connectMs: 2000 + (n % 3) },
      ...(n % 3 === 0 ? {} : { other: { targets: second } }),
      still: { targets: urls[0] ?? "" },
    },
    routes: [
      ...(n % 3 === 0 ? [] : [{ name: `other-${n % 5}`, match: { path: "/other/*" }, forwardTo: "other" }]),
      { name: "still", match: { path: "/still/*" }, forwardTo: "still" },
      { name: "all", forwardTo: "app" },
    ],
  };
}

/** Servers that never close a connection by themselves; each path says what it does. */
async function startTarget(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((request, response) => {
    request.resume();
    if (request.url === "/still/stream") {
      response.flushHeaders();
      const timer = setInterval(() => response.write("piece\n"), PIECE_MS);
      response.on("close", () => clearInterval(timer));
      return;
    }
    request.on("end", () => response.end(BODY));
  });
  server.keepAliveTimeout = 0;
  new WebSocketServer({ server }).on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

class Load {
  readonly answered: Record<string, number> = {};
  readonly wrong: string[] = [];
  echoes = 0;
  pieces = 0;
  over = false;
  readonly #running: Promise<void>[] = [];

  /** Asks without a pause until it is over. */
  keepAsking(kind: string, ask: () => Promise<number>): void {
    const loop = async () => {
      while (!this.over) {
        try {
          const status = await within(ask(), 20_000, "an answer");
          if (status === 200) this.answered[kind] = (this.answered[kind] ?? 0) + 1;
          else this.complain(`${kind}: ${status}`);
        } catch (thrown) {
          this.complain(`${kind}: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
        }
      }
    };
    this.#running.push(loop());
  }

  complain(says: string): void {
    if (!this.over) this.wrong.push(says);
  }

  async end(): Promise<void> {
    this.over = true;
    await Promise.all(this.#running);
  }
}

/** The status, once the answer is whole and is the one that was meant. */
function ask(make: typeof httpRequest, options: RequestOptions, body?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = make(options, (answer) => {
      let bytes = 0;
      answer.on("data", (piece: Buffer) => {
        bytes += piece.length;
      });
      answer.on("error", reject);
      answer.on("end", () => resolve(answer.complete && bytes === BODY.length ? (answer.statusCode ?? 0) : 0));
    });
    asking.on("error", reject);
    asking.end(body);
  });
}

function startLoad(load: Load, proxy: RunningProxy, ca: string): () => Promise<void> {
  const [plain, secure] = proxy.started.listeners;
  if (plain === undefined || secure === undefined) throw new Error("two listeners were asked for");
  const [kept, keptSecure] = [new HttpAgent({ keepAlive: true }), new HttpsAgent({ keepAlive: true })];
  const at = { host: plain.address, port: plain.port };
  const securely = { host: secure.address, port: secure.port, servername: NAME, ca };
  load.keepAsking("kept", () => ask(httpRequest, { ...at, agent: kept, path: "/a" }));
  load.keepAsking("other", () => ask(httpRequest, { ...at, agent: kept, path: "/other/a" }));
  load.keepAsking("post", () => ask(httpRequest, { ...at, agent: kept, path: "/a", method: "POST" }, BODY));
  load.keepAsking("fresh", () => ask(httpRequest, { ...at, agent: false, path: "/a" }));
  load.keepAsking("tls", () => ask(httpsRequest, { ...securely, agent: keptSecure, path: "/a" }));
  load.keepAsking("tls fresh", () => ask(httpsRequest, { ...securely, agent: false, path: "/a" }));
  const session = connectHttp2(`https://${secure.address}:${secure.port}`, { servername: NAME, ca });
  session.on("error", (error) => load.complain(`http/2: ${error.message}`));
  session.on("goaway", () => load.complain("http/2: GOAWAY"));
  load.keepAsking("http/2", async () => {
    const stream = session.request({ ":path": "/a", ":authority": NAME });
    let [status, bytes] = [0, 0];
    stream.on("response", (fields) => {
      status = fields[":status"] ?? 0;
    });
    stream.on("data", (piece: Buffer) => {
      bytes += piece.length;
    });
    await once(stream, "end");
    return bytes === BODY.length ? status : 0;
  });
  const stream = session.request({ ":path": "/still/stream", ":authority": NAME });
  stream.on("data", () => {
    load.pieces += 1;
  });
  stream.on("error", (error) => load.complain(`the stream: ${error.message}`));
  stream.on("end", () => load.complain("the stream ended"));
  const webSocket = new WebSocket(`ws://${plain.address}:${plain.port}/socket`);
  webSocket.on("open", () => webSocket.send("a"));
  webSocket.on("error", (error) => load.complain(`the WebSocket: ${error.message}`));
  webSocket.on("close", () => load.complain("the WebSocket closed"));
  webSocket.on("message", () => {
    load.echoes += 1;
    setTimeout(() => webSocket.readyState === WebSocket.OPEN && webSocket.send("a"), PIECE_MS);
  });
  return async () => {
    await load.end();
    stream.close();
    session.destroy();
    webSocket.terminate();
    for (const agent of [kept, keptSecure]) agent.destroy();
  };
}

/** A port that is free now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** @param told Called each time a twentieth is done. */
export async function reloadUnderLoad(
  reloads: number,
  told: (done: number, resident: number) => void = () => {},
): Promise<Reloaded> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-reloads-"));
  const root = makeAuthority("a root");
  const pairs: Pairs = [
    root.issue({ names: [NAME] }).writeTo(folder, "one"),
    root.issue({ names: [NAME] }).writeTo(folder, "two"),
  ];
  const targets = await Promise.all([startTarget(), startTarget(), startTarget()]);
  const ports = { targets: targets.map(({ port }) => port), extra: await freePort() };
  const proxy = await startApart(settingsAt(0, ports, pairs));
  const load = new Load();
  const resident: number[] = [];
  try {
    const stop = startLoad(load, proxy, root.cert);
    for (let n = 1; n <= reloads; n += 1) {
      const reload = await proxy.reload(settingsAt(n, ports, pairs));
      if (reload.result !== "applied") load.complain(`reload ${n}: ${JSON.stringify(reload)}`);
      else if (reload.workersBehind.length > 0)
        load.complain(`reload ${n}: workers ${reload.workersBehind} are behind`);
      if (reload.generation !== n + 1) load.complain(`reload ${n} made plan ${reload.generation}`);
      if (n % Math.max(1, Math.floor(reloads / 20)) === 0) {
        resident.push(residentBytes(proxy.pid));
        told(n, resident.at(-1) ?? 0);
      }
      // Requests get their share of the processors.
      await pause(2);
    }
    await stop();
  } finally {
    load.over = true;
    await proxy.stop();
    for (const { server } of targets) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(folder, { recursive: true, force: true });
  }
  const { answered, wrong, echoes, pieces } = load;
  return { reloads, answered, wrong, echoes, pieces, residentBytes: resident };
}
