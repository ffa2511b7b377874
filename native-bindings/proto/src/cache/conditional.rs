//! Conditions of a request, evaluated against a stored answer in the order of RFC 9110 13.2.2. `If-Match` and
//! `If-Unmodified-Since` are not for caches to refuse (RFC 9111 4.3.2): a request whose condition the stored answer
//! does not meet goes to the origin, which alone may say 412.

use crate::cache::dates::parse_http_date;
use crate::cache::message::{Asked, Single};
use crate::cache::range::{ByteRange, Wanted, decide_ranges};
use crate::cache::record::Record;
use crate::cache::validator::{entity_tags, has_strong_date, same_strong, same_weak};
use crate::http1::fields::{FieldKind, KindSet, trim_ows};
use crate::http1::head::Method;

/// Fields without which a request gets the whole answer.
pub(super) const CONDITIONAL_KINDS: KindSet = KindSet::of(&[
    FieldKind::IfMatch,
    FieldKind::IfNoneMatch,
    FieldKind::IfModifiedSince,
    FieldKind::IfUnmodifiedSince,
    FieldKind::IfRange,
    FieldKind::Range,
]);

/// How a stored answer is given to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    Whole,
    /// 304 with the stored fields that RFC 9110 15.4.5 wants.
    NotModified,
    /// 206 with one or several ranges.
    Ranges(super::range::Ranges),
    /// 206 out of a stored part.
    OfPart(ByteRange),
    /// 416.
    Unsatisfiable,
}

/// What stands against giving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// A condition that only the origin may refuse does not hold.
    Precondition,
    /// What is stored is a part, and not the one asked for.
    PartMissing,
}

/// The answer that `record` gives to the request. `length` is what its stored content is long.
pub fn decide_serve(asked: Asked<'_>, record: &Record, now_ms: u64) -> Result<Serve, Unserved> {
    let kinds = asked.head.kinds;
    let conditions = kinds.meets(CONDITIONAL_KINDS);
    // RFC 9110 13.2.1: conditions are about answers of 2xx.
    if conditions && (200..300).contains(&record.status) {
        if !origin_conditions_hold(asked, record, now_ms) {
            return Err(Unserved::Precondition);
        }
        if is_not_modified(asked, record, now_ms) {
            return Ok(Serve::NotModified);
        }
    }
    let range = match kinds.has(FieldKind::Range) && asked.head.method == Method::Get {
        true => asked.lines().single(FieldKind::Range).value(),
        false => None,
    };
    match (record.part, range) {
        (None, None) => Ok(Serve::Whole),
        (None, Some(range)) => Ok(serve_ranges(asked, record, range, now_ms)),
        (Some(part), Some(range)) if if_range_holds(asked, record, now_ms) => {
            part.holds(range).map(Serve::OfPart).ok_or(Unserved::PartMissing)
        }
        (Some(_), _) => Err(Unserved::PartMissing),
    }
}

fn serve_ranges(asked: Asked<'_>, record: &Record, range: &[u8], now_ms: u64) -> Serve {
    // RFC 9110 14.2: Range is about what a 200 would hold.
    let (200, Some(length), true) = (record.status, record.length, if_range_holds(asked, record, now_ms)) else {
        return Serve::Whole;
    };
    match decide_ranges(range, length) {
        Wanted::Whole => Serve::Whole,
        Wanted::Unsatisfiable => Serve::Unsatisfiable,
        Wanted::Ranges(ranges) => Serve::Ranges(ranges),
    }
}

/// Steps 1 and 2 of RFC 9110 13.2.2.
fn origin_conditions_hold(asked: Asked<'_>, record: &Record, now_ms: u64) -> bool {
    let lines = asked.lines();
    if lines.kinds.has(FieldKind::IfMatch) {
        let mut values = lines.values(FieldKind::IfMatch);
        return values
            .any(|value| trim_ows(value) == b"*" || entity_tags(value).any(|tag| same_strong(tag, &record.etag)));
    }
    match lines.single(FieldKind::IfUnmodifiedSince) {
        Single::Absent | Single::Conflicting => true,
        Single::Value(text) => match (parse_http_date(text, now_ms / 1000), record.last_modified_s) {
            (Some(since_s), Some(modified_s)) => modified_s <= since_s,
            // RFC 9110 13.1.4: what is no date is ignored; without a date to compare, the origin is asked.
            (None, _) => true,
            (Some(_), None) => false,
        },
    }
}

/// Steps 3 and 4: If-None-Match, and If-Modified-Since where that is not there.
fn is_not_modified(asked: Asked<'_>, record: &Record, now_ms: u64) -> bool {
    let lines = asked.lines();
    if lines.kinds.has(FieldKind::IfNoneMatch) {
        let mut values = lines.values(FieldKind::IfNoneMatch);
        return values
            .any(|value| trim_ows(value) == b"*" || entity_tags(value).any(|tag| same_weak(tag, &record.etag)));
    }
    let Single::Value(text) = lines.single(FieldKind::IfModifiedSince) else { return false };
    let Some(since_s) = parse_http_date(text, now_ms / 1000) else { return false };
    // RFC 9111 4.3.2: without Last-Modified its Date, which is when it came if it had none.
    record.last_modified_s.unwrap_or(record.date_s) <= since_s
}

/// Step 5 (RFC 9110 13.1.5): strong comparison only; a date must be exactly that of the stored answer.
fn if_range_holds(asked: Asked<'_>, record: &Record, now_ms: u64) -> bool {
    match asked.lines().single(FieldKind::IfRange) {
        Single::Absent => true,
        Single::Conflicting => false,
        Single::Value(value) if value.starts_with(b"\"") => same_strong(value, &record.etag),
        Single::Value(value) if value.starts_with(b"W/") => false,
        Single::Value(value) => {
            let date = parse_http_date(value, now_ms / 1000);
            date.is_some() && date == record.last_modified_s && has_strong_date(record)
        }
    }
}
