/** Field lines: RFC 9112 section 5, RFC 9110 sections 5.1, 5.5 and 5.6.2; and names that some servers read as others. */

import { request } from "../../support/client.js";
import { type Case, type Group, named, passes, raw, refuses, SMUGGLED } from "../case.js";

const withLine = (line: string): string => raw("GET /case-field HTTP/1.1", "Host: a.example", line);
const char = (byte: number): string => String.fromCharCode(byte);

/** Controls a value may not hold: all but HTAB; CR and LF have their own cases. */
const CONTROLS = [...Array(32).keys(), 0x7f].filter((byte) => ![0x09, 0x0a, 0x0d].includes(byte));

const names: Case[] = [
  refuses("security", "9112 5.1", "a space between a name and its colon", withLine("X-A : b")),
  refuses("security", "9112 5.1", "a tab between a name and its colon", withLine("X-A\t: b")),
  refuses("security", "9112 5.1", "two spaces between a name and its colon", withLine("X-A  : b")),
  refuses("security", "9112 5.1", "a space inside a name", withLine("X A: b")),
  refuses("security", "9112 5", "an empty name", withLine(": b")),
  refuses("security", "9112 5", "a line without a colon", withLine("X-A")),
  refuses("security", "9112 5", "a request line among the fields", withLine("GET /smuggled HTTP/1.1")),
  ...['"', "(", ")", ",", "/", ";", "<", "=", ">", "?", "@", "[", "\\", "]", "{", "}"].map((byte) =>
    refuses("must", "9110 5.6.2", `the separator ${byte} in a name`, withLine(`X${byte}A: b`)),
  ),
  ...[0x00, 0x01, 0x0b, 0x0c, 0x1f, 0x7f, 0x80, 0xa0, 0xff].map((byte) =>
    refuses("security", "9110 5.6.2", `the byte ${named(byte)} in a name`, withLine(`X${char(byte)}A: b`)),
  ),
  passes("must", "9110 5.6.2", "takes every token byte in a name", withLine("!#$%&'*+-^_`|~09Az: b"), {
    fields: { "!#$%&'*+-^_`|~09Az": "b" },
  }),
  passes("must", "9110 5.1", "takes a name of one letter", withLine("x: b"), { fields: { x: "b" } }),
];

/** Values that end elsewhere for one reader than for another. */
const HIDING: readonly (readonly [rfc: string, what: string, line: string])[] = [
  ["9110 5.5", "a NUL at the end of a value", "X-A: a\x00"],
  ["9110 5.5", "a NUL alone as value", "X-A: \x00"],
  ["9112 2.2", "a bare CR in a value", "X-A: a\rb"],
  ["9112 2.2", "a bare CR that hides a field", "X-A: a\rTransfer-Encoding: chunked"],
  ["9112 2.2", "a bare LF that hides a field", "X-A: a\nTransfer-Encoding: chunked"],
  ["9112 2.2", "a bare LF that ends the head early", `X-A: a\n\nGET /smuggled HTTP/1.1\nHost: a.example`],
  ["9112 2.2", "CR CR LF behind a value", "X-A: a\r"],
  ["9112 5.2", "a value folded with a space", "X-A: a\r\n b"],
  ["9112 5.2", "a value folded with a tab", "X-A: a\r\n\tb"],
  ["9112 5.2", "a fold to nothing", "X-A: a\r\n "],
];

const values: Case[] = [
  ...CONTROLS.map((byte) =>
    refuses("security", "9110 5.5", `the control ${named(byte)} in a value`, withLine(`X-A: a${char(byte)}b`)),
  ),
  ...HIDING.map(([rfc, what, line]) => refuses("security", rfc, what, withLine(line))),
  refuses(
    "security",
    "9112 2.2",
    "white space right behind the request line",
    raw("GET / HTTP/1.1", " X-A: b", "Host: a.example"),
  ),
  refuses("security", "9112 2.2", "a tab right behind the request line", raw("GET / HTTP/1.1", "\tHost: a.example")),
  refuses("security", "9112 2.2", "a line of one space as the end of the head", [
    "GET / HTTP/1.1\r\nHost: a.example\r\n \r\n\r\n",
    SMUGGLED,
  ]),
  passes("must", "9112 5", "trims spaces and tabs around a value", withLine("X-A: \t b c \t "), {
    fields: { "X-A": "b c" },
  }),
  passes("must", "9112 5", "keeps white space inside a value", withLine("X-A: b\t c"), {
    fields: { "X-A": "b\t c" },
  }),
  passes("must", "9110 5.5", "passes obs-text through untouched", withLine("X-A: \x80\xe4\xff"), {
    fields: { "X-A": "\x80\xe4\xff" },
  }),
  passes("must", "9110 5.5", "passes an empty value on", withLine("X-A:"), { fields: { "X-A": "" } }),
  passes("must", "9110 5.5", "takes colons and commas in a value", withLine('X-A: a:b,c;d="e"'), {
    fields: { "X-A": 'a:b,c;d="e"' },
  }),
  passes("must", "9110 5.3", "keeps duplicates apart and in order", request("GET /a", "X-A: 1", "X-B: 2", "X-A: 3"), {
    fields: { "X-A": ["1", "3"] },
  }),
  passes("must", "9110 5.3", "keeps two Cookies as they came", request("GET /a", "Cookie: a=1", "Cookie: b=2"), {
    fields: { Cookie: ["a=1", "b=2"] },
  }),
];

/** Written with `_` or `.`, these are other fields; CGI-like servers fold them, so they must not get through. */
const aliases: Case[] = [
  ...["Content_Length", "content_length", "Content.Length"].map((name) =>
    passes(
      "security",
      "9112 11.2",
      `does not pass ${name} on`,
      [request("POST /a", `${name}: 5`, "Content-Length: 2"), "hi"],
      { body: "hi", fields: { [name]: null, "Content-Length": "2" } },
    ),
  ),
  ...["Transfer_Encoding", "transfer.encoding", "TRANSFER_ENCODING"].map((name) =>
    passes(
      "security",
      "9112 11.2",
      `does not pass ${name} on`,
      [request("POST /a", `${name}: chunked`, "Content-Length: 2"), "hi"],
      { body: "hi", fields: { [name]: null } },
    ),
  ),
  passes("security", "9110 7.6.3", "does not pass X_Forwarded_For on", request("GET /a", "X_Forwarded_For: 6.6.6.6"), {
    fields: { X_Forwarded_For: null },
  }),
  passes(
    "security",
    "9110 7.6.3",
    "does not pass X-Forwarded_Host on",
    request("GET /a", "X-Forwarded_Host: evil.example"),
    { fields: { "X-Forwarded_Host": null } },
  ),
];

const forwarding: Case[] = [
  passes(
    "security",
    "7239 8.1",
    "replaces X-Forwarded-For of a client that is not trusted",
    request("GET /a", "X-Forwarded-For: 6.6.6.6"),
    { fields: { "X-Forwarded-For": "127.0.0.1" } },
  ),
  passes("security", "7239 8.1", "replaces X-Forwarded-Proto", request("GET /a", "X-Forwarded-Proto: https"), {
    fields: { "X-Forwarded-Proto": "http" },
  }),
  passes("security", "7239 8.1", "replaces X-Forwarded-Host", request("GET /a", "X-Forwarded-Host: evil.example"), {
    fields: { "X-Forwarded-Host": "a.example" },
  }),
  passes(
    "security",
    "7239 8.1",
    "drops Forwarded of a client that is not trusted",
    request("GET /a", "Forwarded: for=6.6.6.6"),
    { fields: { Forwarded: null } },
  ),
  passes("security", "7239 8.1", "drops X-Real-IP", request("GET /a", "X-Real-IP: 6.6.6.6"), {
    fields: { "X-Real-IP": null },
  }),
  passes("must", "9110 7.6.3", "says in Via who received what", request("GET /a"), {
    fields: { Via: /^1\.1 [!-~]+$/ },
  }),
  passes(
    "must",
    "9110 7.6.3",
    "says in Via that the client spoke HTTP/1.0",
    request("GET /a HTTP/1.0", "Host: a.example"),
    { fields: { Via: /^1\.0 [!-~]+$/ } },
    { afterwards: "close" },
  ),
  passes(
    "must",
    "9110 7.6.3",
    "keeps a Via that is there and adds its own behind it",
    request("GET /a", "Via: 1.0 fred"),
    { fields: { Via: ["1.0 fred", "1.1 millrace"] } },
  ),
];

export const fields: Group = { name: "fields", cases: [...names, ...values, ...aliases, ...forwarding] };
