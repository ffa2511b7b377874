//! The targets: what is run on an input, and what is promised of every input. A broken promise is a panic.

mod answer_head;
mod chunks;
mod client_hello;
mod encode_answer;
mod encode_request;
mod exchange;
mod framing;
mod head_rules;
mod http2_server;
mod plan;
mod request_head;
mod route;
mod tls_session;

use proto::limits::HeadLimits;

/// One target.
pub struct Target {
    pub name: &'static str,
    /// What must hold of every input, in a sentence.
    pub promises: &'static str,
    pub run: fn(&[u8]),
    /// Longest input in bytes.
    pub longest: usize,
    /// Words worth putting into an input.
    pub words: &'static [&'static [u8]],
    /// Vector files whose bytes are seeds, and what the target wants before them.
    pub vectors: &'static [&'static str],
    pub before_vector: &'static [u8],
}

pub const TARGETS: &[Target] = &[
    Target {
        name: "request_head",
        promises: "A request head is read the same however it arrives, and every part of it is what it claims to be.",
        run: request_head::run,
        longest: 4096,
        words: REQUEST_WORDS,
        vectors: &["http1-requests.md"],
        before_vector: b"",
    },
    Target {
        name: "answer_head",
        promises: "An answer head is read the same however it arrives, and every part of it is what it claims to be.",
        run: answer_head::run,
        longest: 4096,
        words: ANSWER_WORDS,
        vectors: &["http1-answers.md"],
        before_vector: b"",
    },
    Target {
        name: "framing",
        promises: "A message we accept ends where every lenient reader sees its end.",
        run: framing::run,
        longest: 4096,
        words: FRAMING_WORDS,
        vectors: &["http1-requests.md", "http1-answers.md"],
        before_vector: b"\0",
    },
    Target {
        name: "chunks",
        promises: "A chunked body decodes the same however it arrives, as a lenient reader would, and never to more than was there.",
        run: chunks::run,
        longest: 4096,
        words: CHUNK_WORDS,
        vectors: &["http1-chunks.md"],
        before_vector: b"",
    },
    Target {
        name: "exchange",
        promises: "An exchange is complete only when its bodies are, whatever happens in whatever order.",
        run: exchange::run,
        longest: 2048,
        words: CHUNK_WORDS,
        vectors: &["http1-chunks.md"],
        before_vector: b"\x02\x01\x02\x00\x00\xff",
    },
    Target {
        name: "encode_request",
        promises: "A request written anew means the same to the strictest and to the most lenient reader.",
        run: encode_request::run,
        longest: 4096,
        words: REQUEST_WORDS,
        vectors: &["http1-requests.md"],
        before_vector: b"\0\0",
    },
    Target {
        name: "encode_answer",
        promises: "An answer written anew means the same, whichever version the client speaks.",
        run: encode_answer::run,
        longest: 4096,
        words: ANSWER_WORDS,
        vectors: &["http1-answers.md"],
        before_vector: b"\0\0",
    },
    Target {
        name: "plan",
        promises: "Bytes that are not a plan are refused, and a plan that passes its check can be run.",
        run: plan::run,
        longest: 8192,
        words: PLAN_WORDS,
        vectors: &[],
        before_vector: b"",
    },
    Target {
        name: "route",
        promises: "A path is normalised as RFC 3986 says, and routes are found as by trying one after the other.",
        run: route::run,
        longest: 512,
        words: ROUTE_WORDS,
        vectors: &[],
        before_vector: b"",
    },
    Target {
        name: "client_hello",
        promises: "The name a TLS client asks for is read the same however it arrives, and as the TLS library reads it.",
        run: client_hello::run,
        longest: 2048,
        words: HELLO_WORDS,
        vectors: &[],
        before_vector: b"",
    },
    Target {
        name: "tls_server",
        promises: "A session with a client opens what the client sealed, in order and nothing else, whatever comes and however.",
        run: tls_session::run_server,
        longest: 1024,
        words: SESSION_WORDS,
        vectors: &[],
        before_vector: b"",
    },
    Target {
        name: "tls_client",
        promises: "A session with a target opens what the target sealed, in order and nothing else, whatever comes and however.",
        run: tls_session::run_client,
        longest: 1024,
        words: SESSION_WORDS,
        vectors: &[],
        before_vector: b"",
    },
    Target {
        name: "http2_server",
        promises: "A client's HTTP/2 connection comes to rest whatever it says, and every request on it is one head.",
        run: http2_server::run,
        longest: 1024,
        words: FRAME_WORDS,
        vectors: &[],
        before_vector: b"\xff\x01",
    },
    Target {
        name: "http2_answer",
        promises: "An answer's head that came over HTTP/2 is one head as text, and the same fields again.",
        run: http2_server::run_answer,
        longest: 512,
        words: ANSWER_WORDS,
        vectors: &["http1-answers.md"],
        before_vector: b"\x21",
    },
];

/// Not a target: the bug that every run must find first, to prove that its search is guided.
pub const SELF_CHECK: Target = Target {
    name: "self_check",
    promises: "A bug is planted here.",
    run: planted,
    longest: 6,
    words: &[],
    vectors: &[],
    before_vector: b"",
};

fn planted(bytes: &[u8]) {
    let depth = bytes.iter().zip([0x91, 0x3d, 0xe7]).take_while(|(byte, wanted)| **byte == *wanted).count();
    // Each step counts an edge once more, which is what a guided search climbs by.
    for step in 1..=3 {
        if depth >= step {
            std::hint::black_box(step);
        }
    }
    assert!(depth < 3, "the planted bug");
}

/// Limits that short inputs can reach.
pub(crate) const TIGHT: HeadLimits =
    HeadLimits { request_line_bytes: 40, head_bytes: 160, field_count: 4, chunk_extension_bytes: 12 };

/// Places to cut an input at: all of a short one, some of a long one.
pub(crate) fn cuts(len: usize) -> impl Iterator<Item = usize> {
    const MOST: usize = 96;
    let step = 1 + len / MOST;
    // Ends matter most, so the last places are always among them.
    (0..len).filter(move |at| at % step == 0 || at + 8 > len)
}

const REQUEST_WORDS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"PUT ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
    b"HEAD ",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"HTTP/1.",
    b"*",
    b"http://a",
    b"https://b:1/",
    b"/../",
    b"/./",
    b"//",
    b"%2e",
    b"%2F",
    b"%00",
    b"?",
    b"[::1]:80",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b": ",
    b"Host: a\r\n",
    b"Content-Length: 5\r\n",
    b"Content_Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer.Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, x-a\r\n",
    b"Connection: te, upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"TE: trailers\r\n",
    b"X-A: b\r\n",
    b"X-Forwarded-For: 1.2.3.4\r\n",
    b"X_Forwarded_For: 1.2.3.4\r\n",
    b"Forwarded: for=1.2.3.4\r\n",
    b"Via: 1.1 a\r\n",
    b"Max-Forwards: 3\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"Proxy-Connection: close\r\n",
    b"Trailer: x\r\n",
];

const ANSWER_WORDS: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200\r\n",
    b"HTTP/1.1 204 \r\n",
    b"HTTP/1.1 304 \r\n",
    b"HTTP/1.1 101 \r\n",
    b"HTTP/1.1 103 \r\n",
    b"HTTP/1.1 426 \r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b": ",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, x-a\r\n",
    b"Upgrade: websocket\r\n",
    b"Keep-Alive: timeout=5\r\n",
    b"Trailer: x\r\n",
    b"Date: x\r\n",
    b"Via: 1.1 a\r\n",
    b"X-A: b\r\n",
    b"Set-Cookie: a=b\r\n",
];

const FRAMING_WORDS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"POST / HTTP/1.0\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"Content-Length: ",
    b"Content-Length: 3\r\n",
    b"Content-Length : 3\r\n",
    b"Content-Length: 3,3\r\n",
    b"Transfer-Encoding: ",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"chunked",
    b"identity",
    b"Connection: Content-Length\r\n",
    b" folded\r\n",
    b"\tfolded\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"X: y\r\n",
];

const CHUNK_WORDS: &[&[u8]] = &[
    b"0\r\n\r\n",
    b"0\r\n",
    b"\r\n",
    b"\n",
    b"5\r\nhello\r\n",
    b"5\r\nhello1\n",
    b"00000000000000005",
    b"7fffffffffffffff\r\n",
    b"ffffffffffffffff\r\n",
    b";",
    b";a=b",
    b" ; a = \"b\\\"c\"",
    b"\"",
    b"X-T: v\r\n",
    b"X-T:v \t\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
    b" fold\r\n",
];

const PLAN_WORDS: &[&[u8]] = &[
    b"\xc1",
    b"\xa7version",
    b"\xa7workers",
    b"\xa6routes",
    b"\xa7origins",
    b"\xa4kind",
    b"\xa7forward",
    b"\xa6answer",
    b"\xa8redirect",
    b"\xa3any",
    b"\xa5exact",
    b"\xa6prefix",
    b"\xa7pattern",
    b"\xa5value",
    b"\xa6remove",
    b"\xa3set",
    b"\xa3add",
    b"\xa9127.0.0.1",
    b"\xa3::1",
    b"\xaaprefixBits",
    b"\xcc\xff",
    b"\xcd\xff\xff",
    b"\xce\xff\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xdc\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xc0",
    b"\xc2",
    b"\x90",
    b"\x80",
    b"\xa0",
];

const HELLO_WORDS: &[&[u8]] = &[
    b"\x16\x03\x01\x00",
    b"\x16\x03\x03\x00\x01",
    b"\x01\x00\x00",
    b"\x00\x00\x00\x0c\x00\x0a\x00\x00\x07a.b.org",
    b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09127.0.0.1",
    b"\x00\x0d\x00\x04\x00\x02\x04\x03",
    b"\x00\x0a\x00\x04\x00\x02\x00\x1d",
    b"\x00\x2b\x00\x03\x02\x03\x04",
    b"\x01\x00",
    b"\xff\xff",
    b"GET / HTTP/1.1\r\n",
];

/// Steps of `tls_session`, and records that a hostile peer may put between them.
const SESSION_WORDS: &[&[u8]] = &[
    b"\x00\x00",
    b"\x01\x01",
    b"\x02\x00",
    b"\x03\x01",
    b"\x04\xff",
    b"\x05\xff",
    b"\x06\x00\x00\x01",
    b"\x07\x00",
    b"\x07\x01",
    b"\x00\x00\x02\x00\x00\x00\x02\x00",
    b"\x16\x03\x03\x00\x04\x00\x00\x00\x00",
    b"\x16\x03\x03\x00\x05\x18\x00\x00\x01\x01",
    b"\x15\x03\x03\x00\x02\x01\x00",
    b"\x15\x03\x03\x00\x02\x02\x28",
    b"\x14\x03\x03\x00\x01\x01",
    b"\x17\x03\x03\x40\x00",
    b"\x17\x03\x03\x00\x00",
];

/// Frames of HTTP/2, and pieces of header blocks (RFC 7541).
const FRAME_WORDS: &[&[u8]] = &[
    b"\0\0\x04\x01\x05\0\0\0\x01\x82\x84\x86\x41",
    b"\0\0\x07\x01\x05\0\0\0\x01\x82\x84\x86\x01\x01a",
    b"\0\0\x07\x01\x04\0\0\0\x03\x83\x84\x86\x01\x01a",
    b"\0\0\x05\0\0\0\0\0\x03hello",
    b"\0\0\0\0\x01\0\0\0\x03",
    b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
    b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0",
    b"\0\0\x01\x09\x04\0\0\0\x01\x82",
    b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\x82\x84\x86",
    b"\x41\x01a",
    b"\x04\x01/",
    b"\x04\x04/a b",
    b"\x04\x05/a\r\nb",
    b"\x02\x07CONNECT",
    b"\0\x09:protocol\x09websocket",
    b"\0\x04host\x01b",
    b"\0\x06cookie\x03a=b",
    b"\0\x02te\x08trailers",
    b"\0\x0econtent-length\x015",
    b"\0\x11transfer-encoding\x07chunked",
    b"\0\x01x\x04a\r\nb",
    b"\x3f\xe1\x1f",
    b"\xbe",
];

const ROUTE_WORDS: &[&[u8]] = &[
    b"\n",
    b"/",
    b"..",
    b".",
    b"/../",
    b"/./",
    b"%2e",
    b"%2E%2e",
    b"%2f",
    b"%41",
    b"%25",
    b"*",
    b"**",
    b"*.",
    b"example.org",
    b"a.example.org",
    b".",
    b":80",
    b"[::1]",
    b"/a/b",
];
