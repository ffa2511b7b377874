//! Purges of the hot cache: nobody is given what was asked for before a hard one, whenever it comes in.

mod support {
    pub mod hot_entries;
}

use engine::hot::{Body, Entry, HotCache, Joined, Purge, Waiter};
use std::sync::Arc;
use support::hot_entries::{Make, Request, cache};

const W: [Waiter; 3] = [Waiter { worker: 0, token: 1 }, Waiter { worker: 1, token: 2 }, Waiter { worker: 1, token: 3 }];

fn finds(cache: &HotCache, target: &str, lines: &str) -> Option<Arc<Entry>> {
    let request = Request::new(lines);
    cache.look_up(&request.wants(cache, target), 5).entry
}

fn tag(name: &str) -> Purge {
    Purge::Tag(name.as_bytes().into())
}

fn prefix(name: &str) -> Purge {
    Purge::Prefix(name.as_bytes().into())
}

#[test]
fn a_hard_purge_takes_what_was_asked_for_before_it() {
    for purge in [Purge::Url(b"a/1"[..].into()), prefix("a/"), tag("t"), Purge::Everything] {
        let cache = cache(100_000);
        let make = |stamp| Make { target: "a/1", tags: &["s", "t"], stamp, ..Make::default() }.make(&cache);
        let (entry, other) = (make(1), Make { target: "b/", ..Make::default() }.make(&cache));
        assert!(cache.keep(&entry) && cache.keep(&other));
        cache.purge(&purge, false, 5, 50);
        assert!(finds(&cache, "a/1", "").is_none(), "{purge:?}");
        assert_eq!(finds(&cache, "b/", "").is_none(), purge == Purge::Everything);
        assert!(!cache.keep(&make(5)), "asked for before {purge:?}, and came after it");
        assert!(!cache.list(&make(5)));
        assert!(cache.keep(&make(6)), "{purge:?}");
        assert!(finds(&cache, "a/1", "").is_some());
        assert_eq!(
            cache.bytes(),
            cache.variants_of(b"a/1")[0].weight() + cache.entries().saturating_sub(1) * other.weight()
        );
    }
}

#[test]
fn a_soft_purge_makes_stale_what_was_asked_for_before_it() {
    for purge in [Purge::Url(b"a/1"[..].into()), prefix("a"), tag("t"), Purge::Everything] {
        let cache = cache(100_000);
        let make = |stamp| Make { target: "a/1", tags: &["t"], stamp, ..Make::default() }.make(&cache);
        let entry = make(1);
        assert!(cache.keep(&entry));
        let request = Request::new("");
        let stale_since = || cache.look_up(&request.wants(&cache, "a/1"), 60).soft_since_ms;
        assert_eq!(stale_since(), None);
        cache.purge(&purge, true, 5, 50);
        cache.purge(&purge, true, 6, 55);
        assert_eq!(stale_since(), Some(50), "{purge:?}");
        let late = make(4);
        assert!(cache.keep(&late));
        assert_eq!(stale_since(), Some(50), "asked for before {purge:?}, and came after it");
        assert!(cache.keep(&make(7)));
        assert_eq!(stale_since(), None, "{purge:?}");
    }
}

#[test]
fn a_purge_of_a_url_says_how_many_it_hit() {
    let cache = cache(100_000);
    for lines in ["X: 1\r\n", "X: 2\r\n"] {
        assert!(cache.keep(&Make { vary: "X", lines, ..Make::default() }.make(&cache)));
    }
    assert_eq!(cache.purge(&Purge::Url(b"a/"[..].into()), true, 5, 50), 2);
    assert_eq!(cache.purge(&Purge::Url(b"a/"[..].into()), false, 6, 50), 2);
    assert_eq!(cache.purge(&Purge::Url(b"a/"[..].into()), false, 7, 50), 0);
    assert_eq!((cache.entries(), cache.bytes()), (0, 0));
}

#[test]
fn a_purge_during_a_fill_ends_its_sharing_and_its_keeping() {
    let cache = cache(100_000);
    let entry = Make { tags: &["t"], body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&entry));
    cache.purge(&tag("t"), false, 5, 50);
    assert!(finds(&cache, "a/", "").is_none());
    let mut out = Vec::new();
    entry.body.append(b"content", &mut out);
    entry.body.end(b"", &mut out);
    assert!(!cache.keep(&entry));
    drop(entry);
    assert_eq!((cache.entries(), cache.bytes()), (0, 0));
}

#[test]
fn more_prefixes_than_are_remembered_lose_no_purge() {
    let cache = cache(10_000_000);
    let targets: Vec<String> = (0..2_000).map(|n| format!("a/{n}/")).collect();
    for target in &targets {
        assert!(cache.keep(&Make { target, stamp: 1, ..Make::default() }.make(&cache)));
    }
    let growing = Make { target: "b/", stamp: 1, body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&growing));
    let late = Make { target: "a/3/", stamp: 2, ..Make::default() }.make(&cache);
    for (stamp, target) in targets.iter().enumerate().skip(100) {
        cache.purge(&prefix(target), false, 10 + stamp as u64, 50);
    }
    for (n, target) in targets.iter().enumerate() {
        assert_eq!(finds(&cache, target, "").is_some(), n < 100, "{target}");
    }
    assert!(!cache.keep(&late), "nobody knows any more whether it is purged");
    let mut out = Vec::new();
    growing.body.end(b"", &mut out);
    assert!(cache.keep(&growing), "it was there to be looked at");
    assert_eq!(cache.entries(), 101);
    assert!(cache.keep(&Make { target: "a/300/", stamp: 5_000, ..Make::default() }.make(&cache)));
}

#[test]
fn stamps_rise_whatever_the_clock_says() {
    let cache = cache(0);
    assert_eq!([5, 5, 3, 9, 0].map(|unix_us| cache.stamp(unix_us)), [5, 6, 7, 9, 10]);
}

#[test]
fn what_a_validation_renews_stays_purged_if_it_was_purged_meanwhile() {
    for purge in [Purge::Url(b"a/"[..].into()), prefix("a"), tag("t"), Purge::Everything] {
        let cache = cache(100_000);
        let make = |stamp| Make { tags: &["t"], stamp, ..Make::default() }.make(&cache);
        let old = make(1);
        assert!(cache.keep(&old));
        let renewed = make(2);
        assert!(cache.renew(&old, &renewed) && old.is_dead());
        cache.purge(&purge, false, 5, 50);
        assert!(!cache.renew(&renewed, &make(6)), "the validation was sent after {purge:?}");
        assert!(cache.is_purged(&renewed) && !cache.is_purged(&make(6)));
        assert_eq!((finds(&cache, "a/", "").is_none(), cache.bytes()), (true, 0));
    }
}

#[test]
fn who_found_what_is_purged_before_he_joins_looks_again() {
    let cache = cache(100_000);
    assert!(cache.keep(&Make { tags: &["t"], ..Make::default() }.make(&cache)));
    let request = Request::new("");
    let wanted = request.wants(&cache, "a/");
    let seen = cache.look_up(&wanted, 5);
    cache.purge(&tag("t"), false, 5, 50);
    assert!(matches!(cache.join(&wanted, &seen, W[0]), Joined::LookAgain));
}

#[test]
fn what_the_store_gives_back_is_measured_by_every_purge_since_it_was_asked_for() {
    let cache = cache(10_000_000);
    let stored = |stamp| Make { stamp, tags: &["t"], ..Make::default() }.make(&cache);
    cache.purge(&Purge::Url(b"a/"[..].into()), false, 5, 50);
    assert!(!cache.keep_stored(&stored(4), 6), "the store has not heard of the purge yet");
    assert!(cache.keep_stored(&stored(5 + 1), 7));
    cache.purge(&tag("t"), false, 8, 50);
    assert!(!cache.keep_stored(&stored(6), 9));
    // More purges than are remembered: what is old, and known not to be purged, still comes in.
    for n in 0..10_000_u64 {
        cache.invalidate(format!("b/{n}").as_bytes(), 10 + n);
    }
    let old = || Make { target: "c/", stamp: 3, ..Make::default() }.make(&cache);
    assert!(!cache.keep(&old()), "it was asked for before purges that nobody remembers");
    assert!(cache.keep_stored(&old(), 20_000));
}

#[test]
fn a_validation_between_the_stamp_of_a_purge_and_its_note_saves_no_content() {
    for (soft, survives) in [(false, false), (true, true)] {
        let cache = cache(100_000);
        let make = |stamp| Make { tags: &["t"], stamp, ..Make::default() }.make(&cache);
        let (old, renewed) = (make(1), make(6));
        assert!(cache.keep(&old) && cache.renew(&old, &renewed));
        cache.purge(&tag("t"), soft, 5, 50);
        cache.purge(&Purge::Url(b"a/"[..].into()), soft, 5, 50);
        let found = finds(&cache, "a/", "");
        assert_eq!(found.map(|entry| entry.soft_since_ms()), survives.then_some(None));
    }
}
