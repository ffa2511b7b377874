/** Heads over HTTP/2 at their edges: HPACK's table of any size, heads of many frames, every octet a value may have. */
import { strict as assert } from "node:assert";
import { echoed, reply, serve } from "../support/behaviours.js";
import { encodeFields, type FieldPair, indexed, literal, remembered, tableSize } from "../support/hpack.js";
import { continuation, FLAGS, frame, headers } from "../support/http2-frames.js";
import { requestFields } from "../support/http2-messages.js";
import { openHttp2, priorKnowledge } from "../support/http2-scene.js";
import { scenario } from "../support/scene.js";

const GET = encodeFields(requestFields("GET /a"));

/** Answers with as many fields as it is asked for, each of 1,000 bytes. */
const wordy = serve((asked, connection) => {
  const fields = Array.from(
    { length: Number(asked.target.slice(1)) },
    (_, n) => `X-Field-${n}: ${String(n).padEnd(1_000, "y")}`,
  );
  return connection.send(reply(200, "x", ...fields));
});

scenario(
  "an answer's head that no frame holds comes in several, and is whole",
  { settings: priorKnowledge(), origin: wordy },
  async (scene) => {
    const peer = await openHttp2(scene);
    for (const count of [1, 15, 16, 17, 25]) {
      const answer = await peer.ask(`GET /${count}`);
      for (let n = 0; n < count; n += 1) assert.equal(answer.fields.one(`x-field-${n}`), String(n).padEnd(1_000, "y"));
    }
    assert.ok(peer.frames.some(({ type }) => type === "CONTINUATION"));
  },
);

for (const headerTableSize of [0, 100, 4_096, 65_536])
  scenario(
    `a client whose header table has ${headerTableSize} bytes understands every answer`,
    { settings: priorKnowledge(), origin: wordy },
    async (scene) => {
      const peer = await openHttp2(scene, { settings: { headerTableSize } });
      for (let turn = 0; turn < 20; turn += 1) {
        const answer = await peer.ask(`GET /${turn % 5}`);
        assert.deepEqual([answer.status, answer.fields.one("content-length")], [200, "1"]);
        assert.equal(answer.fields.names().filter((name) => name.startsWith("x-field-")).length, turn % 5);
      }
    },
  );

scenario(
  "what a client's table holds is understood, whatever its size changes to",
  { settings: priorKnowledge() },
  async (scene) => {
    const peer = await openHttp2(scene);
    const ask = async (...pieces: Buffer[]): Promise<string[]> => {
      const stream = peer.nextStream();
      await peer.send(headers(stream, Buffer.concat(pieces)));
      const seen = echoed(await peer.answer(stream));
      return seen.fields.filter(([name]) => name.startsWith("x-")).map(([name, value]) => `${name}=${value}`);
    };
    assert.deepEqual(await ask(GET, remembered("x-a", "1"), remembered("x-b", "2", true)), ["x-a=1", "x-b=2"]);
    assert.deepEqual(await ask(GET, indexed(63), indexed(62)), ["x-a=1", "x-b=2"]);
    assert.deepEqual(await ask(GET, remembered(62, "3"), indexed(62)), ["x-b=3", "x-b=3"]);
    assert.deepEqual(await ask(tableSize(40), GET, indexed(62)), ["x-b=3"], "all but the newest are gone");
    assert.deepEqual(await ask(tableSize(0), tableSize(4_096), GET, remembered("x-c", "4")), ["x-c=4"]);
    assert.deepEqual(await ask(GET, indexed(62)), ["x-c=4"]);
  },
);

for (const [what, bytes] of [
  ["an index of nothing", indexed(0)],
  ["an index beyond the table", indexed(100)],
  ["a table larger than was announced", tableSize(4_097)],
  ["a size update behind a field", Buffer.concat([GET, tableSize(0)])],
  ["an integer without end", Buffer.from([0xff, ...Array<number>(20).fill(0xff)])],
  ["a string longer than its block", Buffer.from([0x00, 0x01, 0x61, 0x7f, 0xff, 0x7f])],
  ["a Huffman code that is no symbol", Buffer.from([0x00, 0x81, 0xff, 0x01, 0x61])],
] as const)
  scenario(
    `RFC 7541: a header block with ${what} ends the connection, for the table cannot be known any more`,
    { settings: priorKnowledge() },
    async (scene) => {
      const peer = await openHttp2(scene);
      await peer.send(headers(1, bytes));
      const error = await peer.seesEnd();
      assert.ok(error === "COMPRESSION_ERROR" || error === "PROTOCOL_ERROR", String(error));
      await scene.sees("client_closes_http2_error", 1);
      assert.equal(scene.origin.requests.length, 0);
    },
  );

scenario(
  "a header block is read whatever the pieces: padding, priority, CONTINUATION in the middle of a field",
  { settings: priorKnowledge() },
  async (scene) => {
    const peer = await openHttp2(scene);
    const whole = Buffer.concat([GET, literal("x-test", "a value that is cut", true)]);
    const padded = Buffer.concat([Buffer.from([7]), whole, Buffer.alloc(7)]);
    await peer.send(frame("HEADERS", 1, padded, { flags: FLAGS.endStream | FLAGS.endHeaders | FLAGS.padded }));
    const weighty = Buffer.concat([Buffer.from([0x80, 0, 0, 0, 200]), whole]);
    await peer.send(frame("HEADERS", 3, weighty, { flags: FLAGS.endStream | FLAGS.endHeaders | FLAGS.priority }));
    for (let cut = 1, stream = 5; cut < whole.length; cut += 3, stream += 2)
      await peer.send(
        headers(stream, whole.subarray(0, cut), { endHeaders: false }),
        continuation(stream, whole.subarray(cut)),
      );
    for (let stream = 1; stream < 5 + 2 * Math.ceil((whole.length - 1) / 3); stream += 2) {
      const seen = echoed(await peer.answer(stream));
      assert.ok(
        seen.fields.some(([name, value]) => name === "x-test" && value === "a value that is cut"),
        `stream ${stream}`,
      );
    }
  },
);

scenario(
  "every octet that a value may have passes both ways, and an empty value is one",
  {
    settings: priorKnowledge(),
    origin: serve((asked, connection) =>
      connection.send(reply(200, "", `X-Back: ${asked.fields.one("x-all")}`, "X-Empty:")),
    ),
  },
  async (scene) => {
    const peer = await openHttp2(scene);
    const octets = Array.from({ length: 256 }, (_, octet) => octet).filter((octet) => octet > 0x20 && octet !== 0x7f);
    const all = `a\tb c${Buffer.from(octets).toString("latin1")}`;
    for (const coded of [false, true]) {
      const stream = peer.nextStream();
      await peer.send(headers(stream, Buffer.concat([GET, literal("x-all", all, coded)])));
      const answer = await peer.answer(stream);
      assert.deepEqual([answer.fields.one("x-back"), answer.fields.one("x-empty")], [all, ""]);
    }
  },
);

scenario(
  "a cookie of eight hundred crumbs is one field, or too much, but never a part of it",
  { settings: priorKnowledge({ limits: { fieldCount: 100 } }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    const crumbs = (count: number): FieldPair[] => Array.from({ length: count }, (_, n) => ["cookie", `c${n}=${n}`]);
    const some = echoed(await peer.ask("GET /a", { fields: crumbs(50) }));
    const cookie = some.fields.find(([name]) => name.toLowerCase() === "cookie")?.[1];
    assert.equal(
      cookie,
      crumbs(50)
        .map(([, value]) => value)
        .join("; "),
    );
    const many = await peer.ask("GET /a", { fields: crumbs(800) });
    if (many.status === 200) {
      const joined = echoed(many).fields.find(([name]) => name.toLowerCase() === "cookie")?.[1];
      assert.equal(joined?.split("; ").length, 800);
    } else assert.equal(many.status, 431);
  },
);

scenario(
  "a :path at the limit of a request line passes, one beyond it is 414 or 431, and nothing is forwarded",
  { settings: priorKnowledge({ limits: { headBytes: 8_192 } }) },
  async (scene) => {
    const peer = await openHttp2(scene);
    assert.equal((await peer.ask(`GET /${"a".repeat(4_000)}`)).status, 200);
    const { status } = await peer.ask(`GET /${"a".repeat(9_000)}`);
    assert.ok(status === 414 || status === 431, String(status));
    assert.equal(scene.origin.requests.length, 1);
  },
);
