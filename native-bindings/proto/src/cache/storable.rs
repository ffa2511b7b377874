//! Whether an answer may be stored (RFC 9111 3), which of its fields are (3.1), and whether its body came whole. Each
//! "no" is a `Why`. How long it is fresh is `freshness.rs`.

use crate::cache::directives::{AnswerDirectives, Scope};
use crate::cache::freshness::{Lifetime, is_heuristically_cacheable, last_modified_of, rule_for};
use crate::cache::message::{Arrival, Asked};
use crate::cache::range::{Part, part_of};
use crate::cache::record::{LifetimeFrom, Record};
use crate::cache::request_directives::RequestDirectives;
use crate::cache::targeted::{Speaker, directives_for};
use crate::cache::validator::is_entity_tag;
use crate::cache::vary::{VarySet, WhyNoVary};
use crate::cache::why::Why;
use crate::http1::encode::{write_field, write_http_date};
use crate::http1::fields::{FieldKind, KindSet, classify, eq_ignore_case, is_nominated};
use crate::http1::framing::AnswerBody;
use crate::http1::head::{Field, Method};
use crate::plan::{AuthorizationUse, CachePolicy, PartialUse, SetCookieUse};

/// What is stored besides the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storable {
    pub vary: VarySet,
    pub part: Option<Part>,
}

/// Goes through RFC 9111 3 from its first condition to its last. `overridden`: a rule of the route says that what the
/// origin forbids does not count.
pub fn decide_storable(
    arrival: &Arrival<'_>,
    said: &AnswerDirectives,
    lifetime: Lifetime,
    overridden: bool,
) -> Result<Storable, Why> {
    let status = arrival.answered.head.status;
    method_allows(arrival, lifetime)?;
    match status {
        ..200 => return Err(Why::Interim),
        304 | 412 | 416 => return Err(Why::NotForStore),
        _ => {}
    }
    // RFC 9111 5.2.2.3: whoever knows must-understand reads no-store only where it does not know the status.
    let understood = said.must_understand && is_understood(status);
    if said.must_understand && !understood {
        return Err(Why::StatusNotUnderstood);
    }
    if !overridden {
        said_allows(arrival, said, understood)?;
    }
    lifetime_allows(arrival, said, lifetime)?;
    set_cookie_allows(arrival, lifetime)?;
    let vary = VarySet::of(arrival.answered.lines()).map_err(|why| match why {
        WhyNoVary::Star => Why::VaryStar,
        WhyNoVary::TooMuch => Why::VaryTooMuch,
    })?;
    let part = if status == 206 { Some(part_allowed(arrival)?) } else { None };
    match arrival.length().is_some_and(|length| is_too_large(arrival.policy, length)) {
        true => Err(Why::TooLarge),
        false => Ok(Storable { vary, part }),
    }
}

/// GET; and POST whose answer says how long it is fresh, and that it is what a GET of the same target would get
/// (RFC 9110 9.3.3).
fn method_allows(arrival: &Arrival<'_>, lifetime: Lifetime) -> Result<(), Why> {
    match arrival.asked.head.method {
        Method::Get => Ok(()),
        Method::Post if says_what_get_gets(arrival, lifetime) => Ok(()),
        _ => Err(Why::NotStoredMethod),
    }
}

fn says_what_get_gets(arrival: &Arrival<'_>, lifetime: Lifetime) -> bool {
    let stated = !matches!(lifetime.from, LifetimeFrom::Nothing | LifetimeFrom::Heuristic);
    let mut locations = arrival.answered.lines().named(b"Content-Location");
    let target = arrival.asked.head.target.of(arrival.asked.bytes);
    stated && (200..300).contains(&arrival.answered.head.status) && locations.next() == Some(target)
}

/// Statuses whose meaning for caches this cache knows.
#[must_use]
pub const fn is_understood(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300..=303 | 307 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// What the answer and its request say against storing.
fn said_allows(arrival: &Arrival<'_>, said: &AnswerDirectives, understood: bool) -> Result<(), Why> {
    if said.no_store && !understood {
        return Err(Why::NoStore);
    }
    if said.private == Scope::Whole {
        return Err(Why::Private);
    }
    if RequestDirectives::of(arrival.asked.lines()).no_store {
        return Err(Why::ClientNoStore);
    }
    authorization_allows(arrival, said.allow_authorized())
}

/// RFC 9111 3.5.
fn authorization_allows(arrival: &Arrival<'_>, said_shared: bool) -> Result<(), Why> {
    let authorized = arrival.asked.head.kinds.has(FieldKind::Authorization);
    match arrival.policy.authorization {
        AuthorizationUse::Rfc if authorized && !said_shared => Err(Why::Authorized),
        AuthorizationUse::Bypass if authorized => Err(Why::Authorized),
        _ => Ok(()),
    }
}

/// Whether the fields of a 304, or of an answer to HEAD, may be put into the stored answer for everybody to see: what
/// could not be stored by itself cannot come in this way. What it says nothing of, the stored answer has said.
pub fn decide_update(arrival: &Arrival<'_>, stored: &Record) -> Result<(), Why> {
    let (said, speaker) = directives_for(arrival.answered.lines(), arrival.policy);
    let rule = rule_for(arrival.policy, stored.status, arrival.path);
    if rule.is_some_and(|rule| rule.overrides) {
        return Ok(());
    }
    if said.no_store && !(said.must_understand && is_understood(stored.status)) {
        return Err(Why::NoStore);
    }
    if said.private == Scope::Whole {
        return Err(Why::Private);
    }
    let says_nothing = speaker == Speaker::CacheControl && !arrival.answered.head.kinds.has(FieldKind::CacheControl);
    authorization_allows(arrival, said.allow_authorized() || (says_nothing && stored.allows_authorized))
}

/// The last condition of RFC 9111 3: something says that the answer may be reused. What could never be used is not kept.
fn lifetime_allows(arrival: &Arrival<'_>, said: &AnswerDirectives, lifetime: Lifetime) -> Result<(), Why> {
    let status = arrival.answered.head.status;
    if lifetime.from == LifetimeFrom::Nothing && !said.public && !is_heuristically_cacheable(status) {
        return Err(Why::NoLifetime);
    }
    let lines = arrival.answered.lines();
    let has_validator = lines.single(FieldKind::Etag).value().is_some_and(is_entity_tag)
        || last_modified_of(lines, arrival.times).is_some();
    let grace = arrival.policy.grace;
    let usable_stale = said.stale_while_revalidate.seconds().unwrap_or(grace.while_revalidate_s) > 0
        || said.stale_if_error.seconds().unwrap_or(grace.if_error_s) > 0;
    match lifetime.seconds == 0 && !has_validator && (!usable_stale || said.forbid_stale()) {
        true if lifetime.from == LifetimeFrom::Nothing => Err(Why::NoLifetime),
        true => Err(Why::NeverUsable),
        false => Ok(()),
    }
}

fn set_cookie_allows(arrival: &Arrival<'_>, lifetime: Lifetime) -> Result<(), Why> {
    if !arrival.answered.head.kinds.has(FieldKind::SetCookie) {
        return Ok(());
    }
    let guessed = matches!(lifetime.from, LifetimeFrom::Heuristic | LifetimeFrom::Nothing);
    match arrival.policy.set_cookie {
        SetCookieUse::Strip => Ok(()),
        SetCookieUse::Explicit if !guessed => Ok(()),
        SetCookieUse::Explicit | SetCookieUse::Refuse => Err(Why::SetsCookie),
    }
}

/// RFC 9111 3.3: a part is stored as that part. One that does not say which, or in several pieces, is of no use.
fn part_allowed(arrival: &Arrival<'_>) -> Result<Part, Why> {
    if arrival.policy.partial == PartialUse::Pass {
        return Err(Why::PartPassed);
    }
    let part = part_of(arrival.answered.lines()).ok_or(Why::PartUnknown)?;
    match arrival.length() {
        Some(length) if length != part.len() => Err(Why::PartUnknown),
        _ => Ok(part),
    }
}

/// Fields of one connection, or about its proxies (RFC 9111 3.1), and those that are written anew.
const NEVER_STORED: KindSet = KindSet::of(&[
    FieldKind::Connection,
    FieldKind::KeepAlive,
    FieldKind::ProxyConnection,
    FieldKind::Te,
    FieldKind::TransferEncoding,
    FieldKind::Upgrade,
    FieldKind::Trailer,
    FieldKind::ProxyAuthenticate,
    FieldKind::ProxyAuthorization,
    FieldKind::Http2Settings,
    FieldKind::FramingAlias,
    FieldKind::Age,
]);

/// Whether a field of the answer is stored with it. `said` is what `directives_for` found.
#[must_use]
pub fn is_stored_field(arrival: &Arrival<'_>, said: &AnswerDirectives, field: &Field) -> bool {
    let Arrival { answered, policy, .. } = arrival;
    let name = field.name.of(answered.bytes);
    if NEVER_STORED.has(field.kind) {
        return false;
    }
    if field.kind == FieldKind::SetCookie && policy.set_cookie == SetCookieUse::Strip {
        return false;
    }
    // RFC 9111 5.2.2.4, 5.2.2.7: what must not be used unvalidated, or not be stored by a shared cache.
    if said.no_cache.names(name) || said.private.names(name) {
        return false;
    }
    let is_ours = eq_ignore_case(name, b"Proxy-Authentication-Info")
        || (policy.surrogate_control && eq_ignore_case(name, b"Surrogate-Control"));
    let nominated = arrival.framing.options.nominated && is_nominated(answered.bytes, &answered.head.fields, name);
    !is_ours && !nominated
}

/// Writes the head that is stored: the status line, the fields that are, and a Date if there was none or one that was no
/// date (RFC 9110 6.6.1). Age is told anew with every answer.
pub fn write_stored_head(arrival: &Arrival<'_>, said: &AnswerDirectives, record: &Record, out: &mut Vec<u8>) {
    let Arrival { answered, .. } = *arrival;
    let first_line = memchr::memchr(b'\n', answered.bytes).map_or(0, |end| end + 1);
    out.extend_from_slice(&answered.bytes[..first_line]);
    for field in answered.head.fields.iter().filter(|field| is_stored_field(arrival, said, field)) {
        if field.kind != FieldKind::Date || !record.date_repaired {
            write_field(out, field.name.of(answered.bytes), field.value.of(answered.bytes));
        }
    }
    if record.date_repaired {
        let mut date = [0; 29];
        write_http_date(&mut date, record.date_s);
        write_field(out, b"Date", &date);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether the fields that a 304 replaces leave this stored one as it is: its length and which part it is are facts about
/// the stored bytes (RFC 9111 3.2).
#[must_use]
pub fn is_kept_on_update(name: &[u8]) -> bool {
    matches!(classify(name), FieldKind::ContentLength | FieldKind::ContentRange)
}

/// Whether so much content is more than the route stores: asked while a body of unknown length comes.
#[must_use]
pub const fn is_too_large(policy: &CachePolicy, received: u64) -> bool {
    policy.object_bytes != 0 && received > policy.object_bytes
}

/// How the transfer of a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// Where its framing says it ends.
    Whole,
    /// With the connection, which closed in order: a FIN, and before it a `close_notify` where TLS is spoken.
    Closed,
    /// With a connection that broke, a deadline, or a fault in the framing.
    Broken,
}

/// Whether a body that came may be kept as the whole (RFC 9111 3.3, RFC 9112 8). `received` counts its content.
pub fn decide_whole(body: AnswerBody, end: BodyEnd, received: u64, part: Option<Part>) -> Result<(), Why> {
    let ended = match (body, end) {
        (_, BodyEnd::Broken) => return Err(Why::Aborted),
        (AnswerBody::Length(n), _) => received == n,
        (AnswerBody::None, _) => received == 0,
        (AnswerBody::Chunked, end) => end == BodyEnd::Whole,
        (AnswerBody::UntilClose, _) => true,
    };
    if ended && part.is_none_or(|part| part.len() == received) { Ok(()) } else { Err(Why::Truncated) }
}

/// Whether the answer to a request may come from the store or go there as far as its fields tell: see `judge.rs`.
#[must_use]
pub const fn is_cached_method(asked: Asked<'_>) -> bool {
    matches!(asked.head.method, Method::Get | Method::Head)
}

#[cfg(test)]
#[path = "storable_tests.rs"]
mod tests;
