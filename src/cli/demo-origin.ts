/**
 * The demo origin: a small HTTP server of our own on a free loopback port, so that `npm start` has something to show.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** One thing to try. */
export interface Example {
  /** A command line, given where the proxy listens. */
  readonly command: (base: string) => string;
  readonly says: string;
}

/** A running demo origin. */
export interface DemoOrigin {
  readonly url: string;
  readonly examples: readonly Example[];
  readonly close: () => Promise<void>;
}

/** How long /slow waits before it answers, in ms. */
const SLOW_MS = 2000;
/** Pieces /stream sends, and the time between two of them in ms. */
const STREAM_PIECES = 10;
const STREAM_EVERY_MS = 300;

const EXAMPLES: readonly Example[] = [
  { command: (base) => `curl ${base}/hello`, says: "a short answer" },
  { command: (base) => `curl ${base}/headers`, says: "what the origin sees: Via, X-Forwarded-*" },
  { command: (base) => `curl -d 'some text' ${base}/echo`, says: "your own bytes, streamed back" },
  { command: (base) => `curl -N ${base}/stream`, says: `${STREAM_PIECES} pieces, one every ${STREAM_EVERY_MS} ms` },
  { command: (base) => `curl ${base}/slow`, says: `an origin that thinks for ${SLOW_MS / 1000} s` },
];

/** Starts the demo origin on a free port of 127.0.0.1. */
export async function startDemoOrigin(): Promise<DemoOrigin> {
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, examples: EXAMPLES, close: () => close(server) };
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  switch ((request.url ?? "/").split("?")[0]) {
    case "/":
      send(response, 200, "text/html; charset=utf-8", page());
      return;
    case "/hello":
      send(response, 200, "text/plain; charset=utf-8", "Hello from behind Millrace.\n");
      return;
    case "/headers":
      send(response, 200, "application/json", `${JSON.stringify(request.headers, null, 2)}\n`);
      return;
    case "/echo":
      response.writeHead(200, { "Content-Type": request.headers["content-type"] ?? "application/octet-stream" });
      request.pipe(response);
      return;
    case "/slow":
      await sleep(SLOW_MS);
      send(response, 200, "text/plain; charset=utf-8", `That took ${SLOW_MS} ms.\n`);
      return;
    case "/stream":
      await stream(response);
      return;
    default:
      send(
        response,
        404,
        "text/plain; charset=utf-8",
        "The demo origin has /hello, /headers, /echo, /slow and /stream.\n",
      );
  }
}

async function stream(response: ServerResponse): Promise<void> {
  response.writeHead(200, { "Content-Type": "text/plain; charset=utf-8" });
  for (let piece = 1; piece <= STREAM_PIECES && !response.destroyed; piece++) {
    response.write(`piece ${piece} of ${STREAM_PIECES}\n`);
    await sleep(STREAM_EVERY_MS);
  }
  response.end();
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

function page(): string {
  const links = ["hello", "headers", "stream", "slow"].map((name) => `<li><a href="/${name}">/${name}</a></li>`);
  return `<!doctype html>
<meta charset="utf-8"><title>Millrace</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:40rem;padding:0 1rem}</style>
<h1>It works</h1>
<p>This page came from the demo origin through Millrace.</p>
<ul>${links.join("")}</ul>
`;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
