/** The connection and what belongs to it alone: RFC 9112 section 9, RFC 9110 sections 7.6.1, 7.8 and 10.1.1. */

import { request } from "../../support/client.js";
import { type Case, type Group, passes, raw, refuses, SMUGGLED } from "../case.js";

const get = (...lines: string[]): string => request("GET /case-connection", ...lines);
const http10 = (...lines: string[]): string => raw("GET /case-connection HTTP/1.0", "Host: a.example", ...lines);

const persistence: Case[] = [
  passes("must", "9112 9.3", "keeps an HTTP/1.1 connection open", get(), {}),
  passes(
    "must",
    "9112 9.6",
    "closes after an answer to Connection: close",
    get("Connection: close"),
    {},
    { afterwards: "close", sees: [{ status: 200, fields: { Connection: "close" } }] },
  ),
  passes("must", "9112 9.6", "knows close in any case", get("Connection: CLOSE"), {}, { afterwards: "close" }),
  passes("must", "9112 9.6", "finds close in a list", get("Connection: foo, close , bar"), {}, { afterwards: "close" }),
  passes(
    "must",
    "9112 9.6",
    "finds close in a second field",
    get("Connection: foo", "Connection: close"),
    {},
    { afterwards: "close" },
  ),
  passes(
    "must",
    "9112 9.6",
    "lets close win over keep-alive",
    get("Connection: keep-alive, close"),
    {},
    { afterwards: "close" },
  ),
  passes(
    "must",
    "9112 9.6",
    "serves nothing that comes after close",
    [get("Connection: close"), SMUGGLED],
    {},
    { afterwards: "close" },
  ),
  passes("must", "9112 9.3", "closes an HTTP/1.0 connection", http10(), {}, { afterwards: "close" }),
  passes(
    "must",
    "9112 9.3",
    "keeps an HTTP/1.0 connection that asks for it, and says so",
    http10("Connection: keep-alive"),
    {},
    { sees: [{ status: 200, fields: { Connection: /^keep-alive$/i } }] },
  ),
  passes("must", "9112 9.3", "knows Keep-Alive in any case", http10("Connection: Keep-Alive"), {}),
  passes(
    "must",
    "9112 9.3",
    "closes HTTP/1.0 with keep-alive and close",
    http10("Connection: keep-alive, close"),
    {},
    { afterwards: "close" },
  ),
  passes(
    "must",
    "9112 C.2.2",
    "does not take Proxy-Connection for Connection",
    http10("Proxy-Connection: keep-alive"),
    {},
    { afterwards: "close" },
  ),
  passes("must", "9112 C.2.2", "ignores Proxy-Connection: close", get("Proxy-Connection: close"), {
    fields: { "Proxy-Connection": null },
  }),
  passes("should", "9110 5.6.1", "takes empty members of a Connection list", get("Connection: , ,keep-alive,, "), {}),
];

const hopByHop: Case[] = [
  ...[
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "TE: gzip",
    "Upgrade: foo",
    "Proxy-Authorization: Basic eDp5",
    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    "Connection: keep-alive",
  ].map((line) =>
    passes("must", "9110 7.6.1", `does not pass on ${line.split(":")[0]}`, get(line, "X-A: b"), {
      fields: { [line.split(":")[0] ?? ""]: null, "X-A": "b" },
    }),
  ),
  passes("must", "9110 7.6.1", "removes what Connection nominates", get("Connection: X-Foo", "X-Foo: bar", "X-A: b"), {
    fields: { "X-Foo": null, Connection: null, "X-A": "b" },
  }),
  passes(
    "must",
    "9110 7.6.1",
    "removes what Connection nominates in other case",
    get("Connection: x-fOO", "X-Foo: bar"),
    { fields: { "X-Foo": null } },
  ),
  passes(
    "must",
    "9110 7.6.1",
    "removes what Connection nominates before it comes",
    raw("GET /a HTTP/1.1", "X-Foo: bar", "Host: a.example", "Connection: x-foo, X-Bar", "X-Bar: x"),
    { fields: { "X-Foo": null, "X-Bar": null } },
  ),
  passes(
    "must",
    "9110 7.6.1",
    "removes every field of a nominated name",
    get("Connection: X-Foo", "X-Foo: 1", "X-Foo: 2"),
    { fields: { "X-Foo": null } },
  ),
  passes(
    "must",
    "9110 7.6.1",
    "leaves alone what only begins like a nominated name",
    get("Connection: X-Foo", "X-Foobar: 1"),
    { fields: { "X-Foobar": "1" } },
  ),
  passes("must", "9110 7.6.1", "does nothing when a nominated field is not there", get("Connection: X-Foo"), {
    fields: { Connection: null },
  }),
  ...["Authorization: Basic eDp5", "Cookie: a=b", "Cache-Control: no-cache", "Content-Type: text/plain"].map((line) =>
    passes(
      "security",
      "9110 7.6.1",
      `does not lose the end-to-end field ${line.split(":")[0]} because Connection nominates it`,
      get(`Connection: ${line.split(":")[0]}`, line),
      {
        fields: { [line.split(":")[0] ?? ""]: line.split(": ")[1] ?? "" },
      },
    ),
  ),
  passes(
    "security",
    "9110 7.6.1",
    "does not lose X-Forwarded-For because Connection nominates it",
    get("Connection: close, X-Forwarded-For"),
    { fields: { "X-Forwarded-For": "127.0.0.1" } },
    { afterwards: "close" },
  ),
  ...["Host", "Content-Length", "Transfer-Encoding"].map((name) =>
    refuses("security", "9110 7.6.1", `a Connection that nominates ${name}`, [
      request("POST /a", `Connection: ${name}`, "Content-Length: 5"),
      "hello",
    ]),
  ),
  refuses("must", "9110 7.6.1", "a Connection member that is no token", get("Connection: a b")),
  refuses("must", "9110 7.6.1", "a Connection member in quotes", get('Connection: "close"')),
  passes("must", "9110 10.1.4", "tells the origin of TE: trailers as its own", get("TE: trailers", "Connection: TE"), {
    fields: { TE: "trailers", Connection: /^te$/i },
    target: "/case-connection",
  }),
];

const expect: Case[] = [
  passes(
    "must",
    "9110 10.1.1",
    "serves a body that did not wait for 100",
    [request("POST /a", "Expect: 100-continue", "Content-Length: 2"), "hi"],
    { body: "hi" },
  ),
  passes(
    "must",
    "9110 10.1.1",
    "sends a body on when the origin keeps silent about 100",
    [request("POST /a", "Expect: 100-continue", "Content-Length: 2"), 500, "hi"],
    { body: "hi" },
  ),
  passes(
    "must",
    "9110 10.1.1",
    "knows 100-Continue in any case",
    [request("POST /a", "Expect: 100-CONTINUE", "Content-Length: 2"), "hi"],
    { body: "hi" },
  ),
  passes(
    "must",
    "9110 10.1.1",
    "ignores the expectation of an HTTP/1.0 client",
    [raw("POST /a HTTP/1.0", "Host: a.example", "Expect: 100-continue", "Content-Length: 2"), "hi"],
    { body: "hi", fields: { Expect: null } },
    {
      afterwards: "close",
      sees: [{ status: 200, interim: [] }],
    },
  ),
  passes(
    "must",
    "9110 10.1.1",
    "takes an expectation on a request without a body as met",
    request("GET /a", "Expect: 100-continue"),
    { target: "/a" },
  ),
  passes(
    "should",
    "9110 10.1.1",
    "answers 417 to an expectation it does not know",
    request("POST /a", "Expect: the-moon", "Content-Length: 0"),
    [],
    { sees: [{ status: 417 }], afterwards: "any" },
  ),
  passes(
    "should",
    "9110 10.1.1",
    "answers 417 to a known and an unknown expectation",
    request("GET /a", "Expect: 100-continue, the-moon"),
    [],
    { sees: [{ status: 417 }], afterwards: "any" },
  ),
];

const upgrade: Case[] = [
  passes(
    "security",
    "9113 3.1",
    "never passes h2c on",
    request(
      "GET /a",
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    ),
    { fields: { Upgrade: null, Connection: null, "HTTP2-Settings": null } },
  ),
  passes(
    "security",
    "9113 3.1",
    "never passes h2c on, in a list or in capitals",
    request("GET /a", "Connection: upgrade", "Upgrade: websocket, H2C"),
    { fields: { Upgrade: [], Connection: null } },
  ),
  passes(
    "security",
    "9113 3.1",
    "never passes an upgrade to HTTP/2.0 on",
    request("GET /a", "Connection: upgrade", "Upgrade: HTTP/2.0"),
    { fields: { Upgrade: null } },
  ),
  passes("must", "9110 7.8", "ignores Upgrade without Connection: upgrade", request("GET /a", "Upgrade: websocket"), {
    fields: { Upgrade: null, Connection: null },
  }),
  passes(
    "must",
    "9110 7.8",
    "ignores Upgrade from HTTP/1.0",
    raw("GET /a HTTP/1.0", "Host: a.example", "Connection: upgrade", "Upgrade: websocket"),
    { fields: { Upgrade: null } },
    { afterwards: "close" },
  ),
  passes(
    "must",
    "9110 7.8",
    "passes Upgrade on although Connection nominates another field as well",
    request("GET /a", "Connection: X-A, upgrade", "X-A: b", "Upgrade: websocket"),
    { fields: { Upgrade: "websocket", Connection: /^upgrade$/i, "X-A": null } },
  ),
  passes(
    "must",
    "9110 7.8",
    "passes Upgrade on when Connection says so",
    request("GET /a", "Connection: keep-alive, Upgrade", "Upgrade: websocket"),
    { fields: { Upgrade: "websocket", Connection: /^upgrade$/i } },
  ),
  passes(
    "security",
    "9110 7.8",
    "reads what follows a refused upgrade as the next request",
    [request("GET /a", "Connection: Upgrade", "Upgrade: foo"), request("GET /b")],
    [{ target: "/a" }, { target: "/b" }],
  ),
  passes(
    "must",
    "9110 7.8",
    "does nothing with Connection: upgrade without Upgrade",
    request("GET /a", "Connection: upgrade"),
    { fields: { Connection: null, Upgrade: null } },
  ),
];

const pipelining: Case[] = [
  passes(
    "must",
    "9112 9.3.2",
    "answers ten pipelined requests in order",
    Array.from({ length: 10 }, (_, n) => request(`GET /p${n}`)).join(""),
    Array.from({ length: 10 }, (_, n) => ({ target: `/p${n}` })),
    {
      sees: Array.from({ length: 10 }, (_, n) => ({ status: 200, fields: { Case: `/p${n}` } })),
    },
  ),
  passes(
    "must",
    "9112 9.3.2",
    "keeps bodies and requests apart in a pipeline",
    [
      request("POST /p0", "Content-Length: 3"),
      "abc",
      request("POST /p1", "Transfer-Encoding: chunked"),
      "2\r\nde\r\n0\r\n\r\n",
      request("GET /p2"),
    ],
    [{ target: "/p0", body: "abc" }, { target: "/p1", body: "de" }, { target: "/p2" }],
  ),
  passes(
    "must",
    "9112 9.3.2",
    "mixes HEAD into a pipeline",
    [request("HEAD /p0"), request("GET /p1")],
    [{ method: "HEAD" }, { method: "GET" }],
    {
      sees: [
        { status: 200, method: "HEAD" },
        { status: 200, fields: { Case: "/p1" } },
      ],
    },
  ),
  {
    ...refuses("security", "9112 9.3.2", "what is malformed behind good pipelined requests, which are answered first", [
      request("GET /p0"),
      request("GET /p1"),
      "GET  /p2 HTTP/1.1\r\n\r\n",
      SMUGGLED,
    ]),
    sees: [{ status: 200 }, { status: 200 }, { status: 400 }],
    received: [{ target: "/p0" }, { target: "/p1" }],
  },
  passes(
    "must",
    "9112 9.6",
    "stops a pipeline at Connection: close",
    [request("GET /p0"), request("GET /p1", "Connection: close"), SMUGGLED],
    [{ target: "/p0" }, { target: "/p1" }],
    { afterwards: "close" },
  ),
  passes(
    "must",
    "9112 9.3",
    "stops a pipeline at an HTTP/1.0 request",
    [request("GET /p0"), http10(), SMUGGLED],
    [{ target: "/p0" }, {}],
    { afterwards: "close" },
  ),
  passes(
    "must",
    "9112 9.3.2",
    "takes a pipeline cut in the middle of a request",
    [`${request("GET /p0")}GET /p1 HT`, 30, "TP/1.1\r\nHost: a.example\r\n\r\n"],
    [{ target: "/p0" }, { target: "/p1" }],
  ),
];

export const connection: Group = {
  name: "connection",
  cases: [...persistence, ...hopByHop, ...expect, ...upgrade, ...pipelining],
};
