/** Limits with their statuses, and what is never finished: RFC 9110 sections 15.5.9, 15.5.14, 15.5.15; RFC 6585 section 5. */

import { request } from "../../support/client.js";
import { type Case, cutsOff, type Group, passes, refuses } from "../case.js";
import { BOUNDS } from "../settings.js";

const LINE_EXTRA = "GET / HTTP/1.1".length;
const pathOf = (bytes: number): string => `/${"a".repeat(bytes - 1)}`;
const manyFields = (count: number): string[] => Array.from({ length: count }, (_, n) => `X-${n}: ${n}`);

const sizes: Case[] = [
  passes("should", "9112 3", "takes a request line of 8000 bytes", request(`GET ${pathOf(8_000 - LINE_EXTRA)}`), {
    target: pathOf(8_000 - LINE_EXTRA),
  }),
  refuses(
    "should",
    "9110 15.5.15",
    "a request line longer than the limit with 414",
    request(`GET ${pathOf(BOUNDS.requestLineBytes + 1)}`),
    414,
  ),
  refuses(
    "should",
    "9110 15.5.15",
    "a request line that never ends with 414",
    `GET ${pathOf(BOUNDS.requestLineBytes + 100)}`,
    414,
  ),
  refuses(
    "should",
    "9112 3",
    "a method longer than the limit",
    `${"A".repeat(BOUNDS.requestLineBytes + 100)} / HTTP/1.1\r\nHost: a.example\r\n\r\n`,
    [414, 400, 501],
  ),
  refuses(
    "should",
    "6585 5",
    "a field larger than the limit with 431",
    request("GET /a", `X-A: ${"b".repeat(BOUNDS.headBytes)}`),
    431,
  ),
  refuses(
    "should",
    "6585 5",
    "a head larger than the limit with 431",
    request("GET /a", ...Array.from({ length: 40 }, (_, n) => `X-${n}: ${"b".repeat(1_000)}`)),
    431,
  ),
  refuses(
    "should",
    "6585 5",
    "a head that never ends with 431",
    `GET /a HTTP/1.1\r\nHost: a.example\r\nX-A: ${"b".repeat(BOUNDS.headBytes + 100)}`,
    431,
  ),
  refuses(
    "should",
    "6585 5",
    "a field name that never ends with 431",
    `GET /a HTTP/1.1\r\nHost: a.example\r\n${"b".repeat(BOUNDS.headBytes + 100)}`,
    431,
  ),
  refuses(
    "should",
    "6585 5",
    "more fields than the limit with 431",
    request("GET /a", ...manyFields(BOUNDS.fieldCount)),
    431,
  ),
  passes(
    "should",
    "9110 5.4",
    "takes as many fields as the limit allows",
    request("GET /a", ...manyFields(BOUNDS.fieldCount - 28)),
    { fields: { "X-0": "0", "X-99": "99" } },
  ),
  passes("should", "9110 5.4", "takes a field of 16 KiB", request("GET /a", `X-A: ${"b".repeat(16_384)}`), {
    fields: { "X-A": "b".repeat(16_384) },
  }),
  refuses(
    "should",
    "9110 15.5.14",
    "a body whose length is over the limit with 413",
    request("POST /a", `Content-Length: ${BOUNDS.requestBodyBytes + 1}`),
    413,
  ),
  refuses(
    "should",
    "9110 15.5.14",
    "a body of 2^63 - 1 bytes with 413",
    request("POST /a", "Content-Length: 9223372036854775807"),
    413,
  ),
  refuses(
    "should",
    "9110 15.5.14",
    "a body over the limit that waits for 100",
    request("POST /a", "Expect: 100-continue", `Content-Length: ${BOUNDS.requestBodyBytes + 1}`),
    413,
  ),
  refuses(
    "should",
    "9110 15.5.14",
    "a chunk larger than the limit with 413",
    [request("POST /a", "Transfer-Encoding: chunked"), "7fffffffffffffff\r\nhello"],
    413,
  ),
  cutsOff(
    "should",
    "9110 15.5.14",
    "chunks that are together over the limit with 413",
    [request("POST /a", "Transfer-Encoding: chunked"), `10000\r\n${"x".repeat(65_536)}\r\n`.repeat(20)],
    413,
  ),
];

const unfinished: Case[] = [
  refuses("should", "9110 15.5.9", "a request line that stops", "GET /a", 408),
  refuses("should", "9110 15.5.9", "a head that stops within a field", "GET /a HTTP/1.1\r\nHost: a.exa", 408),
  refuses(
    "should",
    "9110 15.5.9",
    "a head that stops before its last line",
    "GET /a HTTP/1.1\r\nHost: a.example\r\n",
    408,
  ),
  refuses("should", "9110 15.5.9", "a head that stops behind a CR", "GET /a HTTP/1.1\r\nHost: a.example\r\n\r", 408),
  cutsOff("should", "9110 15.5.9", "a body that stops", [request("POST /a", "Content-Length: 10"), "hello"], 408),
  cutsOff("should", "9110 15.5.9", "a body that never begins", [request("POST /a", "Content-Length: 10")], 408),
  cutsOff(
    "should",
    "9110 15.5.9",
    "chunks that stop within a size",
    [request("POST /a", "Transfer-Encoding: chunked"), "5\r\nhello\r\n1"],
    408,
  ),
  cutsOff(
    "should",
    "9110 15.5.9",
    "chunks that stop within data",
    [request("POST /a", "Transfer-Encoding: chunked"), "5\r\nhel"],
    408,
  ),
  cutsOff(
    "should",
    "9110 15.5.9",
    "chunks that stop before the last line",
    [request("POST /a", "Transfer-Encoding: chunked"), "5\r\nhello\r\n0\r\n"],
    408,
  ),
  refuses(
    "should",
    "9110 15.5.9",
    "a head that drips too slowly",
    [..."GET /drip HTTP/1.1\r\nHost: a.example\r\nX-A: b".split("").flatMap((byte) => [byte, 60])],
    408,
  ),
];

export const limits: Group = { name: "limits", cases: [...sizes, ...unfinished] };
