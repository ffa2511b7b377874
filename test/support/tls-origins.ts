/**
 * Origins that speak TLS, for scenes: one root that the settings trust, certificates it issued, and targets whose
 * handshake goes wrong in every way there is.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Authority, type Issued, makeAuthority } from "./certificates.js";
import type { OriginConnection, OriginOptions, Script } from "./origin.js";
import type { SceneOptions, SettingsOverlay } from "./scene.js";

type OriginTlsSettings = NonNullable<NonNullable<NonNullable<SettingsOverlay["origins"]>[string]>["tls"]>;

/** Names the usual certificate is for: the address of the scenes' origins, and some more. */
export const NAMES = ["127.0.0.1", "a.example", "b.example", "c.example", "d.example"] as const;

let made: { readonly folder: string; readonly root: Authority; readonly usual: Issued } | undefined;

/** Made once for each test file; what was written goes with its process. */
function lasting(): NonNullable<typeof made> {
  if (made === undefined) {
    const folder = mkdtempSync(join(tmpdir(), "millrace-certificates-"));
    process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
    const root = makeAuthority("scene root");
    root.writeTo(folder, "root");
    made = { folder, root, usual: root.issue({ names: NAMES }) };
  }
  return made;
}

/** The authority that the scenes' settings trust. */
export const trusted = (): Authority => lasting().root;

/** The file it is in. */
export const trustedFile = (): string => join(lasting().folder, "root.pem");

/** A certificate for all of `NAMES`. */
export const usual = (): Issued => lasting().usual;

/** Writes a certificate and its key where settings find them. */
export const writeCertificate = (issued: Issued, name: string): { readonly cert: string; readonly key: string } =>
  issued.writeTo(lasting().folder, name);

/** Writes PEM text where settings find it. */
export function writePem(name: string, pem: string): string {
  const path = join(lasting().folder, `${name}.pem`);
  writeFileSync(path, pem);
  return path;
}

/** Settings by which an origin is trusted that shows the usual certificate. */
export function trusting(more: OriginTlsSettings = {}): OriginTlsSettings {
  return { ca: trustedFile(), systemRoots: false, ...more };
}

/** TLS as a scripted origin speaks it; the usual certificate unless told otherwise. */
export function speaking(issued: Issued = usual(), more: OriginOptions["tls"] = {}): NonNullable<OriginOptions["tls"]> {
  return { cert: issued.cert, key: issued.key, ...more };
}

export interface TlsScene extends SceneOptions {
  /** What the origins show. */
  readonly shows?: Issued;
  /** How they speak, besides. */
  readonly speaks?: OriginOptions["tls"];
  /** What the settings say of TLS to all of them. */
  readonly tls?: OriginTlsSettings;
}

/** Options of a scene whose scripted origins all speak TLS. */
export function overTls({ shows, speaks, tls, ...options }: TlsScene = {}): SceneOptions {
  return {
    ...options,
    originOptions: { ...options.originOptions, tls: speaking(shows, speaks) },
    originSettings: { ...options.originSettings, tls: trusting(tls) as never },
  };
}

/** TLS 1.2 and a fatal handshake_failure. */
const ALERT = Buffer.from([21, 3, 3, 0, 2, 2, 40]);

/** What a target may do instead of a handshake, told on the bytes of TCP, and what that is called. */
export const BROKEN_HANDSHAKES: readonly {
  readonly what: string;
  readonly fault: "tls_alert" | "tls_eof" | "tls_timeout";
  readonly script: Script;
}[] = [
  { what: "ends at once", fault: "tls_eof", script: (connection) => connection.close() },
  {
    what: "ends its side at once and reads on",
    fault: "tls_eof",
    script: async (connection) => {
      await connection.halfClose();
      await connection.ended();
      await connection.close();
    },
  },
  { what: "ends after the first words", fault: "tls_eof", script: afterHello((connection) => connection.close()) },
  { what: "resets after the first words", fault: "tls_eof", script: afterHello((connection) => connection.reset()) },
  {
    what: "ends in the middle of a record",
    fault: "tls_eof",
    script: afterHello(async (connection) => {
      await connection.send(Buffer.from([22, 3, 3, 0, 90, 2, 0, 0, 86, 3, 3]));
      await connection.close();
    }),
  },
  { what: "is silent", fault: "tls_timeout", script: afterHello(() => undefined) },
  {
    what: "says half of a record and no more",
    fault: "tls_timeout",
    script: afterHello((connection) => connection.send(Buffer.from([22, 3, 3, 0, 90, 2]))),
  },
  { what: "sends an alert", fault: "tls_alert", script: afterHello((connection) => connection.send(ALERT)) },
  {
    what: "speaks plain HTTP",
    fault: "tls_alert",
    script: afterHello((connection) => connection.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
  },
  {
    what: "sends junk",
    fault: "tls_alert",
    script: afterHello((connection) => connection.send(Buffer.alloc(300, 0xa5))),
  },
];

/** Waits for the proxy's first message, then for its end. */
function afterHello(then: (connection: OriginConnection) => Promise<void> | void): Script {
  return async (connection) => {
    await connection.wire.until("a first message", (unread) => (unread.length > 100 ? true : undefined));
    await then(connection);
    if (connection.wire.socket.destroyed) return;
    await connection.ended();
    await connection.close();
  };
}
