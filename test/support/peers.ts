/**
 * Other programs a test may need: finds them on the PATH, starts them on spare ports with a configuration written for
 * the occasion, and stops exactly what it started.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PATIENCE_MS, pause, WireError } from "./wire.js";

/** Where a program is, or undefined. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/local/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** For `skip:` of a test: false when the program is there, else the reason. */
export function missing(name: string): string | false {
  return findProgram(name) === undefined ? `${name} is not installed` : false;
}

/** A port nobody listens on at this moment. */
export async function sparePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string") throw new WireError("no spare port");
  return address.port;
}

/** Waits until something accepts connections on a port. */
export async function listening(port: number, ms = PATIENCE_MS): Promise<void> {
  const due = Date.now() + ms;
  for (;;) {
    const there = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (there) return;
    if (Date.now() > due) throw new WireError(`nothing listens on port ${port}`);
    await pause(20);
  }
}

/** A program that runs until it is stopped; `folder` holds its files and goes with it. */
export class Peer {
  readonly port: number;
  readonly folder: string;
  readonly #child: ChildProcess;

  private constructor(port: number, folder: string, child: ChildProcess) {
    this.port = port;
    this.folder = folder;
    this.#child = child;
  }

  /** Starts nginx with these lines inside its `server` block, and `http` lines before it; with `ssl`, it speaks TLS. */
  static async nginx(server: string, http = "", { ssl = false, http2 = false } = {}): Promise<Peer> {
    const port = await sparePort();
    const folder = mkdtempSync(join(tmpdir(), "millrace-nginx-"));
    chmodSync(folder, 0o755); // started by root, nginx serves as somebody else
    const config = `daemon off; worker_processes 1; error_log ${folder}/error.log; pid ${folder}/pid; events { worker_connections 1024; }
http { access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
${http}
server { listen 127.0.0.1:${port}${ssl ? " ssl" : ""}${http2 ? " http2" : ""}; ${server} } }\n`;
    writeFileSync(join(folder, "nginx.conf"), config);
    return Peer.#start("nginx", ["-p", folder, "-c", join(folder, "nginx.conf")], port, folder);
  }

  /** Starts `openssl s_server`, which judges certificates itself and says by alert what it thinks of them. */
  static async openssl(args: readonly string[]): Promise<Peer> {
    const port = await sparePort();
    const folder = mkdtempSync(join(tmpdir(), "millrace-openssl-"));
    return Peer.#start("openssl", ["s_server", "-accept", `127.0.0.1:${port}`, "-www", ...args], port, folder);
  }

  /** Starts haproxy in front of a port. */
  static async haproxy(originPort: number, timeoutMs: number): Promise<Peer> {
    const port = await sparePort();
    const folder = mkdtempSync(join(tmpdir(), "millrace-haproxy-"));
    const config = `global
  nbthread 1
defaults
  mode http
  option http-keep-alive
  timeout connect 1s
  timeout client ${timeoutMs}ms
  timeout server ${timeoutMs + 500}ms
  timeout http-request ${timeoutMs}ms
  timeout http-keep-alive ${timeoutMs}ms
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  http-reuse always
  server s 127.0.0.1:${originPort}
`;
    writeFileSync(join(folder, "haproxy.cfg"), config);
    return Peer.#start("haproxy", ["-f", join(folder, "haproxy.cfg"), "-db"], port, folder);
  }

  static async #start(name: string, args: readonly string[], port: number, folder: string): Promise<Peer> {
    const path = findProgram(name);
    if (path === undefined) throw new WireError(`${name} is not installed`);
    const child = spawn(path, args, { stdio: "ignore" });
    const peer = new Peer(port, folder, child);
    try {
      await listening(port);
    } catch (error) {
      await peer.stop();
      throw error;
    }
    return peer;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
      this.#child.kill("SIGTERM");
      await Promise.race([gone, pause(3_000)]);
      if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill("SIGKILL");
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs a program to its end. */
export function run(
  name: string,
  args: readonly string[],
  timeoutMs = 60_000,
): { readonly code: number | null; readonly out: string; readonly err: string } {
  const done = spawnSync(findProgram(name) ?? name, args, {
    encoding: "latin1",
    timeout: timeoutMs,
    maxBuffer: 64 << 20,
  });
  return { code: done.status, out: done.stdout, err: done.stderr };
}
