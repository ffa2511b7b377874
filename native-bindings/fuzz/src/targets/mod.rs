//! The targets: what is run on an input, and what is promised of every input. A broken promise is a panic.

mod answer_head;
mod cache;
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
mod words;

use proto::limits::HeadLimits;
use words::{
    ANSWER_WORDS, CACHE_WORDS, CHUNK_WORDS, FRAME_WORDS, FRAMING_WORDS, HELLO_WORDS, PLAN_WORDS, REQUEST_WORDS,
    ROUTE_WORDS, SESSION_WORDS,
};

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
        name: "cache",
        promises: "A stored answer is used within its times only, what forbids storing is obeyed, and what is written can be read.",
        run: cache::run,
        longest: 2048,
        words: CACHE_WORDS,
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
