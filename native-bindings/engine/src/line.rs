//! The line before a target whose connections are all in use: first come first served over all workers, bounded in
//! length and time. Whoever frees a connection or a place calls the first in line, on whichever worker it waits.

use crate::forward::Found;
use crate::host::Message;
use crate::io::Io;
use crate::slab::Key;
use crate::stats::Counter;
use crate::target::{TargetShared, Waiter};
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::fault::OriginFault;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl<I: Io> Worker<I> {
    /// Waits for a connection of the target, first come first served.
    pub(crate) fn wait_in_line(&mut self, exchange: Key, target: &Arc<TargetShared>) -> Found {
        let waiter = Waiter { worker: self.index, exchange };
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        let called_before = ongoing.in_line;
        let pool = &ongoing.plan.plan.pool;
        let (length_max, wait_ms) = (pool.queue_length, pool.queue_wait_ms);
        if !target.wait(waiter, length_max, called_before) {
            return self.attempt_failed(exchange, OriginFault::PoolFull);
        }
        ongoing.core.stage = Stage::Queued;
        if !called_before {
            ongoing.in_line = true;
            ongoing.wait_due_ms = self.now_us / 1000 + u64::from(wait_ms);
            self.arm_exchange(exchange);
            self.row.one(Counter::Queued);
            self.row.one(Counter::QueueLength);
        }
        // A place may have become free between asking for it and joining the line, and nobody would call for it again.
        let bounds =
            self.exchanges.get(exchange).map(|o| (o.origin_plan().target_connections, o.origin_plan().connections));
        let (target_max, origin_max) = bounds.unwrap_or_default();
        let room = (target_max == 0 || target.open.load(Relaxed) < target_max)
            && (origin_max == 0 || target.origin.open.load(Relaxed) < origin_max);
        if (room || target.idle_total() > 0) && !self.host.pool.is_full() {
            self.call_waiters(target);
        }
        Found::Later
    }

    /// The exchange was called out of the line; one that has gone passes the call on.
    pub(crate) fn called(&mut self, exchange: Key, target: Arc<TargetShared>) {
        let waiting = self.exchanges.get_mut(exchange).filter(|o| o.core.stage == Stage::Queued);
        let Some(ongoing) = waiting else {
            self.call_waiters(&target);
            return;
        };
        ongoing.core.stage = Stage::Choosing;
        // A repeat waited for a connection that carried nothing before: another stale one would end it.
        let fresh = ongoing.core.repeated;
        let multiplexed = target.identity.http.has_http2() && self.take_stream(exchange, &target);
        let reused = match () {
            () if multiplexed => Ok(()),
            () if fresh => Err(Counter::NewRepeat),
            () => self.reuse(exchange, &target),
        };
        let found = match reused {
            Ok(()) => Found::Connection,
            Err(why) if self.find_place(exchange, &target, fresh) => self.open_connection(exchange, target, why),
            Err(_) => self.wait_in_line(exchange, &target),
        };
        match found {
            Found::Connection => {
                self.end_waiting(exchange);
                self.send_held(exchange);
            }
            Found::Later => {
                if self.exchanges.get(exchange).is_some_and(|o| o.core.stage != Stage::Queued) {
                    self.end_waiting(exchange);
                }
            }
            Found::Ended => {}
        }
    }

    /// The exchange waits for nothing any more, but for the end of its whole time.
    pub(crate) fn end_waiting(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        if std::mem::take(&mut ongoing.in_line) {
            self.row.less(Counter::QueueLength);
        }
        if ongoing.wait_due_ms != NEVER {
            ongoing.wait_due_ms = NEVER;
            self.arm_exchange(exchange);
        }
    }

    pub(crate) fn queue_wait_over(&mut self, exchange: Key) {
        self.leave_line(exchange);
        self.attempt_failed(exchange, OriginFault::PoolFull);
    }

    /// Leaves the line without having been served; passes a call on that was already made.
    pub(crate) fn leave_line(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        if ongoing.core.stage == Stage::Queued {
            let target = Arc::clone(ongoing.target_shared());
            if !target.leave(Waiter { worker: self.index, exchange }) {
                self.call_waiters(&target);
            }
        }
        self.end_waiting(exchange);
    }

    /// A connection or a place became free: whoever waits longest is called, on whichever worker it is.
    pub(crate) fn call_waiters(&mut self, target: &Arc<TargetShared>) {
        let elsewhere = if target.waiting.load(Relaxed) == 0 { self.host.pool.waiting_beside(target) } else { None };
        let target = elsewhere.as_ref().unwrap_or(target);
        if target.waiting.load(Relaxed) == 0 {
            return;
        }
        if let Some(waiter) = target.call_next() {
            let message = Message::Called { exchange: waiter.exchange, target: Arc::clone(target) };
            if self.host.inboxes[waiter.worker as usize].push(message).is_err() {
                // Its worker is drowning; the waiter keeps its place and its wait limit.
                target.wait(waiter, u32::MAX, true);
                return;
            }
            self.io.ring(waiter.worker);
        }
    }
}
