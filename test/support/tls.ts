/**
 * TLS for tests on the wire: a folder with certificates for a test file, clients by name, the way a handshake ended, and
 * OpenSSL's own client.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import type { SettingsInput } from "../../src/index.js";
import { type Authority, type Issued, type IssueOptions, makeAuthority } from "./certificates.js";
import { request } from "./client.js";
import { findProgram } from "./peers.js";
import type { SettingsOverlay } from "./scene.js";
import { PATIENCE_MS, WireError, within } from "./wire.js";

type ListenerSettings = Exclude<Extract<NonNullable<SettingsInput["listeners"]>, readonly unknown[]>[number], string>;
export type ListenerTlsSettings = Exclude<NonNullable<ListenerSettings["tls"]>, false>;

/** The name most tests ask for. */
export const NAME = "www.example.org";

/** A folder with an authority and what it issued, for one test file; it goes with the tests. */
export class TlsWorld {
  readonly folder = mkdtempSync(join(tmpdir(), "millrace-tls-"));
  readonly authority: Authority = makeAuthority("a root of tests");
  #issued = 0;

  constructor() {
    after(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  /** Issues and writes: the paths as settings name them. */
  pair(options: IssueOptions = {}): { readonly cert: string; readonly key: string } {
    return this.issue(options).files;
  }

  /** Issues and writes: the certificate, and the paths as settings name them. */
  issue(options: IssueOptions = {}): { readonly issued: Issued; readonly files: { cert: string; key: string } } {
    const issued = this.authority.issue({ names: [NAME], ...options });
    this.#issued += 1;
    return { issued, files: issued.writeTo(this.folder, `pair-${this.#issued}`) };
  }

  /** Settings of a scene whose one listener speaks TLS, with a certificate for `NAME` unless told otherwise. */
  settings(tls: Partial<ListenerTlsSettings> = {}, more: SettingsOverlay = {}): SettingsOverlay {
    const own = { certificates: tls.certificates ?? [this.pair()] };
    return { ...more, listeners: [{ address: "127.0.0.1:0", tls: { ...tls, ...own } }] };
  }

  /** How a client asks for a name, and whom it trusts. */
  asks(options: ConnectionOptions = {}): ConnectionOptions {
    return { ca: this.authority.cert, servername: NAME, ...options };
  }
}

/** How a handshake and one request over it came out: the answer's first line, or the code of what went wrong. */
export interface Tried {
  readonly line: string | undefined;
  readonly code: string | undefined;
  /** The session that came last, for another connection. */
  readonly session: Buffer | undefined;
  readonly reused: boolean;
  readonly protocol: string | null;
  readonly cipher: string;
  readonly alpn: string | false | null;
  readonly keyType: string | undefined;
  readonly names: string;
  /** The serial number of the certificate that was shown. */
  readonly serial: string;
}

/** Shakes hands, asks `GET /` for a host, and leaves. */
export async function tryTls(port: number, options: ConnectionOptions, host = NAME): Promise<Tried> {
  const socket = connect({ host: "127.0.0.1", port, ...options });
  let session: Buffer | undefined;
  let code: string | undefined;
  let text = "";
  let seen: Partial<Tried> = {};
  socket.on("session", (bytes) => {
    session = bytes;
  });
  socket.once("secureConnect", () => {
    seen = describePeer(socket);
    socket.write(request("GET /", `Host: ${host}`));
  });
  await within(
    new Promise<void>((resolve) => {
      socket.on("data", (piece: Buffer) => {
        text += piece.toString("latin1");
        if (text.includes("\r\n\r\n")) socket.end();
      });
      socket.once("error", (error: NodeJS.ErrnoException) => {
        code = error.code ?? error.message;
      });
      socket.once("close", () => resolve());
    }),
    PATIENCE_MS,
    "the end of a TLS connection",
  );
  const line = text === "" ? undefined : text.split("\r\n")[0];
  const nobody = { reused: false, protocol: null, cipher: "", alpn: null, keyType: undefined };
  return { ...nobody, names: "", serial: "", ...seen, line, code, session };
}

function describePeer(socket: TLSSocket): Partial<Tried> {
  const certificate = socket.getPeerX509Certificate();
  return {
    reused: socket.isSessionReused(),
    protocol: socket.getProtocol(),
    cipher: socket.getCipher().standardName,
    alpn: socket.alpnProtocol,
    keyType: certificate?.publicKey.asymmetricKeyType,
    names: certificate?.subjectAltName ?? "",
    serial: certificate?.serialNumber ?? "",
  };
}

/** Runs a program to its end, with the test's own servers alive meanwhile. */
export function runApart(
  name: string,
  args: readonly string[],
  input: string | readonly string[] = "",
  gapMs = 100,
): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
  const path = findProgram(name);
  if (path === undefined) throw new WireError(`${name} is not installed`);
  const child = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (piece: Buffer) => {
    out += piece.toString("latin1");
  });
  child.stderr.on("data", (piece: Buffer) => {
    err += piece.toString("latin1");
  });
  child.stdin.on("error", () => undefined); // it may leave before it has heard everything
  const lines = [...[input].flat()];
  const say = (): void => {
    const line = lines.shift();
    if (line === undefined) child.stdin.end();
    else child.stdin.write(line, () => setTimeout(say, gapMs));
  };
  say();
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return within(ended, PATIENCE_MS, `the end of ${name}`)
    .then((code) => ({ code, out, err }))
    .finally(() => child.kill("SIGKILL"));
}

/** OpenSSL's client, asking for `NAME`; what it says goes to `out` and `err`. */
export function sClient(port: number, args: readonly string[], input: string | readonly string[] = "", gapMs = 100) {
  const where = ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", NAME];
  return runApart("openssl", [...where, ...args], input, gapMs);
}
