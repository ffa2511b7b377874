/** The Host field: RFC 9112 section 3.2 and RFC 9110 section 7.2. */
import { type Case, type Group, passes, raw, refuses } from "../case.js";

const withHost = (...hosts: string[]): string =>
  raw("GET /case-host HTTP/1.1", ...hosts.map((host) => `Host: ${host}`));

const wrong: readonly (readonly [string, string])[] = [
  ["an empty Host", ""],
  ["a port without a host", ":80"],
  ["a port that is no number", "a.example:x"],
  ["a negative port", "a.example:-1"],
  ["a signed port", "a.example:+80"],
  ["a port above 65535", "a.example:65536"],
  ["a very long port", "a.example:000000000000080"],
  ["two ports", "a.example:80:80"],
  ["a space inside", "a b"],
  ["a tab inside", "a\tb"],
  ["a space before the port", "a.example :80"],
  ["a list of hosts", "a.example, b.example"],
  ["a list without a space", "a.example,b.example"],
  ["a path", "a.example/x"],
  ["a whole URI", "http://a.example"],
  ["user information", "user@a.example"],
  ["a query", "a.example?x"],
  ["a fragment", "a.example#x"],
  ["a backslash", "a.example\\b"],
  ["quotes", '"a.example"'],
  ["angle brackets", "<a.example>"],
  ["an unclosed bracket", "[::1"],
  ["a bracket that was never opened", "::1]"],
  ["an IPv6 address without brackets", "::1"],
  ["a zone in an IPv6 address", "[fe80::1%25eth0]"],
  ["a future address", "[v1.x]"],
  ["an empty bracket", "[]"],
  ["bytes behind a bracket", "[::1]x"],
  ["an IPv6 address with nine groups", "[1:2:3:4:5:6:7:8:9]"],
  ["a percent sign without digits", "a%zz.example"],
  ["a non-ASCII byte", "\xe4.example"],
  ["a pipe", "a|b"],
  ["a caret", "a^b"],
  ["braces", "{a}"],
];

const right: readonly (readonly [string, string])[] = [
  ["a port", "a.example:8080"],
  ["port 65535", "a.example:65535"],
  ["an IPv4 address", "127.0.0.1"],
  ["an IPv4 address with a port", "127.0.0.1:80"],
  ["an IPv6 address", "[::1]"],
  ["an IPv6 address with a port", "[2001:db8::1]:8080"],
  ["an underscore, which DNS refuses and HTTP does not", "a_b.example"],
  ["capitals", "A.EXAMPLE"],
  ["a dot at the end", "a.example."],
  ["one label", "localhost"],
  ["an encoded byte", "a%41.example"],
];

/** Heads of which two readers could take different Hosts. */
const SMUGGLING: readonly (readonly [rfc: string, what: string, head: string])[] = [
  ["9112 3.2", "two different Hosts", withHost("a.example", "b.example")],
  ["9112 3.2", "the same Host twice", withHost("a.example", "a.example")],
  ["9112 3.2", "two Hosts in different case", raw("GET / HTTP/1.1", "Host: a.example", "hOST: a.example")],
  ["9112 3.2", "an empty and a real Host", withHost("", "a.example")],
  ["9112 3.2", "two Hosts in HTTP/1.0", raw("GET / HTTP/1.0", "Host: a.example", "Host: b.example")],
  ["9112 3.2", "an invalid Host in HTTP/1.0", raw("GET / HTTP/1.0", "Host: a b")],
  ["9112 5.1", "a space between Host and its colon", raw("GET / HTTP/1.1", "Host : a.example")],
  [
    "9112 5.1",
    "a hidden second Host before a space and colon",
    raw("GET / HTTP/1.1", "Host: a.example", "Host : b.example"),
  ],
  ["9112 5.2", "a folded Host", raw("GET / HTTP/1.1", "Host:", " a.example")],
  ["9112 5.2", "a second Host behind a fold", raw("GET / HTTP/1.1", "Host: a.example", " Host: b.example")],
  ["9112 5.2", "an indented Host as the first field", raw("GET / HTTP/1.1", " Host: a.example")],
  ["9110 5.5", "a NUL in Host", withHost("a.example\x00.b")],
  ["9112 2.2", "a bare CR in Host", withHost("a.example\rX: y")],
];

const cases: Case[] = [
  refuses("must", "9112 3.2", "an HTTP/1.1 request without Host", raw("GET / HTTP/1.1", "X: y")),
  refuses("must", "9112 3.2", "a request without any field", "GET / HTTP/1.1\r\n\r\n"),
  ...SMUGGLING.map(([rfc, what, head]) => refuses("security", rfc, what, head)),
  ...wrong.map(([what, host]) => refuses("security", "9112 3.2", `as Host ${what}`, withHost(host))),
  ...right.map(([what, host]) =>
    passes("must", "9110 7.2", `accepts as Host ${what} and passes it on`, withHost(host), {
      fields: { Host: host },
    }),
  ),
  passes("must", "9110 5.1", "knows Host in any case", raw("GET /a HTTP/1.1", "hOsT: a.example"), {
    fields: { Host: "a.example" },
  }),
  passes(
    "must",
    "9112 5",
    "ignores white space around the Host's value",
    raw("GET /a HTTP/1.1", "Host: \t a.example \t"),
    { fields: { Host: "a.example" } },
  ),
  passes("must", "9112 5", "needs no space behind the colon", raw("GET /a HTTP/1.1", "Host:a.example"), {
    fields: { Host: "a.example" },
  }),
  passes(
    "must",
    "9110 7.2",
    "gives the origin a Host when an HTTP/1.0 client sent none",
    raw("GET /a HTTP/1.0"),
    { fields: { Host: /./ } },
    { afterwards: "close" },
  ),
  passes(
    "should",
    "9110 7.2",
    "takes a Host that does not come first",
    raw("GET /a HTTP/1.1", "X: y", "Host: a.example"),
    { fields: { Host: "a.example", X: "y" } },
  ),
];

export const host: Group = { name: "Host", cases };
