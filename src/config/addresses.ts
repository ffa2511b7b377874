/**
 * Notations for addresses, ports, networks and host names in the settings: pure parsers that return either the parts
 * or a sentence saying what is wrong.
 */
import { isIP, isIPv4 } from "node:net";
import { isServiceName } from "./names.js";

/** An address to listen on; `address` is an IP address, `port` 0 to 65535 (0 = the kernel chooses). */
export interface ListenAddress {
  readonly address: string;
  readonly port: number;
}

/** Where the admin API listens: an address, or a socket in the file system. */
export type AdminPlace = ({ readonly kind: "tcp" } & ListenAddress) | { readonly kind: "unix"; readonly path: string };

/** What a target is written as. */
export interface TargetAddress {
  /** An IP address, a name still to be resolved, or a service whose SRV records say hosts and ports (names.ts). */
  readonly host: string;
  /** 1 to 65535; a service's is in its records. */
  readonly port: number;
  /** `host:port` as logs and the Host policy "target" show it, IPv6 in brackets; a service's name alone. */
  readonly label: string;
  /** Whether it is reached by TLS. */
  readonly isSecure: boolean;
  /** What its certificate is for: its host in lower case; of a service, the domain it is a service of (RFC 6125 6.2.1). */
  readonly name: string;
}

/** A network: address and length of its prefix in bits. */
export interface Network {
  readonly address: string;
  readonly prefixBits: number;
}

/** `sun_path` of unix(7) without its end. */
const SOCKET_PATH_BYTES_MAX = 107;

/** Either the parts or what is wrong. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly says: string };

/** `127.0.0.1:8080`, `:8080` (every IPv4 address of the host), `[::1]:8080`, `localhost:8080`. */
export function parseListenAddress(text: string): Parsed<ListenAddress> {
  const parts = splitHostPort(text);
  if (parts === null) return wrong(`"${text}" is not address:port, e.g. 127.0.0.1:8080, :8080 or [::1]:8080`);
  const port = parsePort(parts.port);
  if (port === null) return wrong(`"${parts.port}" is not a port (0 to 65535; 0 = a free one)`);
  const address = parts.host === "" ? "0.0.0.0" : parts.host === "localhost" ? "127.0.0.1" : parts.host;
  if (isIP(address) === 0) return wrong(`"${parts.host}" is not an IP address of this host`);
  return { ok: true, value: { address, port } };
}

/** An address as for a listener, or `unix:/path/of/a.sock`. */
export function parseAdminPlace(text: string): Parsed<AdminPlace> {
  if (!text.startsWith("unix:")) {
    const parsed = parseListenAddress(text);
    return parsed.ok ? { ok: true, value: { kind: "tcp", ...parsed.value } } : parsed;
  }
  const path = text.slice("unix:".length);
  if (!path.startsWith("/") || path.includes("\0")) return wrong(`"${path}" is not an absolute path`);
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    return wrong(`the path of a socket has at most ${SOCKET_PATH_BYTES_MAX} bytes`);
  }
  return { ok: true, value: { kind: "unix", path } };
}

/**
 * `http://name:port`, `http://name` (port 80), `https://name` (port 443), `name:port` (as http), or
 * `srv+http://_http._tcp.name` for what SRV records say (and srv+https). Paths and user names are refused.
 */
export function parseTarget(text: string): Parsed<TargetAddress> {
  const scheme = /^(srv\+)?(https?):\/\//i.exec(text);
  if (scheme === null && /^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    return wrong(`"${text}" is not an http:// or https:// address`);
  }
  const isSecure = scheme?.[2]?.toLowerCase() === "https";
  const bare = text.slice(scheme?.[0].length ?? 0).replace(/\/$/, "");
  if (scheme?.[1] !== undefined) return parseService(text, bare.toLowerCase(), isSecure);
  if (/[/?#@\s]/.test(bare)) return wrong(`"${text}" must be only http://host:port, without path or user`);
  const withPort = /:\d*$/.test(bare) && !/^\[[^\]]*$/.test(bare) ? bare : `${bare}:${isSecure ? 443 : 80}`;
  const parts = splitHostPort(withPort);
  if (parts === null || parts.host === "") return wrong(`"${text}" is not http://host:port`);
  const port = parsePort(parts.port);
  if (port === null || port === 0) return wrong(`"${parts.port}" is not a port (1 to 65535)`);
  if (isIP(parts.host) === 0 && !isHostName(parts.host)) {
    return wrong(`"${parts.host}" is neither an IP address nor a host name`);
  }
  const name = parts.host.toLowerCase();
  const label = parts.host.includes(":") ? `[${parts.host}]:${port}` : `${name}:${port}`;
  return { ok: true, value: { host: parts.host, port, label, isSecure, name: name.replace(/\.$/, "") } };
}

/** What is wrong with the address of a name server (`address` or `address:port`), or null. */
export function judgeNameServer(text: string): string | null {
  if (isIP(text) !== 0) return null;
  const parts = splitHostPort(text);
  if (parts === null || isIP(parts.host) === 0) return `"${text}" is not an IP address, e.g. 127.0.0.53 or [::1]:53`;
  const port = parsePort(parts.port);
  return port === null || port === 0 ? `"${parts.port}" is not a port (1 to 65535)` : null;
}

function parseService(text: string, service: string, isSecure: boolean): Parsed<TargetAddress> {
  if (/:\d+$/.test(service)) return wrong(`"${text}" must not have a port; SRV records say it`);
  if (!isServiceName(service) || !isHostName(service)) {
    return wrong(`"${text}" is not srv+http${isSecure ? "s" : ""}://_service._tcp.name`);
  }
  const name = service.split(".").slice(2).join(".").replace(/\.$/, "");
  return { ok: true, value: { host: service, port: isSecure ? 443 : 80, label: service, isSecure, name } };
}

/** `10.0.0.0/8`, `fd00::/8`, or one address. Bits behind the prefix must be zero where that can be seen. */
export function parseNetwork(text: string): Parsed<Network> {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes("%")) {
    return wrong(`"${text}" is not a network, e.g. 10.0.0.0/8 or fd00::/8`);
  }
  const width = isIPv4(address) ? 32 : 128;
  if (bits === undefined) return { ok: true, value: { address, prefixBits: width } };
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > width) {
    return wrong(`"${bits}" is not a prefix length (0 to ${width})`);
  }
  return { ok: true, value: { address, prefixBits: Number(bits) } };
}

/** What is wrong with a host pattern (exact name, `*.name`, or an IP address), or null. */
export function judgeHostPattern(pattern: string): string | null {
  if (pattern.includes(":") && !pattern.startsWith("[")) {
    return `"${pattern}" must not have a port; hosts are matched without it`;
  }
  if (pattern.startsWith("[")) {
    return pattern.endsWith("]") && isIP(pattern.slice(1, -1)) === 6 ? null : `"${pattern}" is not [IPv6]`;
  }
  const name = pattern.startsWith("*.") ? pattern.slice(2) : pattern;
  if (name.includes("*")) return `"${pattern}" may have one "*.", at its beginning`;
  if (pattern.startsWith("*.") && isIP(name) !== 0) return `"${pattern}" is not a name`;
  return isIPv4(name) || isHostName(name) ? null : `"${pattern}" is not a host name`;
}

/** What is wrong with a literal Host value (`name` or `name:port`), or null. */
export function judgeHostValue(value: string): string | null {
  const at = /:(\d+)$/.exec(value);
  const name = at === null ? value : value.slice(0, at.index);
  if (at !== null && parsePort(at[1] ?? "") === null) return `"${at[1]}" is not a port`;
  if (/^\[.*\]$/.test(name)) return isIP(name.slice(1, -1)) === 6 ? null : `"${name}" is not [IPv6]`;
  return isIPv4(name) || isHostName(name) ? null : `"${value}" is not a host name`;
}

/** LDH labels (underscores tolerated, as in the names container networks make), at most 253 characters. */
export function isHostName(name: string): boolean {
  if (name.length === 0 || name.length > 253) return false;
  const labels = name.replace(/\.$/, "").split(".");
  if (labels.every((label) => /^\d+$/.test(label))) return false;
  return labels.every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label));
}

/** `host:port` with IPv6 in brackets; null when it is neither. */
function splitHostPort(text: string): { readonly host: string; readonly port: string } | null {
  const bracketed = /^\[([^\]]*)\]:([^:]*)$/.exec(text);
  if (bracketed !== null) {
    const host = bracketed[1] ?? "";
    return isIP(host) === 6 ? { host, port: bracketed[2] ?? "" } : null;
  }
  const plain = /^([^:[\]]*):([^:]*)$/.exec(text);
  return plain === null ? null : { host: plain[1] ?? "", port: plain[2] ?? "" };
}

function parsePort(text: string): number | null {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : null;
}

function wrong(says: string): { readonly ok: false; readonly says: string } {
  return { ok: false, says };
}
