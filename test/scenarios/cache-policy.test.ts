/** What a route says of its cache: parts of the key, rules of how long, bypasses, and what is told of each answer. */
import { strict as assert } from "node:assert";
import { reply } from "../support/behaviours.js";
import { caching, counting, fresh, isHit, stating, told, ttl } from "../support/cache.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

scenario(
  "key.query: parameters that do not count make no other answer",
  caching(counting(), { key: { query: { except: ["utm_*", "fbclid"] }, sortQuery: true } }),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a?b=1&c=2");
    for (const query of ["c=2&b=1", "b=1&utm_source=x&c=2", "fbclid=1&b=1&c=2"])
      assert.equal(isHit(await client.ask(`GET /a?${query}`)), true, query);
    for (const query of ["b=1", "b=2&c=2", "B=1&c=2"])
      assert.equal(isHit(await client.ask(`GET /a?${query}`)), false, query);
  },
);

scenario(
  "key.headers and key.cookies: what they name tells answers apart, and nothing else of it does",
  caching(counting(), { key: { headers: ["X-Tenant"], cookies: ["theme"] } }),
  async (scene) => {
    const client = await scene.client();
    const base = ["X-Tenant: one", "Cookie: theme=dark; session=1"];
    await client.ask("GET /a", ...base);
    assert.equal(isHit(await client.ask("GET /a", "X-Tenant: one", "Cookie: session=2; theme=dark")), true);
    assert.equal(isHit(await client.ask("GET /a", "X-Tenant: two", "Cookie: theme=dark")), false);
    assert.equal(isHit(await client.ask("GET /a", "X-Tenant: one", "Cookie: theme=light")), false);
    assert.equal(isHit(await client.ask("GET /a", "X-Tenant: one")), false);
  },
);

scenario(
  "key.host, key.foldPathCase and key.space join and divide what routes store",
  {
    origin: counting(),
    settings: {
      routes: [
        { match: { path: "/apart/*" }, forwardTo: "app", cache: { key: { space: "apart" } } },
        { forwardTo: "app", cache: { key: { host: false, foldPathCase: true } } },
      ] as never,
    },
  },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a", "Host: one.example");
    assert.equal(isHit(await client.ask("GET /a", "Host: two.example")), true);
    assert.equal(isHit(await client.ask("GET /A", "Host: two.example")), true);
    await client.ask("GET /apart/a", "Host: one.example");
    assert.equal(isHit(await client.ask("GET /apart/a", "Host: one.example")), true);
    assert.equal(isHit(await client.ask("GET /apart/a", "Host: two.example")), false);
  },
);

scenario(
  "ttl: rules by status and path force, cap, raise and stand in for what answers say",
  caching(
    counting((a, count) => {
      if (a.target === "/404") return reply(404, `n ${count}`);
      if (a.target === "/silent") return reply(200, `n ${count}`);
      return stating(a.target === "/forced" ? "Cache-Control: no-store" : "Cache-Control: max-age=60", `n ${count}`);
    }),
    {
      ttl: [
        { statuses: ["4xx"], defaultS: 10 },
        { path: "/forced", forceS: 30, overrides: true },
        { path: "/capped", capS: 5 },
        { path: "/raised", floorS: 600 },
        { path: "/silent", defaultS: 7 },
      ],
    },
  ),
  async (scene) => {
    const client = await scene.client();
    for (const [target, least, most] of [
      ["/404", 8, 10],
      ["/forced", 28, 30],
      ["/capped", 3, 5],
      ["/raised", 595, 600],
      ["/silent", 5, 7],
      ["/other", 58, 60],
    ] as const) {
      await client.ask(`GET ${target}`);
      const answer = await client.ask(`GET ${target}`);
      assert.equal(answer.body.toString(), "n 1", target);
      const left = ttl(answer) ?? -1;
      assert.ok(left >= least && left <= most, `${target}: ttl ${left}`);
    }
  },
);

scenario(
  "bypass: a request that fits a condition goes to the origin, and its answer is not stored",
  caching(counting(), {
    bypass: [
      { header: "X-Debug" },
      { header: "X-Mode", value: "edit" },
      { cookie: "preview" },
      { query: "nocache" },
      { path: "/admin/*" },
    ],
  }),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    for (const field of ["X-Debug: 0", "X-Mode: edit", "Cookie: a=1; preview=yes"]) {
      const answer = await client.ask("GET /a", field);
      assert.equal(told(answer), "fwd=bypass; detail=bypass_condition", field);
    }
    for (const target of ["/a?x=1&nocache", "/admin/b"])
      for (let round = 0; round < 2; round += 1)
        assert.equal(told(await client.ask(`GET ${target}`)), "fwd=bypass; detail=bypass_condition", target);
    assert.equal(isHit(await client.ask("GET /a", "X-Mode: read")), true);
    assert.equal(await scene.counter("cache_bypassed"), 7);
  },
);

scenario(
  "cookies: bypassOn and bypassExcept send requests with those cookies to the origin",
  {
    origin: counting(),
    settings: {
      routes: [
        { match: { path: "/on/*" }, forwardTo: "app", cache: { cookies: { bypassOn: ["session"] } } },
        { forwardTo: "app", cache: { cookies: { bypassExcept: ["theme"] } } },
      ] as never,
    },
  },
  async (scene) => {
    const client = await scene.client();
    for (const [target, cookie, hit] of [
      ["/on/a", "theme=1", true],
      ["/on/a", "theme=1; session=2", false],
      ["/b", "theme=1", true],
      ["/b", "theme=1; other=2", false],
    ] as const) {
      await client.ask(`GET ${target}`);
      assert.equal(isHit(await client.ask(`GET ${target}`, `Cookie: ${cookie}`)), hit, `${target} ${cookie}`);
    }
  },
);

scenario(
  "CDN-Cache-Control speaks in place of Cache-Control and is kept from nobody (RFC 9213)",
  caching(counting((_, n) => stating("Cache-Control: no-store", `n ${n}`, "CDN-Cache-Control: max-age=60"))),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    const answer = await client.ask("GET /a");
    assert.equal(isHit(answer), true);
    assert.equal(answer.fields.one("cache-control"), "no-store");
    assert.equal(answer.fields.one("cdn-cache-control"), "max-age=60");
  },
);

scenario(
  "surrogateControl is read where the route says so, and kept from clients",
  caching(
    counting((_, n) => stating("Cache-Control: no-store", `n ${n}`, "Surrogate-Control: max-age=60")),
    {
      surrogateControl: true,
    },
  ),
  async (scene) => {
    const client = await scene.client();
    for (const hit of [false, true]) {
      const answer = await client.ask("GET /a");
      assert.equal(isHit(answer), hit);
      assert.equal(answer.fields.has("surrogate-control"), false);
    }
  },
);

scenario(
  "Cache-Status and X-Cache tell hits and misses, the key where the route says so, and nothing where it does not",
  {
    origin: counting(),
    settings: {
      routes: [
        { match: { path: "/told/*" }, forwardTo: "app", cache: { xCache: true, cacheStatusKey: true } },
        { forwardTo: "app", cache: { cacheStatus: false } },
      ] as never,
    },
  },
  async (scene) => {
    const client = await scene.client();
    const miss = await client.ask("GET /told/a?b");
    assert.equal(miss.fields.one("x-cache"), "MISS");
    assert.equal(
      miss.fields.one("cache-status"),
      'millrace; fwd=uri-miss; stored; key="http://a.example/told/a?b"; detail=uri_miss',
    );
    const hit = await client.ask("GET /told/a?b");
    assert.equal(hit.fields.one("x-cache"), "HIT");
    assert.match(
      hit.fields.one("cache-status") ?? "",
      /^millrace; hit; ttl=(59|60); key="http:\/\/a\.example\/told\/a\?b"; detail=fresh$/,
    );
    for (let round = 0; round < 2; round += 1) {
      const answer = await client.ask("GET /a");
      assert.equal(answer.fields.has("cache-status"), false);
      assert.equal(answer.fields.has("x-cache"), false);
    }
    assert.equal(scene.origin.requests.length, 2);
  },
);

scenario(
  "Cache-Status of caches nearer to the origin stays before ours (RFC 9211 2)",
  caching(counting(() => fresh("x", 60, "Cache-Status: inner; hit"))),
  async (scene) => {
    const client = await scene.client();
    for (const ours of ["fwd=uri-miss", "hit"]) {
      const line = (await client.ask("GET /a")).fields.all("cache-status").join(", ");
      assert.ok(line.startsWith("inner; hit, millrace; ") && line.includes(`millrace; ${ours}`), line);
    }
  },
);

scenario(
  "the access log says of each request what the cache made of it and why, and the books count it",
  { ...caching(counting((_, n) => fresh(`n ${n}`, 1, 'ETag: "v"'))), accessLog: true },
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    await client.ask("GET /a");
    await client.ask("POST /b");
    await client.ask("GET /c", "Cache-Control: only-if-cached");
    await pause(1_200);
    await client.ask("GET /a");
    const lines = await scene.accessLog(5);
    assert.deepEqual(
      lines.map((line) => [line["cache"], line["cache_reason"]]),
      [
        ["miss", "uri_miss"],
        ["hit", "fresh"],
        ["bypass", "method_not_cached"],
        ["refused", "only_if_cached"],
        ["miss", "stale"],
      ],
    );
    assert.equal(await scene.counter("cache_hits"), 1);
    assert.equal(await scene.counter("cache_misses"), 2);
    assert.equal(await scene.counter("cache_bypassed"), 1);
    assert.equal(await scene.counter("cache_stored"), 2);
  },
);
