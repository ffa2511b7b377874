/**
 * The local admin API: GET /stats, /livez and /readyz. It listens on loopback and answers only requests whose Host
 * names this machine, so that a web page in a browser here cannot reach it through a name of its own (DNS rebinding).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isIP } from "node:net";
import type { Stats } from "../control/stats.js";
import { MillraceError, messageOf } from "../shared/errors.js";

/** What the admin API shows. */
export interface AdminSource {
  readonly stats: () => Stats;
  /** Whether the proxy serves: false while starting, draining, or with a worker missing. */
  readonly isReady: () => boolean;
}

/** Where and to whom the admin API answers. */
export interface AdminPlan {
  readonly address: string;
  readonly port: number;
  /** Values of Host answered besides the loopback names and addresses, without port. */
  readonly hosts: readonly string[];
}

/** A running admin API. */
export interface Admin {
  readonly address: string;
  readonly port: number;
  readonly close: () => Promise<void>;
}

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Starts the admin API.
 *
 * @throws MillraceError `MILLRACE_LISTEN` when its address cannot be listened on.
 */
export async function startAdmin(plan: AdminPlan, source: AdminSource): Promise<Admin> {
  const server = createServer({ requestTimeout: 10_000 }, (request, response) =>
    answer(request, response, plan, source),
  );
  await listen(server, plan);
  const place = server.address() as AddressInfo;
  // The API must not keep a process alive whose proxy has stopped.
  server.unref();
  return { address: place.address, port: place.port, close: () => close(server) };
}

function answer(request: IncomingMessage, response: ServerResponse, plan: AdminPlan, source: AdminSource): void {
  if (!isHostAllowed(request.headers.host, plan)) {
    problem(response, 421, "Misdirected Request", "This Host is not a name of the admin API.");
    return;
  }
  const path = (request.url ?? "/").split("?")[0];
  if (path !== "/stats" && path !== "/livez" && path !== "/readyz") {
    problem(response, 404, "Not Found", "The admin API has /stats, /livez and /readyz.");
    return;
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("Allow", "GET, HEAD");
    problem(response, 405, "Method Not Allowed", `${path} answers GET only.`);
    return;
  }
  switch (path) {
    case "/stats":
      json(response, 200, source.stats());
      return;
    case "/livez":
      json(response, 200, { status: "alive" });
      return;
    case "/readyz":
      if (source.isReady()) json(response, 200, { status: "ready" });
      else problem(response, 503, "Service Unavailable", "The proxy is starting, draining, or a worker is missing.");
      return;
  }
}

/** Loopback names, the address listened on, and the configured names; the port does not matter. */
function isHostAllowed(host: string | undefined, plan: AdminPlan): boolean {
  if (host === undefined) return false;
  const name = host.toLowerCase().replace(/:\d+$/, "");
  const own = isIP(plan.address) === 6 ? `[${plan.address.toLowerCase()}]` : plan.address;
  const isOwn = name === own && own !== "0.0.0.0" && own !== "[::]";
  return LOOPBACK_NAMES.has(name) || isOwn || plan.hosts.some((allowed) => allowed.toLowerCase() === name);
}

function json(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, "application/json", body);
}

/** RFC 9457. */
function problem(response: ServerResponse, status: number, title: string, detail: string): void {
  send(response, status, "application/problem+json", { type: "about:blank", title, status, detail });
}

function send(response: ServerResponse, status: number, type: string, body: unknown): void {
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`);
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": bytes.byteLength,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  response.end(bytes);
}

function listen(server: Server, plan: AdminPlan): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (thrown) => {
      const says = `Cannot listen for the admin API on ${plan.address} port ${plan.port}: ${messageOf(thrown)}`;
      reject(new MillraceError("MILLRACE_LISTEN", says, { cause: thrown }));
    });
    server.listen({ host: plan.address, port: plan.port }, () => resolve());
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
