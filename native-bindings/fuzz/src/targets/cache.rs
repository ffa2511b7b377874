//! The cache: a request, the answer to it, and a second answer that comes when the first is validated. The first four
//! bytes choose the policy, the times and how long the answer is kept; then come three heads, one after another.

use crate::reader::Reader;
use proto::cache::cache_status::{Report, write_cache_status};
use proto::cache::conditional::Serve;
use proto::cache::explain::explain;
use proto::cache::judge::{Decision, Found, Lookup, What, decide_request};
use proto::cache::judge_answer::{Keep, decide_answer};
use proto::cache::key::{Target, write_target};
use proto::cache::message::{Answered, Arrival, Asked, Times};
use proto::cache::record::Record;
use proto::cache::storable::write_stored_head;
use proto::cache::structured::parse_list;
use proto::cache::targeted::directives_for;
use proto::cache::update::freshen;
use proto::cache::validation::{decide_ask, write_conditions};
use proto::cache::why::Why;
use proto::http1::fields::FieldKind;
use proto::http1::framing::{AnswerFraming, decide_answer as decide_framing};
use proto::http1::head::{Parsed, RequestHead, ResponseHead};
use proto::limits::HeadLimits;
use proto::plan::{CachePolicy, ClientDirectives, PartialUse, SetCookieUse};

/// Sunday, 6 November 1994, in ms: the day the words speak of.
const NOW_MS: u64 = 784_111_777_000;

pub fn run(input: &[u8]) {
    let mut reader = Reader::new(input);
    let policy = policy(reader.byte());
    let (delay, wait, down) = (reader.byte(), reader.byte(), reader.flag());
    let rest = reader.rest();
    let mut head = RequestHead::new();
    if head.parse(rest, &HeadLimits::default()) != Ok(Parsed::Complete) {
        return;
    }
    let (request, rest) = rest.split_at(head.len);
    let asked = Asked { bytes: request, head: &head };
    keys_hold(asked, &policy);
    let Some((first, first_framing)) = answer_head(rest, &head) else { return };
    let (answer, rest) = rest.split_at(first.len);
    let answered_ms = NOW_MS + u64::from(delay) * 100;
    let arrival = Arrival {
        asked,
        path: b"/a",
        answered: Answered { bytes: answer, head: &first },
        framing: &first_framing,
        times: Times { asked_ms: NOW_MS, answered_ms },
        policy: &policy,
        lifetime_s_max: None,
    };
    let decision = decide_answer(&arrival, None, false);
    let Keep::Store(record, _) = decision.keep else { return };
    assert!(!plainly_forbidden(&arrival), "stored what says that it must not be");
    assert!(record.holds(), "times are out of order: {record:?}");
    assert!(record.born_ms <= answered_ms, "made after it came");
    let mut stored = Vec::new();
    let (said, _) = directives_for(arrival.answered.lines(), &policy);
    write_stored_head(&arrival, &said, &record, &mut stored);
    let now_ms = answered_ms + u64::from(wait) * 1_000;
    let found = asked_again(asked, &record, &policy, down, now_ms);
    let Some((second, second_framing)) = answer_head(rest, &head) else { return };
    if matches!(found.what, What::Validate | What::HitAndRevalidate(_)) {
        let arrival = Arrival {
            answered: Answered { bytes: &rest[..second.len], head: &second },
            framing: &second_framing,
            times: Times { asked_ms: now_ms, answered_ms: now_ms + u64::from(delay) * 100 },
            ..arrival
        };
        renewed(&arrival, &stored, &record);
    }
}

fn policy(choice: u8) -> CachePolicy {
    let mut policy = CachePolicy::default();
    policy.grace.if_error_s = u32::from(choice & 1) * 60;
    policy.grace.while_revalidate_s = u32::from(choice >> 1 & 1) * 30;
    policy.surrogate_control = choice & 4 != 0;
    policy.client_directives = if choice & 8 != 0 { ClientDirectives::Ignore } else { ClientDirectives::Honour };
    policy.set_cookie = if choice & 16 != 0 { SetCookieUse::Strip } else { SetCookieUse::Explicit };
    policy.partial = if choice & 32 != 0 { PartialUse::Fill } else { PartialUse::Store };
    policy.key.sort_query = choice & 64 != 0;
    policy.key.fold_path_case = choice & 128 != 0;
    policy
}

fn answer_head(bytes: &[u8], request: &RequestHead) -> Option<(ResponseHead, AnswerFraming)> {
    let mut head = ResponseHead::new();
    if head.parse(bytes, &HeadLimits::default()) != Ok(Parsed::Complete) {
        return None;
    }
    let framing = decide_framing(bytes, &head, request.method).ok()?;
    Some((head, framing))
}

/// A key is made of what the target says, and making it does not depend on what was in the vector.
fn keys_hold(asked: Asked<'_>, policy: &CachePolicy) {
    let Some(target) = Target::of(asked, false) else { return };
    let mut key = Vec::new();
    if !write_target(&target, &policy.key, &mut key) {
        return;
    }
    assert!(key.starts_with(b"http://") && !key.contains(&b'\n'), "{}", key.escape_ascii());
    let slash = key[7..].iter().position(|b| *b == b'/').map_or(key.len(), |at| at + 7);
    let host = &key[7..slash];
    assert!(!host.iter().any(u8::is_ascii_uppercase) && !host.ends_with(b":80"), "{}", key.escape_ascii());
    // The key's own host and path are their own key: what is normal stays as it is.
    let end = key.iter().position(|b| *b == b'?').unwrap_or(key.len());
    let again =
        Target { host, path: &key[slash..end], query: key.get(end + 1..).filter(|_| end < key.len()), ..target };
    let mut second = Vec::new();
    assert!(write_target(&again, &policy.key, &mut second));
    assert_eq!(second, key, "normalising twice changes it");
}

/// What any reader sees who knows nothing of quotes: a line without any that has the word as an item.
fn plainly_forbidden(arrival: &Arrival<'_>) -> bool {
    let lines = arrival.answered.lines();
    let speaks = |name: &[u8]| lines.named(name).next().is_some();
    if speaks(b"CDN-Cache-Control") || (arrival.policy.surrogate_control && speaks(b"Surrogate-Control")) {
        return false;
    }
    let has = |word: &[u8]| {
        let plain = lines.values(FieldKind::CacheControl).filter(|line| !line.contains(&b'"'));
        let mut items = plain.flat_map(|line| line.split(|b| *b == b','));
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
    };
    // That word lifts no-store for statuses that are understood, wherever it stands.
    let lifts = |line: &[u8]| line.to_ascii_lowercase().windows(15).any(|word| word == b"must-understand");
    has(b"private") || (has(b"no-store") && !lines.values(FieldKind::CacheControl).any(lifts))
}

/// The same request again: a hit is within the record's times, and what is served exists.
fn asked_again(asked: Asked<'_>, record: &Record, policy: &CachePolicy, down: bool, now_ms: u64) -> Decision {
    let lookup = Lookup { asked, path: b"/a", has_body: false, upgrade: false, policy, origin_down: down, now_ms };
    let found = Found::Record(record);
    let decision = decide_request(&lookup, found);
    assert_eq!(explain(&lookup, found, b"key").0, decision, "explain says something else");
    if let What::Hit(serve) | What::HitAndRevalidate(serve) = decision.what {
        let allowed = match decision.why {
            Why::Fresh => now_ms < record.fresh_until_ms,
            Why::WhileRevalidating => now_ms < record.while_revalidate_until_ms,
            Why::OriginDown => down && now_ms < record.if_error_until_ms,
            Why::ClientMaxStale => !record.never_stale,
            _ => false,
        };
        assert!(allowed && !record.always_validate, "used beyond its times: {record:?}");
        serve_holds(serve, record);
    }
    let ask = decide_ask(asked, decision.what, decision.why, Some(record), policy);
    let mut lines = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    write_conditions(&mut lines, ask, record);
    lines.extend_from_slice(b"\r\n");
    assert_eq!(
        RequestHead::new().parse(&lines, &HeadLimits::default()),
        Ok(Parsed::Complete),
        "conditions are no fields"
    );
    let mut status = Vec::new();
    let report = Report {
        decision,
        ttl_s: Some(record.ttl_s(now_ms)),
        forwarded_status: None,
        stored: true,
        collapsed: false,
        key: Some(&record.etag),
    };
    write_cache_status(&mut status, b"mill", &report);
    assert!(parse_list(&status, |_| ()).is_ok(), "Cache-Status is no list: {}", status.escape_ascii());
    decision
}

fn serve_holds(serve: Serve, record: &Record) {
    match serve {
        Serve::Whole | Serve::NotModified | Serve::Unsatisfiable => {
            assert!(record.part.is_none() || serve != Serve::Whole)
        }
        Serve::OfPart(range) => {
            let held = record.part.expect("a part").range;
            assert!(held.first <= range.first && range.first <= range.last && range.last <= held.last);
        }
        Serve::Ranges(ranges) => {
            let length = record.length.expect("a length");
            let sum: u64 = ranges.as_slice().iter().map(|range| range.len()).sum();
            assert!(sum <= length && !ranges.as_slice().is_empty());
            assert!(ranges.as_slice().iter().all(|range| range.first <= range.last && range.last < length));
        }
    }
}

/// A stored head with the fields of a 304 in it is a head, and the new record is no younger than the moment it came.
fn renewed(arrival: &Arrival<'_>, stored: &[u8], record: &Record) {
    let mut stored_head = ResponseHead::new();
    if stored_head.parse(stored, &HeadLimits::default()) != Ok(Parsed::Complete) {
        return;
    }
    if decide_answer(arrival, Some(record), true).keep != Keep::Freshen {
        return;
    }
    let mut merged = Vec::new();
    let old = Answered { bytes: stored, head: &stored_head };
    let Some(renewed) = freshen(arrival, old, record, &mut merged) else { return };
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(&merged, &HeadLimits::default()), Ok(Parsed::Complete), "{}", merged.escape_ascii());
    assert_eq!(head.status, stored_head.status, "a 304 changed the status");
    assert!(renewed.holds() && renewed.born_ms <= arrival.times.answered_ms);
    assert_eq!((renewed.length, renewed.part), (record.length, record.part), "a 304 changed what is stored");
    assert!(!head.kinds.has(FieldKind::Connection) && !head.kinds.has(FieldKind::Age));
}
