/**
 * Whether a client's connection outlives its answer: the switches (S4-01), every refusal with its word and its deed, in
 * Squid's order (S4-02), and promises that are broken so that the client sees it (S4-03).
 */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { byPath, echo, reply, verbatim, verbatimAndClose } from "../support/behaviours.js";
import { chunk, type RawClient, request } from "../support/client.js";
import type { Answer } from "../support/message.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

const ERRORS = byPath({
  "/ok": (_, connection) => connection.send(reply(200, "ok")),
  "/missing": (_, connection) => connection.send(reply(404, "missing")),
  "/broken": (_, connection) => connection.send(reply(500, "broken")),
});

/** The answer says that the connection ends, and it does. */
async function saysAndCloses(client: RawClient, answer: Answer): Promise<void> {
  assert.equal(answer.fields.one("connection")?.toLowerCase(), "close");
  assert.equal(await client.seesClose(), "end");
}

/** The answer does not say so, and the connection takes another request. */
async function staysOpen(client: RawClient, answer: Answer): Promise<void> {
  assert.equal(answer.fields.has("connection"), false);
  assert.equal((await client.ask("GET /ok")).status, 200);
}

scenario(
  "S4-01 persistence.client false: one request a connection, said and done; origins are kept all the same",
  {
    settings: { persistence: { client: false } },
  },
  async (scene) => {
    for (let turn = 0; turn < 3; turn += 1) {
      const client = await scene.client();
      await saysAndCloses(client, await client.ask("GET /a"));
    }
    assert.equal(scene.origin.accepted, 1);
    const old = await scene.client();
    const answer = await old.ask("GET /a HTTP/1.0", "Connection: keep-alive");
    assert.notEqual(answer.fields.one("connection")?.toLowerCase(), "keep-alive");
    await old.seesClose();
  },
);

scenario(
  "S4-01 persistence.origin false: one request a connection; clients are kept all the same",
  {
    settings: { persistence: { origin: false } },
  },
  async (scene) => {
    const client = await scene.client();
    for (let turn = 0; turn < 3; turn += 1) await staysOpen(client, await client.ask("GET /a"));
    assert.equal(scene.origin.accepted, 6);
    await scene.sees("origin_connections_open", 0);
    assert.equal(await scene.counter("origin_closes_not_kept"), 6);
  },
);

scenario(
  "S4-01 persistence.afterErrors true: a client is kept after an answer of 400 and above",
  { origin: ERRORS },
  async (scene) => {
    const client = await scene.client();
    for (const path of ["/missing", "/broken"]) await staysOpen(client, await client.ask(`GET ${path}`));
  },
);

scenario(
  "S4-01 clientIdleMs: a connection without a next request is closed in silence",
  {
    settings: { timeouts: { clientIdleMs: 400 } },
  },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await client.seesSilence(80);
    assert.equal(await client.seesClose(), "end");
    assert.equal(await scene.counter("client_closes_idle_timeout"), 1);
  },
);

scenario(
  "S4-01 idleMs: an origin's connection is kept for its own time, whatever the client's",
  {
    originSettings: { idleMs: 150 },
  },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await scene.sees("origin_connections_open", 0);
    assert.equal(await scene.counter("origin_closes_idle_timeout"), 1);
    assert.equal((await client.ask("GET /b")).status, 200);
  },
);

scenario(
  "S4-01 persistence.clientAgeMs: an old connection is closed after its present answer",
  {
    settings: { persistence: { clientAgeMs: 600 } },
  },
  async (scene) => {
    const client = await scene.client();
    await staysOpen(client, await client.ask("GET /a"));
    await pause(650);
    assert.equal(client.ending, "open", "not in the middle of nothing");
    await saysAndCloses(client, await client.ask("GET /b"));
  },
);

scenario(
  "S4-02 refused after an error, when errors close",
  {
    origin: ERRORS,
    settings: { persistence: { afterErrors: false } },
  },
  async (scene) => {
    for (const path of ["/missing", "/broken"]) {
      const client = await scene.client();
      await staysOpen(client, await client.ask("GET /ok"));
      await saysAndCloses(client, await client.ask(`GET ${path}`));
    }
  },
);

scenario(
  "S4-02 refused after an error of our own, when errors close",
  {
    settings: {
      origins: { dead: { targets: ["http://127.0.0.1:9"] } },
      persistence: { afterErrors: false },
      routes: [
        { match: { path: "/dead" }, forwardTo: "dead" },
        { match: { path: "/ok" }, forwardTo: "app" },
      ],
    },
  },
  async (scene) => {
    for (const path of ["/dead", "/no-route"]) {
      const client = await scene.client();
      await staysOpen(client, await client.ask("GET /ok"));
      await saysAndCloses(client, await client.ask(`GET ${path}`));
    }
  },
);

scenario(
  "S4-02 refused when disabled, also after an error and with keep-alive asked for",
  {
    origin: ERRORS,
    settings: { persistence: { client: false, afterErrors: true } },
  },
  async (scene) => {
    for (const path of ["/ok", "/missing"]) {
      const client = await scene.client();
      await saysAndCloses(client, await client.ask(`GET ${path}`, "Connection: keep-alive"));
    }
  },
);

scenario(
  "S4-02 refused while shutting down",
  {
    origin: byPath({
      "/slow": async (_, connection) => {
        await pause(150);
        await connection.send(reply(200, "slow"));
      },
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /slow"));
    await scene.origin.sees("the request", (origin) => origin.requests.length === 1);
    const stopped = scene.stop(3_000);
    await saysAndCloses(client, await client.answer());
    await stopped;
  },
);

scenario(
  "S4-02 refused when a connection that carries authentication is closed by the origin",
  {
    origin: verbatimAndClose("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"),
  },
  async (scene) => {
    const pinned = await scene.client();
    await saysAndCloses(pinned, await pinned.ask("GET /a", "Authorization: NTLM abc"));
    const plain = await scene.client();
    assert.equal((await plain.ask("GET /a", "Authorization: Basic YTpi")).fields.has("connection"), false);
    assert.equal((await plain.ask("GET /a")).status, 200);
  },
);

scenario(
  "S4-02 refused when the length is unknown and the client knows no chunks",
  {
    origin: verbatimAndClose("HTTP/1.1 200 OK\r\n\r\nuntil the end"),
  },
  async (scene) => {
    const old = await scene.client();
    const answer = await old.ask("GET /a HTTP/1.0", "Connection: keep-alive");
    assert.equal(answer.body.toString(), "until the end");
    assert.notEqual(answer.fields.one("connection")?.toLowerCase(), "keep-alive");
    await old.seesClose();
    const modern = await scene.client();
    for (let turn = 0; turn < 2; turn += 1) {
      const chunked = await modern.ask("GET /a");
      assert.equal(chunked.fields.one("transfer-encoding"), "chunked");
      assert.equal(chunked.fields.has("connection"), false);
    }
  },
);

scenario(
  "S4-02 refused after a tunnel's refusal that closes, kept after one that does not",
  {
    origin: byPath({
      "/no": (_, connection) => connection.send(reply(403, "no")),
      "/ok": (_, connection) => connection.send(reply(200, "ok")),
    }),
    settings: { persistence: { afterErrors: false } },
  },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /ok");
    await saysAndCloses(client, await client.ask("GET /no", "Connection: upgrade", "Upgrade: websocket"));
  },
);

scenario(
  "S4-02 an upgraded connection is never a connection for requests again",
  {
    origin: async (connection) => {
      await connection.request();
      await connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
      await connection.wire.until("bytes", (unread) => (unread.includes("GET /b") ? true : undefined));
      await connection.close();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a", "Connection: upgrade", "Upgrade: x"));
    assert.equal((await client.head()).status, 101);
    await client.send(request("GET /b"));
    await client.seesClose();
    assert.equal(await scene.counter("requests"), 1);
  },
);

scenario(
  "S4-02 in order: an error that closes comes before all that would keep, and two reasons close once",
  {
    origin: ERRORS,
    settings: { persistence: { afterErrors: false, client: false }, limits: { clientRequests: 1 } },
  },
  async (scene) => {
    const client = await scene.client();
    await saysAndCloses(client, await client.ask("GET /missing"));
    await client.close();
    await scene.sees("client_closes_not_kept", 1);
    assert.equal(await scene.counter("client_connections_accepted"), 1);
  },
);

scenario(
  "S4-03 after a promise to keep: an origin that ends short of its length is an error the client sees",
  {
    origin: verbatimAndClose("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /short"), request("GET /next"));
    const answer = await client.answerOrPart();
    assert.equal(answer.fields.has("connection"), false, "it had promised to keep");
    assert.equal(answer.complete, false);
    assert.equal(answer.body.toString(), "only this");
    assert.notEqual(client.ending, "open", "and the next request is not answered into the middle");
    assert.equal(await scene.counter("origin_fault_body_truncated"), 1);
  },
);

scenario(
  "S4-03 after a promise to keep: an answer beyond the route's limit is cut so that the client sees it",
  {
    origin: verbatim(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      chunk("x".repeat(100_000)),
      chunk("x".repeat(100_000)),
      "0\r\n\r\n",
    ),
    settings: { routes: [{ forwardTo: "app", limits: { answerBodyBytes: 150_000 } }] },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /long"));
    const answer = await client.answerOrPart();
    assert.equal(answer.complete, false);
    assert.ok(answer.body.length <= 150_000 + 65_536, `${answer.body.length} bytes came`);
    assert.equal(await scene.counter("origin_fault_answer_too_large"), 1);
  },
);

scenario(
  "S4-03 after a promise to keep: a client's socket error ends its connection and no other",
  {
    origin: echo(),
  },
  async (scene) => {
    const [gone, other] = [await scene.client(), await scene.client()];
    await gone.ask("GET /a");
    await other.ask("GET /a");
    await gone.reset();
    await scene.sees("client_connections_open", 1);
    assert.equal((await other.ask("GET /b")).status, 200);
  },
);

test("S4-02 a listener removed by a reload refuses keep-alive", {
  skip: "waits for reloading: issue Operating",
}, () => {});
