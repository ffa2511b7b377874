/** The tests' own HPACK, by the examples of RFC 7541 Appendix C. */
import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import {
  encodeFields,
  HpackDecoder,
  huffman,
  indexed,
  integer,
  literal,
  remembered,
  tableSize,
} from "../support/hpack.js";

const REQUEST = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "www.example.com"],
] as const;

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

describe("the tests' HPACK", () => {
  it("writes integers as C.1 does", () => {
    assert.deepEqual([...integer(10, 5)], [10]);
    assert.deepEqual([...integer(1337, 5)], [31, 154, 10]);
    assert.deepEqual([...integer(42, 8)], [42]);
  });

  it("codes strings as C.4 does, and reads every octet back", () => {
    assert.equal(huffman("www.example.com").toString("hex"), "f1e3c2e5f23a6ba0ab90f4ff");
    const all = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet)).toString("latin1");
    assert.deepEqual(new HpackDecoder().decode(literal("x", all, true)), [["x", all]]);
  });

  it("reads the requests of C.3 and C.4, the table kept between them", () => {
    for (const blocks of [
      ["8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865"],
      ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf"],
    ]) {
      const decoder = new HpackDecoder();
      const read = blocks.map((block) => decoder.decode(hex(block)));
      assert.deepEqual(read, [REQUEST, [...REQUEST, ["cache-control", "no-cache"]]]);
    }
  });

  it("reads what it writes, by index, as literals and out of a table of a size of its own", () => {
    assert.deepEqual(new HpackDecoder().decode(encodeFields(REQUEST)), REQUEST);
    const decoder = new HpackDecoder();
    decoder.decode(Buffer.concat([tableSize(100), remembered("a", "1"), remembered(19, "2", true)]));
    assert.deepEqual(decoder.decode(Buffer.concat([indexed(62), indexed(63)])), [
      ["accept", "2"],
      ["a", "1"],
    ]);
    decoder.decode(tableSize(40));
    assert.throws(() => decoder.decode(indexed(63)), /nothing has the index 63/);
  });

  it("complains of a block that ends too early, of bad padding and of a table over its bound", () => {
    const decoder = new HpackDecoder();
    assert.throws(() => decoder.decode(hex("40")), /ends within a field/);
    assert.throws(() => decoder.decode(hex("0001 61 81 00")), /bad padding/);
    assert.throws(() => decoder.decode(tableSize(4_097)), /allowed are 4096/);
  });
});
