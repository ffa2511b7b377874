//! A hit in the cache allocates nothing in the rules: its key, its variant, the verdict and Cache-Status are made in
//! vectors that are used again.

mod support {
    pub mod allocator;
}

use proto::cache::cache_status::{Report, write_cache_status};
use proto::cache::judge::{Found, Lookup, What, decide_request};
use proto::cache::judge_answer::{Keep, decide_answer};
use proto::cache::key::{Target, write_key};
use proto::cache::message::{Answered, Arrival, Asked, Times};
use proto::cache::record::Record;
use proto::cache::vary::VarySet;
use proto::http1::framing::decide_answer as decide_framing;
use proto::http1::head::{Method, Parsed, RequestHead, ResponseHead};
use proto::limits::HeadLimits;
use proto::plan::CachePolicy;
use support::allocator::{Counting, allocations_of_this_thread};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW_MS: u64 = 784_111_777_000;
const HITS: u64 = 1_000;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nVary: Accept-Encoding\r\n\
    Content-Length: 10\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

fn request_head(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete));
    head
}

fn stored(asked: Asked<'_>, policy: &CachePolicy) -> (Record, VarySet) {
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(ANSWER, &HeadLimits::default()), Ok(Parsed::Complete));
    let arrival = Arrival {
        asked,
        path: b"/app.css",
        answered: Answered { bytes: ANSWER, head: &head },
        framing: &decide_framing(ANSWER, &head, Method::Get).expect("framing"),
        times: Times { asked_ms: NOW_MS, answered_ms: NOW_MS },
        policy,
        lifetime_s_max: None,
    };
    match decide_answer(&arrival, None, false).keep {
        Keep::Store(record, vary) => (*record, vary),
        other => panic!("not stored: {other:?}"),
    }
}

/// Allocations of `HITS` hits, after one that fills the vectors.
fn allocations_of(request: &[u8], policy: &CachePolicy) -> u64 {
    let head = request_head(request);
    let asked = Asked { bytes: request, head: &head };
    let (record, vary) = stored(asked, policy);
    let (mut key, mut variant, mut status) = (Vec::new(), Vec::new(), Vec::new());
    let mut hit = || {
        [&mut key, &mut variant, &mut status].into_iter().for_each(Vec::clear);
        let target = Target::of(asked, false).expect("a target");
        assert!(write_key(&target, asked, &policy.key, &mut key));
        vary.write_key(asked, &mut variant);
        let now_ms = NOW_MS + 5_000;
        let path = b"/app.css";
        let lookup = Lookup { asked, path, has_body: false, upgrade: false, policy, origin_down: false, now_ms };
        let decision = decide_request(&lookup, Found::Record(&record));
        assert!(matches!(decision.what, What::Hit(_)), "{decision:?}");
        let ttl_s = Some(record.ttl_s(now_ms));
        let report =
            Report { decision, ttl_s, forwarded_status: None, stored: false, collapsed: false, key: Some(&key) };
        write_cache_status(&mut status, b"mill", &report);
    };
    hit();
    let before = allocations_of_this_thread();
    (0..HITS).for_each(|_| hit());
    allocations_of_this_thread() - before
}

#[test]
fn a_plain_hit_allocates_nothing() {
    let request = b"GET /app.css?v=1 HTTP/1.1\r\nHost: A.example:8080\r\nAccept-Encoding: gzip, deflate, br;q=0.9\r\n\
        Accept: */*\r\nUser-Agent: counts\r\nCookie: a=b; c=d\r\n\r\n";
    assert_eq!(allocations_of(request, &CachePolicy::default()), 0);
}

#[test]
fn neither_does_one_with_conditions_ranges_and_wishes() {
    let request =
        b"GET /app.css HTTP/1.1\r\nHost: a.example\r\nIf-None-Match: \"0\", W/\"2\"\r\nRange: bytes=0-1,-3\r\n\
        If-Range: \"1\"\r\nCache-Control: max-age=30, min-fresh=2\r\n\r\n";
    assert_eq!(allocations_of(request, &CachePolicy::default()), 0);
}
