/** The request line: RFC 9112 sections 2.2, 3, 3.1 and 9110 section 9.1 (methods). */

import { chunk, request } from "../../support/client.js";
import { toBytes } from "../../support/wire.js";
import { type Case, type Group, named, passes, raw, refuses, SMUGGLED } from "../case.js";

const REST = "\r\nHost: a.example\r\n\r\n";
const line = (text: string): string => `${text}${REST}`;

const separators: Case[] = [
  refuses("security", "9112 3", "two spaces after the method", line("GET  / HTTP/1.1")),
  refuses("security", "9112 3", "two spaces before the version", line("GET /  HTTP/1.1")),
  refuses("security", "9112 3", "a tab after the method", line("GET\t/ HTTP/1.1")),
  refuses("security", "9112 3", "a tab before the version", line("GET /\tHTTP/1.1")),
  refuses("security", "9112 3", "a vertical tab after the method", line("GET\x0b/ HTTP/1.1")),
  refuses("security", "9112 3", "a form feed before the version", line("GET /\x0cHTTP/1.1")),
  refuses("security", "9112 3", "a space after the version", line("GET / HTTP/1.1 ")),
  refuses("security", "9112 3", "a tab after the version", line("GET / HTTP/1.1\t")),
  refuses("security", "9112 3", "a space before the method", line(" GET / HTTP/1.1")),
  refuses("security", "9112 3", "a tab before the method", line("\tGET / HTTP/1.1")),
  refuses("security", "9112 3", "a word too many", line("GET / x HTTP/1.1")),
  refuses("security", "9112 3", "a space inside the target", line("GET /a b HTTP/1.1")),
  refuses("security", "9112 3", "a second version in the target's place", line("GET /a HTTP/1.1 HTTP/1.1")),
  refuses("security", "9112 3", "a no-break space as separator", line("GET\xa0/ HTTP/1.1")),
  refuses("security", "9112 3", "no version: HTTP/0.9 is long gone", "GET /\r\n\r\n"),
  refuses("security", "9112 3", "no target", line("GET HTTP/1.1")),
  refuses("security", "9112 3", "an empty target", line("GET  HTTP/1.1")),
  refuses("security", "9112 3", "a method alone", line("GET")),
];

const lineEnds: Case[] = [
  refuses("security", "9112 2.2", "a bare LF behind the request line", "GET / HTTP/1.1\nHost: a.example\r\n\r\n"),
  refuses("security", "9112 2.2", "bare LF everywhere", "GET / HTTP/1.1\nHost: a.example\n\n"),
  refuses("security", "9112 2.2", "a bare LF at the end of the head", "GET / HTTP/1.1\r\nHost: a.example\r\n\n"),
  refuses("security", "9112 2.2", "a bare CR behind the request line", "GET / HTTP/1.1\rHost: a.example\r\n\r\n"),
  refuses("security", "9112 2.2", "a bare CR inside the target", line("GET /a\rb HTTP/1.1")),
  refuses("security", "9112 2.2", "a bare CR inside the method", line("GE\rT / HTTP/1.1")),
  refuses("security", "9112 2.2", "CR CR LF behind the request line", "GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n"),
  refuses("security", "9112 2.2", "LF CR in place of CRLF", "GET / HTTP/1.1\n\rHost: a.example\n\r\n\r"),
  refuses("security", "9112 2.2", "an LF before the request line", line("\nGET / HTTP/1.1")),
  refuses("security", "9112 2.2", "a CR before the request line", line("\rGET / HTTP/1.1")),
  refuses("must", "9112 2.2", "two empty lines before the request line", line("\r\n\r\nGET / HTTP/1.1")),
  passes("should", "9112 2.2", "ignores one empty line before the request line", line("\r\nGET /a HTTP/1.1"), {
    target: "/a",
  }),
  passes(
    "should",
    "9112 2.2",
    "ignores one empty line between two requests",
    [request("GET /a"), "\r\n", request("GET /b")],
    [{ target: "/a" }, { target: "/b" }],
  ),
  passes(
    "should",
    "9112 2.2",
    "ignores the CRLF old clients send behind a POST body",
    [request("POST /a", "Content-Length: 2"), "hi\r\n", request("GET /b")],
    [{ target: "/a", body: "hi" }, { target: "/b" }],
  ),
  refuses("security", "9112 2.2", "a space in the empty line before the request", line(" \r\nGET / HTTP/1.1")),
  refuses("security", "9112 2.2", "a field before the request line", `Host: a.example\r\n${line("GET / HTTP/1.1")}`),
];

const versions: Case[] = [
  ...[
    "http/1.1",
    "Http/1.1",
    "HTTP/1",
    "HTTP/1.",
    "HTTP/.1",
    "HTTP/",
    "HTTP",
    "HTTP/01.1",
    "HTTP/1.10",
    "HTTP/1.01",
    "HTTP/11.1",
    "HTTP/1.1.1",
    "HTTP/+1.1",
    "HTTP/-1.1",
    "HTTP/1.-1",
    "HTTP/1,1",
    "HTTP/1.x",
    "HTTP/x.1",
    "HTTP/1_1",
    "HTTPS/1.1",
    "HTTP1.1",
    "HTTP//1.1",
    "HTTP\\1.1",
    "ICAP/1.0",
    "RTSP/1.0",
    "HTTP/1.1,",
    "HTTP/1.1;x",
    "HTTP/\xb9.1",
  ].map((version) => refuses("must", "9112 2.3", `the version ${JSON.stringify(version)}`, line(`GET / ${version}`))),
  refuses("security", "9112 2.3", "a space before the slash of the version", line("GET / HTTP /1.1")),
  refuses("security", "9112 2.3", "a space behind the slash of the version", line("GET / HTTP/ 1.1")),
  refuses("must", "9110 15.6.6", "HTTP/2.0 in an HTTP/1 line with 505", line("GET / HTTP/2.0"), [505, 400]),
  refuses("must", "9110 15.6.6", "HTTP/3.0 with 505", line("GET / HTTP/3.0"), [505, 400]),
  refuses("must", "9110 15.6.6", "HTTP/9.9 with 505", line("GET / HTTP/9.9"), [505, 400]),
  refuses("must", "9110 15.6.6", "HTTP/0.9 spelled out", line("GET / HTTP/0.9"), [505, 400]),
  refuses("security", "9113 3.4", "the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505, 400]),
  passes(
    "must",
    "9110 2.5",
    "treats HTTP/1.2 as the highest 1.x it knows and says 1.1 to the origin",
    line("GET /a HTTP/1.2"),
    { target: "/a" },
  ),
  passes(
    "must",
    "9112 2.3",
    "serves HTTP/1.0 with its own version towards the origin",
    line("GET /a HTTP/1.0"),
    { target: "/a" },
    { afterwards: "close" },
  ),
];

const methods: Case[] = [
  ...["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH", "QUERY", "LINK"].map((method) =>
    passes("must", "9110 9.1", `passes ${method} on`, request(`${method} /a`), { method, target: "/a" }),
  ),
  passes("must", "9110 9.1", "keeps the case of a method: get is not GET", request("get /a"), {
    method: "get",
  }),
  passes("should", "9110 5.6.2", "takes every token byte in a method", request("A!#$%&'*+-.^_`|~09z /a"), {
    method: "A!#$%&'*+-.^_`|~09z",
  }),
  passes(
    "must",
    "9110 9.3.2",
    "passes HEAD on as HEAD",
    request("HEAD /a"),
    { method: "HEAD" },
    { sees: [{ status: 200, method: "HEAD" }] },
  ),
  ...['"', "(", ")", ",", "/", ":", ";", "<", "=", ">", "?", "@", "[", "\\", "]", "{", "}"].map((byte) =>
    refuses("must", "9110 5.6.2", `the separator ${byte} in a method`, line(`G${byte}T / HTTP/1.1`)),
  ),
  ...[0x00, 0x01, 0x08, 0x1f, 0x7f, 0x80, 0xff].map((byte) =>
    refuses(
      "security",
      "9110 5.6.2",
      `the byte ${named(byte)} in a method`,
      line(`G${String.fromCharCode(byte)}T / HTTP/1.1`),
    ),
  ),
  refuses(
    "must",
    "9110 9.3.6",
    "CONNECT to elsewhere",
    raw("CONNECT b.example:443 HTTP/1.1", "Host: b.example:443"),
    [405, 400, 403, 501],
  ),
  refuses("must", "9112 3.2.3", "CONNECT with a path", line("CONNECT /a HTTP/1.1"), [400, 405, 501]),
  refuses("must", "9112 3.2.3", "CONNECT without a port", line("CONNECT a.example HTTP/1.1"), [400, 405, 501]),
  refuses(
    "security",
    "9110 9.3.6",
    "CONNECT with a request hidden behind it",
    [raw("CONNECT b.example:443 HTTP/1.1", "Host: b.example:443"), SMUGGLED],
    [405, 400, 403, 501],
  ),
];

const noise: Case[] = [
  refuses("security", "9112 3", "a TLS hello on a plain port", [
    Buffer.from("1603010200010001fc0303", "hex"),
    Buffer.alloc(60, 0xa5),
  ]),
  refuses("security", "9112 3", "random bytes", Buffer.from("ff00fe01fd0d0a0d0a", "hex")),
  refuses("security", "9112 3", "a NUL at the start", line("\x00GET / HTTP/1.1")),
  refuses("security", "9112 3", "a byte order mark", line("\xef\xbb\xbfGET / HTTP/1.1")),
  refuses("must", "9112 2.2", "a status line from a client", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
  refuses(
    "security",
    "9112 3",
    "a PROXY protocol line nobody agreed on",
    `PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n${line("GET / HTTP/1.1")}`,
  ),
  passes(
    "must",
    "9112 2.2",
    "reads a request that arrives byte by byte",
    [...request("GET /bytewise?x=1", "X-A: 1")].flatMap((byte) => [byte, 1]),
    {
      target: "/bytewise?x=1",
      fields: { "X-A": "1" },
    },
  ),
  passes(
    "must",
    "9112 2.2",
    "reads a request split between CR and LF",
    ["GET /split HTTP/1.1\r", 15, "\nHost: a.example\r", 15, "\n\r", 15, "\n"],
    { target: "/split" },
  ),
  passes(
    "must",
    "9112 6.3",
    "reads a body split into single bytes",
    [request("POST /a", "Content-Length: 5"), 5, "h", 2, "e", 2, "l", 2, "l", 2, "o"],
    { body: "hello" },
  ),
  passes(
    "must",
    "9112 7.1",
    "reads chunks split into single bytes",
    [
      request("POST /a", "Transfer-Encoding: chunked"),
      5,
      ...Buffer.concat([chunk("hello"), toBytes("0\r\n\r\n")])
        .toString("latin1")
        .split("")
        .flatMap((byte) => [byte, 1]),
    ],
    { body: "hello", framing: "chunked" },
  ),
];

export const requestLine: Group = {
  name: "request line",
  cases: [...separators, ...lineEnds, ...versions, ...methods, ...noise],
};
