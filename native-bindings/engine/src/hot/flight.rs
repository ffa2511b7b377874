//! One fetch that others wait for. Whoever asked first leads it; the others follow until it lands.

use crate::hot::place::Place;
use crate::hot::waiter::Waiter;
use parking_lot::Mutex;

/// What became of a flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Landed {
    /// Nothing yet.
    #[default]
    Open,
    /// There may be something now.
    LookAgain,
    /// There will be nothing for others: each goes on alone.
    Released,
}

/// See the file.
pub struct Flight {
    pub place: Place,
    target: Box<[u8]>,
    extras: Box<[u8]>,
    /// Of the request that leads it, under the names its target varied by last.
    variant: Box<[u8]>,
    /// The worker whose request that is.
    pub(super) leader: u32,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    waiters: Vec<Waiter>,
    landed: Landed,
}

impl Flight {
    pub(super) fn new(place: Place, target: &[u8], extras: &[u8], variant: &[u8], leader: u32) -> Self {
        let [target, extras, variant] = [target, extras, variant].map(Box::from);
        Self { place, target, extras, variant, leader, waiting: Mutex::default() }
    }

    pub(super) fn is_for(&self, target: &[u8], extras: &[u8], variant: &[u8]) -> bool {
        *self.target == *target && *self.extras == *extras && *self.variant == *variant
    }

    /// Joins those who wait. Anything but `Open`: it has landed, and nobody is noted.
    #[must_use]
    pub fn wait(&self, waiter: Waiter) -> Landed {
        let mut waiting = self.waiting.lock();
        if waiting.landed == Landed::Open {
            waiting.waiters.push(waiter);
        }
        waiting.landed
    }

    pub fn leave(&self, waiter: Waiter) {
        let mut waiting = self.waiting.lock();
        if let Some(place) = waiting.waiters.iter().position(|one| *one == waiter) {
            waiting.waiters.swap_remove(place);
        }
    }

    #[must_use]
    pub fn waiters(&self) -> usize {
        self.waiting.lock().waiters.len()
    }

    #[must_use]
    pub fn state(&self) -> Landed {
        self.waiting.lock().landed
    }

    /// It is over; the first word counts. Those who wait are moved into `out`.
    pub(super) fn land(&self, landed: Landed, out: &mut Vec<Waiter>) {
        debug_assert!(landed != Landed::Open);
        let mut waiting = self.waiting.lock();
        if waiting.landed == Landed::Open {
            waiting.landed = landed;
            out.append(&mut waiting.waiters);
        }
    }
}
