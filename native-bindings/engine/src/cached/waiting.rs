//! A request waits for another one's answer: until that is there, or turns out to be of no use, or for as long as the
//! route says.

use crate::cached::request::Way;
use crate::cached::side::Role;
use crate::hot::Landed;
use crate::io::Io;
use crate::slab::Key;
use crate::worker::Worker;
use proto::exchange::Stage;

impl<I: Io> Worker<I> {
    /// Begins to wait for the fetch it follows.
    pub(crate) fn begin_waiting(&mut self, exchange: Key) {
        let now_ms = self.now_ms();
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let wait_ms = ongoing.cache_policy().map_or(0, |policy| policy.coalesce.wait_ms);
        let began_ms = ongoing.times.began_us / 1000;
        ongoing.core.stage = Stage::Waiting;
        ongoing.wait_due_ms = (began_ms + u64::from(wait_ms)).max(now_ms);
        self.arm_exchange(exchange);
    }

    /// What it waited for came, or somebody who reads or writes with it moved on.
    pub(crate) fn cache_rang(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let Some(side) = ongoing.cached.as_ref() else { return };
        if side.reading.is_some() {
            self.reading_go(exchange);
            return;
        }
        if side.fill.is_some() {
            self.fill_rang(exchange);
            return;
        }
        let Role::Follows(flight) = &side.role else { return };
        match flight.state() {
            Landed::Open => {}
            Landed::LookAgain => self.go_on_waiting(exchange),
            Landed::Released => self.stop_waiting(exchange),
        }
    }

    /// The answer it waited for is there: perhaps it will do.
    fn go_on_waiting(&mut self, exchange: Key) {
        if let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) {
            (side.role, side.collapsed) = (Role::Alone, true);
        }
        self.go_on_from_memory(exchange);
    }

    /// Something is in memory that was not there before: looks once more.
    pub(crate) fn go_on_from_memory(&mut self, exchange: Key) {
        self.end_waiting(exchange);
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.core.stage = Stage::Choosing;
        let Some((head, bytes)) = self.take_head(exchange) else { return };
        self.look_again(exchange, &head, &bytes);
        // What the others' answer is no answer to is nobody else's business any more.
        let way = self.go_by_verdict(exchange, &head, &bytes);
        self.put_head(exchange, (head, bytes));
        if way == Way::Origin {
            self.go_to_origin(exchange);
        }
    }

    /// It waited long enough, or for nothing: it asks for itself.
    pub(crate) fn stop_waiting(&mut self, exchange: Key) {
        let waiter = self.waiter_of(exchange);
        let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) else { return };
        side.collapsed = false;
        if let Role::Follows(flight) = &side.role {
            flight.leave(waiter);
            side.role = Role::Alone;
        }
        let ticket = side.ticket.take();
        self.forget_question(ticket);
        self.go_to_origin(exchange);
    }
}
