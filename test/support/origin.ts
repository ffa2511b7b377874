/**
 * A raw scripted origin: every connection runs a script over its own wire, every byte and every request is kept. The
 * script may be exchanged at any time; connections that are already there go on with the handler of the moment.
 */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createSecureContext, type SecureContext, type SecureContextOptions, TLSSocket } from "node:tls";
import {
  type Body,
  framingOf,
  type Request,
  type RequestHead,
  readBody,
  readRequest,
  readRequestHead,
} from "./message.js";
import { type Bytes, PATIENCE_MS, pause, toBytes, Wire, WireError } from "./wire.js";

/** What a connection does from its first byte to its last. */
export type Script = (connection: OriginConnection) => Promise<void> | void;
/** What is done with one request that was read whole; the connection stays unless the handler ends it. */
export type Handler = (request: Request, connection: OriginConnection) => Promise<void> | void;

export class OriginConnection {
  readonly wire: Wire;
  /** Counts from 0 in the order of acceptance. */
  readonly id: number;
  readonly #origin: RawOrigin;

  constructor(origin: RawOrigin, socket: Socket, id: number, record: boolean, beneath?: Socket) {
    this.#origin = origin;
    this.wire = new Wire(socket, { record, beneath });
    this.id = id;
  }

  /** The TLS session, where the origin speaks it. */
  get session(): TLSSocket {
    if (!(this.wire.socket instanceof TLSSocket)) throw new WireError("this connection has no TLS");
    return this.wire.socket;
  }

  /** The name the proxy asked for; empty = none. */
  get serverName(): string {
    const { servername } = this.session as { readonly servername?: string | false };
    return servername === undefined || servername === false ? "" : servername;
  }

  get origin(): RawOrigin {
    return this.#origin;
  }

  /** Reads the next request whole. */
  async request(ms = PATIENCE_MS): Promise<Request> {
    const request = await readRequest(this.wire, ms);
    this.#origin.note(request, this);
    return request;
  }

  /** Reads only the head of the next request. */
  head(ms = PATIENCE_MS): Promise<RequestHead> {
    return readRequestHead(this.wire, ms);
  }

  /** Reads the body that belongs to a head read before. */
  body(head: RequestHead, ms = PATIENCE_MS): Promise<Body> {
    const { framing, length } = framingOf(head.fields, "request");
    return readBody(this.wire, framing, length, ms);
  }

  send(...pieces: Bytes[]): Promise<void> {
    return this.wire.send(Buffer.concat(pieces.map(toBytes)));
  }

  pause(ms: number): Promise<void> {
    return pause(ms);
  }

  halfClose(): Promise<void> {
    return this.wire.halfClose();
  }

  close(): Promise<void> {
    return this.wire.close();
  }

  reset(): Promise<void> {
    return this.wire.reset();
  }

  /** FIN without a word of TLS. */
  cut(): Promise<void> {
    return this.wire.cut();
  }

  /** Waits until the proxy ended this connection; says how. */
  ended(ms = PATIENCE_MS): Promise<"end" | "reset"> {
    return this.wire.until(
      "the end of the origin connection",
      (_, ending) => (ending === "open" ? undefined : ending),
      ms,
    );
  }
}

export interface OriginOptions {
  /** Keep every byte of every connection (the default); off for load. */
  readonly record?: boolean;
  readonly host?: string;
  /**
   * Speak TLS by this; `requestCert` asks for the proxy's certificate, and the script judges it; `alpn` is what is spoken
   * besides, "http/1.1" unless told otherwise.
   */
  readonly tls?: SecureContextOptions & { readonly requestCert?: boolean; readonly alpn?: readonly string[] };
  /** A port given up before, to come back on. */
  readonly port?: number;
}

/** TLS of an origin, ready for use. */
interface Speaks {
  readonly context: SecureContext;
  readonly requestCert: boolean;
  readonly alpn: readonly string[];
}

export class RawOrigin {
  /** Every connection ever accepted. */
  readonly connections: OriginConnection[] = [];
  /** Every request read whole, in order of completion. */
  readonly requests: (Request & { readonly connection: OriginConnection })[] = [];
  /** What scripts threw, except for connections that ended under them. */
  readonly troubles: Error[] = [];
  #script: Script;
  readonly #server: Server;
  readonly #record: boolean;
  readonly #tls: Speaks | undefined;
  /** Sockets whose handshake is not over. */
  readonly #shaking = new Set<Socket>();
  /** Handshakes that failed or were left. */
  failedHandshakes = 0;
  #accepted = 0;
  #stopping = false;

  private constructor(script: Script, { record, tls }: OriginOptions) {
    this.#script = script;
    this.#record = record ?? true;
    this.#tls = tls && {
      context: createSecureContext(tls),
      requestCert: tls.requestCert ?? false,
      alpn: tls.alpn ?? ["http/1.1"],
    };
    this.#server = createServer({ allowHalfOpen: true }, (socket) =>
      this.#tls === undefined ? this.#accept(socket) : this.#secure(socket, this.#tls),
    );
  }

  static async start(script: Script, options: OriginOptions = {}): Promise<RawOrigin> {
    const origin = new RawOrigin(script, options);
    await new Promise<void>((resolve, reject) => {
      origin.#server.once("error", reject);
      origin.#server.listen(options.port ?? 0, options.host ?? "127.0.0.1", () => resolve());
    });
    return origin;
  }

  get port(): number {
    return this.#address.port;
  }

  get url(): string {
    const { address, family, port } = this.#address;
    return `${this.#tls === undefined ? "http" : "https"}://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  get #address(): AddressInfo {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new WireError("the origin does not listen");
    return address;
  }

  /** The script of connections to come. */
  set script(script: Script) {
    this.#script = script;
  }

  get accepted(): number {
    return this.#accepted;
  }

  /** Connections the proxy has not ended yet. */
  get open(): OriginConnection[] {
    return this.connections.filter(
      (connection) => connection.wire.ending === "open" && !connection.wire.socket.destroyed,
    );
  }

  /** Bytes received over all connections. */
  get receivedBytes(): number {
    return this.connections.reduce((sum, connection) => sum + connection.wire.receivedBytes, 0);
  }

  /** The request read last. */
  get last(): Request & { readonly connection: OriginConnection } {
    const last = this.requests.at(-1);
    if (last === undefined) throw new WireError("the origin saw no request");
    return last;
  }

  /** The connection accepted last. */
  get lastConnection(): OriginConnection {
    const last = this.connections.at(-1);
    if (last === undefined) throw new WireError("the origin saw no connection");
    return last;
  }

  /** Waits until `look` holds. */
  async sees(what: string, look: (origin: RawOrigin) => boolean, ms = PATIENCE_MS): Promise<void> {
    const due = Date.now() + ms;
    while (!look(this)) {
      if (Date.now() > due) throw new WireError(`the origin did not see ${what} within ${ms} ms`);
      await pause(2);
    }
  }

  note(request: Request, connection: OriginConnection): void {
    if (this.#record) this.requests.push({ ...request, connection });
  }

  /** Stops listening and ends what is open; the scripts' own troubles are the caller's to look at. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.connections) connection.wire.socket.destroy();
    for (const socket of this.#shaking) socket.destroy();
    await closed;
  }

  /** A connection is one of the origin's when its handshake is over. */
  #secure(socket: Socket, { context, requestCert, alpn }: Speaks): void {
    const session = new TLSSocket(socket, {
      isServer: true,
      secureContext: context,
      requestCert,
      rejectUnauthorized: false,
      ALPNProtocols: [...alpn],
      // Without it, Node does not tell the name.
      SNICallback: (_, done) => done(null, context),
      ...{ allowHalfOpen: true },
    });
    this.#shaking.add(session);
    const failed = (): void => {
      if (this.#shaking.delete(session)) this.failedHandshakes += 1;
      session.destroy();
    };
    session.once("error", failed).once("close", failed);
    session.once("secure", () => {
      this.#shaking.delete(session);
      this.#accept(session, socket);
    });
  }

  #accept(socket: Socket, beneath?: Socket): void {
    const connection = new OriginConnection(this, socket, this.#accepted++, this.#record, beneath);
    if (this.#record) this.connections.push(connection);
    else {
      this.connections.push(connection);
      socket.once("close", () => this.connections.splice(this.connections.indexOf(connection), 1));
    }
    Promise.resolve()
      .then(() => this.#script(connection))
      .catch((error: unknown) => {
        const ended = connection.wire.ending !== "open" || socket.destroyed || this.#stopping;
        if (!ended) {
          this.troubles.push(error instanceof Error ? error : new Error(String(error)));
          socket.destroy();
        } else if (!socket.destroyed) socket.destroy();
      });
  }
}
