/**
 * The settings the conformance tables are written for: limits at their defaults or small enough to be tried, and timers
 * short enough that a case about waiting is over soon.
 */

import type { SettingsInput } from "../../src/index.js";

/** Timers of the bench; milliseconds. */
export const TIMERS = {
  headMs: 1_000,
  bodyMs: 1_000,
  idleMs: 1_500,
  continueMs: 300,
  firstByteMs: 1_500,
  betweenBytesMs: 1_000,
} as const;

/** Limits of the bench; bytes and counts. */
export const BOUNDS = {
  requestLineBytes: 8_192,
  headBytes: 32_768,
  fieldCount: 128,
  chunkExtensionBytes: 1_024,
  requestBodyBytes: 1_048_576,
} as const;

/** The settings of the proxy under test. */
export const BENCH_SETTINGS: SettingsInput = {
  timeouts: {
    clientHeadMs: TIMERS.headMs,
    clientBodyMs: TIMERS.bodyMs,
    clientIdleMs: TIMERS.idleMs,
    continueMs: TIMERS.continueMs,
    clientLingerMs: 500,
  },
  limits: { ...BOUNDS },
};

/** The settings of the origin behind it. */
export const ORIGIN_SETTINGS = { firstByteMs: TIMERS.firstByteMs, betweenBytesMs: TIMERS.betweenBytesMs } as const;
