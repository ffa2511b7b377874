//! Finds a target and a connection for an exchange, and sends the request on it. Reuse, waiting in line and making room
//! are decided here; what a connection does with the request is `origin.rs`; waiting in line is `line.rs`, sending is `send.rs`.

use crate::io::{Io, Peek, Token};
use crate::origin::{Origin, OriginState, Place};
use crate::outbox::Outbox;
use crate::pool::{Lease, Taken};
use crate::slab::Key;
use crate::stats::Counter;
use crate::target::TargetShared;
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::fault::OriginFault;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What `find_connection` came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// The exchange has a connection that takes its request now.
    Connection,
    /// One is being opened, or the exchange waits in line.
    Later,
    /// The exchange was answered with a fault.
    Ended,
}

impl<I: Io> Worker<I> {
    /// Chooses a target that was not tried and gets a connection to it.
    pub(crate) fn find_connection(&mut self, exchange: Key) -> Found {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        let origin_index = ongoing.origin_index as usize;
        let weights = &ongoing.plan.origins[origin_index].weights;
        let Some(target) = self.turns[origin_index].choose(weights, ongoing.core.tried) else {
            self.answer_fault(exchange, OriginFault::NoTarget);
            return Found::Ended;
        };
        ongoing.target = target as u32;
        if target < 64 {
            ongoing.core.tried |= 1 << target;
        }
        self.connect_to_target(exchange, false)
    }

    /// Gets a connection to the chosen target: an idle one unless `fresh`, else a new one, else a place in line.
    pub(crate) fn connect_to_target(&mut self, exchange: Key, fresh: bool) -> Found {
        let Some(ongoing) = self.exchanges.get(exchange) else { return Found::Ended };
        let target =
            Arc::clone(&ongoing.plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].shared);
        let mut why_new = if fresh { Counter::NewRepeat } else { Counter::NewNoIdle };
        if !fresh {
            match self.reuse(exchange, &target) {
                Ok(()) => return Found::Connection,
                Err(why) => why_new = why,
            }
        }
        // Whoever came first is served first: a newcomer does not take the place somebody waits for.
        if target.waiting.load(Relaxed) == 0 && self.find_place(exchange, &target, fresh) {
            return self.open_connection(exchange, target, why_new);
        }
        self.wait_in_line(exchange, &target)
    }

    /// Takes idle connections until one is fit for this request. Each is looked at first: one that closed would cost a
    /// repeat, and bytes that nobody asked for would be taken for this request's answer.
    pub(crate) fn reuse(&mut self, exchange: Key, target: &Arc<TargetShared>) -> Result<(), Counter> {
        let mut why_new = Counter::NewNoIdle;
        while let Some(taken) = self.host.pool.checkout(self.index, target) {
            self.row.less(Counter::OriginIdle);
            let spent = taken.lease.age_due_ms <= self.now_ms();
            let peek = self.io.peek(&taken.socket);
            let why_not = match peek {
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
        Err(why_new)
    }

    /// A connection out of the pool becomes this exchange's.
    fn adopt(&mut self, exchange: Key, taken: Taken<I::Socket>) {
        let Taken { socket, mut lease, worker, slot } = taken;
        lease.requests += 1;
        let key = if worker == self.index {
            let origin = self.origins.get_mut(slot).expect("a resting connection keeps its slot");
            origin.place = Place::Held(socket);
            origin.lease = lease;
            slot
        } else {
            self.row.one(Counter::OriginStolen);
            self.io.unwatch(&socket, worker);
            self.new_origin(socket, lease)
        };
        if let Some(origin) = self.origins.get_mut(key) {
            origin.state = OriginState::Active;
            origin.exchange = exchange;
            origin.reused = true;
        }
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.origin = key;
            ongoing.core.reused = true;
        }
    }

    /// A slot for a connection this worker has just opened or stolen, watched from now on.
    fn new_origin(&mut self, socket: I::Socket, lease: Lease) -> Key {
        let timer = self.wheel.add(0);
        let key = self.origins.insert(Origin {
            place: Place::Held(socket),
            state: OriginState::Connecting,
            exchange: Key::NONE,
            lease,
            timer,
            outbox: Outbox::default(),
            input: Vec::new(),
            active_ms: self.now_us / 1000,
            readable: false,
            read_closed: false,
            surplus: false,
            reused: false,
        });
        self.wheel.set_owner(timer, Token::Origin(key).pack());
        if let Some(Place::Held(socket)) = self.origins.get(key).map(|o| &o.place) {
            // A watch that cannot be had leaves a connection without events; its timers end it.
            let _ = self.io.watch(socket, Token::Origin(key));
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
        self.io.close(taken.socket);
        self.count_origin_closed(&taken.lease.target, why);
    }

    /// Room for one more connection, if need be by closing one that is idle.
    pub(crate) fn find_place(&mut self, exchange: Key, target: &TargetShared, fresh: bool) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange) else { return false };
        let target_max = ongoing.origin_plan().target_connections;
        if self.host.pool.ask_for_place(target, target_max) {
            return true;
        }
        let pool = &self.host.pool;
        let idle = if pool.is_full() {
            pool.take_oldest(self.index, None)
        } else if fresh || pool.is_split() {
            pool.take_oldest(self.index, Some(target))
        } else {
            None
        };
        let Some(idle) = idle else { return false };
        self.row.less(Counter::OriginIdle);
        self.discard_taken(idle, Counter::OriginCloseEvicted);
        self.host.pool.ask_for_place(target, target_max)
    }

    pub(crate) fn open_connection(&mut self, exchange: Key, target: Arc<TargetShared>, why_new: Counter) -> Found {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        ongoing.core.stage = Stage::Connecting;
        ongoing.core.reused = false;
        ongoing.times.connect_us = self.now_us;
        let address = ongoing.plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].address;
        let (connect_ms, age_ms) = (ongoing.origin_plan().connect_ms, ongoing.origin_plan().age_ms);
        ongoing.why_new = why_new;
        let now_ms = self.now_ms();
        match self.io.connect(address) {
            Ok(socket) => {
                let age_due_ms = if age_ms == 0 { NEVER } else { now_ms + u64::from(age_ms) };
                let lease = Lease { target, opened_ms: now_ms, requests: 1, age_due_ms };
                let key = self.new_origin(socket, lease);
                if let Some(origin) = self.origins.get_mut(key) {
                    origin.exchange = exchange;
                    self.wheel.arm(origin.timer, now_ms + u64::from(connect_ms));
                }
                if let Some(ongoing) = self.exchanges.get_mut(exchange) {
                    ongoing.origin = key;
                }
                Found::Later
            }
            Err(trouble) => {
                self.host.pool.give_up_place(&target);
                self.row.one(Counter::OriginConnectFailed);
                self.call_waiters(&target);
                self.attempt_failed(exchange, crate::origin::connect_fault(trouble))
            }
        }
    }
}
