//! What a 304, or an answer to HEAD, makes of a stored answer (RFC 9111 3.2, 4.3.4, 4.3.5): whether it is about that
//! one, and the stored head with the new fields in it.

use crate::cache::dates::parse_http_date;
use crate::cache::freshness::{Judged, age_of, date_of, decide_lifetime, last_modified_of, record_of, rule_for};
use crate::cache::message::{Answered, Arrival, Single};
use crate::cache::record::Record;
use crate::cache::storable::{is_kept_on_update, is_stored_field};
use crate::cache::targeted::directives_for;
use crate::cache::validator::{is_entity_tag, is_strong, same_strong, same_weak};
use crate::http1::encode::{write_field, write_http_date};
use crate::http1::fields::{FieldKind, eq_ignore_case};
use crate::http1::head::{Field, Parsed, ResponseHead};
use crate::limits::{HEAD_BYTES_CEILING, HeadLimits};
use crate::plan::SetCookieUse;

/// Whether a 304 is about the stored answer (RFC 9111 4.3.4). One without any validator is if it answers a condition of
/// ours: that named this answer and no other, and RFC 9110 15.4.5 lets a 304 leave out Last-Modified.
#[must_use]
pub fn is_about(arrival: &Arrival<'_>, record: &Record, validating: bool) -> bool {
    let lines = arrival.answered.lines();
    if let Single::Value(tag) = lines.single(FieldKind::Etag) {
        if is_entity_tag(tag) {
            return if is_strong(tag) { same_strong(tag, &record.etag) } else { same_weak(tag, &record.etag) };
        }
    }
    match last_modified_of(lines, arrival.times) {
        Some(modified_s) => record.last_modified_s == Some(modified_s),
        None => validating,
    }
}

/// Whether a 304 that was found to be about one stored answer is about this one of the same target as well: a strong
/// validator names all that have it (RFC 9111 4.3.4), a weak one and none only the one that was asked about.
#[must_use]
pub fn is_also_about(arrival: &Arrival<'_>, other: &Record) -> bool {
    let tag = arrival.answered.lines().single(FieldKind::Etag).value().filter(|tag| is_entity_tag(tag));
    tag.is_some_and(|tag| same_strong(tag, &other.etag))
}

/// Whether an answer to HEAD describes the stored answer: none of what it says of it differs (RFC 9111 4.3.5).
#[must_use]
pub fn head_agrees(arrival: &Arrival<'_>, record: &Record) -> bool {
    let lines = arrival.answered.lines();
    let tag = lines.single(FieldKind::Etag).value();
    let modified = lines.single(FieldKind::LastModified).value();
    let now_s = arrival.times.answered_ms / 1000;
    arrival.answered.head.status == record.status
        && tag.is_none_or(|tag| *tag == *record.etag)
        && modified.is_none_or(|text| parse_http_date(text, now_s) == record.last_modified_s)
        && arrival.length().is_none_or(|length| record.length.is_none_or(|known| known == length))
}

/// Writes the stored head with the fields of the update in place of those of the same names (RFC 9111 3.2) into `out`, and
/// computes the record anew. `None` if the head would become longer than a head may be: what is stored is then used
/// once more and not kept.
pub fn freshen(arrival: &Arrival<'_>, stored: Answered<'_>, known: &Record, out: &mut Vec<u8>) -> Option<Record> {
    let date_repaired = date_of(arrival.answered.lines(), arrival.times).1;
    let (update_says, _) = directives_for(arrival.answered.lines(), arrival.policy);
    // As when it was stored: a cookie for all needs a lifetime that is stated.
    let states_lifetime = update_says.max_age.seconds().or(update_says.s_maxage.seconds()).is_some();
    let takes_cookies = arrival.policy.set_cookie == SetCookieUse::Explicit && states_lifetime;
    let replaces = |field: &&Field| {
        is_stored_field(arrival, &update_says, field)
            && !is_kept_on_update(field.name.of(arrival.answered.bytes))
            && (field.kind != FieldKind::Date || !date_repaired)
            && (field.kind != FieldKind::SetCookie || takes_cookies)
    };
    let new: Vec<&Field> = arrival.answered.head.fields.iter().filter(replaces).collect();
    let is_replaced = |field: &Field| {
        let name = field.name.of(stored.bytes);
        // The old Date tells nothing of the new age: without a new one it is as if there were none.
        field.kind == FieldKind::Date || new.iter().any(|n| eq_ignore_case(n.name.of(arrival.answered.bytes), name))
    };
    out.clear();
    let first_line = memchr::memchr(b'\n', stored.bytes).map_or(0, |end| end + 1);
    out.extend_from_slice(&stored.bytes[..first_line]);
    for field in stored.head.fields.iter().filter(|field| !is_replaced(field)) {
        write_field(out, field.name.of(stored.bytes), field.value.of(stored.bytes));
    }
    for field in new {
        write_field(out, field.name.of(arrival.answered.bytes), field.value.of(arrival.answered.bytes));
    }
    if date_repaired {
        let mut date = [0; 29];
        write_http_date(&mut date, arrival.times.answered_ms / 1000);
        write_field(out, b"Date", &date);
    }
    out.extend_from_slice(b"\r\n");

    let mut head = ResponseHead::new();
    let limits = HeadLimits { head_bytes: HEAD_BYTES_CEILING, field_count: u32::MAX, ..HeadLimits::default() };
    if out.len() >= HEAD_BYTES_CEILING as usize || head.parse(out, &limits) != Ok(Parsed::Complete) {
        return None;
    }
    let merged = Arrival { answered: Answered { bytes: out, head: &head }, ..*arrival };
    let (said, speaker) = directives_for(merged.answered.lines(), arrival.policy);
    let rule = rule_for(arrival.policy, head.status, arrival.path);
    let overridden = rule.is_some_and(|rule| rule.overrides);
    let judged = Judged {
        said: &said,
        lifetime: decide_lifetime(&merged, &said, speaker, rule),
        overridden,
        part: known.part,
        age_s: age_of(arrival.answered.lines()),
    };
    let mut record = record_of(&merged, &judged);
    record.length = known.length;
    Some(record)
}
