//! The failure matrix, row by row.

use super::*;
use crate::failure::Phase;

const STALE: Failure = Failure {
    class: OriginFault::EofBeforeHeaders,
    phase: Phase::AwaitingHead,
    target: Some(0),
    reused: true,
    bytes_sent: 100,
    bytes_received: 0,
    attempt: 1,
    elapsed_us: 10,
    wire: None,
    status: 0,
};
const GET: Facts = Facts {
    method: Method::Get,
    keyed: false,
    sent_any: true,
    body_replayable: true,
    repeated: false,
    untried_targets: 1,
    attempts_left: 2,
    budget_allows: true,
    too_late: false,
};
const POST: Facts = Facts { method: Method::Post, ..GET };
const PUT: Facts = Facts { method: Method::Put, ..GET };
const FRESH: Failure = Failure { reused: false, ..STALE };

fn failed(class: OriginFault) -> Failure {
    Failure { class, ..FRESH }
}

#[test]
fn s4_09_a_get_on_a_stale_connection_is_repeated_once_on_a_fresh_one() {
    for class in [OriginFault::EofBeforeHeaders, OriginFault::ResetBeforeHeaders, OriginFault::WriteError] {
        let stale = Failure { class, ..STALE };
        assert_eq!(decide_next(&stale, &GET), Next::FreshConnection);
        assert_eq!(decide_next(&stale, &PUT), Next::FreshConnection);
        let again = Facts { repeated: true, ..GET };
        assert_eq!(decide_next(&stale, &again), Next::Answer(WhyNoRetry::AlreadyRepeated));
    }
}

#[test]
fn the_repeat_after_a_stale_connection_costs_neither_attempts_nor_budget() {
    let spent = Facts { attempts_left: 0, budget_allows: false, ..GET };
    assert_eq!(decide_next(&STALE, &spent), Next::FreshConnection);
}

#[test]
fn s4_07_a_post_is_repeated_only_when_nothing_was_sent_or_it_has_a_key() {
    assert_eq!(decide_next(&STALE, &POST), Next::Answer(WhyNoRetry::MethodNotRepeatable));
    assert_eq!(decide_next(&STALE, &Facts { sent_any: false, ..POST }), Next::FreshConnection);
    assert_eq!(decide_next(&STALE, &Facts { keyed: true, ..POST }), Next::FreshConnection);
}

#[test]
fn a_fresh_connection_that_dies_moves_on_only_for_safe_methods() {
    assert_eq!(decide_next(&FRESH, &GET), Next::NextTarget);
    assert_eq!(decide_next(&FRESH, &PUT), Next::Answer(WhyNoRetry::MethodNotRepeatable));
    assert_eq!(decide_next(&FRESH, &POST), Next::Answer(WhyNoRetry::MethodNotRepeatable));
}

#[test]
fn s4_10_nothing_is_repeated_once_an_answer_began() {
    for class in [OriginFault::BodyTruncated, OriginFault::BodyMalformed, OriginFault::BodyTimeout] {
        assert_eq!(decide_next(&failed(class), &GET), Next::Answer(WhyNoRetry::AnswerBegun));
    }
}

#[test]
fn a_body_that_is_gone_cannot_be_sent_again() {
    let gone = Facts { body_replayable: false, ..PUT };
    assert_eq!(decide_next(&STALE, &gone), Next::Answer(WhyNoRetry::BodyNotHeld));
}

#[test]
fn a_refused_connection_tries_the_next_target_with_any_method() {
    for class in [OriginFault::ConnectRefused, OriginFault::ConnectUnreachable, OriginFault::ConnectTimeout] {
        let unsent = Facts { sent_any: false, ..POST };
        assert_eq!(decide_next(&failed(class), &unsent), Next::NextTarget);
        let alone = Facts { untried_targets: 0, ..unsent };
        assert_eq!(decide_next(&failed(class), &alone), Next::Answer(WhyNoRetry::NoOtherTarget));
    }
}

#[test]
fn s1_03_a_local_fault_never_moves_on_to_another_target() {
    let unsent = Facts { sent_any: false, ..GET };
    assert_eq!(decide_next(&failed(OriginFault::LocalResource), &unsent), Next::Answer(WhyNoRetry::LocalFault));
}

#[test]
fn silence_is_retried_elsewhere_only_for_safe_methods() {
    let silent = failed(OriginFault::HeaderTimeout);
    assert_eq!(decide_next(&silent, &GET), Next::NextTarget);
    let delete = Facts { method: Method::Delete, ..GET };
    assert_eq!(decide_next(&silent, &delete), Next::Answer(WhyNoRetry::MethodNotRepeatable));
}

#[test]
fn a_failing_status_is_tried_again_within_attempts_and_budget() {
    let status = Failure { status: 503, ..failed(OriginFault::Status) };
    assert_eq!(decide_next(&status, &Facts { untried_targets: 0, ..PUT }), Next::NextTarget);
    assert_eq!(decide_next(&status, &POST), Next::Answer(WhyNoRetry::MethodNotRepeatable));
    assert_eq!(decide_next(&status, &Facts { attempts_left: 0, ..GET }), Next::Answer(WhyNoRetry::AttemptsSpent));
    assert_eq!(decide_next(&status, &Facts { budget_allows: false, ..GET }), Next::Answer(WhyNoRetry::BudgetSpent));
}

#[test]
fn s2_15_nobody_waits_so_nothing_is_tried() {
    assert_eq!(decide_next(&FRESH, &Facts { too_late: true, ..GET }), Next::Answer(WhyNoRetry::TooLate));
}

#[test]
fn back_off_doubles_within_its_bound_and_yields_to_retry_after() {
    assert!((0..100).all(|dice| backoff_ms(1, 25, 250, None, dice) <= 25));
    assert!((0..1000).any(|dice| backoff_ms(4, 25, 250, None, dice) > 100));
    assert!((0..1000).all(|dice| backoff_ms(9, 25, 250, None, dice) <= 250));
    assert_eq!(backoff_ms(1, 25, 250, Some(2000), 7), 2000);
    assert_eq!(backoff_ms(1, 0, 0, None, 7), 0);
}

#[test]
fn s3_07_what_was_not_processed_is_sent_again_whatever_its_method() {
    let unprocessed = failed(OriginFault::Unprocessed);
    let alone = Facts { untried_targets: 0, attempts_left: 0, budget_allows: false, ..POST };
    assert_eq!(decide_next(&unprocessed, &alone), Next::FreshConnection);
    let unheld = Facts { body_replayable: false, ..alone };
    assert_eq!(decide_next(&unprocessed, &unheld), Next::Answer(WhyNoRetry::BodyNotHeld));
    let again = Facts { repeated: true, ..POST };
    assert_eq!(decide_next(&unprocessed, &again), Next::NextTarget);
    assert_eq!(
        decide_next(&unprocessed, &Facts { untried_targets: 0, ..again }),
        Next::Answer(WhyNoRetry::NoOtherTarget)
    );
}
