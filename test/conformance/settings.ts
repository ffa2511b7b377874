/**
 * The settings the conformance tables are written for: limits at their defaults or small enough to be tried, and timers
 * short enough that a case about waiting is over soon.
 */

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
