/**
 * Nothing a client sends changes what another one gets: fields that are no part of the key, confusions of hosts, paths and
 * methods, ranges, and requests that two parties read in two ways. Each test plays the attacker first and the victim after.
 */
import { strict as assert } from "node:assert";
import { reply, serve } from "../support/behaviours.js";
import { asked, caching, counting, fresh, isHit, stating, textOf, told } from "../support/cache.js";
import { request } from "../support/client.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import type { Script } from "../support/origin.js";
import { type Scene, scenario } from "../support/scene.js";

/** An origin that puts everything it was asked into its answer, and lets everybody store it. */
const MIRROR: Script = counting((a) => {
  const fields = a.fields.lines.map(({ name, value }) => `${name.toLowerCase()}: ${value}`);
  return fresh([`${a.method} ${a.target}`, ...fields].join("\n"));
});

/** What the origin saw is in the body: nothing of the attacker's may be there. */
async function victimSees(scene: Scene, line: string, ...fields: string[]): Promise<string> {
  const victim = await scene.client();
  return textOf(victim, line, ...fields);
}

scenario(
  "X-Forwarded-* and Forwarded of a client that is not trusted reach no answer that is stored",
  caching(MIRROR),
  async (scene) => {
    const attacker = await scene.client();
    const names = [
      "X-Forwarded-Host",
      "X-Forwarded-Proto",
      "X-Forwarded-For",
      "X-Forwarded-Port",
      "Forwarded",
      "X-Real-IP",
    ];
    for (const [index, name] of names.entries()) {
      const value = name === "Forwarded" ? "host=evil.example" : "evil.example";
      await attacker.ask(`GET /${index}`, `${name}: ${value}`);
      const seen = await victimSees(scene, `GET /${index}`);
      assert.equal(seen.includes("evil"), false, `${name}: ${seen}`);
    }
  },
);

scenario(
  "the scheme of the key is that of the connection, whatever X-Forwarded-Proto of an untrusted client says",
  caching(counting(), { cacheStatusKey: true }),
  async (scene) => {
    const attacker = await scene.client();
    const answer = await attacker.ask("GET /a", "X-Forwarded-Proto: https");
    assert.match(answer.fields.one("cache-status") ?? "", /key="http:\/\/a\.example\/a"/);
  },
);

scenario(
  "a field that Vary names is keyed as the origin saw it: what Connection took away is not there",
  caching(counting((a) => fresh(a.fields.one("x-lang") ?? "none", 60, "Vary: X-Lang"))),
  async (scene) => {
    const attacker = await scene.client();
    assert.equal(await textOf(attacker, "GET /a", "X-Lang: en", "Connection: X-Lang"), "none");
    assert.equal(await victimSees(scene, "GET /a", "X-Lang: en"), "en");
    assert.equal(await victimSees(scene, "GET /a"), "none");
    assert.equal(asked(scene, "/a"), 2);
  },
);

scenario("the target's host wins over the Host field, in the key as for the origin", caching(MIRROR), async (scene) => {
  const attacker = await scene.client();
  const own = await textOf(attacker, "GET http://evil.example/a", "Host: a.example");
  assert.ok(own.includes("host: evil.example"), own);
  const seen = await victimSees(scene, "GET /a");
  assert.ok(seen.includes("host: a.example") && !seen.includes("evil"), seen);
});

scenario("two Host fields are refused, and nothing is stored", caching(MIRROR), async (scene) => {
  const attacker = await scene.client();
  await attacker.send("GET /a HTTP/1.1\r\nHost: a.example\r\nHost: evil.example\r\n\r\n");
  assert.equal((await attacker.answer()).status, 400);
  assert.equal(scene.origin.requests.length, 0);
  assert.equal((await victimSees(scene, "GET /a")).includes("evil"), false);
});

/** What an attacker may write for a target that others ask for: host, path. */
const SPELLINGS: readonly (readonly [string, string, string])[] = [
  ["another port", "a.example:8080", "/a"],
  ["the port of the other scheme", "a.example:443", "/a"],
  ["a dot behind the host", "a.example.", "/a"],
  ["letters of the host in another case", "A.EXAMPLE", "/a"],
  ["the port of the scheme", "a.example:80", "/a"],
  ["letters of the path in another case", "a.example", "/A"],
  ["a slash that is encoded", "a.example", "/b%2fc"],
  ["a letter that is encoded", "a.example", "/%61"],
  ["dot segments", "a.example", "/x/../a"],
  ["dot segments that are encoded", "a.example", "/x/%2e%2e/a"],
  ["two slashes", "a.example", "//a"],
  ["a slash behind the path", "a.example", "/a/"],
  ["a backslash", "a.example", "/x/..\\a"],
  ["a parameter of the path", "a.example", "/a;x=1"],
  ["an empty query", "a.example", "/a?"],
  ["an encoded question mark", "a.example", "/a%3f"],
  ["an encoded null", "a.example", "/a%00"],
  ["encoded line ends", "a.example", "/a%0d%0aX:%20y"],
];

for (const [what, host, path] of SPELLINGS)
  scenario(
    `confusion: ${what} gives the others no answer that they would not have got`,
    caching(MIRROR),
    async (scene) => {
      const victims = ["/a", "/b/c", "/"] as const;
      const attacker = await scene.client();
      await attacker.send(request(`GET ${path}`, `Host: ${host}`));
      await attacker.answerOrPart();
      for (const target of victims) {
        const [line, ...fields] = (await victimSees(scene, `GET ${target}`)).split("\n");
        assert.equal(line, `GET ${target}`);
        assert.ok(fields.includes("host: a.example"), fields.join(" | "));
      }
    },
  );

scenario(
  "a GET with a body is answered by the origin alone",
  caching(serve((a, c) => c.send(fresh(a.body.toString() || "none")))),
  async (scene) => {
    const attacker = await scene.client();
    assert.equal((await attacker.post("GET /a", "evil")).body.toString(), "evil");
    await attacker.send(request("GET /a", "Transfer-Encoding: chunked"), "4\r\nevil\r\n0\r\n\r\n");
    assert.equal((await attacker.answer()).body.toString(), "evil");
    assert.equal(await victimSees(scene, "GET /a"), "none");
  },
);

scenario(
  "an answer that varies by more fields than are compared is stored for nobody",
  caching(
    counting((a, n) =>
      fresh(`${a.fields.one("x-0")} ${n}`, 60, `Vary: ${Array.from({ length: 17 }, (_, i) => `X-${i}`).join(", ")}`),
    ),
  ),
  async (scene) => {
    const attacker = await scene.client();
    await attacker.ask("GET /a", "X-0: evil");
    assert.equal(await victimSees(scene, "GET /a", "X-0: evil"), "evil 2");
    assert.equal(await victimSees(scene, "GET /a"), "undefined 3");
  },
);

scenario(
  "a thousand variants of one target push nobody else out and give nobody another's answer",
  caching(counting((a) => fresh(a.fields.one("x-lang") ?? "none", 60, "Vary: X-Lang"))),
  async (scene) => {
    const attacker = await scene.client();
    await attacker.ask("GET /other");
    for (let number = 0; number < 1_000; number += 1)
      assert.equal(await textOf(attacker, "GET /a", `X-Lang: ${number}`), String(number));
    assert.equal(await victimSees(scene, "GET /a"), "none");
    assert.equal(isHit(await attacker.ask("GET /other")), true);
  },
);

scenario(
  "many ranges, overlapping ranges and ranges of nothing cost no more than the whole",
  caching(serve((_, connection) => connection.send(fresh(Buffer.alloc(100_000, "x"))))),
  async (scene) => {
    const attacker = await scene.client();
    await attacker.ask("GET /a");
    const many = Array.from({ length: 1_000 }, (_, n) => `${n * 2}-${n * 2}`).join(",");
    for (const ranges of [many, "0-,0-,0-,0-", "0-99999,0-99999", "5-1", "-", "a-b", "0-1;2-3", " "]) {
      const answer = await attacker.ask("GET /a", `Range: bytes=${ranges}`);
      assert.equal(answer.status, 200, ranges.slice(0, 20));
      assert.equal(answer.body.length, 100_000);
    }
    assert.equal((await attacker.ask("GET /a", "Range: bytes=99999999999999999999-")).status, 416);
    assert.equal((await victimSees(scene, "GET /a")).length, 100_000);
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "a part whose bytes are not those its Content-Range names is given to nobody else",
  caching(
    counting((a, n) => {
      if (a.fields.one("range") === undefined) return fresh(`whole ${n}`);
      const head = "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nContent-Range: bytes 0-9/20\r\n";
      return Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n`);
    }),
  ),
  async (scene) => {
    const attacker = await scene.client();
    for (const count of [1, 2]) {
      await attacker.ask("GET /a", "Range: bytes=0-9");
      assert.equal(asked(scene, "/a"), count, "it was not stored");
    }
    assert.equal(await victimSees(scene, "GET /a"), "whole 3");
  },
);

scenario(
  "a request for another method underneath passes the cache by: X-HTTP-Method-Override and its kin",
  caching(
    counting((a) => {
      const other = ["x-http-method-override", "x-http-method", "x-method-override"].flatMap((n) => a.fields.all(n));
      return fresh(other[0] ?? a.method);
    }),
  ),
  async (scene) => {
    const attacker = await scene.client();
    for (const [index, name] of ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"].entries()) {
      assert.equal(await textOf(attacker, `GET /${index}`, `${name}: HEAD`), "HEAD");
      assert.equal(await victimSees(scene, `GET /${index}`), "GET", name);
    }
  },
);

for (const [what, path] of [
  ["a carriage return", "/a\rX"],
  ["a line end", "/a\r\nX: y"],
  ["a line feed", "/a\nX"],
  ["a null", "/a\0"],
  ["a space", "/a b"],
] as const)
  scenario(
    `a path with ${what} in it is refused or taken for what it is, and splits no key`,
    caching(MIRROR),
    async (scene) => {
      const attacker = await scene.client();
      await attacker.send(`GET ${path} HTTP/1.1\r\nHost: a.example\r\n\r\n`);
      const answer = await attacker.answerOrPart();
      assert.equal(answer.status, 400);
      assert.equal(scene.origin.requests.length, 0);
      assert.ok((await victimSees(scene, "GET /a")).startsWith("GET /a\n"));
    },
  );

scenario(
  "cache deception: what is private stays so, however its path looks",
  caching(
    counting((a) => {
      const who = a.fields.one("cookie") ?? "nobody";
      return a.target.startsWith("/silent")
        ? reply(200, who, "Content-Type: text/html")
        : stating("Cache-Control: private", who, "Content-Type: text/html");
    }),
  ),
  async (scene) => {
    const victim = await scene.client();
    for (const target of ["/account.css", "/account/x.js", "/account;a.css", "/account%0a.css", "/silent.css"]) {
      assert.equal(await textOf(victim, `GET ${target}`, "Cookie: victim"), "victim");
      const attacker = await scene.client();
      assert.equal(await textOf(attacker, `GET ${target}`), "nobody", target);
    }
  },
);

scenario(
  "HEAD stores nothing that a GET gets, whatever its head says",
  caching(
    serve((a, connection) =>
      connection.send(
        a.method === "HEAD"
          ? "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n"
          : fresh("body"),
      ),
    ),
  ),
  async (scene) => {
    const attacker = await scene.client();
    assert.equal((await attacker.ask("HEAD /a")).status, 200);
    const victim = await scene.client();
    const answer = await victim.ask("GET /a");
    assert.equal(answer.body.toString(), "body");
    assert.equal(answer.fields.has("x-evil"), false);
    assert.equal(told(answer), "fwd=uri-miss; stored; detail=uri_miss");
  },
);

scenario(
  "a parameter that is no part of the key smuggles in none that is",
  caching(MIRROR, { key: { query: { except: ["utm_*"] } } }),
  async (scene) => {
    const attacker = await scene.client();
    for (const [index, query] of [
      "utm_a=1;callback=evil",
      "utm_a=1%26callback=evil",
      "utm_a=1?callback=evil",
    ].entries())
      await attacker.ask(`GET /${index}?${query}`);
    assert.equal((await victimSees(scene, "GET /0?utm_a=2")).includes("callback"), false);
  },
);

scenario(
  "HTTP/2: :authority and Host that differ, and schemes and paths that are none, poison nobody",
  { ...caching(MIRROR), settings: priorKnowledge({ routes: [{ forwardTo: "app", cache: true }] as never }) },
  async (scene) => {
    const pseudo = (path: string, authority = "a.example", scheme = "http"): (readonly [string, string])[] => [
      [":method", "GET"],
      [":scheme", scheme],
      [":authority", authority],
      [":path", path],
    ];
    for (const fields of [
      [...pseudo("/a"), ["host", "evil.example"]],
      pseudo("http://evil.example/a"),
      pseudo("/a#evil"),
      pseudo("/a evil"),
      pseudo("/a", "evil.example@a.example"),
      pseudo("/a", "a.example", "https"),
      pseudo("/a", "a.example", "evil"),
      [...pseudo("/a"), [":path", "/evil"]],
      [...pseudo("/a"), ["x-forwarded-host", "evil.example"]],
    ] as (readonly [string, string])[][]) {
      const peer = await openHttp2(scene);
      await peer.outcome(await peer.open(fields));
      await peer.wire.close();
    }
    const seen = await victimSees(scene, "GET /a");
    assert.ok(seen.startsWith("GET /a\n") && !seen.includes("evil"), seen);
    assert.ok(seen.includes("x-forwarded-proto: http\n") || !seen.includes("x-forwarded-proto"), seen);
  },
);
