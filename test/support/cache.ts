/** Scenes with a cache: routes that store, origins that say how long, and what the proxy tells of each answer. */
import { serve } from "./behaviours.js";
import type { RawClient } from "./client.js";
import type { Answer, Fields, Request } from "./message.js";
import type { OriginConnection, Script } from "./origin.js";
import type { Scene, SceneOptions, SettingsOverlay } from "./scene.js";
import { pause } from "./wire.js";

/** `routes[].cache`, as it may be written. */
export type CacheUse = NonNullable<NonNullable<SettingsOverlay["routes"]>[number]["cache"]>;

/** A scene with one route that caches. */
export function caching(origin: Script, cache: CacheUse = true, more: SettingsOverlay = {}): SceneOptions {
  return { origin, settings: { ...more, routes: [{ forwardTo: "app", cache }] as never } };
}

/** An answer that says how long it is fresh, and everything else about itself; 200 by length unless `status` says otherwise. */
export function fresh(body: string | Buffer, seconds = 60, ...fields: string[]): Buffer {
  return stating(`Cache-Control: max-age=${seconds}`, body, ...fields);
}

/** An answer with this Cache-Control line, or whatever line it is. */
export function stating(line: string, body: string | Buffer, ...fields: string[]): Buffer {
  const bytes = typeof body === "string" ? Buffer.from(body, "latin1") : body;
  const head = ["HTTP/1.1 200 OK", line, `Content-Length: ${bytes.length}`, ...fields];
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"), bytes]);
}

/** An origin that numbers its answers: the body is the method, the target, and how many came before for this target. */
export function counting(
  says: (asked: Request, count: number) => Buffer | Promise<Buffer> = (asked, count) =>
    fresh(`${asked.target} ${count}`),
): Script {
  const counts = new Map<string, number>();
  return serve(async (asked, connection) => {
    const count = (counts.get(asked.target) ?? 0) + 1;
    counts.set(asked.target, count);
    await send(connection, asked, await says(asked, count));
  });
}

/** Sends an answer; to HEAD its head alone. */
async function send(connection: OriginConnection, asked: Request, answer: Buffer): Promise<void> {
  const end = answer.indexOf("\r\n\r\n") + 4;
  await connection.send(asked.method === "HEAD" ? answer.subarray(0, end) : answer);
}

/** What Cache-Status tells of an answer, without our name and without how long it stays fresh: `hit; detail=fresh`. */
export function told(answer: { readonly fields: Fields }): string {
  const value = answer.fields.one("cache-status") ?? "";
  return value.replace(/^millrace; /, "").replace(/ ?ttl=-?\d+;/, "");
}

/** The `ttl` of Cache-Status. */
export function ttl(answer: { readonly fields: Fields }): number | undefined {
  const found = /; ttl=(-?\d+)/.exec(answer.fields.one("cache-status") ?? "")?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Whether an answer came out of the cache. */
export const isHit = (answer: { readonly fields: Fields }): boolean => told(answer).startsWith("hit");

/** Asks and tells the body as text. */
export async function textOf(client: RawClient, line: string, ...fields: string[]): Promise<string> {
  return (await client.ask(line, ...fields)).body.toString("latin1");
}

/** Asks for the same until it is answered out of the cache: what is stored behind a transfer is there a moment later. */
export async function untilHit(client: RawClient, line: string, ...fields: string[]): Promise<Answer> {
  for (let round = 0; ; round += 1) {
    const answer = await client.ask(line, ...fields);
    if (isHit(answer) || round === 50) return answer;
    await pause(10);
  }
}

/** How often the origin was asked for a target. */
export function asked(scene: Scene, target: string): number {
  return scene.origin.requests.filter((request) => request.target === target).length;
}
