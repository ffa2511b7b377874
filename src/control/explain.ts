/**
 * What the running proxy would do with a request: the question as people and the core put it, and the core's answer (by the
 * same functions that forward), to which curl-command.ts adds a command. Nothing is sent.
 */
import { isIP } from "node:net";
import { isToken } from "../config/fields.js";
import { MillraceError } from "../shared/errors.js";

/** A request to be explained. */
export interface ExplainRequest {
  readonly method: string;
  /** Whether it comes over TLS. */
  readonly isSecure: boolean;
  /** What the client's Host says. */
  readonly host: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  /** Who asks; decides where a hash of the client's address chooses. */
  readonly clientAddress: string;
}

/** A request to be explained, as people write it. */
export interface ExplainInput {
  /** `http://host/path?query`; the path is taken as it is written, dots and all. */
  readonly url: string;
  /** Else GET. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>> | readonly (readonly [string, string])[];
  /** Else 127.0.0.1. */
  readonly clientAddress?: string;
}

/** A target as explanations show it. */
interface CandidateReading {
  readonly number: number;
  readonly label: string;
  readonly state: string;
  readonly usable: boolean;
  readonly why: string;
}

/** What the core says, as far as anything here reads it; the rest is passed on as it is. */
export interface CoreExplanation {
  /** Name of the route that takes the request; null = none does. */
  readonly route: string | null;
  /** `none`: no route takes it; `refuse`: it would not get as far as the routes. */
  readonly action: "forward" | "answer" | "redirect" | "none" | "refuse";
  /** Of an answer of the proxy's own. */
  readonly status?: number;
  readonly location?: string;
  readonly origin?: string;
  /** The request as the origin would see it. */
  readonly request?: {
    readonly method: string;
    readonly path: string;
    readonly host: string;
    readonly headers?: readonly (readonly [string, string])[];
  };
  /** The target that would be chosen now; null = none may be used. */
  readonly target?: { readonly label: string; readonly address: string; readonly port: number } | null;
  /** What must be equal for a connection to be shared. */
  readonly identity?: string;
  /** What a handshake with the target would ask for and insist on; absent = it is reached without TLS. */
  readonly tls?: {
    /** Empty = none is sent. */
    readonly sni: string;
    readonly verify: boolean;
    readonly verifyName: string;
    readonly minVersion: string;
    readonly maxVersion: string;
    readonly [more: string]: unknown;
  };
  readonly connection?: { readonly kind: "reused" | "new"; readonly why: string };
  /** Every target of the origin, with whether it may be used and why. */
  readonly candidates?: readonly CandidateReading[];
  readonly timeouts?: { readonly connectMs?: number; readonly totalMs?: number };
  /** What would follow failures of each kind, by the rules that decide it. */
  readonly retry?: { readonly attempts: number; readonly repeatable: boolean; readonly why: string };
  readonly escalate?: readonly {
    readonly to: string;
    readonly on: readonly string[];
    readonly applies: boolean;
    readonly why: string;
  }[];
  readonly [more: string]: unknown;
}

/**
 * The request that an input means. A Host among its fields wins over the one of the URL.
 *
 * @throws MillraceError `MILLRACE_ARGUMENT` naming what is wrong.
 */
export function parseExplainInput(input: unknown): ExplainRequest {
  if (typeof input !== "object" || input === null || Array.isArray(input)) throw wrong("must be an object with url");
  const { url, method = "GET", headers = [], clientAddress = "127.0.0.1", ...rest } = input as Record<string, unknown>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw wrong(`"${unknown}" is not known; there are url, method, headers, clientAddress`);
  const parts = typeof url === "string" ? /^http(s?):\/\/([^/?#\s@]+)([/?][^#\s]*)?$/i.exec(url) : null;
  if (parts === null) throw wrong("url: must be http(s)://host/path, without user, fragment or spaces");
  if (typeof method !== "string" || !isToken(method)) throw wrong("method: must be a token, e.g. GET");
  if (typeof clientAddress !== "string" || isIP(clientAddress) === 0 || clientAddress.includes("%"))
    throw wrong("clientAddress: must be an IP address");
  const fields = readFields(headers);
  const isHost = ([name]: readonly [string, string]) => name.toLowerCase() === "host";
  const [, secure = "", authority = "", target = "/"] = parts;
  return {
    method,
    isSecure: secure !== "",
    host: fields.find(isHost)?.[1] ?? authority,
    path: target.startsWith("?") ? `/${target}` : target,
    headers: fields.filter((field) => !isHost(field)),
    clientAddress,
  };
}

function readFields(headers: unknown): readonly (readonly [string, string])[] {
  const says = "headers: must be an object of texts, or a list of [name, value]";
  if (typeof headers !== "object" || headers === null) throw wrong(says);
  const list: readonly unknown[] = Array.isArray(headers) ? headers : Object.entries(headers);
  return list.map((field) => {
    if (!Array.isArray(field) || field.length !== 2) throw wrong(says);
    const [name, value] = field as readonly unknown[];
    if (typeof name !== "string" || typeof value !== "string") throw wrong(says);
    if (!isToken(name)) throw wrong(`headers: "${name}" is not a field name`);
    if (/[\r\n\0]/.test(value)) throw wrong(`headers: the value of ${name} has a line break`);
    return [name, value.trim()] as const;
  });
}

/** The head as a client would write it, for the parser that reads clients. */
export function encodeHead(request: ExplainRequest): Uint8Array {
  const fields = [["Host", request.host] as const, ...request.headers];
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`);
  // The scheme of a whole URL in its place (RFC 9112 3.2.2) is how the core is told of TLS.
  const place = request.isSecure && request.path.startsWith("/") ? `https://${request.host}` : "";
  return Buffer.from(`${request.method} ${place}${request.path} HTTP/1.1\r\n${lines.join("")}\r\n`);
}

function wrong(says: string): MillraceError {
  return new MillraceError("MILLRACE_ARGUMENT", says);
}
