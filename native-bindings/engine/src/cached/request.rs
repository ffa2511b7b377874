//! A request on a caching route: its key, what is stored for it, the verdict, and what follows from that.

use crate::answer::Own;
use crate::cached::ready_heads::AtHand;
use crate::cached::serve::Served;
use crate::cached::side::{CacheSide, Found as FoundEntry, Role, judged_as};
use crate::choose::may_be_used;
use crate::compiled::Compiled;
use crate::forward::Found as FoundConnection;
use crate::hot::{Joined, Seen, Waiter, Wanted};
use crate::io::{Io, Token};
use crate::slab::Key;
use crate::stats::Counter;
use crate::streams::{Who, tls_of};
use crate::worker::Worker;
use proto::cache::conditional::Serve;
use proto::cache::judge::{Decision, Found, Lookup, What, decide_found, decide_use};
use proto::cache::key::{Target, write_extras, write_target};
use proto::cache::message::Asked;
use proto::cache::request_directives::RequestDirectives;
use proto::cache::validation::{Ask, decide_ask};
use proto::cache::why::Why;
use proto::exchange::{Exchange, Stage};
use proto::http1::fields::FieldKind;
use proto::http1::framing::RequestBody;
use proto::http1::head::{Method, RequestHead};
use proto::plan::CachePolicy;
use proto::route::came_secure;
use std::rc::Rc;
use std::sync::Arc;

/// Content up to this size leaves with its head in one write, and needs no exchange.
const SMALL_BYTES_MAX: u64 = 64 * 1024;
/// Rounds that a request waits for others before it asks for itself.
const ROUNDS_MAX: u8 = 3;

/// What a request asks, where it is told apart from its exchange.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub head: &'a RequestHead,
    pub bytes: &'a [u8],
    pub route: u32,
    pub origin_index: u32,
}

impl<'a> Request<'a> {
    pub(crate) const fn asked(&self) -> Asked<'a> {
        Asked { bytes: self.bytes, head: self.head }
    }
}

/// A request, its key, and what it is judged by.
#[derive(Clone, Copy)]
struct Asks<'a> {
    key: Key,
    core: &'a Exchange,
    request: Request<'a>,
    wants: RequestDirectives,
    wanted: Wanted<'a>,
    lookup: &'a Lookup<'a>,
    plan: &'a Rc<Compiled>,
}

impl<I: Io> Worker<I> {
    /// Asks the cache about a request. `None`: it was answered. Otherwise what the cache has to do with its exchange.
    pub(crate) fn ask_cache(
        &mut self,
        key: Key,
        core: &Exchange,
        request: Request<'_>,
        policy: &CachePolicy,
        plan: &Rc<Compiled>,
    ) -> Option<Box<CacheSide>> {
        // What is read out of these is read before anybody else needs them.
        let (normal, mut room) = (std::mem::take(&mut self.path), std::mem::take(&mut self.key_room));
        room.clear();
        let side = self.ask_with_key(key, core, request, (policy, plan), (&normal, &mut room));
        (self.path, self.key_room) = (normal, room);
        side
    }

    fn ask_with_key(
        &mut self,
        key: Key,
        core: &Exchange,
        request: Request<'_>,
        (policy, plan): (&CachePolicy, &Rc<Compiled>),
        (normal, room): (&[u8], &mut Vec<u8>),
    ) -> Option<Box<CacheSide>> {
        let asked = request.asked();
        let raw = request.head.path.of(request.bytes);
        let path = if request.head.path_plain && !raw.is_empty() { raw } else { normal };
        let secure = self.is_secure(key, request);
        let lookup = Lookup {
            asked,
            path,
            has_body: !matches!(core.body, RequestBody::None | RequestBody::Length(0)),
            upgrade: core.upgrade,
            policy,
            origin_down: false,
            now_ms: self.log.unix_ms,
        };
        let used = decide_use(&lookup).and_then(|wants| {
            let target = Target::of(asked, secure).filter(|target| write_target(target, &policy.key, room));
            if policy.no_vary_search {
                self.host.searches.apply(room);
            }
            target.map(|_| wants).ok_or(Why::NoKey)
        });
        let wants = match used {
            Ok(wants) => wants,
            Err(why) => {
                self.row.one(Counter::CacheBypassed);
                return Some(Box::new(CacheSide::passing(why, self.who(key), secure, path)));
            }
        };
        let split = room.len();
        write_extras(asked, &policy.key, room);
        let (target, extras) = room.split_at(split);
        let wanted = Wanted { place: self.host.hot.place(target), target, extras, asked };
        let mut at_hand = self.at_hand.take().unwrap_or_default();
        let asks = Asks { key, core, request, wants, wanted, lookup: &lookup, plan };
        let judged = self.serve_at_hand(&asks, &mut at_hand);
        self.at_hand = Some(at_hand);
        let (mut seen, decision) = judged?;
        let mut side = CacheSide::passing(decision.why, self.who(key), secure, path);
        let found = found_by(&mut seen);
        side.seen = seen;
        (side.decision, side.wants, side.place) = (decision, wants, wanted.place);
        (side.target, side.extras, side.found) = (target.into(), extras.into(), found);
        Some(Box::new(side))
    }

    /// Serves what is here whole and small. `None`: that was done; otherwise what was found, and the verdict.
    fn serve_at_hand(&mut self, asks: &Asks<'_>, at_hand: &mut AtHand) -> Option<(Seen, Decision)> {
        let Asks { key, core, request, wants, wanted, lookup, plan } = *asks;
        // Ranges are cut by the length, which may have come to light behind the head.
        let near = (!request.head.kinds.has(FieldKind::Range)).then(|| at_hand.near.look_up(&self.host.hot, &wanted));
        if let Some(entry) = near.flatten() {
            let decision = decide_found(lookup, wants, Found::Record(&entry.record));
            if let What::Hit(serve @ (Serve::Whole | Serve::NotModified)) = decision.what {
                // What is at hand stays where it is while it is given out.
                let entry = &Arc::clone(entry);
                let served = Served { entry, serve: &serve, decision: &decision, core, collapsed: false };
                self.serve_now(key, request, &served, (plan, at_hand));
                return None;
            }
        }
        let seen = self.host.hot.look_up(&wanted, lookup.now_ms);
        let decision = self.judge(lookup, wants, &seen, request.origin_index, plan);
        if let (What::Hit(serve), Some(entry)) = (&decision.what, &seen.entry) {
            if fits_at_once(serve, entry.body.whole_content().map(crate::hot::Content::length)) {
                self.host.hot.touch(entry);
                at_hand.near.note(&wanted, entry);
                let served = Served { entry, serve, decision: &decision, core, collapsed: false };
                self.serve_now(key, request, &served, (plan, at_hand));
                return None;
            }
        }
        Some((seen, decision))
    }

    /// The verdict; whether the origin is down is only looked at where it matters.
    fn judge(
        &self,
        lookup: &Lookup<'_>,
        wants: RequestDirectives,
        seen: &Seen,
        origin_index: u32,
        plan: &Compiled,
    ) -> Decision {
        let record;
        let found = match &seen.entry {
            Some(entry) => {
                record = judged_as(entry, seen.soft_since_ms);
                Found::Record(&record)
            }
            None if seen.uncacheable => Found::Uncacheable,
            None if seen.others => Found::OtherVariants,
            None => Found::Nothing,
        };
        let decision = decide_found(lookup, wants, found);
        let is_stale = matches!((decision.what, decision.why), (What::Validate, Why::Stale));
        let is_down = || !plan.origins[origin_index as usize].targets.iter().any(may_be_used);
        if is_stale && is_down() {
            return decide_found(&Lookup { origin_down: true, ..*lookup }, wants, found);
        }
        decision
    }

    /// An exchange on a caching route begins: it is answered from what is stored, waits, or goes to the origin.
    pub(crate) fn begin_cached(&mut self, exchange: Key, head: &RequestHead, bytes: &[u8], data: &[u8]) {
        match self.go_by_verdict(exchange, head, bytes) {
            Way::Origin => self.forward(exchange, head, bytes, data),
            Way::Here => self.hear_rest(exchange),
        }
    }

    /// Does what the verdict says, as far as the origin has nothing to do with it.
    pub(crate) fn go_by_verdict(&mut self, exchange: Key, head: &RequestHead, bytes: &[u8]) -> Way {
        loop {
            let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Way::Here };
            let plan = Rc::clone(&ongoing.plan);
            let (route, method) = (ongoing.route as usize, ongoing.core.method);
            let (Some(side), Some(policy)) = (ongoing.cached.as_mut(), plan.plan.routes[route].cache.as_ref()) else {
                return Way::Origin;
            };
            let asked = Asked { bytes, head };
            let decision = side.decision;
            match decision.what {
                What::Bypass => return Way::Origin,
                What::GatewayTimeout => {
                    self.answer_only_if_cached(exchange);
                    return Way::Here;
                }
                What::Hit(serve) | What::HitAndRevalidate(serve) => {
                    if matches!(decision.what, What::HitAndRevalidate(_)) {
                        self.revalidate(exchange, head, bytes);
                    }
                    self.serve(exchange, &serve);
                    return Way::Here;
                }
                What::Validate | What::Miss => {}
            }
            let record = side.found.as_ref().map(|found| &found.entry.record);
            side.ask = match decide_ask(asked, decision.what, decision.why, record, policy) {
                // Parts grow together from what clients ask for; who wants the whole gets it from the origin.
                Ask::Rest(_) => Ask::AsSent,
                ask => ask,
            };
            side.stamp = self.host.hot.stamp(self.log.unix_ms * 1000);
            side.asked_ms = self.log.unix_ms;
            self.row.one(Counter::CacheMisses);
            // What another one's answer cannot be the answer to asks for itself: a method whose answer is not stored, a part,
            // a condition that the origin is to judge, and what was found not to be storable.
            let is_whole = side.ask != Ask::AsSent || !has_conditions(head);
            let is_shared = method == Method::Get && is_whole && decision.why != Why::Uncacheable;
            if !is_shared || policy.coalesce.wait_ms == 0 || side.rounds >= ROUNDS_MAX {
                return Way::Origin;
            }
            match self.join(exchange, asked) {
                Some(way) => return way,
                None => self.look_again(exchange, head, bytes),
            }
        }
    }

    /// Leads the fetch for this request or follows who does. `None`: something changed meanwhile.
    fn join(&mut self, exchange: Key, asked: Asked<'_>) -> Option<Way> {
        let waiter = Waiter { worker: self.index, token: Token::Exchange(exchange).pack() };
        let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) else {
            return Some(Way::Here);
        };
        let wanted = Wanted { place: side.place, target: &side.target, extras: &side.extras, asked };
        match self.host.hot.join(&wanted, &side.seen, waiter) {
            Joined::Lead(flight) => {
                side.role = Role::Leads(flight);
                let asks = side.found.is_none() && !side.asked_store;
                side.asked_store = true;
                Some(if asks && self.ask_store(exchange) { Way::Here } else { Way::Origin })
            }
            Joined::Follow(flight) => {
                side.role = Role::Follows(flight);
                self.begin_waiting(exchange);
                Some(Way::Here)
            }
            Joined::LookAgain => None,
        }
    }

    /// Looks once more at what is stored, and judges anew.
    pub(crate) fn look_again(&mut self, exchange: Key, head: &RequestHead, bytes: &[u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let plan = Rc::clone(&ongoing.plan);
        let (route, origin_index) = (ongoing.route as usize, ongoing.origin_index);
        let Some(policy) = plan.plan.routes[route].cache.as_ref() else { return };
        let Some(mut side) = ongoing.cached.take() else { return };
        if policy.no_vary_search {
            self.change_key(&mut side);
        }
        let asked = Asked { bytes, head };
        let lookup = Lookup {
            asked,
            path: &side.path,
            has_body: false,
            upgrade: false,
            policy,
            origin_down: false,
            now_ms: self.log.unix_ms,
        };
        let wanted = Wanted { place: side.place, target: &side.target, extras: &side.extras, asked };
        let mut seen = self.host.hot.look_up(&wanted, lookup.now_ms);
        side.decision = self.judge(&lookup, side.wants, &seen, origin_index, &plan);
        side.found = found_by(&mut seen);
        side.seen = seen;
        side.rounds = side.rounds.saturating_add(1);
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.cached = Some(side);
        }
    }

    /// Makes the key anew by what is known of its path's queries now.
    pub(crate) fn change_key(&self, side: &mut CacheSide) {
        let mut target = std::mem::take(&mut side.target).into_vec();
        self.host.searches.apply(&mut target);
        (side.place, side.target) = (self.host.hot.place(&target), target.into());
    }

    /// Goes to the origin, at some time after its head came.
    pub(crate) fn go_to_origin(&mut self, exchange: Key) {
        self.end_waiting(exchange);
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.core.stage = Stage::Choosing;
        }
        if self.find_connection(exchange) == FoundConnection::Connection {
            self.send_held(exchange);
        }
    }

    /// RFC 9111 5.2.1.7.
    fn answer_only_if_cached(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let (key, method, version) = (ongoing.client, ongoing.core.method, ongoing.core.version);
        let keep = ongoing.core.keep_alive && ongoing.plan.plan.persistence.after_errors;
        (ongoing.core.keep_alive, ongoing.core.status) = (keep, 504);
        let told = self.told_of(exchange);
        let fields = [("Cache-Status", told.as_str())];
        let own = Own {
            fields: if told.is_empty() { &[] } else { &fields },
            close: !keep,
            keep_alive_http10: keep && version == proto::http1::head::Version::Http10,
            head_only: method == Method::Head,
            ..Own::fault(504, Why::OnlyIfCached.sentence())
        };
        self.write_own(key, &own);
        self.finish(exchange);
    }

    fn is_secure(&self, key: Key, request: Request<'_>) -> bool {
        let trusted = self.clients.get(key).is_some_and(|client| client.trusted);
        came_secure(tls_of(&self.clients, key).is_some(), trusted, request.head, request.bytes)
    }

    fn who(&self, key: Key) -> Who {
        self.clients.get(key).map_or_else(Who::nobody, |client| Who {
            ip: client.ip,
            port: client.port,
            listener: client.listener,
            trusted: client.trusted,
            number: client.number,
        })
    }
}

/// Who goes on with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Origin,
    /// It is answered, or waits.
    Here,
}

/// Takes out what a look-up found.
fn found_by(seen: &mut Seen) -> Option<FoundEntry> {
    let soft_since_ms = seen.soft_since_ms;
    seen.entry.take().map(|entry| FoundEntry { entry, soft_since_ms })
}

/// Whether what is stored leaves in one write.
fn fits_at_once(serve: &Serve, length: Option<u64>) -> bool {
    match serve {
        Serve::NotModified => true,
        Serve::Whole => length.is_some_and(|length| length <= SMALL_BYTES_MAX),
        Serve::Ranges(_) | Serve::OfPart(_) | Serve::Unsatisfiable => false,
    }
}

fn has_conditions(head: &RequestHead) -> bool {
    [
        FieldKind::IfMatch,
        FieldKind::IfNoneMatch,
        FieldKind::IfModifiedSince,
        FieldKind::IfUnmodifiedSince,
        FieldKind::IfRange,
        FieldKind::Range,
    ]
    .iter()
    .any(|kind| head.kinds.has(*kind))
}
