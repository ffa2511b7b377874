//! A connection to a target: its opening, its rest in the pool, what an attempt on it comes to.
//!
//! ```text
//! state       promises                                            left for
//! CONNECTING  `exchange` waits for it                             ACTIVE, closed (fault)
//! ACTIVE      `exchange` runs on it, nobody else may              RESTING, TUNNEL, closed
//! RESTING     it lies in the pool; this slot only hears events    ACTIVE, closed, stolen (slot freed later)
//! TUNNEL      bytes pass both ways under `exchange`               closed
//! ```

use crate::forward::Found;
use crate::io::{Io, Ready, Token, Trouble};
use crate::outbox::Outbox;
use crate::pool::{Idle, Lease};
use crate::slab::Key;
use crate::stats::{Counter, Histogram};
use crate::target::TargetShared;
use crate::wheel::{NEVER, TimerId};
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::fault::{OriginFault, WireFault};
use proto::retry::{Attempt, Next, WhyNoRetry, decide_next};
use std::sync::Arc;

/// Where an origin's connection is; the map is above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OriginState {
    Connecting,
    Active,
    Resting,
    Tunnel,
}

/// Where the socket is.
pub enum Place<S> {
    Held(S),
    /// In the worker's pool shard, under this key.
    Pool(Key),
}

/// An origin's connection as the worker that watches it holds it.
pub struct Origin<S> {
    pub place: Place<S>,
    pub state: OriginState,
    pub exchange: Key,
    pub lease: Lease,
    pub timer: TimerId,
    pub outbox: Outbox,
    /// A partial answer head.
    pub input: Vec<u8>,
    /// When bytes last passed in either direction.
    pub active_ms: u64,
    pub readable: bool,
    pub read_closed: bool,
    /// Bytes came beyond the answer.
    pub surplus: bool,
    /// It carried an earlier request.
    pub reused: bool,
}

/// The fault a failed `connect` is.
#[must_use]
pub fn connect_fault(trouble: Trouble) -> OriginFault {
    match trouble {
        Trouble::Refused | Trouble::Reset => OriginFault::ConnectRefused,
        Trouble::Unreachable => OriginFault::ConnectUnreachable,
        Trouble::TimedOut => OriginFault::ConnectTimeout,
        Trouble::Local(_) | Trouble::WouldBlock => OriginFault::LocalResource,
    }
}

impl<I: Io> Worker<I> {
    pub(crate) fn origin_ready(&mut self, key: Key, event: &Ready) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        origin.readable |= event.readable || event.read_closed || event.dead;
        origin.read_closed |= event.read_closed;
        match origin.state {
            OriginState::Connecting if event.writable || event.dead => self.connection_settled(key),
            OriginState::Connecting => {}
            // A resting connection has nothing to say: whatever it says, it is of no more use (S0-13).
            OriginState::Resting if event.read_closed || event.dead => {
                self.evict_resting(key, Counter::OriginCloseByOrigin);
            }
            OriginState::Resting if event.readable => self.evict_resting(key, Counter::OriginCloseStray),
            OriginState::Resting => {}
            OriginState::Active | OriginState::Tunnel => {
                if event.writable && !origin.outbox.is_empty() && !self.flush_origin(key) {
                    return;
                }
                self.origin_go(key);
            }
        }
    }

    /// Goes on with what the connection has to do.
    pub(crate) fn origin_go(&mut self, key: Key) {
        let Some(origin) = self.origins.get(key) else { return };
        let (state, exchange) = (origin.state, origin.exchange);
        match state {
            OriginState::Active => self.download_go(exchange),
            OriginState::Tunnel => self.tunnel_go(exchange),
            OriginState::Connecting | OriginState::Resting => {}
        }
    }

    fn connection_settled(&mut self, key: Key) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let Place::Held(socket) = &origin.place else { return };
        let exchange = origin.exchange;
        if let Err(trouble) = self.io.connect_result(socket) {
            self.end_connecting(key);
            self.attempt_failed(exchange, connect_fault(trouble));
            return;
        }
        origin.state = OriginState::Active;
        self.row.one(Counter::OriginOpened);
        self.row.one(Counter::OriginOpen);
        let began = self.exchanges.get(exchange).map_or(self.now_us, |o| o.times.connect_us);
        self.row.record(Histogram::Connect, self.now_us.saturating_sub(began));
        self.send_held(exchange);
    }

    /// A connection that never came to be is taken off the books.
    pub(crate) fn end_connecting(&mut self, key: Key) {
        let Some(mut origin) = self.origins.remove(key) else { return };
        self.wheel.remove(origin.timer);
        self.blocks.release(&mut origin.input);
        origin.outbox.clear(&mut self.blocks);
        if let Place::Held(socket) = origin.place {
            self.io.close(socket);
        }
        self.row.one(Counter::OriginConnectFailed);
        self.host.pool.give_up_place(&origin.lease.target);
        self.call_waiters(&origin.lease.target);
    }

    /// Writes what waits for the origin. Returns false when the attempt ended by it.
    fn flush_origin(&mut self, key: Key) -> bool {
        let Some(origin) = self.origins.get_mut(key) else { return false };
        let Place::Held(socket) = &origin.place else { return false };
        let exchange = origin.exchange;
        // Whether it ends well or in an error, the kernel may have taken bytes of the request by now.
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.core.sent_any = true;
        }
        match origin.outbox.flush(&mut self.io, socket, &mut self.blocks) {
            Ok(written) => {
                origin.active_ms = self.now_us / 1000;
                let drained = origin.outbox.is_empty();
                self.row.add(Counter::OriginBytesOut, written as u64);
                if drained {
                    self.upload_go(exchange);
                }
                self.origins.get(key).is_some()
            }
            Err(_) => {
                // The request cannot be sent whole; what the origin answered before it stopped reading may be here.
                origin.outbox.clear(&mut self.blocks);
                self.write_broke(exchange);
                self.origins.get(key).is_some()
            }
        }
    }

    /// Gives request bytes to the origin's socket, or to its outbox.
    pub(crate) fn send_to_origin(&mut self, exchange: Key, parts: &[&[u8]]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let key = ongoing.origin;
        let Some(origin) = self.origins.get_mut(key) else { return };
        let Place::Held(socket) = &origin.place else { return };
        let now_ms = self.now_us / 1000;
        origin.active_ms = now_ms;
        match origin.outbox.send(&mut self.io, socket, &mut self.blocks, parts, false) {
            Ok(written) => {
                ongoing.core.sent_any |= written > 0;
                ongoing.bytes_sent += written as u64;
                self.row.add(Counter::OriginBytesOut, written as u64);
                if ongoing.core.stage == Stage::Sent {
                    let due = now_ms + u64::from(ongoing.origin_plan().first_byte_ms);
                    self.wheel.arm(origin.timer, due);
                }
            }
            Err(_) => self.write_broke(exchange),
        }
    }

    /// The origin takes no more of the request. It may have answered all the same (RFC 9112 9.5), so its side is read
    /// to the end before anything is decided; nothing more of the body is sent.
    fn write_broke(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.write_broke = true;
        if let Some(origin) = self.origins.get_mut(ongoing.origin) {
            origin.readable = true;
            self.again.push(Token::Origin(ongoing.origin));
        }
    }

    /// An attempt ended without a usable answer. Decides what follows, and does it.
    pub(crate) fn attempt_failed(&mut self, exchange: Key, fault: OriginFault) -> Found {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        self.row.origin_fault(fault);
        ongoing.faults.origin = Some(fault);
        let answer_any = matches!(ongoing.core.stage, Stage::Relaying | Stage::Tunnelling);
        let weights = &ongoing.plan.origins[ongoing.origin_index as usize].weights;
        let tried = ongoing.core.tried;
        let untried = weights.iter().enumerate().filter(|(i, w)| **w > 0 && *i < 64 && tried >> i & 1 == 0).count();
        let next = decide_next(&Attempt {
            fault,
            method: ongoing.core.method,
            reused: ongoing.core.reused,
            sent_any: ongoing.core.sent_any,
            answer_any,
            body_replayable: ongoing.kept_whole,
            repeated: ongoing.core.repeated,
            untried_targets: untried as u32,
        });
        let origin = std::mem::replace(&mut ongoing.origin, Key::NONE);
        self.close_origin(origin, Counter::OriginCloseFault);
        match next {
            Next::FreshConnection => {
                self.row.one(Counter::Repeats);
                self.begin_again(exchange, true);
                self.go_on(exchange, true)
            }
            Next::NextTarget => {
                self.row.one(Counter::NextTargets);
                self.begin_again(exchange, false);
                self.go_on(exchange, false)
            }
            Next::Answer(why) => {
                self.give_up(exchange, fault, why, answer_any);
                Found::Ended
            }
        }
    }

    fn begin_again(&mut self, exchange: Key, fresh: bool) {
        self.end_waiting(exchange);
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.core.begin_again(fresh);
            ongoing.write_broke = false;
            ongoing.times.first_byte_us = 0;
        }
    }

    /// Another attempt. One that has its connection at once sends its request in the next pass: whoever noticed the
    /// fault may be in the middle of handing over this request's body.
    fn go_on(&mut self, exchange: Key, fresh: bool) -> Found {
        let found = if fresh { self.connect_to_target(exchange, true) } else { self.find_connection(exchange) };
        if found == Found::Connection {
            self.again.push(Token::Exchange(exchange));
            return Found::Later;
        }
        found
    }

    /// The pass has come for an exchange that got its connection in the one before.
    pub(crate) fn exchange_go(&mut self, exchange: Key) {
        if self.exchanges.get(exchange).is_some_and(|o| o.core.stage == Stage::Choosing && !o.origin.is_none()) {
            self.send_held(exchange);
        }
    }

    fn give_up(&mut self, exchange: Key, fault: OriginFault, why: WhyNoRetry, answer_any: bool) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.faults.no_retry = Some(why);
        self.end_waiting(exchange);
        if answer_any {
            self.break_answer(exchange);
        } else {
            self.answer_fault(exchange, fault);
        }
    }

    /// The origin's bytes are not an answer.
    pub(crate) fn answer_malformed(&mut self, exchange: Key, wire: WireFault) {
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.faults.wire = Some(wire);
            let fault = if ongoing.core.stage == Stage::Relaying {
                OriginFault::BodyMalformed
            } else {
                OriginFault::MalformedHeaders
            };
            self.attempt_failed(exchange, fault);
        }
    }

    pub(crate) fn origin_due(&mut self, key: Key) {
        let Some(origin) = self.origins.get(key) else { return };
        let exchange = origin.exchange;
        match origin.state {
            OriginState::Connecting => {
                self.forget_connecting(key);
                self.attempt_failed(exchange, OriginFault::ConnectTimeout);
            }
            OriginState::Active => self.answer_due(exchange),
            OriginState::Tunnel => {}
            OriginState::Resting => {
                let Place::Pool(place) = &origin.place else { return };
                match self.host.pool.expiry_ms(self.index, *place) {
                    Some(expires_ms) if expires_ms <= self.now_ms() => {
                        let aged = origin.lease.age_due_ms <= self.now_ms();
                        let why = if aged { Counter::OriginCloseAge } else { Counter::OriginCloseIdle };
                        self.evict_resting(key, why);
                    }
                    Some(expires_ms) => self.wheel.arm(origin.timer, expires_ms),
                    None => {}
                }
            }
        }
    }

    /// As `end_connecting`, for an exchange that goes on without the connection.
    pub(crate) fn forget_connecting(&mut self, key: Key) {
        if let Some(ongoing) = self.origins.get(key).and_then(|o| self.exchanges.get_mut(o.exchange)) {
            ongoing.origin = Key::NONE;
        }
        self.end_connecting(key);
    }

    /// Takes a resting connection out of the pool and closes it, unless somebody took it before.
    pub(crate) fn evict_resting(&mut self, key: Key, why: Counter) {
        let Some(origin) = self.origins.get(key) else { return };
        let (OriginState::Resting, Place::Pool(place)) = (origin.state, &origin.place) else { return };
        if let Some(idle) = self.host.pool.evict(self.index, &origin.lease.target, *place) {
            self.row.less(Counter::OriginIdle);
            self.discard_idle(key, idle, why);
        }
    }

    fn discard_idle(&mut self, key: Key, idle: Idle<I::Socket>, why: Counter) {
        if let Some(origin) = self.origins.remove(key) {
            self.wheel.remove(origin.timer);
        }
        self.io.close(idle.socket);
        self.count_origin_closed(&idle.lease.target, why);
    }

    /// Puts a connection to rest in the pool.
    pub(crate) fn rest(&mut self, key: Key, idle_ms: u32, idle_max: u32) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        if idle_ms == 0 {
            self.close_origin(key, Counter::OriginCloseIdle);
            return;
        }
        let target = Arc::clone(&origin.lease.target);
        if target.idle_total() >= idle_max {
            match self.host.pool.take_oldest(self.index, Some(&target)) {
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
        let expires_ms = (now_ms + u64::from(idle_ms)).min(origin.lease.age_due_ms);
        let lease = origin.lease.clone();
        origin.state = OriginState::Resting;
        origin.exchange = Key::NONE;
        let Place::Held(socket) = std::mem::replace(&mut origin.place, Place::Pool(Key::NONE)) else { return };
        let idle = Idle { socket, lease, worker: self.index, slot: key, since_ms: now_ms, expires_ms };
        origin.place = Place::Pool(self.host.pool.checkin(&target, idle));
        self.wheel.arm(origin.timer, expires_ms);
        self.row.one(Counter::OriginIdle);
        self.call_waiters(&target);
    }

    /// Ends a connection this worker holds.
    pub(crate) fn close_origin(&mut self, key: Key, why: Counter) {
        let Some(origin) = self.origins.get(key) else { return };
        match origin.state {
            OriginState::Connecting => self.end_connecting(key),
            OriginState::Resting => self.evict_resting(key, why),
            OriginState::Active | OriginState::Tunnel => {
                let Some(mut origin) = self.origins.remove(key) else { return };
                self.wheel.arm(origin.timer, NEVER);
                self.wheel.remove(origin.timer);
                self.blocks.release(&mut origin.input);
                origin.outbox.clear(&mut self.blocks);
                if let Place::Held(socket) = origin.place {
                    self.io.close(socket);
                }
                self.count_origin_closed(&origin.lease.target, why);
            }
        }
    }

    /// One established connection less, for this reason; whoever waits for its place is called.
    pub(crate) fn count_origin_closed(&mut self, target: &Arc<TargetShared>, why: Counter) {
        self.row.less(Counter::OriginOpen);
        self.row.one(why);
        self.host.pool.give_up_place(target);
        self.call_waiters(target);
    }
}
