/**
 * Tells this host's own trouble from an origin's: when several origins fail in the same local way at once (no file
 * descriptors, no local addresses, no buffers), the process is sick, and one alarm says so.
 */

/** Origins that must fail alike. */
export const ORIGINS_ALIKE = 3;
/** Within this time, in ms. */
export const ALIKE_MS = 1000;
/** The same alarm is not raised again within this time, in ms. */
export const QUIET_MS = 60_000;

/** Classes of faults that are this host's own. They never blame a target. */
export const LOCAL_CLASSES = ["local_resource", "tls_local_error"] as const;

/** Whether a class of fault is this host's own. */
export function isLocalFault(faultClass: string): boolean {
  return LOCAL_CLASSES.some((one) => one === faultClass);
}

/** Remembers which origins failed locally, and when. Told the time. */
export class LocalAlarm {
  /** By class: when each origin last failed that way. */
  readonly #failures = new Map<string, Map<string, number>>();
  readonly #raisedMs = new Map<string, number>();
  readonly #raised = new Map<string, number>();

  /** By class: how often the alarm was raised. */
  get raised(): Readonly<Record<string, number>> {
    return Object.fromEntries(LOCAL_CLASSES.map((one) => [one, this.#raised.get(one) ?? 0]));
  }

  /** Records a local fault; returns the origins concerned when the alarm is to be raised now, else null. */
  handleFault(faultClass: string, origin: string, nowMs: number): readonly string[] | null {
    const byOrigin = this.#failures.get(faultClass) ?? new Map<string, number>();
    this.#failures.set(faultClass, byOrigin);
    byOrigin.set(origin, nowMs);
    for (const [name, atMs] of byOrigin) if (nowMs - atMs > ALIKE_MS) byOrigin.delete(name);
    if (byOrigin.size < ORIGINS_ALIKE) return null;
    if (nowMs - (this.#raisedMs.get(faultClass) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return null;
    this.#raisedMs.set(faultClass, nowMs);
    this.#raised.set(faultClass, (this.#raised.get(faultClass) ?? 0) + 1);
    return [...byOrigin.keys()];
  }
}
