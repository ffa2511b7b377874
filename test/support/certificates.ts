/**
 * Certificates for tests, made when they are needed: authorities, what they issue (right, expired, for another name, for
 * clients), and lists of what they revoked.
 *
 * ```ts
 * const authority = makeAuthority("test root");
 * const { cert, key } = authority.issue({ names: ["www.example.org", "127.0.0.1"] }).writeTo(folder, "www");
 * ```
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import { writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import {
  bits,
  integer,
  nothing,
  objectId,
  octets,
  pem,
  sequence,
  set,
  tagged,
  time,
  utf8,
  within,
  yes,
} from "./der.js";

export type KeyKind = "ec" | "rsa";

export interface IssueOptions {
  /** Names and IP addresses it is for; `a@b` is a mail address, `x://y` a URI. The first is its common name, too. */
  readonly names?: readonly string[];
  /** P-256 or RSA; "ec" unless told otherwise. */
  readonly kind?: KeyKind;
  /** Size of an RSA key, 2048 unless told otherwise. All certificates of a process share one key of each size. */
  readonly rsaBits?: number;
  /** An hour ago unless told otherwise. */
  readonly notBefore?: Date;
  /** In ninety days unless told otherwise. */
  readonly notAfter?: Date;
  /** For a client instead of a server. */
  readonly client?: boolean;
  /** PEM of a key to use again, as a renewal may. */
  readonly key?: string;
}

/** A certificate with its key. */
export interface Issued {
  /** PEM: the certificate, then those between it and the root. */
  readonly cert: string;
  /** PEM: the certificate alone. */
  readonly leaf: string;
  /** PEM, PKCS#8. */
  readonly key: string;
  readonly serial: bigint;
  /** Base64 of SHA-256 of its public key, as `pins` has it. */
  readonly pin: string;
  /** Writes `<name>.pem` and `<name>.key` and says where they are. */
  readonly writeTo: (folder: string, name?: string) => { readonly cert: string; readonly key: string };
}

export interface AuthorityOptions {
  readonly kind?: KeyKind;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

export interface Authority {
  readonly name: string;
  /** PEM of its own certificate. */
  readonly cert: string;
  readonly issue: (options?: IssueOptions) => Issued;
  /** An authority below this one; what it issues carries its certificate along. */
  readonly makeIntermediate: (name: string, options?: AuthorityOptions) => Authority;
  /** PEM of a list of revoked certificates; `nextUpdate` is in thirty days unless told otherwise. */
  readonly makeCrl: (revoked: readonly Issued[], options?: { readonly nextUpdate?: Date }) => string;
  /** Writes `<file>.pem` (its name, unless told otherwise) and says where it is. */
  readonly writeTo: (folder: string, file?: string) => string;
}

const DAY_MS = 86_400_000;

/** What signs, and the certificates between it and the root. */
interface Signer {
  readonly name: string;
  readonly key: KeyObject;
  readonly chain: string;
}

/** A root of its own. */
export function makeAuthority(name: string, options: AuthorityOptions = {}): Authority {
  const key = makeKey(options.kind ?? "ec", 2048);
  const signer = { name, key, chain: "" };
  return authorityOf(signer, certify(signer, authoritySubject(name, key, options)));
}

/** A moment some days from now; negative = ago. */
export function daysFromNow(days: number): Date {
  return new Date(Date.now() + days * DAY_MS);
}

function authorityOf(signer: Signer, cert: string): Authority {
  const { name } = signer;
  return {
    name,
    cert,
    issue: (options = {}) => issue(signer, options),
    makeIntermediate: (below, options = {}) => {
      const key = makeKey(options.kind ?? "ec", 2048);
      const own = certify(signer, authoritySubject(below, key, options));
      return authorityOf({ name: below, key, chain: own + signer.chain }, own);
    },
    makeCrl: (revoked, options = {}) => makeCrl(signer, revoked, options.nextUpdate ?? daysFromNow(30)),
    writeTo: (folder, file = name.replaceAll(/\W+/g, "-")) => {
      const path = join(folder, `${file}.pem`);
      writeFileSync(path, cert);
      return path;
    },
  };
}

function issue(signer: Signer, options: IssueOptions): Issued {
  const { names = ["localhost"], kind = "ec", rsaBits = 2048, client = false } = options;
  const key = options.key === undefined ? makeKey(kind, rsaBits) : createPrivateKey(options.key);
  const serial = makeSerial();
  const usage = client ? "1.3.6.1.5.5.7.3.2" : "1.3.6.1.5.5.7.3.1";
  const leaf = certify(signer, {
    name: names[0] ?? "",
    key,
    serial,
    notBefore: options.notBefore ?? new Date(Date.now() - 3_600_000),
    notAfter: options.notAfter ?? daysFromNow(90),
    extensions: [
      extension("2.5.29.19", sequence(), true),
      // digitalSignature alone: TLS 1.3 and ECDHE need no more.
      extension("2.5.29.15", bits(Buffer.from([0x80]), 7), true),
      extension("2.5.29.37", sequence(objectId(usage))),
      extension("2.5.29.17", sequence(...names.map(generalName))),
    ],
  });
  const pem = key.export({ type: "pkcs8", format: "pem" }).toString();
  const issued = { leaf, cert: leaf + signer.chain, key: pem, serial, pin: pinOf(key) };
  return { ...issued, writeTo: (folder, name = "server") => writePair(issued, folder, name) };
}

function writePair(issued: { readonly cert: string; readonly key: string }, folder: string, name: string) {
  const paths = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  writeFileSync(paths.cert, issued.cert);
  writeFileSync(paths.key, issued.key, { mode: 0o600 });
  return paths;
}

interface Subject {
  readonly name: string;
  readonly key: KeyObject;
  readonly serial: bigint;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly extensions: readonly Buffer[];
}

function authoritySubject(name: string, key: KeyObject, options: AuthorityOptions): Subject {
  return {
    name,
    key,
    serial: makeSerial(),
    notBefore: options.notBefore ?? new Date(Date.now() - 3_600_000),
    notAfter: options.notAfter ?? daysFromNow(3650),
    // keyCertSign and cRLSign.
    extensions: [
      extension("2.5.29.19", sequence(yes()), true),
      extension("2.5.29.15", bits(Buffer.from([0x06]), 1), true),
    ],
  };
}

/** RFC 5280 4.1. */
function certify(signer: Signer, subject: Subject): string {
  const algorithm = algorithmOf(signer.key);
  const body = sequence(
    within(0, integer(2)),
    integer(subject.serial),
    algorithm,
    distinguishedName(signer.name),
    sequence(time(subject.notBefore), time(subject.notAfter)),
    distinguishedName(subject.name),
    publicKeyOf(subject.key),
    within(
      3,
      sequence(
        ...subject.extensions,
        extension("2.5.29.14", octets(keyId(subject.key))),
        extension("2.5.29.35", sequence(tagged(0, keyId(signer.key)))),
      ),
    ),
  );
  return pem("CERTIFICATE", sequence(body, algorithm, bits(sign("sha256", body, signer.key))));
}

/** RFC 5280 5.1. */
function makeCrl(signer: Signer, revoked: readonly Issued[], nextUpdate: Date): string {
  const algorithm = algorithmOf(signer.key);
  const now = new Date(Date.now() - 60_000);
  const entries = revoked.map(({ serial }) => sequence(integer(serial), time(now)));
  const body = sequence(
    integer(1),
    algorithm,
    distinguishedName(signer.name),
    time(now),
    time(nextUpdate),
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
    within(
      0,
      sequence(
        extension("2.5.29.35", sequence(tagged(0, keyId(signer.key)))),
        extension("2.5.29.20", integer(makeSerial())),
      ),
    ),
  );
  return pem("X509 CRL", sequence(body, algorithm, bits(sign("sha256", body, signer.key))));
}

function extension(id: string, content: Buffer, critical = false): Buffer {
  return sequence(objectId(id), ...(critical ? [yes()] : []), octets(content));
}

function generalName(name: string): Buffer {
  if (name.includes("://")) return tagged(6, Buffer.from(name));
  if (name.includes("@")) return tagged(1, Buffer.from(name));
  return isIP(name) === 0 ? tagged(2, Buffer.from(name)) : tagged(7, addressBytes(name));
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split(".").map(Number));
  const [first = [], last = []] = address.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const groups = [...first, ...Array<string>(8 - first.length - last.length).fill("0"), ...last];
  return Buffer.from(groups.map((group) => group.padStart(4, "0")).join(""), "hex");
}

function distinguishedName(commonName: string): Buffer {
  return sequence(set(sequence(objectId("2.5.4.3"), utf8(commonName))));
}

function algorithmOf(key: KeyObject): Buffer {
  return key.asymmetricKeyType === "rsa"
    ? sequence(objectId("1.2.840.113549.1.1.11"), nothing())
    : sequence(objectId("1.2.840.10045.4.3.2"));
}

function publicKeyOf(key: KeyObject): Buffer {
  return createPublicKey(key.export({ type: "pkcs8", format: "pem" })).export({ type: "spki", format: "der" });
}

function keyId(key: KeyObject): Buffer {
  return createHash("sha1").update(publicKeyOf(key)).digest();
}

function pinOf(key: KeyObject): string {
  return createHash("sha256").update(publicKeyOf(key)).digest("base64");
}

/** Positive, and of fifteen bytes: nobody counts ours. */
function makeSerial(): bigint {
  return BigInt(`0x01${randomBytes(14).toString("hex")}`);
}

const rsaKeys = new Map<number, KeyObject>();

/** RSA keys are slow to make, so that one of each size has to do. */
function makeKey(kind: KeyKind, rsaBits: number): KeyObject {
  if (kind === "ec") return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const known = rsaKeys.get(rsaBits) ?? generateKeyPairSync("rsa", { modulusLength: rsaBits }).privateKey;
  rsaKeys.set(rsaBits, known);
  return known;
}
