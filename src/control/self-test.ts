/**
 * The self-test of TLS before a proxy says that it is ready: real handshakes over the loopback with the crypto this build
 * is linked to, for each version, with and without a client certificate. Where one fails, no client and no origin is to
 * blame, and the proxy is not ready.
 */
import type { Plan } from "../config/plan-types.js";
import type { Settings } from "../config/settings.js";
import type { Log } from "../shared/log.js";

/** One handshake of the test. */
interface Case {
  readonly name: string;
  /** Null = it went well. */
  readonly fault: string | null;
}

/** Whether settings may speak TLS. */
export function isSecure({ listeners, origins }: Settings): boolean {
  const isSecured = listeners.some((one) => typeof one === "object" && one.tls !== false);
  return isSecured || Object.values(origins).some((origin) => origin.tls !== undefined);
}

/** Whether anything in the plan speaks TLS. */
export function speaksTls(plan: Plan): boolean {
  return plan.listeners.some((one) => one.tls != null) || plan.origins.some((one) => one.tls != null);
}

/**
 * Runs the test and says how it went.
 *
 * @param run The core's test: a JSON list of cases.
 * @returns Why the proxy cannot be ready, as one sentence; null where all is well.
 */
export function runSelfTest(run: () => string, log: Log): string | null {
  const sinceMs = performance.now();
  const cases = JSON.parse(run()) as readonly Case[];
  const failed = cases.filter((one) => one.fault !== null);
  const tookMs = Math.round(performance.now() - sinceMs);
  const [first] = failed;
  if (first === undefined) {
    log.debug({ cases: cases.length, tookMs }, "TLS shook hands with itself");
    return null;
  }
  log.error({ failed, cases: cases.length, tookMs }, "TLS cannot shake hands with itself; the proxy is not ready");
  return `This host's own TLS fails its self-test (${first.name}: ${first.fault}).`;
}
