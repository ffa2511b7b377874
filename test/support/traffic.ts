/** Plain traffic through a scene: one after the other, many at once, and onto a worker of one's choice. */
import { strict as assert } from "node:assert";
import type { Millrace } from "../../src/index.js";
import { echoed } from "./behaviours.js";
import type { RawClient } from "./client.js";
import type { Scene } from "./scene.js";
import { WireError } from "./wire.js";

/** `count` client connections. */
export async function clientsOf(scene: Scene, count: number, record = true): Promise<RawClient[]> {
  return Promise.all(Array.from({ length: count }, () => scene.client({ record })));
}

/** `count` requests one after the other, over the given connections in turn; each must be a 200. */
export async function inTurn(clients: readonly RawClient[], count: number, line = "GET /a"): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    const answer = await clients[n % clients.length]?.ask(line);
    assert.equal(answer?.status, 200);
  }
}

/** `each` requests on every connection, all connections at once; each must be a 200. */
export async function atOnce(clients: readonly RawClient[], each: number, line = "GET /a"): Promise<void> {
  await Promise.all(clients.map((client) => inTurn([client], each, line)));
}

/** The share of requests that travelled over a connection used before. */
export async function reuseOf(scene: Scene): Promise<number> {
  const { counters } = (await scene.proxy.stats()).all;
  assert.ok(counters.origin_requests > 0);
  return counters.origin_requests_reused / counters.origin_requests;
}

/** The origin connection that took a request, asked of an origin that says so. */
export async function connectionOf(client: RawClient, line = "GET /a", ...fields: string[]): Promise<number> {
  const answer = await client.ask(line, ...fields);
  assert.equal(answer.status, 200, answer.head);
  return echoed(answer).connection;
}

/** The proxy of a scene that runs in this process. */
export function millraceOf(scene: Scene): Millrace {
  const { millrace } = scene.proxy as { readonly millrace?: Millrace };
  if (millrace === undefined) throw new WireError("the proxy runs in a process of its own");
  return millrace;
}

/** Two client connections that different workers hold; which one holds which is found by the workers' counters. */
export async function pairOnTwoWorkers(
  scene: Scene,
): Promise<{ readonly first: RawClient; readonly second: RawClient }> {
  const ofFirstWorker = async (): Promise<number> =>
    (await scene.proxy.stats()).workers[0]?.counters.client_connections_accepted ?? 0;
  const first = await scene.client();
  await scene.sees("client_connections_accepted", 1);
  const taken = await ofFirstWorker();
  for (let n = 0; n < 50; n += 1) {
    const second = await scene.client();
    await scene.sees("client_connections_accepted", n + 2);
    const now = await ofFirstWorker();
    const others = n + 2 - now;
    if (taken === 1 ? others === 1 : now === 1) return { first, second };
  }
  throw new WireError("all connections went to one worker");
}
