/**
 * The families of GET /metrics about the store of the cache; none where there is no store.
 */
import type { StoreReading } from "../../control/cache.js";
import { STORE_STATES } from "../../shared/store.js";
import type { Family } from "./exposition.js";

type Figure = Exclude<keyof StoreReading, "state">;

interface Row {
  readonly figure: Figure;
  readonly type: "counter" | "gauge";
  readonly help: string;
}

const ROWS: readonly Row[] = [
  { figure: "targets", type: "gauge", help: "Targets in the store." },
  { figure: "variants", type: "gauge", help: "Answers in the store." },
  { figure: "bytes", type: "gauge", help: "What the store holds, as counted against cache.store.bytes." },
  { figure: "waiting", type: "gauge", help: "Answers that wait to be written to the store." },
  { figure: "refused", type: "counter", help: "Answers that are not in the store because its queue was full." },
  { figure: "writes", type: "counter", help: "Changes written to the store." },
  { figure: "writesLost", type: "counter", help: "Changes lost because the store could not be written." },
  { figure: "evictions", type: "counter", help: "Targets that left the store for want of room." },
  { figure: "purges", type: "counter", help: "Purges of the store." },
  { figure: "broken", type: "counter", help: "Entries of the store that were not what had been written." },
  { figure: "lookUps", type: "counter", help: "Look-ups in the store." },
  { figure: "hits", type: "counter", help: "Look-ups that found something." },
  { figure: "batches", type: "counter", help: "Batches of look-ups; one a turn that asks." },
];

export function storeFamilies(store: StoreReading | null, prefix: string): readonly Family[] {
  if (store === null) return [];
  const states: Family = {
    name: `${prefix}store_state`,
    type: "gauge",
    help: "1 for the state the store is in: memoryOnly = it takes no changes.",
    samples: STORE_STATES.map((state) => ({ labels: { state }, value: Number(state === store.state) })),
  };
  const figures = ROWS.map(({ figure, type, help }): Family => {
    const name = `${prefix}store_${figure.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
    const unit = figure === "bytes" ? ({ unit: "bytes" } as const) : {};
    return { name, type, ...unit, help, samples: [{ labels: {}, value: store[figure] }] };
  });
  return [states, ...figures];
}
