//! Owns idle origin connections, in shards that every worker of the process can reach. Never opens one (`origin.rs`)
//! and never chooses a target (`balance.rs`).
//!
//! An idle connection rests in the shard of the worker that used it last and stays in that worker's epoll, so its end
//! evicts it at once. Taking it elsewhere is a steal: the object moves under the shard's lock, and the worker that held
//! it finds the key of its now empty slot in `departed`. The lock is held for a few stores and is always waited for:
//! contention never opens or closes a connection.

use crate::idle_list::IdleLists;
pub use crate::idle_list::{Idle, Lease, Wanted};
use crate::link::Link;
use crate::slab::Key;
use crate::target::{TargetShared, TargetState};
use parking_lot::{Mutex, RwLock};
use proto::identity::Identity;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// How often a search begins again because somebody else took what it had seen.
const SEARCHES_MAX: u32 = 4;

/// A partition of the pool, alone on its cache lines.
#[repr(align(128))]
struct Shard<S> {
    inside: Mutex<Inside<S>>,
}

struct Inside<S> {
    lists: IdleLists<S>,
    /// By worker: slots whose connection was taken by another worker.
    departed: Vec<Vec<Key>>,
}

/// Whether a worker has something in a `departed` list, alone on its cache line.
#[repr(align(128))]
#[derive(Default)]
struct Flag(AtomicBool);

/// The pool of one proxy, reached by all its workers.
pub struct Pool<S> {
    shards: Box<[Shard<S>]>,
    flags: Box<[Flag]>,
    steal: bool,
    targets: RwLock<Targets>,
    /// Established and connecting, over all targets.
    open: AtomicU32,
    /// 0 = no limit.
    open_max: AtomicU32,
}

/// Targets that the plan has, and those it no longer has for as long as anybody holds them. Their numbers and the free
/// ones are all from 0 up, without a gap.
#[derive(Default)]
struct Targets {
    by_identity: HashMap<Identity, Arc<TargetShared>>,
    free: BinaryHeap<Reverse<u32>>,
}

/// A connection taken out of the pool.
pub struct Taken<S> {
    pub link: Link<S>,
    pub lease: Lease,
    /// The worker in whose epoll it is, and that worker's slot for it.
    pub worker: u32,
    pub slot: Key,
}

impl<S> Pool<S> {
    #[must_use]
    pub fn new(workers: u32, shards: u32, steal: bool, open_max: u32) -> Self {
        let departed = || (0..workers).map(|_| Vec::new()).collect();
        let shard = || Shard { inside: Mutex::new(Inside { lists: IdleLists::default(), departed: departed() }) };
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            flags: (0..workers).map(|_| Flag::default()).collect(),
            steal,
            targets: RwLock::default(),
            open: AtomicU32::new(0),
            open_max: AtomicU32::new(open_max),
        }
    }

    /// Another bound over all targets; 0 = none. What is open beyond it stays.
    pub fn set_open_max(&self, open_max: u32) {
        self.open_max.store(open_max, Relaxed);
    }

    /// What all workers share about a target; made at the first mention of its identity.
    pub fn target(&self, identity: &Identity) -> Arc<TargetShared> {
        if let Some(found) = self.targets.read().by_identity.get(identity) {
            return Arc::clone(found);
        }
        let mut targets = self.targets.write();
        let Targets { by_identity, free } = &mut *targets;
        if let Some(found) = by_identity.get(identity) {
            return Arc::clone(found);
        }
        let number = free.pop().map_or(by_identity.len() as u32, |Reverse(number)| number);
        let sibling = by_identity.values().find(|t| t.identity.origin == identity.origin);
        let origin = sibling.map_or_else(Arc::default, |t| Arc::clone(&t.origin));
        let made = Arc::new(TargetShared::new(number, identity.clone(), origin, self.shards.len()));
        by_identity.insert(identity.clone(), Arc::clone(&made));
        made
    }

    /// Forgets targets that no plan has and nobody holds; their numbers are given to others.
    pub fn forget_removed(&self) {
        let mut targets = self.targets.write();
        let Targets { by_identity, free } = &mut *targets;
        by_identity.retain(|_, target| {
            // Whoever does not hold it by now would have to come through this lock.
            let forgotten = target.state() == TargetState::Removed && Arc::strong_count(target) == 1;
            if forgotten {
                free.push(Reverse(target.number));
            }
            !forgotten
        });
    }

    #[must_use]
    pub fn shard_of(&self, worker: u32) -> usize {
        worker as usize % self.shards.len()
    }

    /// Takes the newest idle connection to a target: from the worker's own shard, then, if stealing, from the others.
    /// One that moved behind the search's back is searched for again, so a miss means that all were in use.
    pub fn checkout(&self, worker: u32, target: &TargetShared, wanted: &Wanted<'_>) -> Option<Taken<S>> {
        let own = self.shard_of(worker);
        let reach = if self.steal { self.shards.len() } else { 1 };
        for _ in 0..SEARCHES_MAX {
            let mut seen_any = false;
            for step in 0..reach {
                let shard = (own + step) % self.shards.len();
                if target.idle[shard].load(Relaxed) == 0 {
                    continue;
                }
                seen_any = true;
                if let Some(taken) = self.take_from(shard, worker, target, wanted) {
                    return Some(taken);
                }
            }
            if !seen_any {
                break;
            }
        }
        None
    }

    fn take_from(&self, shard: usize, worker: u32, target: &TargetShared, wanted: &Wanted<'_>) -> Option<Taken<S>> {
        let mut inside = self.shards[shard].inside.lock();
        let idle = inside.lists.take_newest(target.number, worker, wanted)?;
        target.idle[shard].fetch_sub(1, Relaxed);
        Some(self.leave(&mut inside, worker, idle))
    }

    /// Tells the worker that held the connection, unless it is the one that takes it.
    fn leave(&self, inside: &mut Inside<S>, worker: u32, idle: Idle<S>) -> Taken<S> {
        if idle.worker != worker {
            inside.departed[idle.worker as usize].push(idle.slot);
            self.flags[idle.worker as usize].0.store(true, Relaxed);
        }
        Taken { link: idle.link, lease: idle.lease, worker: idle.worker, slot: idle.slot }
    }

    /// Puts a connection to rest in its worker's shard. The key finds it again for as long as it rests there.
    pub fn checkin(&self, target: &TargetShared, idle: Idle<S>) -> Key {
        let shard = self.shard_of(idle.worker);
        let mut inside = self.shards[shard].inside.lock();
        target.idle[shard].fetch_add(1, Relaxed);
        inside.lists.put(target.number, idle)
    }

    /// Takes one particular connection of the worker's own out of its shard: it closed, spoke, or grew too old.
    /// `None` means that somebody else has it by now.
    pub fn evict(&self, worker: u32, target: &TargetShared, place: Key) -> Option<Idle<S>> {
        let shard = self.shard_of(worker);
        let mut inside = self.shards[shard].inside.lock();
        let idle = inside.lists.remove(place)?;
        target.idle[shard].fetch_sub(1, Relaxed);
        Some(idle)
    }

    /// When a resting connection of the worker's own must go; `None` when it no longer rests there.
    #[must_use]
    pub fn expiry_ms(&self, worker: u32, place: Key) -> Option<u64> {
        self.shards[self.shard_of(worker)].inside.lock().lists.get(place).map(|idle| idle.expires_ms)
    }

    /// Takes the connection that has been idle longest among those to targets for which `which` holds.
    pub fn take_oldest(&self, worker: u32, which: impl Fn(&TargetShared) -> bool) -> Option<Taken<S>> {
        let own = self.shard_of(worker);
        (0..self.shards.len()).map(|step| (own + step) % self.shards.len()).find_map(|shard| {
            let mut inside = self.shards[shard].inside.lock();
            let idle = inside.lists.take_oldest(&which)?;
            idle.lease.target.idle[shard].fetch_sub(1, Relaxed);
            Some(self.leave(&mut inside, worker, idle))
        })
    }

    /// Slots of this worker whose connections were stolen since the last call.
    pub fn drain_departed(&self, worker: u32, into: &mut Vec<Key>) {
        let flag = &self.flags[worker as usize].0;
        if !flag.load(Relaxed) {
            return;
        }
        flag.store(false, Relaxed);
        // Only the worker's own parking puts connections into a shard under its number, so one shard holds them all.
        let mut inside = self.shards[self.shard_of(worker)].inside.lock();
        into.append(&mut inside.departed[worker as usize]);
    }

    /// Empties what a dead worker left resting.
    pub fn take_all_of(&self, worker: u32) -> Vec<Idle<S>> {
        let shard = self.shard_of(worker);
        let mut inside = self.shards[shard].inside.lock();
        inside.departed[worker as usize].clear();
        let taken = inside.lists.take_all(|idle| idle.worker == worker);
        taken.iter().for_each(|idle| {
            idle.lease.target.idle[shard].fetch_sub(1, Relaxed);
        });
        taken
    }

    /// Takes the worker's resting connections that belong to one client.
    pub fn take_owned(&self, worker: u32, owner: u64) -> Vec<Idle<S>> {
        let shard = self.shard_of(worker);
        let owned = |idle: &Idle<S>| {
            idle.worker == worker && idle.lease.bound.as_ref().is_some_and(|bound| bound.owner == Some(owner))
        };
        let taken = self.shards[shard].inside.lock().lists.take_all(owned);
        taken.iter().for_each(|idle| {
            idle.lease.target.idle[shard].fetch_sub(1, Relaxed);
        });
        taken
    }

    /// Every target, those included that no plan has any more but somebody holds, in the order of their numbers.
    #[must_use]
    pub fn all_targets(&self) -> Vec<Arc<TargetShared>> {
        let mut all: Vec<Arc<TargetShared>> = self.targets.read().by_identity.values().cloned().collect();
        all.sort_by_key(|target| target.number);
        all
    }

    /// Takes a dead worker's requests out of every line.
    pub fn forget_waiters_of(&self, worker: u32) {
        self.targets.read().by_identity.values().for_each(|target| target.leave_all_of(worker));
    }

    /// Asks for room for one more connection to this target. A yes must be given back by `give_up_place`.
    pub fn ask_for_place(&self, target: &TargetShared, target_max: u32, origin_max: u32) -> bool {
        let open_max = self.open_max.load(Relaxed);
        let bounds = [(&self.open, open_max), (&target.open, target_max), (&target.origin.open, origin_max)];
        for (place, (count, max)) in bounds.iter().enumerate() {
            if count.fetch_add(1, Relaxed) >= *max && *max != 0 {
                bounds[..=place].iter().for_each(|(count, _)| {
                    count.fetch_sub(1, Relaxed);
                });
                return false;
            }
        }
        true
    }

    pub fn give_up_place(&self, target: &TargetShared) {
        for count in [&self.open, &target.open, &target.origin.open] {
            count.fetch_sub(1, Relaxed);
        }
    }

    /// Established and connecting, over all targets.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    /// Whether the limit over all targets is what stands in the way.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let open_max = self.open_max.load(Relaxed);
        open_max != 0 && self.open.load(Relaxed) >= open_max
    }

    /// Some target at which a request waits for room that `freed` may have made: another of its origin, or, when room
    /// over all targets is what may lack, any.
    #[must_use]
    pub fn waiting_beside(&self, freed: &TargetShared) -> Option<Arc<TargetShared>> {
        let of_origin = freed.origin.waiting.load(Relaxed) > 0;
        let bounded = self.open_max.load(Relaxed) != 0;
        if !of_origin && !bounded {
            return None;
        }
        let waits = |t: &&Arc<TargetShared>| t.waiting.load(Relaxed) > 0;
        let targets = self.targets.read();
        // By number, not in the order of the map: what is told the same dice does the same.
        let first = |of_origin: bool| {
            let beside = targets.by_identity.values().filter(|t| !of_origin || Arc::ptr_eq(&t.origin, &freed.origin));
            beside.filter(waits).min_by_key(|t| t.number)
        };
        first(true).or_else(|| if bounded { first(false) } else { None }).cloned()
    }

    /// Whether idle connections may rest where a worker cannot take them.
    #[must_use]
    pub fn is_split(&self) -> bool {
        !self.steal && self.shards.len() > 1
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
