//! Heads as a proxy meets them, parsed and ready to be written anew: a short request as a load generator sends it, a
//! browser's, an origin's answer with its body. The counted steps work on them, and so do the timed ones of
//! `bench/micro`.

use proto::http1::encode::{Forwarding, RequestEncoding};
use proto::http1::fields::KindSet;
use proto::http1::framing::RequestFraming;
use proto::http1::head::{RequestHead, ResponseHead};
use proto::limits::HeadLimits;

pub const SHORT: &[u8] = b"GET /128 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
pub const BROWSER: &[u8] = b"GET /assets/app.3f9c1e.js?v=12 HTTP/1.1\r\n\
Host: www.example.org\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://www.example.org/account/orders?page=3\r\n\
Connection: keep-alive\r\n\
Cookie: session=9f8b7c6d5e4f3a2b1c0d; theme=dark; consent=yes\r\n\
If-None-Match: \"3f9c1e-18a2\"\r\n\
Cache-Control: no-cache\r\n\r\n";
pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Fri, 13 Mar 2026 10:00:00 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\nContent-Length: 128\r\nETag: \"5-abc\"\r\nVary: Accept-Encoding\r\n\
Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n\
0123456789012345678901234567890123456789012345678901234567890123\
0123456789012345678901234567890123456789012345678901234567890123";

#[must_use]
pub fn request_head(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    head.parse(bytes, &HeadLimits::default()).expect("a valid head");
    head
}

/// That of `ANSWER`.
#[must_use]
pub fn answer_head() -> ResponseHead {
    let mut head = ResponseHead::new();
    head.parse(ANSWER, &HeadLimits::default()).expect("a valid head");
    head
}

/// How the request of this head goes on to the origin, with the fields the proxy adds by default.
#[must_use]
pub fn encoding_of<'a>(bytes: &'a [u8], head: &RequestHead, framing: &RequestFraming) -> RequestEncoding<'a> {
    RequestEncoding {
        path: head.target.of(bytes),
        host: head.host.of(bytes),
        body: framing.body,
        upgrade: false,
        expect_continue: false,
        nominated: framing.options.nominated,
        via: Some(b"millrace"),
        received_version: head.version,
        forwarding: Forwarding { x_forwarded: true, client_ip: b"192.0.2.1", proto: b"http", ..Forwarding::default() },
        edits: &[],
        drops: KindSet::EMPTY,
        lines: b"",
        te_trailers: false,
    }
}
