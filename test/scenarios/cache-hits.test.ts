/** What is stored answers the next who asks: GET and HEAD, conditions, ranges, and what is told of it (RFC 9111 4). */
import { strict as assert } from "node:assert";
import { serve } from "../support/behaviours.js";
import { asked, caching, counting, fresh, isHit, stating, textOf, told, ttl, untilHit } from "../support/cache.js";
import { request } from "../support/client.js";
import type { Script } from "../support/origin.js";
import { scenario } from "../support/scene.js";
import { pause } from "../support/wire.js";

const ALPHABET = "abcdefghijklmnopqrstuvwxyz";

scenario("a fresh answer is given again without asking the origin (RFC 9111 4)", caching(counting()), async (scene) => {
  const client = await scene.client();
  const first = await client.ask("GET /a");
  assert.equal(first.body.toString(), "/a 1");
  assert.equal(told(first), "fwd=uri-miss; stored; detail=uri_miss");
  const second = await client.ask("GET /a");
  assert.equal(second.body.toString(), "/a 1");
  assert.equal(told(second), "hit; detail=fresh");
  assert.ok((ttl(second) ?? 0) > 55 && (ttl(second) ?? 99) <= 60, `ttl ${ttl(second)}`);
  assert.equal(second.fields.one("age"), "0");
  assert.equal(second.fields.one("content-length"), "4");
  assert.equal(asked(scene, "/a"), 1);
});

scenario("the age of a stored answer grows with the time (RFC 9111 4.2.3, 5.1)", caching(counting()), async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  await pause(1_100);
  const age = Number((await client.ask("GET /a")).fields.one("age"));
  assert.ok(age >= 1 && age <= 3, `Age: ${age}`);
});

scenario(
  "the age an answer came with counts (RFC 9111 4.2.3)",
  caching(counting((_, count) => fresh(`n ${count}`, 60, "Age: 58"))),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    const second = await client.ask("GET /a");
    assert.equal(second.fields.one("age"), "58");
    await pause(2_100);
    assert.equal((await client.ask("GET /a")).body.toString(), "n 2");
  },
);

scenario(
  "other targets, queries, hosts and ports are other answers; absolute-form is not (RFC 9112 3.2.2)",
  caching(counting((asked) => fresh(`${asked.fields.one("host")} ${asked.target}`))),
  async (scene) => {
    const client = await scene.client();
    const texts = [];
    for (const target of ["/a", "/b", "/a?", "/a?x=1", "/a?x=2"]) texts.push(await textOf(client, `GET ${target}`));
    for (const host of ["b.example", "a.example:81"]) texts.push(await textOf(client, "GET /a", `Host: ${host}`));
    assert.equal(new Set(texts).size, 7);
    assert.equal(scene.origin.requests.length, 7);
    assert.equal(told(await client.ask("GET http://a.example/a", "Host: b.example")), "hit; detail=fresh");
  },
);

scenario(
  "each spelling of a target has its own answer, and one unsafe method means them all (RFC 9111 4.4, RFC 3986 6.2)",
  caching(counting()),
  async (scene) => {
    const client = await scene.client();
    const spellings = [
      ["/a", "a.example"],
      ["/a", "A.EXAMPLE"],
      ["/a", "a.example:80"],
      ["/%61", "a.example"],
      ["/b/../a", "a.example"],
    ] as const;
    const ask = ([target, host]: (typeof spellings)[number]): ReturnType<typeof client.ask> =>
      client.ask(`GET ${target}`, `Host: ${host}`);
    for (const hit of [false, true])
      for (const one of spellings) assert.equal(isHit(await ask(one)), hit, one.join(" "));
    await client.post("POST /a", "x");
    for (const one of spellings) assert.equal(isHit(await ask(one)), false, one.join(" "));
  },
);

scenario("HEAD is answered from a stored GET (RFC 9111 4)", caching(counting()), async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  const head = await client.ask("HEAD /a");
  assert.equal(told(head), "hit; detail=fresh");
  assert.equal(head.fields.one("content-length"), "4");
  assert.equal(head.body.length, 0);
  assert.equal(await textOf(client, "GET /a"), "/a 1");
  assert.equal(scene.origin.requests.length, 1);
});

scenario(
  "a HEAD on a miss reaches the origin as HEAD and stores nothing that a GET would get",
  caching(counting()),
  async (scene) => {
    const client = await scene.client();
    assert.equal((await client.ask("HEAD /a")).status, 200);
    assert.equal(scene.origin.last.method, "HEAD");
    const answer = await client.ask("GET /a");
    assert.equal(answer.body.toString(), "/a 2");
  },
);

scenario(
  "If-None-Match is answered 304 from what is stored, by weak comparison (RFC 9111 4.3.2)",
  caching(counting((asked) => fresh(asked.target, 60, 'ETag: "v1"', "Content-Type: text/plain", "X-Kept: 1"))),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    for (const tags of ['"v1"', 'W/"v1"', '"v0", "v1"', "*"]) {
      const answer = await client.ask("GET /a", `If-None-Match: ${tags}`);
      assert.equal(answer.status, 304, tags);
      assert.equal(answer.fields.one("etag"), '"v1"');
      assert.equal(answer.fields.one("cache-control"), "max-age=60");
      assert.equal(answer.fields.has("content-length"), false, "a 304 has no content");
      assert.equal(told(answer), "hit; detail=fresh");
    }
    assert.equal((await client.ask("GET /a", 'If-None-Match: "v2"')).status, 200);
    assert.equal((await client.ask("HEAD /a", 'If-None-Match: "v1"')).status, 304);
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "If-Modified-Since is answered 304 from what is stored; If-None-Match goes before it (RFC 9110 13.2.2)",
  caching(counting((a) => fresh(a.target, 60, 'ETag: "v1"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"))),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    const since = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT";
    assert.equal((await client.ask("GET /a", since)).status, 304);
    assert.equal((await client.ask("GET /a", since, 'If-None-Match: "other"')).status, 200);
    assert.equal((await client.ask("GET /a", "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT")).status, 200);
    assert.equal((await client.ask("GET /a", "If-Modified-Since: yesterday")).status, 200);
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "one range of what is stored is a 206 with its place (RFC 9110 14.2, 15.3.7)",
  caching(serve((_, connection) => connection.send(fresh(ALPHABET, 60, 'ETag: "v1"', "Content-Type: text/plain")))),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    for (const [range, place, text] of [
      ["0-2", "0-2", "abc"],
      ["23-", "23-25", "xyz"],
      ["-2", "24-25", "yz"],
      ["20-99", "20-25", "uvwxyz"],
    ] as const) {
      const answer = await client.ask("GET /a", `Range: bytes=${range}`);
      assert.equal(answer.status, 206);
      assert.equal(answer.fields.one("content-range"), `bytes ${place}/26`);
      assert.equal(answer.body.toString(), text);
      assert.equal(told(answer), "hit; detail=fresh");
    }
    const none = await client.ask("GET /a", "Range: bytes=26-");
    assert.equal(none.status, 416);
    assert.equal(none.fields.one("content-range"), "bytes */26");
    const other = await client.ask("GET /a", "Range: bytes=0-2", 'If-Range: "v0"');
    assert.equal(other.status, 200);
    assert.equal(other.body.toString(), ALPHABET);
    assert.equal((await client.ask("GET /a", "Range: bytes=0-2", 'If-Range: "v1"')).status, 206);
    assert.equal((await client.ask("HEAD /a", "Range: bytes=0-2")).status, 200, "Range means nothing to HEAD");
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario(
  "several ranges of what is stored are a multipart answer (RFC 9110 14.6)",
  caching(serve((_, connection) => connection.send(fresh(ALPHABET, 60, "Content-Type: text/plain")))),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    const answer = await client.ask("GET /a", "Range: bytes=0-1,5-6,-1");
    assert.equal(answer.status, 206);
    const boundary = /^multipart\/byteranges; ?boundary="?([^"]+)"?$/.exec(
      answer.fields.one("content-type") ?? "",
    )?.[1];
    assert.ok(boundary !== undefined, answer.fields.one("content-type"));
    const parts = answer.body.toString("latin1").split(`--${boundary}`);
    assert.equal(parts.at(-1)?.trim(), "--");
    const found = parts.slice(1, -1).map((part) => {
      const [head, body] = part.split("\r\n\r\n");
      assert.match(head ?? "", /content-type: text\/plain/i);
      return [/content-range: bytes (\S+)/i.exec(head ?? "")?.[1], body?.replace(/\r\n$/, "")];
    });
    assert.deepEqual(found, [
      ["0-1/26", "ab"],
      ["5-6/26", "fg"],
      ["25-25/26", "z"],
    ]);
    assert.equal(answer.fields.one("content-length"), String(answer.body.length));
    assert.equal(scene.origin.requests.length, 1);
  },
);

/** An origin that gives parts of the alphabet; its tag is strong unless it is told another. */
const partly = (tag = '"v1"'): Script =>
  serve((asks, connection) => {
    const found = /^bytes=(\d+)-(\d*)$/.exec(asks.fields.one("range") ?? "");
    if (found === null) return connection.send(fresh(ALPHABET, 60, `ETag: ${tag}`));
    const [from, to] = [Number(found[1]), found[2] === "" ? 25 : Number(found[2])];
    const part = fresh(ALPHABET.slice(from, to + 1), 60, `ETag: ${tag}`, `Content-Range: bytes ${from}-${to}/26`);
    return connection.send(part.toString("latin1").replace("200 OK", "206 Partial Content"));
  });

scenario(
  "a range on a miss is asked for and kept as the part it is; who wants the whole gets it",
  caching(partly()),
  async (scene) => {
    const client = await scene.client();
    const first = await client.ask("GET /a", "Range: bytes=0-9");
    assert.equal(first.body.toString(), "abcdefghij");
    assert.equal(first.status, 206);
    const again = await untilHit(client, "GET /a", "Range: bytes=2-4");
    assert.equal(again.body.toString(), "cde");
    assert.equal(again.fields.one("content-range"), "bytes 2-4/26");
    assert.equal(scene.origin.requests.length, 1);
    const whole = await client.ask("GET /a");
    assert.equal(whole.status, 200);
    assert.equal(whole.body.toString(), ALPHABET);
    assert.equal(await textOf(client, "GET /a", "Range: bytes=20-21"), "uv");
  },
);

scenario(
  "parts with one strong validator that touch grow together, and become the whole (RFC 9111 3.4)",
  caching(partly()),
  async (scene) => {
    const client = await scene.client();
    for (const [range, text] of [
      ["10-14", "klmno"],
      ["5-11", "fghijkl"],
    ])
      assert.equal(await textOf(client, "GET /a", `Range: bytes=${range}`), text);
    const both = await untilHit(client, "GET /a", "Range: bytes=6-13");
    assert.equal(both.body.toString(), "ghijklmn");
    assert.equal(both.fields.one("content-range"), "bytes 6-13/26");
    assert.equal(await textOf(client, "GET /a", "Range: bytes=15-25"), ALPHABET.slice(15));
    assert.equal(await textOf(client, "GET /a", "Range: bytes=0-4"), "abcde");
    assert.equal(scene.origin.requests.length, 4);
    const whole = await untilHit(client, "GET /a");
    assert.deepEqual([whole.status, whole.body.toString()], [200, ALPHABET]);
    assert.equal(whole.fields.one("content-range"), undefined);
    assert.equal(scene.origin.requests.length, 4);
  },
);

scenario("parts with a weak validator stay apart (RFC 9111 3.4)", caching(partly('W/"v1"')), async (scene) => {
  const client = await scene.client();
  for (const range of ["0-9", "10-25"]) await client.ask("GET /a", `Range: bytes=${range}`);
  assert.equal(isHit(await client.ask("GET /a", "Range: bytes=8-12")), false);
  assert.equal(isHit(await client.ask("GET /a")), false);
});

scenario(
  'a range on a miss with partial: "fill" fetches the whole and is cut from it',
  caching(
    counting(() => fresh(ALPHABET)),
    { partial: "fill" },
  ),
  async (scene) => {
    const client = await scene.client();
    const answer = await client.ask("GET /a", "Range: bytes=1-3");
    assert.equal(answer.status, 206);
    assert.equal(answer.body.toString(), "bcd");
    assert.equal(scene.origin.last.fields.has("range"), false);
    assert.equal((await untilHit(client, "GET /a")).body.toString(), ALPHABET);
    assert.equal(scene.origin.requests.length, 1);
  },
);

scenario("pipelined hits and misses are answered in their order", caching(counting()), async (scene) => {
  const client = await scene.client();
  await client.ask("GET /a");
  await client.send(...["/a", "/b", "/a", "/c", "/b", "/a"].map((target) => request(`GET ${target}`)));
  for (const target of ["/a", "/b", "/a", "/c", "/b", "/a"])
    assert.equal((await client.answer()).body.toString(), `${target} 1`);
});

scenario(
  "answers without a body, with an empty body and of other statuses are stored as what they are",
  caching(
    serve((asked, connection) => {
      const status = asked.target.slice(1, 4);
      const head = `HTTP/1.1 ${status} Some\r\nCache-Control: max-age=60\r\nX-Count: 1\r\n`;
      if (status === "204") return connection.send(`${head}\r\n`);
      if (status === "301") return connection.send(`${head}Location: /b\r\nContent-Length: 0\r\n\r\n`);
      return connection.send(`${head}Content-Length: 4\r\n\r\nnone`);
    }),
  ),
  async (scene) => {
    const client = await scene.client();
    for (const status of [204, 301, 404, 410, 501]) {
      for (let round = 0; round < 2; round += 1) {
        const answer = await client.ask(`GET /${status}`);
        assert.equal(answer.status, status);
        assert.equal(answer.fields.one("x-count"), "1");
        assert.equal(answer.fields.one("location"), status === 301 ? "/b" : undefined);
        assert.equal(told(answer).startsWith("hit"), round === 1, `${status} round ${round}`);
      }
    }
    assert.equal(scene.origin.requests.length, 5);
  },
);

scenario(
  "fields of one connection are not stored; all others are, in their order (RFC 9111 3.1)",
  caching(
    counting(() =>
      stating(
        "Cache-Control: max-age=60",
        "x",
        "X-One: 1",
        "Connection: X-Hop",
        "X-Hop: 1",
        "Keep-Alive: timeout=5",
        "X-Two: 2",
        "X-One: 3",
      ),
    ),
  ),
  async (scene) => {
    const client = await scene.client();
    await client.ask("GET /a");
    const answer = await client.ask("GET /a");
    assert.equal(told(answer), "hit; detail=fresh");
    assert.deepEqual(answer.fields.all("x-one"), ["1", "3"]);
    assert.equal(answer.fields.has("x-hop"), false);
    assert.equal(answer.fields.has("keep-alive"), false);
    const names = answer.fields.names().filter((name) => name.startsWith("X-"));
    assert.deepEqual(names, ["X-One", "X-Two", "X-One"]);
  },
);
