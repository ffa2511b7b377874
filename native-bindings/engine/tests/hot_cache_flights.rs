//! Fetches that others wait for, markers of what is not worth waiting for, and workers that are lost with either.

mod support {
    pub mod hot_entries;
}

use engine::hot::{Body, Flight, HotCache, Joined, Landed, Read, Waiter};
use std::sync::Arc;
use support::hot_entries::{Make, Request, cache};

const W: [Waiter; 3] = [Waiter { worker: 0, token: 1 }, Waiter { worker: 1, token: 2 }, Waiter { worker: 1, token: 3 }];

/// Leads the fetch of a target that nothing is known about.
fn lead(cache: &HotCache, target: &str, lines: &str) -> Arc<Flight> {
    let request = Request::new(lines);
    let wanted = request.wants(cache, target);
    match cache.join(&wanted, &cache.look_up(&wanted, 5), W[0]) {
        Joined::Lead(flight) => flight,
        _ => panic!("somebody else leads"),
    }
}

#[test]
fn a_flight_rings_all_who_follow_when_it_lands_and_is_over_then() {
    let cache = cache(100_000);
    let request = Request::new("");
    let wanted = request.wants(&cache, "a/");
    let seen = cache.look_up(&wanted, 5);
    let flight = lead(&cache, "a/", "");
    assert!(matches!(cache.join(&wanted, &seen, W[1]), Joined::Follow(_)));
    assert!(matches!(cache.join(&wanted, &seen, W[2]), Joined::Follow(_)));
    flight.leave(W[1]);
    assert_eq!((flight.waiters(), flight.state()), (1, Landed::Open));
    let mut out = Vec::new();
    cache.land(&flight, Landed::Released, &mut out);
    cache.land(&flight, Landed::LookAgain, &mut out);
    assert_eq!((out, flight.wait(W[1])), (vec![W[2]], Landed::Released));
    assert!(matches!(cache.join(&wanted, &seen, W[0]), Joined::Lead(_)));
}

#[test]
fn who_looked_before_something_changed_looks_again() {
    let cache = cache(100_000);
    let request = Request::new("");
    let wanted = request.wants(&cache, "a/");
    let seen = cache.look_up(&wanted, 5);
    let entry = Make { body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&entry));
    assert!(matches!(cache.join(&wanted, &seen, W[1]), Joined::LookAgain));
    let seen = cache.look_up(&wanted, 5);
    cache.invalidate(b"a/", 1);
    assert!(matches!(cache.join(&wanted, &seen, W[1]), Joined::LookAgain));
    let seen = cache.look_up(&wanted, 5);
    assert!(seen.entry.is_none() && matches!(cache.join(&wanted, &seen, W[1]), Joined::Lead(_)));
}

#[test]
fn flights_are_told_apart_by_what_the_target_varies_by() {
    let cache = cache(100_000);
    let entry = Make { vary: "X", lines: "X: 0\r\n", ..Make::default() }.make(&cache);
    assert!(cache.keep(&entry));
    let (one, two) = (lead(&cache, "a/", "X: 1\r\n"), lead(&cache, "a/", "X: 2\r\n"));
    let request = Request::new("X: 1\r\nY: 3\r\n");
    let wanted = request.wants(&cache, "a/");
    let Joined::Follow(followed) = cache.join(&wanted, &cache.look_up(&wanted, 5), W[1]) else { panic!("no flight") };
    assert!(Arc::ptr_eq(&followed, &one) && !Arc::ptr_eq(&followed, &two));
}

#[test]
fn a_marker_holds_for_its_variant_until_its_time_or_until_an_answer_is_kept() {
    let cache = cache(100_000);
    let entry = Make { vary: "X", lines: "X: 0\r\n", ..Make::default() }.make(&cache);
    assert!(cache.keep(&entry));
    let (one, two) = (Request::new("X: 1\r\n"), Request::new("X: 2\r\n"));
    cache.mark_uncacheable(&one.wants(&cache, "a/"), 5, 10);
    let is_marked = |request: &Request, now_ms| cache.look_up(&request.wants(&cache, "a/"), now_ms).uncacheable;
    assert!(is_marked(&one, 9) && !is_marked(&one, 10) && !is_marked(&two, 9));
    assert!(cache.keep(&Make { vary: "X", lines: "X: 1\r\n", ..Make::default() }.make(&cache)));
    assert!(!is_marked(&one, 9));
}

#[test]
fn a_marker_of_a_target_that_nothing_is_known_of_holds_for_all_requests() {
    let cache = cache(100_000);
    let (one, two) = (Request::new("X: 1\r\n"), Request::new("X: 2\r\n"));
    cache.mark_uncacheable(&one.wants(&cache, "a/"), 5, 10);
    assert!(cache.look_up(&two.wants(&cache, "a/"), 9).uncacheable);
    assert!(!cache.look_up(&two.wants(&cache, "b/"), 9).uncacheable);
}

#[test]
fn nobody_waits_for_a_lost_worker() {
    let cache = cache(100_000);
    let request = Request::new("");
    let wanted = request.wants(&cache, "a/");
    let seen = cache.look_up(&wanted, 5);
    let Joined::Lead(_) = cache.join(&wanted, &seen, W[0]) else { panic!("somebody else leads") };
    assert!(matches!(cache.join(&wanted, &seen, W[1]), Joined::Follow(_)));
    let entry = Make { target: "b/", body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&entry));
    entry.body.set_writer(W[0]);
    let reader = entry.body.enter().expect("it may");
    assert!(matches!(entry.body.read(reader, 0, W[2]), Read::Wait { .. }));
    let mut out = Vec::new();
    cache.forget_worker(0, &mut out);
    out.sort_by_key(|waiter| waiter.token);
    assert_eq!(out, [W[1], W[2]]);
    assert!(entry.body.has_failed() && entry.is_dead());
    assert!(matches!(cache.join(&wanted, &seen, W[1]), Joined::Lead(_)));
}

#[test]
fn readers_of_a_lost_worker_hold_up_no_writer() {
    let cache = cache(100_000);
    let entry = Make { body: Body::growing(), ..Make::default() }.make(&cache);
    assert!(cache.list(&entry));
    entry.body.set_writer(W[0]);
    let (lost, other) = (entry.body.enter().expect("it may"), entry.body.enter().expect("it may"));
    let mut out = Vec::new();
    entry.body.append(&[1; 30_000], &mut out);
    let read = |reader, at, waiter| matches!(entry.body.read(reader, at, waiter), Read::Bytes { .. });
    assert!(read(lost, 0, W[1]) && read(other, 0, W[0]));
    cache.forget(&entry);
    entry.body.narrow();
    assert!(entry.body.writer_waits(W[0], 10));
    assert!(matches!(entry.body.read(other, 30_000, W[0]), Read::Wait { .. }));
    cache.forget_worker(1, &mut out);
    assert_eq!((out, entry.body.held(), entry.body.readers()), (vec![W[0]], 0, 1));
    assert!(!entry.body.has_failed());
}

#[test]
fn a_fill_that_nobody_reads_ends_unless_somebody_came_just_now() {
    let body = Body::growing();
    let reader = body.enter().expect("it may");
    assert!(!body.fail_unless_read() && !body.has_failed());
    let _ = body.leave(reader);
    assert!(body.fail_unless_read() && body.has_failed() && body.enter().is_none());
    assert!(!Body::whole(b"x").fail_unless_read());
}
