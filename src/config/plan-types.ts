/**
 * The plan: the one document that crosses the border to the native core, field for field as
 * native-bindings/proto/src/plan/mod.rs decodes it (it refuses what it does not know). Times are milliseconds and sizes
 * bytes; 0 means "no limit" where the core says so.
 */
import type { MatchWord } from "./matching.js";
import type { DnsFault } from "./names.js";
import type { StatusRange } from "./outcomes.js";
import type { PathMatch } from "./paths.js";
import type { PlanCache, PlanCachePolicy } from "./plan-cache-types.js";
import type { PlanListenerTls, PlanOriginTls } from "./plan-tls-types.js";

/** The version of the document, equal to `PLAN_VERSION` of the core. */
export const PLAN_VERSION = 1;

export interface Plan {
  readonly version: typeof PLAN_VERSION;
  readonly name: string;
  readonly workers: number;
  readonly listeners: readonly PlanListener[];
  readonly limits: PlanLimits;
  readonly timeouts: PlanTimeouts;
  readonly pool: PlanPool;
  readonly forwarding: PlanForwarding;
  readonly origins: readonly PlanOrigin[];
  readonly routes: readonly PlanRoute[];
  readonly accessLog: boolean;
  readonly persistence: PlanPersistence;
  readonly retryBudget: PlanRetryBudget;
  readonly spool: PlanSpool;
  /** Empty = nowhere in particular. */
  readonly zone: string;
  readonly http2: PlanHttp2;
  readonly cache: PlanCache;
}

/** As `http2Schema` says (settings-http2.ts). */
export interface PlanHttp2 {
  readonly streams: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly streamBufferBytes: number;
  readonly connectionBufferBytes: number;
  readonly resetsPerS: number;
  readonly ownResetsPerS: number;
  readonly settingsPerS: number;
  readonly pingsPerS: number;
  readonly windowUpdatesPerS: number;
  readonly emptyFramesPerS: number;
  readonly prioritiesPerS: number;
  readonly continuations: number;
}

export interface PlanPersistence {
  readonly client: boolean;
  readonly origin: boolean;
  readonly afterErrors: boolean;
  readonly clientAgeMs: number;
}

export interface PlanRetryBudget {
  readonly percent: number;
  readonly perSecond: number;
}

export interface PlanSpool {
  /** Empty = nothing is spooled. */
  readonly folder: string;
  readonly requestBytes: number;
  readonly totalBytes: number;
}

export interface PlanListener {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly backlog: number;
  /** Absent = plain text. */
  readonly tls?: PlanListenerTls;
  /** HTTP/2 is spoken: by ALPN over TLS, else with prior knowledge. */
  readonly http2?: boolean;
  /** Absent = false. */
  readonly proxyProtocol?: true;
  /** Nobody connects here any more; it keeps its place for those who are connected. Absent = false. */
  readonly gone?: true;
}

export interface PlanLimits {
  readonly requestLineBytes: number;
  readonly headBytes: number;
  readonly fieldCount: number;
  readonly chunkExtensionBytes: number;
  readonly requestBodyBytes: number;
  readonly pipelinedRequests: number;
  readonly drainBytes: number;
  readonly replayBodyBytes: number;
  readonly clientConnections: number;
  readonly clientRequests: number;
}

export interface PlanTimeouts {
  readonly clientHeadMs: number;
  readonly clientBodyMs: number;
  readonly clientIdleMs: number;
  readonly clientWriteMs: number;
  readonly clientLingerMs: number;
  readonly tunnelIdleMs: number;
  readonly continueMs: number;
}

export interface PlanPool {
  readonly shards: number;
  readonly steal: boolean;
  readonly connections: number;
  readonly queueLength: number;
  readonly queueWaitMs: number;
}

export interface PlanForwarding {
  readonly via: boolean;
  readonly xForwarded: boolean;
  readonly forwarded: boolean;
  readonly trusted: readonly PlanCidr[];
  /** Absent = false. */
  readonly clientCertificate?: true;
}

export interface PlanCidr {
  readonly address: string;
  readonly prefixBits: number;
}

export interface PlanOrigin {
  readonly name: string;
  readonly targets: readonly PlanTarget[];
  /** Why there are no targets. */
  readonly unresolved?: DnsFault;
  readonly host: PlanHostPolicy;
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly betweenBytesMs: number;
  readonly idleMs: number;
  readonly ageMs: number;
  readonly requests: number;
  readonly targetConnections: number;
  readonly targetIdle: number;
  readonly connections: number;
  readonly totalMs: number;
  readonly idleLearn: boolean;
  readonly ageJitterPercent: number;
  readonly standby: number;
  readonly tcpKeepaliveMs: number;
  readonly tcpUserTimeoutMs: number;
  readonly localAddress: string | null;
  /** Empty = nothing is shared. */
  readonly matchOn: readonly Exclude<MatchWord, "none">[];
  readonly balance: PlanBalance;
  readonly sticky: PlanSticky | null;
  readonly slowStartMs: number;
  readonly panicPercent: number;
  readonly health: PlanHealthCheck | null;
  /** Absent = "http1". */
  readonly http?: "either" | "http2";
  /** Absent = plain text. */
  readonly tls?: PlanOriginTls;
}

export type PlanBalance =
  | { readonly kind: "roundRobin" }
  | { readonly kind: "leastConnections" }
  | { readonly kind: "twoChoices" }
  | { readonly kind: "consistentHash"; readonly by: PlanHashBy; readonly boundPercent: number };

export type PlanHashBy =
  | { readonly kind: "path" }
  | { readonly kind: "clientAddress" }
  | { readonly kind: "header"; readonly name: string }
  | { readonly kind: "cookie"; readonly name: string };

export interface PlanSticky {
  readonly name: string;
  /** 0 = for the session. */
  readonly maxAgeS: number;
}

export interface PlanHealthCheck {
  readonly probe: PlanHealthProbe;
  readonly intervalMs: number;
  readonly jitterPercent: number;
  readonly timeoutMs: number;
}

export type PlanHealthProbe =
  | { readonly kind: "tcp" }
  | {
      readonly kind: "http";
      readonly path: string;
      /** Empty = the target's label. */
      readonly host: string;
      readonly statuses: readonly StatusRange[];
      readonly bodyContains: string;
    };

export interface PlanTarget {
  readonly label: string;
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  readonly tier: number;
  /** Absent = nowhere in particular. */
  readonly zone?: string;
  /** What its certificate is for; absent = it is reached without TLS. */
  readonly name?: string;
}

export type PlanHostPolicy =
  | { readonly kind: "client" }
  | { readonly kind: "target" }
  | { readonly kind: "literal"; readonly value: string };

export interface PlanRoute {
  readonly name: string;
  /** Where it is counted. */
  readonly slot: number;
  readonly hosts: readonly string[];
  readonly path: PathMatch;
  readonly methods: readonly string[];
  readonly headers: readonly PlanHeaderMatch[];
  /** Only what came over TLS, or only what did not; absent = both. */
  readonly secure?: boolean;
  readonly action: PlanAction;
  /** Absent = nothing of it is cached. */
  readonly cache?: PlanCachePolicy;
}

export interface PlanHeaderMatch {
  readonly name: string;
  readonly value: string | null;
}

export type PlanAction =
  | {
      readonly kind: "forward";
      readonly origin: number;
      readonly rewrite: PlanRewrite | null;
      readonly requestFields: readonly PlanFieldEdit[];
      readonly answerFields: readonly PlanFieldEdit[];
      readonly policy: PlanForwardPolicy;
    }
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly fields: readonly PlanFieldLine[];
      readonly body: Uint8Array;
    }
  | { readonly kind: "redirect"; readonly status: number; readonly location: string };

export interface PlanForwardPolicy {
  readonly unrepeatable: PlanReusePolicy;
  /** null = the origin's. */
  readonly firstByteMs: number | null;
  readonly betweenBytesMs: number | null;
  readonly totalMs: number | null;
  readonly retry: PlanRetry;
  readonly escalate: readonly PlanEscalation[];
  readonly answers: readonly PlanFaultAnswer[];
  readonly halfClose: "abort" | "finish" | "propagate";
  readonly connectionAuth: "bound" | "any" | "never";
  /** null = that of all clients. */
  readonly requestBodyBytes: number | null;
  readonly answerBodyBytes: number;
}

export type PlanReusePolicy =
  | { readonly kind: "fresh" | "standby" | "reuse" }
  | { readonly kind: "reuseIfRecent"; readonly withinMs: number };

export interface PlanRetry {
  readonly attempts: number;
  readonly statuses: readonly StatusRange[];
  readonly perTryMs: number;
  readonly backoffMs: number;
  readonly backoffMaxMs: number;
  readonly retryAfter: boolean;
  readonly idempotencyKey: boolean;
}

export interface PlanEscalation {
  readonly statuses: readonly StatusRange[];
  readonly faults: readonly string[];
  readonly origin: number;
  readonly anyMethod: boolean;
  /** Longest lifetime of its answers in the cache. */
  readonly cacheS: number;
}

export interface PlanFaultAnswer {
  /** Empty = any. */
  readonly faults: readonly string[];
  readonly status: number;
  readonly fields: readonly PlanFieldLine[];
  readonly body: Uint8Array;
}

export type PlanRewrite =
  | { readonly kind: "prefix"; readonly from: string; readonly to: string }
  | { readonly kind: "path"; readonly to: string };

export interface PlanFieldLine {
  readonly name: string;
  readonly value: string;
}

export type PlanFieldEdit =
  | { readonly kind: "remove"; readonly name: string }
  | { readonly kind: "set"; readonly name: string; readonly value: string }
  | { readonly kind: "add"; readonly name: string; readonly value: string };
