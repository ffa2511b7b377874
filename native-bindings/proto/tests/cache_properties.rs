//! What holds for every request, answer and record, tried on seeded random ones. A failure names its seed.

mod support;

use proto::cache::groups::{GROUPS_MAX, groups_of};
use proto::cache::judge::{Found, Lookup, What, decide_request};
use proto::cache::judge_answer::{Keep, decide_answer};
use proto::cache::message::{Answered, Arrival, Asked, Times};
use proto::cache::no_vary_search::SearchVariance;
use proto::cache::record::Record;
use proto::cache::structured::{parse_dictionary, parse_list};
use proto::cache::tags::{TAG_BYTES_MAX, TAGS_MAX, tags_of};
use proto::cache::vary::{VARY_SETS_MAX, VarySet, VarySets};
use proto::cache::why::Why;
use proto::http1::framing::{AnswerFraming, decide_answer as decide_framing};
use proto::http1::head::{Method, Parsed, RequestHead, ResponseHead};
use proto::limits::HeadLimits;
use proto::plan::CachePolicy;
use support::Dice;
use support::cache_script::BASE_S;

const SEEDS: u64 = 4_000;
const NOW_MS: u64 = BASE_S * 1000;

/// Pieces that directives are made of, right and wrong.
const DIRECTIVES: &[&str] = &[
    "max-age=60",
    "max-age=0",
    "max-age=4000000000",
    "max-age=x",
    "s-maxage=30",
    "no-cache",
    "no-store",
    "private",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "immutable",
    "stale-while-revalidate=20",
    "stale-if-error=40",
    "min-fresh=10",
    "max-stale=15",
    "max-stale",
    "only-if-cached",
    "no-cache=\"x-a\"",
    "private=\"set-cookie",
    "x=\"a, b\"",
    "=",
    "\"",
    ",",
];
const DATES: &[&str] = &[
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:48:37 GMT",
    "Sun, 06 Nov 1994 08:51:37 GMT",
    "Sunday, 06-Nov-94 08:50:00 GMT",
    "Sun Nov  6 08:49:00 1994",
    "0",
    "",
    "Fri, 31 Dec 9999 23:59:59 GMT",
];
const TAGS: &[&str] = &["\"1\"", "W/\"1\"", "\"2\"", "*", "1", "\"1\", \"2\"", ""];
const RANGES: &[&str] = &["bytes=0-4", "bytes=5-", "bytes=-3", "bytes=0-0,9-9", "bytes=99-", "x", "bytes=4-1"];

fn directives(dice: &mut Dice) -> String {
    let some: Vec<&str> = (0..dice.below(4)).map(|_| dice.pick(DIRECTIVES)).collect();
    some.join(", ")
}

fn any_request(dice: &mut Dice) -> Vec<u8> {
    let method = dice.pick(&["GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "BREW"]);
    let mut text = format!("{method} /a?b=c HTTP/1.1\r\nHost: a.example\r\n");
    for _ in 0..dice.below(5) {
        let line = match dice.below(9) {
            0 => format!("Cache-Control: {}", directives(dice)),
            1 => format!("If-None-Match: {}", dice.pick(TAGS)),
            2 => format!("If-Modified-Since: {}", dice.pick(DATES)),
            3 => format!("If-Match: {}", dice.pick(TAGS)),
            4 => format!("If-Range: {}", dice.pick(TAGS)),
            5 => format!("Range: {}", dice.pick(RANGES)),
            6 => format!("If-Unmodified-Since: {}", dice.pick(DATES)),
            7 => "Authorization: Basic x".to_owned(),
            _ => "Pragma: no-cache".to_owned(),
        };
        text.push_str(&format!("{line}\r\n"));
    }
    format!("{text}\r\n").into_bytes()
}

fn any_answer(dice: &mut Dice) -> Vec<u8> {
    let status = dice.pick(&["200", "200", "200", "206", "304", "404", "500", "302", "299"]);
    let mut text = format!("HTTP/1.1 {status} X\r\n");
    for _ in 0..dice.below(7) {
        let line = match dice.below(11) {
            0..=2 => format!("Cache-Control: {}", directives(dice)),
            3 => format!("Expires: {}", dice.pick(DATES)),
            4 => format!("Date: {}", dice.pick(DATES)),
            5 => format!("Age: {}", dice.pick(&["0", "50", "7200", "-1", "99999999999", "x"])),
            6 => format!("ETag: {}", dice.pick(TAGS)),
            7 => format!("Last-Modified: {}", dice.pick(DATES)),
            8 => format!("Vary: {}", dice.pick(&["Foo", "Accept-Encoding", "*", "a b", "", "Foo, Bar"])),
            9 => format!("CDN-Cache-Control: {}", directives(dice)),
            _ => format!("Content-Range: {}", dice.pick(&["bytes 0-4/10", "bytes 5-9/10", "bytes 0-4/*", "x"])),
        };
        text.push_str(&format!("{line}\r\n"));
    }
    format!("{text}\r\n").into_bytes()
}

fn request_head(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete), "{}", bytes.escape_ascii());
    head
}

fn answer_head(bytes: &[u8]) -> (ResponseHead, AnswerFraming) {
    let mut head = ResponseHead::new();
    assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete), "{}", bytes.escape_ascii());
    let framing = decide_framing(bytes, &head, Method::Get).expect("framing");
    (head, framing)
}

/// The record of an answer to a plain GET, if it is stored.
fn stored(answer: &[u8], policy: &CachePolicy) -> Option<Record> {
    let request = b"GET /a?b=c HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let head = request_head(request);
    let (answer_head, framing) = answer_head(answer);
    let arrival = Arrival {
        asked: Asked { bytes: request, head: &head },
        path: b"/a",
        answered: Answered { bytes: answer, head: &answer_head },
        framing: &framing,
        times: Times { asked_ms: NOW_MS, answered_ms: NOW_MS + 500 },
        policy,
        lifetime_s_max: None,
    };
    match decide_answer(&arrival, None, false).keep {
        Keep::Store(record, _) => Some(*record),
        _ => None,
    }
}

fn policy(dice: &mut Dice) -> CachePolicy {
    let mut policy = CachePolicy::default();
    policy.grace.while_revalidate_s = dice.below(2) as u32 * 10;
    policy.grace.if_error_s = dice.below(2) as u32 * 100;
    policy
}

fn judged(request: &[u8], record: &Record, policy: &CachePolicy, now_ms: u64, origin_down: bool) -> (What, Why) {
    let head = request_head(request);
    let asked = Asked { bytes: request, head: &head };
    let lookup = Lookup { asked, path: b"/a", has_body: false, upgrade: false, policy, origin_down, now_ms };
    let decision = decide_request(&lookup, Found::Record(record));
    (decision.what, decision.why)
}

const fn is_hit(what: What) -> bool {
    matches!(what, What::Hit(_) | What::HitAndRevalidate(_))
}

#[test]
fn a_record_is_never_used_beyond_its_times() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let policy = policy(&mut dice);
        let Some(record) = stored(&any_answer(&mut dice), &policy) else { continue };
        let request = any_request(&mut dice);
        for _ in 0..20 {
            let now_ms = NOW_MS + dice.roll() % 300_000;
            let down = dice.one_in(3);
            let (what, why) = judged(&request, &record, &policy, now_ms, down);
            if !is_hit(what) {
                continue;
            }
            let allowed = match why {
                Why::Fresh => now_ms < record.fresh_until_ms,
                Why::WhileRevalidating => now_ms < record.while_revalidate_until_ms,
                Why::OriginDown => down && now_ms < record.if_error_until_ms,
                Why::ClientMaxStale => !record.never_stale,
                other => panic!("seed {seed}: {other:?} is no reason for a hit"),
            };
            assert!(allowed && !record.always_validate, "seed {seed}: {why:?} at {now_ms} with {record:?}");
        }
    }
}

#[test]
fn what_is_not_fresh_does_not_become_fresh_by_waiting() {
    const PLAIN: &[u8] = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let policy = policy(&mut dice);
        let Some(record) = stored(&any_answer(&mut dice), &policy) else { continue };
        assert!(record.holds(), "seed {seed}: {record:?}");
        let (mut before, mut age_s) = (true, 0);
        for step in 0..60 {
            let now_ms = NOW_MS + 500 + step * 7_000;
            let hit = is_hit(judged(PLAIN, &record, &policy, now_ms, false).0);
            assert!(before || !hit, "seed {seed}: used again at step {step}: {record:?}");
            assert!(record.age_s(now_ms) >= age_s, "seed {seed}: grew younger at step {step}");
            (before, age_s) = (hit, record.age_s(now_ms));
        }
    }
}

#[test]
fn a_longer_lifetime_is_never_fresh_for_less() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let (short, long) = (dice.below(1_000), 1_000 + dice.below(1_000));
        let age = dice.below(1_500);
        let policy = CachePolicy::default();
        let record = |max_age: usize| {
            let text =
                format!("HTTP/1.1 200 OK\r\nCache-Control: max-age={max_age}\r\nETag: \"1\"\r\nAge: {age}\r\n\r\n");
            stored(text.as_bytes(), &policy).expect("an answer that can be validated is stored")
        };
        assert!(record(short).fresh_until_ms <= record(long).fresh_until_ms, "seed {seed}");
        assert_eq!(record(short).born_ms, record(long).born_ms, "seed {seed}");
    }
}

#[test]
fn what_the_answer_forbids_is_never_stored() {
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let mut answer = any_answer(&mut dice);
        // Nothing that speaks in its place, and nothing that lifts it.
        let text = String::from_utf8(answer.clone()).expect("ASCII");
        if text.contains("CDN-Cache-Control") || text.contains("must-understand") {
            continue;
        }
        let forbids = dice.pick(&["no-store", "private", "No-Store=1", "private=\"", "no-store;x"]);
        answer.truncate(answer.len() - 2);
        answer.extend_from_slice(format!("Cache-Control: {forbids}\r\n\r\n").as_bytes());
        assert_eq!(stored(&answer, &CachePolicy::default()), None, "seed {seed}: {text}");
    }
}

#[test]
fn no_bytes_make_a_reader_panic() {
    for seed in 0..SEEDS * 5 {
        let mut dice = Dice::new(seed);
        let len = dice.below(40);
        let noise: Vec<u8> = match dice.one_in(2) {
            true => dice.bytes(len),
            false => (0..len).map(|_| b"ab1,;=\"\\()?@%:-./ \t*W"[dice.below(21)]).collect(),
        };
        let _ = parse_dictionary(&noise, |_, _| ());
        let _ = parse_list(&noise, |_| ());
        let _ = proto::cache::dates::parse_http_date(&noise, BASE_S);
        let _ = proto::cache::range::decide_ranges(&noise, dice.roll());
        let _ = proto::cache::validator::entity_tags(&noise).count();
    }
}

#[test]
fn the_order_and_spelling_of_vary_select_the_same_variant() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nFoo: 1\r\nAccept-Encoding: br , gzip;q=0.5\r\n\r\n";
    let head = request_head(request);
    let asked = Asked { bytes: request, head: &head };
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let names: Vec<&str> =
            (0..dice.below(6)).map(|_| dice.pick(&["Foo", "bar", "Accept-Encoding", "X-Y"])).collect();
        let mut other = names.clone();
        other.sort_by_key(|name| std::cmp::Reverse(*name));
        let spelled = other.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>().join(" ,, ");
        let (set, same) = (vary_set(&names.join(",")), vary_set(&spelled));
        let key = |set: &VarySet| {
            let mut key = Vec::new();
            set.write_key(asked, &mut key);
            key
        };
        assert_eq!(key(&set), key(&same), "seed {seed}: {names:?}");
        let mut sets = VarySets::default();
        sets.note(set);
        sets.note(same);
        assert_eq!(sets.iter().count(), 1, "seed {seed}: one set, told twice");
    }
}

#[test]
fn a_target_keeps_the_sets_it_was_answered_with_last_and_no_more() {
    let mut sets = VarySets::default();
    let dropped: Vec<_> = (0..9).filter_map(|n| sets.note(vary_set(&format!("X-{n}")))).collect();
    assert_eq!(sets.iter().count(), VARY_SETS_MAX);
    assert_eq!(dropped.len(), 9 - VARY_SETS_MAX);
    assert_eq!(sets.iter().next(), Some(&vary_set("x-8")));
    sets.note(vary_set("X-6"));
    assert_eq!(sets.iter().next(), Some(&vary_set("x-6")));
    assert_eq!(sets.iter().count(), VARY_SETS_MAX);
}

fn vary_set(names: &str) -> VarySet {
    let bytes = format!("HTTP/1.1 200 OK\r\nVary: {names}\r\n\r\n").into_bytes();
    let (head, _) = answer_head(&bytes);
    VarySet::of(Answered { bytes: &bytes, head: &head }.lines()).expect("names")
}

#[test]
fn what_an_answer_can_make_us_keep_is_bounded() {
    let many = |name: &str, word: &str, between: &str| {
        let words: Vec<String> = (0..1_000).map(|n| word.replace('N', &n.to_string())).collect();
        format!("HTTP/1.1 200 OK\r\n{name}: {}\r\n\r\n", words.join(between)).into_bytes()
    };
    let count_tags = |bytes: &[u8]| {
        let mut count = 0;
        let (head, _) = answer_head(bytes);
        tags_of(Answered { bytes, head: &head }, &CachePolicy::default(), |_| count += 1);
        count
    };
    assert_eq!(count_tags(&many("Cache-Tag", "tN", ",")), TAGS_MAX);
    assert_eq!(count_tags(&many("Surrogate-Key", "tN", " ")), TAGS_MAX);
    let long = format!("HTTP/1.1 200 OK\r\nCache-Tag: a,{}\r\n\r\n", "x".repeat(TAG_BYTES_MAX + 1));
    assert_eq!(count_tags(long.as_bytes()), 1);

    let bytes = many("Cache-Groups", "\"gN\"", ", ");
    let (head, _) = answer_head(&bytes);
    assert_eq!(groups_of(Answered { bytes: &bytes, head: &head }).len(), GROUPS_MAX);

    let bytes = format!("HTTP/1.1 200 OK\r\nNo-Vary-Search: params=({})\r\n\r\n", "\"x\" ".repeat(65)).into_bytes();
    let (head, _) = answer_head(&bytes);
    assert!(SearchVariance::of(Answered { bytes: &bytes, head: &head }.lines()).is_default());
}
