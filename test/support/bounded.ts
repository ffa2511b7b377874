/** A proxy in a process of its own, whose memory must stay bounded however large the bodies it relays. */
import { strict as assert } from "node:assert";
import type { SettingsInput } from "../../src/index.js";
import { BigOrigin, download, settle, watch } from "./load.js";
import { residentBytes, startApart } from "./proxy.js";

export const MIB = 1 << 20;
/** What the proxy may grow by while it relays, whatever the size: its buffers, and what the allocator keeps. */
export const GROWTH_MAX = 24 * MIB;

/** The proxy that is played against. */
export interface Bounded {
  readonly workers: number;
  readonly listeners: SettingsInput["listeners"];
  /** How a client speaks TLS, where the listener does. */
  readonly asks?: Parameters<typeof download>[3];
}

/** Plays against such a proxy, after a few downloads that let its buffers come to what they stay. */
export async function bounded(
  { workers, listeners, asks }: Bounded,
  slowOriginMs: number,
  play: (port: number) => Promise<void>,
): Promise<void> {
  const origin = await BigOrigin.start(slowOriginMs);
  const proxy = await startApart({
    workers,
    listeners,
    log: { level: "silent" },
    origins: { app: { targets: [`http://127.0.0.1:${origin.port}`] } },
  });
  try {
    const port = proxy.started.listeners[0]?.port ?? 0;
    await Promise.all(Array.from({ length: 8 }, () => download(port, MIB, 0, asks)));
    await settle();
    const before = residentBytes(proxy.pid);
    const memory = watch(() => residentBytes(proxy.pid));
    await play(port);
    const grown = memory.stop() - before;
    assert.ok(grown < GROWTH_MAX, `resident memory grew by ${(grown / MIB).toFixed(1)} MiB`);
  } finally {
    await proxy.stop();
    await origin.stop();
  }
}
