/**
 * Who may ask the admin API. A web page in a browser on this machine must not reach it, neither through a name of its own
 * that leads here (DNS rebinding: the Host is not ours) nor on behalf of another site (the Origin is not ours). Where a
 * token is set, nobody asks without it, but for the two questions of whoever supervises the process.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { AdminPlace } from "../config/addresses.js";
import { readToken, type TokenSource } from "../config/admin-token.js";
import { type Answer, problem } from "./answers.js";
import { PAGE_PATHS } from "./page.js";

/** Whom the admin API answers. */
export interface GuardPlan {
  readonly place: AdminPlace;
  /** Values of Host answered besides the loopback names and addresses, without port. */
  readonly hosts: readonly string[];
  /** Absent = whoever reaches it may ask. */
  readonly token?: TokenSource | undefined;
}

/**
 * Answered without a token, though not to a wrong one: probes have none, and learn nothing but yes or no; nor has a browser
 * before the page is there that asks for it, and the page holds no figures.
 */
const OPEN_PATHS: ReadonlySet<string> = new Set(["/livez", "/readyz", ...PAGE_PATHS]);

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Refuses, or lets pass. One for each running admin API. */
export class Guard {
  readonly #plan: GuardPlan;
  /** The last good one, for while its file is being replaced. */
  #token: string | null = null;

  constructor(plan: GuardPlan) {
    this.#plan = plan;
    this.#currentToken();
  }

  /** A refusal, or null where the request may be answered. Reads nothing but the head. */
  judge(request: IncomingMessage, path: string): Answer | null {
    const { host = [], origin = [], authorization = [] } = request.headersDistinct;
    const [named] = host;
    if (host.length !== 1 || !this.#isHostAllowed(named ?? "")) {
      return problem(421, "The Host of this request is not a name of the admin API.");
    }
    const isCrossSite = request.headers["sec-fetch-site"] === "cross-site";
    if (isCrossSite || !origin.every((one) => isSameOrigin(one, named ?? ""))) {
      return problem(403, "A page of another site must not ask here.");
    }
    return this.#judgeToken(authorization, path);
  }

  #judgeToken(authorization: readonly string[], path: string): Answer | null {
    if (this.#plan.token === undefined) return null;
    if (authorization.length === 0 && OPEN_PATHS.has(path)) return null;
    const given = authorization.length === 1 ? /^Bearer +(\S+)$/i.exec(authorization[0] ?? "")?.[1] : undefined;
    const wanted = this.#currentToken();
    if (given !== undefined && wanted !== null && isSame(given, wanted)) return null;
    const detail =
      given === undefined ? "This call needs Authorization: Bearer and a token." : "This is not the token.";
    return { kind: "problem", status: 401, detail, challenge: 'Bearer realm="millrace"' };
  }

  #currentToken(): string | null {
    if (this.#plan.token === undefined) return null;
    const read = readToken(this.#plan.token);
    if (read.ok) this.#token = read.token;
    return this.#token;
  }

  /** Loopback names, the address listened on, and the configured names; the port does not matter. */
  #isHostAllowed(host: string): boolean {
    const { place, hosts } = this.#plan;
    const name = host.toLowerCase().replace(/:\d+$/, "");
    if (LOOPBACK_NAMES.has(name) || hosts.some((allowed) => allowed.toLowerCase() === name)) return true;
    // No name of anybody's leads to a file.
    if (place.kind === "unix") return /^[\w.-]+$/.test(name);
    const own = isIP(place.address) === 6 ? `[${place.address.toLowerCase()}]` : place.address;
    return name === own && own !== "0.0.0.0" && own !== "[::]";
  }
}

/** A page that was served from here says the same name and port in both; one of another program on this host does not. */
function isSameOrigin(origin: string, host: string): boolean {
  return /^https?:\/\//i.test(origin) && origin.replace(/^https?:\/\//i, "").toLowerCase() === host.toLowerCase();
}

/** Compares in a time that does not tell how much of it was right. */
function isSame(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}
