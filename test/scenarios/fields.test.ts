/** What becomes of header fields: order and case, hop-by-hop, and what origins are told about the client. */
import { strict as assert } from "node:assert";
import { echoed, verbatim } from "../support/behaviours.js";
import { request } from "../support/client.js";
import { scenario } from "../support/scene.js";

/** The echoed field lines of one name. */
function values(seen: { readonly fields: readonly (readonly [string, string])[] }, name: string): string[] {
  return seen.fields.filter(([one]) => one.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

scenario("request fields keep their case, order and duplicates", {}, async (scene) => {
  const client = await scene.client();
  const lines = [
    "aCCept: x",
    "X-One: 1",
    "cookie: a=1",
    "X-TWO: 2",
    "Cookie: b=2",
    "x-one: 3",
    "ETag:weird",
    "User-Agent: test/1 (a; b)",
  ];
  const seen = echoed(await client.ask("GET /a", ...lines));
  const sent = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
  assert.deepEqual(
    seen.fields.filter(([name]) => sent.some(([one]) => one === name)),
    sent,
  );
  assert.equal(seen.fields[0]?.[0], "Host");
});

scenario(
  "answer fields keep their case, order and duplicates",
  {
    origin: verbatim(
      "HTTP/1.1 200 Fine By Me\r\nx-b: 1\r\nSet-Cookie: a=1\r\nX-A:2\r\nset-cookie: b=2\r\nContent-Length: 0\r\nSERVER: old\r\n\r\n",
    ),
  },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a");
    assert.equal(answer.reason, "Fine By Me");
    assert.deepEqual(
      answer.fields.lines
        .filter((line) => /^(x-|set-cookie|server)/i.test(line.name))
        .map((line) => `${line.name}: ${line.value}`),
      ["x-b: 1", "Set-Cookie: a=1", "X-A: 2", "set-cookie: b=2", "SERVER: old"],
    );
  },
);

scenario("CVE-2022-31813 Connection cannot take X-Forwarded-For away", {}, async (scene) => {
  const client = await scene.client();
  const seen = echoed(
    await client.ask("GET /a", "Connection: close, X-Forwarded-For, X-Forwarded-Host, Via", "X-Forwarded-For: 6.6.6.6"),
  );
  assert.deepEqual(values(seen, "x-forwarded-for"), ["127.0.0.1"]);
  assert.equal(values(seen, "x-forwarded-host").length, 1);
  assert.equal(values(seen, "via").length, 1);
});

scenario(
  "a client that is not trusted cannot speak for others",
  { settings: { forwarding: { forwarded: true } } },
  async (scene) => {
    const client = await scene.client({ from: "127.0.0.7" });
    const seen = echoed(
      await client.ask(
        "GET /a",
        "Host: shop.example:8080",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "Forwarded: for=6.6.6.6",
        "X-Real-IP: 6.6.6.6",
      ),
    );
    assert.deepEqual(values(seen, "x-forwarded-for"), ["127.0.0.7"]);
    assert.deepEqual(values(seen, "x-forwarded-proto"), ["http"]);
    assert.deepEqual(values(seen, "x-forwarded-host"), ["shop.example:8080"]);
    assert.deepEqual(values(seen, "x-real-ip"), []);
    const [forwarded, ...more] = values(seen, "forwarded");
    assert.deepEqual(more, []);
    assert.match(forwarded ?? "", /for="?127\.0\.0\.7"?/);
    assert.match(forwarded ?? "", /host="shop\.example:8080"/);
    assert.match(forwarded ?? "", /proto=http(;|$)/);
  },
);

scenario(
  "a trusted proxy's word is kept and extended",
  { settings: { forwarding: { forwarded: true, trustedProxies: ["127.0.0.8/32"] } } },
  async (scene) => {
    const trusted = await scene.client({ from: "127.0.0.8" });
    const seen = echoed(
      await trusted.ask(
        "GET /a",
        "X-Forwarded-For: 6.6.6.6, 7.7.7.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: shop.example",
        "Forwarded: for=6.6.6.6",
      ),
    );
    assert.equal(values(seen, "x-forwarded-for").join(", "), "6.6.6.6, 7.7.7.7, 127.0.0.8");
    assert.deepEqual(values(seen, "x-forwarded-proto"), ["https"]);
    assert.deepEqual(values(seen, "x-forwarded-host"), ["shop.example"]);
    assert.match(values(seen, "forwarded").join(", "), /^for=6\.6\.6\.6, ?for=127\.0\.0\.8/);
    const other = await scene.client({ from: "127.0.0.9" });
    assert.deepEqual(values(echoed(await other.ask("GET /a", "X-Forwarded-For: 6.6.6.6")), "x-forwarded-for"), [
      "127.0.0.9",
    ]);
  },
);

scenario(
  "several X-Forwarded-For fields of a trusted proxy become one",
  { settings: { forwarding: { trustedProxies: ["127.0.0.0/8"] } } },
  async (scene) => {
    const client = await scene.client();
    const seen = echoed(await client.ask("GET /a", "X-Forwarded-For: 1.1.1.1", "X-A: b", "X-Forwarded-For: 2.2.2.2"));
    assert.deepEqual(values(seen, "x-forwarded-for"), ["1.1.1.1, 2.2.2.2, 127.0.0.1"]);
  },
);

scenario(
  "forwarding fields can be switched off",
  { settings: { forwarding: { via: false, xForwarded: false } } },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6");
    const seen = echoed(answer);
    for (const name of ["via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"])
      assert.deepEqual(values(seen, name), [], name);
    assert.equal(answer.fields.has("via"), false);
  },
);

scenario("Via names this proxy both ways, behind those before it", { settings: { name: "edge-7" } }, async (scene) => {
  const client = await scene.client();
  const answer = await client.ask("GET /a", "Via: 1.0 fred, 1.1 p.example");
  assert.equal(values(echoed(answer), "via").join(", "), "1.0 fred, 1.1 p.example, 1.1 edge-7");
  assert.equal(answer.fields.one("via"), "1.1 edge-7");
});

scenario(
  "the origin's Host is the client's, the target's or a literal, as the settings say",
  {
    settings: (origins) => ({
      origins: {
        app: { host: "client" },
        target: { targets: [origins["app"]?.url ?? ""], host: "target" },
        literal: { targets: [origins["app"]?.url ?? ""], host: "inner.example" },
      },
      routes: [
        { match: { path: "/target" }, forwardTo: "target" },
        { match: { path: "/literal" }, forwardTo: "literal" },
        { forwardTo: "app" },
      ],
    }),
  },
  async (scene) => {
    const client = await scene.client();
    assert.deepEqual(values(echoed(await client.ask("GET /a", "Host: Shop.Example:81")), "host"), ["Shop.Example:81"]);
    assert.deepEqual(values(echoed(await client.ask("GET /target", "Host: shop.example")), "host"), [
      `127.0.0.1:${scene.origin.port}`,
    ]);
    const literal = echoed(await client.ask("GET /literal", "Host: shop.example"));
    assert.deepEqual(values(literal, "host"), ["inner.example"]);
    assert.deepEqual(values(literal, "x-forwarded-host"), ["shop.example"]);
  },
);

scenario("absolute-form: the target's authority is the Host, whatever Host says", {}, async (scene) => {
  const client = await scene.client();
  const seen = echoed(await client.ask("GET http://real.example:81/p?q=1", "Host: other.example"));
  assert.equal(seen.target, "/p?q=1");
  assert.deepEqual(values(seen, "host"), ["real.example:81"]);
  assert.deepEqual(values(seen, "x-forwarded-host"), ["real.example:81"]);
});

scenario("OPTIONS * reaches the origin as *", {}, async (scene) => {
  const client = await scene.client();
  assert.equal(echoed(await client.ask("OPTIONS *")).target, "*");
});

scenario(
  "request and answer fields are edited by the route, after everything else",
  {
    settings: {
      routes: [
        {
          forwardTo: "app",
          requestHeaders: { set: { "X-Env": "prod" }, add: { "X-More": ["1", "2"] }, remove: ["X-Secret", "Cookie"] },
          responseHeaders: { set: { Server: "hidden" }, remove: ["X-Powered-By"], add: { "X-Served": "yes" } },
        },
      ],
    },
    origin: verbatim("HTTP/1.1 200 OK\r\nServer: nosy/1.0\r\nX-Powered-By: luck\r\nContent-Length: 0\r\n\r\n"),
  },
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a", "x-env: dev", "X-ENV: test", "X-More: 0", "x-secret: s", "Cookie: a=b");
    const { fields } = scene.origin.last;
    assert.deepEqual(fields.all("x-env"), ["prod"]);
    assert.deepEqual(fields.all("x-more"), ["0", "1", "2"]);
    assert.equal(fields.has("x-secret") || fields.has("cookie"), false);
    assert.equal(answer.fields.one("server"), "hidden");
    assert.equal(answer.fields.has("x-powered-by"), false);
    assert.equal(answer.fields.one("x-served"), "yes");
  },
);

scenario("a field that a client repeats a hundred times arrives a hundred times", {}, async (scene) => {
  const client = await scene.client();
  await client.send(request("GET /a", ...Array.from({ length: 100 }, (_, n) => `X-N: ${n}`)));
  assert.deepEqual(
    values(echoed(await client.answer()), "x-n"),
    Array.from({ length: 100 }, (_, n) => String(n)),
  );
});
