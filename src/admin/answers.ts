/**
 * How the admin API answers: JSON, and problem documents (RFC 9457) for everything that is refused.
 */
import type { ServerResponse } from "node:http";

/** What a request comes to. */
export type Answer =
  | { readonly kind: "json"; readonly status: number; readonly body: unknown }
  /** Which of several types it is was chosen by Accept. */
  | { readonly kind: "text"; readonly status: number; readonly type: string; readonly body: string }
  | {
      readonly kind: "problem";
      readonly status: ProblemStatus;
      readonly detail: string;
      /** Methods that the path takes, for 405. */
      readonly allow?: string;
    };

/** Statuses of problems, and what RFC 9110 calls them. */
const TITLES = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  421: "Misdirected Request",
  500: "Internal Server Error",
  503: "Service Unavailable",
} as const;

export type ProblemStatus = keyof typeof TITLES;

export function ok(body: unknown): Answer {
  return { kind: "json", status: 200, body };
}

export function problem(status: ProblemStatus, detail: string): Answer {
  return { kind: "problem", status, detail };
}

/** Writes an answer; `close` also ends the connection, for a request that was not read to its end. */
export function send(response: ServerResponse, answer: Answer, close: boolean): void {
  const { type, text } = contentOf(answer);
  const bytes = Buffer.from(text);
  if (answer.kind === "problem" && answer.allow !== undefined) response.setHeader("Allow", answer.allow);
  if (answer.kind === "text") response.setHeader("Vary", "Accept");
  if (close) response.setHeader("Connection", "close");
  response.writeHead(answer.status, {
    "Content-Type": type,
    "Content-Length": bytes.byteLength,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  response.end(bytes);
}

function contentOf(answer: Answer): { readonly type: string; readonly text: string } {
  switch (answer.kind) {
    case "text":
      return { type: answer.type, text: answer.body };
    case "json":
      return { type: "application/json", text: `${JSON.stringify(answer.body)}\n` };
    case "problem": {
      const { status, detail } = answer;
      const body = { type: "about:blank", title: TITLES[status], status, detail };
      return { type: "application/problem+json", text: `${JSON.stringify(body)}\n` };
    }
  }
}
