/** Expect: 100-continue (RFC 9110 section 10.1.1): the origin decides, a timer decides for a silent one. */
import { strict as assert } from "node:assert";
import { describe, reply } from "../support/behaviours.js";
import { chunk, request } from "../support/client.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** An origin that looks at the head, does something, reads the body if it comes, and answers. */
function afterHead(act: (send: (bytes: string) => Promise<void>) => Promise<"read" | "stop">): Script {
  return async (connection) => {
    for (;;) {
      const head = await connection.head(60_000);
      if ((await act((bytes) => connection.send(bytes))) === "stop") continue;
      const body = await connection.body(head);
      await connection.send(reply(200, JSON.stringify(describe({ ...head, ...body, framing: "length" }, connection))));
    }
  };
}

scenario(
  "the origin's 100 is relayed, then the body goes, then the answer comes",
  {
    origin: afterHead(async (send) => {
      await send("HTTP/1.1 100 Continue\r\n\r\n");
      return "read";
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("PUT /a", "Expect: 100-continue", "Content-Length: 5"));
    assert.equal((await client.head()).status, 100);
    assert.ok(!scene.origin.lastConnection.wire.received.includes("hello"));
    await client.send("hello");
    const answer = await client.answer();
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.interim, []);
    assert.ok(scene.origin.lastConnection.wire.received.includes("Expect: 100-continue"));
    assert.equal(JSON.parse(answer.body.toString()).body, "hello");
  },
);

scenario(
  "a final refusal in place of 100 reaches the client, and the unsent body is never taken for a request",
  {
    origin: afterHead(async (send) => {
      await send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
      return "stop";
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("PUT /a", "Expect: 100-continue", "Content-Length: 40"));
    const answer = await client.answer();
    assert.equal(answer.status, 417);
    assert.equal(answer.body.toString(), "no");
    // The client may send the body or not; RFC 9110 10.1.1 leaves it no other safe way than to be read or closed.
    await client.send("GET /smuggled HTTP/1.1\r\nHost: a.example\r\n");
    await pause(100);
    for (const connection of scene.origin.connections) assert.ok(!connection.wire.received.includes("smuggled"));
  },
);

scenario(
  "a 200 in place of 100 reaches the client at once",
  {
    origin: afterHead(async (send) => {
      await send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
      return "stop";
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("PUT /a", "Expect: 100-continue", "Content-Length: 5"));
    assert.equal((await client.answer()).body.toString(), "done");
  },
);

scenario(
  "an origin that keeps silent about 100 gets the body of a client that does not wait",
  {
    settings: { timeouts: { continueMs: 150 } },
    origin: afterHead(async () => "read"),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("PUT /a", "Expect: 100-continue", "Content-Length: 5"), "hello");
    const answer = await client.answer();
    assert.equal(JSON.parse(answer.body.toString()).body, "hello");
  },
);

scenario(
  "a client that waits for a 100 the origin never sends gets one from the proxy after the timer",
  {
    settings: { timeouts: { continueMs: 150 } },
    origin: afterHead(async () => "read"),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("PUT /a", "Expect: 100-continue", "Content-Length: 5"));
    assert.equal((await client.head(2_000)).status, 100);
    await client.send("hello");
    assert.equal(JSON.parse((await client.answer()).body.toString()).body, "hello");
  },
);

scenario(
  "a client that does not wait is served, in chunks too",
  {
    origin: afterHead(async (send) => {
      await send("HTTP/1.1 100 Continue\r\n\r\n");
      return "read";
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(
      request("PUT /a", "Expect: 100-continue", "Transfer-Encoding: chunked"),
      chunk("hello"),
      "0\r\n\r\n",
    );
    const answer = await client.answer();
    assert.equal(JSON.parse(answer.body.toString()).body, "hello");
    assert.equal((await client.post("PUT /b", "second", "Expect: 100-continue")).status, 200);
  },
);

scenario(
  "a 100 nobody asked for is dropped or relayed, and harms nobody",
  {
    origin: afterHead(async (send) => {
      await send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
      return "read";
    }),
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).status, 200);
    assert.equal((await client.ask("GET /b")).status, 200);
  },
);

scenario(
  "a client that leaves while it waits for 100 leaves nothing behind",
  {
    settings: { timeouts: { continueMs: 10_000 } },
    origin: afterHead(async () => "read"),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("PUT /a", "Expect: 100-continue", "Content-Length: 5"));
    await scene.origin.sees("the head", (origin) => origin.receivedBytes > 0);
    await client.reset();
    await scene.sees("exchanges_open", 0);
    await scene.origin.sees("the end of its connection", (origin) => origin.open.length === 0);
  },
);
