//! Promises of the stats block: its buckets, its gauges, its places for routes.

use super::*;

#[test]
fn a_bucket_is_never_wider_than_an_eighth_of_its_value() {
    for value in (0..100_000u64).chain([1 << 20, (1 << 36) - 1, u64::MAX]) {
        assert!(bucket_of(value) < BUCKETS);
    }
    assert_eq!(bucket_of(7), 7);
    assert_eq!(bucket_of(8), 8);
    assert_eq!(bucket_of(15), 15);
    assert_eq!(bucket_of(16), 16);
    assert_eq!(bucket_of(17), 16);
    assert_eq!(bucket_of(18), 17);
}

#[test]
fn routes_are_counted_at_their_places_and_those_beyond_them_at_the_last() {
    let row = Row::of_block(Row::leak(1), 0).unwrap();
    let word = |slot: usize, word: RouteWord| row.0[ROUTES_AT + slot * ROUTE_WORDS.len() + word as usize].load(Relaxed);
    row.route_request(0);
    row.route_answer(0, 204, 7);
    for slot in [63, 64, u16::MAX] {
        row.route_request(slot);
        row.route_answer(slot, 502, 1);
    }
    row.route_answer(1, 0, 5);
    assert_eq!((word(0, RouteWord::Requests), word(0, RouteWord::Answers2xx), word(0, RouteWord::Micros)), (1, 1, 7));
    assert_eq!((word(63, RouteWord::Requests), word(63, RouteWord::Answers5xx)), (3, 3));
    assert_eq!((word(1, RouteWord::Answers5xx), word(1, RouteWord::Micros)), (0, 5));
}

#[test]
fn a_gauge_that_fell_below_zero_in_one_row_is_right_in_the_sum() {
    let block = Row::leak(2);
    let (a, b) = (Row::of_block(block, 0).unwrap(), Row::of_block(block, 1).unwrap());
    a.one(Counter::OriginOpen);
    b.less(Counter::OriginOpen);
    assert_eq!(a.get(Counter::OriginOpen).wrapping_add(b.get(Counter::OriginOpen)), 0);
}
