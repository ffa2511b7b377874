/** What is stored and no longer fresh: validated, used while it is validated, used because the origin fails (RFC 9111 4.3, RFC 5861, S2-10). */
import { strict as assert } from "node:assert";
import { reply, serve } from "../support/behaviours.js";
import { asked, caching, counting, fresh, isHit, stating, textOf, told, untilHit } from "../support/cache.js";
import { request } from "../support/client.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

scenario(
  "a stale answer is validated by its tag and its date; 304 makes it fresh, with the new fields (RFC 9111 4.3)",
  caching(
    counting((a) => {
      if (a.fields.one("if-none-match") !== '"v1"')
        return fresh("text", 1, 'ETag: "v1"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "X-Old: 1", "X-Both: 1");
      return Buffer.from('HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: "v1"\r\nX-Both: 2\r\n\r\n');
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await pause(1_100);
    const validated = await client.ask("GET /a");
    assert.equal(scene.origin.last.fields.one("if-modified-since"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert.equal(validated.status, 200);
    assert.equal(validated.body.toString(), "text");
    assert.equal(told(validated), "fwd=stale; fwd-status=304; stored; detail=stale");
    const hit = await client.ask("GET /a");
    assert.equal(told(hit), "hit; detail=fresh");
    assert.equal(hit.fields.one("x-old"), "1");
    assert.equal(hit.fields.one("x-both"), "2");
    assert.equal(scene.origin.requests.length, 2);
    assert.equal(await scene.counter("cache_revalidated"), 1);
  },
);

scenario(
  "a client's own condition on a stale answer is judged by what the validation brings",
  caching(
    counting((a, count) => {
      const tag = `"v${count}"`;
      return a.fields.one("if-none-match") === '"v1"' && a.target === "/same"
        ? Buffer.from('HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: "v1"\r\n\r\n')
        : fresh(`n ${count}`, 1, `ETag: ${tag}`);
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    for (const target of ["/same", "/other"]) await client.ask(`GET ${target}`);
    await pause(1_100);
    assert.equal((await client.ask("GET /same", 'If-None-Match: "v1"')).status, 304);
    assert.equal((await client.ask("GET /same", 'If-None-Match: "v0"')).status, 200);
    const changed = await client.ask("GET /other", 'If-None-Match: "v1"');
    assert.equal(changed.status, 200);
    assert.equal(changed.body.toString(), "n 2");
  },
);

scenario(
  "many that ask for one stale answer at once cost one validation",
  caching(
    counting(async (a) => {
      if (a.fields.one("if-none-match") === undefined) return fresh("text", 1, 'ETag: "v1"');
      await pause(300);
      return Buffer.from('HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: "v1"\r\n\r\n');
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await pause(1_100);
    const clients = await Promise.all(Array.from({ length: 20 }, () => scene.client()));
    const answers = await Promise.all(clients.map((one) => one.ask("GET /a")));
    assert.deepEqual([...new Set(answers.map((answer) => answer.body.toString()))], ["text"]);
    assert.equal(scene.origin.requests.length, 2);
  },
);

scenario(
  "an answer that must be validated each time is (no-cache, RFC 9111 5.2.2.4), and 304 saves its body",
  caching(
    counting((a) =>
      a.fields.one("if-none-match") === '"v1"'
        ? Buffer.from('HTTP/1.1 304 Not Modified\r\nCache-Control: no-cache\r\nETag: "v1"\r\n\r\n')
        : stating("Cache-Control: no-cache", "text", 'ETag: "v1"'),
    ),
  ),
  async (scene) => {
    const client = await scene.client();
    for (let round = 1; round <= 3; round += 1) {
      assert.equal(await textOf(client, "GET /a"), "text");
      assert.equal(scene.origin.requests.length, round);
    }
    assert.equal(scene.origin.last.fields.one("if-none-match"), '"v1"');
  },
);

scenario(
  "stale-while-revalidate answers at once and renews once, whoever asks meanwhile (RFC 5861 3)",
  {
    ...caching(
      counting(async (_, count) => {
        if (count > 1) await pause(300);
        return stating(`Cache-Control: max-age=${count === 1 ? 1 : 60}, stale-while-revalidate=60`, `n ${count}`);
      }),
    ),
    workers: 2,
  },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await pause(1_100);
    const clients = await Promise.all(Array.from({ length: 20 }, () => scene.client()));
    const began = Date.now();
    const answers = await Promise.all(clients.map((one) => one.ask("GET /a")));
    assert.ok(Date.now() - began < 280, "nobody waited for the origin");
    for (const answer of answers) {
      assert.equal(answer.body.toString(), "n 1");
      assert.equal(told(answer), "hit; detail=while_revalidating");
    }
    await scene.origin.sees("the renewal", () => asked(scene, "/a") === 2);
    await pause(400);
    assert.equal(await textOf(client, "GET /a"), "n 2");
    assert.equal(asked(scene, "/a"), 2);
    assert.equal(await scene.counter("cache_background"), 1);
  },
);

/** How often an origin was asked for each target, and what it says the first time and afterwards. */
const asks = new Map<string, number>();
const FIRST = (target: string): Buffer => stating("Cache-Control: max-age=1, stale-if-error=3", target);
const AFTERWARDS = (target: string): Buffer =>
  target === "/broken" ? Buffer.from("HTTP/1.1 nonsense\r\n\r\n") : reply(target === "/404" ? 404 : 503, "bad");

scenario(
  "stale-if-error is used when the origin answers 5xx, breaks, or is silent, and not for longer than it says (RFC 5861 4)",
  {
    ...caching(
      serve(async (a, connection) => {
        const count = asks.get(a.target) ?? 0;
        asks.set(a.target, count + 1);
        const silent = count > 0 && a.target === "/silent";
        if (!silent) await connection.send(count === 0 ? FIRST(a.target) : AFTERWARDS(a.target));
      }),
    ),
    originSettings: { firstByteMs: 300 },
  },
  async (scene) => {
    const client = await scene.client();
    for (const target of ["/503", "/broken", "/silent", "/404"]) await client.ask(`GET ${target}`);
    await pause(1_100);
    for (const target of ["/503", "/broken", "/silent"]) {
      const answer = await client.ask(`GET ${target}`);
      assert.equal(answer.status, 200, target);
      assert.equal(told(answer).split("; ").at(-1), "detail=if_error");
    }
    assert.equal((await client.ask("GET /404")).status, 404, "a 404 is an answer");
    await pause(3_000);
    assert.equal((await client.ask("GET /503")).status, 503);
  },
);

scenario(
  "S2-10 an origin that is gone is covered by what is stored within its grace; must-revalidate gets 504 (RFC 9111 5.2.2.2)",
  caching(
    counting((a) => {
      const line = a.target === "/must" ? "max-age=1, must-revalidate" : "max-age=1";
      return stating(`Cache-Control: ${line}`, a.target);
    }),
    { grace: { ifErrorS: 60 } },
  ),
  async (scene) => {
    const client = await scene.client();
    for (const target of ["/a", "/must"]) await client.ask(`GET ${target}`);
    await pause(1_100);
    await scene.origin.stop();
    const answer = await client.ask("GET /a");
    assert.equal(answer.body.toString(), "/a");
    assert.match(told(answer), /^hit; detail=(if_error|origin_down)$/);
    assert.ok(Number(answer.fields.one("age")) >= 1);
    assert.equal((await client.ask("GET /must")).status, 504);
    assert.ok((await client.ask("GET /never")).status >= 502);
    assert.equal(await scene.counter("cache_stale"), 1);
  },
);

scenario(
  "a failure is passed on where what is stored is no answer to the request, and the origin is not asked for ever",
  caching(
    counting((a) => {
      if (a.fields.one("range") === "bytes=0-3")
        return Buffer.from(
          'HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nETag: "v1"\r\nContent-Range: bytes 0-3/8\r\nContent-Length: 4\r\n\r\nabcd',
        );
      return a.target === "/whole" && a.fields.one("if-match") === undefined
        ? fresh("whole", 60, 'ETag: "v1"')
        : reply(503, "bad");
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /part", "Range: bytes=0-3");
    assert.equal((await client.ask("GET /part")).status, 503);
    await client.ask("GET /whole");
    assert.equal((await client.ask("GET /whole", 'If-Match: "v2"')).status, 503);
    assert.equal(scene.origin.requests.length, 4);
    assert.equal(isHit(await client.ask("GET /whole")), true);
    assert.equal(isHit(await client.ask("GET /part", "Range: bytes=1-2")), true);
  },
);

scenario(
  "a 304 about something that is not stored has the origin asked again without conditions (RFC 9111 4.3.3)",
  caching(
    counting((a, count) => {
      if (a.fields.one("if-none-match") !== undefined) return Buffer.from('HTTP/1.1 304 No\r\nETag: "other"\r\n\r\n');
      return fresh(`n ${count}`, count === 1 ? 1 : 60, 'ETag: "v1"');
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await pause(1_100);
    assert.equal(await textOf(client, "GET /a"), "n 3");
    assert.equal(isHit(await client.ask("GET /a")), true);
    assert.equal(scene.origin.requests.length, 3);
  },
);

scenario(
  "HEAD with other validators makes what is stored stale; with the same ones it is fresh again (RFC 9111 4.3.5)",
  caching(
    counting((a, count) => fresh(`n ${count}`, 60, `ETag: "${a.target === "/same" ? 1 : count}"`)),
    {
      clientDirectives: "honour",
    },
  ),
  async (scene) => {
    const client = await scene.client();
    for (const target of ["/same", "/other"]) {
      await client.ask(`GET ${target}`);
      await client.ask(`HEAD ${target}`, "Cache-Control: no-cache");
    }
    assert.equal(isHit(await client.ask("GET /same")), true);
    assert.equal(isHit(await client.ask("GET /other")), false);
  },
);

scenario(
  "a client that leaves while its stale answer is renewed in the background does not end the renewal",
  caching(
    counting(async (_, count) => {
      if (count === 2) await pause(300);
      return stating(`Cache-Control: max-age=${count === 1 ? 1 : 60}, stale-while-revalidate=60`, `n ${count}`);
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await pause(1_100);
    await client.send(request("GET /a"));
    await client.answer();
    await client.reset();
    await pause(500);
    const next = await scene.client();
    assert.equal((await untilHit(next, "GET /a")).body.toString(), "n 2");
    assert.equal(asked(scene, "/a"), 2);
  },
);

scenario(
  "S2-08 an answer of the origin escalated to is stored under the client's key, for as long as the rule lets it and no longer",
  {
    origins: {
      app: serve((_, connection) => connection.send(reply(503, "bad"))),
      spare: counting((_, count) => fresh(`spare ${count}`, 3_600)),
    },
    settings: {
      routes: [{ forwardTo: "app", cache: true, escalate: [{ on: ["5xx"], to: "spare", cacheS: 1 }] }] as never,
    },
  },
  async (scene) => {
    const client = await scene.client();
    assert.equal(await textOf(client, "GET /a"), "spare 1");
    const hit = await client.ask("GET /a");
    assert.equal(hit.body.toString(), "spare 1");
    assert.equal(told(hit), "hit; detail=fresh");
    await pause(1_100);
    assert.equal(await textOf(client, "GET /a"), "spare 2");
  },
);
