/** Scenes with HTTP/2: listeners that speak it, clients that come by ALPN or with prior knowledge, and both at once. */
import { strict as assert } from "node:assert";
import type { ClientOptions } from "./client.js";
import { Http2Peer, type PeerOptions } from "./http2-peer.js";
import { type Scene, type SceneOptions, type SettingsOverlay, scenario } from "./scene.js";
import type { TlsWorld } from "./tls.js";
import { PATIENCE_MS, within } from "./wire.js";

export interface OpenOptions extends PeerOptions {
  readonly connection?: ClientOptions & { readonly port?: number };
}

/** A client of a scene that speaks HTTP/2: by ALPN over TLS, with prior knowledge without. */
export async function openHttp2(scene: Scene, options: OpenOptions = {}): Promise<Http2Peer> {
  const { connection = {}, ...peer } = options;
  const tls = connection.tls && { ALPNProtocols: ["h2"], ...connection.tls };
  const client = await scene.client({ ...connection, ...(tls && { tls }) });
  return within(Http2Peer.client(client.wire, peer), PATIENCE_MS, "the other side's SETTINGS");
}

/** Settings of a scene whose one listener has no TLS and takes HTTP/2 with prior knowledge. */
export function priorKnowledge(more: SettingsOverlay = {}): SettingsOverlay {
  return { ...more, listeners: [{ address: "127.0.0.1:0", httpVersions: ["1.1", "2"] }] };
}

/** How a client of a scene opens its connections. */
export type Open = (options?: PeerOptions) => Promise<Http2Peer>;

export interface BothOptions extends Omit<SceneOptions, "settings"> {
  readonly settings?: SettingsOverlay;
}

/** A scenario with prior knowledge, and the same over TLS. */
export function bothWays(
  world: TlsWorld,
  promise: string,
  options: BothOptions,
  play: (open: Open, scene: Scene) => Promise<void>,
): void {
  const { settings, ...rest } = options;
  scenario(`${promise} (prior knowledge)`, { ...rest, settings: priorKnowledge(settings) }, (scene) =>
    play((peer) => openHttp2(scene, peer), scene),
  );
  scenario(`${promise} (TLS)`, { ...rest, settings: world.settings({}, settings) }, (scene) =>
    play((peer) => openHttp2(scene, { ...peer, connection: { tls: world.asks() } }), scene),
  );
}

/**
 * What is malformed is refused: its stream is answered 400 or reset, or its connection ends, with PROTOCOL_ERROR in both
 * cases (RFC 9113 8.1.1, 5.4.1). Returns whether the connection serves on.
 */
export async function refusesStream(peer: Http2Peer, stream: number): Promise<boolean> {
  const { status, reset } = await peer.outcome(stream);
  if (status === undefined && reset === undefined) {
    assert.equal(await peer.seesEnd(), "PROTOCOL_ERROR");
    return false;
  }
  assert.ok(reset === "PROTOCOL_ERROR" || status === 400, `answered ${status}, reset ${reset}`);
  await peer.roundTrip();
  return true;
}
