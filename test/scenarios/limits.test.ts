/** Limits: each with its status, without harm to the connection's neighbours, and counted. */
import { strict as assert } from "node:assert";
import { echoed } from "../support/behaviours.js";
import { chunk, request } from "../support/client.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

scenario(
  "414 and 431 at the very byte of the limit",
  {
    settings: { limits: { requestLineBytes: 100, headBytes: 600, fieldCount: 10 }, timeouts: { clientLingerMs: 100 } },
  },
  async (scene) => {
    const line = (bytes: number): string => `GET /${"a".repeat(bytes - "GET / HTTP/1.1".length)}`;
    const fits = await scene.client();
    assert.equal((await fits.ask(line(90))).status, 200);
    const long = await scene.client();
    assert.equal((await long.ask(line(110))).status, 414);
    await long.seesClose();
    const heavy = await scene.client();
    assert.equal((await heavy.ask("GET /a", `X-A: ${"b".repeat(700)}`)).status, 431);
    await heavy.seesClose();
    const many = await scene.client();
    assert.equal((await many.ask("GET /a", ...Array.from({ length: 12 }, (_, n) => `X${n}: 1`))).status, 431);
    await many.seesClose();
    await scene.sees("client_closes_refused", 3);
  },
);

scenario(
  "413 by length comes before the body, and nothing is forwarded",
  { settings: { limits: { requestBodyBytes: 1_000 } } },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /a", "Content-Length: 1001"));
    assert.equal((await client.answer()).status, 413);
    await client.seesClose();
    assert.equal(scene.origin.receivedBytes, 0);
    const fits = await scene.client();
    assert.equal((await fits.post("POST /a", "x".repeat(1_000))).status, 200);
  },
);

scenario(
  "S4-04 413 by chunks comes when the sum passes the limit, and the origin never sees an end",
  {
    settings: { limits: { requestBodyBytes: 1_000 } },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /a", "Transfer-Encoding: chunked"));
    for (let n = 0; n < 12; n += 1) {
      await client.send(chunk("x".repeat(100)));
      await pause(3);
    }
    assert.equal((await client.answer()).status, 413);
    await client.wire.until("the close", (_, ending) => (ending === "open" ? undefined : ending));
    assert.equal(scene.origin.requests.filter((one) => one.complete).length, 0);
    assert.ok(!scene.origin.connections.some((one) => one.wire.received.includes("\r\n0\r\n")));
    const fits = await scene.client();
    await fits.send(
      request("POST /a", "Transfer-Encoding: chunked"),
      chunk("x".repeat(500)),
      chunk("y".repeat(500)),
      "0\r\n\r\n",
    );
    assert.equal((await fits.answer()).status, 200);
  },
);

scenario(
  "a refused upload gets its answer although it goes on sending",
  { settings: { limits: { requestBodyBytes: 1_000 }, timeouts: { clientLingerMs: 1_000 } } },
  async (scene) => {
    for (let round = 0; round < 10; round += 1) {
      const client = await scene.client();
      await client.send(request("POST /a", "Content-Length: 10000000"));
      const sending = (async () => {
        for (let n = 0; n < 50 && client.ending === "open"; n += 1) await client.send(Buffer.alloc(20_000, "x"));
      })();
      assert.equal((await client.answer("POST")).status, 413);
      await sending;
      await client.close();
    }
  },
);

scenario(
  "chunk extensions are counted over the whole message",
  { settings: { limits: { chunkExtensionBytes: 100 } } },
  async (scene) => {
    const fits = await scene.client();
    await fits.send(request("POST /a", "Transfer-Encoding: chunked"), `1;${"e".repeat(80)}\r\nx\r\n0\r\n\r\n`);
    assert.equal(echoed(await fits.answer()).body, "x");
    const client = await scene.client();
    await client.send(request("POST /a", "Transfer-Encoding: chunked"));
    for (let n = 0; n < 30 && client.ending === "open"; n += 1) {
      await client.send("1;0123456789\r\nx\r\n");
      await pause(2);
    }
    assert.equal((await client.answer()).status, 400);
    assert.equal(await scene.counter("client_wire_fault_chunk_extension_too_long"), 1);
  },
);

scenario(
  "a trailer section is held to the head's limits",
  { settings: { limits: { headBytes: 1_000, requestLineBytes: 500 } } },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /a", "Transfer-Encoding: chunked"), "1\r\nx\r\n0\r\n");
    for (let n = 0; n < 40 && client.ending === "open"; n += 1) {
      await client.send(`X-${n}: ${"b".repeat(50)}\r\n`);
      await pause(2);
    }
    assert.equal((await client.answer()).status, 431);
    assert.equal(scene.origin.requests.filter((one) => one.complete).length, 0);
  },
);

scenario("an answer to a refused request is itself strict HTTP: Date, length, close", {}, async (scene) => {
  const client = await scene.client();
  await client.send("GET / HTTP/1.1\r\n\r\n");
  const answer = await client.answer();
  assert.equal(answer.status, 400);
  assert.equal(answer.fields.one("connection"), "close");
  assert.match(answer.fields.one("date") ?? "", /GMT$/);
  assert.ok(answer.fields.has("content-length"));
  await client.seesClose();
});

scenario(
  "a refusal to HEAD has no body",
  { settings: { routes: [{ match: { path: "/only" }, forwardTo: "app" }] } },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("HEAD /else");
    assert.equal(answer.status, 404);
    assert.equal((await client.ask("GET /only")).status, 200);
  },
);
