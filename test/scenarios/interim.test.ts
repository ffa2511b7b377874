/** Interim answers and answers without a body: 103, HEAD, 204, 304, and bodies that end with the connection. */
import { strict as assert } from "node:assert";
import { byPath, reply, verbatim, verbatimAndClose } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

scenario(
  "103 is relayed the moment it comes",
  {
    origin: async (connection) => {
      await connection.request();
      const hop = "Connection: X-Hop\r\nX-Hop: 1\r\n\r\n";
      await connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n", hop);
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a"));
    const hints = await client.head();
    assert.equal(hints.status, 103);
    assert.equal(hints.fields.one("link"), "</a.css>; rel=preload");
    assert.equal(hints.fields.has("x-hop"), false);
    // The answer is not there yet: the hints did not wait for it.
    await scene.origin.lastConnection.send(reply(200, "late"));
    assert.equal((await client.answer()).body.toString(), "late");
  },
);

scenario(
  "interim answers keep their order within a pipeline",
  {
    origin: byPath({
      "/1": (_, connection) => connection.send("HTTP/1.1 103 Early Hints\r\nX-For: 1\r\n\r\n", reply(200, "one")),
      "/2": (_, connection) => connection.send("HTTP/1.1 102 Processing\r\nX-For: 2\r\n\r\n", reply(200, "two")),
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /1"), request("GET /2"), request("GET /1"));
    for (const [status, x, body] of [
      [103, "1", "one"],
      [102, "2", "two"],
      [103, "1", "one"],
    ] as const) {
      const answer = await client.answer();
      assert.deepEqual(
        answer.interim.map((head) => [head.status, head.fields.one("x-for")]),
        [[status, x]],
      );
      assert.equal(answer.body.toString(), body);
    }
  },
);

scenario(
  "HEAD is answered with the head alone, and the connection goes on",
  {
    origin: byPath({
      "/sized": (asked, connection) =>
        connection.send(
          "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-M: ",
          asked.method,
          "\r\n\r\n",
          asked.method === "HEAD" ? "" : "x".repeat(1000),
        ),
    }),
  },
  async (scene) => {
    const client = await scene.client();
    for (let n = 0; n < 3; n += 1) {
      const head = await client.ask("HEAD /sized");
      assert.equal(head.fields.one("content-length"), "1000");
      assert.equal(head.fields.one("x-m"), "HEAD");
      assert.equal((await client.ask("GET /sized")).body.length, 1000);
    }
    assert.equal(scene.origin.accepted, 1);
  },
);

for (const [status, name] of [
  [204, "No Content"],
  [304, "Not Modified"],
] as const) {
  scenario(
    `${status} has no body and keeps both connections`,
    {
      origin: verbatim(`HTTP/1.1 ${status} ${name}\r\nETag: "v"\r\n\r\n`),
    },
    async (scene) => {
      const client = await scene.client();
      for (let n = 0; n < 3; n += 1) {
        const answer = await client.ask("GET /a");
        assert.equal(answer.status, status);
        assert.equal(answer.reason, name);
        assert.equal(answer.fields.one("etag"), '"v"');
      }
      assert.equal(scene.origin.accepted, 1);
    },
  );
}

scenario(
  "a close-delimited answer becomes chunked for HTTP/1.1, and the client's connection stays",
  {
    origin: verbatimAndClose("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall there is"),
  },
  async (scene) => {
    const client = await scene.client();
    for (let n = 0; n < 3; n += 1) {
      const answer = await client.ask("GET /a");
      assert.equal(answer.framing, "chunked");
      assert.equal(answer.body.toString(), "all there is");
    }
    assert.equal(scene.origin.accepted, 3);
  },
);

scenario(
  "a close-delimited answer ends with the connection for HTTP/1.0, keep-alive or not",
  {
    origin: verbatimAndClose("HTTP/1.1 200 OK\r\n\r\nall there is"),
  },
  async (scene) => {
    for (const fields of [[], ["Connection: keep-alive"]]) {
      const client = await scene.client();
      const answer = await client.ask("GET /a HTTP/1.0", ...fields);
      assert.equal(answer.framing, "close");
      assert.equal(answer.body.toString(), "all there is");
    }
  },
);

scenario(
  "a chunked answer ends with the connection for HTTP/1.0",
  {
    origin: verbatim("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
  },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a HTTP/1.0", "Connection: keep-alive");
    assert.equal(answer.framing, "close");
    assert.equal(answer.body.toString(), "hello");
    assert.equal(answer.fields.has("transfer-encoding"), false);
    assert.equal(scene.origin.open.length, 1, "the origin's own connection stays");
  },
);

scenario(
  "an empty close-delimited answer is an empty answer",
  { origin: verbatimAndClose("HTTP/1.1 200 OK\r\n\r\n") },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).body.length, 0);
  },
);

scenario(
  "a close-delimited answer streams while it grows",
  {
    origin: async (connection) => {
      await connection.request();
      await connection.send("HTTP/1.1 200 OK\r\n\r\none");
      await pause(100);
      await connection.send("two");
      await connection.close();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a"));
    const head = await client.head();
    await client.wire.until("the first piece", (unread) => (unread.includes("one") ? true : undefined));
    assert.ok(!client.wire.unread.includes("two"));
    assert.equal((await client.body(head)).body.toString(), "onetwo");
  },
);
