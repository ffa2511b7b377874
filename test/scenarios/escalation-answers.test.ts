/** The operator's own answers to failures: the first rule that fits, by class or status, after everything else failed. */
import { strict as assert } from "node:assert";
import { reply, serve } from "../support/behaviours.js";
import { lineOf } from "../support/failures.js";
import type { Script } from "../support/origin.js";
import { type SceneOptions, scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

const closes: Script = serve((_, connection) => connection.close());

/** Fails as its path says. */
const asAsked: Script = serve(async (asked, connection) => {
  if (asked.target === "/silent") return;
  if (asked.target === "/reset") return connection.reset();
  if (asked.target === "/junk") return connection.send("junk\r\n\r\n");
  if (asked.target === "/500") return connection.send(reply(500, "the origin's own page"));
  if (asked.target === "/cut") {
    await connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    await pause(30);
  }
  await connection.close();
});

const ANSWERS = [
  {
    on: ["header_timeout"],
    status: 200,
    headers: { "X-Page": "silent", "Content-Type": "text/html" },
    body: "<p>later",
  },
  { on: ["reset_before_headers", "malformed_headers"], status: 520, body: "broken" },
  { on: ["502"], status: 502, headers: { "X-Page": "any-502" }, body: "gone" },
  { status: 503, headers: { "Retry-After": "7" }, body: "closed" },
];

scenario(
  "S2-14 each class has the operator's status, fields and body, the first rule that fits",
  {
    accessLog: true,
    origins: { main: asAsked },
    originSettings: { firstByteMs: 150, health: { passive: { level: 0 } } },
    settings: {
      routes: [
        { match: { path: "/refused" }, forwardTo: "dead", answers: ANSWERS },
        { match: { path: "/local" }, forwardTo: "elsewhere", answers: ANSWERS },
        { forwardTo: "main", answers: ANSWERS },
      ],
      origins: {
        dead: { targets: ["http://127.0.0.1:1"] },
        elsewhere: { targets: ["http://127.0.0.1:1"], localAddress: "192.0.2.77" },
      },
    },
  } as SceneOptions,
  async (scene) => {
    for (const [path, status, page, body, fault] of [
      ["/silent", 200, "silent", "<p>later", "header_timeout"],
      ["/reset", 520, undefined, "broken", "reset_before_headers"],
      ["/junk", 520, undefined, "broken", "malformed_headers"],
      ["/eof", 502, "any-502", "gone", "eof_before_headers"],
      ["/refused", 502, "any-502", "gone", "connect_refused"],
      ["/local", 503, undefined, "closed", "local_resource"],
    ] as const) {
      const client = await scene.client();
      const answer = await client.ask(`GET ${path}`);
      assert.deepEqual([answer.status, answer.body.toString()], [status, body], path);
      assert.equal(answer.fields.one("x-page"), page, path);
      assert.match(answer.fields.one("proxy-status") ?? "", new RegExp(`details="${fault}"`), "the reason is told too");
      if (path === "/silent") assert.equal(answer.fields.one("content-type"), "text/html");
      if (path === "/local") assert.deepEqual(answer.fields.all("retry-after"), ["7"], "the operator's, once");
      const line = await lineOf(scene, path);
      assert.deepEqual([line["status"], line["fault"]], [status, fault]);
      const again = await client.ask("HEAD /eof");
      assert.deepEqual([again.status, again.body.length], [502, 0], "the connection goes on; HEAD has no body");
    }
  },
);

scenario(
  "S2-14 an origin's own answer is never replaced, and a broken one is never completed",
  {
    origins: { main: asAsked },
    settings: { routes: [{ forwardTo: "main", answers: [{ status: 503, body: "closed" }] }] },
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /500")).body.toString(), "the origin's own page");
    await client.send("GET /cut HTTP/1.1\r\nHost: a.example\r\n\r\n");
    const cut = await client.answerOrPart();
    assert.deepEqual([cut.status, cut.complete, cut.body.toString()], [200, false, "hello"]);
  },
);

scenario(
  "S2-14 the operator's answer comes after retries and escalation, not before",
  {
    accessLog: true,
    origins: { one: closes, two: closes, spare: closes },
    settings: (origins) => ({
      origins: { both: { targets: [origins["one"]?.url ?? "", origins["two"]?.url ?? ""] } },
      routes: [{ forwardTo: "both", escalate: [{ to: "spare" }], answers: [{ status: 503, body: "closed" }] }],
    }),
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("GET /a")).body.toString(), "closed");
    const got = Object.values(scene.origins).map((origin) => origin.requests.length);
    assert.deepEqual(got, [1, 1, 1], "every target was asked once");
    const line = await lineOf(scene, "/a");
    assert.deepEqual([line["failures"], line["attempts"], line["escalations"]], [3, 3, 1]);
    assert.equal(await scene.counter("origin_failures"), 3);
  },
);

scenario(
  "S2-14 a POST that may not be repeated gets the operator's answer too",
  {
    origins: { main: closes },
    settings: { routes: [{ forwardTo: "main", answers: [{ on: ["5xx"], status: 500, body: "sorry" }] }] },
  },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.post("POST /a", "once");
    assert.deepEqual([answer.status, answer.body.toString()], [500, "sorry"]);
    assert.equal(scene.origin.requests.length, 1);
  },
);
