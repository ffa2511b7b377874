//! Which field of an answer speaks to this cache: a targeted one (RFC 9213), `Surrogate-Control` where the route reads
//! it, or `Cache-Control` with `Expires`. One speaks alone; the others are not listened to.

use crate::cache::directives::{AnswerDirectives, Delta};
use crate::cache::items::{SECONDS_MAX, items, seconds};
use crate::cache::message::Lines;
use crate::cache::structured::{Bare, Member, parse_dictionary};
use crate::http1::fields::eq_ignore_case;
use crate::plan::CachePolicy;

/// Whose directives they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    CacheControl,
    /// A place in the policy's list of targets.
    Target(u8),
    Surrogate,
}

/// The directives that hold for this cache.
#[must_use]
pub fn directives_for(lines: Lines<'_>, policy: &CachePolicy) -> (AnswerDirectives, Speaker) {
    for (place, name) in policy.targets.iter().enumerate() {
        if let Some(found) = targeted(lines, name.as_bytes()) {
            return (found, Speaker::Target(u8::try_from(place).unwrap_or(u8::MAX)));
        }
    }
    if policy.surrogate_control {
        if let Some(found) = surrogate(lines) {
            return (found, Speaker::Surrogate);
        }
    }
    (AnswerDirectives::of(lines), Speaker::CacheControl)
}

/// RFC 9213 2.2: a field that is empty or no dictionary is as if it were not there.
fn targeted(lines: Lines<'_>, name: &[u8]) -> Option<AnswerDirectives> {
    let mut room = Vec::new();
    let text = lines.joined(name, &mut room)?;
    let mut members: Vec<(&[u8], Bare<'_>)> = Vec::new();
    let mut is_empty = true;
    let valid = parse_dictionary(text, |key, member| {
        is_empty = false;
        // Only what is known is kept, so that a long field costs no more than its length.
        if !AnswerDirectives::knows(key) {
            return;
        }
        // No directive takes a list; a number it is not is as wrong.
        let value = if let Member::Item(value) = member { value } else { Bare::Decimal };
        match members.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => members.push((key, value)),
        }
    });
    if valid.is_err() || is_empty {
        return None;
    }
    let mut found = AnswerDirectives::default();
    members.into_iter().for_each(|(key, value)| found.take_member(key, value));
    Some(found)
}

/// Edge Architecture 1.0, 2: `max-age=FRESH+STALE`, `no-store`, `no-store-remote`, `content`; a directive that ends in
/// `;name` is for a surrogate of that name, which this is not.
fn surrogate(lines: Lines<'_>) -> Option<AnswerDirectives> {
    let mut found = AnswerDirectives::default();
    let mut spoke = false;
    for line in lines.named(b"Surrogate-Control") {
        for part in line.split(|&b| b == b',').filter(|part| !part.contains(&b';')) {
            for item in items(part) {
                spoke = true;
                if eq_ignore_case(item.name, b"no-store") || eq_ignore_case(item.name, b"no-store-remote") {
                    found.no_store = true;
                } else if eq_ignore_case(item.name, b"max-age") {
                    let (fresh, stale) = lifetimes(item.argument.text().unwrap_or_default());
                    found.max_age.also(fresh);
                    found.stale_while_revalidate.also(stale);
                    found.stale_if_error.also(stale);
                }
            }
        }
    }
    spoke.then_some(found)
}

fn lifetimes(text: &[u8]) -> (Delta, Delta) {
    let (fresh, stale) = match memchr::memchr(b'+', text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let delta = |text: &[u8]| seconds(text).map_or(Delta::Invalid, |n| Delta::Seconds(n.min(SECONDS_MAX)));
    (delta(fresh), stale.map_or(Delta::Absent, delta))
}
