//! A worker was lost: nobody waits for what it was about to do, and nobody is held up by readers it had.

use crate::hot::HotCache;
use crate::hot::body::Body;
use crate::hot::entry::Entry;
use crate::hot::flight::{Flight, Landed};
use crate::hot::shard::Gone;
use crate::hot::waiter::Waiter;
use std::sync::Arc;

impl HotCache {
    /// Lands the flights that a worker led, fails what it filled, takes its readers out. Those who wait are moved into
    /// `out`; its own are not among them.
    pub fn forget_worker(&self, worker: u32, out: &mut Vec<Waiter>) {
        for room in &self.rooms {
            let (flights, bodies): (Vec<Arc<Flight>>, Vec<Arc<Body>>) = {
                let shard = room.shard.read();
                let flights = shard.slots().flat_map(|slot| slot.flights()).filter(|flight| flight.leader == worker);
                (flights.cloned().collect(), shard.growing().collect())
            };
            bodies.iter().for_each(|body| body.lose_worker(worker, out));
            let mut gone = Gone::default();
            let mut shard = room.shard.write();
            let has_failed = |entry: &&Arc<Entry>| entry.body.has_failed();
            let failed: Vec<_> = shard.slots().flat_map(|slot| slot.entries()).filter(has_failed).cloned().collect();
            failed.iter().for_each(|entry| shard.remove(entry, &mut gone));
            drop(shard);
            self.settle(room, &gone);
            flights.iter().for_each(|flight| self.land(flight, Landed::LookAgain, out));
        }
        out.retain(|waiter| waiter.worker != worker);
    }
}
