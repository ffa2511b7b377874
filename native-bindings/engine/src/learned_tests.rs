//! Tests of learned.rs: which closes are believed, and for how long.

use super::*;

/// What an operator allows in these tests.
const ALLOWED_MS: u32 = 60_000;

/// One connection after the other rests and is closed after these times. Returns when the last was closed.
fn close_in_turn(learned: &LearnedIdle, from_ms: u64, idle_ms: &[u64]) -> u64 {
    idle_ms.iter().fold(from_ms, |since_ms, idle_ms| {
        learned.handle_closed(since_ms, since_ms + idle_ms);
        since_ms + idle_ms + 1
    })
}

/// A restart: connections that had rested for these times are closed, each a millisecond after the last.
fn restart(learned: &LearnedIdle, at_ms: u64, idle_ms: &[u64]) {
    for (at_ms, idle_ms) in (at_ms..).zip(idle_ms) {
        learned.handle_closed(at_ms - idle_ms, at_ms);
    }
}

#[test]
fn what_was_learned_only_shortens_what_the_operator_allows() {
    let learned = LearnedIdle::default();
    assert_eq!(learned.idle_ms(4_000, 0), 4_000);
    learned.handle_told(1_000);
    assert_eq!(learned.idle_ms(4_000, 0), 1_000);
    let now_ms = close_in_turn(&learned, 1_000, &[500, 500]);
    assert_eq!(learned.idle_ms(4_000, now_ms), 400);
    learned.handle_told(90_000);
    assert_eq!(learned.idle_ms(4_000, now_ms), 400, "a promise does not undo what closes showed");
    assert_eq!(learned.idle_ms(300, now_ms), 300);
}

#[test]
fn a_close_is_believed_when_another_agrees() {
    let learned = LearnedIdle::default();
    let now_ms = close_in_turn(&learned, 1_000, &[500]);
    assert_eq!(learned.known_ms(now_ms), 0, "one close may be anything");
    let now_ms = close_in_turn(&learned, now_ms, &[2_000]);
    assert_eq!(learned.known_ms(now_ms), 0, "these two differ");
    let now_ms = close_in_turn(&learned, now_ms, &[1_700]);
    assert_eq!(learned.known_ms(now_ms), 1_360, "the shorter of the two, less a fifth");
    let now_ms = close_in_turn(&learned, now_ms, &[9_000, 9_000]);
    assert_eq!(learned.known_ms(now_ms), 1_360, "longer times teach nothing new");
}

#[test]
fn a_restart_teaches_nothing_whatever_rested_then() {
    for rested_ms in [&[130, 4_000, 131, 132, 900][..], &[130; 5], &[130], &[4_000, 130]] {
        let learned = LearnedIdle::default();
        restart(&learned, 10_000, rested_ms);
        assert_eq!(learned.known_ms(10_010), 0, "{rested_ms:?}");
        assert_eq!(learned.idle_ms(ALLOWED_MS, 10_010), ALLOWED_MS);
    }
}

#[test]
fn a_restart_that_began_with_a_close_as_usual_is_taken_back() {
    let learned = LearnedIdle::default();
    let now_ms = close_in_turn(&learned, 1_000, &[5_000]);
    restart(&learned, now_ms + 6_000, &[5_000, 700, 200]);
    assert_eq!(learned.known_ms(now_ms + 6_010), 0);
    let now_ms = close_in_turn(&learned, now_ms + 7_000, &[5_000]);
    assert_eq!(learned.known_ms(now_ms), 4_000, "the habit is learned all the same");
    restart(&learned, now_ms + 3_000, &[2_900, 700, 200]);
    assert_eq!(learned.known_ms(now_ms + 3_010), 4_000, "and a restart does not spoil it");
}

#[test]
fn restarts_on_different_days_do_not_agree() {
    let learned = LearnedIdle::default();
    restart(&learned, 10_000, &[130]);
    restart(&learned, 10_000 + BELIEVED_MS + 1, &[130]);
    assert_eq!(learned.known_ms(10_001 + BELIEVED_MS), 0);
}

#[test]
fn connections_that_are_closed_together_after_the_same_time_are_one_voice() {
    let learned = LearnedIdle::default();
    restart(&learned, 10_000, &[500, 500, 510]);
    assert_eq!(learned.known_ms(10_010), 0);
    restart(&learned, 11_000, &[500, 490]);
    assert_eq!(learned.known_ms(11_010), 400);
}

#[test]
fn what_closes_taught_is_forgotten_and_may_be_learned_again() {
    let learned = LearnedIdle::default();
    learned.handle_told(30_000);
    let now_ms = close_in_turn(&learned, 1_000, &[500, 500]) - 1;
    assert_eq!(learned.known_ms(now_ms + BELIEVED_MS - 1), 400);
    assert_eq!(learned.known_ms(now_ms + BELIEVED_MS), 30_000);
    let now_ms = close_in_turn(&learned, now_ms + 2 * BELIEVED_MS, &[800, 800]);
    assert_eq!(learned.known_ms(now_ms), 640);
}

#[test]
fn closes_that_come_too_soon_are_no_habit() {
    let learned = LearnedIdle::default();
    let now_ms = close_in_turn(&learned, 1_000, &[120, 120, 120]);
    assert_eq!(learned.known_ms(now_ms), 0);
    let now_ms = close_in_turn(&learned, now_ms, &[125, 125]);
    assert_eq!(learned.known_ms(now_ms), 100);
}
