//! How long an answer is fresh and how old it is (RFC 9111 4.2), settled once into the absolute times of a record.
//! Whether it may be stored at all is `storable.rs`; whether a record may be used is `judge.rs`.

use crate::cache::dates::parse_http_date;
use crate::cache::directives::{AnswerDirectives, Delta, Scope};
use crate::cache::items::{SECONDS_MAX, seconds};
use crate::cache::message::{Arrival, Lines, Single, Times};
use crate::cache::range::Part;
use crate::cache::record::{LifetimeFrom, Record};
use crate::cache::targeted::Speaker;
use crate::cache::validator::is_entity_tag;
use crate::http1::fields::{FieldKind, list_items};
use crate::plan::{CachePolicy, StatusRange, TtlRule};
use crate::route::takes_path;

/// How long, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub seconds: u32,
    pub from: LifetimeFrom,
}

impl Lifetime {
    const NOTHING: Self = Self { seconds: 0, from: LifetimeFrom::Nothing };
}

/// The first rule of the route that fits.
#[must_use]
pub fn rule_for<'a>(policy: &'a CachePolicy, status: u16, path: &[u8]) -> Option<&'a TtlRule> {
    policy.ttl.iter().find(|rule| {
        (rule.statuses.is_empty() || StatusRange::any_holds(&rule.statuses, status)) && takes_path(&rule.path, path)
    })
}

/// The freshness lifetime (RFC 9111 4.2.1), then what the route makes of it.
#[must_use]
pub fn decide_lifetime(
    arrival: &Arrival<'_>,
    said: &AnswerDirectives,
    speaker: Speaker,
    rule: Option<&TtlRule>,
) -> Lifetime {
    let lifetime = lifetime_by(arrival, said, speaker, rule);
    match arrival.lifetime_s_max {
        Some(most) if lifetime.seconds <= most => lifetime,
        Some(most) if lifetime.from == LifetimeFrom::Force => Lifetime { seconds: most, ..lifetime },
        Some(most) => Lifetime { seconds: most, from: LifetimeFrom::Rule },
        None => lifetime,
    }
}

fn lifetime_by(arrival: &Arrival<'_>, said: &AnswerDirectives, speaker: Speaker, rule: Option<&TtlRule>) -> Lifetime {
    let by_rule = |seconds| Lifetime { seconds, from: LifetimeFrom::Rule };
    if let Some(seconds) = rule.and_then(|rule| rule.force_s) {
        return Lifetime { seconds, from: LifetimeFrom::Force };
    }
    let date_s = date_of(arrival.answered.lines(), arrival.times).0;
    let stated = stated_lifetime(arrival, said, speaker, date_s);
    let mut lifetime = stated
        .or_else(|| rule.and_then(|rule| rule.default_s).map(by_rule))
        .unwrap_or_else(|| heuristic_lifetime(arrival, said, date_s));
    if let Some(floor) = rule.and_then(|rule| rule.floor_s).filter(|floor| lifetime.seconds < *floor) {
        lifetime = by_rule(floor);
    }
    if let Some(cap) = rule.and_then(|rule| rule.cap_s).filter(|cap| lifetime.seconds > *cap) {
        lifetime = by_rule(cap);
    }
    lifetime
}

/// What the answer says itself. A number that is none means stale, not "see the next field" (RFC 9111 4.2.1).
fn stated_lifetime(arrival: &Arrival<'_>, said: &AnswerDirectives, speaker: Speaker, date_s: u64) -> Option<Lifetime> {
    for (delta, from) in [(said.s_maxage, LifetimeFrom::SMaxage), (said.max_age, LifetimeFrom::MaxAge)] {
        match delta {
            Delta::Absent => {}
            Delta::Seconds(seconds) => return Some(Lifetime { seconds, from }),
            Delta::Invalid => return Some(Lifetime { seconds: 0, from }),
        }
    }
    // RFC 9213 2.2: where another field speaks, Expires does not.
    if speaker != Speaker::CacheControl {
        return None;
    }
    let from = LifetimeFrom::Expires;
    match arrival.answered.lines().single(FieldKind::Expires) {
        Single::Absent => None,
        Single::Conflicting => Some(Lifetime { seconds: 0, from }),
        Single::Value(text) => {
            // RFC 9111 5.3: what is no date, `0` above all, is in the past.
            let expires_s = parse_http_date(text, arrival.times.answered_ms / 1000).unwrap_or(0);
            let seconds = expires_s.saturating_sub(date_s).min(u64::from(SECONDS_MAX));
            Some(Lifetime { seconds: seconds as u32, from })
        }
    }
}

/// RFC 9111 4.2.2: a part of the time since the last modification.
fn heuristic_lifetime(arrival: &Arrival<'_>, said: &AnswerDirectives, date_s: u64) -> Lifetime {
    let rules = arrival.policy.heuristic;
    if rules.percent == 0 || !(said.public || is_heuristically_cacheable(arrival.answered.head.status)) {
        return Lifetime::NOTHING;
    }
    let Some(modified_s) = last_modified_of(arrival.answered.lines(), arrival.times) else { return Lifetime::NOTHING };
    let seconds = date_s.saturating_sub(modified_s).saturating_mul(u64::from(rules.percent)) / 100;
    let seconds = seconds.min(u64::from(rules.longest_s)).min(u64::from(SECONDS_MAX)) as u32;
    Lifetime { seconds, from: LifetimeFrom::Heuristic }
}

/// RFC 9110 15.1.
#[must_use]
pub const fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The moment of Date, and whether it had to be put right: RFC 9110 6.6.1 has a recipient with a clock record when the
/// answer came if it says nothing of it.
#[must_use]
pub fn date_of(lines: Lines<'_>, times: Times) -> (u64, bool) {
    let now_s = times.answered_ms / 1000;
    let date = lines.single(FieldKind::Date).value().and_then(|text| parse_http_date(text, now_s));
    date.map_or((now_s, true), |date_s| (date_s, false))
}

#[must_use]
pub fn last_modified_of(lines: Lines<'_>, times: Times) -> Option<u64> {
    parse_http_date(lines.single(FieldKind::LastModified).value()?, times.answered_ms / 1000)
}

/// The value of Age (RFC 9111 5.1): the first member of a list; what is no number says nothing.
#[must_use]
pub fn age_of(lines: Lines<'_>) -> u32 {
    lines.values(FieldKind::Age).flat_map(list_items).next().and_then(seconds).unwrap_or(0)
}

/// How old it was when it came, in ms (RFC 9111 4.2.3).
fn initial_age_ms(age_s: u32, times: Times, date_s: u64) -> u64 {
    let apparent_ms = (times.answered_ms / 1000).saturating_sub(date_s).saturating_mul(1000);
    let delay_ms = times.answered_ms.saturating_sub(times.asked_ms);
    apparent_ms.max(u64::from(age_s) * 1000 + delay_ms)
}

/// What a record is made of besides the answer itself.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    pub said: &'a AnswerDirectives,
    pub lifetime: Lifetime,
    /// A rule of the route says that what the origin forbids does not count.
    pub overridden: bool,
    pub part: Option<Part>,
    /// What `Age` says.
    pub age_s: u32,
}

/// The record of an answer that is stored.
#[must_use]
pub fn record_of(arrival: &Arrival<'_>, judged: &Judged<'_>) -> Record {
    let Arrival { times, policy, .. } = *arrival;
    let Judged { said, lifetime, overridden, part, age_s } = *judged;
    let lines = arrival.answered.lines();
    let (date_s, date_repaired) = date_of(lines, times);
    let born_ms = times.answered_ms.saturating_sub(initial_age_ms(age_s, times, date_s));
    let later = |from: u64, seconds: u32| from.saturating_add(u64::from(seconds) * 1000);
    let counted_from_ms = if lifetime.from == LifetimeFrom::Force { times.answered_ms } else { born_ms };
    let fresh_until_ms = later(counted_from_ms, lifetime.seconds);

    let says_stale = said.stale_while_revalidate.is_present() || said.stale_if_error.is_present();
    let s_maxage_forbids = said.s_maxage.is_present() && !(policy.grace.despite_s_maxage && says_stale);
    let never_stale = !overridden && (said.forbid_stale() || s_maxage_forbids);
    let window = |directive: Delta, grace_s: u32| match directive {
        _ if never_stale => 0,
        Delta::Absent => grace_s,
        Delta::Seconds(seconds) => seconds,
        Delta::Invalid => 0,
    };
    let record = Record {
        status: arrival.answered.head.status,
        born_ms,
        came_ms: times.answered_ms,
        fresh_until_ms,
        while_revalidate_until_ms: later(
            fresh_until_ms,
            window(said.stale_while_revalidate, policy.grace.while_revalidate_s),
        ),
        if_error_until_ms: later(fresh_until_ms, window(said.stale_if_error, policy.grace.if_error_s)),
        lifetime_from: lifetime.from,
        always_validate: !overridden && said.no_cache == Scope::Whole,
        never_stale,
        allows_authorized: said.allow_authorized(),
        immutable: said.immutable,
        date_s,
        date_repaired,
        last_modified_s: last_modified_of(lines, times),
        etag: lines.single(FieldKind::Etag).value().filter(|tag| is_entity_tag(tag)).unwrap_or_default().into(),
        length: part.map_or(arrival.length(), |part| part.whole),
        part,
    };
    debug_assert!(record.holds());
    record
}
