/**
 * Origins that speak HTTP/2: Node's own server, plain and over TLS, and connections whose frames a test plays itself.
 */
import http2, {
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext } from "node:tls";
import type { Issued } from "./certificates.js";
import { Http2Peer, type PeerOptions } from "./http2-peer.js";
import type { Script } from "./origin.js";
import { Scene, type SceneOptions, type SettingsOverlay } from "./scene.js";
import { trusting, usual } from "./tls-origins.js";
import { Changes, PATIENCE_MS, WireError } from "./wire.js";

/** How long a connection may last: as long as a test goes on. */
const FOR_EVER_MS = 3_600_000;

type Handler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

export interface NodeOriginOptions {
  /** TLS, offering HTTP/1.1 besides if `http1` says so. */
  readonly secure?: boolean;
  readonly http1?: boolean;
  /** What it shows, by the name it is asked for; the usual certificate for every name unless told otherwise. */
  readonly shows?: Readonly<Record<string, Issued>>;
  readonly settings?: http2.Settings;
  /** What is done with an upgrade over HTTP/1.1. */
  readonly upgrade?: (socket: Duplex) => void;
}

/** Node's HTTP/2 server. */
export class NodeOrigin {
  /** Connections that came to speak HTTP/2. */
  sessions = 0;
  /** Requests that came over HTTP/1.1. */
  http1 = 0;
  readonly #server: Http2Server | Http2SecureServer;
  readonly #open = new Set<{ destroy(): void }>();
  readonly #secure: boolean;

  private constructor(handler: Handler, { secure, http1, shows = {}, settings, upgrade }: NodeOriginOptions) {
    this.#secure = secure === true;
    const { cert, key } = usual();
    this.#server =
      secure === true
        ? http2.createSecureServer({
            cert,
            key,
            allowHTTP1: http1 === true,
            settings: settings ?? {},
            SNICallback: (name, done) => {
              const { cert, key } = shows[name] ?? usual();
              done(null, createSecureContext({ cert, key }));
            },
          })
        : http2.createServer({ settings: settings ?? {} });
    this.#server.on("session", (session) => {
      this.sessions += 1;
      this.#open.add(session);
      session.on("close", () => this.#open.delete(session));
      session.on("error", () => undefined);
    });
    this.#server.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      handler(stream as ServerHttp2Stream, headers);
    });
    if (http1 === true) {
      // Who listens to requests has Node answer CONNECT and send trailers by itself, on every stream.
      this.#server.on("request", (request, response) => {
        if (request.httpVersionMajor !== 1) return;
        this.http1 += 1;
        response.end("over HTTP/1.1");
      });
    }
    this.#server.on("connection", (socket: Duplex) => {
      this.#open.add(socket);
      socket.on("close", () => this.#open.delete(socket));
      socket.on("error", () => undefined);
    });
    this.#server.on("upgrade", (_request: unknown, socket: Duplex) => upgrade?.(socket));
  }

  static async start(handler: Handler, options: NodeOriginOptions = {}): Promise<NodeOrigin> {
    const origin = new NodeOrigin(handler, options);
    await new Promise<void>((resolve) => origin.#server.listen(0, "127.0.0.1", resolve));
    return origin;
  }

  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `${this.#secure ? "https" : "http"}://127.0.0.1:${port}`;
  }

  async stop(): Promise<void> {
    for (const one of this.#open) one.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Plays a scene whose one origin is Node's server. */
export async function withNodeOrigin(
  handler: Handler,
  options: NodeOriginOptions &
    Pick<SceneOptions, "workers"> & { readonly app?: object; readonly more?: SettingsOverlay },
  play: (scene: Scene, origin: NodeOrigin) => Promise<void>,
): Promise<void> {
  const origin = await NodeOrigin.start(handler, options);
  const tls = options.secure === true ? { tls: trusting() } : {};
  const scene = await Scene.open({
    ...(options.workers === undefined ? {} : { workers: options.workers }),
    origins: {},
    settings: {
      origins: { app: { targets: [origin.url], httpVersions: ["2"], ...tls, ...options.app } },
      routes: [{ forwardTo: "app" }],
      ...options.more,
    } as SettingsOverlay,
  });
  try {
    await play(scene, origin);
    await origin.stop();
    await scene.end();
  } finally {
    await scene.abandon();
    await origin.stop().catch(() => undefined);
  }
}

/** Connections of an origin whose frames the test plays. */
export class FramedOrigin {
  readonly #peers: Http2Peer[] = [];
  readonly #changes = new Changes();

  /** What the origin of a scene runs. */
  script(options: PeerOptions = {}): Script {
    return async (connection) => {
      this.#peers.push(await Http2Peer.server(connection.wire, options));
      this.#changes.wake();
      await connection.ended(FOR_EVER_MS);
      await connection.close();
    };
  }

  /** How many connections there were. */
  get count(): number {
    return this.#peers.length;
  }

  /** The connection of this number, from 0. */
  async peer(number: number, ms = PATIENCE_MS): Promise<Http2Peer> {
    const due = Date.now() + ms;
    for (;;) {
      const found = this.#peers[number];
      if (found !== undefined) return found;
      if (Date.now() > due) throw new WireError(`there are ${this.count} connections, and none number ${number}`);
      await this.#changes.next(due - Date.now());
    }
  }
}
