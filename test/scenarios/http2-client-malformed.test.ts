/** Requests that are not HTTP/2: the stream is refused, nothing reaches the origin, and the connection serves on. */
import { strict as assert } from "node:assert";
import { echoed } from "../support/behaviours.js";
import { encodeFields, type FieldPair, literal } from "../support/hpack.js";
import { data, headers } from "../support/http2-frames.js";
import { requestFields } from "../support/http2-messages.js";
import { openHttp2, priorKnowledge, refusesStream } from "../support/http2-scene.js";
import { scenario } from "../support/scene.js";

const GOOD = requestFields("GET /a");
const without = (...names: string[]): FieldPair[] => GOOD.filter(([name]) => !names.includes(name));
const withField = (name: string, value: string): FieldPair[] => [...GOOD, [name, value]];
const replaced = (name: string, value: string): FieldPair[] =>
  GOOD.map((field) => (field[0] === name ? [name, value] : field));

const MALFORMED: readonly (readonly [what: string, rfc: string, fields: readonly FieldPair[]])[] = [
  ["without :method", "9113 8.3.1", without(":method")],
  ["without :scheme", "9113 8.3.1", without(":scheme")],
  ["without :path", "9113 8.3.1", without(":path")],
  ["with an empty :path", "9113 8.3.1", replaced(":path", "")],
  ["with a :path that does not begin with a slash", "9113 8.3.1", replaced(":path", "a")],
  ["with a :path of * and another method than OPTIONS", "9113 8.3.1", replaced(":path", "*")],
  ["with two :method", "9113 8.3", [[":method", "GET"], ...GOOD]],
  ["with two :path", "9113 8.3", [[":path", "/b"], ...GOOD]],
  ["with two :scheme", "9113 8.3", [[":scheme", "http"], ...GOOD]],
  ["with two :authority", "9113 8.3", [[":authority", "a.example"], ...GOOD]],
  ["with an unknown pseudo field", "9113 8.3", [[":other", "x"], ...GOOD]],
  ["with :status", "9113 8.3", [[":status", "200"], ...GOOD]],
  ["with :protocol and another method than CONNECT", "8441 4", [[":protocol", "websocket"], ...GOOD]],
  ["with a pseudo field behind others", "9113 8.3", [["x-a", "b"], ...GOOD]],
  ["with a name in upper case", "9113 8.2.1", withField("X-Upper", "1")],
  ["with a name of no letters", "9113 8.2.1", withField("", "1")],
  ["with a space in a name", "9113 8.2.1", withField("a b", "1")],
  ["with a colon in a name", "9113 8.2.1", withField("a:b", "1")],
  ["with a line break in a name", "9113 8.2.1", withField("a\r\nb", "1")],
  ["with octets over 0x7f in a name", "9113 8.2.1", withField("caf\xe9", "1")],
  ["with NUL in a value", "9113 8.2.1", withField("x-a", "a\0b")],
  ["with CR in a value", "9113 8.2.1", withField("x-a", "a\rb")],
  ["with LF in a value", "9113 8.2.1", withField("x-a", "a\nEvil: 1")],
  ["with a space before a value", "9113 8.2.1", withField("x-a", " a")],
  ["with a tab behind a value", "9113 8.2.1", withField("x-a", "a\t")],
  ["with Connection", "9113 8.2.2", withField("connection", "keep-alive")],
  ["with Keep-Alive", "9113 8.2.2", withField("keep-alive", "timeout=5")],
  ["with Proxy-Connection", "9113 8.2.2", withField("proxy-connection", "close")],
  ["with Transfer-Encoding", "9113 8.2.2", withField("transfer-encoding", "chunked")],
  ["with Upgrade", "9113 8.2.2", withField("upgrade", "websocket")],
  ["with TE: gzip", "9113 8.2.2", withField("te", "gzip")],
  ["with TE: trailers, gzip", "9113 8.2.2", withField("te", "trailers, gzip")],
  ["with a Host that is another than :authority", "9113 8.3.1", withField("host", "b.example")],
  ["with two Hosts", "9112 3.2", [...without(":authority"), ["host", "a.example"], ["host", "a.example"]]],
  ["with neither :authority nor Host", "9112 3.2", without(":authority")],
  ["with userinfo in :authority", "9113 8.3.1", replaced(":authority", "user@a.example")],
  ["with a space in :authority", "9113 8.3.1", replaced(":authority", "a example")],
  ["with a slash in :authority", "9113 8.3.1", replaced(":authority", "a.example/x")],
  ["with a space in :path", "9113 8.3.1", replaced(":path", "/a HTTP/1.1")],
  ["with a line break in :path", "9113 8.3.1", replaced(":path", "/a\r\nEvil: 1")],
  ["with a line break in :method", "9113 8.3.1", replaced(":method", "GET /x HTTP/1.1\r\nA")],
  ["with a space in :method", "9113 8.3.1", replaced(":method", "GET ")],
  ["with an empty :method", "9113 8.3.1", replaced(":method", "")],
  ["with a line break in :authority", "9113 8.3.1", replaced(":authority", "a\r\nEvil: 1")],
  ["with a length that is no number", "9110 8.6", withField("content-length", "x")],
  ["with two lengths", "9110 8.6", [...withField("content-length", "0"), ["content-length", "1"]]],
  ["with CONNECT and :path", "9113 8.5", replaced(":method", "CONNECT")],
];

for (const [what, rfc, fields] of MALFORMED)
  scenario(`RFC ${rfc}: a request ${what} is refused`, { settings: priorKnowledge() }, async (scene) => {
    const peer = await openHttp2(scene);
    const stream = peer.nextStream();
    // Every field as a literal: an index would not say what is meant.
    await peer.send(headers(stream, Buffer.concat(fields.map(([name, value]) => literal(name, value)))));
    const servesOn = await refusesStream(peer, stream);
    assert.equal(scene.origin.requests.length, 0);
    if (servesOn) assert.equal(echoed(await peer.ask("GET /after")).target, "/after");
  });

const LENGTHS: readonly (readonly [what: string, told: string, pieces: readonly string[]])[] = [
  ["more DATA than its length", "3", ["hello"]],
  ["more DATA than its length, in pieces", "3", ["he", "llo"]],
  ["less DATA than its length", "9", ["hello"]],
  ["less DATA than its length, in pieces", "9", ["he", "llo"]],
  ["no DATA and a length", "9", []],
];

for (const [what, told, pieces] of LENGTHS)
  scenario(
    `RFC 9113 8.1.1: a request with ${what} is refused, and the origin never sees it whole`,
    { settings: priorKnowledge() },
    async (scene) => {
      const peer = await openHttp2(scene);
      const stream = peer.nextStream();
      const head = encodeFields([...requestFields("POST /a"), ["content-length", told]]);
      const body = pieces.map((piece, n) => data(stream, piece, n + 1 === pieces.length));
      await peer.send(headers(stream, head, { end: pieces.length === 0 }), ...body);
      const { status, reset } = await peer.outcome(stream);
      assert.ok(reset === "PROTOCOL_ERROR" || status === 400, `answered ${status}, reset ${reset}`);
      await scene.sees("exchanges_open", 0);
      assert.deepEqual(
        scene.origin.requests.filter(({ complete }) => complete),
        [],
      );
      assert.equal(await scene.counter("origin_failures"), 0, "nobody blames the origin");
      assert.equal(echoed(await peer.ask("GET /after")).target, "/after");
    },
  );

const TRAILERS: readonly (readonly [what: string, rfc: string, trailers: readonly FieldPair[], end: boolean])[] = [
  ["no END_STREAM", "9113 8.1", [["x-a", "b"]], false],
  ["Connection", "9113 8.2.2", [["connection", "close"]], true],
  ["a name in upper case", "9113 8.2.1", [["X-A", "b"]], true],
  ["a line break", "9113 8.2.1", [["x-a", "b\r\nEvil: 1"]], true],
];

for (const [what, rfc, trailers, end] of TRAILERS)
  scenario(
    `RFC ${rfc}: trailers with ${what} are refused, and the origin sees no end`,
    { settings: priorKnowledge() },
    async (scene) => {
      const peer = await openHttp2(scene);
      const stream = await peer.request("POST /a", { open: true });
      await peer.data(stream, "hello");
      await peer.send(headers(stream, Buffer.concat(trailers.map(([name, value]) => literal(name, value))), { end }));
      const servesOn = await refusesStream(peer, stream);
      await scene.sees("exchanges_open", 0);
      assert.deepEqual(
        scene.origin.requests.filter(({ complete }) => complete),
        [],
      );
      if (servesOn) assert.equal(echoed(await peer.ask("GET /after")).target, "/after");
    },
  );

const HOSTS: readonly (readonly [what: string, fields: readonly FieldPair[], host: string])[] = [
  [":authority alone", GOOD, "a.example"],
  [":authority and an equal Host", withField("host", "a.example"), "a.example"],
  ["Host alone", [...without(":authority"), ["host", "b.example"]], "b.example"],
  [":authority with a port", replaced(":authority", "a.example:8080"), "a.example:8080"],
  [":authority of an IPv6 address", replaced(":authority", "[::1]:80"), "[::1]:80"],
];

for (const [what, fields, host] of HOSTS)
  scenario(`RFC 9113 8.3.1: ${what} is the origin's one Host`, { settings: priorKnowledge() }, async (scene) => {
    const peer = await openHttp2(scene);
    const seen = echoed(await peer.answer(await peer.open(fields)));
    assert.deepEqual(
      seen.fields.filter(([name]) => name.toLowerCase() === "host").map(([, value]) => value),
      [host],
    );
  });

scenario("OPTIONS * reaches the origin as *", { settings: priorKnowledge() }, async (scene) => {
  const peer = await openHttp2(scene);
  assert.equal(echoed(await peer.ask("OPTIONS *")).target, "*");
});

scenario("CONNECT without :protocol is refused as in HTTP/1", { settings: priorKnowledge() }, async (scene) => {
  const peer = await openHttp2(scene);
  const stream = await peer.open(
    [
      [":method", "CONNECT"],
      [":authority", "a.example:443"],
    ],
    false,
  );
  const { status, reset } = await peer.outcome(stream);
  assert.ok(reset !== undefined || (status !== undefined && status >= 400), `answered ${status}, reset ${reset}`);
  assert.equal(scene.origin.receivedBytes, 0);
  assert.equal((await peer.ask("GET /after")).status, 200);
});

scenario(
  "a pseudo field in trailers is taken for nothing (RFC 9113 8.1 asks for a refusal), and no origin sees it",
  { settings: priorKnowledge() },
  async (scene) => {
    const peer = await openHttp2(scene);
    const trailers = [
      [":path", "/b"],
      ["x-kept", "1"],
    ] as const;
    const seen = echoed(await peer.ask("POST /a", { body: "x", trailers }));
    assert.deepEqual([seen.target, seen.trailers.map(([name]) => name.toLowerCase())], ["/a", ["x-kept"]]);
  },
);
