/**
 * Attacks by HTTP/2: a scene with a proxy of its own process, an attacker, and somebody else on another connection who
 * must not notice. What an attack must leave behind is asked in one place.
 */
import { strict as assert } from "node:assert";
import type { CounterName } from "../../src/index.js";
import { GROWTH_MAX, MIB } from "./bounded.js";
import type { Http2Peer, PeerOptions } from "./http2-peer.js";
import { openHttp2, priorKnowledge } from "./http2-scene.js";
import { timed } from "./lateness.js";
import { watch } from "./load.js";
import { residentBytes } from "./proxy.js";
import { type Scene, type SceneOptions, type SettingsOverlay, scenario } from "./scene.js";
import { type Bytes, pause, toBytes } from "./wire.js";

/** Longest that somebody else's request may take meanwhile, the machine's own lateness aside; milliseconds. */
const NOTICED_MS = 500;
/** Bytes of an attack that are sent at once. */
const VOLLEY_BYTES = 64 * 1_024;

export interface AttackOptions extends Omit<SceneOptions, "settings" | "apart"> {
  readonly settings?: SettingsOverlay;
  readonly peer?: PeerOptions;
}

/** Sends frames in volleys until all are sent or the connection is ended by the proxy. */
export async function flood(peer: Http2Peer, frames: Iterable<Bytes>): Promise<void> {
  let [volley, bytes]: [Buffer[], number] = [[], 0];
  const fire = async (): Promise<void> => {
    await peer.send(...volley);
    [volley, bytes] = [[], 0];
    // A turn for what comes back.
    await new Promise((resolve) => setImmediate(resolve));
  };
  for (const frame of frames) {
    volley.push(toBytes(frame));
    bytes += frame.length;
    if (bytes >= VOLLEY_BYTES) await fire();
    if (peer.ending !== "open") return;
  }
  await fire();
}

/** Asks without end on a connection of its own; `stop` says how many were answered and how long the worst took. */
async function bystander(scene: Scene) {
  const peer = await openHttp2(scene, { bodies: false });
  // The first opens an origin connection; what is measured is what comes then.
  await peer.ask("GET /bystander");
  let [going, answered, worstMs] = [true, 0, 0];
  const asking = (async () => {
    while (going) {
      const { result, tookMs, excusedMs } = await timed(() => peer.ask("GET /bystander"));
      assert.equal(result.status, 200);
      answered += 1;
      worstMs = Math.max(worstMs, tookMs - excusedMs);
      await pause(2);
    }
  })();
  // A failure is thrown by `stop`, not before.
  asking.catch(() => undefined);
  return {
    stop: async () => {
      going = false;
      await asking;
      return { answered, worstMs };
    },
  };
}

/** Plays an attack on a proxy in a process of its own; nobody else may notice, and memory stays within its bound. */
export function besieged(
  promise: string,
  { settings, peer, ...options }: AttackOptions,
  play: (attacker: Http2Peer, scene: Scene) => Promise<void>,
): void {
  scenario(promise, { ...options, apart: true, settings: priorKnowledge(settings) }, async (scene) => {
    const other = await bystander(scene);
    const { pid } = scene.proxy;
    const before = residentBytes(pid);
    const memory = watch(() => residentBytes(pid), 10);
    let most = before;
    try {
      await play(await openHttp2(scene, { bodies: false, ...peer }), scene);
    } finally {
      most = memory.stop();
    }
    const { answered, worstMs } = await other.stop();
    assert.ok(most - before < GROWTH_MAX, `resident memory grew by ${((most - before) / MIB).toFixed(1)} MiB`);
    assert.ok(answered > 0 && worstMs < NOTICED_MS, `${answered} answers, the slowest after ${worstMs.toFixed(0)} ms`);
  });
}

/** The attacker's connection is ended with ENHANCE_YOUR_CALM, for one of these reasons and no other. */
export async function isCalmed(attacker: Http2Peer, scene: Scene, ...limits: CounterName[]): Promise<void> {
  assert.equal(await attacker.seesEnd(), "ENHANCE_YOUR_CALM");
  await scene.sees("client_closes_http2_calm", 1);
  const { counters } = (await scene.proxy.stats()).all;
  const counted = Object.entries(counters).filter(([name, value]) => name.startsWith("http2_limit_") && value > 0);
  assert.equal(counted.length, 1, JSON.stringify(counted));
  for (const [name, value] of counted) assert.ok(limits.includes(name as CounterName) && value === 1, name);
}
