/**
 * The plan: the one document that crosses the border to the native core, field for field as
 * native-bindings/proto/src/plan/mod.rs decodes it (it refuses what it does not know). Times are milliseconds and sizes
 * bytes; 0 means "no limit" where the core says so.
 */
import type { PathMatch } from "./paths.js";

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
}

export interface PlanListener {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly backlog: number;
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
}

export interface PlanCidr {
  readonly address: string;
  readonly prefixBits: number;
}

export interface PlanOrigin {
  readonly name: string;
  readonly targets: readonly PlanTarget[];
  readonly host: PlanHostPolicy;
  readonly connectMs: number;
  readonly firstByteMs: number;
  readonly betweenBytesMs: number;
  readonly idleMs: number;
  readonly ageMs: number;
  readonly requests: number;
  readonly targetConnections: number;
  readonly targetIdle: number;
}

export interface PlanTarget {
  readonly label: string;
  readonly address: string;
  readonly port: number;
  readonly weight: number;
}

export type PlanHostPolicy =
  | { readonly kind: "client" }
  | { readonly kind: "target" }
  | { readonly kind: "literal"; readonly value: string };

export interface PlanRoute {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly path: PathMatch;
  readonly methods: readonly string[];
  readonly headers: readonly PlanHeaderMatch[];
  readonly action: PlanAction;
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
    }
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly fields: readonly PlanFieldLine[];
      readonly body: Uint8Array;
    }
  | { readonly kind: "redirect"; readonly status: number; readonly location: string };

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
