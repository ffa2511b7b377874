/** The bodies an origin answers with: RFC 9112 sections 6 to 8. What broke is seen to be broken, what is left over reaches nobody. */
import { type AnswerCase, answers, type Group, raw, rejects, truncates } from "../case.js";

const POISON = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
const ok = (...lines: string[]): string => raw("HTTP/1.1 200 OK", ...lines);
const HELLO = { status: 200, body: "hello" } as const;
const OLD = raw("GET /case HTTP/1.0", "Host: a.example");

const framings: AnswerCase[] = [
  ...(
    [
      [
        "Content-Length with Transfer-Encoding",
        `${ok("Content-Length: 5", "Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n\r\n`,
      ],
      ["two different lengths", `${ok("Content-Length: 5", "Content-Length: 6")}hello!`],
      ["a list of different lengths", `${ok("Content-Length: 5, 6")}hello!`],
      ["a negative length", `${ok("Content-Length: -5")}hello`],
      ["a signed length", `${ok("Content-Length: +5")}hello`],
      ["a hexadecimal length", `${ok("Content-Length: 0x5")}hello`],
      ["a length of letters", `${ok("Content-Length: five")}hello`],
      ["an empty length", `${ok("Content-Length:")}hello`],
      ["a length above 2^63", `${ok("Content-Length: 9999999999999999999")}hello`],
      ["an unknown coding", `${ok("Transfer-Encoding: cow")}hello`],
      ["gzip before chunked", `${ok("Transfer-Encoding: gzip, chunked")}0\r\n\r\n`],
      ["chunked twice", `${ok("Transfer-Encoding: chunked, chunked")}0\r\n\r\n`],
      ["chunked in two fields", `${ok("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")}0\r\n\r\n`],
      ["an empty coding", `${ok("Transfer-Encoding:")}hello`],
      [
        "Transfer-Encoding in HTTP/1.0",
        `${raw("HTTP/1.0 200 OK", "Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n\r\n`,
      ],
      ["a space before the colon of Content-Length", `${ok("Content-Length : 5")}hello`],
    ] as const
  ).map(([what, bytes]) => rejects("security", "9112 6.3", what, bytes, { end: "close" })),
  answers(
    "must",
    "9112 6.3",
    "takes the same length twice as one",
    `${ok("Content-Length: 5", "Content-Length: 5")}hello`,
    { ...HELLO, fields: { "Content-Length": "5" } },
  ),
  answers("must", "9112 6.3", "takes a list of equal lengths as one", `${ok("Content-Length: 5, 5")}hello`, {
    ...HELLO,
    fields: { "Content-Length": "5" },
  }),
  answers(
    "must",
    "9112 6.3",
    "reads a body by its length",
    `${ok("Content-Length: 5")}hello`,
    { ...HELLO, fields: { "Content-Length": "5", "Transfer-Encoding": null } },
    { reused: true },
  ),
  answers(
    "must",
    "9112 6.3",
    "reads an empty body",
    ok("Content-Length: 0"),
    { status: 200, body: "", fields: { "Content-Length": "0" } },
    { reused: true },
  ),
  answers(
    "must",
    "9112 7.1",
    "reads a chunked body",
    `${ok("Transfer-Encoding: chunked")}2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n`,
    { ...HELLO, fields: { "Content-Length": null } },
    { reused: true },
  ),
  answers("must", "9112 6.3", "passes a close-delimited body on and sees its end", [ok(), "hel", 20, "lo"], HELLO, {
    end: "close",
    reused: false,
  }),
  answers(
    "must",
    "9112 6.3",
    "passes a close-delimited body of an HTTP/1.0 origin on",
    `${raw("HTTP/1.0 200 OK")}hello`,
    HELLO,
    { end: "close", reused: false },
  ),
  answers(
    "must",
    "9112 6.3",
    "passes a close-delimited body to an HTTP/1.0 client by closing",
    `${ok()}hello`,
    { ...HELLO, fields: { "Transfer-Encoding": null } },
    { ask: OLD, end: "close", afterwards: "close" },
  ),
  answers(
    "must",
    "9112 6.1",
    "never sends chunks to an HTTP/1.0 client",
    `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n\r\n`,
    { ...HELLO, fields: { "Transfer-Encoding": null } },
    { ask: OLD, afterwards: "close" },
  ),
];

const broken: AnswerCase[] = [
  truncates("security", "9112 8", "a body shorter than its length, closed", `${ok("Content-Length: 10")}hello`, {
    end: "close",
  }),
  truncates("security", "9112 8", "a body shorter than its length, reset", `${ok("Content-Length: 10")}hello`, {
    end: "reset",
  }),
  truncates("security", "9112 8", "a body that stops for longer than the timer", `${ok("Content-Length: 10")}hello`),
  truncates("security", "9112 8", "chunks without the last one", `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n`, {
    end: "close",
  }),
  truncates("security", "9112 8", "a chunk that is cut", `${ok("Transfer-Encoding: chunked")}a\r\nhello`, {
    end: "close",
  }),
  truncates(
    "security",
    "9112 8",
    "chunks without the line behind the last one",
    `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n`,
    { end: "close" },
  ),
  truncates("security", "9112 8", "chunks ended by a reset", `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n`, {
    end: "reset",
  }),
  truncates("security", "9112 8", "a close-delimited body ended by a reset", [ok(), "hello", 30], {
    end: "reset",
  }),
  truncates("security", "9112 7.1", "a bad chunk size in the middle", [
    `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n`,
    30,
    "zz\r\nhello\r\n0\r\n\r\n",
  ]),
  truncates("security", "9112 7.1", "a bad chunk end in the middle", [
    `${ok("Transfer-Encoding: chunked")}5\r\nhello`,
    30,
    "XX0\r\n\r\n",
  ]),
  truncates("security", "9112 7.1", "a bare LF behind the last chunk", [
    `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n`,
    30,
    "0\n\n",
  ]),
  truncates(
    "security",
    "9112 8",
    "chunks that stop, towards an HTTP/1.0 client: a reset or nothing tells",
    `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n`,
    { ask: OLD, end: "close" },
  ),
  truncates(
    "security",
    "9112 8",
    "a length that is not reached, towards an HTTP/1.0 client",
    `${ok("Content-Length: 10")}hello`,
    { ask: OLD, end: "close" },
  ),
  rejects("must", "9112 8", "an end before any byte", "", { end: "close" }),
  rejects("must", "9112 8", "a reset before any byte", "", { end: "reset" }),
  rejects("must", "9112 8", "an end within the head", "HTTP/1.1 200 OK\r\nContent-Le", { end: "close" }),
  rejects("must", "9112 8", "a reset within the head", "HTTP/1.1 200 OK\r\nContent-Le", { end: "reset" }),
  answers(
    "must",
    "9110 15.6.5",
    "answers 504 when the origin keeps silent",
    [1_800],
    { status: 504 },
    { afterwards: "any", reused: false },
  ),
  answers(
    "must",
    "9110 15.6.5",
    "answers 504 when a head stops",
    ["HTTP/1.1 200 OK\r\nContent-Le", 2_800],
    { status: [502, 504] },
    { afterwards: "any", reused: false },
  ),
];

const surplus: AnswerCase[] = [
  answers(
    "security",
    "9112 6.3",
    "never gives a second answer to anybody: behind a length",
    `${ok("Content-Length: 5")}hello${POISON}`,
    HELLO,
    { reused: false },
  ),
  answers(
    "security",
    "9112 6.3",
    "never gives a second answer to anybody: behind chunks",
    `${ok("Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n\r\n${POISON}`,
    HELLO,
    { reused: false },
  ),
  answers(
    "security",
    "9112 6.3",
    "never gives a second answer to anybody: a moment later",
    [`${ok("Content-Length: 5")}hello`, 15, POISON],
    HELLO,
    { reused: false },
  ),
  answers(
    "security",
    "9112 6.3",
    "never gives a second answer to anybody: behind 204",
    `${raw("HTTP/1.1 204 No Content")}${POISON}`,
    { status: 204 },
    { reused: false },
  ),
  answers(
    "security",
    "9112 6.3",
    "never gives a second answer to anybody: behind 304",
    `${raw("HTTP/1.1 304 Not Modified")}${POISON}`,
    { status: 304 },
    { reused: false },
  ),
  answers(
    "security",
    "9112 6.3",
    "drops one surplus byte and the connection with it",
    `${ok("Content-Length: 5")}hello!`,
    HELLO,
    { reused: false },
  ),
  answers(
    "security",
    "9112 6.3",
    "drops a surplus CRLF and the connection with it",
    `${ok("Content-Length: 5")}hello\r\n`,
    HELLO,
    { reused: false },
  ),
  answers(
    "security",
    "9110 9.3.2",
    "drops the body some origins send to HEAD",
    `${ok("Content-Length: 5")}hello`,
    { status: 200, body: "", fields: { "Content-Length": "5" } },
    { method: "HEAD", reused: false },
  ),
  answers(
    "security",
    "9110 15.3.5",
    "drops the body some origins send with 204",
    `${raw("HTTP/1.1 204 No Content", "Content-Length: 5")}hello`,
    { status: 204, body: "", fields: { "Content-Length": null, "Transfer-Encoding": null } },
    { reused: false },
  ),
  answers(
    "security",
    "9110 15.4.5",
    "drops the body some origins send with 304",
    `${raw("HTTP/1.1 304 Not Modified", "Content-Length: 5")}hello`,
    { status: 304, body: "" },
    { reused: false },
  ),
];

const bodiless: AnswerCase[] = [
  answers(
    "must",
    "9110 9.3.2",
    "passes the length of a HEAD answer on",
    ok("Content-Length: 1234"),
    { status: 200, fields: { "Content-Length": "1234" } },
    { method: "HEAD", reused: true },
  ),
  answers(
    "must",
    "9110 9.3.2",
    "passes a HEAD answer without any length on",
    ok(),
    { status: 200, fields: { "Content-Length": null } },
    { method: "HEAD", reused: true },
  ),
  answers(
    "must",
    "9110 9.3.2",
    "reads no body behind a chunked HEAD answer",
    ok("Transfer-Encoding: chunked"),
    { status: 200, fields: { "Content-Length": null } },
    { method: "HEAD", reused: true },
  ),
  answers(
    "must",
    "9110 15.3.5",
    "passes 204 on without a length",
    raw("HTTP/1.1 204 No Content"),
    { status: 204, fields: { "Content-Length": null, "Transfer-Encoding": null } },
    { reused: true },
  ),
  answers(
    "must",
    "9110 15.4.5",
    "passes 304 on with the length it tells",
    raw("HTTP/1.1 304 Not Modified", "Content-Length: 1234", 'ETag: "x"'),
    { status: 304, fields: { ETag: '"x"' } },
    { reused: true },
  ),
  answers(
    "must",
    "9110 15.3.6",
    "passes 205 on",
    raw("HTTP/1.1 205 Reset Content", "Content-Length: 0"),
    { status: 205 },
    { reused: true },
  ),
];

export const answerBodies: Group = {
  name: "answers of origins: bodies",
  cases: [...framings, ...broken, ...surplus, ...bodiless],
};
