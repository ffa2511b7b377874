//! Tests of verdicts that no conversation shows: the marker of what cannot be stored, and explanations.

use super::*;
use crate::cache::explain::{Fact, explain};
use crate::cache::record::LifetimeFrom;
use crate::http1::head::{Parsed, RequestHead};
use crate::limits::HeadLimits;

const NOW_MS: u64 = 1_000_000;

fn request(fields: &str) -> (Vec<u8>, RequestHead) {
    let bytes = format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    let mut head = RequestHead::new();
    assert_eq!(head.parse(&bytes, &HeadLimits::default()), Ok(Parsed::Complete));
    (bytes, head)
}

fn record() -> Record {
    Record {
        status: 200,
        born_ms: NOW_MS - 20_000,
        came_ms: NOW_MS - 20_000,
        fresh_until_ms: NOW_MS + 40_000,
        while_revalidate_until_ms: NOW_MS + 50_000,
        if_error_until_ms: NOW_MS + 60_000,
        lifetime_from: LifetimeFrom::MaxAge,
        always_validate: false,
        never_stale: false,
        allows_authorized: false,
        immutable: false,
        date_s: NOW_MS / 1000 - 20,
        date_repaired: false,
        last_modified_s: None,
        etag: b"\"1\"".as_slice().into(),
        length: Some(10),
        part: None,
    }
}

fn with_lookup<T>(fields: &str, now_ms: u64, ask: impl FnOnce(&Lookup<'_>) -> T) -> T {
    let (bytes, head) = request(fields);
    ask(&Lookup {
        asked: Asked { bytes: &bytes, head: &head },
        path: b"/a",
        has_body: false,
        upgrade: false,
        policy: &CachePolicy::default(),
        origin_down: false,
        now_ms,
    })
}

#[test]
fn a_request_without_host_has_no_key() {
    let bytes = b"GET /a HTTP/1.0\r\n\r\n";
    let mut head = RequestHead::new();
    assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete));
    let asked = Asked { bytes, head: &head };
    let decision = with_lookup("", NOW_MS, |lookup| decide_request(&Lookup { asked, ..*lookup }, Found::Nothing));
    assert_eq!(decision, Decision { what: What::Bypass, why: Why::NoKey });
}

#[test]
fn nobody_waits_for_what_was_found_uncacheable() {
    let decision = with_lookup("", NOW_MS, |lookup| decide_request(lookup, Found::Uncacheable));
    assert_eq!(decision, Decision { what: What::Miss, why: Why::Uncacheable });
    let only = "Cache-Control: only-if-cached\r\n";
    let decision = with_lookup(only, NOW_MS, |lookup| decide_request(lookup, Found::Uncacheable));
    assert_eq!(decision, Decision { what: What::GatewayTimeout, why: Why::OnlyIfCached });
}

#[test]
fn an_explanation_is_the_verdict_with_its_numbers() {
    let record = record();
    let (decision, facts) = with_lookup("", NOW_MS, |lookup| explain(lookup, Found::Record(&record), b"http://a/a"));
    assert_eq!(decision, Decision { what: What::Hit(Serve::Whole), why: Why::Fresh });
    for (name, value) in [
        ("verdict", "hit"),
        ("why", "fresh"),
        ("says", "The stored answer is fresh."),
        ("key", "http://a/a"),
        ("status", "200"),
        ("age_s", "20"),
        ("fresh_for_s", "40"),
        ("lifetime_from", "max-age"),
        ("while_revalidate_for_s", "50"),
        ("if_error_for_s", "60"),
        ("etag", "\"1\""),
    ] {
        assert!(facts.contains(&Fact { name, value: value.to_owned() }), "{name}: {facts:?}");
    }
    assert!(!facts.iter().any(|fact| fact.name == "always_validate"));
}

#[test]
fn a_soft_purge_leaves_what_may_be_used_in_need() {
    let mut record = record();
    record.expire(NOW_MS);
    assert!(record.holds() && !record.is_fresh(NOW_MS));
    assert_eq!(record.while_revalidate_until_ms, NOW_MS + 10_000);
    assert_eq!(record.if_error_until_ms, NOW_MS + 20_000);
    // Twice is once.
    let before = record.clone();
    record.expire(NOW_MS + 5_000);
    assert_eq!(record, before);
}
