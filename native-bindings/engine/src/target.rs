//! What all workers share about one target: how many connections there are, where idle ones rest, who waits for one.

use crate::slab::Key;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// One target, over all workers.
pub struct TargetShared {
    /// Number of the target in the pool's lists.
    pub number: u32,
    /// Established and connecting, of all workers.
    pub open: AtomicU32,
    /// Idle connections by shard: a hint that spares locking in vain.
    pub idle: Box<[AtomicU32]>,
    /// Length of `queue`, readable without its lock.
    pub waiting: AtomicU32,
    queue: Mutex<VecDeque<Waiter>>,
}

/// A request that waits for a connection to this target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiter {
    pub worker: u32,
    pub exchange: Key,
}

impl TargetShared {
    #[must_use]
    pub fn new(number: u32, shards: usize) -> Self {
        Self {
            number,
            open: AtomicU32::new(0),
            idle: (0..shards).map(|_| AtomicU32::new(0)).collect(),
            waiting: AtomicU32::new(0),
            queue: Mutex::new(VecDeque::new()),
        }
    }

    #[must_use]
    pub fn idle_total(&self) -> u32 {
        self.idle.iter().map(|i| i.load(Relaxed)).sum()
    }

    /// Joins the queue, first come first served; false when it is full. A waiter that was called and found nothing
    /// goes back to the front.
    pub fn wait(&self, waiter: Waiter, length_max: u32, in_front: bool) -> bool {
        let mut queue = self.queue.lock();
        if !in_front && queue.len() >= length_max as usize {
            return false;
        }
        if in_front {
            queue.push_front(waiter);
        } else {
            queue.push_back(waiter);
        }
        self.waiting.store(queue.len() as u32, Relaxed);
        true
    }

    pub fn call_next(&self) -> Option<Waiter> {
        let mut queue = self.queue.lock();
        let waiter = queue.pop_front();
        self.waiting.store(queue.len() as u32, Relaxed);
        waiter
    }

    /// The next in line, without calling it.
    #[must_use]
    pub fn first(&self) -> Option<Waiter> {
        self.queue.lock().front().copied()
    }

    /// Leaves the queue; false when the waiter had been called already.
    pub fn leave(&self, waiter: Waiter) -> bool {
        let mut queue = self.queue.lock();
        let before = queue.len();
        queue.retain(|w| *w != waiter);
        self.waiting.store(queue.len() as u32, Relaxed);
        queue.len() != before
    }

    /// Forgets all that a dead worker's requests waited for.
    pub fn leave_all_of(&self, worker: u32) {
        let mut queue = self.queue.lock();
        queue.retain(|w| w.worker != worker);
        self.waiting.store(queue.len() as u32, Relaxed);
    }
}
