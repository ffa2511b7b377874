//! What a worker looks after besides requests: connections kept ready, descriptors running short, a new plan, targets
//! that changed state, and the successes it counted. One coarse timer, armed only where there is something to keep.

use crate::compiled::Compiled;
use crate::forward::Errand;
use crate::io::Io;
use crate::origin::OriginState;
use crate::slab::Key;
use crate::stats::Counter;
use crate::target::TargetShared;
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::balance::{Balancer, Ewma};
use proto::plan::Origin;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// How often the keeper looks.
const KEEP_EVERY_MS: u64 = 250;
/// With fewer descriptors left than this share, idle origin connections are let go and none are kept.
const SCARCE_PERCENT: u64 = 20;
/// What the process holds besides connections: event loops, listeners, files.
const OWN_DESCRIPTORS: u64 = 64;
/// Idle connections let go in one look while descriptors are short.
const LET_GO_MAX: u32 = 64;

/// What a worker counted for one target since it last told the others.
#[derive(Default, Clone)]
pub struct Tally {
    succeeded: u32,
    latency: Ewma,
}

impl<I: Io> Worker<I> {
    /// Monotonic; of this pass.
    #[must_use]
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// A new plan or a target's new state, if there is one. Two loads when there is none.
    pub(crate) fn take_changes(&mut self) {
        let generation = self.host.generation.load(Relaxed);
        if generation != self.generation {
            self.generation = generation;
            self.take_plan();
        }
        self.take_listeners();
        let changed = self.host.targets_changed.load(Relaxed);
        if changed != self.targets_changed {
            self.targets_changed = changed;
            self.evict_gone();
            self.rest_checks_of_gone();
            self.look_after();
        }
    }

    /// Another plan from here on; exchanges under way keep the one they began under, and nothing else holds an old one.
    fn take_plan(&mut self) {
        let before = std::mem::replace(&mut self.plan, Rc::new(Compiled::new(self.host.current())));
        let plan = Rc::clone(&self.plan);
        self.turns = turns_of(&plan, &before, std::mem::take(&mut self.turns));
        for spare in &mut self.boxes {
            spare.plan = Rc::clone(&plan);
        }
        // A number may belong to another target by now.
        let there: HashSet<u32> = plan.origins.iter().flat_map(|o| &o.targets).map(|t| t.shared.number).collect();
        for (number, tally) in self.tallies.iter_mut().enumerate() {
            if !there.contains(&(number as u32)) {
                *tally = Tally::default();
            }
        }
        self.take_checks();
        self.send_away();
        self.host.workers[self.index as usize].generation.store(self.generation, Relaxed);
    }

    /// Clients of listeners that are gone: sessions of HTTP/2 are told; to the others their next answer says it.
    fn send_away(&mut self) {
        let plan = Rc::clone(&self.plan);
        if plan.plan.listeners.iter().all(|listener| !listener.gone) {
            return;
        }
        for key in self.clients.keys() {
            if self.clients.get(key).is_some_and(|client| plan.is_gone(client.listener)) {
                self.drain_session(key);
            }
        }
    }

    /// Idle connections of targets that drain or were removed are of no more use (S4-12).
    fn evict_gone(&mut self) {
        for key in self.origins.keys() {
            let gone = |o: &crate::origin::Origin<I::Socket>| {
                o.state == OriginState::Resting && !o.lease.target.state().keeps_connections()
            };
            if self.origins.get(key).is_some_and(gone) {
                self.evict_resting(key, Counter::OriginCloseTarget);
            }
        }
        self.close_sessions(Counter::OriginCloseTarget, |target| !target.state().keeps_connections());
    }

    /// Looks after everything; arms itself again where there is something to look after.
    pub(crate) fn look_after(&mut self) {
        self.watch_descriptors();
        let plan = Rc::clone(&self.plan);
        let ready = plan.plan.origins.iter().any(|o| o.standby > 0);
        if ready && !self.draining && !self.scarce {
            for (origin, compiled) in plan.plan.origins.iter().zip(&plan.origins) {
                for target in &compiled.targets {
                    // One worker opens for each target; all take from what it opened.
                    if target.shared.number % plan.plan.workers == self.index {
                        self.fill_standby(origin, &target.shared);
                    }
                }
            }
        }
        if let Some(at_hand) = &mut self.at_hand {
            at_hand.sweep();
        }
        // What is in the cache changes only while somebody asks.
        let tells = plan.caches && self.host.clients_open.load(Relaxed) > 0;
        if plan.caches {
            self.tell_cache();
        }
        if ready || tells || self.scarce {
            self.wheel.arm(self.keeper, self.now_us / 1000 + KEEP_EVERY_MS);
        }
    }

    /// Counts what has changed in the cache since any worker last did: together the rows say what is there.
    fn tell_cache(&mut self) {
        let hot = &self.host.hot;
        let facts = [
            (Counter::CacheBytes, hot.bytes()),
            (Counter::CacheEntries, hot.entries()),
            (Counter::CacheEvicted, hot.evictions()),
        ];
        for ((counter, now), told) in facts.into_iter().zip(&self.host.cache_told) {
            self.row.add(counter, now.wrapping_sub(told.swap(now, Relaxed)));
        }
    }

    /// Somebody is here who may ask the cache.
    pub(crate) fn keep_cache(&mut self) {
        if self.plan.caches && self.wheel.due_ms(self.keeper) == NEVER {
            self.wheel.arm(self.keeper, self.now_us / 1000 + KEEP_EVERY_MS);
        }
    }

    fn fill_standby(&mut self, origin: &proto::plan::Origin, target: &Arc<TargetShared>) {
        use crate::target::TargetState::{Suspect, Up};
        if !matches!(target.state(), Up | Suspect) {
            return;
        }
        let missing = origin.standby.saturating_sub(target.standby.load(Relaxed));
        for _ in 0..missing {
            if !self.host.pool.ask_for_place(target, origin.target_connections, origin.connections) {
                return;
            }
            target.standby.fetch_add(1, Relaxed);
            if self.dial(origin, Arc::clone(target), None, Errand { requests: 0, http1: false, opening: None }).is_err()
            {
                target.standby.fetch_sub(1, Relaxed);
                return;
            }
            self.row.one(Counter::StandbyOpened);
        }
    }

    /// A connection that was opened ahead is there: it rests until somebody wants one that carried nothing.
    pub(crate) fn rest_standby(&mut self, key: Key) {
        let Some(origin) = self.origins.get(key) else { return };
        let found = self.plan.origin_named(&origin.lease.target.identity.origin);
        match found.map(|o| (o.idle_ms, o.target_idle)) {
            Some((idle_ms, idle_max)) => self.rest(key, idle_ms, idle_max),
            None => self.close_origin(key, Counter::OriginCloseTarget),
        }
    }

    /// Closes the resting connections that belong to a client that left.
    pub(crate) fn close_owned(&mut self, owner: u64) {
        for idle in self.host.pool.take_owned(self.index, owner) {
            self.row.less(Counter::OriginIdle);
            self.discard_idle(idle.slot, idle, Counter::OriginCloseOwner);
        }
    }

    /// S4-15: before clients are refused for want of descriptors, idle origin connections go.
    pub(crate) fn watch_descriptors(&mut self) {
        let most = self.descriptors_max.saturating_sub(OWN_DESCRIPTORS);
        if self.descriptors_max == 0 {
            return;
        }
        let used = u64::from(self.host.pool.open()) + self.host.clients_open.load(Relaxed);
        let was_scarce = std::mem::replace(&mut self.scarce, used * 100 >= most * (100 - SCARCE_PERCENT));
        if self.scarce {
            self.let_idle_go();
            if !was_scarce {
                self.ring_sessions();
                self.wheel.arm(self.keeper, self.now_us / 1000 + KEEP_EVERY_MS);
            }
        }
    }

    fn let_idle_go(&mut self) {
        for _ in 0..LET_GO_MAX {
            let Some(oldest) = self.host.pool.take_oldest(self.index, |_| true) else { return };
            self.row.less(Counter::OriginIdle);
            self.discard_taken(oldest, Counter::OriginCloseScarce);
        }
    }

    /// Counts an answer's usable head for its target; told to the others at the end of the turn.
    pub(crate) fn tally(&mut self, target: &Arc<TargetShared>, waited_us: Option<u64>) {
        let place = target.number as usize;
        if self.tallies.len() <= place {
            self.tallies.resize(place + 1, Tally::default());
        }
        let tally = &mut self.tallies[place];
        if tally.succeeded == 0 {
            self.tallied.push(Arc::clone(target));
        }
        tally.succeeded += 1;
        if let Some(waited_us) = waited_us {
            tally.latency.record(self.now_us, u32::try_from(waited_us).unwrap_or(u32::MAX));
            target.latency_us.store(tally.latency.latency_us(self.now_us), Relaxed);
        }
    }

    /// Tells the others what this turn counted: one shared write for a target and a turn, not for a request.
    pub(crate) fn tell_tallies(&mut self) {
        let mut tallied = std::mem::take(&mut self.tallied);
        for target in tallied.drain(..) {
            let succeeded = std::mem::take(&mut self.tallies[target.number as usize].succeeded);
            target.count_successes(succeeded);
        }
        self.tallied = tallied;
        let requests = self.row.get(Counter::Requests);
        let begun = requests.wrapping_sub(self.requests_told);
        if begun > 0 {
            self.requests_told = requests;
            self.host.budget.deposit(begun, self.now_us / 1000);
        }
    }

    pub(crate) fn next_client_number(&mut self) -> u64 {
        self.client_numbers += 1;
        u64::from(self.index) << 48 | self.client_numbers
    }
}

/// Whose turn it is at each origin of a plan: where its targets and their balance are as before, the turn goes on.
fn turns_of(plan: &Compiled, before: &Compiled, turns: Vec<Balancer>) -> Vec<Balancer> {
    let targets_of = |compiled: &Compiled, at: usize| -> Vec<u32> {
        compiled.origins[at].targets.iter().map(|target| target.shared.number).collect()
    };
    let named = before.plan.origins.iter().zip(turns).enumerate();
    let mut known: HashMap<&str, (usize, Balancer)> =
        named.map(|(at, (origin, turn))| (origin.name.as_str(), (at, turn))).collect();
    let turn_of = |(at, origin): (usize, &Origin)| match known.remove(origin.name.as_str()) {
        Some((was, turn))
            if before.plan.origins[was].balance == origin.balance
                && targets_of(before, was) == targets_of(plan, at) =>
        {
            turn
        }
        _ => Balancer::new(&origin.balance),
    };
    plan.plan.origins.iter().enumerate().map(turn_of).collect()
}
