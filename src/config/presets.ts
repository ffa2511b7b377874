/**
 * Named sets of values for an origin and for the cache of a route. What is written beside a preset wins over it, and it
 * wins over the defaults.
 */

/** The values each preset stands for. */
export const PRESETS = {
  /**
   * The values known from Proxygen's pools: connections rest for five minutes, and a transaction may be silent for 30 s.
   * For origins that keep idle connections longer than that themselves; idleLearn still leaves earlier where one does not.
   */
  longIdle: { idleMs: 300_000, firstByteMs: 30_000, betweenBytesMs: 30_000 },
} as const;

export type PresetName = keyof typeof PRESETS;

/** The names, for the schema. */
export const PRESET_NAMES = Object.keys(PRESETS) as [PresetName, ...PresetName[]];

/** The same for `routes[].cache`. */
export const CACHE_PRESETS = {
  /** Answers that say nothing of it, kept so briefly that nobody notices: the origin is asked once a second. */
  micro: {
    ttl: [{ statuses: ["2xx", 301, 308, 404, 410], defaultS: 1 }],
    grace: { whileRevalidateS: 1, ifErrorS: 60 },
  },
  /** Files: no cookies of the origin, no reload by clients, whole files for ranges. */
  assets: {
    setCookie: "strip",
    clientDirectives: "ignore",
    partial: "fill",
    grace: { whileRevalidateS: 60, ifErrorS: 86_400 },
  },
  /** An origin that may be away for a day. */
  resilient: { grace: { whileRevalidateS: 60, ifErrorS: 86_400 } },
} as const;

type CachePresetName = keyof typeof CACHE_PRESETS;

/** The names, for the schema. */
export const CACHE_PRESET_NAMES = Object.keys(CACHE_PRESETS) as [CachePresetName, ...CachePresetName[]];
