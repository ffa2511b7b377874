/**
 * How the admin API answers: JSON, and problem documents (RFC 9457) for everything that is refused.
 */
import type { ServerResponse } from "node:http";
import type { Complaint } from "../shared/errors.js";

/** What a request comes to. */
export type Answer =
  | { readonly kind: "json"; readonly status: number; readonly body: unknown }
  | {
      readonly kind: "text";
      readonly status: number;
      readonly type: string;
      readonly body: string;
      /** The field of the request that chose among types. */
      readonly vary?: string;
      readonly fields?: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: "stream";
      readonly status: number;
      readonly type: string;
      /** Called once; writes what there is, and goes on until `stop`. */
      readonly begin: (write: (text: string) => void, end: () => void) => void;
      /** Called once, when nobody reads any more. */
      readonly stop: () => void;
    }
  | {
      readonly kind: "problem";
      readonly status: ProblemStatus;
      readonly detail: string;
      /** Everything that is wrong with settings, for 422. */
      readonly complaints?: readonly Complaint[];
      /** Methods that the path takes, for 405. */
      readonly allow?: string;
      /** How to prove who asks, for 401. */
      readonly challenge?: string;
    };

/** Statuses of problems, and what RFC 9110 calls them. */
const TITLES = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  417: "Expectation Failed",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
} as const;

export type ProblemStatus = keyof typeof TITLES;

export function ok(body: unknown): Answer {
  return { kind: "json", status: 200, body };
}

export function problem(status: ProblemStatus, detail: string): WholeAnswer {
  return { kind: "problem", status, detail };
}

/** What a reader of a stream may leave unread before it is given up, in bytes. */
const UNREAD_BYTES_MAX = 4 * 1024 * 1024;

/** Writes an answer; `close` also ends the connection, for a request that was not read to its end. */
export function send(response: ServerResponse, answer: Answer, close: boolean): void {
  if (answer.kind === "stream") {
    sendStream(response, answer);
    return;
  }
  const { type, text } = contentOf(answer);
  const bytes = Buffer.from(text);
  for (const [name, value] of fieldsOf(answer)) response.setHeader(name, value);
  if (close) response.setHeader("Connection", "close");
  response.writeHead(answer.status, {
    "Content-Type": type,
    "Content-Length": bytes.byteLength,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  response.end(bytes);
}

function sendStream(response: ServerResponse, { status, type, begin, stop }: Answer & { kind: "stream" }): void {
  response.writeHead(status, {
    "Content-Type": type,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    Connection: "close",
  });
  response.once("close", stop);
  if (response.req.method === "HEAD") {
    response.end();
    return;
  }
  const write = (text: string) => {
    response.write(text);
    if (response.writableLength > UNREAD_BYTES_MAX) response.destroy();
  };
  begin(write, () => response.end());
}

/** Answers that are whole when they are sent. */
type WholeAnswer = Exclude<Answer, { kind: "stream" }>;

function fieldsOf(answer: WholeAnswer): readonly (readonly [string, string])[] {
  switch (answer.kind) {
    case "json":
      return [];
    case "text":
      return [
        ...(answer.vary === undefined ? [] : ([["Vary", answer.vary]] as const)),
        ...Object.entries(answer.fields ?? {}),
      ];
    case "problem":
      return [
        ...(answer.allow === undefined ? [] : ([["Allow", answer.allow]] as const)),
        ...(answer.challenge === undefined ? [] : ([["WWW-Authenticate", answer.challenge]] as const)),
      ];
  }
}

/** A whole answer for a connection that the server of Node.js has given up: what it read is no request. */
export function rawProblem(status: ProblemStatus, detail: string): string {
  const { type, text } = contentOf(problem(status, detail));
  const fields = [`Content-Type: ${type}`, `Content-Length: ${Buffer.byteLength(text)}`, "Connection: close"];
  return `HTTP/1.1 ${status} ${TITLES[status]}\r\n${fields.join("\r\n")}\r\n\r\n${text}`;
}

function contentOf(answer: WholeAnswer): { readonly type: string; readonly text: string } {
  switch (answer.kind) {
    case "text":
      return { type: answer.type, text: answer.body };
    case "json":
      return { type: "application/json", text: `${JSON.stringify(answer.body)}\n` };
    case "problem": {
      const { status, detail, complaints } = answer;
      // JSON leaves out what is not there.
      const body = { type: "about:blank", title: TITLES[status], status, detail, complaints };
      return { type: "application/problem+json", text: `${JSON.stringify(body)}\n` };
    }
  }
}
