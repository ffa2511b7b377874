/** Origins that break the rules: a 502 that says why, and truncation that nobody can take for an end. */
import { strict as assert } from "node:assert";
import { reply, verbatim, verbatimAndClose, verbatimAndReset } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

for (const [what, bytes, reason] of [
  ["both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "length_and_coding"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "length_duplicate"],
  ["a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "bare_lf"],
  ["no status line", "hello\r\n\r\n", "bad_status_line"],
  ["a folded field", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", "obs_fold"],
  ["an unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\n", "coding_invalid"],
] as const) {
  scenario(
    `an answer with ${what} is a 502, and the access log says ${reason}`,
    { origin: verbatimAndClose(bytes), accessLog: true },
    async (scene) => {
      const client = await scene.client();
      const answer = await client.ask("GET /a");
      assert.equal(answer.status, 502);
      assert.ok(!answer.body.includes("hello"));
      const [line] = await scene.accessLog(1);
      assert.ok(JSON.stringify(line).includes(reason), JSON.stringify(line));
      assert.equal(await scene.counter("origin_fault_malformed_headers"), 1);
    },
  );
}

const TRUNCATED = [
  ["a length not reached", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"],
  ["chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
  ["a chunk cut in two", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhello"],
] as const;

for (const [what, bytes] of TRUNCATED) {
  for (const [how, script] of [
    ["closed", verbatimAndClose(bytes)],
    ["reset", verbatimAndReset(bytes)],
  ] as const) {
    for (const version of ["HTTP/1.1", "HTTP/1.0"] as const) {
      scenario(
        `S4-03 ${what}, ${how}, never looks complete to an ${version} client`,
        { origin: script, accessLog: true },
        async (scene) => {
          const client = await scene.client();
          await client.send(request(`GET /a ${version}`));
          const answer = await client.answerOrPart();
          if (answer.status !== 502) {
            assert.equal(answer.complete, false, `it looks complete: ${answer.head}`);
            await client.wire.until("the end", (_, ending) => (ending === "open" ? undefined : ending));
          }
          const [line] = await scene.accessLog(1);
          assert.match(JSON.stringify(line), /truncated|eof|reset/);
          assert.equal(await scene.counter("answers_broken"), answer.status === 502 ? 0 : 1);
        },
      );
    }
  }
}

scenario(
  "a close-delimited answer that ends in a reset is not complete",
  { origin: verbatimAndReset("HTTP/1.1 200 OK\r\n\r\nhello") },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a"));
    const answer = await client.answerOrPart();
    assert.ok(answer.status === 502 || !answer.complete);
  },
);

scenario(
  "a bad chunk in the middle of an answer cuts it",
  {
    origin: async (connection) => {
      await connection.request();
      await connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
      await pause(30);
      await connection.send("zz\r\nmore\r\n0\r\n\r\n");
      await connection.ended();
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /a"));
    const answer = await client.answerOrPart();
    assert.equal(answer.complete, false);
    assert.equal(answer.body.toString(), "hello");
    assert.equal(await scene.counter("origin_fault_body_malformed"), 1);
  },
);

scenario(
  "surplus bytes behind an answer reach nobody, and the connection is not used again",
  {
    origin: verbatim(reply(200, "mine"), "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
  },
  async (scene) => {
    for (let n = 0; n < 5; n += 1) {
      const client = await scene.client();
      assert.equal((await client.ask("GET /a")).body.toString(), "mine");
      await client.seesSilence(20);
    }
    assert.equal(scene.origin.accepted, 5);
  },
);

scenario(
  "an answer before its request never shifts the answers after it",
  {
    origin: async (connection) => {
      await connection.send(reply(200, "too early"));
      for (;;) {
        const asked = await connection.request(60_000);
        await connection.send(reply(200, asked.target));
      }
    },
  },
  async (scene) => {
    for (let n = 0; n < 20; n += 1) {
      const client = await scene.client();
      const answer = await client.ask(`GET /${n}`);
      // On a connection of its own an origin may say what it likes; what is left over must not reach the next request.
      assert.ok(["too early", `/${n}`].includes(answer.body.toString()), answer.body.toString());
      await pause(3);
    }
  },
);

scenario("a 502 keeps the client's connection", { origin: verbatimAndClose("garbage\r\n\r\n") }, async (scene) => {
  const client = await scene.client();
  for (let n = 0; n < 3; n += 1) assert.equal((await client.ask("GET /a")).status, 502);
});

scenario(
  "a 502 in a pipeline does not disturb the answers around it",
  {
    origin: async (connection) => {
      for (;;) {
        const asked = await connection.request(60_000);
        if (asked.target === "/bad") {
          await connection.send("garbage\r\n\r\n");
          await connection.close();
          return;
        }
        await connection.send(reply(200, asked.target));
      }
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /1"), request("GET /bad"), request("GET /2"));
    assert.equal((await client.answer()).body.toString(), "/1");
    assert.equal((await client.answer()).status, 502);
    assert.equal((await client.answer()).body.toString(), "/2");
  },
);
