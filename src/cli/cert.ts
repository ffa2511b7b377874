/**
 * `millrace cert`: what each listener with TLS would serve by the settings and files as they are now, whom it asks for
 * certificates, and how many days are left. Exit 1 when one has expired, so that a timer can watch over them.
 */
import { readTlsFiles, usesOf } from "../config/tls-files.js";
import {
  type CertificateReading,
  type CertificatesReport,
  expiriesOf,
  type ListenerReading,
  reportCertificates,
} from "../control/certificate-report.js";
import { EXIT, type ExitCode, print, sayComplaints } from "./output.js";
import { chooseFile, sourceSettings } from "./settings-source.js";
import { columns } from "./table.js";

interface CertOptions {
  readonly config?: string;
  readonly json: boolean;
}

export async function printCertificates(options: CertOptions): Promise<ExitCode> {
  const { checked } = await sourceSettings(chooseFile(options), {});
  sayComplaints("warning", checked.warnings);
  if (!checked.ok) {
    sayComplaints("error", checked.complaints);
    return EXIT.settings;
  }
  const { material } = readTlsFiles(usesOf(checked.settings));
  const report = reportCertificates(checked.settings, material, Date.now());
  if (options.json) print(JSON.stringify(report));
  else for (const line of describeCertificates(report)) print(line);
  return expiriesOf(report).some(({ daysLeft }) => daysLeft < 0) ? EXIT.failure : EXIT.ok;
}

const HEADING = ["NAMES", "KEY", "ISSUER", "NOT AFTER", "DAYS", "CHAIN", "FILE"];

export function describeCertificates({ listeners, origins }: CertificatesReport): readonly string[] {
  if (listeners.length === 0 && origins.length === 0)
    return ["no listener has TLS, and no origin is shown a certificate"];
  return [
    ...listeners.flatMap(describeListener),
    ...origins.flatMap(({ origin, certificate }) => [
      `origin ${origin} is shown`,
      ...indented(columns([HEADING, rowOf(certificate, certificate.names.join(" "))])),
    ]),
  ];
}

function describeListener(listener: ListenerReading): readonly string[] {
  const others = listener.fallback === "first" ? "get the certificate marked *" : "are refused";
  const rows = listener.certificates.map((one) => rowOf(one, `${one.isFallback ? "* " : ""}${one.names.join(" ")}`));
  return [
    `listener ${listener.listener} (${listener.address}), TLS ${listener.versions.join(" and ")}; clients that no certificate is for ${others}`,
    ...indented(columns([HEADING, ...rows])),
    ...listener.clientCertificates.map(({ hosts, required, authorities, revocations }) => {
      const names = hosts.length === 0 ? "every name" : hosts.join(", ");
      const lists = revocations.length === 0 ? "" : `, unless revoked in ${revocations.join(", ")}`;
      return `  clients ${required ? "must" : "may"} show a certificate for ${names}, issued by ${authorities.join(" or ")}${lists}`;
    }),
  ];
}

function rowOf(one: CertificateReading, names: string): readonly string[] {
  const days = one.daysLeft < 0 ? "expired" : String(one.daysLeft);
  const trouble = one.trouble === null ? "" : ` (as it was: ${one.trouble})`;
  return [names, one.key, one.issuer, one.notAfter.slice(0, 10), days, String(one.chain), one.file + trouble];
}

function indented(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `  ${line}`);
}
