/**
 * Mixed load on a cache: clients that ask for what they like, an origin that fails in its own ways, and purges meanwhile.
 * Every body says what it is, which version and in which language, so that nothing wrong, old, torn or somebody else's
 * goes unseen; and after a hard purge no version may be seen that was made before it.
 */
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { SettingsInput } from "../../src/index.js";

/** What a run saw. */
export interface MixSeen {
  requests: number;
  hits: number;
  /** Answers of 5xx, and transfers that were cut: the origin's doing. */
  faults: number;
  purges: number;
  readonly wrong: string[];
}

const SIZES = [90, 3_000, 60_000, 300_000, 1_500_000];
const LANGUAGES = ["en", "de"] as const;
/** Paths that are asked for; few are asked for often. */
const PATHS = 400;
const CLIENTS = 24;

/** One resource at the origin. */
interface Resource {
  version: number;
}

const languageOf = (number: number, language: string): string => (number % 3 === 0 ? language : "any");

function bodyOf(number: number, version: number, language: string): Buffer {
  const head = `${number}:${version}:${languageOf(number, language)}:`;
  const size = SIZES[number % SIZES.length] ?? 90;
  return Buffer.from(head + String.fromCharCode(97 + (version % 26)).repeat(size - head.length), "latin1");
}

/** The origin: keeps a version of each resource, which every fetch that brings content makes anew. */
export class MixOrigin {
  readonly resources = Array.from({ length: PATHS }, (): Resource => ({ version: 0 }));
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((asks, answer) => this.#answer(asks, answer));
    this.#server.keepAliveTimeout = 60_000;
  }

  static async start(): Promise<MixOrigin> {
    const origin = new MixOrigin();
    await new Promise<void>((resolve) => origin.#server.listen(0, "127.0.0.1", resolve));
    return origin;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #answer(asks: IncomingMessage, answer: ServerResponse): void {
    const number = Number(asks.url?.slice(3));
    const resource = this.resources[number];
    const luck = Math.random();
    if (resource === undefined || luck < 0.04) {
      answer.writeHead(503).end("not now");
      return;
    }
    const tag = `"${number}-${resource.version}"`;
    const fields = {
      "cache-control": number % 11 === 0 ? "no-store" : `max-age=${number % 4}, stale-while-revalidate=${number % 3}`,
      "surrogate-key": `tag${number % 20}`,
      ...(number % 3 === 0 ? { vary: "accept-language" } : {}),
    };
    if (asks.headers["if-none-match"] === tag && luck < 0.5) {
      answer.writeHead(304, { ...fields, etag: tag }).end();
      return;
    }
    resource.version += 1;
    const body = bodyOf(number, resource.version, asks.headers["accept-language"] ?? "");
    const length = number % 2 === 0 ? { "content-length": body.length } : {};
    answer.writeHead(200, { ...fields, ...length, etag: `"${number}-${resource.version}"` });
    if (luck > 0.97) {
      answer.write(body.subarray(0, body.length >> 1), () => answer.destroy());
    } else if (luck > 0.9) {
      answer.write(body.subarray(0, body.length >> 1));
      setTimeout(() => answer.end(body.subarray(body.length >> 1)), 150);
    } else {
      answer.end(body);
    }
  }
}

/** The proxy that is loaded; its memory holds a part of what is asked for. */
export function mixSettings(origin: MixOrigin, storeFolder: string): SettingsInput {
  return {
    workers: 2,
    listeners: ["127.0.0.1:0"],
    admin: { address: "127.0.0.1:0" },
    origins: { app: { targets: `http://127.0.0.1:${origin.port}` } },
    cache: {
      memoryBytes: 32 * 1024 * 1024,
      store: { folder: storeFolder, bytes: 256 * 1024 * 1024 },
    },
    routes: [{ forwardTo: "app", retry: false, cache: true }],
  } as SettingsInput;
}

/** Loads a proxy for so long. `purge` makes what this path says hard-purged before it returns. */
export async function loadMixed(
  port: number,
  origin: MixOrigin,
  seconds: number,
  purge: (body: Readonly<Record<string, unknown>>) => Promise<void>,
): Promise<MixSeen> {
  const seen: MixSeen = { requests: 0, hits: 0, faults: 0, purges: 0, wrong: [] };
  /** By path: no version up to this one may be seen in answers to requests that are sent from now on. */
  const floors = new Array<number>(PATHS).fill(0);
  const end = performance.now() + seconds * 1_000;
  const agent = new Agent({ keepAlive: true });

  const client = async (): Promise<void> => {
    while (performance.now() < end && seen.wrong.length < 20) {
      const number = Math.floor(PATHS * Math.random() ** 3);
      const language = LANGUAGES[Math.random() < 0.5 ? 0 : 1];
      const floor = floors[number] ?? 0;
      const got = await ask(port, agent, `/r/${number}`, { "accept-language": language, host: "mix.example" });
      seen.requests += 1;
      judge(seen, got, { number, language, floor });
    }
  };
  const purger = async (): Promise<void> => {
    for (let round = 0; performance.now() < end; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const number = Math.floor(PATHS * Math.random() ** 3);
      const before = origin.resources[number]?.version ?? 0;
      const kind = round % 20;
      if (kind === 19) await purge({ tag: `tag${round % 20}`, soft: true });
      else if (kind === 18) await purge({ prefix: "http://mix.example/r/39" });
      else {
        await purge({ url: `http://mix.example/r/${number}` });
        floors[number] = before;
      }
      seen.purges += 1;
    }
  };
  await Promise.all([...Array.from({ length: CLIENTS }, client), purger()]);
  agent.destroy();
  return seen;
}

interface Got {
  readonly status: number;
  readonly hit: boolean;
  readonly body: Buffer;
  /** It ended before its end. */
  readonly cut: boolean;
}

function ask(port: number, agent: Agent, path: string, headers: Readonly<Record<string, string>>): Promise<Got> {
  return new Promise((resolve) => {
    const cut = (): void => resolve({ status: 0, hit: false, body: Buffer.alloc(0), cut: true });
    const sent = request({ port, host: "127.0.0.1", path, agent, headers }, (answer) => {
      const pieces: Buffer[] = [];
      const hit = (answer.headers["cache-status"] ?? "").includes("; hit");
      answer.on("data", (piece: Buffer) => pieces.push(piece));
      answer.on("end", () =>
        resolve({ status: answer.statusCode ?? 0, hit, body: Buffer.concat(pieces), cut: !answer.complete }),
      );
      answer.on("error", cut);
    });
    sent.on("error", cut).end();
  });
}

function judge(
  seen: MixSeen,
  got: Got,
  asked: { readonly number: number; readonly language: string; readonly floor: number },
): void {
  if (got.cut || got.status >= 500) {
    seen.faults += 1;
    return;
  }
  if (got.hit) seen.hits += 1;
  const text = got.body.subarray(0, 40).toString("latin1");
  const [number, version, language] = text.split(":");
  const whole = bodyOf(asked.number, Number(version), asked.language);
  if (got.status !== 200 || Number(number) !== asked.number || !got.body.equals(whole)) {
    seen.wrong.push(`/r/${asked.number} ${asked.language}: ${got.status}, ${got.body.length} bytes, "${text}"`);
  } else if (Number(version) <= asked.floor) {
    seen.wrong.push(`/r/${asked.number}: version ${version} (${language}) after a purge of all up to ${asked.floor}`);
  }
}
