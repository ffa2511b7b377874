//! Requests and entries for tests of the hot cache: each test says what it cares about, and the rest is as plain as can
//! be.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

use engine::hot::{Body, Entry, HashKey, HotCache, NewEntry, Wanted};
use proto::cache::message::{Asked, Lines};
use proto::cache::record::{LifetimeFrom, Record};
use proto::cache::vary::VarySet;
use proto::http1::head::{Parsed, RequestHead, ResponseHead};
use proto::limits::HeadLimits;
use std::sync::Arc;

/// A small cache that is the same in every run.
pub fn cache(bytes_max: u64) -> HotCache {
    HotCache::with_key(bytes_max, 4, HashKey::new([1, 2]))
}

/// A GET request with these field lines.
pub struct Request {
    bytes: Vec<u8>,
    head: RequestHead,
}

impl Request {
    pub fn new(lines: &str) -> Self {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
        let mut head = RequestHead::new();
        assert_eq!(head.parse(&bytes, &HeadLimits::default()), Ok(Parsed::Complete));
        Self { bytes, head }
    }

    pub fn asked(&self) -> Asked<'_> {
        Asked { bytes: &self.bytes, head: &self.head }
    }

    pub fn wants<'a>(&'a self, cache: &HotCache, target: &'a str) -> Wanted<'a> {
        let target = target.as_bytes();
        Wanted { place: cache.place(target), target, extras: &[], asked: self.asked() }
    }
}

/// What an entry is made of.
pub struct Make<'a> {
    pub target: &'a str,
    pub extras: &'a str,
    /// Names it varies by, and the field lines of the request that it answers.
    pub vary: &'a str,
    pub lines: &'a str,
    pub came_ms: u64,
    pub stamp: u64,
    pub tags: &'a [&'a str],
    pub head: &'a [u8],
    pub body: Body,
}

impl Default for Make<'_> {
    fn default() -> Self {
        let body = Body::whole(b"content");
        Self { target: "a/", extras: "", vary: "", lines: "", came_ms: 1, stamp: 1, tags: &[], head: b"", body }
    }
}

impl Make<'_> {
    pub fn make(self, cache: &HotCache) -> Arc<Entry> {
        let (vary, mut variant) = (vary(self.vary), Vec::new());
        if !vary.is_empty() {
            vary.write_key(Request::new(self.lines).asked(), &mut variant);
        }
        Entry::new(NewEntry {
            place: cache.place(self.target.as_bytes()),
            target: self.target.as_bytes().into(),
            extras: self.extras.as_bytes().into(),
            vary,
            variant: variant.into(),
            record: record(self.came_ms),
            head: self.head.into(),
            parsed: parsed(self.head),
            body: Arc::new(self.body),
            tags: self.tags.iter().map(|tag| cache.tag(tag.as_bytes())).collect(),
            tag_names: self.tags.iter().map(|tag| tag.as_bytes().into()).collect(),
            stamp: self.stamp,
        })
    }
}

fn parsed(head: &[u8]) -> ResponseHead {
    let mut parsed = ResponseHead::new();
    assert!(head.is_empty() || parsed.parse(head, &HeadLimits::default()) == Ok(Parsed::Complete));
    parsed
}

fn vary(names: &str) -> VarySet {
    if names.is_empty() {
        return VarySet::default();
    }
    let bytes = format!("HTTP/1.1 200 OK\r\nVary: {names}\r\n\r\n").into_bytes();
    let head = parsed(&bytes);
    VarySet::of(Lines { bytes: &bytes, fields: &head.fields, kinds: head.kinds }).expect("names")
}

fn record(came_ms: u64) -> Record {
    Record {
        status: 200,
        born_ms: came_ms,
        came_ms,
        fresh_until_ms: came_ms + 1_000,
        while_revalidate_until_ms: came_ms + 1_000,
        if_error_until_ms: came_ms + 1_000,
        lifetime_from: LifetimeFrom::MaxAge,
        always_validate: false,
        never_stale: false,
        allows_authorized: false,
        immutable: false,
        date_s: 0,
        date_repaired: false,
        last_modified_s: None,
        etag: Box::default(),
        length: None,
        part: None,
    }
}
