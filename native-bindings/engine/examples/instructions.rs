//! Steps of the data path, each done as often as asked, for counting instructions: `instructions STEP TIMES`. Run under
//! callgrind by `bench/counts/instructions.ts`, twice with different numbers, so that the start cancels out.

mod support {
    pub mod memory_io;
    pub mod samples;
}
#[path = "../tests/support/document.rs"]
mod document;
#[path = "../tests/support/hot_entries.rs"]
mod hot_entries;
#[path = "../tests/support/plain_plan.rs"]
mod plain_plan;

use engine::host::{Host, Message};
use engine::hot::Near;
use engine::stats::Row;
use engine::worker::Worker;
use proto::http1::encode::{AnswerEncoding, encode_answer, encode_request};
use proto::http1::framing::{decide_answer, decide_request};
use proto::http1::head::{Method, RequestHead, ResponseHead};
use proto::limits::HeadLimits;
use proto::plan::{CachePolicy, ClientDirectives, Plan, TtlRule};
use std::cell::RefCell;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use support::memory_io::{CLIENT, MemoryIo, ORIGIN, Wire};
use support::samples::{ANSWER, BROWSER, SHORT, answer_head, encoding_of, request_head};

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
    ("cache_hit_short", |times| hit(SHORT, times)),
    ("cache_hit_browser", |times| hit(BROWSER, times)),
    ("hot_hit", |times| hot_hit("", times)),
    ("hot_hit_of_variant", |times| hot_hit("Accept-Encoding, X", times)),
    ("hot_hit_near", hot_hit_near),
    ("hot_miss_and_keep", hot_keep),
];

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
    let encoding = encoding_of(BROWSER, &head, &framing);
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

/// One worker with one client, before its first request.
fn worker_of(plan: Plan) -> (Worker<MemoryIo>, Rc<RefCell<Wire>>) {
    let peer: SocketAddr = "127.0.0.1:40000".parse().expect("an address");
    let wire = Rc::new(RefCell::new(Wire::default()));
    let host = Arc::new(Host::new(plan).expect("a plan without TLS"));
    let row = Row::of_block(Row::leak(1), 0).expect("a block of one row");
    let mut worker = Worker::new(MemoryIo(Rc::clone(&wire)), Arc::clone(&host), 0, row);
    assert!(host.inboxes[0].push(Message::Client { socket: CLIENT, peer, listener: 0 }).is_ok());
    wire.borrow_mut().ring();
    worker.turn();
    (worker, wire)
}

fn target() -> SocketAddr {
    "127.0.0.1:9000".parse().expect("an address")
}

/// A request that goes to the origin, and its answer; the first opens the origin connection.
fn exchange(worker: &mut Worker<MemoryIo>, wire: &RefCell<Wire>, request: &'static [u8], first: bool) {
    wire.borrow_mut().written = [0; 2];
    wire.borrow_mut().arrive(CLIENT, request);
    worker.turn();
    if first {
        wire.borrow_mut().establish();
        worker.turn();
    }
    assert!(wire.borrow().written[ORIGIN] > request.len(), "the request did not reach the origin");
    wire.borrow_mut().arrive(ORIGIN, ANSWER);
    worker.turn();
    assert!(wire.borrow().written[CLIENT] > 128, "the answer did not reach the client");
}

/// Whole exchanges of one worker on kept connections, from the client's event to its answer, in two turns each.
fn forward(request: &'static [u8], times: u64) {
    let (mut worker, wire) = worker_of(plain_plan::plain_plan(target(), false));
    for turn in 0..times {
        exchange(&mut worker, &wire, request, turn == 0);
    }
}

/// Answers out of the cache, from the client's event to the answer, in one turn each.
fn hit(request: &'static [u8], times: u64) {
    let mut plan = plain_plan::plain_plan(target(), false);
    let rule = TtlRule { force_s: Some(3600), overrides: true, ..TtlRule::default() };
    plan.routes[0].cache =
        Some(CachePolicy { ttl: vec![rule], client_directives: ClientDirectives::Ignore, ..CachePolicy::default() });
    let (mut worker, wire) = worker_of(plan);
    exchange(&mut worker, &wire, request, true);
    for _ in 0..times {
        wire.borrow_mut().written = [0; 2];
        wire.borrow_mut().arrive(CLIENT, request);
        worker.turn();
        assert!(wire.borrow().written[ORIGIN] == 0 && wire.borrow().written[CLIENT] > 128, "no hit");
    }
}

/// A look-up that finds, its place included.
fn hot_hit(vary: &str, times: u64) {
    let cache = hot_entries::cache(10_000_000);
    let request = hot_entries::Request::new("Accept-Encoding: gzip, br\r\nX: y\r\n");
    let targets: Vec<String> = (0..1_000).map(|n| format!("www.example/articles/{n}")).collect();
    for target in &targets {
        let lines = "Accept-Encoding: gzip, br\r\nX: y\r\n";
        cache.keep(&hot_entries::Make { target, vary, lines, ..hot_entries::Make::default() }.make(&cache));
    }
    for target in targets.iter().cycle().take(times as usize) {
        let seen = cache.look_up(&request.wants(&cache, black_box(target)), 5);
        cache.touch(black_box(seen.entry.as_ref().expect("it was kept")));
    }
}

/// The same of what this worker was given a short time ago.
fn hot_hit_near(times: u64) {
    let (cache, mut near) = (hot_entries::cache(10_000_000), Near::default());
    let request = hot_entries::Request::new("");
    let target = "www.example/articles/500";
    let entry = hot_entries::Make { target, ..hot_entries::Make::default() }.make(&cache);
    cache.keep(&entry);
    near.note(&request.wants(&cache, target), &entry);
    for _ in 0..times {
        let wanted = request.wants(&cache, black_box(target));
        black_box(near.look_up(&cache, &wanted).expect("it is near"));
    }
}

/// A look-up that finds nothing, an entry that is made and kept, and one that leaves for it.
fn hot_keep(times: u64) {
    let cache = hot_entries::cache(200_000);
    let request = hot_entries::Request::new("");
    for n in 0..times {
        let target = format!("www.example/articles/{n}");
        assert!(cache.look_up(&request.wants(&cache, &target), 5).entry.is_none());
        cache.keep(&hot_entries::Make { target: &target, ..hot_entries::Make::default() }.make(&cache));
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
