/**
 * What the settings say to the parts of the control plane that judge targets and look names up: the health policy of an
 * origin and the DNS policy. None of it crosses the border to the core. Plain data; defaults are in the settings.
 */

/** When a target of an origin is taken out of use, and how it comes back. */
export interface HealthPolicy {
  /** Judges active checks, which the engine runs; null = there are none. */
  readonly check: CheckPolicy | null;
  readonly passive: PassivePolicy;
  /** Statistical ejection; null = none. */
  readonly ejection: EjectionPolicy | null;
}

/** How many checks in a row count. */
export interface CheckPolicy {
  /** Good ones until a target is up; also how many tries of traffic a suspect target gets at once. */
  readonly rise: number;
  /** Bad ones until it is down. */
  readonly fall: number;
}

/**
 * What requests themselves say about a target. The levels, each including the ones before: 0 nothing, 1 TCP connections
 * that fail, 2 TLS handshakes that fail, 3 silence (no answer in time), 4 closes before any byte of an answer.
 */
export interface PassivePolicy {
  readonly level: 0 | 1 | 2 | 3 | 4;
  /** Failures that take a target out of use. */
  readonly failures: number;
  /** Time within which they must happen, in ms; 0 = in a row instead, however long it takes. */
  readonly windowMs: number;
  /** How long it stays out of use before traffic may try it again, in ms; doubles each time it fails again soon. */
  readonly downMs: number;
  readonly downMsMax: number;
}

/** Takes out of use what succeeds markedly less often than its siblings. */
export interface EjectionPolicy {
  /** How long successes and failures are counted before they are compared, in ms. */
  readonly intervalMs: number;
  /** Requests a target must have had within the interval to be compared. */
  readonly requestsMin: number;
  /** Targets that must be comparable. */
  readonly targetsMin: number;
  /**
   * A success rate this many standard deviations below the mean is too low. Among n targets none can be further off than
   * √(n − 1): 1.7 of 4 targets, 2 of 5.
   */
  readonly deviations: number;
  /** Most targets of an origin out of use at once through ejection, in percent; one is always allowed. */
  readonly percentMax: number;
  /** How long an ejected target stays out of use, in ms; doubles each time it is ejected again soon. */
  readonly ejectMs: number;
  readonly ejectMsMax: number;
}

/** How names of targets are looked up again. */
export interface DnsPolicy {
  /** Bounds of the time between two look-ups of a name, in ms, whatever its TTL says. */
  readonly refreshMinMs: number;
  readonly refreshMaxMs: number;
  /** After a look-up that failed, in ms. */
  readonly negativeMs: number;
  /** One look-up may take, in ms. */
  readonly timeoutMs: number;
  /** `address` or `address:port` ([IPv6]:port); empty = those of the system. */
  readonly servers: readonly string[];
}
