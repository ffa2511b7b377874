/**
 * What is known about certificates, for `millrace cert`, the admin API and the books: what each listener would serve, what
 * origins are shown, and how many days are left.
 */
import { keyKind, nameLine, namesOf, notAfterMs } from "../config/certificate-facts.js";
import { listenerName, type Settings } from "../config/settings.js";
import { type Pair, pairKey, type TlsMaterial, type WrittenPair } from "../config/tls-files.js";

/** One certificate. */
export interface CertificateReading {
  /** Path of its file. */
  readonly file: string;
  readonly names: readonly string[];
  readonly issuer: string;
  /** Kind of its key, e.g. `EC P-256`. */
  readonly key: string;
  /** When it ends, or the first of its chain does. */
  readonly notAfter: string;
  /** Whole days; negative = since when it is over. */
  readonly daysLeft: number;
  /** Certificates in its file: itself and those above. */
  readonly chain: number;
  /** Why what the file holds now is not used, but what it held before; null = it is. */
  readonly trouble: string | null;
}

/** What a listener serves and asks for. */
export interface ListenerReading {
  readonly listener: string;
  readonly address: string;
  readonly versions: readonly string[];
  /** `refuse`: a client that no certificate is for is refused. */
  readonly fallback: "first" | "refuse";
  readonly certificates: readonly (CertificateReading & { readonly isFallback: boolean })[];
  readonly clientCertificates: readonly {
    /** Empty = every name. */
    readonly hosts: readonly string[];
    readonly required: boolean;
    readonly authorities: readonly string[];
    readonly revocations: readonly string[];
  }[];
}

export interface CertificatesReport {
  readonly listeners: readonly ListenerReading[];
  /** Certificates that are shown to origins. */
  readonly origins: readonly { readonly origin: string; readonly certificate: CertificateReading }[];
}

/** What is in the books about a certificate. */
export type CertificateExpiry = Pick<CertificateReading, "file" | "notAfter" | "daysLeft">;

const DAY_MS = 86_400_000;

/** @param troubles By `pairKey`: why what is in the files is not used. */
export function reportCertificates(
  settings: Settings,
  material: TlsMaterial,
  nowMs: number,
  troubles: ReadonlyMap<string, string> = new Map(),
): CertificatesReport {
  const readingOf = (written: WrittenPair): CertificateReading[] => {
    const pair = material.pairs.get(pairKey(written));
    return pair === undefined ? [] : [readPair(pair, nowMs, troubles.get(pairKey(written)) ?? null)];
  };
  const listeners = settings.listeners.flatMap((listener, index): ListenerReading[] => {
    if (typeof listener === "string" || listener.tls === false) return [];
    const { certificates, fallback, versions, clientCertificates } = listener.tls;
    return [
      {
        listener: listenerName(listener.name, index),
        address: listener.address,
        versions,
        fallback,
        certificates: certificates.flatMap((written, place) =>
          readingOf(written).map((one) => ({ ...one, isFallback: fallback === "first" && place === 0 })),
        ),
        clientCertificates: clientCertificates.map(({ hosts, required, ca, crl }) => ({
          hosts,
          required,
          authorities: [ca].flat().flatMap((file) => subjectsOf(material, file)),
          revocations: [crl ?? []].flat(),
        })),
      },
    ];
  });
  const origins = Object.entries(settings.origins).flatMap(([origin, { tls }]) => {
    const shown = tls?.clientCertificate;
    return shown === undefined ? [] : readingOf(shown).map((certificate) => ({ origin, certificate }));
  });
  return { listeners, origins };
}

/** Every certificate of a report, each once. */
export function expiriesOf({ listeners, origins }: CertificatesReport): readonly CertificateExpiry[] {
  const all = [...listeners.flatMap((one) => one.certificates), ...origins.map((one) => one.certificate)];
  const byFile = new Map(all.map(({ file, notAfter, daysLeft }) => [file, { file, notAfter, daysLeft }]));
  return [...byFile.values()];
}

/** When a certificate is over: no chain lives longer than its first to go. */
export function endOf(pair: Pair): number {
  return Math.min(...pair.certificates.map(notAfterMs));
}

/** Whole days until then; below 0 when it is past. */
export function daysUntil(timeMs: number, nowMs: number): number {
  return Math.floor((timeMs - nowMs) / DAY_MS);
}

function readPair(pair: Pair, nowMs: number, trouble: string | null): CertificateReading {
  const [leaf] = pair.certificates;
  if (leaf === undefined) throw new Error(`${pair.file} has no certificate`);
  const names = namesOf(leaf);
  return {
    file: pair.file,
    names: names.length === 0 ? [nameLine(leaf.subject)] : names,
    issuer: nameLine(leaf.issuer),
    key: keyKind(leaf.publicKey),
    notAfter: new Date(endOf(pair)).toISOString(),
    daysLeft: daysUntil(endOf(pair), nowMs),
    chain: pair.certificates.length,
    trouble,
  };
}

function subjectsOf({ authorities }: TlsMaterial, file: string): readonly string[] {
  return authorities.get(file)?.certificates.map((one) => nameLine(one.subject)) ?? [];
}
