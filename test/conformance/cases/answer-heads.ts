/** The heads an origin answers with: RFC 9112 section 4 and 5, RFC 9110 section 15. A broken head is a 502. */

import { request } from "../../support/client.js";
import { type AnswerCase, answers, type Group, raw, rejects } from "../case.js";

const ok = (...lines: string[]): string => raw("HTTP/1.1 200 OK", ...lines);
const HELLO = { status: 200, body: "hello" } as const;
const OLD = raw("GET /case HTTP/1.0", "Host: a.example");

const statusLines: AnswerCase[] = [
  ...(
    [
      ["garbage", "garbage\r\n\r\n"],
      ["an HTTP/0.9 answer", "<html>hello</html>"],
      ["no version", "200 OK\r\n\r\n"],
      ["http in lower case", "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
      ["HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
      ["HTTP/0.9 spelled out", "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n"],
      ["a version of two digits", "HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n"],
      ["two spaces before the status", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"],
      ["a tab before the status", "HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n"],
      ["a status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"],
      ["a status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"],
      ["a status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"],
      ["a status of letters", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"],
      ["a signed status", "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"],
      ["a NUL in the reason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n"],
      ["a bare CR in the reason", "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n"],
      ["a bare LF behind the status line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"],
      ["bare LF everywhere", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
      ["an empty line before the status line", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
      ["a space before the status line", " HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
      ["a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
      ["a TLS alert", "\x15\x03\x01\x00\x02\x02\x28"],
    ] as const
  ).map(([what, bytes]) => rejects("must", "9112 4", what, bytes, { end: "close" })),
  answers(
    "must",
    "9112 4",
    "takes a status line without a reason",
    `${raw("HTTP/1.1 200 ", "Content-Length: 5")}hello`,
    HELLO,
  ),
  answers(
    "should",
    "9112 4",
    "takes a status line without the space before the reason",
    `${raw("HTTP/1.1 200", "Content-Length: 5")}hello`,
    HELLO,
  ),
  answers(
    "must",
    "9112 4",
    "takes obs-text in a reason",
    `${raw("HTTP/1.1 200 \xe4\xf6", "Content-Length: 5")}hello`,
    HELLO,
  ),
  answers(
    "must",
    "9110 15",
    "passes a status it does not know on",
    `${raw("HTTP/1.1 299 Odd", "Content-Length: 5")}hello`,
    { status: 299, body: "hello" },
  ),
  answers("must", "9110 15", "passes a status above 599 on", `${raw("HTTP/1.1 799 Odd", "Content-Length: 5")}hello`, {
    status: 799,
    body: "hello",
  }),
  answers(
    "must",
    "9112 2.3",
    "speaks its own version to the client",
    `${raw("HTTP/1.0 200 OK", "Content-Length: 5")}hello`,
    HELLO,
    { end: "close", reused: false },
  ),
  answers(
    "must",
    "9112 4",
    "reads an answer that arrives byte by byte",
    [...`${ok("Content-Length: 5")}hello`].flatMap((byte) => [byte, 1]),
    HELLO,
    { reused: true },
  ),
];

const fields: AnswerCase[] = [
  ...(
    [
      ["a space before a colon", "X-A : b"],
      ["a folded field", "X-A: b\r\n c"],
      ["a line without a colon", "X-A"],
      ["an empty name", ": b"],
      ["a NUL in a value", "X-A: a\x00b"],
      ["a control in a value", "X-A: a\x0bb"],
      ["a bare LF in a value", "X-A: a\nb: c"],
      ["a bare CR in a value", "X-A: a\rb"],
      ["a separator in a name", "X(A: b"],
      ["a space in a name", "X A: b"],
      ["white space right behind the status line", " X-A: b"],
    ] as const
  ).map(([what, line]) => rejects("security", "9112 5", what, `${ok(line, "Content-Length: 5")}hello`)),
  answers(
    "must",
    "9110 5.3",
    "keeps order, case and duplicates of fields",
    `${ok("x-One: 1", "Set-Cookie: a=1", "X-TWO: 2", "Set-Cookie: b=2", "Content-Length: 5")}hello`,
    { ...HELLO, fields: { "Set-Cookie": ["a=1", "b=2"], "x-One": "1", "X-TWO": "2" } },
  ),
  answers(
    "must",
    "9110 7.6.1",
    "removes hop-by-hop fields",
    `${ok("Connection: X-Foo, keep-alive", "X-Foo: bar", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Content-Length: 5")}hello`,
    {
      ...HELLO,
      fields: { "X-Foo": null, "Keep-Alive": null, "Proxy-Connection": null, Connection: null },
    },
  ),
  answers(
    "must",
    "9110 7.6.1",
    "removes Upgrade where nothing is upgraded",
    `${ok("Upgrade: h2c", "Connection: upgrade", "Content-Length: 5")}hello`,
    { ...HELLO, fields: { Upgrade: null, Connection: null } },
  ),
  answers("must", "9110 7.6.3", "adds Via", `${ok("Content-Length: 5")}hello`, {
    ...HELLO,
    fields: { Via: /^1\.1 / },
  }),
  answers("should", "9110 6.6.1", "adds a Date where there is none", `${ok("Content-Length: 5")}hello`, {
    ...HELLO,
    fields: { Date: /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/ },
  }),
  answers(
    "must",
    "9110 6.6.1",
    "leaves a Date alone",
    `${ok("Date: Sun, 06 Nov 1994 08:49:37 GMT", "Content-Length: 5")}hello`,
    { ...HELLO, fields: { Date: "Sun, 06 Nov 1994 08:49:37 GMT" } },
  ),
  rejects(
    "security",
    "9110 5.4",
    "a head larger than any limit",
    ok(...Array.from({ length: 80 }, (_, n) => `X-${n}: ${"b".repeat(1_000)}`), "Content-Length: 0"),
  ),
];

const persistence: AnswerCase[] = [
  answers(
    "must",
    "9112 9.3",
    "keeps the origin's connection after a whole answer",
    `${ok("Content-Length: 5")}hello`,
    HELLO,
    { reused: true },
  ),
  answers(
    "must",
    "9112 9.6",
    "does not use a connection again that the origin closes",
    `${ok("Content-Length: 5", "Connection: close")}hello`,
    HELLO,
    { reused: false },
  ),
  answers(
    "must",
    "9112 9.3",
    "does not use an HTTP/1.0 connection again",
    `${raw("HTTP/1.0 200 OK", "Content-Length: 5")}hello`,
    HELLO,
    { reused: false },
  ),
  answers(
    "should",
    "9112 9.3",
    "uses an HTTP/1.0 connection again that says keep-alive",
    `${raw("HTTP/1.0 200 OK", "Connection: keep-alive", "Content-Length: 5")}hello`,
    HELLO,
    { reused: true },
  ),
  answers(
    "must",
    "9112 9.6",
    "keeps the client's connection although the origin closes its own",
    `${ok("Content-Length: 5", "Connection: close")}hello`,
    { ...HELLO, fields: { Connection: null } },
    { end: "close" },
  ),
];

const interim: AnswerCase[] = [
  answers(
    "must",
    "9110 15.2",
    "passes 103 on before the answer",
    `${raw("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload")}${ok("Content-Length: 5")}hello`,
    { ...HELLO, interim: [103] },
    { reused: true },
  ),
  answers(
    "must",
    "9110 15.2",
    "passes several interim answers on",
    `${raw("HTTP/1.1 102 Processing")}${raw("HTTP/1.1 103 Early Hints")}${ok("Content-Length: 5")}hello`,
    { ...HELLO, interim: [102, 103] },
  ),
  answers(
    "must",
    "9110 15.2",
    "passes an interim answer on that it does not know",
    `${raw("HTTP/1.1 150 What")}${ok("Content-Length: 5")}hello`,
    { ...HELLO, interim: [150] },
  ),
  answers(
    "must",
    "9110 15.2",
    "sends no interim answer to an HTTP/1.0 client",
    `${raw("HTTP/1.1 103 Early Hints")}${ok("Content-Length: 5")}hello`,
    { ...HELLO, interim: [] },
    { ask: OLD, afterwards: "close" },
  ),
  answers(
    "security",
    "9112 6.3",
    "reads no body behind an interim answer",
    `${raw("HTTP/1.1 103 Early Hints", "Content-Length: 500")}${ok("Content-Length: 5")}hello`,
    HELLO,
  ),
  rejects(
    "security",
    "9110 7.8",
    "a switch of protocols nobody asked for",
    raw("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: foo"),
  ),
  rejects(
    "security",
    "9110 7.8",
    "a switch to h2c after an upgrade we did not pass on",
    raw("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: h2c"),
    {
      ask: request("GET /case", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAAA"),
    },
  ),
  rejects("must", "9112 8", "an interim answer and then the end", raw("HTTP/1.1 103 Early Hints"), {
    end: "close",
  }),
  rejects("security", "9110 15.2", "interim answers without end", raw("HTTP/1.1 103 Early Hints").repeat(2_000), {
    afterwards: "any",
  }),
];

export const answerHeads: Group = {
  name: "answers of origins: heads",
  cases: [...statusLines, ...fields, ...persistence, ...interim],
};
