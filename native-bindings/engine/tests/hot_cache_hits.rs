//! A hit in the hot cache allocates nothing: neither one whose answer varies by nothing, nor one that selects a variant.

mod support {
    pub mod allocator;
    pub mod hot_entries;
}

use engine::hot::Purge;
use support::allocator::{Counting, allocations_of_this_thread};
use support::hot_entries::{Make, Request, cache};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HITS: u64 = 1_000;

/// Allocations of hits, after one that makes the room for variants.
fn allocations_of_hits(vary: &str, lines: &str) -> u64 {
    let cache = cache(1_000_000);
    for target in ["a/1", "a/2", "a/3"] {
        assert!(cache.keep(&Make { target, vary, lines, tags: &["t"], ..Make::default() }.make(&cache)));
    }
    let request = Request::new(lines);
    let hit = || {
        let wanted = request.wants(&cache, "a/2");
        let seen = cache.look_up(&wanted, 5);
        let entry = seen.entry.as_ref().expect("it is there");
        cache.touch(entry);
        assert_eq!(entry.body.whole_content().map(|content| content.at(0)), Some(&b"content"[..]));
    };
    hit();
    let before = allocations_of_this_thread();
    (0..HITS).for_each(|_| hit());
    let hits = allocations_of_this_thread() - before;
    // The first look after a purge of something else allocates nothing either.
    for what in [Purge::Tag(b"other"[..].into()), Purge::Prefix(b"b/"[..].into())] {
        cache.purge(&what, false, 50, 5);
        let before = allocations_of_this_thread();
        hit();
        assert_eq!(allocations_of_this_thread(), before);
    }
    hits
}

#[test]
fn a_plain_hit_allocates_nothing() {
    assert_eq!(allocations_of_hits("", "Accept-Language: de\r\n"), 0);
}

#[test]
fn neither_does_one_that_selects_a_variant() {
    assert_eq!(allocations_of_hits("Accept-Language, Accept-Encoding, X", "Accept-Language: de, en\r\nX: y\r\n"), 0);
}
