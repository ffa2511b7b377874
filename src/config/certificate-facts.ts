/**
 * What a certificate says of itself, in the words of messages and reports; and the PEM blocks it comes in.
 */

import type { KeyObject, X509Certificate } from "node:crypto";
import { isIP } from "node:net";

/** One block of a PEM file (RFC 7468). */
export interface PemBlock {
  readonly label: string;
  /** With its first and last line. */
  readonly text: string;
}

/** The blocks of a PEM text; `isCut` = one begins that does not end, as in a file that is being written. */
export function readPem(text: string): { readonly blocks: readonly PemBlock[]; readonly isCut: boolean } {
  const found = [
    ...text.matchAll(/^-----BEGIN ([A-Z0-9 ]+)-----\s*$(?:(?!-----BEGIN)[\s\S])*?^-----END \1-----\s*$/gm),
  ];
  const begun = text.match(/^-----BEGIN /gm)?.length ?? 0;
  return {
    blocks: found.map(([block, label = ""]) => ({ label, text: `${block.trim()}\n` })),
    isCut: begun > found.length,
  };
}

/** What a certificate is for: DNS names in lower case, IP addresses, and what else stands in its subjectAltName. */
export function namesOf(certificate: X509Certificate): readonly string[] {
  const listed = certificate.subjectAltName?.split(/, (?=[A-Za-z ]+:)/) ?? [];
  return listed.flatMap((one) => {
    const [, kind, value = ""] = /^([^:]+):(.*)$/s.exec(one) ?? [];
    // A list without any name in it is one empty text.
    return kind === undefined ? [] : [kind === "DNS" ? value.toLowerCase() : value];
  });
}

/** Whether one of a certificate's names is the host, or a wildcard for its first label (RFC 6125 6.4.3). */
export function isForHost(certificate: X509Certificate, host: string): boolean {
  const names = namesOf(certificate);
  const wanted = host.toLowerCase();
  if (names.includes(wanted)) return true;
  // A pattern is for every name below: any certificate for one of them will do.
  if (wanted.startsWith("*.")) return names.some((name) => name.endsWith(wanted.slice(1)));
  return isIP(wanted) === 0 && names.includes(wanted.replace(/^[^.]+/, "*"));
}

/** `CN=www.example.org, O=…` as one line. */
export function nameLine(name: string): string {
  return name.trim().split("\n").join(", ");
}

const CURVES: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384", secp521r1: "P-521" };
const RSA_BITS_MIN = 2048;
const RSA_BITS_MAX = 8192;

/** `RSA 2048`, `EC P-256`, `Ed25519` … */
export function keyKind(key: KeyObject): string {
  const { asymmetricKeyType: type = "", asymmetricKeyDetails: details } = key;
  switch (type) {
    case "rsa":
      return `RSA ${details?.modulusLength}`;
    case "ec":
      return `EC ${CURVES[details?.namedCurve ?? ""] ?? details?.namedCurve}`;
    case "ed25519":
      return "Ed25519";
    default:
      return type;
  }
}

/** Why the core cannot sign with a key, or null. */
export function judgeKeyKind(key: KeyObject): string | null {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const bits = details?.modulusLength ?? 0;
  if (type === "rsa" && bits < RSA_BITS_MIN)
    return `has an RSA key of ${bits} bits; it must have ${RSA_BITS_MIN} at least`;
  if (type === "rsa" && bits > RSA_BITS_MAX)
    return `has an RSA key of ${bits} bits; it may have ${RSA_BITS_MAX} at most`;
  const isKnown = type === "rsa" || type === "ed25519" || (type === "ec" && (details?.namedCurve ?? "") in CURVES);
  return isKnown ? null : `has a key of kind ${keyKind(key)}; it must be RSA, EC P-256, P-384, P-521 or Ed25519`;
}

/** What is odd about the time at which a certificate holds, or null. */
export function judgeTimes(certificate: X509Certificate, nowMs: number): string | null {
  if (notAfterMs(certificate) < nowMs) return `expired on ${dayOf(notAfterMs(certificate))}`;
  const begins = Date.parse(certificate.validFrom);
  return begins > nowMs ? `is not valid before ${dayOf(begins)}` : null;
}

/** When a certificate ends, in ms since 1970. */
export function notAfterMs(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}

function dayOf(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}
