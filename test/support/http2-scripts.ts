/** Scripts of HTTP/2 for the scripted origin: each connection has a frame-level peer upon it, each request a handler. */
import type { FieldPair } from "./hpack.js";
import { Http2Peer, type PeerOptions } from "./http2-peer.js";
import type { Section } from "./http2-streams.js";
import type { OriginConnection, OriginOptions, Script } from "./origin.js";
import type { SceneOptions } from "./scene.js";
import { speaking, trusting } from "./tls-origins.js";
import type { Bytes } from "./wire.js";

/** A pooled connection may rest for long. */
const FOR_EVER_MS = 3_600_000;

/** A request that came on a stream. */
export interface AskedHere {
  readonly stream: number;
  readonly head: Section;
  readonly path: string;
  readonly peer: Http2Peer;
  readonly connection: OriginConnection;
}

/** Peers of each connection of a scripted origin, in the order they were accepted. */
export const peersOf = new WeakMap<OriginConnection, Http2Peer>();

/** Plays with a connection from its preface on. */
export function speakingHttp2(
  play: (peer: Http2Peer, connection: OriginConnection) => Promise<void>,
  options: PeerOptions = {},
): Script {
  return async (connection) => {
    const peer = await Http2Peer.server(connection.wire, options);
    peersOf.set(connection, peer);
    await play(peer, connection);
  };
}

/** Hands each request over as its head comes; several at once. */
export function serveHttp2(handler: (asked: AskedHere) => Promise<void> | void, options: PeerOptions = {}): Script {
  return speakingHttp2(async (peer, connection) => {
    let failed: ((error: unknown) => void) | undefined;
    const failure = new Promise<never>((_, reject) => {
      failed = reject;
    });
    const serving = (async () => {
      for (;;) {
        const { stream, head } = await peer.nextRequest(FOR_EVER_MS);
        const path = head.pseudo[":path"] ?? "";
        Promise.resolve(handler({ stream, head, path, peer, connection })).catch((error: unknown) => failed?.(error));
      }
    })();
    await Promise.race([serving, failure]);
  }, options);
}

/** Answers a whole request. */
export async function answerHttp2(
  { peer, stream }: AskedHere,
  status: number,
  body: Bytes = "",
  fields: readonly FieldPair[] = [],
  trailers?: readonly FieldPair[],
): Promise<void> {
  const bare = body.length === 0 && trailers === undefined;
  await peer.respond(stream, status, fields, bare);
  if (body.length > 0) await peer.upload(stream, body, trailers === undefined);
  if (trailers !== undefined) await peer.trailers(stream, trailers);
}

/** Answers each request with its path, body and fields, as JSON. */
export function echoHttp2(options: PeerOptions = {}): Script {
  return serveHttp2(async (asked) => {
    const body = await asked.peer.body(asked.stream);
    const { pseudo, fields } = asked.head;
    const trailers = asked.peer.received(asked.stream).trailers?.fields.lines ?? [];
    const told = {
      pseudo,
      fields: fields.lines,
      body: body.toString("latin1"),
      trailers,
      connection: asked.connection.id,
    };
    await answerHttp2(asked, 200, JSON.stringify(told), [["content-type", "application/json"]]);
  }, options);
}

/** What such an origin answered. */
export interface Told {
  readonly pseudo: Readonly<Record<string, string>>;
  readonly fields: readonly { readonly name: string; readonly value: string }[];
  readonly body: string;
  readonly trailers: readonly { readonly name: string; readonly value: string }[];
  readonly connection: number;
}

export function toldBy(answer: { readonly body: Buffer }): Told {
  return JSON.parse(answer.body.toString()) as Told;
}

/** Options of a scene whose origins are spoken to by HTTP/2 alone, with prior knowledge. */
export function toHttp2(options: SceneOptions = {}): SceneOptions {
  return { origin: echoHttp2(), ...options, originSettings: { httpVersions: ["2"], ...options.originSettings } };
}

/** The same over TLS, where ALPN says what is spoken. */
export function toHttp2OverTls(
  options: SceneOptions = {},
  alpn: readonly string[] = ["h2", "http/1.1"],
  tls: OriginOptions["tls"] = {},
): SceneOptions {
  return {
    origin: echoHttp2(),
    ...options,
    originOptions: { ...options.originOptions, tls: { ...speaking(), ...tls, alpn } },
    originSettings: { httpVersions: ["2", "1.1"], tls: trusting() as never, ...options.originSettings },
  };
}
