//! What an answer does to what is stored: it is stored, or makes the stored one fresh again, or stale, or nothing; and if
//! the method was unsafe, what is stored for its target is not believed any more. Like `judge.rs` it changes nothing.

use crate::cache::freshness::{Judged, age_of, decide_lifetime, record_of, rule_for};
use crate::cache::message::Arrival;
use crate::cache::record::Record;
use crate::cache::request_directives::RequestDirectives;
use crate::cache::stale::{is_error, may_follow_error};
use crate::cache::storable::{decide_storable, decide_update};
use crate::cache::targeted::directives_for;
use crate::cache::update::{head_agrees, is_about};
use crate::cache::vary::VarySet;
use crate::cache::why::Why;
use crate::http1::head::Method;

/// What is done with the answer and with the stored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is stored under this record, once its body came whole, in place of what was stored for the same variant.
    Store(Box<Record>, VarySet),
    /// The stored answer gets its fields: `freshen` of `update.rs`.
    Freshen,
    /// The stored answer is given in its place, and stays as it is.
    UseStored,
    /// The stored answer is stale from now on.
    Expire,
    /// The stored answer is removed: this one is newer and may not be stored.
    Forget,
    /// The origin is asked again without conditions: its 304 is about something that is not stored.
    AskAgain,
    Nothing,
}

/// A verdict on an answer and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerDecision {
    pub keep: Keep,
    /// Everything stored for the target, and for what `invalidation.rs` finds in the answer, is stale from now on.
    pub invalidates: bool,
    pub why: Why,
}

impl AnswerDecision {
    const fn of(keep: Keep, why: Why) -> Self {
        Self { keep, invalidates: false, why }
    }
}

/// The verdict on an answer, asked for requests that `decide_use` of `judge.rs` lets in and for those of other methods; what
/// passed the cache by leaves it as it is. `found` is the record that the request selected, `validating` says that the origin was
/// asked about it.
#[must_use]
pub fn decide_answer(arrival: &Arrival<'_>, found: Option<&Record>, validating: bool) -> AnswerDecision {
    let status = arrival.answered.head.status;
    let method = arrival.asked.head.method;
    if status < 200 {
        return AnswerDecision::of(Keep::Nothing, Why::Interim);
    }
    if !arrival.policy.enabled {
        return AnswerDecision::of(Keep::Nothing, Why::Off);
    }
    if !method.is_safe() {
        return decide_unsafe(arrival, status);
    }
    match method {
        Method::Get => decide_get(arrival, found, validating),
        Method::Head => decide_head(arrival, found, validating),
        _ => AnswerDecision::of(Keep::Nothing, Why::NotStoredMethod),
    }
}

/// RFC 9111 4.4: an answer that is no error invalidates, also to a method that nobody knows.
fn decide_unsafe(arrival: &Arrival<'_>, status: u16) -> AnswerDecision {
    if !(200..400).contains(&status) {
        return AnswerDecision::of(Keep::Nothing, Why::UnsafeFailed);
    }
    let stored = if arrival.asked.head.method == Method::Post { decide_store(arrival) } else { Err(Why::UnsafeMethod) };
    match stored {
        Ok(keep) => AnswerDecision { keep, invalidates: true, why: Why::Storable },
        Err(_) => AnswerDecision { keep: Keep::Nothing, invalidates: true, why: Why::UnsafeMethod },
    }
}

fn decide_head(arrival: &Arrival<'_>, found: Option<&Record>, validating: bool) -> AnswerDecision {
    match (found, arrival.answered.head.status) {
        (Some(record), 304) if is_about(arrival, record, validating) => update(arrival, record, Why::NotModified),
        (Some(record), 200) if head_agrees(arrival, record) => update(arrival, record, Why::HeadAgrees),
        (Some(record), 200) if record.status == 200 => AnswerDecision::of(Keep::Expire, Why::HeadDiffers),
        _ => AnswerDecision::of(Keep::Nothing, Why::NotStoredMethod),
    }
}

/// The stored answer is right; whether everybody may see the fields that came is another question.
fn update(arrival: &Arrival<'_>, record: &Record, why: Why) -> AnswerDecision {
    match decide_update(arrival, record) {
        Ok(()) => AnswerDecision::of(Keep::Freshen, why),
        Err(why) => AnswerDecision::of(Keep::UseStored, why),
    }
}

fn decide_get(arrival: &Arrival<'_>, found: Option<&Record>, validating: bool) -> AnswerDecision {
    let status = arrival.answered.head.status;
    if status == 304 {
        return match found {
            Some(record) if is_about(arrival, record, validating) => update(arrival, record, Why::NotModified),
            _ if validating => AnswerDecision::of(Keep::AskAgain, Why::OtherValidator),
            _ => AnswerDecision::of(Keep::Nothing, Why::NotForStore),
        };
    }
    let wants = RequestDirectives::under(arrival.asked.lines(), arrival.policy);
    if let Some(record) = found.filter(|_| is_error(status)) {
        return match may_follow_error(record, wants, arrival.times.answered_ms) {
            true => AnswerDecision::of(Keep::UseStored, Why::IfError),
            // A failure says nothing of what is stored, and must not take its place.
            false => AnswerDecision::of(Keep::Nothing, Why::OriginFailed),
        };
    }
    if status == 206 && found.is_some_and(|record| record.part.is_none()) {
        return AnswerDecision::of(Keep::Nothing, Why::WholeStored);
    }
    match decide_store(arrival) {
        Ok(keep) => AnswerDecision::of(keep, Why::Storable),
        Err(why) if found.is_some() && validating && !matches!(status, 206 | 412 | 416) => {
            AnswerDecision::of(Keep::Forget, why)
        }
        Err(why) => AnswerDecision::of(Keep::Nothing, why),
    }
}

fn decide_store(arrival: &Arrival<'_>) -> Result<Keep, Why> {
    let lines = arrival.answered.lines();
    let (said, speaker) = directives_for(lines, arrival.policy);
    let rule = rule_for(arrival.policy, arrival.answered.head.status, arrival.path);
    let lifetime = decide_lifetime(arrival, &said, speaker, rule);
    let overridden = rule.is_some_and(|rule| rule.overrides);
    let storable = decide_storable(arrival, &said, lifetime, overridden)?;
    let judged = Judged { said: &said, lifetime, overridden, part: storable.part, age_s: age_of(lines) };
    Ok(Keep::Store(Box::new(record_of(arrival, &judged)), storable.vary))
}

/// Whether the stored answer is given because no answer came at all. `MustRevalidate` asks for a 504 (RFC 9111 5.2.2.2).
pub fn decide_failure(record: &Record, wants: RequestDirectives, now_ms: u64) -> Result<Why, Why> {
    match may_follow_error(record, wants, now_ms) {
        true => Ok(Why::IfError),
        false if record.never_stale || record.always_validate => Err(Why::MustRevalidate),
        false => Err(Why::OriginFailed),
    }
}

/// Whether the next answer for the same target would most likely not be stored for the same reason. Then a marker is left
/// (`Found::Uncacheable`), so that nobody waits in vain for another one's answer. What a client did to its own request
/// says nothing of others, and a failure nothing of what comes after it.
#[must_use]
pub const fn leaves_marker(why: Why) -> bool {
    matches!(
        why,
        Why::NoStore
            | Why::Private
            | Why::NoLifetime
            | Why::NeverUsable
            | Why::StatusNotUnderstood
            | Why::SetsCookie
            | Why::VaryStar
            | Why::VaryTooMuch
            | Why::TooLarge
            | Why::PartPassed
    )
}
