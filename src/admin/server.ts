/**
 * The local admin API: takes requests, lets guard.ts refuse those it must not answer, and has the others answered by what
 * routes.ts has. Everything that is refused is a problem document, what is no HTTP included.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { MillraceError, messageOf } from "../shared/errors.js";
import { type Answer, type ProblemStatus, problem, rawProblem, send } from "./answers.js";
import { readBody } from "./body.js";
import { findOperation } from "./find.js";
import { Guard, type GuardPlan } from "./guard.js";
import { type AdminSocket, listen } from "./listen.js";
import type { MetricsBounds } from "./metrics/families.js";
import { MORE_ROUTES } from "./openapi.js";
import type { AdminSource } from "./routes.js";

/** Where and to whom the admin API answers, and what of. */
export interface AdminPlan extends GuardPlan {
  readonly socket: AdminSocket;
  readonly metrics: MetricsBounds;
}

/** A running admin API. Where it is a socket file, `address` is `unix:` and its path, and `port` 0. */
export interface Admin {
  readonly address: string;
  readonly port: number;
  /** Its listening socket, for a process that takes over; null = that process makes its own. */
  readonly fd: number | null;
  /** Takes no more connections; whoever is being answered still is. */
  readonly leave: () => void;
  readonly close: () => Promise<void>;
}

/** How long a request may take to arrive, in ms. */
const REQUEST_MS_MAX = 10_000;
/** Connections at once; it is people and their tools who ask. */
const CONNECTIONS_MAX = 256;

/**
 * Starts the admin API.
 *
 * @throws MillraceError `MILLRACE_LISTEN` when its address cannot be listened on.
 */
export async function startAdmin(plan: AdminPlan, source: AdminSource): Promise<Admin> {
  const guard = new Guard(plan);
  const options = { requestTimeout: REQUEST_MS_MAX, headersTimeout: REQUEST_MS_MAX, requireHostHeader: false };
  const answerTo = (request: IncomingMessage, response: ServerResponse) =>
    void serve(request, response, guard, plan, source);
  const server = createServer(options, answerTo);
  server.maxConnections = CONNECTIONS_MAX;
  server.on("checkExpectation", (request: IncomingMessage, response: ServerResponse) => {
    send(response, problem(417, "Only 100-continue can be expected."), true);
    request.resume();
  });
  server.on("connect", (_: IncomingMessage, socket: Socket) => refuse(socket, 405, "There are no tunnels here."));
  server.on("clientError", (failure: NodeJS.ErrnoException, socket: Socket) => {
    const [status, detail] = describeNoRequest(failure.code);
    refuse(socket, status, detail);
  });
  const listening = await listen(server, plan.place, plan.socket);
  // The API must not keep a process alive whose proxy has stopped.
  server.unref();
  const { address, port, fd } = listening;
  const leave = () => {
    listening.forget();
    server.close();
    server.closeIdleConnections();
  };
  return { address, port, fd, leave, close: () => close(server, listening.forget) };
}

/** Never rejects. */
async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  guard: Guard,
  plan: AdminPlan,
  source: AdminSource,
): Promise<void> {
  const answer = await answerTo(request, guard, plan, source).catch(describeFailure);
  // What was not read of the request must not be taken for the next one.
  if (!response.destroyed) send(response, answer, !request.complete);
  else if (answer.kind === "stream") answer.stop();
}

async function answerTo(request: IncomingMessage, guard: Guard, plan: AdminPlan, source: AdminSource): Promise<Answer> {
  const [path = "/", query = ""] = (request.url ?? "/").split("?", 2);
  const refusal = guard.judge(request, path);
  if (refusal !== null) return refusal;
  const found = findOperation(request.method ?? "", path, MORE_ROUTES);
  if ("kind" in found) return found;
  const { operation, segments } = found;
  const body = await readBody(request, operation.body !== undefined);
  if (!body.ok) return body.answer;
  const { accept } = request.headers;
  const asked = { segments, query: new URLSearchParams(query), body: body.value, accept };
  return operation.handle({ source, ...asked, metrics: plan.metrics, asksToken: plan.token !== undefined });
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

/** What the HTTP parser of Node.js says of bytes that are no request. */
function describeNoRequest(code: string | undefined): readonly [ProblemStatus, string] {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return [431, "The head of this request is too long."];
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return [408, `A request must arrive within ${REQUEST_MS_MAX / 1000} s.`];
    default:
      return [400, "This is no HTTP/1.1 request."];
  }
}

function refuse(socket: Socket, status: ProblemStatus, detail: string): void {
  if (socket.writable) socket.end(rawProblem(status, detail));
  else socket.destroy();
}

function close(server: Server, forget: () => void): Promise<void> {
  return new Promise((resolve) => {
    forget();
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
