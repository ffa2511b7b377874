//! Decides what follows a failed attempt. It knows what was sent and what may be repeated; it never opens a connection
//! (engine `origin.rs`) and never writes an answer (engine `answer.rs`).

use crate::fault::OriginFault;
use crate::http1::head::Method;

/// What is known when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub fault: OriginFault,
    pub method: Method,
    /// The connection had carried an earlier request.
    pub reused: bool,
    /// The kernel took at least one byte of this request.
    pub sent_any: bool,
    /// At least one byte of an answer came.
    pub answer_any: bool,
    /// Every body byte received so far is still held, or there is none.
    pub body_replayable: bool,
    /// This exchange was already repeated once on a fresh connection.
    pub repeated: bool,
    /// Targets of the origin that this exchange has not tried.
    pub untried_targets: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same target, on a connection that carried nothing before. Happens at most once an exchange.
    FreshConnection,
    /// Another target of the same origin.
    NextTarget,
    /// No further attempt: the fault becomes the answer.
    Answer(WhyNoRetry),
}

/// Why an attempt was not repeated; the token goes to the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNoRetry {
    AnswerBegun,
    MethodNotRepeatable,
    BodyNotHeld,
    AlreadyRepeated,
    NoOtherTarget,
    LocalFault,
}

impl WhyNoRetry {
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::AnswerBegun => "answer_begun",
            Self::MethodNotRepeatable => "method_not_repeatable",
            Self::BodyNotHeld => "body_not_held",
            Self::AlreadyRepeated => "already_repeated",
            Self::NoOtherTarget => "no_other_target",
            Self::LocalFault => "local_fault",
        }
    }
}

/// RFC 9110 9.2.2: a proxy must not repeat a request on its own unless the method is idempotent, or it knows that the
/// request was never received. Nothing sent is the one proof of the latter that a proxy has.
#[must_use]
pub fn decide_next(attempt: &Attempt) -> Next {
    if attempt.answer_any {
        return Next::Answer(WhyNoRetry::AnswerBegun);
    }
    if !attempt.fault.blames_target() {
        return Next::Answer(WhyNoRetry::LocalFault);
    }
    if attempt.sent_any && !attempt.method.is_idempotent() {
        return Next::Answer(WhyNoRetry::MethodNotRepeatable);
    }
    if !attempt.body_replayable {
        return Next::Answer(WhyNoRetry::BodyNotHeld);
    }
    // An origin that closed an idle connection as we wrote to it has done nothing wrong: it gets the same request again.
    if attempt.reused && is_stale_connection(attempt.fault) {
        return if attempt.repeated { Next::Answer(WhyNoRetry::AlreadyRepeated) } else { Next::FreshConnection };
    }
    // Silence and junk may mean that the work was begun: only what never got a connection, or was dropped unanswered,
    // goes to another target.
    if matches!(attempt.fault, OriginFault::HeaderTimeout | OriginFault::MalformedHeaders) && !attempt.method.is_safe()
    {
        return Next::Answer(WhyNoRetry::MethodNotRepeatable);
    }
    if attempt.fault == OriginFault::MalformedHeaders || attempt.untried_targets == 0 {
        return Next::Answer(WhyNoRetry::NoOtherTarget);
    }
    Next::NextTarget
}

/// The faults by which a kept connection shows that its other end had already left it.
const fn is_stale_connection(fault: OriginFault) -> bool {
    matches!(fault, OriginFault::EofBeforeHeaders | OriginFault::ResetBeforeHeaders | OriginFault::WriteError)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: Attempt = Attempt {
        fault: OriginFault::EofBeforeHeaders,
        method: Method::Get,
        reused: true,
        sent_any: true,
        answer_any: false,
        body_replayable: true,
        repeated: false,
        untried_targets: 0,
    };

    #[test]
    fn a_get_on_a_stale_connection_is_repeated_once_on_a_fresh_one() {
        assert_eq!(decide_next(&STALE), Next::FreshConnection);
        assert_eq!(decide_next(&Attempt { repeated: true, ..STALE }), Next::Answer(WhyNoRetry::AlreadyRepeated));
    }

    #[test]
    fn a_post_is_repeated_only_when_nothing_was_sent() {
        let post = Attempt { method: Method::Post, ..STALE };
        assert_eq!(decide_next(&post), Next::Answer(WhyNoRetry::MethodNotRepeatable));
        assert_eq!(decide_next(&Attempt { sent_any: false, ..post }), Next::FreshConnection);
    }

    #[test]
    fn nothing_is_repeated_once_an_answer_began() {
        assert_eq!(decide_next(&Attempt { answer_any: true, ..STALE }), Next::Answer(WhyNoRetry::AnswerBegun));
    }

    #[test]
    fn a_body_that_is_gone_cannot_be_sent_again() {
        let put = Attempt { method: Method::Put, body_replayable: false, ..STALE };
        assert_eq!(decide_next(&put), Next::Answer(WhyNoRetry::BodyNotHeld));
    }

    #[test]
    fn a_refused_connection_tries_the_next_target_with_any_method() {
        let refused = Attempt {
            fault: OriginFault::ConnectRefused,
            method: Method::Post,
            reused: false,
            sent_any: false,
            untried_targets: 1,
            ..STALE
        };
        assert_eq!(decide_next(&refused), Next::NextTarget);
        assert_eq!(decide_next(&Attempt { untried_targets: 0, ..refused }), Next::Answer(WhyNoRetry::NoOtherTarget));
    }

    #[test]
    fn a_local_fault_never_moves_on_to_another_target() {
        let local = Attempt { fault: OriginFault::LocalResource, sent_any: false, untried_targets: 3, ..STALE };
        assert_eq!(decide_next(&local), Next::Answer(WhyNoRetry::LocalFault));
    }

    #[test]
    fn silence_is_retried_elsewhere_only_for_safe_methods() {
        let silent = Attempt { fault: OriginFault::HeaderTimeout, reused: false, untried_targets: 1, ..STALE };
        assert_eq!(decide_next(&silent), Next::NextTarget);
        let delete = Attempt { method: Method::Delete, ..silent };
        assert_eq!(decide_next(&delete), Next::Answer(WhyNoRetry::MethodNotRepeatable));
    }
}
