//! Steps of the data path, each done as often as asked, for counting instructions: `instructions STEP TIMES`. Run under
//! callgrind by `bench/counts/instructions.ts`, twice with different numbers, so that the start cancels out.

mod support {
    pub mod memory_io;
}
#[path = "../tests/support/document.rs"]
mod document;
#[path = "../tests/support/plain_plan.rs"]
mod plain_plan;

use engine::host::{Host, Message};
use engine::stats::Row;
use engine::worker::Worker;
use proto::http1::encode::{AnswerEncoding, Forwarding, RequestEncoding, encode_answer, encode_request};
use proto::http1::framing::{decide_answer, decide_request};
use proto::http1::head::{Method, RequestHead, ResponseHead};
use proto::limits::HeadLimits;
use std::cell::RefCell;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use support::memory_io::{CLIENT, MemoryIo, ORIGIN, Wire};

const SHORT: &[u8] = b"GET /128 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const BROWSER: &[u8] = b"GET /assets/app.3f9c1e.js?v=12 HTTP/1.1\r\n\
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
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Fri, 13 Mar 2026 10:00:00 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\nContent-Length: 128\r\nETag: \"5-abc\"\r\nVary: Accept-Encoding\r\n\
Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n\
0123456789012345678901234567890123456789012345678901234567890123\
0123456789012345678901234567890123456789012345678901234567890123";

type Step = fn(u64);

const STEPS: &[(&str, Step)] = &[
    ("head_parse_short", |times| parse_request(SHORT, times)),
    ("head_parse_browser", |times| parse_request(BROWSER, times)),
    ("head_parse_answer", parse_answer),
    ("framing_request", frame_request),
    ("framing_answer", frame_answer),
    ("encode_request", write_request),
    ("encode_answer", write_answer),
    ("forward_short", |times| forward(SHORT, times)),
    ("forward_browser", |times| forward(BROWSER, times)),
];

fn request_head(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    head.parse(bytes, &HeadLimits::default()).expect("a valid head");
    head
}

fn answer_head() -> ResponseHead {
    let mut head = ResponseHead::new();
    head.parse(ANSWER, &HeadLimits::default()).expect("a valid head");
    head
}

fn parse_request(bytes: &[u8], times: u64) {
    let (mut head, limits) = (RequestHead::new(), HeadLimits::default());
    for _ in 0..times {
        head.parse(black_box(bytes), &limits).expect("a valid head");
        black_box(&head);
    }
}

fn parse_answer(times: u64) {
    let (mut head, limits) = (ResponseHead::new(), HeadLimits::default());
    for _ in 0..times {
        head.parse(black_box(ANSWER), &limits).expect("a valid head");
        black_box(&head);
    }
}

fn frame_request(times: u64) {
    let head = request_head(BROWSER);
    for _ in 0..times {
        black_box(decide_request(BROWSER, black_box(&head)).expect("a valid request"));
    }
}

fn frame_answer(times: u64) {
    let head = answer_head();
    for _ in 0..times {
        black_box(decide_answer(ANSWER, black_box(&head), Method::Get).expect("a valid answer"));
    }
}

fn write_request(times: u64) {
    let head = request_head(BROWSER);
    let framing = decide_request(BROWSER, &head).expect("a valid request");
    let mut out = Vec::with_capacity(4096);
    let encoding = RequestEncoding {
        path: head.target.of(BROWSER),
        host: head.host.of(BROWSER),
        body: framing.body,
        upgrade: false,
        expect_continue: false,
        nominated: false,
        via: Some(b"millrace"),
        received_version: head.version,
        forwarding: Forwarding { x_forwarded: true, client_ip: b"192.0.2.1", proto: b"http", ..Forwarding::default() },
        edits: &[],
        te_trailers: false,
    };
    for _ in 0..times {
        out.clear();
        encode_request(&mut out, BROWSER, black_box(&head), &encoding);
        black_box(&out);
    }
}

fn write_answer(times: u64) {
    let head = answer_head();
    let framing = decide_answer(ANSWER, &head, Method::Get).expect("a valid answer");
    let mut out = Vec::with_capacity(4096);
    let encoding = AnswerEncoding { body: framing.body, via: Some(b"millrace"), ..AnswerEncoding::default() };
    for _ in 0..times {
        out.clear();
        encode_answer(&mut out, ANSWER, black_box(&head), &encoding);
        black_box(&out);
    }
}

/// Whole exchanges of one worker on kept connections, from the client's event to its answer, in two turns each. The
/// first opens the origin connection.
fn forward(request: &'static [u8], times: u64) {
    let target: SocketAddr = "127.0.0.1:9000".parse().expect("an address");
    let peer: SocketAddr = "127.0.0.1:40000".parse().expect("an address");
    let wire = Rc::new(RefCell::new(Wire::default()));
    let host = Arc::new(Host::new(plain_plan::plain_plan(target, false)));
    let row = Row::of_block(Row::leak(1), 0).expect("a block of one row");
    let mut worker = Worker::new(MemoryIo(Rc::clone(&wire)), Arc::clone(&host), 0, row);
    assert!(host.inboxes[0].push(Message::Client { socket: CLIENT, peer, listener: 0 }).is_ok());
    wire.borrow_mut().ring();
    worker.turn();
    for turn in 0..times {
        wire.borrow_mut().written = [0; 2];
        wire.borrow_mut().arrive(CLIENT, request);
        worker.turn();
        if turn == 0 {
            wire.borrow_mut().establish();
            worker.turn();
        }
        assert!(wire.borrow().written[ORIGIN] > request.len(), "the request did not reach the origin");
        wire.borrow_mut().arrive(ORIGIN, ANSWER);
        worker.turn();
        assert!(wire.borrow().written[CLIENT] > 128, "the answer did not reach the client");
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let step = words.first().and_then(|name| STEPS.iter().find(|(step, _)| step == name));
    let times = words.get(1).and_then(|times| times.parse().ok());
    let (Some((_, run)), Some(times)) = (step, times) else {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        println!("{}", names.join("\n"));
        return ExitCode::from(64);
    };
    run(times);
    ExitCode::SUCCESS
}
