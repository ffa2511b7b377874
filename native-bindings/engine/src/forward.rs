//! Gets a connection for an exchange whose target is chosen: an idle one that fits, a new one, or a place in line. What
//! the connection does with the request is `origin.rs`; the line is `line.rs`, sending is `send.rs`.

use crate::exchange::Ongoing;
use crate::io::{Io, Peek, SocketOptions, Token, Trouble};
use crate::link::Link;
use crate::origin::{Origin, OriginState, Place, Speaks};
use crate::outbox::Outbox;
use crate::pool::{Lease, Taken, Wanted};
use crate::shared_origin::{Opened, Opening};
use crate::slab::Key;
use crate::stats::Counter;
use crate::target::TargetShared;
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::plan::{Origin as OriginPlan, ReusePolicy};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What `find_connection` came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// The exchange has a connection that takes its request now.
    Connection,
    /// One is being opened, or the exchange waits.
    Later,
    /// The exchange was answered with a fault.
    Ended,
}

/// What a connection is opened for.
pub(crate) struct Errand {
    /// Requests that it has already.
    pub requests: u64,
    /// It is to speak HTTP/1 whatever its target would.
    pub http1: bool,
    /// What others wait for already.
    pub opening: Option<Arc<Opening>>,
}

impl<I: Io> Worker<I> {
    /// Chooses a target that was not tried and gets a connection to it.
    pub(crate) fn find_connection(&mut self, exchange: Key) -> Found {
        match self.choose_target(exchange) {
            Ok(()) => self.connect_to_target(exchange, false),
            Err(fault) => self.attempt_failed(exchange, fault),
        }
    }

    /// Gets a connection to the chosen target: an idle one unless `fresh`, else a new one, else a place in line.
    pub(crate) fn connect_to_target(&mut self, exchange: Key, fresh: bool) -> Found {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        ongoing.attempts = ongoing.attempts.saturating_add(1);
        ongoing.core.attempts = ongoing.core.attempts.saturating_add(1);
        let plan = Rc::clone(&ongoing.plan);
        let target = &plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].shared;
        let mut why_new = if fresh { Counter::NewRepeat } else { Counter::NewNoIdle };
        if target.identity.http.has_http2() {
            if let Some(found) = self.seek_stream(exchange, target, fresh) {
                return found;
            }
        }
        if !fresh {
            match self.reuse(exchange, target) {
                Ok(()) => {
                    self.abandon_opening(exchange, target);
                    return Found::Connection;
                }
                Err(why) => why_new = why,
            }
        }
        // Whoever came first is served first: a newcomer does not take the place somebody waits for.
        if target.waiting.load(Relaxed) == 0 && self.find_place(exchange, target, fresh) {
            return self.open_connection(exchange, Arc::clone(target), why_new);
        }
        self.abandon_opening(exchange, target);
        self.wait_in_line(exchange, target)
    }

    /// Takes idle connections until one is fit for this request. Each is looked at first, for bytes that nobody asked for
    /// would be taken for this request's answer. Whether it closed is asked only for what must not be sent twice: any
    /// other request is repeated, and the full look costs twice as much.
    pub(crate) fn reuse(&mut self, exchange: Key, target: &Arc<TargetShared>) -> Result<(), Counter> {
        let mut why_new = match self.why_not_reused(exchange) {
            Some(why) => {
                self.make_room_for_fresh(target);
                return Err(why);
            }
            None => Counter::NewNoIdle,
        };
        while let Some(mut taken) = self.take_fitting(exchange, target) {
            self.row.less(Counter::OriginIdle);
            let spent = taken.lease.age_due_ms <= self.now_ms();
            let why_not = match self.look_at(exchange, &mut taken.link) {
                Peek::Quiet if spent => Counter::OriginCloseAge,
                Peek::Quiet => {
                    self.adopt(exchange, taken);
                    return Ok(());
                }
                Peek::StrayBytes => Counter::OriginCloseStray,
                Peek::Closed => Counter::OriginCloseByOrigin,
            };
            why_new = Counter::NewStale;
            self.discard_taken(taken, why_not);
        }
        if why_new == Counter::NewNoIdle && target.idle_total() > 0 && self.is_particular(exchange) {
            self.make_room_for_fresh(target);
            why_new = Counter::NewPolicy;
        }
        Err(why_new)
    }

    fn look_at(&mut self, exchange: Key, link: &mut Link<I::Socket>) -> Peek {
        let thorough = !self.exchanges.get(exchange).is_some_and(|o| o.is_repeatable());
        let seen = link.peek(&mut self.io, thorough);
        if seen == Peek::StrayBytes { link.look_inside(&mut self.io, &mut self.blocks) } else { seen }
    }

    /// Whether rules keep this request from idle connections altogether.
    fn why_not_reused(&self, exchange: Key) -> Option<Counter> {
        let ongoing = self.exchanges.get(exchange)?;
        if !ongoing.plan.origins[ongoing.origin_index as usize].shares {
            return Some(Counter::NewNotShared);
        }
        (!ongoing.is_repeatable() && ongoing.policy().unrepeatable == ReusePolicy::Fresh).then_some(Counter::NewPolicy)
    }

    /// Whether the route lets this request have some idle connections only: what is not one of them gives way to its own.
    fn is_particular(&self, exchange: Key) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange) else { return false };
        !ongoing.is_repeatable() && ongoing.policy().unrepeatable != ReusePolicy::Reuse
    }

    /// One idle connection that is what the request wants; with names that outrank addresses, one of any target.
    fn take_fitting(&self, exchange: Key, target: &Arc<TargetShared>) -> Option<Taken<I::Socket>> {
        let ongoing = self.exchanges.get(exchange)?;
        let bound = ongoing.bound.as_deref();
        let any = Wanted { bound, ..Wanted::ANY };
        let ready = Wanted { unused: true, ..any };
        let find = |wanted: &Wanted<'_>| {
            let found = self.host.pool.checkout(self.index, target, wanted);
            let origin = &ongoing.plan.origins[ongoing.origin_index as usize];
            if found.is_some() || !origin.any_address {
                return found;
            }
            let others = origin.targets.iter().filter(|t| t.shared.state().keeps_connections());
            others.map(|t| &t.shared).find_map(|other| self.host.pool.checkout(self.index, other, wanted))
        };
        // One that was opened ahead is there to be used: nothing is opened, and nobody waits, while it rests.
        let opened_ahead = || (target.standby.load(Relaxed) > 0).then(|| find(&ready)).flatten();
        if ongoing.is_repeatable() {
            return find(&any).or_else(opened_ahead);
        }
        match ongoing.policy().unrepeatable {
            ReusePolicy::Fresh => None,
            ReusePolicy::Standby => find(&ready),
            ReusePolicy::Reuse => find(&any).or_else(opened_ahead),
            ReusePolicy::ReuseIfRecent { within_ms } => {
                let since_ms_min = self.now_ms().saturating_sub(u64::from(within_ms));
                find(&Wanted { since_ms_min, ..any }).or_else(opened_ahead)
            }
        }
    }

    /// A fresh connection takes the place of an idle one, so that the total does not grow (S4-08).
    fn make_room_for_fresh(&mut self, target: &Arc<TargetShared>) {
        if target.idle_total() > 0 {
            if let Some(oldest) = self.host.pool.take_oldest(self.index, |t| t.number == target.number) {
                self.row.less(Counter::OriginIdle);
                self.discard_taken(oldest, Counter::OriginCloseEvicted);
            }
        }
    }

    /// A connection out of the pool becomes this exchange's.
    fn adopt(&mut self, exchange: Key, taken: Taken<I::Socket>) {
        let Taken { link, mut lease, worker, slot } = taken;
        let unused = lease.requests == 0;
        lease.requests += 1;
        if unused {
            lease.target.standby.fetch_sub(1, Relaxed);
        }
        let key = if worker == self.index {
            let origin = self.origins.get_mut(slot).expect("a resting connection keeps its slot");
            origin.place = Place::Held(link);
            origin.lease = lease;
            slot
        } else {
            self.row.one(Counter::OriginStolen);
            if let Some(socket) = link.socket() {
                self.io.unwatch(socket, worker);
            }
            self.new_origin(link, lease)
        };
        if let Some(origin) = self.origins.get_mut(key) {
            origin.state = OriginState::Active;
            origin.exchange = exchange;
        }
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.origin = key;
            // A connection that was opened ahead has carried nothing: it is as good as new, and counted so.
            ongoing.core.reused = !unused;
            ongoing.why_new = Counter::NewStandby;
        }
    }

    /// A slot for a connection this worker has just opened or stolen, watched from now on.
    pub(crate) fn new_origin(&mut self, link: Link<I::Socket>, lease: Lease) -> Key {
        let timer = self.wheel.add(0);
        let key = self.origins.insert(Origin {
            place: Place::Held(link),
            state: OriginState::Connecting,
            exchange: Key::NONE,
            lease,
            timer,
            outbox: Outbox::default(),
            input: Vec::new(),
            active_ms: self.now_us / 1000,
            since_ms: 0,
            readable: false,
            read_closed: false,
            surplus: false,
            speaks: Speaks::Http1,
        });
        self.wheel.set_owner(timer, Token::Origin(key).pack());
        if let Some(Place::Held(link)) = self.origins.get(key).map(|o| &o.place) {
            // A watch that cannot be had leaves a connection without events; its timers end it.
            let _ = link.socket().map(|socket| self.io.watch(socket, Token::Origin(key)));
        }
        key
    }

    /// Ends a connection that was taken out of the pool and is not used after all.
    pub(crate) fn discard_taken(&mut self, taken: Taken<I::Socket>, why: Counter) {
        if taken.worker == self.index {
            if let Some(origin) = self.origins.remove(taken.slot) {
                self.wheel.remove(origin.timer);
            }
        }
        self.count_origin_closed(&taken.lease, why);
        taken.link.close(&mut self.io, &mut self.blocks);
    }

    /// Room for one more connection, if need be by closing one that is idle.
    pub(crate) fn find_place(&mut self, exchange: Key, target: &TargetShared, fresh: bool) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange) else { return false };
        let plan = ongoing.origin_plan();
        let (target_max, origin_max) = (plan.target_connections, plan.connections);
        // What rests for somebody else's name or client, or is not what the route gives such a request, is of no use.
        let picky = ongoing.bound.is_some()
            || (!ongoing.is_repeatable() && ongoing.policy().unrepeatable != ReusePolicy::Reuse);
        if self.host.pool.ask_for_place(target, target_max, origin_max) {
            return true;
        }
        let pool = &self.host.pool;
        let idle = if target_max != 0 && target.open.load(Relaxed) >= target_max {
            let useless = fresh || picky || pool.is_split();
            useless.then(|| pool.take_oldest(self.index, |t| t.number == target.number)).flatten()
        } else if origin_max != 0 && target.origin.open.load(Relaxed) >= origin_max {
            pool.take_oldest(self.index, |t| Arc::ptr_eq(&t.origin, &target.origin))
        } else {
            pool.take_oldest(self.index, |_| true)
        };
        let Some(idle) = idle else {
            self.let_session_go(target);
            return false;
        };
        self.row.less(Counter::OriginIdle);
        self.discard_taken(idle, Counter::OriginCloseEvicted);
        self.host.pool.ask_for_place(target, target_max, origin_max)
    }

    pub(crate) fn open_connection(&mut self, exchange: Key, target: Arc<TargetShared>, why_new: Counter) -> Found {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        ongoing.core.stage = Stage::Connecting;
        ongoing.core.reused = false;
        ongoing.times.connect_us = self.now_us;
        ongoing.why_new = why_new;
        let plan = Arc::clone(&ongoing.plan.plan);
        let (origin_plan, bound) = (&plan.origins[ongoing.origin_index as usize], ongoing.bound.clone());
        let errand = Errand { requests: 1, http1: ongoing.http1, opening: ongoing.begun.take() };
        match self.dial(origin_plan, Arc::clone(&target), bound, errand) {
            Ok(key) => {
                if let Some(origin) = self.origins.get_mut(key) {
                    origin.exchange = exchange;
                }
                if let Some(ongoing) = self.exchanges.get_mut(exchange) {
                    ongoing.origin = key;
                }
                Found::Later
            }
            Err(trouble) => {
                self.call_waiters(&target);
                self.attempt_failed(exchange, crate::origin::connect_fault(trouble))
            }
        }
    }

    /// Begins a connection to a target for which a place was given; gives the place back when it cannot.
    pub(crate) fn dial(
        &mut self,
        plan: &OriginPlan,
        target: Arc<TargetShared>,
        bound: Option<Box<proto::identity::Bound>>,
        errand: Errand,
    ) -> Result<Key, Trouble> {
        let now_ms = self.now_ms();
        self.watch_descriptors();
        match self.io.connect_from(target.identity.target, plan.local_address) {
            Ok(socket) => {
                self.io.tune(
                    &socket,
                    &SocketOptions { keepalive_ms: plan.tcp_keepalive_ms, user_timeout_ms: plan.tcp_user_timeout_ms },
                );
                let age_due_ms = self.age_due_ms(plan, now_ms);
                let may_http2 = target.identity.http.has_http2() && !errand.http1;
                if may_http2 {
                    self.host.multiplexes.store(true, Relaxed);
                }
                let own = || target.multiplexed.begin_opening(bound.clone());
                let opening = may_http2.then(|| errand.opening.unwrap_or_else(own));
                let lease = Lease { target, opened_ms: now_ms, requests: errand.requests, age_due_ms, bound };
                let key = self.new_origin(Link::plain(socket), lease);
                if let Some(origin) = self.origins.get_mut(key) {
                    origin.speaks = opening.map_or(Speaks::Http1, Speaks::Asking);
                    self.wheel.arm(origin.timer, now_ms + u64::from(plan.connect_ms));
                }
                Ok(key)
            }
            Err(trouble) => {
                if let Some(opening) = &errand.opening {
                    self.tell_opening(&target, opening, Opened::Failed(crate::origin::connect_fault(trouble)));
                }
                self.host.pool.give_up_place(&target);
                self.row.one(Counter::OriginConnectFailed);
                Err(trouble)
            }
        }
    }

    /// When a connection opened now is too old: around the origin's age, so that those opened together end apart.
    fn age_due_ms(&mut self, plan: &OriginPlan, now_ms: u64) -> u64 {
        if plan.age_ms == 0 {
            return NEVER;
        }
        let age = u64::from(plan.age_ms);
        let spread = age * u64::from(plan.age_jitter_percent.min(90)) / 100;
        now_ms + age - spread + self.dice.up_to(2 * spread)
    }
}

impl Ongoing {
    /// The target that was chosen.
    #[must_use]
    pub fn target_shared(&self) -> &Arc<TargetShared> {
        &self.plan.origins[self.origin_index as usize].targets[self.target as usize].shared
    }
}
