//! What an origin's answer does to what is stored, and what its client gets for it. The rules are `proto::cache`'s; here
//! they are done.

use crate::cached::fill::parse_stored;
use crate::cached::side::{Found, judged};
use crate::hot::{Entry, NewEntry, Purge, Wanted};
use crate::io::Io;
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use proto::cache::conditional::{Serve, decide_serve};
use proto::cache::groups::{groups_invalidated, groups_of};
use proto::cache::invalidation::named_targets;
use proto::cache::judge::{Decision, What};
use proto::cache::judge_answer::{AnswerDecision, Keep, decide_answer, decide_failure, leaves_marker};
use proto::cache::key::{Target, write_extras, write_target};
use proto::cache::message::{Answered, Arrival, Asked, Times};
use proto::cache::no_vary_search::SearchVariance;
use proto::cache::record::Record;
use proto::cache::storable::write_stored_head;
use proto::cache::tags::tags_of;
use proto::cache::targeted::directives_for;
use proto::cache::update::{freshen, is_also_about};
use proto::cache::validation::{Ask, may_join};
use proto::cache::vary::VarySet;
use proto::cache::why::Why;
use proto::http1::fields::FieldKind;
use proto::http1::framing::AnswerFraming;
use proto::http1::head::ResponseHead;
use std::rc::Rc;
use std::sync::Arc;

/// How long nobody waits for answers to what was found not to be storable.
const MARKER_MS: u64 = 10_000;

/// An answer that is kept, but for its content.
pub(crate) struct Kept {
    pub record: Box<Record>,
    pub vary: VarySet,
    pub variant: Box<[u8]>,
    pub head: Box<[u8]>,
    pub tags: Box<[Box<[u8]>]>,
    /// Its client asked for a range of it, and the whole was asked for in its place.
    pub recut: bool,
}

/// What becomes of an answer.
pub(crate) enum Judged {
    /// Its client gets it, and that is all.
    Pass,
    Keep(Kept),
    /// Its client gets what is stored in its place, in this way.
    Instead(Serve),
    /// The origin is asked again.
    AskAgain,
}

impl<I: Io> Worker<I> {
    /// The final head of an answer on a caching route came, and no other attempt takes its place.
    pub(crate) fn judge_answer(
        &mut self,
        exchange: Key,
        head: &ResponseHead,
        bytes: &[u8],
        framing: &AnswerFraming,
    ) -> Judged {
        let Some(request) = self.take_head(exchange) else { return Judged::Pass };
        let asked = Asked { bytes: &request.1, head: &request.0 };
        let judged = self.judge_with(exchange, asked, Answered { bytes, head }, framing);
        self.put_head(exchange, request);
        judged.unwrap_or(Judged::Pass)
    }

    fn judge_with(
        &mut self,
        exchange: Key,
        asked: Asked<'_>,
        answered: Answered<'_>,
        framing: &AnswerFraming,
    ) -> Option<Judged> {
        let now_ms = self.log.unix_ms;
        let ongoing = self.exchanges.get_mut(exchange)?;
        let plan = Rc::clone(&ongoing.plan);
        let policy = plan.plan.routes[ongoing.route as usize].cache.as_ref()?;
        // An answer by another origin than the route's own does not outlive the trouble by much (S2-08).
        let rules = ongoing.policy().escalate.iter().filter(|rule| rule.origin == ongoing.origin_index);
        let lifetime_s_max = if ongoing.escalations > 0 { rules.map(|rule| rule.cache_s).min() } else { None };
        let side = ongoing.cached.as_mut()?;
        side.forwarded_status = Some(answered.head.status);
        if side.passes() && asked.head.method.is_safe() {
            return None;
        }
        let path = std::mem::take(&mut side.path);
        let arrival = Arrival {
            asked,
            path: &path,
            answered,
            framing,
            times: Times { asked_ms: if side.asked_ms == 0 { now_ms } else { side.asked_ms }, answered_ms: now_ms },
            policy,
            lifetime_s_max,
        };
        let found = side.found.clone();
        let record = found.as_ref().map(judged);
        let decision = decide_answer(&arrival, record.as_deref(), side.ask == Ask::Validate);
        if decision.invalidates {
            self.invalidate(exchange, &arrival);
        }
        let verdict = self.do_decision(exchange, &arrival, decision, found);
        if let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) {
            side.path = path;
        }
        verdict
    }

    fn do_decision(
        &mut self,
        exchange: Key,
        arrival: &Arrival<'_>,
        decision: AnswerDecision,
        found: Option<Found>,
    ) -> Option<Judged> {
        match decision.keep {
            Keep::Store(record, vary) => self.decide_to_keep(exchange, arrival, record, vary),
            Keep::Freshen => {
                let found = found?;
                // What still arrives is used once and stays as it is.
                let is_whole = found.entry.body.whole_content().is_some();
                let stamp = self.exchanges.get(exchange)?.cached.as_ref()?.stamp;
                let fresh = if is_whole { self.freshened(arrival, &found.entry, stamp) } else { None };
                if let Some(entry) = &fresh {
                    self.freshen_others(arrival, &found.entry, stamp);
                    let is_kept = self.host.hot.renew(&found.entry, entry);
                    self.entry_kept(exchange, entry, is_kept);
                }
                let now = fresh.map_or(found, |entry| Found { entry, soft_since_ms: None });
                self.use_stored(exchange, arrival, now, None)
            }
            Keep::UseStored => self.use_stored(exchange, arrival, found?, Some(decision.why)),
            Keep::Expire | Keep::Forget => {
                if let Some(found) = found {
                    self.host.hot.forget(&found.entry);
                    self.host.store.remove(&found.entry);
                }
                None
            }
            Keep::AskAgain => Some(Judged::AskAgain),
            Keep::Nothing => {
                if leaves_marker(decision.why) {
                    self.leave_marker(exchange, arrival.asked);
                }
                None
            }
        }
    }

    fn decide_to_keep(
        &mut self,
        exchange: Key,
        arrival: &Arrival<'_>,
        record: Box<Record>,
        vary: VarySet,
    ) -> Option<Judged> {
        if arrival.length().is_some_and(|length| length > self.host.hot.bytes_max() / 2) {
            self.leave_marker(exchange, arrival.asked);
            return None;
        }
        if self.exchanges.get(exchange)?.cached.as_ref()?.target.is_empty() {
            self.take_key(exchange, arrival)?;
        }
        if arrival.policy.no_vary_search {
            // It counts for this answer already.
            let mut side = self.exchanges.get_mut(exchange)?.cached.take()?;
            self.host.searches.note(&side.target, SearchVariance::of(arrival.answered.lines()));
            self.change_key(&mut side);
            self.exchanges.get_mut(exchange)?.cached = Some(side);
        }
        let side = self.exchanges.get_mut(exchange)?.cached.as_mut()?;
        let said = directives_for(arrival.answered.lines(), arrival.policy).0;
        let mut head = Vec::with_capacity(arrival.answered.head.len);
        write_stored_head(arrival, &said, &record, &mut head);
        let mut variant = Vec::new();
        vary.write_key(arrival.asked, &mut variant);
        side.stored = true;
        let joins = side.found.as_ref().filter(|found| may_join(&found.entry.record, &record));
        side.joins = joins.map(|found| Arc::clone(&found.entry));
        let recut = side.ask == Ask::Whole && arrival.asked.head.kinds.has(FieldKind::Range);
        let tags = tags(arrival, side.secure);
        Some(Judged::Keep(Kept { record, vary, variant: variant.into(), head: head.into(), tags, recut }))
    }

    /// The answer to a method that is not answered from here, about what is: POST, which says what GET would get. It comes
    /// in place of all that its request made invalid.
    fn take_key(&mut self, exchange: Key, arrival: &Arrival<'_>) -> Option<()> {
        let ongoing = self.exchanges.get_mut(exchange)?;
        if !ongoing.core.upload_done() {
            return None;
        }
        let side = ongoing.cached.as_mut()?;
        let target = Target::of(arrival.asked, side.secure)?;
        let mut key = Vec::new();
        write_target(&target, &arrival.policy.key, &mut key).then_some(())?;
        let mut extras = Vec::new();
        write_extras(arrival.asked, &arrival.policy.key, &mut extras);
        side.place = self.host.hot.place(&key);
        (side.target, side.extras) = (key.into(), extras.into());
        (side.stamp, side.asked_ms) = (self.host.hot.stamp(self.log.unix_ms * 1000), self.log.unix_ms);
        Some(())
    }

    /// The stored answer with the fields of the new one; `None` where they cannot be put together.
    fn freshened(&self, arrival: &Arrival<'_>, entry: &Arc<Entry>, stamp: u64) -> Option<Arc<Entry>> {
        let mut head = Vec::new();
        let stored = Answered { bytes: &entry.head, head: &entry.parsed };
        let record = freshen(arrival, stored, &entry.record, &mut head)?;
        let parsed = parse_stored(&head)?;
        let renewed = NewEntry {
            parsed,
            place: entry.place,
            target: entry.target.clone(),
            extras: entry.extras.clone(),
            vary: entry.vary.clone(),
            variant: entry.variant.clone(),
            record,
            head: head.into(),
            body: Arc::clone(&entry.body),
            tags: entry.tags.clone(),
            tag_names: entry.tag_names.clone(),
            stamp,
        };
        Some(Entry::new(renewed))
    }

    /// RFC 9111 4.3.4: a strong validator speaks of all stored answers that have it.
    fn freshen_others(&mut self, arrival: &Arrival<'_>, entry: &Arc<Entry>, stamp: u64) {
        if entry.vary.is_empty() {
            return;
        }
        for other in self.host.hot.variants_of(&entry.target) {
            if !Arc::ptr_eq(&other, entry) && is_also_about(arrival, &other.record) {
                if let Some(fresh) = self.freshened(arrival, &other, stamp) {
                    if self.host.hot.renew(&other, &fresh) {
                        self.host.store.put(&fresh);
                    }
                }
            }
        }
    }

    /// The client gets what is stored.
    fn use_stored(&mut self, exchange: Key, arrival: &Arrival<'_>, found: Found, why: Option<Why>) -> Option<Judged> {
        let served = decide_serve(arrival.asked, &found.entry.record, arrival.times.answered_ms);
        let side = self.exchanges.get_mut(exchange)?.cached.as_mut()?;
        let Ok(serve) = served else {
            // It is of no use to this request, whatever comes next.
            (side.found, side.ask) = (None, Ask::AsSent);
            return if why == Some(Why::IfError) { None } else { Some(Judged::AskAgain) };
        };
        side.found = Some(found);
        if let Some(why) = why {
            side.decision = Decision { what: What::Hit(serve), why };
        }
        Some(Judged::Instead(serve))
    }

    pub(crate) fn leave_marker(&mut self, exchange: Key, asked: Asked<'_>) {
        let now_ms = self.log.unix_ms;
        let Some(side) = self.exchanges.get(exchange).and_then(|o| o.cached.as_ref()) else { return };
        if side.target.is_empty() {
            return;
        }
        let wanted = Wanted { place: side.place, target: &side.target, extras: &side.extras, asked };
        self.host.hot.mark_uncacheable(&wanted, now_ms, now_ms + MARKER_MS);
    }

    /// RFC 9111 4.4: what is stored for the target of an unsafe method, and for what its answer names, is gone.
    fn invalidate(&mut self, exchange: Key, arrival: &Arrival<'_>) {
        let Some(side) = self.exchanges.get(exchange).and_then(|o| o.cached.as_ref()) else { return };
        let secure = side.secure;
        let Some(target) = Target::of(arrival.asked, secure) else { return };
        let stamp = self.host.hot.stamp(arrival.times.answered_ms * 1000);
        let gone = |target: &Target<'_>| {
            let mut key = Vec::new();
            if write_target(target, &arrival.policy.key, &mut key) {
                if arrival.policy.no_vary_search {
                    self.host.searches.apply(&mut key);
                }
                self.host.hot.invalidate(&key, stamp);
                self.host.store.remove_target(&key, stamp);
            }
        };
        gone(&target);
        named_targets(&target, arrival.answered, |path, query| gone(&Target { path, query, ..target }));
        for group in groups_invalidated(arrival) {
            let tag = group_tag(&target, &group);
            self.host.hot.purge(&Purge::Tag(tag.clone()), false, stamp, arrival.times.answered_ms);
            self.host.store.remove_tag(&tag, stamp);
        }
        self.row.one(Counter::CacheInvalidations);
    }

    /// No answer came. Whether the client gets a stored one all the same (RFC 5861 4, S2-10); then it has it.
    pub(crate) fn answer_stale(&mut self, exchange: Key) -> bool {
        let Some(found) = self.found_by(exchange) else { return false };
        let now_ms = self.log.unix_ms;
        let Some(request) = self.take_head(exchange) else { return false };
        let asked = Asked { bytes: &request.1, head: &request.0 };
        let record = judged(&found);
        let served = decide_serve(asked, &record, now_ms);
        self.put_head(exchange, request);
        let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) else { return false };
        match (decide_failure(&record, side.wants, now_ms), served) {
            (Ok(why), Ok(serve)) => {
                side.decision = Decision { what: What::Hit(serve), why };
                self.serve(exchange, &serve);
                true
            }
            _ => false,
        }
    }

    /// Whether a failure is to be told as 504, because what is stored must not be used unasked (RFC 9111 5.2.2.2).
    pub(crate) fn must_revalidate(&self, exchange: Key) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange) else { return false };
        let Some(side) = ongoing.cached.as_ref() else { return false };
        let Some(found) = &side.found else { return false };
        decide_failure(&judged(found), side.wants, self.log.unix_ms) == Err(Why::MustRevalidate)
    }
}

/// The tags an answer is stored under: its own, and the groups of its origin.
fn tags(arrival: &Arrival<'_>, secure: bool) -> Box<[Box<[u8]>]> {
    let mut tags: Vec<Box<[u8]>> = Vec::new();
    tags_of(arrival.answered, arrival.policy, |tag| tags.push(tag.into()));
    if arrival.policy.groups {
        if let Some(target) = Target::of(arrival.asked, secure) {
            tags.extend(groups_of(arrival.answered).iter().map(|group| group_tag(&target, group)));
        }
    }
    tags.into()
}

/// A group as a tag: no tag of a field has a line break, and no group is another origin's.
fn group_tag(target: &Target<'_>, group: &[u8]) -> Box<[u8]> {
    let scheme: &[u8] = if target.secure { b"https\n" } else { b"http\n" };
    [b"group\n", scheme, &target.host.to_ascii_lowercase(), b"\n", group].concat().into()
}
