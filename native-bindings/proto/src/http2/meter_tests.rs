//! The meter against frames written by hand.

use super::*;
use std::sync::LazyLock;

static LIMITS: LazyLock<Http2> = LazyLock::new(|| Http2 {
    resets_per_s: 3,
    own_resets_per_s: 2,
    settings_per_s: 2,
    pings_per_s: 2,
    window_updates_per_s: 2,
    empty_frames_per_s: 2,
    priorities_per_s: 2,
    continuations: 2,
    ..Http2::default()
});

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1];
    bytes.extend_from_slice(payload);
    bytes
}

fn meter() -> Meter {
    let mut meter = Meter::new(*LIMITS, true, 1000);
    assert_eq!(meter.heard(PREFACE, 1000), None);
    meter
}

#[test]
fn each_kind_of_free_frame_has_a_limit_of_its_own() {
    for (kind, flags, payload, allowed, limit) in [
        (RST_STREAM, 0, &[0, 0, 0, 8][..], 3, Limit::Resets),
        (SETTINGS, 0, &[], 2, Limit::Settings),
        (PING, 0, &[0; 8], 2, Limit::Pings),
        (WINDOW_UPDATE, 0, &[0, 0, 0, 1], 2 + UPDATES_PER_DATA, Limit::WindowUpdates),
        (DATA, 0, &[], 2, Limit::EmptyFrames),
        (2, 0, &[0; 5], 2, Limit::Priorities),
        (200, 0, &[1, 2, 3], 2, Limit::Priorities),
    ] {
        let mut meter = meter();
        for _ in 0..allowed {
            assert_eq!(meter.heard(&frame(kind, flags, payload), 1000), None, "{limit:?}");
        }
        assert_eq!(meter.heard(&frame(kind, flags, payload), 1000), Some(limit));
        assert_eq!(meter.heard(&frame(kind, flags, payload), 2000), None, "a second later there is room again");
    }
}

#[test]
fn what_has_to_be_said_costs_nothing() {
    let mut meter = meter();
    for _ in 0..100 {
        assert_eq!(meter.heard(&frame(SETTINGS, 1, &[]), 1000), None, "an ACK");
        assert_eq!(meter.heard(&frame(PING, 1, &[0; 8]), 1000), None, "an answer to our PING");
        assert_eq!(meter.heard(&frame(DATA, 1, &[]), 1000), None, "the end of a body");
        assert_eq!(meter.heard(&frame(DATA, 0, b"x"), 1000), None, "a piece of a body");
        assert_eq!(meter.said(&frame(DATA, 0, b"x"), 1000), None);
        assert_eq!(meter.heard(&frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]), 1000), None, "what our DATA explains");
    }
}

#[test]
fn a_ping_beside_each_data_of_ours_is_explained_and_no_more_than_a_bucket_of_them_waits() {
    let mut meter = meter();
    for _ in 0..1000 {
        assert_eq!(meter.said(&frame(DATA, 0, b"answer"), 1000), None);
        assert_eq!(meter.heard(&frame(PING, 0, &[0; 8]), 1000), None);
    }
    for _ in 0..1000 {
        assert_eq!(meter.said(&frame(DATA, 0, b"answer"), 1000), None);
    }
    let most = meter.limits.pings_per_s * 2;
    for _ in 0..most {
        assert_eq!(meter.heard(&frame(PING, 0, &[0; 8]), 1000), None);
    }
    assert_eq!(meter.heard(&frame(PING, 0, &[0; 8]), 1000), Some(Limit::Pings));
}

#[test]
fn a_header_block_has_so_many_continuations_and_no_more() {
    let mut meter = meter();
    assert_eq!(meter.heard(&frame(HEADERS, 0, b"a"), 1000), None);
    assert!(meter.is_in_block());
    assert_eq!(meter.heard(&frame(CONTINUATION, 0, b"b"), 1000), None);
    assert_eq!(meter.heard(&frame(CONTINUATION, END_HEADERS, b"c"), 1000), None);
    assert!(!meter.is_in_block());
    assert_eq!(meter.heard(&frame(HEADERS, 0, b"a"), 1000), None, "the next block begins anew");
    assert_eq!(meter.heard(&frame(CONTINUATION, 0, b"b"), 1000), None);
    assert_eq!(meter.heard(&frame(CONTINUATION, 0, b"c"), 1000), None);
    assert_eq!(meter.heard(&frame(CONTINUATION, 0, b"d"), 1000), Some(Limit::Continuations));
}

#[test]
fn resets_of_ours_count_when_the_peer_asked_for_them() {
    let mut meter = meter();
    for code in [0, 2, 8] {
        for _ in 0..10 {
            assert_eq!(meter.said(&frame(RST_STREAM, 0, &[0, 0, 0, code]), 1000), None, "code {code} is our own doing");
        }
    }
    assert_eq!(meter.said(&frame(RST_STREAM, 0, &[0, 0, 0, 1]), 1000), None);
    assert_eq!(meter.said(&frame(RST_STREAM, 0, &[0, 0, 0, 7]), 1000), None);
    assert_eq!(meter.said(&frame(RST_STREAM, 0, &[0, 0, 0, 5]), 1000), Some(Limit::OwnResets));
    assert_eq!((meter.own_resets_sent, meter.refused), (3, 1));
}

#[test]
fn a_peer_has_greeted_with_settings_of_its_own_and_not_with_an_answer_to_ours() {
    let mut meter = meter();
    assert!(!meter.has_greeted());
    assert_eq!(meter.heard(&frame(SETTINGS, 1, b""), 1000), None);
    assert!(!meter.has_greeted());
    assert_eq!(meter.heard(&frame(SETTINGS, 0, b""), 1000), None);
    assert!(meter.has_greeted());
}

#[test]
fn frames_are_found_however_their_bytes_are_cut() {
    let bytes: Vec<u8> = [frame(PING, 0, &[0; 8]), frame(DATA, 0, b"payload"), frame(PING, 0, &[0; 8])].concat();
    for cut in 1..bytes.len() {
        let mut meter = meter();
        assert_eq!(meter.heard(&bytes[..cut], 1000), None);
        assert_eq!(meter.heard(&bytes[cut..], 1000), None);
        assert_eq!(meter.heard(&frame(PING, 0, &[0; 8]), 1000), Some(Limit::Pings), "cut at {cut}");
    }
}

#[test]
fn of_a_target_it_is_known_that_it_leaves_and_which_streams_reached_it() {
    let mut meter = Meter::new(*LIMITS, false, 1000);
    let headers = |stream: u8| vec![0, 0, 1, HEADERS, END_HEADERS, 0, 0, 0, stream, 0x82];
    assert_eq!(meter.said(&[&PREFACE[..], &frame(SETTINGS, 0, b""), &headers(1), &headers(5)].concat(), 1000), None);
    assert_eq!(meter.opened, 5);
    assert_eq!(meter.heard(&frame(SETTINGS, 0, b""), 1000), None);
    assert!(!meter.leaving);
    assert_eq!(meter.heard(&frame(GOAWAY, 0, &[0; 8]), 1000), None);
    assert!(meter.leaving);
}

#[test]
fn a_reset_behind_the_end_of_an_answer_is_told_apart_from_one_before_it() {
    let mut meter = Meter::new(*LIMITS, false, 1000);
    let on = |mut bytes: Vec<u8>, stream: u8| {
        bytes[8] = stream;
        bytes
    };
    meter.heard(&on(frame(HEADERS, END_HEADERS, b"a"), 1), 1000);
    meter.heard(&on(frame(DATA, FLAG_FIRST, b"whole"), 1), 1000);
    meter.heard(&on(frame(HEADERS, END_HEADERS, b"a"), 3), 1000);
    meter.heard(&on(frame(RST_STREAM, 0, &[0; 4]), 3), 1000);
    assert!(meter.complete.is_empty(), "3 had not ended");
    meter.heard(&on(frame(RST_STREAM, 0, &[0; 4]), 1), 1000);
    assert_eq!(meter.complete, [1]);
}
