/**
 * Settings of TLS on both sides: what a listener serves and asks of clients, and how an origin is reached and verified.
 * Files are named here, never contained: they are read and judged in tls-files.ts.
 */
import { isIP } from "node:net";
import { z } from "zod";
import { isHostName, judgeHostPattern } from "./addresses.js";
import { flag, milliseconds, oneOrMore, seconds, text } from "./leaves.js";

const TEN_MINUTES_MS = 600_000;
const DAY_S = 86_400;

/** RFC 6797 6.1.1; browsers' preload lists ask for a year. */
export const HSTS_YEAR_S = 365 * DAY_S;

const file = (says: string) =>
  text(`${says} A relative path begins at the settings file.`, (path) =>
    path === "" || path.includes("\0") ? "must be the path of a file" : null,
  );

const certificateFile = file("PEM file with the certificate, then those between it and the root, in this order.");
const keyFile = file("PEM file with its key, without passphrase (PKCS#8, PKCS#1 or SEC1).");

const certificateSchema = z.strictObject({
  cert: certificateFile,
  key: keyFile.optional().describe(`${keyFile.description} Absent = in the same file.`),
});

const versions = () =>
  z
    .array(z.enum(["1.2", "1.3"]))
    .min(1, { error: "must name at least one" })
    .refine((list) => new Set(list).size === list.length, { error: "names a version twice" })
    .default(["1.2", "1.3"])
    .describe("Versions of TLS that are spoken.");

const handshakeMs = (says: string) => milliseconds({ min: 10, max: TEN_MINUTES_MS, default: 10_000, says });

const clientRuleSchema = z.strictObject({
  hosts: z
    .array(text("A host name, or *.example.org for every name below it.", judgeHostPattern))
    .default([])
    .describe("Names the client asks for (SNI) that this rule is for; empty = every name, for the last rule."),
  required: flag({ default: true, says: "Whether a client without a certificate is refused." }),
  ca: oneOrMore(file("PEM file with the authorities whose certificates are taken.")),
  crl: oneOrMore(file("PEM file with lists of revoked certificates, one for each authority concerned.")).optional(),
});

const hstsSchema = z.strictObject({
  maxAgeS: seconds({
    min: 1,
    max: 10 * HSTS_YEAR_S,
    default: HSTS_YEAR_S,
    zeroMeans: "browsers forget it",
    says: "How long browsers come over TLS only.",
  }),
  includeSubDomains: flag({ default: false, says: "Whether the same holds for every name below." }),
  preload: flag({ default: false, says: "Whether browsers may ship with it; hard to take back." }),
});

/** `listeners[].tls`. */
export const listenerTlsSchema = z.strictObject({
  certificates: z
    .array(certificateSchema)
    .min(1, { error: "must name at least one certificate" })
    .describe(
      "What is served: the certificate whose name fits best what the client asks for, of a kind of key that it takes.",
    ),
  fallback: z
    .enum(["first", "refuse"])
    .default("first")
    .describe(
      'For clients that name nobody, or a name that no certificate has: "first" (the first certificate) or "refuse".',
    ),
  versions: versions(),
  tickets: flag({ default: true, says: "Whether clients get tickets, so that they may resume without a handshake." }),
  handshakeMs: handshakeMs("How long a client's whole handshake may take."),
  clientCertificates: z
    .array(clientRuleSchema)
    .default([])
    .describe("Which clients show a certificate, and whose: the first rule for the name asked for; none = nobody."),
  hostPolicy: z
    .enum(["ignore", "warn", "refuse"])
    .default("refuse")
    .describe(
      'When the Host of a request falls under another of clientCertificates than its connection was opened under: "ignore", "warn" (in the log) or "refuse" (403).',
    ),
  hsts: z
    .union([z.literal(false), hstsSchema])
    .default(false)
    .describe("Strict-Transport-Security on every answer of this listener, in place of an origin's own, or false."),
});

const NAME_POLICIES = ["host", "serverName", "target", "none"] as const;

function judgeNameWord(value: string, words: readonly string[]): string | null {
  if (words.includes(value)) return null;
  const literal = value.startsWith("@") ? value.slice(1) : null;
  if (literal !== null && isHostName(literal) && isIP(literal) === 0) return null;
  return `must be ${words.map((word) => `"${word}"`).join(", ")} or a name after "@", e.g. "@www.example.org"`;
}

/** `origins.<name>.tls`. */
export const originTlsSchema = z.strictObject({
  verify: flag({ default: true, says: "Whether the target's certificate must be trusted, current and for its name." }),
  ca: oneOrMore(file("PEM file with authorities to trust.")).optional(),
  systemRoots: flag({ default: true, says: "Whether the authorities this system trusts are trusted too." }),
  sni: text(
    'The name the target is asked for (SNI): "target" (as it is written in targets), "host" (the Host it is sent), "serverName" (the client\'s own SNI), "@name", or "none".',
    (value) => judgeNameWord(value, NAME_POLICIES),
  ).default("target"),
  verifyName: text(
    'The name its certificate must be for: "sni" (the one it was asked for), "target" (as it is written in targets), or "@name".',
    (value) => judgeNameWord(value, ["sni", "target"]),
  ).default("sni"),
  clientCertificate: certificateSchema.optional().describe("Our certificate, for targets that ask for one."),
  versions: versions(),
  pins: z
    .array(text("SHA-256 of a public key (SubjectPublicKeyInfo), in base64.", judgePin))
    .default([])
    .describe("Public keys of which one must be in the target's chain, besides verification; empty = any."),
  handshakeMs: handshakeMs("How long the whole handshake may take; then 504."),
});

/** TLS of an origin that says nothing of it. */
export const ORIGIN_TLS_DEFAULTS = originTlsSchema.parse({});

function judgePin(pin: string): string | null {
  const bytes = Buffer.from(pin, "base64");
  if (bytes.length === 32 && bytes.toString("base64") === pin) return null;
  return `"${pin}" is not the base64 of 32 bytes (a SHA-256)`;
}
