//! However an exchange ends, what others had to do with it is settled here: who waits is told, what is not whole is not
//! kept, a reader's place is given up.

use crate::cached::side::Role;
use crate::exchange::Ongoing;
use crate::hot::{Flight, Landed, Waiter};
use crate::io::Io;
use crate::slab::Key;
use crate::worker::Worker;
use std::sync::Arc;

impl<I: Io> Worker<I> {
    /// The exchange is off the books already.
    pub(crate) fn leave_cache(&mut self, exchange: Key, ongoing: &mut Ongoing) {
        let Some(mut side) = ongoing.cached.take() else { return };
        if let Some(reading) = side.reading.as_mut() {
            if let Some(writer) = reading.leave() {
                self.ring_waiter(writer);
            }
        }
        self.forget_question(side.ticket.take());
        if let Some(entry) = side.fill.take() {
            self.end_fill(ongoing, &entry, side.joins.take());
        }
        match std::mem::take(&mut side.role) {
            Role::Alone => {}
            Role::Follows(flight) => flight.leave(self.waiter_of(exchange)),
            // An answer that was not kept is nobody else's, nor is the fault of an origin.
            Role::Leads(flight) => self.land(&flight, Landed::Released),
        }
        ongoing.cached = Some(side);
    }

    /// An exchange that leads a fetch is through with that, whatever becomes of itself.
    pub(crate) fn land_lead(&mut self, exchange: Key) {
        let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) else { return };
        if let Some(flight) = side.flight().cloned() {
            side.role = Role::Alone;
            self.land(&flight, Landed::LookAgain);
        }
    }

    /// Tells those who wait for a fetch what came of it.
    pub(crate) fn land(&mut self, flight: &Arc<Flight>, landed: Landed) {
        let mut waiters = std::mem::take(&mut self.waiters);
        self.host.hot.land(flight, landed, &mut waiters);
        self.ring_all(waiters);
    }

    pub(crate) fn ring_all(&mut self, mut waiters: Vec<Waiter>) {
        for waiter in waiters.drain(..) {
            self.ring_waiter(waiter);
        }
        self.waiters = waiters;
    }
}
