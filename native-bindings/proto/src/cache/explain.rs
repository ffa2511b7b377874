//! Says in lines for people what the cache would do with a request and why: the same verdict the engine acts on, with the
//! numbers it rests on.

use crate::cache::judge::{Decision, Found, Lookup, What, decide_request};
use crate::cache::record::Record;

/// One fact of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub name: &'static str,
    pub value: String,
}

/// The name of what is done.
#[must_use]
pub const fn verdict(what: What) -> &'static str {
    match what {
        What::Hit(_) => "hit",
        What::HitAndRevalidate(_) => "stale-while-revalidate",
        What::Validate => "validate",
        What::Miss => "miss",
        What::GatewayTimeout => "gateway-timeout",
        What::Bypass => "bypass",
    }
}

/// Judges the request as the engine would, and tells it.
#[must_use]
pub fn explain(lookup: &Lookup<'_>, found: Found<'_>, key: &[u8]) -> (Decision, Vec<Fact>) {
    let decision = decide_request(lookup, found);
    let mut facts = Vec::new();
    let mut tell = |name, value: String| facts.push(Fact { name, value });
    tell("verdict", verdict(decision.what).to_owned());
    tell("why", decision.why.token().to_owned());
    tell("says", decision.why.sentence().to_owned());
    if decision.what != What::Bypass {
        tell("key", String::from_utf8_lossy(key).into_owned());
    }
    if let Found::Record(record) = found {
        tell_record(record, lookup.now_ms, &mut tell);
    }
    (decision, facts)
}

fn tell_record(record: &Record, now_ms: u64, tell: &mut impl FnMut(&'static str, String)) {
    tell("status", record.status.to_string());
    tell("age_s", record.age_s(now_ms).to_string());
    tell("fresh_for_s", record.ttl_s(now_ms).to_string());
    tell("lifetime_from", record.lifetime_from.token().to_owned());
    let left = |until_ms: u64| (until_ms.saturating_sub(now_ms) / 1000).to_string();
    tell("while_revalidate_for_s", left(record.while_revalidate_until_ms));
    tell("if_error_for_s", left(record.if_error_until_ms));
    if record.always_validate {
        tell("always_validate", "yes".to_owned());
    }
    if !record.etag.is_empty() {
        tell("etag", String::from_utf8_lossy(&record.etag).into_owned());
    }
}
