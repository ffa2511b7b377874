/**
 * Named sets of values for an origin. What is written beside a preset wins over it, and it wins over the defaults.
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
