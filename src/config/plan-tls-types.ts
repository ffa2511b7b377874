/**
 * TLS in the plan, field for field as native-bindings/proto/src/plan/tls.rs decodes it. Certificates, keys and lists are PEM
 * text.
 */

export interface PlanListenerTls {
  readonly certificates: readonly PlanCertificate[];
  /** Index of a certificate; null = clients that no certificate is for are refused. */
  readonly fallback: number | null;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  readonly alpn: readonly string[];
  readonly tickets: boolean;
  readonly handshakeMs: number;
  readonly hostPolicy: "ignore" | "warn" | "refuse";
  readonly clientAuth: readonly PlanClientAuth[];
  /** Value of Strict-Transport-Security; empty = none. */
  readonly hsts: string;
}

export type TlsVersion = "1.2" | "1.3";

export interface PlanCertificate {
  readonly label: string;
  /** Leaf first. */
  readonly chain: string;
  readonly key: string;
}

export interface PlanClientAuth {
  /** Empty = every name. */
  readonly hosts: readonly string[];
  readonly required: boolean;
  readonly ca: string;
  /** Empty = none. */
  readonly crl: string;
}

export interface PlanOriginTls {
  readonly systemRoots: boolean;
  /** Empty = nobody besides. */
  readonly roots: string;
  readonly verify: boolean;
  readonly sni: PlanSni;
  readonly verifyName: PlanVerifyName;
  readonly certificate: PlanCertificate | null;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  readonly alpn: readonly string[];
  readonly pins: readonly string[];
  readonly handshakeMs: number;
}

export type PlanSni =
  | { readonly kind: "host" | "serverName" | "target" | "none" }
  | { readonly kind: "literal"; readonly value: string };

export type PlanVerifyName = { readonly kind: "sni" | "target" } | { readonly kind: "literal"; readonly value: string };
