//! Origin connections at rest: how one comes to lie in the pool, what its socket says while nobody uses it, and how it is
//! taken out again without being used.

use crate::io::{Io, Peek};
use crate::origin::{OriginState, Place};
use crate::pool::Idle;
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use std::sync::Arc;

impl<I: Io> Worker<I> {
    /// Takes a resting connection out of the pool and closes it, unless somebody took it before.
    /// Returns whether it was still there.
    pub(crate) fn evict_resting(&mut self, key: Key, why: Counter) -> bool {
        let Some(origin) = self.origins.get(key) else { return false };
        let (OriginState::Resting, Place::Pool(place)) = (origin.state, &origin.place) else { return false };
        let Some(idle) = self.host.pool.evict(self.index, &origin.lease.target, *place) else { return false };
        self.row.less(Counter::OriginIdle);
        self.discard_idle(key, idle, why);
        true
    }

    pub(crate) fn discard_idle(&mut self, key: Key, idle: Idle<I::Socket>, why: Counter) {
        if let Some(origin) = self.origins.remove(key) {
            self.wheel.remove(origin.timer);
        }
        // Counted before the other end can know of it, so that whoever saw the end finds it in the books.
        self.count_origin_closed(&idle.lease, why);
        idle.link.close(&mut self.io, &mut self.blocks);
    }

    /// Puts a connection to rest in the pool.
    pub(crate) fn rest(&mut self, key: Key, idle_ms: u32, idle_max: u32) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        if idle_ms == 0 {
            self.close_origin(key, Counter::OriginCloseIdle);
            return;
        }
        let target = Arc::clone(&origin.lease.target);
        let why_not = match target.state().keeps_connections() {
            false => Some(Counter::OriginCloseTarget),
            true => self.scarce.then_some(Counter::OriginCloseScarce),
        };
        if let Some(why) = why_not {
            self.close_origin(key, why);
            return;
        }
        if target.idle_total() >= idle_max {
            match self.host.pool.take_oldest(self.index, |t| t.number == target.number) {
                Some(oldest) => {
                    self.row.less(Counter::OriginIdle);
                    self.discard_taken(oldest, Counter::OriginCloseEvicted);
                }
                None => {
                    self.close_origin(key, Counter::OriginCloseEvicted);
                    return;
                }
            }
        }
        let Some(origin) = self.origins.get_mut(key) else { return };
        let now_ms = self.now_us / 1000;
        let idle_ms = target.learned_idle.idle_ms(idle_ms, now_ms);
        origin.since_ms = now_ms;
        let expires_ms = (now_ms + u64::from(idle_ms)).min(origin.lease.age_due_ms);
        let lease = origin.lease.clone();
        origin.state = OriginState::Resting;
        origin.exchange = Key::NONE;
        let Place::Held(link) = std::mem::replace(&mut origin.place, Place::Pool(Key::NONE)) else { return };
        let idle = Idle { link, lease, worker: self.index, slot: key, since_ms: now_ms, expires_ms };
        origin.place = Place::Pool(self.host.pool.checkin(&target, idle));
        self.wheel.arm(origin.timer, expires_ms);
        self.row.one(Counter::OriginIdle);
        self.call_waiters(&target);
    }

    /// The origin closed a connection that was idle. How long it had been so is worth knowing for the next.
    pub(crate) fn left_by_origin(&mut self, key: Key) {
        let Some(origin) = self.origins.get(key) else { return };
        let (target, since_ms) = (Arc::clone(&origin.lease.target), origin.since_ms);
        let learns = self.plan.origin_named(&target.identity.origin).is_some_and(|o| o.idle_learn);
        if self.evict_resting(key, Counter::OriginCloseByOrigin) && since_ms != 0 && learns {
            target.learned_idle.handle_closed(since_ms, self.now_ms());
        }
    }

    /// Bytes came while nobody had asked for any. With TLS they may be the session's own, such as a ticket; anything else
    /// ends the connection before somebody takes it for an answer.
    pub(crate) fn look_at_resting(&mut self, key: Key) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let Place::Pool(place) = &origin.place else { return };
        let target = Arc::clone(&origin.lease.target);
        // Somebody else may have taken it by now; then it is his to look at.
        let Some(mut idle) = self.host.pool.evict(self.index, &target, *place) else { return };
        let why = match idle.link.look_inside(&mut self.io, &mut self.blocks) {
            Peek::Quiet => {
                origin.place = Place::Pool(self.host.pool.checkin(&target, idle));
                return;
            }
            Peek::Closed => Counter::OriginCloseByOrigin,
            Peek::StrayBytes => Counter::OriginCloseStray,
        };
        self.row.less(Counter::OriginIdle);
        self.discard_idle(key, idle, why);
    }
}
