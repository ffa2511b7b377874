/**
 * The programs that are measured, and how each is started: the floor relay, HAProxy, nginx, a relay on uWebSockets.js, and
 * Millrace, whose headline figures are those of its defaults; with nothing and with everything that looks after its origin
 * it takes part in the plain forward only. Each listens on a loopback port and forwards to one origin. Its settings must be those its own manual would
 * choose for this work: connections kept on both sides, no logs, one thread or process per worker.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { findProgram, type Placement, PROJECT_ROOT } from "./machine.js";
import type { CandidateName, WorkName } from "./options.js";
import { family, type Running, start, stop, untilListening } from "./processes.js";

/** Run-time files: compiled programs, filled-in settings, the peers' own working folders. Not under version control. */
export const RUN_FOLDER = join(PROJECT_ROOT, "bench", "load", "run");
const OPEN_FILES = 65_536;
const CONNECTIONS_MAX = 12_000;
const PORT_FIRST = 21_000;
const PORT_LAST = 29_999;

/** What a candidate is started with. */
export interface Setting {
  readonly workers: number;
  readonly originPort: number;
  readonly cpus: readonly number[];
  /** PEM file of certificate and key: it is to speak TLS to clients. Absent = plain. */
  readonly identity?: string;
  /** It is to keep answers for an hour, whatever the origin says. */
  readonly caching?: boolean;
}

/** A candidate that runs and listens. */
export interface Serving {
  readonly name: CandidateName;
  readonly port: number;
  /** Where Millrace answers questions about itself. */
  readonly adminPort?: number;
  /** All its processes, now. */
  pids(): number[];
  stop(): Promise<void>;
}

export interface Candidate {
  readonly name: CandidateName;
  readonly title: string;
  /** The works it takes part in; absent = all. */
  readonly works?: readonly WorkName[];
  readonly speaksTls?: boolean;
  /** Works with a cache that it takes part in. */
  readonly caches?: readonly ("same" | "unique")[];
  /** Why it cannot take part here, or undefined when it can. */
  missing(): Promise<string | undefined>;
  begin(setting: Setting): Promise<Serving>;
}

let portNext = PORT_FIRST + (process.pid % 4_000);

/** A loopback port nobody listens on; below the ephemeral range, so that no outgoing connection takes it. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = portNext++;
    if (portNext > PORT_LAST) portNext = PORT_FIRST;
    const taken = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (!taken) return port;
  }
}

/** The path of a compiled program of bench/floor. */
export function floorProgram(name: string): string {
  return join(RUN_FOLDER, name);
}

/** CPUs for a proxy of that many workers. */
export function proxyCpus(place: Placement, workers: number): readonly number[] {
  return place.proxy.slice(0, workers);
}

async function serving(name: CandidateName, self: Running, port: number, adminPort?: number): Promise<Serving> {
  try {
    await untilListening(self, port);
    if (adminPort !== undefined) await untilListening(self, adminPort);
  } catch (error) {
    await stop(self);
    throw error;
  }
  return {
    name,
    port,
    ...(adminPort === undefined ? {} : { adminPort }),
    pids: () => family(self.pid),
    stop: () => stop(self),
  };
}

/** Fills in a settings file of peers/ and returns its path in a new folder of the run. */
function fillIn(file: string, values: Readonly<Record<string, string | number>>): { folder: string; path: string } {
  const folder = join(RUN_FOLDER, `${file}-${values["PORT"]}`);
  mkdirSync(folder, { recursive: true });
  const text = readFileSync(join(PROJECT_ROOT, "bench", "load", "peers", file), "utf8");
  const filled = text.replace(/\{\{([A-Z_]+)\}\}/g, (_, word: string) => {
    const value = values[word];
    if (value === undefined) throw new Error(`peers/${file}: nothing to fill in for ${word}`);
    return String(value);
  });
  const path = join(folder, file);
  writeFileSync(path, filled);
  return { folder, path };
}

const floor: Candidate = {
  name: "floor",
  title: "floor (bare epoll relay)",
  caches: ["same"],
  async missing() {
    return undefined;
  },
  async begin({ originPort, cpus, caching }) {
    const port = await freePort();
    if (caching) {
      // What answers from memory is what a hit costs the kernel.
      const self = start("floor", floorProgram("origin"), [String(port)], {
        cpus: cpus.slice(0, 1),
        files: OPEN_FILES,
      });
      return serving("floor", self, port);
    }
    // The floor has no workers: one thread is what the kernel needs for the bytes, however many a proxy uses.
    const self = start("floor", floorProgram("relay"), [String(port), String(originPort)], {
      cpus: cpus.slice(0, 1),
      files: OPEN_FILES,
    });
    return serving("floor", self, port);
  },
};

const haproxy: Candidate = {
  name: "haproxy",
  title: "HAProxy",
  speaksTls: true,
  async missing() {
    return findProgram("haproxy") ? undefined : "haproxy is not installed";
  },
  async begin({ workers, originPort, cpus, identity }) {
    const port = await freePort();
    const values = {
      PORT: port,
      ORIGIN_PORT: originPort,
      WORKERS: workers,
      CONNECTIONS: CONNECTIONS_MAX,
      TLS: identity === undefined ? "" : ` ssl crt ${identity} alpn h2,http/1.1`,
    };
    const { folder, path } = fillIn("haproxy.cfg", values);
    const program = findProgram("haproxy") ?? "haproxy";
    return serving(
      "haproxy",
      start("haproxy", program, ["-db", "-f", path], { cpus, folder, files: OPEN_FILES }),
      port,
    );
  },
};

/** As nginx's own page about HTTPS has it: kept connections, a cache of sessions that workers share. */
function nginxTls(identity: string): string {
  const rules = [
    `ssl_certificate ${identity}`,
    `ssl_certificate_key ${identity}`,
    "ssl_protocols TLSv1.2 TLSv1.3",
    "ssl_session_cache shared:SSL:10m",
    "ssl_session_timeout 10m",
  ];
  return rules.map((rule) => `${rule};`).join("\n    ");
}

/** As nginx's own page about its cache has it; the folder is the one it is started in. */
const NGINX_CACHE =
  "proxy_cache_path cache levels=1:2 keys_zone=answers:64m max_size=4g inactive=60m use_temp_path=off;\n  open_file_cache max=10000;";
const NGINX_CACHE_RULES = ["proxy_cache answers", "proxy_cache_valid 200 1h"]
  .map((rule) => `${rule};`)
  .join("\n      ");

const nginx: Candidate = {
  name: "nginx",
  title: "nginx",
  speaksTls: true,
  caches: ["same", "unique"],
  async missing() {
    return findProgram("nginx") ? undefined : "nginx is not installed";
  },
  async begin({ workers, originPort, cpus, identity, caching }) {
    const port = await freePort();
    const values = {
      PORT: port,
      ORIGIN_PORT: originPort,
      WORKERS: workers,
      CONNECTIONS: CONNECTIONS_MAX,
      CACHE: caching ? NGINX_CACHE : "",
      CACHE_RULES: caching ? NGINX_CACHE_RULES : "",
      TLS: identity === undefined ? "" : " ssl http2",
      TLS_RULES: identity === undefined ? "" : nginxTls(identity),
      FILES: CONNECTIONS_MAX + 1_000,
      USER: userInfo().username,
    };
    const { folder, path } = fillIn("nginx.conf", values);
    const args = ["-p", folder, "-c", path, "-e", join(folder, "error.log")];
    const program = findProgram("nginx") ?? "nginx";
    return serving("nginx", start("nginx", program, args, { cpus, folder, files: OPEN_FILES }), port);
  },
};

const uws: Candidate = {
  name: "uws",
  title: "uWebSockets.js relay",
  async missing() {
    const name = "uWebSockets.js";
    try {
      await import(name);
      return undefined;
    } catch {
      return "uWebSockets.js cannot be imported (it is not on the npm registry)";
    }
  },
  async begin({ originPort, cpus }) {
    const port = await freePort();
    const program = join(PROJECT_ROOT, "dist", "bench", "load", "peers", "uws-relay.js");
    const args = [program, String(port), String(originPort)];
    const self = start("uws", process.execPath, args, { cpus: cpus.slice(0, 1), files: OPEN_FILES });
    return serving("uws", self, port);
  },
};

const MILLRACE = join(PROJECT_ROOT, "dist", "src", "cli", "main.js");

/** Why Millrace cannot take part, in any of its settings. */
async function missingMillrace(): Promise<string | undefined> {
  return existsSync(MILLRACE) ? undefined : "Millrace is not built (npm run build)";
}

const millrace: Candidate = {
  name: "millrace",
  title: "Millrace",
  speaksTls: true,
  caches: ["same", "unique"],
  missing: missingMillrace,
  async begin({ workers, originPort, cpus, identity, caching }) {
    const [port, adminPort] = [await freePort(), await freePort()];
    const args = ["--listen", `127.0.0.1:${port}`, "--to", `http://127.0.0.1:${originPort}`];
    if (identity !== undefined) {
      const values = { PORT: port, ORIGIN_PORT: originPort, IDENTITY: identity };
      args.splice(0, args.length, "--config", fillIn("millrace-tls.yaml", values).path);
    }
    if (caching) {
      const { folder, path } = fillIn("millrace-cache.yaml", {
        PORT: port,
        ORIGIN_PORT: originPort,
        STORE: RUN_FOLDER,
      });
      args.splice(0, args.length, "--config", path);
      mkdirSync(folder, { recursive: true });
    }
    args.push("--workers", String(workers), "--admin", `127.0.0.1:${adminPort}`);
    const self = start("millrace", process.execPath, [MILLRACE, "run", ...args], { cpus, files: OPEN_FILES });
    return serving("millrace", self, port, adminPort);
  },
};

/** Millrace by a file of peers/, at the plain forward. */
function millraceBy(name: "bare" | "guarded" | "caching", title: string): Candidate {
  return {
    name,
    title,
    works: ["forward"],
    missing: missingMillrace,
    async begin({ workers, originPort, cpus }) {
      const [port, adminPort] = [await freePort(), name === "guarded" ? await freePort() : undefined];
      const { path } = fillIn(`millrace-${name}.yaml`, { PORT: port, ORIGIN_PORT: originPort });
      const args = [MILLRACE, "run", "--config", path, "--workers", String(workers)];
      if (adminPort !== undefined) args.push("--admin", `127.0.0.1:${adminPort}`);
      return serving(name, start(name, process.execPath, args, { cpus, files: OPEN_FILES }), port, adminPort);
    },
  };
}

const bare = millraceBy("bare", "Millrace, bare");
const guarded = millraceBy("guarded", "Millrace, guarded");

const caching = millraceBy("caching", "Millrace, caching route");

/** In the order of a round. */
export const CANDIDATES: readonly Candidate[] = [floor, haproxy, nginx, uws, millrace, bare, guarded, caching];
