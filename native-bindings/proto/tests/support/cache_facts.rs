//! Spells what happened on the scene of a vector as facts, and compares them with those that are wanted.

use proto::cache::cache_status::{Report, write_cache_status, x_cache};
use proto::cache::conditional::Serve;
use proto::cache::explain::verdict;
use proto::cache::groups::{groups_invalidated, groups_of};
use proto::cache::judge::{Decision, What};
use proto::cache::message::Arrival;
use proto::cache::range::Missing;
use proto::cache::record::{LifetimeFrom, Record};
use proto::cache::tags::tags_of;
use proto::cache::validation::{Ask, write_conditions};

/// What happened, as facts spelled like those of the vectors.
pub type Facts = Vec<String>;

pub fn tell_decision(facts: &mut Facts, decision: Decision) {
    let (verdict, why) = (verdict(decision.what), decision.why.token());
    facts.push(verdict.to_owned());
    facts.push(format!("{verdict} {why}"));
    let (What::Hit(serve) | What::HitAndRevalidate(serve)) = decision.what else { return };
    facts.push(match serve {
        Serve::Whole => "serves whole".to_owned(),
        Serve::NotModified => "serves not-modified".to_owned(),
        Serve::Unsatisfiable => "serves unsatisfiable".to_owned(),
        Serve::OfPart(range) => format!("serves part {}-{}", range.first, range.last),
        Serve::Ranges(ranges) => {
            let spelled = ranges.as_slice().iter().map(|range| format!("{}-{}", range.first, range.last));
            format!("serves ranges {}", spelled.collect::<Vec<_>>().join(" "))
        }
    });
}

pub fn tell_ask(facts: &mut Facts, ask: Ask, record: &Record) {
    facts.push(match ask {
        Ask::AsSent => "asks as-sent".to_owned(),
        Ask::Whole => "asks whole".to_owned(),
        Ask::Validate => "asks validate".to_owned(),
        Ask::Rest(Missing::From(first)) => format!("asks rest {first}-"),
        Ask::Rest(Missing::Before(end)) => format!("asks rest 0-{}", end - 1),
        Ask::Rest(Missing::Both) => panic!("both ends are not asked for"),
    });
    let mut lines = Vec::new();
    write_conditions(&mut lines, ask, record);
    let text = String::from_utf8_lossy(&lines).into_owned();
    text.lines().for_each(|line| facts.push(format!("sends {line}")));
}

pub fn tell_record(facts: &mut Facts, record: &Record) {
    let counted_from_ms = if record.lifetime_from == LifetimeFrom::Force { record.came_ms } else { record.born_ms };
    facts.push(format!("lifetime {}", (record.fresh_until_ms - counted_from_ms) / 1000));
    facts.push(format!("from {}", record.lifetime_from.token()));
    facts.push(format!("initial-age {}", record.came_ms.saturating_sub(record.born_ms) / 1000));
    facts.push(format!("swr {}", (record.while_revalidate_until_ms - record.fresh_until_ms) / 1000));
    facts.push(format!("sie {}", (record.if_error_until_ms - record.fresh_until_ms) / 1000));
    let flags = [
        ("always-validate", record.always_validate),
        ("never-stale", record.never_stale),
        ("date-repaired", record.date_repaired),
    ];
    flags.iter().filter(|(_, set)| *set).for_each(|(name, _)| facts.push((*name).to_owned()));
    if let Some(part) = record.part {
        let whole = part.whole.map_or("*".to_owned(), |whole| whole.to_string());
        facts.push(format!("part {}-{}/{whole}", part.range.first, part.range.last));
    }
    assert!(record.holds(), "times are in order");
}

/// `status …` and `x-cache …`, as they would be sent to the client.
pub fn tell_status(facts: &mut Facts, decision: Decision, ttl_s: Option<i64>) {
    let is_hit = matches!(decision.what, What::Hit(_) | What::HitAndRevalidate(_));
    let report = Report {
        decision,
        ttl_s: ttl_s.filter(|_| is_hit),
        forwarded_status: facts.iter().any(|fact| fact == "freshened").then_some(304),
        stored: facts.iter().any(|fact| fact == "stored"),
        collapsed: false,
        key: None,
    };
    let mut out = Vec::new();
    write_cache_status(&mut out, b"mill", &report);
    facts.push(format!("status {}", String::from_utf8_lossy(&out).replace("; ", " ")));
    facts.push(format!("x-cache {}", x_cache(decision.what)));
}

/// `keeps LINE` for each line; `lacks NAME` is answered by `holds_fact`.
pub fn tell_head(facts: &mut Facts, head: &[u8]) {
    let text = String::from_utf8_lossy(head).into_owned();
    text.lines().filter(|line| !line.is_empty()).for_each(|line| facts.push(format!("keeps {line}")));
}

pub fn tell_tags(facts: &mut Facts, arrival: &Arrival<'_>) {
    tags_of(arrival.answered, arrival.policy, |tag| facts.push(format!("tag {}", tag.escape_ascii())));
    let invalidated = groups_invalidated(arrival);
    invalidated.iter().for_each(|group| facts.push(format!("invalidates-group {}", String::from_utf8_lossy(group))));
    groups_of(arrival.answered)
        .iter()
        .for_each(|group| facts.push(format!("group {}", String::from_utf8_lossy(group))));
}

/// Whether a fact of a vector holds.
#[must_use]
pub fn holds_fact(facts: &Facts, wanted: &str) -> bool {
    match wanted.strip_prefix("lacks ") {
        Some(name) => !facts.iter().any(|fact| fact.starts_with(&format!("keeps {name}:"))),
        None => match wanted.strip_prefix("not ") {
            Some(unwanted) => !facts.iter().any(|fact| fact == unwanted),
            None => facts.iter().any(|fact| fact == wanted),
        },
    }
}
