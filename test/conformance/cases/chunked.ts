/** Chunked request bodies, their extensions and trailers: RFC 9112 section 7.1. */

import { request } from "../../support/client.js";
import { type Case, chunkedPost, cutsOff, type Group, passes, refuses, SMUGGLED } from "../case.js";
import { BOUNDS } from "../settings.js";

const END = "0\r\n\r\n";

const good: readonly (readonly [string, string])[] = [
  ["one chunk", `5\r\nhello\r\n${END}`],
  ["two chunks", `2\r\nhe\r\n3\r\nllo\r\n${END}`],
  ["a size with leading zeros", `0005\r\nhello\r\n${END}`],
  ["a last chunk of many zeros", "5\r\nhello\r\n00000\r\n\r\n"],
  ["an extension without a value", `5;a\r\nhello\r\n${END}`],
  ["an extension with a token", `5;a=b\r\nhello\r\n${END}`],
  ["an extension with a quoted string", `5;a="b c"\r\nhello\r\n${END}`],
  ["an escaped quote in an extension", `5;a="b\\"c"\r\nhello\r\n${END}`],
  ["a semicolon in a quoted extension", `5;a="b;c"\r\nhello\r\n${END}`],
  ["several extensions", `5;a=b;c;d="e"\r\nhello\r\n${END}`],
  ["an extension of the last chunk", "5\r\nhello\r\n0;a=b\r\n\r\n"],
  ["white space around an extension's name and value, which old senders write", `5 ; a = b\r\nhello\r\n${END}`],
];

const wellFormed: Case[] = [
  ...good.map(([what, wire]) =>
    passes("must", "9112 7.1", `reads ${what}`, [chunkedPost(wire)], {
      body: "hello",
      framing: "chunked",
      fields: { "Content-Length": null },
    }),
  ),
  passes(
    "must",
    "9112 7.1",
    "knows hexadecimal sizes in both cases",
    [chunkedPost(`0a\r\n0123456789\r\nA\r\n0123456789\r\n${END}`)],
    { body: "01234567890123456789" },
  ),
  passes("must", "9112 7.1", "passes an empty chunked body on as an empty body", [chunkedPost(END)], {
    body: "",
  }),
  passes(
    "security",
    "9112 7.1",
    "reads a request inside a chunk as data",
    [chunkedPost(`${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n${END}`)],
    { body: SMUGGLED },
  ),
  passes(
    "must",
    "9112 7.1",
    "reads what follows the last chunk as the next request",
    [chunkedPost(`5\r\nhello\r\n${END}`), request("GET /b")],
    [{ body: "hello" }, { target: "/b" }],
  ),
];

const bad: readonly (readonly [string, string])[] = [
  ["a size with a plus sign", "+5\r\nhello\r\n"],
  ["a size with a minus sign", "-5\r\nhello\r\n"],
  ["a size with 0x", "0x5\r\nhello\r\n"],
  ["a size with a letter beyond f", "5g\r\nhello\r\n"],
  ["a size with a space before it", " 5\r\nhello\r\n"],
  ["a size with a tab before it", "\t5\r\nhello\r\n"],
  ["a size with a space behind it", "5 \r\nhello\r\n"],
  ["a size with a tab behind it", "5\t\r\nhello\r\n"],
  ["a space inside a size", "0 5\r\nhello\r\n"],
  ["an underscore in a size", "0_5\r\nhello\r\n"],
  ["a size in quotes", '"5"\r\nhello\r\n'],
  ["no size", "\r\nhello\r\n"],
  ["only an extension", ";a=b\r\nhello\r\n"],
  ["a comma behind a size", "5,\r\nhello\r\n"],
  ["a full stop in a size", "5.0\r\nhello\r\n"],
  ["a size of 17 digits", "00000000000000005\r\nhello\r\n"],
  ["a size that overflows 64 bits", "10000000000000005\r\nhello\r\n"],
  ["a size above 2^63", "8000000000000005\r\nhello\r\n"],
  ["a size of 64 ones", "ffffffffffffffff\r\nhello\r\n"],
  ["a NUL in a size", "5\x00\r\nhello\r\n"],
  ["a vertical tab behind a size", "5\x0b\r\nhello\r\n"],
  ["a fullwidth byte in a size", "\xb5\r\nhello\r\n"],
  ["a bare LF behind a size", "5\nhello\r\n"],
  ["a bare CR behind a size", "5\rhello\r\n"],
  ["CR CR LF behind a size", "5\r\r\nhello\r\n"],
  ["an extension without a name", "5;\r\nhello\r\n"],
  ["an extension with an empty name and a value", "5;=b\r\nhello\r\n"],
  ["an extension with an equals sign and no value", "5;a=\r\nhello\r\n"],
  ["an open quote in an extension", '5;a="b\r\nhello\r\n'],
  ["bytes behind a quoted extension", '5;a="b"c\r\nhello\r\n'],
  ["a NUL in an extension", "5;a=\x00\r\nhello\r\n"],
  ["a bare LF in an extension", "5;a=b\nhello\r\n"],
  ["a bare LF that hides a chunk in an extension", "5;a\nX\r\nhello\r\n"],
  ["a bare CR in an extension", "5;a\rb\r\nhello\r\n"],
  ["a bare LF inside quotes of an extension", '5;a="\n"\r\nhello\r\n'],
  ["data that is longer than its size", "5\r\nhello!\r\n"],
  ["data that is shorter than its size", "5\r\nhell\r\n0\r\n\r\n"],
  ["data ended by a bare LF", "5\r\nhello\n0\r\n\r\n"],
  ["data ended by a bare CR", "5\r\nhello\r0\r\n\r\n"],
  ["data ended by CR CR LF", "5\r\nhello\r\r\n0\r\n\r\n"],
  ["data ended by LF CR", "5\r\nhello\n\r0\r\n\r\n"],
  ["data followed at once by the next size", "5\r\nhello0\r\n\r\n"],
  ["two bytes of anything in place of CRLF", `5\r\nhelloXX${END}`],
];

const malformed: Case[] = [
  ...bad.map(([what, wire]) =>
    refuses("security", "9112 7.1", `${what}, a smuggled request behind it`, [chunkedPost(`${wire}${END}`), SMUGGLED]),
  ),
  refuses(
    "security",
    "9112 7.1.1",
    "extensions longer than the limit",
    [chunkedPost(`5;a=${"b".repeat(BOUNDS.chunkExtensionBytes)}\r\nhello\r\n${END}`)],
    [400, 413],
  ),
  refuses(
    "security",
    "9112 7.1.1",
    "extensions of many chunks that are together longer than the limit",
    [chunkedPost(`${`1;a=${"b".repeat(60)}\r\nx\r\n`.repeat(40)}${END}`)],
    [400, 413],
  ),
  cutsOff("security", "9112 7.1", "a bad size that comes later", [
    chunkedPost("5\r\nhello\r\n"),
    30,
    "zz\r\n",
    SMUGGLED,
  ]),
  cutsOff("security", "9112 7.1", "a bad chunk end that comes later", [
    chunkedPost("5\r\nhello"),
    30,
    "XX0\r\n\r\n",
    SMUGGLED,
  ]),
  cutsOff("security", "9112 7.1", "a bare LF as the last line, later", [
    chunkedPost("5\r\nhello\r\n0\r\n"),
    30,
    `\n${SMUGGLED}`,
  ]),
];

const trailers: Case[] = [
  passes("must", "9112 7.1.2", "passes trailers on", [chunkedPost("5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n")], {
    body: "hello",
    trailers: { "X-Sum": "abc" },
  }),
  passes(
    "must",
    "9112 7.1.2",
    "passes several trailers on in order",
    [chunkedPost("5\r\nhello\r\n0\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n")],
    { trailers: { "X-A": ["1", "3"], "X-B": "2" } },
  ),
  ...[
    "Content-Length: 99",
    "Transfer-Encoding: chunked",
    "Host: b.example",
    "Authorization: Basic eDp5",
    "Content-Type: text/html",
    "Set-Cookie: a=b",
    "Cookie: a=b",
    "Connection: close",
    "X-Forwarded-For: 6.6.6.6",
    "Content_Length: 9",
    "Content-Range: bytes 0-1/2",
    "TE: trailers",
    "Trailer: X",
  ].map((line) =>
    passes(
      "security",
      "9110 6.5.1",
      `drops the trailer ${line}`,
      [chunkedPost(`5\r\nhello\r\n0\r\n${line}\r\nX-A: 1\r\n\r\n`)],
      { body: "hello", trailers: { [line.split(":")[0] ?? ""]: null, "X-A": "1" } },
    ),
  ),
  ...(
    [
      ["a space before the colon of a trailer", "X-A : b\r\n"],
      ["a trailer without a colon", "X-A\r\n"],
      ["a request as trailer", SMUGGLED],
      ["a folded trailer", "X-A: b\r\n c\r\n"],
      ["a trailer that begins with a space", " X-A: b\r\n"],
      ["a bare LF behind a trailer", "X-A: b\n"],
      ["a bare CR in a trailer", "X-A: b\rc\r\n"],
      ["a NUL in a trailer", "X-A: b\x00\r\n"],
      ["a trailer with an empty name", ": b\r\n"],
      ["a separator in a trailer's name", "X(A: b\r\n"],
    ] as const
  ).map(([what, lines]) =>
    refuses("security", "9112 7.1.2", what, [chunkedPost(`5\r\nhello\r\n0\r\n${lines}\r\n`), SMUGGLED]),
  ),
  cutsOff(
    "should",
    "9110 5.4",
    "a trailer section larger than the limit",
    [chunkedPost(`5\r\nhello\r\n0\r\n${`X-A: ${"b".repeat(1_000)}\r\n`.repeat(40)}\r\n`)],
    [431, 400],
  ),
  cutsOff(
    "should",
    "9110 5.4",
    "more trailers than the limit",
    [chunkedPost(`5\r\nhello\r\n0\r\n${"X-A: b\r\n".repeat(BOUNDS.fieldCount + 1)}\r\n`)],
    [431, 400],
  ),
];

export const chunked: Group = { name: "chunked", cases: [...wellFormed, ...malformed, ...trailers] };
