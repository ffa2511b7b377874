/**
 * A proxy that caches, in this process, in front of an origin that counts who asks it; with a store where a folder is given.
 */
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { createMillrace, type Millrace } from "../../src/millrace.js";

/** An answer as a client gets it. */
export interface Got {
  readonly status: number;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** What `Cache-Status` says. */
  readonly isHit: boolean;
}

export interface CachedOrigin {
  readonly port: number;
  /** The paths it was asked for. */
  readonly asked: string[];
  readonly close: () => Promise<void>;
}

/** Answers `/n/…` with n bytes that tell the path, fresh for an hour, with the query's tags. */
export async function startCachedOrigin(): Promise<CachedOrigin> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://origin");
    asked.push(request.url ?? "");
    const length = Number(pathname.split("/")[1]);
    response.setHeader("Cache-Control", "max-age=3600");
    response.setHeader("ETag", `"${pathname}"`);
    if (searchParams.has("tags")) response.setHeader("Cache-Tag", searchParams.get("tags") ?? "");
    response.end(bodyOf(request.url ?? "", length));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () =>
    new Promise<void>((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return { port: (server.address() as AddressInfo).port, asked, close };
}

/** What the origin answers a path with. */
export function bodyOf(url: string, length: number): Buffer {
  return Buffer.alloc(length, `${url} `);
}

/** A started proxy with its admin API. */
export interface CachedProxy {
  readonly millrace: Millrace;
  readonly get: (path: string) => Promise<Got>;
  /** Calls the admin API. */
  readonly admin: (method: string, path: string, body?: unknown) => Promise<Got>;
  readonly adminPort: number;
  /** Waits until the store's figures are so. */
  readonly storeIs: (holds: (figures: Readonly<Record<string, unknown>>) => boolean) => Promise<void>;
}

/** Whom clients ask for, whatever port the proxy has. */
export const HOST = "www.example.test";

const STORE_MS_MAX = 20_000;

export async function startCachedProxy(
  originPort: number,
  folder: string | null,
  store: { readonly queueBytes?: number } = {},
): Promise<CachedProxy> {
  const millrace = createMillrace({
    listeners: ["127.0.0.1:0"],
    workers: 2,
    log: { level: "fatal" },
    admin: { address: "127.0.0.1:0" },
    origins: { api: { targets: `127.0.0.1:${originPort}` } },
    routes: [{ forwardTo: "api", cache: true }],
    cache: folder === null ? {} : { store: { folder, ...store } },
  });
  const { listeners, admin } = await millrace.start();
  const adminPort = admin?.port ?? 0;
  const call: CachedProxy["admin"] = (method, path, body) => ask(adminPort, method, path, body);
  const storeIs: CachedProxy["storeIs"] = async (holds) => {
    for (const due = Date.now() + STORE_MS_MAX; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
      const { store } = JSON.parse((await call("GET", "/cache/store")).body.toString()) as {
        readonly store: Readonly<Record<string, unknown>>;
      };
      if (holds(store)) return;
      if (Date.now() > due) throw new Error(`it never came about; the store is ${JSON.stringify(store)}`);
    }
  };
  return {
    millrace,
    get: (path) => ask(listeners[0]?.port ?? 0, "GET", path, undefined, HOST),
    admin: call,
    adminPort,
    storeIs,
  };
}

function ask(port: number, method: string, path: string, body?: unknown, host?: string): Promise<Got> {
  return new Promise((resolve, reject) => {
    const named = host === undefined ? {} : { Host: host };
    const headers = body === undefined ? named : { ...named, "Content-Type": "application/json" };
    const asking = httpRequest({ host: "127.0.0.1", port, method, path, headers, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () => {
        const says = String(response.headers["cache-status"] ?? "");
        const got = { status: response.statusCode ?? 0, body: Buffer.concat(pieces), headers: response.headers };
        resolve({ ...got, isHit: /;\s*hit/.test(says) });
      });
    });
    asking.on("error", reject);
    asking.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
