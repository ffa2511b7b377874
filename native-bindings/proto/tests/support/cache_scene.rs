//! A cache of nothing but the rules: it keeps what `proto::cache` says is to be kept, in maps, and tells what happened as
//! facts. The vectors play their conversations on it, and it shows how the parts are meant to be put together.

use super::cache_facts::{Facts, tell_ask, tell_decision, tell_head, tell_record, tell_status, tell_tags};
use proto::cache::directives::AnswerDirectives;
use proto::cache::groups::{groups_invalidated, groups_of};
use proto::cache::invalidation::named_targets;
use proto::cache::judge::{Decision, Found, Lookup, What, decide_request};
use proto::cache::judge_answer::{Keep, decide_answer, decide_failure, leaves_marker};
use proto::cache::key::{Target, write_key, write_target};
use proto::cache::message::{Answered, Arrival, Asked, Times};
use proto::cache::no_vary_search::SearchVariance;
use proto::cache::record::Record;
use proto::cache::request_directives::RequestDirectives;
use proto::cache::storable::write_stored_head;
use proto::cache::targeted::directives_for;
use proto::cache::update::{freshen, is_also_about};
use proto::cache::validation::{Ask, decide_ask, may_join};
use proto::cache::vary::{VarySet, VarySets};
use proto::http1::framing::{decide_answer as decide_framing, decide_request as decide_request_framing};
use proto::http1::head::{Method, Parsed, RequestHead, ResponseHead};
use proto::limits::HeadLimits;
use proto::plan::CachePolicy;
use proto::route::normalise_path;
use std::collections::HashMap;

/// One stored answer.
struct Entry {
    record: Record,
    head: Vec<u8>,
    groups: Vec<Vec<u8>>,
}

/// Everything stored under one primary key.
#[derive(Default)]
struct Stored {
    sets: VarySets,
    variants: HashMap<Vec<u8>, Entry>,
}

/// See the file.
#[derive(Default)]
pub struct Scene {
    pub policy: CachePolicy,
    stored: HashMap<Vec<u8>, Stored>,
    /// What answers for a path said of its queries.
    searches: HashMap<Vec<u8>, SearchVariance>,
}

/// One request and what the origin does with it.
#[derive(Default, Clone)]
pub struct Exchange {
    pub request: Vec<u8>,
    pub secure: bool,
    pub now_ms: u64,
    /// Between sending the request and the head of the answer.
    pub delay_ms: u64,
    pub origin_down: bool,
    /// No answer comes.
    pub origin_fails: bool,
    pub answer: Option<Vec<u8>>,
    /// The answer comes from another origin, by a rule that lets it be fresh no longer.
    pub lifetime_s_max: Option<u32>,
}

struct Asking<'a> {
    exchange: &'a Exchange,
    asked: Asked<'a>,
    path: &'a [u8],
    target: Option<Target<'a>>,
    key: Vec<u8>,
    /// The variant that was selected.
    variant: Option<Vec<u8>>,
    decision: Decision,
}

impl Scene {
    pub fn new(policy: CachePolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Plays one exchange.
    pub fn play(&mut self, exchange: &Exchange) -> Facts {
        let mut facts = Facts::new();
        let mut head = RequestHead::new();
        let parsed = head.parse(&exchange.request, &HeadLimits::default());
        assert_eq!(parsed, Ok(Parsed::Complete), "{}", exchange.request.escape_ascii());
        let framing = decide_request_framing(&exchange.request, &head).expect("framing");
        let asked = Asked { bytes: &exchange.request, head: &head };
        let mut path = Vec::new();
        normalise_path(head.path.of(asked.bytes), &mut path);
        let target = Target::of(asked, exchange.secure);
        let key = self.key_of(asked, target.as_ref());
        facts.push(format!("key {}", key.escape_ascii()));

        let lookup = Lookup {
            asked,
            path: &path,
            has_body: framing.body.follows(),
            upgrade: framing.upgrade,
            policy: &self.policy,
            origin_down: exchange.origin_down,
            now_ms: exchange.now_ms,
        };
        let stored = self.stored.get(&key);
        let variant = stored.and_then(|stored| select(stored, asked));
        let found = match (stored, &variant) {
            (None, _) => Found::Nothing,
            (Some(stored), Some(variant)) => Found::Record(&stored.variants[variant].record),
            (Some(stored), None) if stored.variants.is_empty() => Found::Nothing,
            (Some(_), None) => Found::OtherVariants,
        };
        let decision = decide_request(&lookup, found);
        tell_decision(&mut facts, decision);
        if let Found::Record(record) = found {
            facts.push(format!("age {}", record.age_s(exchange.now_ms)));
            facts.push(format!("ttl {}", record.ttl_s(exchange.now_ms)));
            if let What::Miss | What::Validate | What::HitAndRevalidate(_) = decision.what {
                tell_ask(
                    &mut facts,
                    decide_ask(asked, decision.what, decision.why, Some(record), &self.policy),
                    record,
                );
            }
        } else if decision.what == What::Miss {
            let ask = decide_ask(asked, decision.what, decision.why, None, &self.policy);
            facts.push(if ask == Ask::Whole { "asks whole" } else { "asks as-sent" }.to_owned());
        }
        let asking = Asking { exchange, asked, path: &path, target, key, variant, decision };
        let ttl_s = self.found(&asking).map(|entry| entry.record.ttl_s(exchange.now_ms));
        self.answer(&asking, &mut facts);
        tell_status(&mut facts, decision, ttl_s);
        facts
    }

    fn key_of(&self, asked: Asked<'_>, target: Option<&Target<'_>>) -> Vec<u8> {
        let mut key = Vec::new();
        let Some(target) = target else { return key };
        let mut bare = Vec::new();
        write_target(&Target { query: None, ..*target }, &self.policy.key, &mut bare);
        match self.searches.get(&bare).filter(|_| self.policy.no_vary_search) {
            Some(variance) => {
                write_key(&Target { query: None, ..*target }, asked, &self.policy.key, &mut key);
                key.push(b'?');
                variance.write_query(target.query.unwrap_or_default(), &mut key);
            }
            None => assert!(write_key(target, asked, &self.policy.key, &mut key)),
        }
        key
    }

    fn found(&self, asking: &Asking<'_>) -> Option<&Entry> {
        self.stored.get(&asking.key)?.variants.get(asking.variant.as_ref()?)
    }

    fn answer(&mut self, asking: &Asking<'_>, facts: &mut Facts) {
        let exchange = asking.exchange;
        if exchange.origin_fails {
            let wants = RequestDirectives::under(asking.asked.lines(), &self.policy);
            let verdict = self.found(asking).map(|entry| decide_failure(&entry.record, wants, exchange.now_ms));
            facts.push(match verdict {
                Some(Ok(why)) => format!("use-stored {}", why.token()),
                Some(Err(why)) => format!("fails {}", why.token()),
                None => "fails".to_owned(),
            });
        }
        let Some(bytes) = &exchange.answer else { return };
        assert!(!matches!(asking.decision.what, What::Hit(_) | What::GatewayTimeout), "a hit asks for no answer");
        let mut head = ResponseHead::new();
        assert_eq!(head.parse(bytes, &HeadLimits::default()), Ok(Parsed::Complete), "{}", bytes.escape_ascii());
        let framing = decide_framing(bytes, &head, asking.asked.head.method).expect("framing of the answer");
        let policy = self.policy.clone();
        let arrival = Arrival {
            asked: asking.asked,
            path: asking.path,
            answered: Answered { bytes, head: &head },
            framing: &framing,
            times: Times { asked_ms: exchange.now_ms, answered_ms: exchange.now_ms + exchange.delay_ms },
            policy: &policy,
            lifetime_s_max: exchange.lifetime_s_max,
        };
        let (said, _) = directives_for(arrival.answered.lines(), &policy);
        tell_tags(facts, &arrival);
        if asking.decision.what == What::Bypass && !matches!(asking.asked.head.method, Method::Get | Method::Head) {
            self.take_answer(asking, &arrival, &said, None, facts);
        } else if asking.decision.what != What::Bypass {
            let found = self.found(asking).map(|entry| entry.record.clone());
            self.take_answer(asking, &arrival, &said, found.as_ref(), facts);
        }
    }

    fn take_answer(
        &mut self,
        asking: &Asking<'_>,
        arrival: &Arrival<'_>,
        said: &AnswerDirectives,
        found: Option<&Record>,
        facts: &mut Facts,
    ) {
        let validating = matches!(asking.decision.what, What::Validate | What::HitAndRevalidate(_));
        let decision = decide_answer(arrival, found, validating);
        if decision.invalidates {
            self.invalidate(asking, arrival, facts);
        }
        let why = decision.why.token();
        if leaves_marker(decision.why) {
            facts.push("leaves-marker".to_owned());
        }
        match decision.keep {
            Keep::Store(record, vary) => self.store(asking, arrival, said, *record, vary, facts),
            Keep::Freshen => self.freshen(asking, arrival, facts),
            Keep::UseStored => facts.push(format!("use-stored {why}")),
            Keep::Expire => {
                let now_ms = arrival.times.answered_ms;
                if let Some(entry) = self.selected(asking) {
                    entry.record.expire(now_ms);
                }
                facts.push(format!("expired {why}"));
            }
            Keep::Forget => {
                self.stored.remove(&asking.key);
                facts.push(format!("forgotten {why}"));
            }
            Keep::AskAgain => facts.push(format!("ask-again {why}")),
            Keep::Nothing => facts.push(format!("nothing {why}")),
        }
    }

    fn selected(&mut self, asking: &Asking<'_>) -> Option<&mut Entry> {
        self.stored.get_mut(&asking.key)?.variants.get_mut(asking.variant.as_ref()?)
    }

    fn store(
        &mut self,
        asking: &Asking<'_>,
        arrival: &Arrival<'_>,
        said: &AnswerDirectives,
        mut record: Record,
        vary: VarySet,
        facts: &mut Facts,
    ) {
        facts.push("stored".to_owned());
        tell_record(facts, &record);
        let mut head = Vec::new();
        write_stored_head(arrival, said, &record, &mut head);
        tell_head(facts, &head);
        if let Some(joined) = self.found(asking).filter(|entry| may_join(&entry.record, &record)) {
            record.part = joined.record.part.zip(record.part).and_then(|(old, new)| old.joined(new));
            facts.push("joined".to_owned());
            if let Some(part) = record.part.filter(|part| part.is_whole()) {
                (record.part, record.length, record.status) = (None, part.whole, 200);
                facts.push("whole-now".to_owned());
            }
        }
        if self.policy.no_vary_search {
            let variance = SearchVariance::of(arrival.answered.lines());
            if let Some(target) = asking.target.filter(|_| !variance.is_default()) {
                let mut bare = Vec::new();
                write_target(&Target { query: None, ..target }, &self.policy.key, &mut bare);
                self.searches.insert(bare, variance);
            }
        }
        let key = self.key_of(asking.asked, asking.target.as_ref());
        let stored = self.stored.entry(key).or_default();
        let mut variant = Vec::new();
        vary.write_key(asking.asked, &mut variant);
        let names: Vec<_> = vary.names().map(|name| name.escape_ascii().to_string()).collect();
        facts.push(format!("varies {}", names.join(" ")).trim_end().to_owned());
        facts.push(format!("variant {}", variant.escape_ascii()));
        stored.sets.note(vary);
        let groups = if self.policy.groups { groups_of(arrival.answered) } else { Vec::new() };
        stored.variants.insert(variant, Entry { record, head, groups });
        facts.push(format!("variants {}", stored.variants.len()));
    }

    fn freshen(&mut self, asking: &Asking<'_>, arrival: &Arrival<'_>, facts: &mut Facts) {
        let selected = asking.variant.as_ref().expect("what is freshened is stored");
        let stored = self.stored.get_mut(&asking.key).expect("under its key");
        let is_304 = arrival.answered.head.status == 304;
        for (variant, entry) in &mut stored.variants {
            if variant != selected && !(is_304 && is_also_about(arrival, &entry.record)) {
                continue;
            }
            let mut stored_head = ResponseHead::new();
            assert_eq!(stored_head.parse(&entry.head, &HeadLimits::default()), Ok(Parsed::Complete));
            let stored = Answered { bytes: &entry.head, head: &stored_head };
            let mut merged = Vec::new();
            let Some(record) = freshen(arrival, stored, &entry.record, &mut merged) else { continue };
            (entry.record, entry.head) = (record, merged);
            if variant == selected {
                facts.push("freshened".to_owned());
                tell_record(facts, &entry.record);
                tell_head(facts, &entry.head);
            }
        }
    }

    /// Expires what is stored for the target, for the targets the answer names, and for its groups.
    fn invalidate(&mut self, asking: &Asking<'_>, arrival: &Arrival<'_>, facts: &mut Facts) {
        facts.push("invalidates".to_owned());
        let Some(target) = asking.target else { return };
        let mut own = Vec::new();
        write_target(&target, &self.policy.key, &mut own);
        let mut keys = vec![own];
        let policy = self.policy.key.clone();
        named_targets(&target, arrival.answered, |path, query| {
            let mut key = Vec::new();
            write_target(&Target { path, query, ..target }, &policy, &mut key);
            facts.push(format!("invalidates {}", key.escape_ascii()));
            keys.push(key);
        });
        let groups = groups_invalidated(arrival);
        let mut origin = Vec::new();
        write_target(&Target { path: b"/", query: None, ..target }, &self.policy.key, &mut origin);
        for (key, stored) in &mut self.stored {
            let named = keys.iter().any(|wanted| key.split(|&b| b == b'\n').next() == Some(wanted));
            for entry in stored.variants.values_mut() {
                let grouped = key.starts_with(&origin) && entry.groups.iter().any(|group| groups.contains(group));
                if named || grouped {
                    entry.record.expire(arrival.times.answered_ms);
                }
            }
        }
    }
}

/// The variant a request selects: of several that fit the one that came last (RFC 9111 4).
fn select(stored: &Stored, asked: Asked<'_>) -> Option<Vec<u8>> {
    let mut keys = stored.sets.iter().map(|set| {
        let mut key = Vec::new();
        set.write_key(asked, &mut key);
        key
    });
    let mut best: Option<(u64, Vec<u8>)> = None;
    for key in &mut keys {
        let Some(entry) = stored.variants.get(&key) else { continue };
        if best.as_ref().is_none_or(|(came_ms, _)| entry.record.came_ms > *came_ms) {
            best = Some((entry.record.came_ms, key));
        }
    }
    best.map(|(_, key)| key)
}
