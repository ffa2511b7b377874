/** S4-04: limits on bodies in both directions, for the process and for a route, and what is refused at load. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { createMillrace, MillraceError } from "../../src/index.js";
import { byPath, chunkedReply, echoed, reply } from "../support/behaviours.js";
import { chunk, request } from "../support/client.js";
import { scenario } from "../support/scene.js";

const ANSWER_MAX = 4_096;

scenario(
  "S4-04 a request body over a route's limit is refused before its body, by that route only",
  {
    settings: {
      routes: [
        { match: { path: "/small/*" }, forwardTo: "app", limits: { requestBodyBytes: 10 } },
        { match: { path: "/any/*" }, forwardTo: "app", limits: { requestBodyBytes: 0 } },
        { forwardTo: "app" },
      ],
      limits: { requestBodyBytes: 20 },
      timeouts: { clientLingerMs: 200 },
    },
  },
  async (scene) => {
    for (const [path, fits, over] of [
      ["/small/a", 10, 11],
      ["/a", 20, 21],
    ] as const) {
      const client = await scene.client();
      assert.equal(echoed(await client.post(`POST ${path}`, "x".repeat(fits))).body.length, fits);
      const before = scene.origin.receivedBytes;
      await client.send(request(`POST ${path}`, `Content-Length: ${over}`));
      const refused = await client.answer("POST");
      assert.equal(refused.status, 413);
      assert.equal(refused.fields.one("connection"), "close");
      assert.equal(scene.origin.receivedBytes, before, "nothing was forwarded");
      await client.seesClose();
    }
    const client = await scene.client();
    assert.equal(echoed(await client.post("POST /any/a", "x".repeat(3_000))).body.length, 3_000);
  },
);

scenario(
  "S4-04 a request body of unknown length is cut at the route's limit, and the origin sees no end of it",
  {
    settings: {
      routes: [
        { match: { path: "/small" }, forwardTo: "app", limits: { requestBodyBytes: 1_000 } },
        { forwardTo: "app" },
      ],
      timeouts: { clientLingerMs: 200 },
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /small", "Transfer-Encoding: chunked"), chunk("x".repeat(600)));
    await scene.origin.sees("the first chunk", (origin) => origin.receivedBytes > 600);
    await client.send(chunk("y".repeat(600)));
    assert.equal((await client.answer("POST")).status, 413);
    await scene.origin.lastConnection.ended();
    assert.ok(!scene.origin.requests.some((one) => one.complete), "never whole");
    assert.equal(await scene.counter("origin_failures"), 0);
  },
);

scenario(
  "S4-04 an answer whose length is over the route's limit is a 502 before a byte of it",
  {
    origin: byPath({
      "/fits": (_, connection) => connection.send(reply(200, "x".repeat(ANSWER_MAX))),
      "/over": (_, connection) => connection.send(reply(200, "x".repeat(ANSWER_MAX + 1))),
      "/free": (_, connection) => connection.send(reply(200, "x".repeat(ANSWER_MAX + 1))),
    }),
    settings: {
      routes: [
        { match: { path: "/free" }, forwardTo: "app" },
        { forwardTo: "app", limits: { answerBodyBytes: ANSWER_MAX } },
      ],
    },
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /fits")).body.length, ANSWER_MAX);
    const over = await client.ask("GET /over");
    assert.equal(over.status, 502);
    assert.ok(!over.body.includes("x".repeat(100)));
    assert.equal((await client.ask("GET /free")).body.length, ANSWER_MAX + 1);
    assert.equal((await client.ask("HEAD /free")).status, 200);
    assert.equal(await scene.counter("origin_fault_answer_too_large"), 1);
  },
);

for (const [name, bytes] of [
  ["chunked", chunkedReply(["x".repeat(3_000), "y".repeat(3_000)])],
  ["close-delimited", `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(6_000)}`],
] as const)
  for (const version of ["HTTP/1.1", "HTTP/1.0"])
    scenario(
      `S4-04 a ${name} answer of unknown length is cut at the limit and aborted for ${version}`,
      {
        origin: async (connection) => {
          await connection.request();
          await connection.send(bytes);
          await connection.halfClose();
          await connection.ended();
        },
        settings: { routes: [{ forwardTo: "app", limits: { answerBodyBytes: ANSWER_MAX } }] },
      },
      async (scene) => {
        const client = await scene.client();
        await client.send(request(`GET /a ${version}`));
        if (version === "HTTP/1.1") {
          const part = await client.answerOrPart();
          assert.equal(part.complete, false);
        } else {
          await client.wire.takeAll();
          assert.equal(await client.wire.trueEnding(), "reset", "a FIN would look like the end of it");
        }
        assert.equal(await scene.counter("origin_fault_answer_too_large"), 1);
        assert.equal(await scene.counter("answers_broken"), 1);
        await scene.sees("origin_connections_open", 0);
      },
    );

test("S4-04 a limit smaller than our own error page is refused at load, with its path", () => {
  const settings = (answerBodyBytes: number) => ({
    listeners: ["127.0.0.1:0"],
    origins: { app: { targets: "http://127.0.0.1:9" } },
    routes: [{ forwardTo: "app", limits: { answerBodyBytes } }],
  });
  assert.throws(
    () => createMillrace(settings(10)),
    (error) => error instanceof MillraceError && JSON.stringify(error.complaints).includes("answerBodyBytes"),
  );
  assert.ok(createMillrace(settings(0)));
  assert.ok(createMillrace(settings(ANSWER_MAX)));
});
