/** Routes over the wire: which one takes a request, what it does, and that tricks with the path choose no other. */
import { strict as assert } from "node:assert";
import { echoed, fixed } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { type Scene, type SceneOptions, scenario } from "../support/scene.js";

/** A scene in which every route answers with its own name. */
function named(routes: readonly (readonly [string, Record<string, unknown>])[]): SceneOptions {
  return { settings: { routes: routes.map(([name, match]) => ({ name, match, answer: { body: name } })) } };
}

/** The name of the route that takes a request, or its status when there is none. */
async function taken(scene: Scene, line: string, ...fields: string[]): Promise<string> {
  const client = await scene.client();
  const answer = await client.ask(line, ...fields);
  await client.close();
  return answer.status === 200 ? answer.body.toString() : String(answer.status);
}

scenario(
  "hosts: exact and wildcard, any case, any port; no route is 404",
  named([
    ["wild", { host: "*.shop.example" }],
    ["exact", { host: ["shop.example", "a.shop.example"] }],
    ["deeper", { host: "*.eu.shop.example" }],
  ]),
  async (scene) => {
    const host = (name: string) => taken(scene, "GET /", `Host: ${name}`);
    assert.equal(await host("shop.example"), "exact");
    assert.equal(await host("SHOP.Example:8080"), "exact");
    assert.equal(await host("shop.example."), "exact");
    assert.equal(await host("b.shop.example"), "wild");
    assert.equal(await host("x.y.shop.example"), "wild");
    assert.equal(await host("evilshop.example"), "404");
    assert.equal(await host("shop.example.evil"), "404");
    assert.equal(await host("[::1]"), "404");
  },
);

scenario(
  "the first route that matches takes the request",
  named([
    ["one", { path: "/a/*" }],
    ["two", { path: "/a/b" }],
    ["rest", {}],
  ]),
  async (scene) => {
    assert.equal(await taken(scene, "GET /a/b"), "one");
    assert.equal(await taken(scene, "GET /ab"), "rest");
  },
);

scenario(
  "paths: exact, prefix of whole segments, pattern; the query has no say",
  named([
    ["exact", { path: "/exact" }],
    ["below", { path: "/tree/*" }],
    ["under", { path: "/only/**" }],
    ["pattern", { path: "/v*/items/*/photo" }],
    ["any", { path: "/files/**.png" }],
  ]),
  async (scene) => {
    for (const [path, route] of [
      ["/exact", "exact"],
      ["/exact?x=/tree/", "exact"],
      ["/exact/", "404"],
      ["/exactly", "404"],
      ["/Exact", "404"],
      ["/tree", "below"],
      ["/tree/", "below"],
      ["/tree/a/b", "below"],
      ["/treetop", "404"],
      ["/only", "404"],
      ["/only/", "under"],
      ["/only/x/y", "under"],
      ["/v1/items/7/photo", "pattern"],
      ["/v1/items/7/8/photo", "404"],
      ["/v1/items/7/photo/", "404"],
      ["/files/a.png", "any"],
      ["/files/a/b/c.png", "any"],
      ["/files/a.jpg", "404"],
    ] as const)
      assert.equal(await taken(scene, `GET ${path}`), route, path);
  },
);

scenario(
  "methods and header fields choose",
  named([
    ["write", { method: ["POST", "PUT"] }],
    ["beta", { header: { "X-Beta": "yes" } }],
    ["traced", { header: { "X-Trace": true } }],
    ["rest", {}],
  ]),
  async (scene) => {
    assert.equal(await taken(scene, "POST /", "Content-Length: 0"), "write");
    assert.equal(await taken(scene, "GET /", "x-beta: yes"), "beta");
    assert.equal(await taken(scene, "GET /", "X-Beta: no"), "rest");
    assert.equal(await taken(scene, "GET /", "X-Trace:"), "traced");
    assert.equal(await taken(scene, "post /"), "rest");
  },
);

scenario(
  "dot segments and percent tricks choose the route that the origin would see",
  named([
    ["admin", { path: "/admin/*" }],
    ["public", {}],
  ]),
  async (scene) => {
    for (const path of [
      "/admin",
      "/admin/",
      "/admin/x",
      "/%61dmin/x",
      "/%61%64%6d%69%6e/x",
      "/./admin/x",
      "/public/../admin/x",
      "/a/b/../../admin/x",
      "/public/%2e%2e/admin/x",
      "/public/.%2e/admin/x",
      "/public/%2E%2E/admin/x",
      "/../admin/x",
      "/%2e/admin/x",
      "/admin/../admin/x",
      "/admin/x/..",
    ])
      assert.equal(await taken(scene, `GET ${path}`), "admin", path);
    for (const path of ["/administrator", "/admin/../public", "/public", "/a/admin", "/Admin/x"])
      assert.equal(await taken(scene, `GET ${path}`), "public", path);
  },
);

scenario(
  "absolute-form: the authority of the target chooses the route, not Host",
  named([
    ["a", { host: "a.example" }],
    ["b", { host: "b.example" }],
  ]),
  async (scene) => {
    assert.equal(await taken(scene, "GET http://b.example/", "Host: a.example"), "b");
  },
);

scenario(
  "a fixed answer has its status, fields and body, and reaches no origin",
  {
    settings: {
      routes: [
        {
          answer: {
            status: 418,
            headers: { "X-A": "1", "Content-Type": "text/plain; charset=utf-8" },
            body: "grüß Gott",
          },
        },
      ],
    },
  },
  async (scene) => {
    const client = await scene.client();
    for (const method of ["GET", "POST", "HEAD"]) {
      const answer = await client.ask(`${method} /`, ...(method === "POST" ? ["Content-Length: 0"] : []));
      assert.equal(answer.status, 418);
      assert.equal(answer.fields.one("x-a"), "1");
      assert.equal(answer.fields.one("content-type"), "text/plain; charset=utf-8");
      assert.equal(answer.body.toString("utf8"), method === "HEAD" ? "" : "grüß Gott");
      assert.equal(answer.fields.one("content-length"), "11");
    }
    assert.equal(scene.origin.accepted, 0);
  },
);

scenario(
  "a fixed answer to a request with a body keeps the connection in step",
  { settings: { routes: [{ answer: { body: "ok" } }] } },
  async (scene) => {
    const client = await scene.client();
    await client.send(
      request("POST /1", "Content-Length: 30"),
      "GET /smuggled HTTP/1.1\r\n\r\n1234",
      request("GET /2"),
    );
    assert.equal((await client.answer()).body.toString(), "ok");
    assert.equal((await client.answer()).body.toString(), "ok");
    await client.seesSilence(30);
  },
);

scenario(
  "a redirect fills in host and path with its query",
  {
    settings: {
      routes: [
        { match: { path: "/old/*" }, redirect: { status: 301, to: "https://{host}{path}" } },
        { redirect: { to: "/new" } },
      ],
    },
  },
  async (scene) => {
    const client = await scene.client();
    const moved = await client.ask("GET /old/a?b=c", "Host: Shop.example:8080");
    assert.equal(moved.status, 301);
    assert.match(moved.fields.one("location") ?? "", /^https:\/\/Shop\.example(:8080)?\/old\/a\?b=c$/i);
    const other = await client.ask("GET /x");
    assert.equal(other.status, 308);
    assert.equal(other.fields.one("location"), "/new");
  },
);

scenario(
  "a redirect cannot be split by what a client asks for",
  { settings: { routes: [{ redirect: { to: "https://{host}{path}" } }] } },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /%0d%0aSet-Cookie:%20a=b");
    assert.equal(answer.fields.has("set-cookie"), false);
    assert.match(answer.fields.one("location") ?? "", /%0d%0a/i);
    // A path that begins with two slashes must not turn a relative redirect into one to another host.
    assert.match(
      (await client.ask("GET //evil.example/")).fields.one("location") ?? "",
      /^https:\/\/a\.example\/\/evil\.example\/$/,
    );
  },
);

scenario(
  "rewrites replace the matched prefix or the whole path and keep the query",
  {
    settings: {
      routes: [
        { match: { path: "/api/*" }, forwardTo: "app", rewrite: { prefix: "/v2" } },
        { match: { path: "/root/*" }, forwardTo: "app", rewrite: { prefix: "/" } },
        { match: { path: "/all" }, forwardTo: "app", rewrite: { path: "/one" } },
        { forwardTo: "app" },
      ],
    },
  },
  async (scene) => {
    const client = await scene.client();
    for (const [asked, seen] of [
      ["/api/x/y?q=1", "/v2/x/y?q=1"],
      ["/api", "/v2"],
      ["/api/", "/v2/"],
      ["/api?q", "/v2?q"],
      ["/root/x", "/x"],
      ["/root", "/"],
      ["/all?a=b", "/one?a=b"],
      ["/else?x", "/else?x"],
      ["/api/a%20b", "/v2/a%20b"],
    ] as const)
      assert.equal(echoed(await client.ask(`GET ${asked}`)).target, seen, asked);
  },
);

scenario(
  "a rewrite under a disguised prefix still lands under the new one",
  {
    settings: {
      routes: [
        { match: { path: "/api/*" }, forwardTo: "app", rewrite: { prefix: "/v2" } },
        { answer: { status: 404 } },
      ],
    },
  },
  async (scene) => {
    const client = await scene.client();
    for (const path of ["/%61pi/x", "/./api/x", "/z/../api/x"]) {
      const answer = await client.ask(`GET ${path}`);
      assert.equal(answer.status, 200, path);
      assert.match(echoed(answer).target, /^\/v2\/x$/, path);
    }
  },
);

scenario(
  "routes lead to different origins, each with its own connections",
  {
    origins: { api: fixed("api"), web: fixed("web") },
    settings: { routes: [{ match: { path: "/api/*" }, forwardTo: "api" }, { forwardTo: "web" }] },
  },
  async (scene) => {
    const client = await scene.client();
    await client.send(request("GET /api/1"), request("GET /2"), request("GET /api/3"), request("GET /4"));
    for (const body of ["api", "web", "api", "web"]) assert.equal((await client.answer()).body.toString(), body);
  },
);
