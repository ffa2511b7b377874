//! Decides what follows a failed attempt. It reads the failure event and what is known about the request; it never opens
//! a connection (engine `origin.rs`) and never writes an answer (engine `answer.rs`).
//!
//! RFC 9110 9.2.2 is the rule under all others: a proxy must not repeat a request on its own unless the method is
//! idempotent, or it knows that the request was never received. Nothing sent is the one proof of the latter it has.

use crate::failure::Failure;
use crate::fault::OriginFault;
use crate::http1::head::Method;

/// What is known about the request when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub method: Method,
    /// `Idempotency-Key` was sent and the route lets it count.
    pub keyed: bool,
    /// The kernel took at least one byte of this attempt's request.
    pub sent_any: bool,
    /// Every body byte received so far is still held, or there is none.
    pub body_replayable: bool,
    /// This exchange was already repeated once on a fresh connection.
    pub repeated: bool,
    /// Targets of the origin that this exchange has not tried and that may be used.
    pub untried_targets: u32,
    /// Attempts the route still allows.
    pub attempts_left: u32,
    /// The budget of the process allows another attempt.
    pub budget_allows: bool,
    /// Nobody waits for the answer any more, or the time for all attempts is over.
    pub too_late: bool,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The same target, on a connection that carried nothing before. At most once an exchange, and no attempt of the
    /// route or the budget is spent on it: a stale connection is nobody's failure.
    FreshConnection,
    /// Another target of the same origin, or the same again when there is only one.
    NextTarget,
    /// No further attempt here: escalation is asked, then the fault becomes the answer.
    Answer(WhyNoRetry),
}

/// Why an attempt was not repeated; the token goes to the access log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhyNoRetry {
    AnswerBegun,
    MethodNotRepeatable,
    BodyNotHeld,
    AlreadyRepeated,
    NoOtherTarget,
    LocalFault,
    AttemptsSpent,
    BudgetSpent,
    TooLate,
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
            Self::AttemptsSpent => "attempts_spent",
            Self::BudgetSpent => "budget_spent",
            Self::TooLate => "too_late",
        }
    }
}

/// The failure matrix as one function.
#[must_use]
pub fn decide_next(failure: &Failure, facts: &Facts) -> Next {
    if let Some(why) = never_again(failure, facts) {
        return Next::Answer(why);
    }
    // S3-07: what its target never looked at is sent again, whatever its method.
    if failure.class == OriginFault::Unprocessed && !facts.repeated {
        return Next::FreshConnection;
    }
    // An origin that closed an idle connection as we wrote to it has done nothing wrong: it gets the same request again.
    if failure.reused && is_stale_connection(failure.class) {
        return if facts.repeated { Next::Answer(WhyNoRetry::AlreadyRepeated) } else { Next::FreshConnection };
    }
    if facts.untried_targets == 0 && !may_try_same_target(failure.class) {
        return Next::Answer(WhyNoRetry::NoOtherTarget);
    }
    if facts.attempts_left == 0 {
        return Next::Answer(WhyNoRetry::AttemptsSpent);
    }
    if !facts.budget_allows {
        return Next::Answer(WhyNoRetry::BudgetSpent);
    }
    Next::NextTarget
}

/// What stands against any further attempt, at this origin or at another.
#[must_use]
pub fn never_again(failure: &Failure, facts: &Facts) -> Option<WhyNoRetry> {
    use OriginFault as F;
    if matches!(failure.class, F::BodyTruncated | F::BodyMalformed | F::BodyTimeout | F::AnswerTooLarge) {
        return Some(WhyNoRetry::AnswerBegun);
    }
    if facts.too_late || failure.class == F::TotalTimeout {
        return Some(WhyNoRetry::TooLate);
    }
    if !failure.class.blames_origin() {
        return Some(WhyNoRetry::LocalFault);
    }
    if facts.sent_any && !may_be_repeated(failure, facts) {
        return Some(WhyNoRetry::MethodNotRepeatable);
    }
    if !facts.body_replayable {
        return Some(WhyNoRetry::BodyNotHeld);
    }
    None
}

/// Whether a request that may have been executed can be sent again. A stale connection is the mildest case: idempotent is
/// enough. Silence, junk and a fresh connection that dies may mean work that was begun: there the method must be safe.
fn may_be_repeated(failure: &Failure, facts: &Facts) -> bool {
    let stale = failure.reused && is_stale_connection(failure.class);
    facts.keyed
        || failure.class == OriginFault::Unprocessed
        || facts.method.is_safe()
        || (facts.method.is_idempotent() && (stale || failure.class == OriginFault::Status))
}

/// A target that answered with a failing status may do better in a moment; one that is silent or broken will not.
const fn may_try_same_target(class: OriginFault) -> bool {
    matches!(class, OriginFault::Status)
}

/// The faults by which a kept connection shows that its other end had already left it.
const fn is_stale_connection(fault: OriginFault) -> bool {
    matches!(fault, OriginFault::EofBeforeHeaders | OriginFault::ResetBeforeHeaders | OriginFault::WriteError)
}

/// How long to wait before an attempt, in ms: a random part of a bound that doubles with each attempt (full jitter), or
/// as long as the answer asked. `attempt` is the number of the attempt that failed, from 1.
#[must_use]
pub fn backoff_ms(attempt: u8, base_ms: u32, max_ms: u32, asked_ms: Option<u64>, dice: u64) -> u64 {
    if let Some(asked) = asked_ms {
        return asked;
    }
    let doubled = u64::from(base_ms) << u32::from(attempt.saturating_sub(1)).min(20);
    let bound = doubled.min(u64::from(max_ms));
    if bound == 0 { 0 } else { dice % (bound + 1) }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
