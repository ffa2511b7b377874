//! What all workers share about one target: how many connections there are, where idle ones rest, who waits for one,
//! whether it may be used, and what was learned about it.
//!
//! ```text
//! state     promises                                   left for (by whom)
//! UP        takes its share                            DOWN (health), DRAINING (admin), REMOVED (a plan without it)
//! DOWN      takes nothing, unless too few are up       SUSPECT, UP (health), DRAINING, REMOVED
//! SUSPECT   takes a few tries                          UP, DOWN (health), DRAINING, REMOVED
//! DRAINING  takes nothing, finishes, keeps nothing     UP (admin), REMOVED
//! REMOVED   as DRAINING                                UP (a plan with it)
//! ```

use crate::learned::LearnedIdle;
use crate::shared_origin::Multiplexed;
use crate::slab::Key;
use crate::tls_client::TargetTls;
use parking_lot::Mutex;
use proto::failure::Rung;
use proto::identity::Identity;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TargetState {
    Up = 0,
    Down = 1,
    Suspect = 2,
    Draining = 3,
    Removed = 4,
}

impl TargetState {
    const ALL: [Self; 5] = [Self::Up, Self::Down, Self::Suspect, Self::Draining, Self::Removed];

    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Suspect => "suspect",
            Self::Draining => "draining",
            Self::Removed => "removed",
        }
    }

    #[must_use]
    pub fn of_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.token() == token)
    }

    /// Whether its idle connections may be kept and used.
    #[must_use]
    pub const fn keeps_connections(self) -> bool {
        !matches!(self, Self::Draining | Self::Removed)
    }
}

/// The same over all targets of an origin.
#[derive(Default)]
pub struct OriginShared {
    /// Established and connecting.
    pub open: AtomicU32,
    /// Requests in the lines of all its targets.
    pub waiting: AtomicU32,
}

pub struct TargetShared {
    /// Number of the target in the pool's lists.
    pub number: u32,
    pub identity: Identity,
    /// How TLS is spoken to it; set by the first plan that has this identity.
    pub tls: OnceLock<Arc<TargetTls>>,
    /// Established and connecting, of all workers.
    pub open: AtomicU32,
    pub origin: Arc<OriginShared>,
    /// Its connections of HTTP/2.
    pub multiplexed: Multiplexed,
    /// Idle connections by shard: a hint that spares locking in vain.
    pub idle: Box<[AtomicU32]>,
    /// Length of `queue`, readable without its lock.
    pub waiting: AtomicU32,
    queue: Mutex<VecDeque<Waiter>>,
    state: AtomicU8,
    /// Monotonic ms at which it came up; 0 = it was never away.
    pub up_since_ms: AtomicU64,
    /// Requests under way; counted only where a balancer asks for it.
    pub inflight: AtomicU32,
    /// Smoothed time to the first byte of an answer, in µs; 0 = unknown.
    pub latency_us: AtomicU32,
    pub learned_idle: LearnedIdle,
    /// Connections that never carried a request: resting or being opened.
    pub standby: AtomicU32,
    pub succeeded: AtomicU64,
    /// By rung: TCP, TLS, silence, broken.
    pub failed: [AtomicU64; 4],
    /// Failures since the last success.
    pub in_row: AtomicU32,
    /// It promised to keep a connection whose answer only a close could end, and that was said.
    pub promise_broken: AtomicBool,
}

/// A request that waits for a connection to this target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiter {
    pub worker: u32,
    pub exchange: Key,
}

impl TargetShared {
    #[must_use]
    pub fn new(number: u32, identity: Identity, origin: Arc<OriginShared>, shards: usize) -> Self {
        Self {
            number,
            identity,
            tls: OnceLock::new(),
            open: AtomicU32::new(0),
            origin,
            multiplexed: Multiplexed::default(),
            idle: (0..shards).map(|_| AtomicU32::new(0)).collect(),
            waiting: AtomicU32::new(0),
            queue: Mutex::new(VecDeque::new()),
            state: AtomicU8::new(TargetState::Up as u8),
            up_since_ms: AtomicU64::new(0),
            inflight: AtomicU32::new(0),
            latency_us: AtomicU32::new(0),
            learned_idle: LearnedIdle::default(),
            standby: AtomicU32::new(0),
            succeeded: AtomicU64::new(0),
            failed: [const { AtomicU64::new(0) }; 4],
            in_row: AtomicU32::new(0),
            promise_broken: AtomicBool::new(false),
        }
    }

    #[must_use]
    pub fn state(&self) -> TargetState {
        TargetState::ALL[usize::from(self.state.load(Relaxed)) % TargetState::ALL.len()]
    }

    pub fn set_state(&self, state: TargetState, now_ms: u64) {
        let before = self.state.swap(state as u8, Relaxed);
        if state == TargetState::Up && before != state as u8 {
            self.up_since_ms.store(now_ms, Relaxed);
            self.in_row.store(0, Relaxed);
        }
    }

    /// Counts failures that say something about the target.
    pub fn count_failure(&self, rung: Rung) {
        if let Some(place) = (rung as usize).checked_sub(1) {
            self.failed[place].fetch_add(1, Relaxed);
            self.in_row.fetch_add(1, Relaxed);
        }
    }

    /// Counts successes, gathered by a worker over a turn.
    pub fn count_successes(&self, count: u32) {
        self.succeeded.fetch_add(u64::from(count), Relaxed);
        if self.in_row.load(Relaxed) != 0 {
            self.in_row.store(0, Relaxed);
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
        self.origin.waiting.fetch_add(1, Relaxed);
        self.waiting.store(queue.len() as u32, Relaxed);
        true
    }

    pub fn call_next(&self) -> Option<Waiter> {
        let mut queue = self.queue.lock();
        let waiter = queue.pop_front();
        self.waiting.store(queue.len() as u32, Relaxed);
        if waiter.is_some() {
            self.origin.waiting.fetch_sub(1, Relaxed);
        }
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
        self.origin.waiting.fetch_sub((before - queue.len()) as u32, Relaxed);
        queue.len() != before
    }

    /// Forgets all that a dead worker's requests waited for.
    pub fn leave_all_of(&self, worker: u32) {
        let mut queue = self.queue.lock();
        let before = queue.len();
        queue.retain(|w| w.worker != worker);
        self.waiting.store(queue.len() as u32, Relaxed);
        self.origin.waiting.fetch_sub((before - queue.len()) as u32, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> TargetShared {
        TargetShared::new(0, Identity::plain("o", ([127, 0, 0, 1], 80).into()), Arc::default(), 1)
    }

    #[test]
    fn a_success_ends_a_row_of_failures() {
        let target = target();
        target.count_failure(Rung::Nothing);
        assert_eq!(target.in_row.load(Relaxed), 0);
        target.count_failure(Rung::Broken);
        target.count_failure(Rung::Tcp);
        assert_eq!(target.in_row.load(Relaxed), 2);
        target.count_successes(1);
        assert_eq!(target.in_row.load(Relaxed), 0);
        assert_eq!(target.failed[3].load(Relaxed), 1);
    }
}
