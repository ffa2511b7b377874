/** Where a request's body ends: RFC 9112 section 6 and the smuggling that section 11.2 warns of. */

import { request } from "../../support/client.js";
import { type Case, type Group, passes, raw, refuses, SMUGGLED } from "../case.js";

const post = (...lines: string[]): string => raw("POST /case HTTP/1.1", "Host: a.example", ...lines);
const HIDDEN = `0\r\n\r\n${SMUGGLED}`;

/** Heads that say twice where their body ends, and what stands behind them. */
const CONFLICTS: readonly (readonly [what: string, head: string, behind: string])[] = [
  ["Content-Length before Transfer-Encoding", post("Content-Length: 5", "Transfer-Encoding: chunked"), HIDDEN],
  ["Transfer-Encoding before Content-Length", post("Transfer-Encoding: chunked", "Content-Length: 5"), HIDDEN],
  ["Content-Length: 0 with Transfer-Encoding", post("Content-Length: 0", "Transfer-Encoding: chunked"), HIDDEN],
  [
    "both lengths with other fields between them",
    post("Content-Length: 5", "X-A: b", "Cookie: c=d", "Transfer-Encoding: chunked"),
    HIDDEN,
  ],
  [
    "a length that agrees with the chunks",
    post("Content-Length: 15", "Transfer-Encoding: chunked"),
    "5\r\nhello\r\n0\r\n\r\n",
  ],
  ["Content-Length with an unknown coding", post("Content-Length: 5", "Transfer-Encoding: x"), "hello"],
  ["Content-Length with an empty coding", post("Content-Length: 5", "Transfer-Encoding:"), "hello"],
  ["Content-Length with identity", post("Content-Length: 5", "Transfer-Encoding: identity"), "hello"],
  [
    "both lengths on a GET",
    raw("GET /case HTTP/1.1", "Host: a.example", "Content-Length: 5", "Transfer-Encoding: chunked"),
    HIDDEN,
  ],
  ["two different lengths", post("Content-Length: 5", "Content-Length: 6"), "hello!"],
  ["the same length twice", post("Content-Length: 5", "Content-Length: 5"), "hello"],
  ["a zero and a real length", post("Content-Length: 0", "Content-Length: 5"), "hello"],
  ["an empty and a real length", post("Content-Length:", "Content-Length: 5"), "hello"],
  ["the same length twice in different case", post("Content-Length: 5", "content-length: 5"), "hello"],
];

const conflicts: Case[] = CONFLICTS.map(([what, head, behind]) =>
  refuses("security", "9112 6.3", what, [head, behind]),
);

const LENGTHS: readonly (readonly [string, string])[] = [
  ["a plus sign", "+5"],
  ["a minus sign", "-5"],
  ["minus zero", "-0"],
  ["hexadecimal", "0x5"],
  ["octal", "0o5"],
  ["an exponent", "5e0"],
  ["a fraction", "5.0"],
  ["a list of equal lengths", "5, 5"],
  ["a list of different lengths", "5, 6"],
  ["a list without a space", "5,5"],
  ["a comma behind", "5,"],
  ["a comma before", ",5"],
  ["a semicolon", "5;"],
  ["a space inside", "5 5"],
  ["a tab inside", "5\t5"],
  ["letters", "abc"],
  ["letters behind", "5abc"],
  ["nothing", ""],
  ["quotes", '"5"'],
  ["an underscore", "1_0"],
  ["a superscript digit", "\xb9"],
  ["20 digits", "10000000000000000005"],
  ["2^64 + 5", "18446744073709551621"],
  ["2^63", "9223372036854775808"],
  ["a hundred digits", "1".repeat(100)],
  ["NaN", "NaN"],
  ["infinity", "Infinity"],
  ["a no-break space", "5\xa0"],
];

const lengths: Case[] = [
  ...LENGTHS.map(([what, value]) =>
    refuses("security", "9112 6.2", `as Content-Length ${what}`, [post(`Content-Length: ${value}`), "hello"]),
  ),
  refuses("security", "9112 5.1", "a space before the colon of Content-Length", [post("Content-Length : 5"), "hello"]),
  refuses("security", "9112 5.2", "a folded Content-Length", [post("Content-Length:\r\n 5"), "hello"]),
  refuses("security", "9110 5.5", "a NUL in Content-Length", [post("Content-Length: 5\x00"), "hello"]),
  refuses("security", "9110 5.5", "a vertical tab before the length", [post("Content-Length: \x0b5"), "hello"]),
  passes(
    "must",
    "9112 6.2",
    "takes a length with leading zeros and writes it anew",
    [post("Content-Length: 005"), "hello"],
    { body: "hello", fields: { "Content-Length": /^0*5$/ } },
  ),
  passes("must", "9112 6.2", "ignores white space around a length", [post("Content-Length: \t5 \t"), "hello"], {
    body: "hello",
    fields: { "Content-Length": "5" },
  }),
  passes("must", "9112 6.2", "passes Content-Length: 0 on", post("Content-Length: 0"), {
    body: "",
    fields: { "Content-Length": "0" },
  }),
  passes("must", "9110 8.6", "gives a POST without body a length", post("X: y"), {
    body: "",
    fields: { "Content-Length": "0", "Transfer-Encoding": null },
  }),
  passes("must", "9112 6.3", "gives a GET without body no length", request("GET /a"), {
    fields: { "Content-Length": null, "Transfer-Encoding": null },
  }),
  passes(
    "must",
    "9110 9.3.1",
    "passes the body of a GET on with its length",
    [request("GET /a", "Content-Length: 5"), "hello"],
    { method: "GET", body: "hello" },
  ),
  passes("must", "9110 9.3.5", "passes the body of a DELETE on", [request("DELETE /a", "Content-Length: 5"), "hello"], {
    method: "DELETE",
    body: "hello",
  }),
  passes(
    "security",
    "9112 6.3",
    "reads a request inside a body as body",
    [request("POST /a", `Content-Length: ${SMUGGLED.length}`), SMUGGLED],
    { body: SMUGGLED },
  ),
  passes(
    "security",
    "9112 6.3",
    "reads a request inside the body of a GET as body",
    [request("GET /a", `Content-Length: ${SMUGGLED.length}`), SMUGGLED],
    { body: SMUGGLED },
  ),
  passes(
    "security",
    "9112 6.3",
    "reads what follows a body as the next request",
    [request("POST /a", "Content-Length: 5"), "hello", request("GET /b")],
    [{ target: "/a", body: "hello" }, { target: "/b" }],
  ),
  {
    ...refuses("security", "9112 6.3", "bytes behind a body that are no request", [
      request("POST /a", "Content-Length: 5"),
      "hello\x01\x02 / HTTP",
    ]),
    sees: [{ status: 200 }, { status: 400 }],
    received: [{ target: "/a", body: "hello" }],
  },
];

const CODINGS: readonly (readonly [string, string])[] = [
  ["xchunked", "xchunked"],
  ["chunkedx", "chunkedx"],
  ["chunked twice", "chunked, chunked"],
  ["gzip before chunked", "gzip, chunked"],
  ["gzip behind chunked", "chunked, gzip"],
  ["gzip alone", "gzip"],
  ["identity", "identity"],
  ["identity before chunked", "identity, chunked"],
  ["chunked before identity", "chunked, identity"],
  ["double quotes", '"chunked"'],
  ["single quotes", "'chunked'"],
  ["a parameter", "chunked;q=1"],
  ["a semicolon", "chunked;"],
  ["a comma behind", "chunked,"],
  ["a comma before", ",chunked"],
  ["a comma and spaces before", " , chunked"],
  ["a space inside", "chun ked"],
  ["a tab inside", "chunked\tx"],
  ["nothing", ""],
  ["cow", "cow"],
  ["a plus sign", "+chunked"],
  ["a dot behind", "chunked."],
  ["brackets", "[chunked]"],
  ["a comment", "chunked (x)"],
  ["trailers", "trailers"],
  ["an obs-text byte before", "\xffchunked"],
  ["a no-break space before", "\xa0chunked"],
  ["a slash", "chunked/1"],
  ["an equals sign", "chunked=1"],
];

const CODED_TWICE: readonly (readonly [what: string, head: string])[] = [
  ["chunked", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")],
  ["chunked and identity", post("Transfer-Encoding: chunked", "Transfer-Encoding: identity")],
  ["an unknown coding and chunked", post("Transfer-Encoding: cow", "Transfer-Encoding: chunked")],
  ["an empty coding and chunked", post("Transfer-Encoding:", "Transfer-Encoding: chunked")],
];

/** A Transfer-Encoding that one reader may see and another not. */
const DISGUISES: readonly (readonly [rfc: string, what: string, head: string, behind: string])[] = [
  ["9112 5.1", "a space before the colon of Transfer-Encoding", post("Transfer-Encoding : chunked"), HIDDEN],
  ["9112 5.1", "a tab before the colon of Transfer-Encoding", post("Transfer-Encoding\t: chunked"), HIDDEN],
  ["9112 5.1", "a NUL before the colon of Transfer-Encoding", post("Transfer-Encoding\x00: chunked"), HIDDEN],
  ["9112 5.2", "a folded Transfer-Encoding", post("Transfer-Encoding:\r\n chunked"), HIDDEN],
  [
    "9112 5.2",
    "a Transfer-Encoding hidden behind a fold",
    post("X-A: b\r\n Transfer-Encoding: chunked", "Content-Length: 5"),
    "hello",
  ],
  [
    "9112 2.2",
    "a Transfer-Encoding hidden behind a bare LF",
    post("X-A: b\nTransfer-Encoding: chunked", "Content-Length: 5"),
    "hello",
  ],
  [
    "9112 2.2",
    "a Transfer-Encoding hidden behind a bare CR",
    post("X-A: b\rTransfer-Encoding: chunked", "Content-Length: 5"),
    "hello",
  ],
  [
    "9112 6.1",
    "Transfer-Encoding in HTTP/1.0",
    raw("POST /case HTTP/1.0", "Host: a.example", "Transfer-Encoding: chunked"),
    HIDDEN,
  ],
  [
    "9112 6.1",
    "Transfer-Encoding in HTTP/1.0 with keep-alive",
    raw("POST /case HTTP/1.0", "Host: a.example", "Connection: keep-alive", "Transfer-Encoding: chunked"),
    HIDDEN,
  ],
  [
    "9112 6.1",
    "both lengths in HTTP/1.0",
    raw("POST /case HTTP/1.0", "Host: a.example", "Content-Length: 5", "Transfer-Encoding: chunked"),
    HIDDEN,
  ],
];

const codings: Case[] = [
  ...CODINGS.map(([what, value]) =>
    refuses(
      "security",
      "9112 6.1",
      `as Transfer-Encoding ${what}`,
      [post(`Transfer-Encoding: ${value}`), HIDDEN],
      [400, 501],
    ),
  ),
  ...[0x00, 0x08, 0x0b, 0x0c, 0x1f, 0x7f].map((byte) =>
    refuses("security", "9110 5.5", `the control ${byte} before chunked`, [
      post(`Transfer-Encoding: ${String.fromCharCode(byte)}chunked`),
      HIDDEN,
    ]),
  ),
  ...[0x00, 0x0b, 0x0c, 0x7f].map((byte) =>
    refuses("security", "9110 5.5", `the control ${byte} behind chunked`, [
      post(`Transfer-Encoding: chunked${String.fromCharCode(byte)}`),
      HIDDEN,
    ]),
  ),
  ...CODED_TWICE.map(([what, head]) =>
    refuses("security", "9112 6.1", `${what} in two fields`, [head, HIDDEN], [400, 501]),
  ),
  ...DISGUISES.map(([rfc, what, head, behind]) => refuses("security", rfc, what, [head, behind])),
  passes(
    "must",
    "9110 10.1.4",
    "knows chunked in any case",
    [post("Transfer-Encoding: ChUnKeD"), "2\r\nhi\r\n0\r\n\r\n"],
    { body: "hi", fields: { "Content-Length": null } },
  ),
  passes(
    "must",
    "9112 6.1",
    "ignores white space around chunked",
    [post("Transfer-Encoding: \tchunked \t"), "2\r\nhi\r\n0\r\n\r\n"],
    { body: "hi" },
  ),
  passes(
    "must",
    "9112 6.1",
    "takes chunked on a GET",
    [raw("GET /case HTTP/1.1", "Host: a.example", "Transfer-Encoding: chunked"), "2\r\nhi\r\n0\r\n\r\n"],
    { method: "GET", body: "hi" },
  ),
];

export const framing: Group = { name: "framing", cases: [...conflicts, ...lengths, ...codings] };
