/**
 * Canned behaviours of the scripted origin. `serve(handler)` is the loop all of them share: read a request whole, let
 * the handler answer, and close when the request or the answer asked for it.
 */
import { createHash } from "node:crypto";
import type { Request } from "./message.js";
import type { Handler, OriginConnection, Script } from "./origin.js";
import { type Bytes, pause, toBytes } from "./wire.js";

/** What the echo origin answers: what it received, so that the client's side can be compared with it. */
export interface Echo {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
  readonly framing: string;
  readonly trailers: readonly (readonly [string, string])[];
  readonly connection: number;
  readonly digest: string;
}

/** Writes an answer with a Content-Length. */
export function reply(status: number, body: Bytes = "", ...fields: string[]): Buffer {
  const bytes = toBytes(body);
  const lines = [`HTTP/1.1 ${status} ${status === 200 ? "OK" : "Some"}`, `Content-Length: ${bytes.length}`, ...fields];
  return Buffer.concat([toBytes(`${lines.join("\r\n")}\r\n\r\n`), bytes]);
}

/** Waits for a request without a time limit: between two requests a pooled connection may rest for long. */
async function awaitRequest(connection: OriginConnection): Promise<Request | undefined> {
  const there = await connection.wire.until(
    "a request",
    (unread, ending) => (unread.length > 0 ? true : ending === "open" ? undefined : false),
    3_600_000,
  );
  return there ? connection.request(60_000) : undefined;
}

/** One request after the other, as a plain server does it. */
export function serve(handler: Handler): Script {
  return async (connection) => {
    for (;;) {
      const request = await awaitRequest(connection);
      if (request === undefined) break;
      await handler(request, connection);
      if (connection.wire.socket.destroyed || connection.wire.socket.writableEnded) return;
      const asked = request.fields.all("connection").join(",").toLowerCase();
      if (asked.includes("close")) break;
    }
    await connection.close();
  };
}

/** What was received, as an `Echo`. */
export function describe(request: Request, connection: OriginConnection): Echo {
  return {
    method: request.method,
    target: request.target,
    version: request.version,
    fields: request.fields.lines.map((line) => [line.name, line.value] as const),
    body: request.body.length <= 4_096 ? request.body.toString("latin1") : "",
    framing: request.framing,
    trailers: request.trailers.lines.map((line) => [line.name, line.value] as const),
    connection: connection.id,
    digest: createHash("sha256").update(request.body).digest("hex"),
  };
}

/** Answers every request with what was received, as JSON. */
export function echo(): Script {
  return serve((request, connection) => {
    const body = request.method === "HEAD" ? "" : JSON.stringify(describe(request, connection));
    return connection.send(reply(200, body, "Content-Type: application/json"));
  });
}

/** Reads the JSON the echo origin answered. */
export function echoed(answer: { readonly body: Buffer }): Echo {
  return JSON.parse(answer.body.toString("utf8")) as Echo;
}

/** Answers every request with the same body. */
export function fixed(body: Bytes, ...fields: string[]): Script {
  const bytes = reply(200, body, ...fields);
  return serve((_, connection) => connection.send(bytes));
}

/** Answers every request with exactly these bytes. */
export function verbatim(...bytes: Bytes[]): Script {
  return serve((_, connection) => connection.send(...bytes));
}

/** Answers with exactly these bytes and then closes: for close-delimited, truncated and one-shot answers. */
export function verbatimAndClose(...bytes: Bytes[]): Script {
  return serve(async (_, connection) => {
    await connection.send(...bytes);
    await connection.close();
  });
}

/** Answers with exactly these bytes and then resets, after a moment in which the bytes can be read. */
export function verbatimAndReset(...bytes: Bytes[]): Script {
  return serve(async (_, connection) => {
    await connection.send(...bytes);
    await pause(30);
    await connection.reset();
  });
}

/** Answers with these pieces, `gapMs` apart. */
export function slowly(pieces: readonly Bytes[], gapMs: number): Script {
  return serve(async (_, connection) => {
    for (const piece of pieces) {
      await connection.send(piece);
      await pause(gapMs);
    }
  });
}

/** Writes a chunked answer: the chunks, then the trailers. */
export function chunkedReply(chunks: readonly Bytes[], trailers: readonly string[] = [], ...fields: string[]): Buffer {
  const head = `${["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", ...fields].join("\r\n")}\r\n\r\n`;
  const body = chunks.map((data) =>
    Buffer.concat([toBytes(`${toBytes(data).length.toString(16)}\r\n`), toBytes(data), toBytes("\r\n")]),
  );
  return Buffer.concat([toBytes(head), ...body, toBytes(`0\r\n${trailers.map((line) => `${line}\r\n`).join("")}\r\n`)]);
}

/** Answers each path with the script of that name; anything else is a 404. */
export function byPath(handlers: Readonly<Record<string, Handler>>): Script {
  return serve((request, connection) => {
    const path = request.target.split("?")[0] ?? "";
    const handler = handlers[path];
    return handler === undefined ? connection.send(reply(404, `no ${path}`)) : handler(request, connection);
  });
}
