//! What must be equal before two requests may share an origin connection. One pure function computes it; checkout,
//! checkin, stealing, the log and `explain` all use its result and nothing else.

use crate::plan::{Origin, Target};
use std::net::SocketAddr;

/// The pool key of a plain TCP origin.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// Two origins with one address keep their own limits and times, so they do not share connections.
    pub origin: String,
    pub target: SocketAddr,
}

/// The key of a target's connections.
#[must_use]
pub fn identity_of(origin: &Origin, target: &Target) -> Identity {
    Identity { origin: origin.name.clone(), target: target.socket_address() }
}

/// What is known about a connection when its exchange is over.
#[derive(Clone, Copy, Debug)]
pub struct AfterExchange {
    /// The answer's head allowed it: HTTP/1.1 without `close`, or 1.0 with `keep-alive`, and a length.
    pub answer_keeps: bool,
    /// The answer was read to its end.
    pub answer_complete: bool,
    /// Bytes came beyond the answer's end.
    pub surplus_bytes: bool,
    /// The origin's FIN was seen.
    pub read_closed: bool,
    /// The whole request was taken by the kernel.
    pub request_sent: bool,
    /// Requests it carried, this one included, and how many it may (0 = any number).
    pub requests: u64,
    pub requests_max: u64,
    /// Age and how old it may become in ms (0 = any age).
    pub age_ms: u64,
    pub age_ms_max: u64,
    pub draining: bool,
}

/// Why a connection is not put back: one row each, and a counter for each row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhyNotReusable {
    AnswerUnfinished,
    NotKept,
    ClosedByOrigin,
    SurplusBytes,
    RequestUnfinished,
    RequestsSpent,
    TooOld,
    Draining,
}

/// The truth table: the first row that holds is the reason.
pub fn is_reusable(after: &AfterExchange) -> Result<(), WhyNotReusable> {
    let rows = [
        (!after.answer_complete, WhyNotReusable::AnswerUnfinished),
        (after.surplus_bytes, WhyNotReusable::SurplusBytes),
        (!after.request_sent, WhyNotReusable::RequestUnfinished),
        (!after.answer_keeps, WhyNotReusable::NotKept),
        (after.read_closed, WhyNotReusable::ClosedByOrigin),
        (after.requests_max != 0 && after.requests >= after.requests_max, WhyNotReusable::RequestsSpent),
        (after.age_ms_max != 0 && after.age_ms >= after.age_ms_max, WhyNotReusable::TooOld),
        (after.draining, WhyNotReusable::Draining),
    ];
    rows.iter().find(|(holds, _)| *holds).map_or(Ok(()), |(_, why)| Err(*why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: AfterExchange = AfterExchange {
        answer_keeps: true,
        answer_complete: true,
        surplus_bytes: false,
        read_closed: false,
        request_sent: true,
        requests: 1,
        requests_max: 0,
        age_ms: 10,
        age_ms_max: 0,
        draining: false,
    };

    #[test]
    fn a_connection_is_kept_only_when_every_row_agrees() {
        assert_eq!(is_reusable(&GOOD), Ok(()));
        for (after, why) in [
            (AfterExchange { answer_complete: false, ..GOOD }, WhyNotReusable::AnswerUnfinished),
            (AfterExchange { surplus_bytes: true, ..GOOD }, WhyNotReusable::SurplusBytes),
            (AfterExchange { request_sent: false, ..GOOD }, WhyNotReusable::RequestUnfinished),
            (AfterExchange { answer_keeps: false, ..GOOD }, WhyNotReusable::NotKept),
            (AfterExchange { read_closed: true, ..GOOD }, WhyNotReusable::ClosedByOrigin),
            (AfterExchange { requests: 5, requests_max: 5, ..GOOD }, WhyNotReusable::RequestsSpent),
            (AfterExchange { age_ms: 9, age_ms_max: 9, ..GOOD }, WhyNotReusable::TooOld),
            (AfterExchange { draining: true, ..GOOD }, WhyNotReusable::Draining),
        ] {
            assert_eq!(is_reusable(&after), Err(why));
        }
    }
}
