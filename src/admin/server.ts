/**
 * The local admin API; what it has is in routes.ts. It listens on loopback and answers only requests whose Host
 * names this machine, so that a web page in a browser here cannot reach it through a name of its own (DNS rebinding).
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isIP } from "node:net";
import { MillraceError, messageOf } from "../shared/errors.js";
import { type Answer, problem, send } from "./answers.js";
import { readBody } from "./body.js";
import type { MetricsBounds } from "./metrics/families.js";
import { type AdminSource, findHandler } from "./routes.js";

/** Where and to whom the admin API answers. */
export interface AdminPlan {
  readonly address: string;
  readonly port: number;
  /** Values of Host answered besides the loopback names and addresses, without port. */
  readonly hosts: readonly string[];
  readonly metrics: MetricsBounds;
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
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    void serve(request, response, plan, source);
  });
  await listen(server, plan);
  const place = server.address() as AddressInfo;
  // The API must not keep a process alive whose proxy has stopped.
  server.unref();
  return { address: place.address, port: place.port, close: () => close(server) };
}

/** Never rejects. */
async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  plan: AdminPlan,
  source: AdminSource,
): Promise<void> {
  const answer = await answerTo(request, plan, source).catch(describeFailure);
  // What was not read of the request must not be taken for the next one.
  if (!response.destroyed) send(response, answer, !request.complete);
}

async function answerTo(request: IncomingMessage, plan: AdminPlan, source: AdminSource): Promise<Answer> {
  if (!isHostAllowed(request.headers.host, plan)) return problem(421, "This Host is not a name of the admin API.");
  const [path = "/", query = ""] = (request.url ?? "/").split("?", 2);
  const found = findHandler(request.method ?? "", path);
  if ("kind" in found) return found;
  if (request.method === "POST" && !isFromHere(request, plan)) {
    return problem(403, "A page of another site must not move anything here.");
  }
  const body = await readBody(request);
  if (!body.ok) return body.answer;
  return found.handle({
    source,
    segments: found.segments,
    query: new URLSearchParams(query),
    body: body.value,
    accept: request.headers.accept,
    metrics: plan.metrics,
  });
}

function describeFailure(thrown: unknown): Answer {
  if (!(thrown instanceof MillraceError)) return problem(500, messageOf(thrown));
  switch (thrown.code) {
    case "MILLRACE_ARGUMENT":
      return problem(400, thrown.message);
    case "MILLRACE_STATE":
      return problem(409, thrown.message);
    default:
      return problem(500, thrown.message);
  }
}

/**
 * Browsers send simple POSTs to any address, this one included, on behalf of any page; they say so in Origin. Programs
 * send none.
 */
function isFromHere(request: IncomingMessage, plan: AdminPlan): boolean {
  const { origin } = request.headers;
  if (origin === undefined) return true;
  return /^https?:\/\//.test(origin) && isHostAllowed(origin.replace(/^https?:\/\//, ""), plan);
}

/** Loopback names, the address listened on, and the configured names; the port does not matter. */
function isHostAllowed(host: string | undefined, plan: AdminPlan): boolean {
  if (host === undefined) return false;
  const name = host.toLowerCase().replace(/:\d+$/, "");
  const own = isIP(plan.address) === 6 ? `[${plan.address.toLowerCase()}]` : plan.address;
  const isOwn = name === own && own !== "0.0.0.0" && own !== "[::]";
  return LOOPBACK_NAMES.has(name) || isOwn || plan.hosts.some((allowed) => allowed.toLowerCase() === name);
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
