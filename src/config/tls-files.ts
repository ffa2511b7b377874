/**
 * Reads and judges the files that settings of TLS name, for `millrace check`, for a start and for every reload alike, so
 * that all three agree. What is wrong is said with the place in the settings, the file and the reason, everything at
 * once; what is good is handed on all the same.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type Complaint, messageOf } from "../shared/errors.js";
import { isForHost, judgeKeyKind, judgeTimes, nameLine, namesOf, type PemBlock, readPem } from "./certificate-facts.js";
import { describePath } from "./complaints.js";
import { type Document, listenersOf, originsOf } from "./document.js";

/** A certificate with its chain and key, known to belong together. */
export interface Pair {
  /** Path of the certificate's file. */
  readonly file: string;
  /** Leaf first. */
  readonly certificates: readonly X509Certificate[];
  /** PEM of the same. */
  readonly chain: string;
  /** PEM of the key alone. */
  readonly key: string;
}

/** Authorities of one file. */
export interface Authorities {
  readonly file: string;
  readonly certificates: readonly X509Certificate[];
  readonly pem: string;
}

/** What the files hold, by `pairKey` and by path. */
export interface TlsMaterial {
  readonly pairs: ReadonlyMap<string, Pair>;
  readonly authorities: ReadonlyMap<string, Authorities>;
  /** PEM of lists of revoked certificates. */
  readonly revocations: ReadonlyMap<string, string>;
}

/** Nothing: for settings without TLS. */
export const NO_MATERIAL: TlsMaterial = { pairs: new Map(), authorities: new Map(), revocations: new Map() };

/** A file or pair of files, and where the settings name it. */
export type Use =
  | {
      readonly kind: "pair";
      readonly at: string;
      readonly cert: string;
      readonly key: string;
      readonly role: "server" | "client";
    }
  | { readonly kind: "authorities" | "revocations"; readonly at: string; readonly file: string };

/** A complaint and the use it is about. */
export interface FileComplaint extends Complaint {
  readonly use: Use;
}

export interface FilesRead {
  readonly material: TlsMaterial;
  readonly complaints: readonly FileComplaint[];
  readonly warnings: readonly Complaint[];
}

/** A certificate as settings name it. */
export interface WrittenPair {
  readonly cert: string;
  readonly key?: string | undefined;
}

/** What a pair is found under in the material; without a key file of its own, the key is in the certificate's. */
export function pairKey({ cert, key }: WrittenPair): string {
  return `${cert}\0${key ?? cert}`;
}

/** Every use of files in a document (or in settings, which are one), each file or pair once. */
export function usesOf(document: Document): readonly Use[] {
  const uses = [
    ...listenersOf(document).flatMap(([index, { tls }]): Use[] => {
      if (tls === false) return [];
      const at = `listeners[${index}].tls`;
      const served = tls.certificates.map((pair, n) => pairUse(pair, `${at}.certificates[${n}]`, "server"));
      const rules = tls.clientCertificates.flatMap(({ ca, crl }, n) => [
        ...fileUses("authorities", ca, `${at}.clientCertificates[${n}].ca`),
        ...fileUses("revocations", crl ?? [], `${at}.clientCertificates[${n}].crl`),
      ]);
      return [...served, ...rules];
    }),
    ...originsOf(document).flatMap(([name, { tls }]): Use[] => {
      const at = describePath(["origins", name, "tls"]);
      const shown = tls?.clientCertificate;
      return [
        ...fileUses("authorities", tls?.ca ?? [], `${at}.ca`),
        ...(shown === undefined ? [] : [pairUse(shown, `${at}.clientCertificate`, "client")]),
      ];
    }),
  ];
  const idOf = (use: Use) => `${use.kind} ${unitOf(use)}`;
  const first = new Map(uses.toReversed().map((use) => [idOf(use), use]));
  return uses.filter((use) => first.get(idOf(use)) === use);
}

/** Reads what is used. Never throws. */
export function readTlsFiles(uses: readonly Use[], nowMs: number = Date.now()): FilesRead {
  const complaints: FileComplaint[] = [];
  const warnings: Complaint[] = [];
  const pairs = new Map<string, Pair>();
  const authorities = new Map<string, Authorities>();
  const revocations = new Map<string, string>();
  for (const use of uses) {
    const judged = (says: string, path = use.at) => complaints.push({ path, says, use });
    const odd = (says: string, path = use.at) => warnings.push({ path, says });
    try {
      if (use.kind === "pair") pairs.set(unitOf(use), readPair(use, odd, nowMs));
      else if (use.kind === "authorities") authorities.set(use.file, readAuthorities(use.file, odd, nowMs));
      else revocations.set(use.file, readRevocations(use.file));
    } catch (thrown) {
      if (!(thrown instanceof FileFlaw)) throw thrown;
      judged(thrown.message, `${use.at}${thrown.below}`);
    }
  }
  return { material: { pairs, authorities, revocations }, complaints, warnings };
}

/** What is odd about files and settings together: names that clients must show certificates for and nobody serves. */
export function warnAboutServed(document: Document, { pairs }: TlsMaterial): Complaint[] {
  return listenersOf(document).flatMap(([index, { tls }]) => {
    if (tls === false) return [];
    const served = tls.certificates.map((pair) => pairs.get(pairKey(pair))?.certificates[0]);
    // While one of them cannot be read, nobody knows what it is for.
    if (served.includes(undefined)) return [];
    return tls.clientCertificates.flatMap((rule, n) =>
      rule.hosts.flatMap((host, place) => {
        if (served.some((one) => one !== undefined && isForHost(one, host))) return [];
        const path = `listeners[${index}].tls.clientCertificates[${n}].hosts[${place}]`;
        return [{ path, says: `no certificate of this listener is for "${host}"` }];
      }),
    );
  });
}

/** What a use is found under in its map of the material. */
export function unitOf(use: Use): string {
  return use.kind === "pair" ? pairKey(use) : use.file;
}

/** The files of a use. */
export function filesOf(use: Use): readonly string[] {
  return use.kind === "pair" ? [use.cert, use.key] : [use.file];
}

/** What is wrong with a file; `below` is the part of the use that names it. */
class FileFlaw extends Error {
  readonly below: string;

  constructor(file: string, says: string, below = "") {
    super(`${file}: ${says}`);
    this.below = below;
  }
}

type TellOdd = (says: string, path?: string) => void;

function pairUse({ cert, key }: WrittenPair, at: string, role: "server" | "client"): Use {
  return { kind: "pair", at, cert, key: key ?? cert, role };
}

function fileUses(kind: "authorities" | "revocations", files: string | readonly string[], at: string): Use[] {
  if (typeof files === "string") return [{ kind, at, file: files }];
  return files.map((file, index) => ({ kind, at: `${at}[${index}]`, file }));
}

function readPair(use: Extract<Use, { readonly kind: "pair" }>, odd: TellOdd, nowMs: number): Pair {
  const certificates = readCertificates(use.cert, ".cert");
  const [leaf] = certificates;
  if (leaf === undefined) throw new FileFlaw(use.cert, "holds no certificate", ".cert");
  judgeChain(use.cert, certificates);
  const keyBelow = use.key === use.cert ? ".cert" : ".key";
  const { key, pem } = readKey(use.key, keyBelow);
  if (!leaf.checkPrivateKey(key)) {
    const says = `does not belong to the certificate in ${use.cert} (${nameLine(leaf.subject)})`;
    throw new FileFlaw(use.key, says, keyBelow);
  }
  const weak = judgeKeyKind(key);
  if (weak !== null) throw new FileFlaw(use.cert, weak, ".cert");
  for (const [index, certificate] of certificates.entries()) {
    const wrong = judgeTimes(certificate, nowMs);
    const which = index === 0 ? "" : `certificate ${index + 1} (${nameLine(certificate.subject)}) `;
    if (wrong !== null) odd(`${use.cert}: ${which}${wrong}`, `${use.at}.cert`);
  }
  if (use.role === "server" && namesOf(leaf).length === 0) {
    odd(`${use.cert}: is for no name (it has no subjectAltName), so clients refuse it`, `${use.at}.cert`);
  }
  return { file: use.cert, certificates, chain: certificates.map((one) => one.toString()).join(""), key: pem };
}

/** RFC 8446 4.4.2 lets receivers put a chain in order; those of TLS 1.2 need not, so we do not serve one that is not. */
function judgeChain(file: string, chain: readonly X509Certificate[]): void {
  for (const [index, certificate] of chain.entries()) {
    const above = chain[index + 1];
    if (above === undefined) return;
    if (certificate.checkIssued(above) && isSignedBy(certificate, above)) continue;
    const [one, other] = [nameLine(certificate.subject), nameLine(above.subject)];
    const says = `its certificate ${index + 1} (${one}) was not issued by the next (${other}); the order is the certificate itself, then its issuer, then that one's`;
    throw new FileFlaw(file, says, ".cert");
  }
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

function readKey(file: string, below: string): { readonly key: KeyObject; readonly pem: string } {
  const blocks = readBlocks(file, below);
  const block = blocks.find(({ label }) => label.endsWith("PRIVATE KEY"));
  if (block === undefined) {
    const isCertificate = blocks.some(({ label }) => label === "CERTIFICATE");
    throw new FileFlaw(file, `holds no private key${isCertificate ? ", but a certificate" : ""}`, below);
  }
  if (block.label === "ENCRYPTED PRIVATE KEY" || /^Proc-Type:.*ENCRYPTED/m.test(block.text)) {
    throw new FileFlaw(file, "its key has a passphrase; write one without (openssl pkey)", below);
  }
  try {
    return { key: createPrivateKey(block.text), pem: block.text };
  } catch (thrown) {
    throw new FileFlaw(file, `its key cannot be read: ${messageOf(thrown)}`, below);
  }
}

function readAuthorities(file: string, odd: TellOdd, nowMs: number): Authorities {
  const certificates = readCertificates(file, "");
  for (const [index, certificate] of certificates.entries()) {
    const which = `${file}: certificate ${index + 1} (${nameLine(certificate.subject)})`;
    const wrong = judgeTimes(certificate, nowMs);
    if (wrong !== null) odd(`${which} ${wrong}`);
    if (!certificate.ca) odd(`${which} is no authority's: it issues nothing`);
  }
  return { file, certificates, pem: certificates.map((one) => one.toString()).join("") };
}

function readCertificates(file: string, below: string): readonly X509Certificate[] {
  const blocks = readBlocks(file, below);
  const found = blocks.filter(({ label }) => label === "CERTIFICATE" || label === "X509 CERTIFICATE");
  if (found.length === 0) {
    const isKey = blocks.some(({ label }) => label.endsWith("PRIVATE KEY"));
    throw new FileFlaw(file, `holds no certificate${isKey ? ", but a key" : ""}`, below);
  }
  return found.map((block, index) => {
    try {
      const certificate = new X509Certificate(block.text);
      // Throws for a kind of key that nobody here knows.
      void certificate.publicKey;
      return certificate;
    } catch (thrown) {
      throw new FileFlaw(file, `its certificate ${index + 1} cannot be read: ${messageOf(thrown)}`, below);
    }
  });
}

function readRevocations(file: string): string {
  const found = readBlocks(file, "").filter(({ label }) => label === "X509 CRL");
  if (found.length === 0) throw new FileFlaw(file, 'holds no list of revoked certificates ("BEGIN X509 CRL")');
  for (const [index, { text }] of found.entries()) {
    try {
      // OpenSSL reads one list at a time.
      createSecureContext({ crl: text });
    } catch (thrown) {
      throw new FileFlaw(file, `its list ${index + 1} cannot be read: ${messageOf(thrown)}`);
    }
  }
  return found.map(({ text }) => text).join("");
}

function readBlocks(file: string, below: string): readonly PemBlock[] {
  const { blocks, isCut } = readPem(readText(file, below));
  if (isCut) throw new FileFlaw(file, "a PEM block in it does not end, or is not well formed", below);
  return blocks;
}

function readText(file: string, below: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (thrown) {
    throw new FileFlaw(file, describeReadFailure(thrown), below);
  }
}

function describeReadFailure(thrown: unknown): string {
  switch ((thrown as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return "there is no such file";
    case "EACCES":
      return "this user may not read it";
    case "EISDIR":
      return "is a folder";
    default:
      return `cannot be read: ${messageOf(thrown)}`;
  }
}
