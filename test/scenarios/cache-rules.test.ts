/** What is stored and what is not: directives, credentials, cookies, rules of the route, and unsafe methods (RFC 9111 3, 4.4). */
import { strict as assert } from "node:assert";
import { reply, serve } from "../support/behaviours.js";
import { asked, caching, counting, fresh, isHit, stating, textOf, told } from "../support/cache.js";
import { scenario } from "../support/scene.js";

/** Answers that are never given to anybody else, by what stands against it. */
const UNSTORED = [
  ["no-store (RFC 9111 5.2.2.5)", ["Cache-Control: no-store, max-age=60"]],
  ["private (5.2.2.7)", ["Cache-Control: private, max-age=60"]],
  ["Vary: * (4.1)", ["Cache-Control: max-age=60", "Vary: *"]],
  ["Set-Cookie without a lifetime", ["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Set-Cookie: a=1"]],
  ["nothing that says how long it is fresh (4.2)", ["X-Nothing: 1"]],
  ["an Expires that is over (5.3)", ["Expires: 0"]],
  ["CDN-Cache-Control: no-store (RFC 9213)", ["Cache-Control: max-age=60", "CDN-Cache-Control: no-store"]],
  ["a lifetime that is no number (4.2.1)", ["Cache-Control: max-age=soon"]],
  ["two lifetimes that differ (4.2.1)", ["Cache-Control: max-age=0, max-age=60"]],
] as const;

for (const [why, fields] of UNSTORED)
  scenario(
    `an answer is not given again because of ${why}`,
    caching(counting((_, count) => reply(200, `n ${count}`, ...fields))),
    async (scene) => {
      const client = await scene.client();
      for (const count of [1, 2, 3]) assert.equal(await textOf(client, "GET /a"), `n ${count}`);
    },
  );

scenario(
  "an answer to Authorization is shared only if it says that it may be (RFC 9111 3.5)",
  caching(
    counting((a, count) => {
      const line = { "/public": "public, max-age=60", "/shared": "s-maxage=60" }[a.target] ?? "max-age=60";
      return stating(`Cache-Control: ${line}`, `${a.target} ${count}`);
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    for (const [target, again] of [
      ["/plain", 2],
      ["/public", 1],
      ["/shared", 1],
    ] as const) {
      assert.equal(await textOf(client, `GET ${target}`, "Authorization: Basic YTpi"), `${target} 1`);
      assert.equal(await textOf(client, `GET ${target}`), `${target} ${again}`);
    }
    // What was asked for without is no secret.
    assert.equal(await textOf(client, "GET /plain", "Authorization: Basic YTpi"), "/plain 2");
  },
);

scenario(
  'authorization: "bypass" sends every request with Authorization to the origin',
  caching(counting(), { authorization: "bypass" }),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    const answer = await client.ask("GET /a", "Authorization: Basic YTpi");
    assert.equal(answer.body.toString(), "/a 2");
    assert.equal(told(answer), "fwd=bypass; detail=bypass_authorization");
    assert.equal(await textOf(client, "GET /a"), "/a 1");
  },
);

scenario(
  'answers with Set-Cookie: "explicit" stores what says how long, "strip" takes the cookie away',
  {
    ...caching(counting((_, count) => fresh(`n ${count}`, 60, "Set-Cookie: a=1"))),
    settings: {
      routes: [
        { match: { path: "/strip/*" }, forwardTo: "app", cache: { setCookie: "strip" } },
        { match: { path: "/refuse/*" }, forwardTo: "app", cache: { setCookie: "refuse" } },
        { forwardTo: "app", cache: true },
      ],
    },
  },
  async (scene) => {
    const client = await scene.client();
    for (const [path, cookie, text] of [
      ["/a", "a=1", "n 1"],
      ["/strip/a", undefined, "n 1"],
      ["/refuse/a", "a=1", "n 2"],
    ] as const) {
      await client.ask(`GET ${path}`);
      const answer = await client.ask(`GET ${path}`);
      assert.equal(answer.fields.one("set-cookie"), cookie, path);
      assert.equal(answer.body.toString(), text, path);
    }
  },
);

scenario(
  "requests choose among variants by the fields that Vary names (RFC 9111 4.1)",
  caching(counting((a) => fresh(a.fields.all("x-lang").join("+") || "none", 60, "Vary: X-Lang"))),
  async (scene) => {
    const client = await scene.client();
    for (let round = 0; round < 2; round += 1) {
      for (const lang of ["de", "en"]) assert.equal(await textOf(client, "GET /a", `X-Lang: ${lang}`), lang);
      assert.equal(await textOf(client, "GET /a"), "none");
    }
    assert.equal(scene.origin.requests.length, 3);
    assert.equal(told(await client.ask("GET /a", "X-Lang: fr")), "fwd=vary-miss; stored; detail=vary_miss");
  },
);

scenario(
  "an origin that changes its Vary from answer to answer makes no variants flip-flop",
  caching(
    counting((a) => {
      const lang = a.fields.one("x-lang") ?? "none";
      return fresh(lang, 60, lang === "de" ? "Vary: X-Lang" : "Vary: X-Lang, X-Other");
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    for (let round = 0; round < 3; round += 1)
      for (const lang of ["de", "en", "fr"]) assert.equal(await textOf(client, "GET /a", `X-Lang: ${lang}`), lang);
    assert.equal(scene.origin.requests.length, 3);
  },
);

for (const method of ["POST", "PUT", "DELETE", "PATCH", "PURGEISH"])
  scenario(
    `${method} makes what is stored for its target invalid, and what its answer names (RFC 9111 4.4)`,
    caching(
      counting((a, count) =>
        a.method === "GET"
          ? fresh(`${a.target} ${count}`)
          : reply(201, "", "Location: /b", "Content-Location: http://a.example/c", "Content-Location-X: /d"),
      ),
    ),
    async (scene) => {
      const client = await scene.client();
      for (const target of ["/a", "/b", "/c", "/d"]) await client.ask(`GET ${target}`);
      assert.equal((await client.post(`${method} /a`, "x")).status, 201);
      for (const target of ["/a", "/b", "/c"])
        assert.equal(isHit(await client.ask(`GET ${target}`)), false, `${target} is gone`);
      assert.equal(isHit(await client.ask("GET /d")), true);
      assert.equal(await scene.counter("cache_invalidations"), 1);
    },
  );

scenario(
  "an unsafe method that fails, and a Location on another host, make nothing invalid (RFC 9111 4.4)",
  caching(
    counting((a, count) => {
      if (a.method === "GET") return fresh(`${a.target} ${count}`);
      return a.target === "/a" ? reply(500, "") : reply(201, "", "Location: http://b.example/b");
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await client.ask("GET /b", "Host: b.example");
    await client.post("POST /a", "x");
    await client.post("POST /c", "x");
    assert.equal(isHit(await client.ask("GET /a")), true);
    assert.equal(isHit(await client.ask("GET /b", "Host: b.example")), true);
  },
);

scenario(
  "a safe method that is not stored passes and leaves alone what is (RFC 9110 9.2.1)",
  caching(counting()),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    const answer = await client.ask("OPTIONS /a");
    assert.equal(told(answer), "fwd=method; detail=method_not_cached");
    assert.equal(isHit(await client.ask("GET /a")), true);
  },
);

scenario(
  "only-if-cached gets what is stored, or 504 without a word to the origin (RFC 9111 5.2.1.7)",
  caching(counting()),
  async (scene) => {
    const client = await scene.client();
    const none = await client.ask("GET /a", "Cache-Control: only-if-cached");
    assert.equal(none.status, 504);
    assert.equal(told(none), "detail=only_if_cached");
    assert.equal(scene.origin.requests.length, 0);
    await client.ask("GET /a");
    assert.equal(isHit(await client.ask("GET /a", "Cache-Control: only-if-cached")), true);
  },
);

scenario(
  "what a client asks of a stored answer is honoured (RFC 9111 5.2.1)",
  caching(counting((_, count) => fresh(`n ${count}`, 60, "Age: 10"))),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    for (const [directive, detail] of [
      ["max-age=5", "client_max_age"],
      ["min-fresh=55", "client_min_fresh"],
      ["no-cache", "client_no_cache"],
      ["no-store", "client_no_store"],
    ] as const)
      assert.match(told(await client.ask("GET /a", `Cache-Control: ${directive}`)), new RegExp(`detail=${detail}$`));
    for (const directive of ["max-age=30", "min-fresh=40", "max-stale", "unheard-of=1"])
      assert.equal(isHit(await client.ask("GET /a", `Cache-Control: ${directive}`)), true, directive);
  },
);

scenario(
  'clientDirectives: "ignore" has reloads of clients ask nobody',
  caching(counting(), { clientDirectives: "ignore" }),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    for (const field of ["Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache"])
      assert.equal(isHit(await client.ask("GET /a", field)), true, field);
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "a route without a cache stores nothing and says nothing of it",
  { origin: counting(), settings: { routes: [{ forwardTo: "app" }] as never } },
  async (scene) => {
    const client = await scene.client();
    for (const count of [1, 2]) {
      const answer = await client.ask("GET /a");
      assert.equal(answer.body.toString(), `/a ${count}`);
      assert.equal(answer.fields.has("cache-status"), false);
    }
    assert.equal(asked(scene, "/a"), 2);
  },
);

scenario(
  "a GET with a body passes the cache by",
  caching(serve((a, connection) => connection.send(fresh(`got ${a.body.toString()}`)))),
  async (scene) => {
    const client = await scene.client();
    const answer = await client.post("GET /a", "one");
    assert.equal(answer.body.toString(), "got one");
    assert.equal(told(answer), "fwd=bypass; detail=request_body");
    assert.equal((await client.post("GET /a", "two")).body.toString(), "got two");
    assert.equal(await textOf(client, "GET /a"), "got ");
  },
);

/** What an answer to POST says of itself, and whether GET gets it (RFC 9110 9.3.3). */
const POSTED = [
  ["names its own target and says how long it is fresh", ["Cache-Control: max-age=60", "Content-Location: /a"], true],
  ["says how long it is fresh only", ["Cache-Control: max-age=60"], false],
  ["names another target", ["Cache-Control: max-age=60", "Content-Location: /b"], false],
  ["names its own target only", ["Content-Location: /a"], false],
] as const;

for (const [says, fields, stored] of POSTED)
  scenario(
    `an answer to POST that ${says} is ${stored ? "given to GET" : "not stored"}`,
    caching(
      counting((asks, count) =>
        asks.method === "POST" ? reply(200, `posted ${count}`, ...fields) : fresh(`got ${count}`),
      ),
    ),
    async (scene) => {
      const client = await scene.client();
      assert.equal(await textOf(client, "GET /a"), "got 1");
      await client.send("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi");
      assert.equal((await client.answer()).body.toString(), "posted 2");
      assert.equal(await textOf(client, "GET /a"), stored ? "posted 2" : "got 3");
      assert.equal(asked(scene, "/a"), stored ? 2 : 3);
    },
  );
