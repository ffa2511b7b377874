/** Ends in the middle: clients and origins that close, half-close or reset at every stage of an exchange. */
import { strict as assert } from "node:assert";
import { echoed, reply, serve } from "../support/behaviours.js";
import { chunk, request } from "../support/client.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** Faults the books hold against origins. */
const BLAME = [
  "origin_fault_eof_before_headers",
  "origin_fault_reset_before_headers",
  "origin_fault_write_error",
  "origin_fault_body_truncated",
] as const;

for (const how of ["halfClose", "reset"] as const) {
  scenario(
    `a client that says ${how} within its head is closed in silence, and nothing is forwarded`,
    {},
    async (scene) => {
      const client = await scene.client();
      await client.send("GET /a HTTP/1.1\r\nHost: a.exa");
      await pause(20);
      await client[how]();
      if (how === "halfClose")
        await client.wire.until("the close", (_, ending) => (ending === "open" ? undefined : ending));
      await scene.sees("client_connections_open", 0);
      assert.equal(scene.origin.receivedBytes, 0);
    },
  );

  scenario(
    `a client that says ${how} within its body is no fault of the origin, which sees no end of the request`,
    {},
    async (scene) => {
      for (const [index, framing] of ["Content-Length: 100", "Transfer-Encoding: chunked"].entries()) {
        const client = await scene.client();
        await client.send(request("POST /up", framing), index === 0 ? "some" : chunk("some"));
        await scene.origin.sees(
          "the beginning",
          (origin) => origin.connections.at(index)?.wire.received.includes("some") === true,
        );
        await client[how]();
        await scene.origin.connections.at(index)?.ended();
        await scene.sees("exchanges_open", 0);
      }
      assert.equal(scene.origin.requests.filter((one) => one.complete).length, 0);
      for (const name of BLAME) assert.equal(await scene.counter(name), 0, name);
    },
  );
}

scenario("a client that half-closes behind a whole upload still gets its answer", {}, async (scene) => {
  const client = await scene.client();
  await client.send(request("POST /up", "Transfer-Encoding: chunked"), chunk("all of it"), "0\r\n\r\n");
  await client.halfClose();
  assert.equal(echoed(await client.answer()).body, "all of it");
  assert.equal(await client.seesClose(), "end");
});

scenario(
  "a client that half-closes behind a pipeline gets every answer",
  {
    origin: serve(async (asked, connection) => {
      await pause(5);
      await connection.send(reply(200, asked.target));
    }),
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(...Array.from({ length: 10 }, (_, n) => request(`GET /${n}`)));
    await client.halfClose();
    for (let n = 0; n < 10; n += 1) assert.equal((await client.answer()).body.toString(), `/${n}`);
    await client.seesClose();
  },
);

scenario(
  "a client that resets while its answer streams ends the origin's connection",
  {
    origin: async (connection) => {
      await connection.request();
      await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n");
      for (let n = 0; n < 800 && connection.wire.ending === "open" && !connection.wire.socket.destroyed; n += 1)
        await connection.send(Buffer.alloc(65_536));
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /big"));
    await client.head();
    await client.wire.until("some of it", (unread) => (unread.length > 100_000 ? true : undefined));
    await client.reset();
    await scene.sees("exchanges_open", 0);
    await scene.sees("origin_connections_open", 0);
    assert.equal(await scene.counter("origin_closes_client_gone"), 1);
  },
);

scenario(
  "an origin that closes during an upload, without an answer, is a 502 that reaches the client",
  {
    origin: async (connection) => {
      await connection.head();
      await connection.wire.until("some of the body", (unread) => (unread.length > 1_000 ? true : undefined));
      await connection.close();
    },
    settings: { timeouts: { clientLingerMs: 500 } },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /up", "Content-Length: 1000000"), "x".repeat(20_000));
    const answer = await client.answer("POST");
    assert.equal(answer.status, 502);
  },
);

scenario(
  "an origin that answers and half-closes while the upload goes on: the answer is delivered",
  {
    origin: async (connection) => {
      await connection.head();
      await connection.send(reply(200, "enough", "Connection: close"));
      await connection.halfClose();
      await connection.ended();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /up", "Content-Length: 5000"), "x".repeat(100));
    const answer = await client.answer("POST");
    assert.equal(answer.body.toString(), "enough");
  },
);

scenario(
  "an origin that half-closes behind a complete answer is not used again",
  {
    origin: async (connection) => {
      const asked = await connection.request();
      await connection.send(reply(200, asked.target));
      await connection.halfClose();
      await connection.ended();
    },
  },
  async (scene) => {
    const client = await scene.client();
    for (let n = 0; n < 5; n += 1) {
      assert.equal((await client.ask(`GET /${n}`)).body.toString(), `/${n}`);
      await pause(5);
    }
    assert.equal(scene.origin.accepted, 5);
  },
);

scenario(
  "surplus behind an answer to an unfinished upload is dropped with the connection",
  {
    origin: async (connection) => {
      await connection.head();
      await connection.send(reply(200, "mine"), reply(200, "poison"));
      await connection.ended();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /up", "Content-Length: 50"), "x".repeat(10));
    assert.equal((await client.answer("POST")).body.toString(), "mine");
    await client.send("x".repeat(40));
    await client.seesSilence(50).catch(() => undefined);
    assert.ok(!client.wire.received.includes("poison"));
  },
);

scenario(
  "IPv6 on both sides: listener, client address and origin",
  {
    settings: { listeners: ["[::1]:0"], forwarding: { forwarded: true } },
  },
  async (scene) => {
    const client = await scene.client({ host: "::1" });
    const seen = echoed(await client.ask("GET /six", "Host: [::1]:8080"));
    const value = (name: string): string | undefined => seen.fields.find(([one]) => one.toLowerCase() === name)?.[1];
    assert.equal(value("x-forwarded-for"), "::1");
    assert.match(value("forwarded") ?? "", /for="\[::1\]"/);
  },
);
