/**
 * Millrace as a library: a reverse proxy in your own Node.js process.
 *
 * ```ts
 * import { createMillrace } from "millrace";
 * const proxy = createMillrace({ listeners: ["127.0.0.1:8080"], origins: { app: { targets: "http://127.0.0.1:9000" } } });
 * await proxy.start();
 * ```
 */

export type { Change } from "./config/describe-change.js";
export { defineConfig, type Settings, type SettingsInput } from "./config/settings.js";
export type {
  CertificateExpiry,
  CertificateReading,
  CertificatesReport,
  ListenerReading,
} from "./control/certificate-report.js";
export type { Connections } from "./control/connections.js";
export type { Explanation } from "./control/curl-command.js";
export type { ExplainInput } from "./control/explain.js";
export type { Drained } from "./control/health.js";
export type { OriginReport, OriginsReport } from "./control/origins.js";
export type { Reload } from "./control/reload.js";
export type { CounterName, HistogramName, Quantiles, Row, Stats } from "./control/stats.js";
export type { Replacement } from "./control/supervisor.js";
export type { Plans, Started, StopOptions } from "./lifecycle.js";
export { createMillrace, type Millrace } from "./millrace.js";
export type { ListenerPlace } from "./native.js";
export { type Complaint, MillraceError, type MillraceErrorCode } from "./shared/errors.js";
