/** The request target: its four forms (RFC 9112 section 3.2), its bytes (RFC 3986), and Max-Forwards (RFC 9110 7.6.2). */

import { request } from "../../support/client.js";
import { type Case, type Group, named, passes, raw, refuses, SMUGGLED } from "../case.js";

const get = (target: string, host = "a.example"): string => raw(`GET ${target} HTTP/1.1`, `Host: ${host}`);

const originForm: Case[] = [
  ...[
    "/",
    "/a",
    "/a/b?c=d",
    "/?",
    "/a?x=1&y=2",
    "/a;p=1",
    "/a%20b",
    "/a%2Fb",
    "/a//b",
    "/a/./b",
    "/a/../b",
    "/~user/",
    "/a:b@c",
    "/a?b?c=d/e",
    "/a?u=http://b.example/",
    "/%E2%82%AC",
    "/a?%",
    "/a?100%",
    "/a!$&'()*+,;=:@-._~",
    "/a%0d%0aX-Injected:%201",
    "//b.example/a",
    "/http://b.example/",
  ].map((target) => passes("must", "9112 3.2.1", `passes the target ${target} on unchanged`, get(target), { target })),
  ...["|", "{", "}", "[", "]", "^", "`"].map((byte) =>
    passes("should", "9112 3.2", `lets pass what browsers do not encode in a query: ${byte}`, get(`/a?q=${byte}`), {
      target: `/a?q=${byte}`,
    }),
  ),
  ...[0x00, 0x01, 0x0b, 0x0c, 0x1b, 0x1f, 0x7f, 0x80, 0xc3, 0xff].map((byte) =>
    refuses("security", "9112 3.2", `the byte ${named(byte)} in a path`, get(`/a${String.fromCharCode(byte)}b`)),
  ),
  ...[0x00, 0x0b, 0x7f, 0xe2].map((byte) =>
    refuses("security", "9112 3.2", `the byte ${named(byte)} in a query`, get(`/a?b=${String.fromCharCode(byte)}`)),
  ),
  ...['"', "<", ">", "\\"].map((byte) => refuses("must", "3986 3.3", `${byte} in a path`, get(`/a${byte}b`))),
  refuses("must", "9112 3.2", "a fragment", get("/a#b")),
  refuses("security", "9112 3.2", "an encoded NUL in a path", get("/a%00b")),
  refuses("must", "3986 2.1", "a percent sign without two hexadecimal digits", get("/a%zz")),
  refuses("must", "3986 2.1", "a percent sign at the end of a path", get("/a%")),
  refuses("must", "3986 2.1", "a percent sign with one digit", get("/a%2")),
  refuses("must", "9112 3.2.1", "a path that does not begin with a slash", get("a/b")),
  refuses("must", "9112 3.2.1", "a query alone", get("?a=b")),
  refuses("must", "9112 3.2.1", "a backslash as the first byte", get("\\a")),
];

const absoluteForm: Case[] = [
  passes("must", "9112 3.2.2", "accepts the absolute form and sends the origin form", get("http://a.example/x?y=1"), {
    target: "/x?y=1",
    fields: { Host: "a.example" },
  }),
  passes(
    "must",
    "9112 3.2.2",
    "takes the authority of the target, not the Host field",
    get("http://b.example/x", "a.example"),
    { target: "/x", fields: { Host: "b.example" } },
  ),
  passes("must", "9112 3.2.1", "sends / for an empty path", get("http://a.example"), { target: "/" }),
  passes("must", "9112 3.2.1", "sends /? with the query for an empty path", get("http://a.example?x=1"), {
    target: "/?x=1",
  }),
  passes("must", "3986 3.1", "knows the scheme in any case", get("HTTP://a.example/x"), { target: "/x" }),
  passes("must", "9112 3.2.2", "keeps the port of the authority", get("http://a.example:8080/x"), {
    target: "/x",
    fields: { Host: "a.example:8080" },
  }),
  passes("must", "3986 3.2.2", "accepts an IPv6 authority", get("http://[::1]:8080/x", "[::1]:8080"), {
    target: "/x",
    fields: { Host: "[::1]:8080" },
  }),
  passes(
    "must",
    "9112 3.2.2",
    "accepts the absolute form of an HTTP/1.0 client without Host",
    raw("GET http://a.example/x HTTP/1.0"),
    { target: "/x", fields: { Host: "a.example" } },
    { afterwards: "close" },
  ),
  refuses(
    "must",
    "9112 3.2",
    "an absolute form without Host in HTTP/1.1",
    raw("GET http://a.example/ HTTP/1.1", "X: y"),
  ),
  refuses(
    "must",
    "9112 3.2",
    "an absolute form with two Hosts",
    raw("GET http://a.example/ HTTP/1.1", "Host: a.example", "Host: a.example"),
  ),
  refuses("security", "9112 3.2", "an absolute form with an invalid Host", get("http://a.example/", "a b")),
  refuses("security", "9110 4.2.4", "user information in the target", get("http://user@a.example/")),
  refuses("security", "9110 4.2.4", "a password in the target", get("http://user:pass@a.example/")),
  refuses("must", "9110 4.2.1", "an empty authority", get("http:///x")),
  refuses("must", "9110 4.2.1", "an authority that is only a port", get("http://:80/x")),
  refuses("must", "3986 3.2.3", "a port above 65535", get("http://a.example:65536/")),
  refuses("must", "3986 3.2.3", "a port that is no number", get("http://a.example:8o/")),
  refuses("must", "3986 3.2.2", "an unclosed IPv6 authority", get("http://[::1/x")),
  refuses("must", "3986 3.1", "a scheme without slashes", get("http:a.example/")),
  refuses("must", "9112 3.2.2", "one slash behind the scheme", get("http:/a.example/")),
  refuses("should", "9110 7.4", "a scheme that is not served: ftp", get("ftp://a.example/")),
  refuses("should", "9110 7.4", "a scheme that is not served: file", get("file:///etc/passwd")),
  refuses("should", "9110 7.4", "a scheme that is not served: javascript", get("javascript:alert(1)")),
  refuses("security", "9112 3.2.2", "a backslash in the authority", get("http://a.example\\@b.example/")),
  refuses("security", "9112 3.2.2", "a fragment behind the authority", get("http://a.example#@b.example/")),
];

const otherForms: Case[] = [
  passes("must", "9112 3.2.4", "passes OPTIONS * on as *", raw("OPTIONS * HTTP/1.1", "Host: a.example"), {
    method: "OPTIONS",
    target: "*",
  }),
  passes(
    "must",
    "9112 3.2.4",
    "turns OPTIONS with an empty absolute path into *",
    raw("OPTIONS http://a.example HTTP/1.1", "Host: a.example"),
    { method: "OPTIONS", target: "*" },
  ),
  passes("must", "9112 3.2.1", "passes OPTIONS with a path on", raw("OPTIONS /a HTTP/1.1", "Host: a.example"), {
    method: "OPTIONS",
    target: "/a",
  }),
  refuses("must", "9112 3.2.4", "* with GET", get("*")),
  refuses("must", "9112 3.2.4", "* with something behind it", raw("OPTIONS *x HTTP/1.1", "Host: a.example")),
  refuses("must", "9112 3.2.4", "/* is a path, ** is nothing", raw("OPTIONS ** HTTP/1.1", "Host: a.example")),
  refuses("must", "9112 3.2.3", "the authority form with GET", get("a.example:80")),
  refuses("security", "9112 3.2.3", "the authority form with a request behind it", [get("a.example:80"), SMUGGLED]),
  passes(
    "must",
    "9110 7.6.2",
    "answers TRACE with Max-Forwards: 0 itself",
    request("TRACE /a", "Max-Forwards: 0"),
    [],
    { sees: [{ status: [200, 405, 501] }], afterwards: "any" },
  ),
  passes(
    "must",
    "9110 7.6.2",
    "answers OPTIONS with Max-Forwards: 0 itself",
    request("OPTIONS /a", "Max-Forwards: 0"),
    [],
    { sees: [{ status: [200, 204] }], afterwards: "any" },
  ),
  passes("must", "9110 7.6.2", "counts Max-Forwards down for OPTIONS", request("OPTIONS /a", "Max-Forwards: 5"), {
    fields: { "Max-Forwards": "4" },
  }),
  passes("should", "9110 7.6.2", "leaves Max-Forwards alone for GET", request("GET /a", "Max-Forwards: 0"), {
    target: "/a",
  }),
];

export const target: Group = {
  name: "request target",
  cases: [...originForm, ...absoluteForm, ...otherForms],
};
