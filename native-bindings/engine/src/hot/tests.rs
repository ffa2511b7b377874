//! Tests of the hot cache by its rules. What threads do to it together is in `engine/tests/hot_cache_threads.rs`.

use super::*;
use proto::cache::message::Lines;
use proto::cache::record::{LifetimeFrom, Record};
use proto::cache::vary::VarySet;
use proto::http1::head::{Parsed, RequestHead, ResponseHead};
use proto::limits::HeadLimits;

const KEY: HashKey = HashKey::new([1, 2]);
const W: [Waiter; 3] = [Waiter { worker: 0, token: 1 }, Waiter { worker: 1, token: 2 }, Waiter { worker: 1, token: 3 }];

fn cache(bytes_max: u64) -> HotCache {
    HotCache::with_key(bytes_max, 4, KEY)
}

/// A request with these field lines.
struct Request {
    bytes: Vec<u8>,
    head: RequestHead,
}

impl Request {
    fn new(lines: &str) -> Self {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
        let mut head = RequestHead::new();
        assert_eq!(head.parse(&bytes, &HeadLimits::default()), Ok(Parsed::Complete));
        Self { bytes, head }
    }

    fn asked(&self) -> Asked<'_> {
        Asked { bytes: &self.bytes, head: &self.head }
    }

    fn wants<'a>(&'a self, cache: &HotCache, target: &'a str) -> Wanted<'a> {
        let target = target.as_bytes();
        Wanted { place: cache.place(target), target, extras: &[], asked: self.asked() }
    }
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

fn vary(names: &str) -> VarySet {
    let bytes = format!("HTTP/1.1 200 OK\r\nVary: {names}\r\n\r\n").into_bytes();
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(&bytes, &HeadLimits::default()), Ok(Parsed::Complete));
    VarySet::of(Lines { bytes: &bytes, fields: &head.fields, kinds: head.kinds }).expect("names")
}

/// What an entry is made of, where a test cares.
struct Make<'a> {
    target: &'a str,
    vary: &'a str,
    lines: &'a str,
    came_ms: u64,
    stamp: u64,
    tags: &'a [&'a str],
    body: Body,
}

impl Default for Make<'_> {
    fn default() -> Self {
        Self { target: "a/", vary: "", lines: "", came_ms: 1, stamp: 1, tags: &[], body: Body::whole(b"content") }
    }
}

impl Make<'_> {
    fn make(self, cache: &HotCache) -> Arc<Entry> {
        let (vary, mut variant) = (vary(self.vary), Vec::new());
        vary.write_key(Request::new(self.lines).asked(), &mut variant);
        Entry::new(NewEntry {
            place: cache.place(self.target.as_bytes()),
            target: self.target.as_bytes().into(),
            extras: Box::default(),
            vary,
            variant: variant.into(),
            record: record(self.came_ms),
            head: Box::default(),
            parsed: ResponseHead::new(),
            body: Arc::new(self.body),
            tags: self.tags.iter().map(|tag| cache.tag(tag.as_bytes())).collect(),
            tag_names: Box::default(),
            stamp: self.stamp,
        })
    }
}

fn finds(cache: &HotCache, target: &str, lines: &str) -> Option<Arc<Entry>> {
    let request = Request::new(lines);
    cache.look_up(&request.wants(cache, target), 5).entry
}

fn is(found: &Option<Arc<Entry>>, entry: &Arc<Entry>) -> bool {
    found.as_ref().is_some_and(|found| Arc::ptr_eq(found, entry))
}

#[test]
fn what_is_kept_is_found_under_its_target_and_nowhere_else() {
    let cache = cache(100_000);
    let entry = Make::default().make(&cache);
    assert!(cache.keep(&entry));
    assert!(is(&finds(&cache, "a/", ""), &entry));
    assert!(finds(&cache, "a/b", "").is_none());
    assert_eq!((cache.entries(), cache.bytes()), (1, entry.weight()));
    cache.forget(&entry);
    cache.forget(&entry);
    assert!(finds(&cache, "a/", "").is_none() && entry.is_dead());
    assert_eq!((cache.entries(), cache.bytes()), (0, 0));
}

#[test]
fn a_request_gets_the_variant_it_selects() {
    let cache = cache(100_000);
    let make = |lines, came_ms| Make { vary: "Accept-Language", lines, came_ms, ..Make::default() }.make(&cache);
    let (german, english) = (make("Accept-Language: de\r\n", 1), make("Accept-Language: en\r\n", 2));
    assert!(cache.keep(&german) && cache.keep(&english));
    assert!(is(&finds(&cache, "a/", "Accept-Language: DE\r\n"), &german));
    assert!(is(&finds(&cache, "a/", "Accept-Language: en\r\n"), &english));
    let request = Request::new("");
    let seen = cache.look_up(&request.wants(&cache, "a/"), 5);
    assert!(seen.entry.is_none() && seen.others);
}

#[test]
fn a_followed_flight_rings_all_when_it_lands_and_is_over_then() {
    let cache = cache(100_000);
    let request = Request::new("");
    let wanted = request.wants(&cache, "a/");
    let seen = cache.look_up(&wanted, 5);
    let Joined::Lead(flight) = cache.join(&wanted, &seen, W[0]) else { panic!("nobody leads") };
    assert!(matches!(cache.join(&wanted, &seen, W[1]), Joined::Follow(_)));
    assert!(matches!(cache.join(&wanted, &seen, W[2]), Joined::Follow(_)));
    flight.leave(W[1]);
    assert_eq!((flight.waiters(), flight.state()), (1, Landed::Open));
    let mut out = Vec::new();
    cache.land(&flight, Landed::Released, &mut out);
    assert_eq!((out, flight.wait(W[1])), (vec![W[2]], Landed::Released));
    assert!(matches!(cache.join(&wanted, &seen, W[0]), Joined::Lead(_)));
}

#[test]
fn purged_entries_are_found_by_nobody_and_soft_ones_are_stale_since_then() {
    let cache = cache(100_000);
    let entry = Make { tags: &["t"], ..Make::default() }.make(&cache);
    assert!(cache.keep(&entry));
    cache.purge(&Purge::Tag(b"t"[..].into()), true, 2, 77);
    assert!(is(&finds(&cache, "a/", ""), &entry));
    assert_eq!(entry.soft_since_ms(), Some(77));
    cache.purge(&Purge::Prefix(b"a"[..].into()), false, 3, 78);
    assert!(finds(&cache, "a/", "").is_none());
    assert_eq!((cache.entries(), cache.bytes()), (0, 0));
    assert!(!cache.keep(&Make { stamp: 3, ..Make::default() }.make(&cache)), "asked for before the purge");
    assert!(cache.keep(&Make { stamp: 4, ..Make::default() }.make(&cache)));
}

#[test]
fn the_budget_holds() {
    let cache = cache(10_000);
    for n in 0..1_000 {
        let target = format!("a/{n}");
        assert!(cache.keep(&Make { target: &target, ..Make::default() }.make(&cache)));
        assert!(cache.bytes() <= 10_000);
    }
    assert!(cache.entries() > 0 && cache.entries() + cache.evictions() == 1_000);
}
