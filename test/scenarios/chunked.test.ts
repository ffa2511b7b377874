/** Chunked messages through the proxy, both ways, with trailers. */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { chunkedReply, echoed, serve, slowly, verbatim } from "../support/behaviours.js";
import { chunk, request } from "../support/client.js";
import { scenario } from "../support/scene.js";
import { pause, toBytes } from "../support/wire.js";

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

scenario("a chunked upload arrives chunk by chunk, whatever the pieces", {}, async (scene) => {
  const body = randomBytes(100_000);
  const client = await scene.client();
  await client.send(request("POST /up", "Transfer-Encoding: chunked"));
  for (let at = 0; at < body.length; ) {
    const size = 1 + Math.floor(Math.random() * 9_000);
    await client.send(chunk(body.subarray(at, at + size)));
    at += size;
  }
  await client.send("0\r\n\r\n");
  const seen = echoed(await client.answer());
  assert.equal(seen.framing, "chunked");
  assert.equal(seen.digest, sha(body));
});

scenario("a chunk is passed on before the next one has come", {}, async (scene) => {
  const client = await scene.client();
  await client.send(request("POST /up", "Transfer-Encoding: chunked"), chunk("first"));
  await scene.origin.sees("the first chunk", (origin) =>
    origin.connections.some((one) => one.wire.received.includes("first")),
  );
  await client.send(chunk("second"), "0\r\n\r\n");
  assert.equal(echoed(await client.answer()).body, "firstsecond");
});

scenario("a length upload is passed on before it is complete", {}, async (scene) => {
  const client = await scene.client();
  await client.send(request("POST /up", "Content-Length: 10"), "first");
  await scene.origin.sees("the first bytes", (origin) =>
    origin.connections.some((one) => one.wire.received.includes("first")),
  );
  await client.send("other");
  assert.equal(echoed(await client.answer()).body, "firstother");
});

scenario("request trailers reach the origin in order and case", {}, async (scene) => {
  const client = await scene.client();
  await client.send(
    request("POST /up", "Transfer-Encoding: chunked", "Trailer: X-Sum, x-Two"),
    chunk("data"),
    "0\r\nX-Sum: 1\r\nx-Two: 2\r\nX-Sum: 3\r\n\r\n",
  );
  const seen = echoed(await client.answer());
  assert.deepEqual(seen.trailers, [
    ["X-Sum", "1"],
    ["x-Two", "2"],
    ["X-Sum", "3"],
  ]);
  assert.ok(seen.fields.some(([name, value]) => name === "Trailer" && value === "X-Sum, x-Two"));
});

scenario(
  "answer trailers reach the client",
  { origin: verbatim(chunkedReply(["hello ", "world"], ["X-Sum: abc"], "Trailer: X-Sum")) },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /down", "TE: trailers", "Connection: TE");
    assert.equal(answer.framing, "chunked");
    assert.equal(answer.body.toString(), "hello world");
    assert.equal(answer.trailers.one("x-sum"), "abc");
    assert.equal(answer.fields.one("trailer"), "X-Sum");
    assert.equal((await client.ask("GET /again")).trailers.one("x-sum"), "abc");
  },
);

scenario(
  "answer trailers that may not be trailers are dropped",
  {
    origin: verbatim(
      chunkedReply(["hello"], ["Content-Length: 3", "Set-Cookie: a=b", "Connection: close", "X-Fine: yes"]),
    ),
  },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /down");
    assert.deepEqual(answer.trailers.lines, [{ name: "X-Fine", value: "yes" }]);
  },
);

scenario(
  "chunk extensions of an origin do not reach the client",
  {
    origin: serve((_, connection) =>
      connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;secret=1\r\nhello\r\n0;x\r\n\r\n"),
    ),
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /down")).body.toString(), "hello");
  },
);

scenario(
  "a slow chunked answer streams: the first piece is there before the last",
  {
    origin: slowly(
      ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk("one"), chunk("two"), "0\r\n\r\n"],
      60,
    ),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /stream"));
    const head = await client.head();
    await client.wire.until("the first chunk", (unread) => (unread.includes("one") ? true : undefined));
    assert.ok(!client.wire.unread.includes("two"), "the second chunk is still to come");
    assert.equal((await client.body(head)).body.toString(), "onetwo");
  },
);

scenario(
  "a chunked answer of many sizes arrives whole",
  {
    origin: serve(async (asked, connection) => {
      const size = Number(asked.target.slice(1));
      const body = Buffer.alloc(size, "abcdefghijklmnopqrstuvwxyz");
      await connection.send(
        chunkedReply(
          size === 0 ? [] : [body.subarray(0, size >> 1), body.subarray(size >> 1)].filter((piece) => piece.length > 0),
        ),
      );
    }),
  },
  async (scene) => {
    const client = await scene.client();
    for (const size of [
      0, 1, 2, 15, 16, 17, 4_095, 4_096, 16_383, 16_384, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 1_000_000,
    ]) {
      const answer = await client.ask(`GET /${size}`);
      assert.equal(answer.body.length, size);
      assert.equal(sha(answer.body), sha(Buffer.alloc(size, "abcdefghijklmnopqrstuvwxyz")));
    }
    assert.equal(scene.origin.accepted, 1);
  },
);

scenario(
  "a thousand tiny chunks in one segment arrive as one body",
  {
    origin: verbatim(chunkedReply(Array.from({ length: 1_000 }, (_, n) => String(n % 10)))),
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /tiny")).body.length, 1_000);
  },
);

scenario(
  "a chunk header split over segments is understood both ways",
  {
    origin: serve(async (_, connection) => {
      for (const piece of [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0",
        "5",
        "\r",
        "\nhel",
        "lo\r",
        "\n",
        "0\r\n",
        "\r",
        "\n",
      ]) {
        await connection.send(piece);
        await pause(5);
      }
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.sendSlowly(
      [request("POST /x", "Transfer-Encoding: chunked"), "0", "5\r", "\nhe", "llo", "\r\n0", "\r\n", "\r\n"].map(
        toBytes,
      ),
      5,
    );
    assert.equal((await client.answer("POST")).body.toString(), "hello");
    assert.equal(scene.origin.last.body.toString(), "hello");
    assert.equal((await client.ask("GET /x")).body.toString(), "hello");
  },
);
