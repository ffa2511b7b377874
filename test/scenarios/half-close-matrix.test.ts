/**
 * The half-close matrix: a client's FIN in every state of its exchange, under each policy of a route, on one worker and
 * over two. Origins' FINs are at the end. Rows of HTTP/2 are in http2-client-ends.test.ts;
 * those that need the cache wait for it and say so.
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { byPath, reply, serve } from "../support/behaviours.js";
import { chunk, type RawClient, request } from "../support/client.js";
import { DeafListener } from "../support/failures.js";
import type { RawOrigin, Script } from "../support/origin.js";
import { Scene, type SceneOptions, type SettingsOverlay, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

const POLICIES = ["abort", "finish", "propagate"] as const;
type Policy = (typeof POLICIES)[number];
const SLOW_MS = 300;

/** Answers late, also behind a FIN of the proxy. */
const late: Script = async (connection) => {
  for (;;) {
    const asked = await connection.request(60_000);
    await pause(SLOW_MS);
    await connection.send(reply(200, asked.target));
  }
};

/** Origins whose answers were let go. */
const released = new WeakSet<RawOrigin>();

/** Answers when it is let go, and not before. */
const held: Script = async (connection) => {
  for (;;) {
    const asked = await connection.request(60_000);
    while (!released.has(connection.origin)) await pause(2);
    await connection.send(reply(200, asked.target));
  }
};

/** One route with this policy before the origin called `app`. */
function withPolicy(halfClose: Policy, more: SettingsOverlay = {}): SettingsOverlay {
  return { routes: [{ forwardTo: "app", halfClose }], ...more };
}

/** A scenario for each policy, on one worker and on two. */
function everyPolicy(
  promise: string,
  options: Omit<SceneOptions, "settings"> & { readonly settings?: SettingsOverlay },
  play: (scene: Scene, policy: Policy) => Promise<void>,
): void {
  for (const policy of POLICIES)
    for (const workers of [1, 2])
      scenario(
        `half-close matrix, ${policy}, ${workers} worker${workers === 1 ? "" : "s"}: ${promise}`,
        { ...options, workers, settings: withPolicy(policy, options.settings) },
        (scene) => play(scene, policy),
      );
}

/** No class of failure was written against an origin. */
async function blamesNobody(scene: Scene): Promise<void> {
  assert.equal(await scene.counter("origin_failures"), 0);
  assert.equal(scene.origin.troubles.length, 0);
}

/** The client gets its answer, or was let go without a byte, as the policy says. */
async function outcome(client: RawClient, policy: Policy, body: string): Promise<void> {
  if (policy === "abort") {
    await client.seesClose();
    assert.equal(client.wire.receivedBytes, 0);
  } else {
    assert.equal((await client.answer()).body.toString(), body);
    assert.equal(await client.seesClose(), "end");
  }
}

everyPolicy("idle, nothing pending: closed in silence, no error counted", {}, async (scene) => {
  const [used, fresh] = [await scene.client(), await scene.client()];
  await used.ask("GET /a");
  for (const client of [used, fresh]) {
    await client.halfClose();
    assert.equal(await client.seesClose(), "end");
  }
  await scene.sees("client_connections_open", 0);
  assert.equal(await scene.counter("client_closes_by_client"), 2);
  assert.equal(await scene.counter("client_closes_error"), 0);
  await blamesNobody(scene);
});

everyPolicy("a partial head is no request: nothing is answered, nothing forwarded", {}, async (scene) => {
  const client = await scene.client();
  await client.send("GET /a HTTP/1.1\r\nHost: a.exa");
  await pause(20);
  await client.halfClose();
  await client.seesClose();
  assert.equal(client.wire.receivedBytes, 0, "no 400");
  assert.equal(scene.origin.receivedBytes, 0);
  await blamesNobody(scene);
});

everyPolicy("a partial body aborts upstream and blames nobody", {}, async (scene) => {
  for (const [index, framing] of ["Content-Length: 100", "Transfer-Encoding: chunked"].entries()) {
    const client = await scene.client();
    await client.send(request("POST /up", framing), index === 0 ? "some" : chunk("some"));
    await scene.origin.sees("the beginning", (o) => o.connections.at(index)?.wire.received.includes("some") === true);
    await client.halfClose();
    await client.seesClose();
    assert.equal(client.wire.receivedBytes, 0, "no 400");
    await scene.origin.connections.at(index)?.ended();
  }
  await scene.sees("exchanges_open", 0);
  assert.equal(await scene.counter("client_fault_client_gone"), 2);
  await blamesNobody(scene);
});

everyPolicy(
  "request queued: abort leaves the line, the others wait on",
  { origin: held, originSettings: { targetConnections: 1 } },
  async (scene, policy) => {
    const [first, second] = [await scene.client(), await scene.client()];
    await first.send(request("GET /first"));
    await scene.origin.sees("the first request", (o) => o.requests.length === 1);
    await second.send(request("GET /second"));
    await scene.sees("pool_queue_length", 1);
    await second.halfClose();
    if (policy === "abort") await scene.sees("pool_queue_length", 0);
    released.add(scene.origin);
    assert.equal((await first.answer()).body.toString(), "/first");
    await outcome(second, policy, "/second");
    assert.equal(scene.origin.requests.length, policy === "abort" ? 1 : 2);
    await blamesNobody(scene);
  },
);

everyPolicy("origin working: abort, finish, or tell the origin", { origin: held }, async (scene, policy) => {
  const client = await scene.client();
  await client.send(request("GET /work"));
  await scene.origin.sees("the request", (o) => o.requests.length === 1);
  assert.equal(scene.origin.lastConnection.wire.ending, "open");
  await client.halfClose();
  if (policy !== "finish") await scene.origin.lastConnection.ended();
  else await scene.sees("client_half_closes", 1);
  released.add(scene.origin);
  await outcome(client, policy, "/work");
  assert.equal(await scene.counter("client_half_closes"), 1);
  await scene.sees("origin_connections_open", policy === "finish" ? 1 : 0);
  await blamesNobody(scene);
});

everyPolicy(
  "the FIN in one piece with the request, or with the last of its body",
  { origin: late },
  async (scene, policy) => {
    const get = await scene.client();
    get.wire.socket.end(request("GET /at-once"));
    await outcome(get, policy, "/at-once");
    const post = await scene.client();
    await post.send(request("POST /up", "Content-Length: 8"), "half");
    await scene.origin.sees("half of it", (o) => o.lastConnection.wire.received.includes("half"));
    post.wire.socket.end("rest");
    await outcome(post, policy, "/up");
    await scene.sees("client_half_closes", 2);
    await blamesNobody(scene);
  },
);

everyPolicy(
  "answer streaming: written on until a reset, whatever the policy",
  {
    origin: async (connection) => {
      await connection.request();
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n");
      for (let piece = 0; piece < 10; piece += 1) {
        await connection.send(Buffer.alloc(40_000, "x"));
        await pause(10);
      }
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /stream"));
    const head = await client.head();
    await client.halfClose();
    const body = await client.body(head);
    assert.equal(body.body.length, 400_000);
    assert.equal(await client.seesClose(), "end");
    await blamesNobody(scene);
  },
);

everyPolicy("a pipeline behind which the FIN stands", { origin: late }, async (scene, policy) => {
  const client = await scene.client();
  client.wire.socket.end([1, 2, 3].map((n) => request(`GET /${n}`)).join(""));
  if (policy === "abort") {
    // The one who left gets what was begun before its end was known, whole, and nothing else.
    const texts = (await client.wire.takeAll()).toString().split("HTTP/1.1 200 OK").slice(1);
    assert.ok(texts.length < 3, `${texts.length} answers`);
    texts.forEach((text, n) => {
      assert.match(text, new RegExp(`\\r\\n\\r\\n/${n + 1}$`));
    });
  } else {
    for (let n = 1; n <= 3; n += 1) assert.equal((await client.answer()).body.toString(), `/${n}`);
    assert.equal(await client.seesClose(), "end");
  }
  await blamesNobody(scene);
});

for (const policy of POLICIES)
  test(`half-close matrix, ${policy}: request connecting`, { timeout: 60_000 }, async () => {
    const deaf = await DeafListener.start();
    const scene = await Scene.open({
      settings: {
        origins: { far: { targets: [deaf.url], connectMs: policy === "abort" ? 40_000 : 700 } },
        routes: [{ forwardTo: "far", halfClose: policy, retry: false }],
      },
    });
    try {
      const client = await scene.client();
      await client.send(request("GET /far"));
      await scene.sees("exchanges_open", 1);
      await client.halfClose();
      if (policy === "abort") {
        await scene.sees("exchanges_open", 0);
        await client.seesClose();
        assert.equal(client.wire.receivedBytes, 0);
        await blamesNobody(scene);
      } else {
        assert.equal((await client.answer()).status, 504);
        assert.equal(await client.seesClose(), "end");
        assert.equal(await scene.counter("client_half_closes"), 1);
        assert.equal(await scene.counter("origin_fault_connect_timeout"), 1);
      }
      await scene.end();
    } finally {
      await scene.abandon();
      await deaf.stop();
    }
  });

scenario(
  "half-close matrix, propagate: a request that waited for its connection tells the origin after it was sent",
  { origin: late, originSettings: { targetConnections: 1 }, settings: withPolicy("propagate") },
  async (scene) => {
    const [first, second] = [await scene.client(), await scene.client()];
    await first.send(request("GET /first"));
    await scene.origin.sees("the first request", (o) => o.requests.length === 1);
    second.wire.socket.end(request("GET /second"));
    await scene.sees("client_half_closes", 1);
    assert.equal((await first.answer()).status, 200);
    assert.equal((await second.answer()).body.toString(), "/second");
    assert.equal(await scene.origin.lastConnection.ended(), "end");
    await scene.sees("origin_closes_request_unfinished", 1);
  },
);

scenario(
  "half-close matrix: a route's policy is its own",
  {
    origin: late,
    settings: {
      routes: [
        { match: { path: "/a/*" }, forwardTo: "app", halfClose: "abort" },
        { match: { path: "/p/*" }, forwardTo: "app", halfClose: "propagate" },
        { forwardTo: "app" },
      ],
    },
  },
  async (scene) => {
    const clients = await Promise.all(
      ["/a/1", "/p/1", "/1"].map(async (path) => {
        const client = await scene.client();
        client.wire.socket.end(request(`GET ${path}`));
        return client;
      }),
    );
    const [aborted, propagated, finished] = clients as [RawClient, RawClient, RawClient];
    await outcome(aborted, "abort", "");
    await outcome(propagated, "propagate", "/p/1");
    await outcome(finished, "finish", "/1");
  },
);

scenario(
  "half-close matrix: origin FIN while idle evicts, after a full reply is not pooled",
  {
    origin: byPath({
      "/stay": (_, connection) => connection.send(reply(200, "stay")),
      "/end": async (_, connection) => {
        await connection.send(reply(200, "end"));
        await connection.halfClose();
      },
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /stay");
    await scene.sees("origin_connections_idle", 1);
    await scene.origin.lastConnection.halfClose();
    await scene.sees("origin_connections_idle", 0);
    assert.equal(await scene.counter("origin_closes_by_origin"), 1);
    assert.equal((await client.ask("GET /end")).body.toString(), "end");
    await scene.sees("origin_connections_open", 0);
    assert.equal((await client.ask("GET /stay")).body.toString(), "stay");
    assert.equal(scene.origin.accepted, 3);
    await blamesNobody(scene);
  },
);

scenario(
  "half-close matrix: origin FIN mid-upload is its fault, and the client hears of it",
  {
    origin: async (connection) => {
      await connection.head();
      await connection.halfClose();
      await connection.ended();
    },
    settings: { timeouts: { clientLingerMs: 300 } },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /up", "Content-Length: 100000"), "x".repeat(100));
    assert.equal((await client.answer("POST")).status, 502);
    assert.equal(await scene.counter("origin_fault_eof_before_headers"), 1);
  },
);

scenario(
  "half-close matrix: what waits for an answer costs no turns while it waits",
  {
    origin: serve(async (_, c) => {
      await pause(600);
      await c.send(reply(200, "x"));
    }),
  },
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 200 }, () => scene.client()));
    for (const client of clients) client.wire.socket.end(request("GET /x"));
    await scene.sees("client_half_closes", 200);
    await pause(50);
    const before = await scene.counter("turns");
    await pause(300);
    const spent = (await scene.counter("turns")) - before;
    assert.ok(spent < 100, `${spent} turns while 200 half-closed clients wait`);
    for (const client of clients) await client.answer();
  },
);

test("half-close matrix: fill-cache-only, and fills that outlive their client", {
  skip: "waits for the cache",
}, () => {});
