/** Final answers that come while the request body is still on its way: delivered, whatever becomes of the rest. */
import { strict as assert } from "node:assert";
import { echoed, reply } from "../support/behaviours.js";
import { chunk, request } from "../support/client.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

/** Answers to the head alone, then either reads on or closes. */
function answersEarly(status: number, then: "read" | "close"): Script {
  return async (connection) => {
    const head = await connection.head(60_000);
    await connection.send(reply(status, "early"));
    if (then === "close") return connection.close();
    await connection.body(head).catch(() => undefined);
    for (;;) {
      await connection.request(60_000);
      await connection.send(reply(200, "next"));
    }
  };
}

scenario(
  "an early answer is delivered before the body is sent",
  { origin: answersEarly(200, "read") },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /a", "Content-Length: 1000"), "x".repeat(10));
    const answer = await client.answer();
    assert.equal(answer.status, 200);
    assert.equal(answer.body.toString(), "early");
  },
);

scenario(
  "a small rest is drained and the client's connection kept",
  { origin: answersEarly(403, "close") },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /a", "Content-Length: 1000"), "x".repeat(10));
    const answer = await client.answer();
    assert.equal(answer.status, 403);
    await client.send("x".repeat(990));
    scene.origin.script = async (connection) => {
      await connection.request();
      await connection.send(reply(200, "next"));
    };
    if (answer.fields.one("connection") !== "close") assert.equal((await client.ask("GET /b")).body.toString(), "next");
    else await client.seesClose();
  },
);

scenario("a small chunked rest is drained too", { origin: answersEarly(403, "close") }, async (scene) => {
  const client = await scene.client();
  await client.send(request("POST /a", "Transfer-Encoding: chunked"), chunk("x"));
  const answer = await client.answer();
  assert.equal(answer.status, 403);
  await client.send(chunk("y".repeat(500)), "0\r\n\r\n");
  if (answer.fields.one("connection") === "close") await client.seesClose();
  else {
    scene.origin.script = async (connection) => {
      await connection.request();
      await connection.send(reply(200, "next"));
    };
    assert.equal((await client.ask("GET /b")).body.toString(), "next");
  }
});

scenario(
  "ATS #4006 a 413 during a large upload is not lost to a reset",
  {
    origin: answersEarly(413, "close"),
    settings: { limits: { drainBytes: 65_536 }, timeouts: { clientLingerMs: 1_000 } },
  },
  async (scene) => {
    for (let round = 0; round < 40; round += 1) {
      const client = await scene.client({ record: false });
      await client.send(request("POST /a", `Content-Length: ${64 << 20}`));
      let over = false;
      const uploading = (async () => {
        const piece = Buffer.alloc(65_536, "u");
        for (let n = 0; n < 200 && !over && client.ending === "open"; n += 1) {
          await client.send(piece);
          await pause(1);
        }
      })();
      const answer = await client.answer("POST");
      assert.equal(answer.status, 413);
      assert.equal(answer.body.toString(), "early");
      over = true;
      await uploading;
      await client.wire.until("the end", (_, ending) => (ending === "open" ? undefined : ending));
      await client.close();
    }
  },
);

scenario(
  "a large rest closes the connection and says so",
  {
    origin: answersEarly(403, "read"),
    settings: { limits: { drainBytes: 1_000 }, timeouts: { clientLingerMs: 300 } },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("POST /a", "Content-Length: 1000000"), "x".repeat(10));
    const answer = await client.answer();
    assert.equal(answer.status, 403);
    assert.equal(answer.fields.one("connection"), "close");
    assert.equal(await client.seesClose(), "end");
  },
);

scenario(
  "an early answer never leaves half a request on a pooled connection",
  { origin: answersEarly(200, "read") },
  async (scene) => {
    const first = await scene.client();
    await first.send(request("POST /a", "Content-Length: 1000"), "x".repeat(10));
    await first.answer();
    const second = await scene.client();
    scene.origin.script = async (connection) => {
      const head = await connection.head();
      await connection.send(reply(200, `fresh ${head.target}`));
    };
    const answer = await second.ask("GET /b");
    assert.equal(answer.body.toString(), "fresh /b");
    assert.notEqual(scene.origin.accepted, 1);
  },
);

scenario(
  "an early answer in the same moment as the last body bytes reuses nothing wrongly",
  {
    origin: async (connection) => {
      for (;;) {
        const head = await connection.head(60_000);
        await connection.send(reply(200, JSON.stringify({ target: head.target })));
        await connection.body(head);
      }
    },
  },
  async (scene) => {
    const clients = await Promise.all(Array.from({ length: 4 }, () => scene.client()));
    await Promise.all(
      clients.map(async (client, who) => {
        for (let n = 0; n < 100; n += 1) {
          const answer = await client.post(`POST /${who}/${n}`, "y".repeat(n * 50));
          assert.equal(echoed(answer).target, `/${who}/${n}`);
          if (answer.fields.one("connection") === "close") return;
        }
      }),
    );
  },
);
