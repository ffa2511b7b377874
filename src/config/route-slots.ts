/**
 * Where routes are counted: a place in the stats block for each name, kept for as long as the proxy runs, so that a route
 * that stays is counted where it was, and what was counted for one is never taken for another's.
 */
import { STATS_LAYOUT } from "../shared/stats-layout.js";

/** The place of all that have none of their own. */
export const OTHER_SLOT = STATS_LAYOUT.routes.slots - 1;

/** The places of one proxy. */
export class RouteSlots {
  readonly #slots = new Map<string, number>();

  /** The place of this name, and from now on nobody else's, as long as there are places. */
  slotOf(name: string): number {
    const slot = this.#slots.get(name) ?? Math.min(this.#slots.size, OTHER_SLOT);
    if (slot < OTHER_SLOT) this.#slots.set(name, slot);
    return slot;
  }

  /** The names that have places of their own, in the order of these. */
  get names(): readonly string[] {
    return [...this.#slots.keys()];
  }
}
