//! The hot cache by its rules, one thread: what is kept is found, the newest and the right one, within the budget. Purges
//! are in `hot_cache_purges.rs`, flights in `hot_cache_flights.rs`, threads in `hot_cache_threads.rs`.

mod support {
    pub mod hot_entries;
}

use engine::hot::{Body, Entry, HotCache, Wanted};
use std::sync::Arc;
use support::hot_entries::{Make, Request, cache};

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
    assert!(!cache.keep(&entry), "what is dead stays dead");
}

#[test]
fn fields_and_cookies_of_the_key_tell_answers_apart() {
    let cache = cache(100_000);
    let (one, two) = ("\ncookie a=1", "\ncookie a=2");
    let entry = Make { extras: one, ..Make::default() }.make(&cache);
    assert!(cache.keep(&entry));
    let request = Request::new("");
    let wanted = |extras: &'static str| Wanted { extras: extras.as_bytes(), ..request.wants(&cache, "a/") };
    assert!(is(&cache.look_up(&wanted(one), 5).entry, &entry));
    let seen = cache.look_up(&wanted(two), 5);
    assert!(seen.entry.is_none() && !seen.others);
    assert_eq!(cache.variants_of(b"a/").len(), 1);
}

#[test]
fn a_request_gets_the_variant_it_selects() {
    let cache = cache(100_000);
    let make = |lines| Make { vary: "Accept-Language", lines, ..Make::default() }.make(&cache);
    let (german, english) = (make("Accept-Language: de\r\n"), make("Accept-Language: en\r\n"));
    assert!(cache.keep(&german) && cache.keep(&english));
    assert!(is(&finds(&cache, "a/", "Accept-Language: DE\r\n"), &german));
    assert!(is(&finds(&cache, "a/", "Accept-Language: en\r\n"), &english));
    let request = Request::new("");
    let seen = cache.look_up(&request.wants(&cache, "a/"), 5);
    assert!(seen.entry.is_none() && seen.others);
}

#[test]
fn of_answers_that_vary_by_different_names_the_newest_that_would_do_is_used() {
    let cache = cache(100_000);
    let plain = Make { came_ms: 1, ..Make::default() }.make(&cache);
    let german =
        Make { vary: "Accept-Language", lines: "Accept-Language: de\r\n", came_ms: 2, ..Make::default() }.make(&cache);
    assert!(cache.keep(&plain) && cache.keep(&german));
    assert!(is(&finds(&cache, "a/", "Accept-Language: de\r\n"), &german));
    assert!(is(&finds(&cache, "a/", "Accept-Language: en\r\n"), &plain));
    let newer = Make { came_ms: 3, ..Make::default() }.make(&cache);
    assert!(cache.keep(&newer) && plain.is_dead());
    assert!(is(&finds(&cache, "a/", "Accept-Language: de\r\n"), &newer));
}

#[test]
fn a_fifth_set_of_names_takes_the_oldest_with_its_answers() {
    let cache = cache(100_000);
    let entries: Vec<_> =
        ["A", "B", "C", "D", "E"].map(|vary| Make { vary, ..Make::default() }.make(&cache)).into_iter().collect();
    assert!(entries.iter().all(|entry| cache.keep(entry)));
    assert_eq!(entries.iter().map(|entry| entry.is_dead()).collect::<Vec<_>>(), [true, false, false, false, false]);
    assert_eq!(cache.bytes(), entries[1..].iter().map(|entry| entry.weight()).sum::<u64>());
}

#[test]
fn one_target_keeps_a_bounded_number_of_answers_the_newest() {
    let cache = cache(1_000_000);
    let lines: Vec<String> = (0..70).map(|n| format!("X: {n}\r\n")).collect();
    let keep = |lines: &str, came_ms| {
        let entry = Make { vary: "X", lines, came_ms, ..Make::default() }.make(&cache);
        assert!(cache.keep(&entry));
        entry
    };
    let entries: Vec<_> = lines.iter().zip(1..).map(|(lines, came_ms)| keep(lines, came_ms)).collect();
    assert_eq!(cache.entries(), 64);
    assert_eq!(entries.iter().filter(|entry| entry.is_dead()).count(), 6);
    assert!(entries[..6].iter().all(|entry| entry.is_dead()));
    keep(&lines[30], 100);
    assert_eq!(cache.entries(), 64, "an answer that replaces one displaces no other");
    assert!(!entries[6].is_dead() && entries[30].is_dead());
}

#[test]
fn a_growing_answer_is_found_and_replaces_the_old_one_when_it_is_whole() {
    let cache = cache(100_000);
    let old = Make::default().make(&cache);
    assert!(cache.keep(&old));
    let new = Make { came_ms: 2, body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&new));
    assert!(is(&finds(&cache, "a/", ""), &new) && !old.is_dead());
    let mut out = Vec::new();
    new.body.append(&[7; 1000], &mut out);
    assert_eq!((cache.entries(), cache.bytes()), (1, old.weight() + 1000));
    new.body.end(b"", &mut out);
    assert!(cache.keep(&new) && old.is_dead());
    assert_eq!((cache.entries(), cache.bytes()), (1, new.weight()));
}

#[test]
fn when_a_growing_answer_fails_the_old_one_is_still_there() {
    let cache = cache(100_000);
    let old = Make::default().make(&cache);
    assert!(cache.keep(&old));
    let new = Make { came_ms: 2, body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&new));
    let mut out = Vec::new();
    new.body.append(&[7; 1000], &mut out);
    new.body.fail(&mut out);
    assert!(is(&finds(&cache, "a/", ""), &old), "nobody is given what failed");
    cache.forget(&new);
    assert!(is(&finds(&cache, "a/", ""), &old));
    assert_eq!(cache.bytes(), old.weight());
}

#[test]
fn a_body_that_nobody_reads_any_more_gives_its_bytes_back() {
    let cache = cache(100_000);
    let entry = Make { body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&entry));
    let mut out = Vec::new();
    entry.body.append(&[7; 40_000], &mut out);
    entry.body.append(&[7; 20_000], &mut out);
    entry.body.narrow();
    assert!(cache.bytes() == 0 && finds(&cache, "a/", "").is_none());
    cache.forget(&entry);
    let whole = Make { body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&whole));
    whole.body.append(&[7; 60_000], &mut out);
    whole.body.end(b"", &mut out);
    assert!(!cache.keep(&whole), "more than half of the budget");
    assert_eq!((cache.bytes(), cache.entries()), (60_000, 0));
    drop(whole);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn of_two_whole_answers_the_later_stays_whichever_comes_in_first() {
    let cache = cache(100_000);
    let (older, newer) = (Make::default().make(&cache), Make { came_ms: 2, ..Make::default() }.make(&cache));
    assert!(cache.list(&older));
    assert!(cache.keep(&newer) && !cache.keep(&older));
    assert!(is(&finds(&cache, "a/", ""), &newer) && older.is_dead());
    assert_eq!(cache.bytes(), newer.weight());
}

#[test]
fn the_budget_holds_and_what_is_used_stays() {
    let cache = cache(20_000);
    let favourite = Make { target: "a/favourite", ..Make::default() }.make(&cache);
    assert!(cache.keep(&favourite));
    for n in 0..1_000 {
        let target = format!("a/{n}");
        assert!(cache.keep(&Make { target: &target, ..Make::default() }.make(&cache)));
        assert!(cache.bytes() <= 20_000);
        cache.touch(&favourite);
    }
    assert!(cache.entries() > 4 && cache.entries() + cache.evictions() == 1_001);
    assert!(is(&finds(&cache, "a/favourite", ""), &favourite));
}

#[test]
fn what_is_validated_often_keeps_its_uses() {
    let cache = cache(20_000);
    let make = |came_ms| Make { target: "a/favourite", came_ms, ..Make::default() }.make(&cache);
    assert!(cache.keep(&make(1)));
    (0..3).for_each(|_| cache.touch(&finds(&cache, "a/favourite", "").expect("it is there")));
    assert!(cache.keep(&make(2)));
    assert_eq!(finds(&cache, "a/favourite", "").map(|entry| entry.hits()), Some(3));
    for n in 0..30 {
        let target = format!("a/{n}");
        assert!(cache.keep(&Make { target: &target, ..Make::default() }.make(&cache)));
    }
    assert!(cache.evictions() > 0 && finds(&cache, "a/favourite", "").is_some());
}

#[test]
fn fills_make_room_too_and_say_when_they_alone_are_too_much() {
    let cache = cache(20_000);
    for n in 0..10 {
        let target = format!("a/{n}");
        assert!(cache.keep(&Make { target: &target, ..Make::default() }.make(&cache)));
    }
    let entry = Make { body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&entry));
    let (before, mut out) = (cache.entries(), Vec::new());
    entry.body.append(&[0; 18_000], &mut out);
    assert!(cache.make_room() && cache.bytes() <= 20_000 && cache.entries() < before);
    entry.body.append(&[0; 18_000], &mut out);
    assert!(!cache.make_room() && cache.entries() == 0);
    entry.body.narrow();
    assert!(cache.make_room() && cache.bytes() == 0);
}

#[test]
fn an_object_larger_than_a_shards_share_stays_as_long_as_its_use_buys() {
    let cache = cache(200_000);
    let large = Make { target: "a/large", body: Body::whole(&[1; 90_000]), ..Make::default() }.make(&cache);
    assert!(cache.keep(&large));
    for n in 0..2_000 {
        let target = format!("a/{n}");
        assert!(cache.keep(&Make { target: &target, ..Make::default() }.make(&cache)));
        cache.touch(&large);
    }
    assert!(!large.is_dead() && cache.evictions() > 1_000);
}

#[test]
fn the_top_list_is_of_targets_by_their_hits() {
    let cache = cache(1_000_000);
    for (target, hits) in [("a/1", 5), ("a/2", 50), ("a/3", 1), ("a/4", 20)] {
        let entry = Make { target, ..Make::default() }.make(&cache);
        assert!(cache.keep(&entry));
        (0..hits).for_each(|_| cache.touch(&entry));
    }
    let top: Vec<_> = cache.top(2).into_iter().map(|top| (top.target, top.hits)).collect();
    assert_eq!(top, [(b"a/2"[..].into(), 50), (b"a/4"[..].into(), 20)]);
    assert!(cache.top(0).is_empty() && cache.top(9).len() == 4);
}
