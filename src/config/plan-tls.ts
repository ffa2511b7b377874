/**
 * Compiles TLS of listeners and origins: the words of the settings and the text of the files they name.
 */
import type { ListenerTls, OriginTls } from "./check-tls.js";
import type {
  PlanCertificate,
  PlanListenerTls,
  PlanOriginTls,
  PlanSni,
  PlanVerifyName,
  TlsVersion,
} from "./plan-tls-types.js";
import { pairKey, type TlsMaterial, type WrittenPair } from "./tls-files.js";

/** In order of preference. Clients that speak HTTP/1.0 say so (`curl --http1.0`), and are served. */
const CLIENT_ALPN = ["http/1.1", "http/1.0"] as const;
const CLIENT_ALPN_HTTP2 = ["h2", ...CLIENT_ALPN] as const;
/** By version, in order of preference. */
const ORIGIN_ALPN = { "2": "h2", "1.1": "http/1.1" } as const;

/** TLS of a listener that speaks HTTP/2 besides HTTP/1, or HTTP/1 alone. */
export function compileListenerTls(tls: ListenerTls, http2: boolean, material: TlsMaterial): PlanListenerTls {
  return {
    certificates: tls.certificates.map((pair) => compilePair(pair, material)),
    fallback: tls.fallback === "first" ? 0 : null,
    ...compileVersions(tls.versions),
    alpn: http2 ? CLIENT_ALPN_HTTP2 : CLIENT_ALPN,
    tickets: tls.tickets,
    handshakeMs: tls.handshakeMs,
    hostPolicy: tls.hostPolicy,
    clientAuth: tls.clientCertificates.map(({ hosts, required, ca, crl }) => ({
      hosts: hosts.map((host) => host.toLowerCase()),
      required,
      ca: compileAuthorities(ca, material),
      crl: [crl ?? []]
        .flat()
        .map((file) => mustHave(material.revocations.get(file), file))
        .join(""),
    })),
    hsts: compileHsts(tls.hsts),
  };
}

/** TLS to an origin. */
export function compileOriginTls(
  tls: OriginTls,
  httpVersions: readonly ("1.1" | "2")[],
  material: TlsMaterial,
): PlanOriginTls {
  return {
    systemRoots: tls.systemRoots,
    roots: compileAuthorities(tls.ca ?? [], material),
    verify: tls.verify,
    sni: compileName<PlanSni>(tls.sni),
    verifyName: compileName<PlanVerifyName>(tls.verifyName),
    certificate: tls.clientCertificate === undefined ? null : compilePair(tls.clientCertificate, material),
    ...compileVersions(tls.versions),
    alpn: (["2", "1.1"] as const).filter((version) => httpVersions.includes(version)).map((one) => ORIGIN_ALPN[one]),
    pins: tls.pins,
    handshakeMs: tls.handshakeMs,
  };
}

function compilePair(written: WrittenPair, { pairs }: TlsMaterial): PlanCertificate {
  const { file, chain, key } = mustHave(pairs.get(pairKey(written)), written.cert);
  return { label: file, chain, key };
}

function compileAuthorities(files: string | readonly string[], { authorities }: TlsMaterial): string {
  return [files]
    .flat()
    .map((file) => mustHave(authorities.get(file), file).pem)
    .join("");
}

function compileVersions(versions: readonly TlsVersion[]) {
  const [minVersion = "1.3", maxVersion = minVersion] = versions.toSorted();
  return { minVersion, maxVersion };
}

/** A word, or a name behind "@". */
function compileName<T extends PlanSni | PlanVerifyName>(written: string): T {
  if (!written.startsWith("@")) return { kind: written } as T;
  return { kind: "literal", value: written.slice(1).toLowerCase() } as T;
}

/** RFC 6797 6.1. */
function compileHsts(hsts: ListenerTls["hsts"]): string {
  if (hsts === false) return "";
  const words = [`max-age=${hsts.maxAgeS}`];
  if (hsts.includeSubDomains) words.push("includeSubDomains");
  if (hsts.preload) words.push("preload");
  return words.join("; ");
}

/** What a file of checked settings holds. */
function mustHave<T>(held: T | undefined, file: string): T {
  if (held === undefined) throw new Error(`compilePlan: ${file} was not read`);
  return held;
}
