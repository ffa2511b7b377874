//! The retry budget of the whole process: further attempts may be at most a share of the requests of the last ten
//! seconds, plus a small number a second so that a quiet proxy can retry at all. On by default, because retries without
//! a budget turn a slow origin into a dead one.

use parking_lot::Mutex;
use proto::plan::RetryBudget;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Length of the window in seconds, and so its number of slots.
const WINDOW_S: usize = 10;

pub struct Budget {
    percent: AtomicU32,
    per_second: AtomicU32,
    slots: Mutex<[Slot; WINDOW_S]>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    second: u64,
    requests: u64,
    retries: u64,
}

impl Budget {
    #[must_use]
    pub fn new(plan: &RetryBudget) -> Self {
        Self {
            percent: AtomicU32::new(plan.percent),
            per_second: AtomicU32::new(plan.per_second),
            slots: Mutex::new([Slot::default(); WINDOW_S]),
        }
    }

    /// Other bounds from now on; what the window holds stays counted.
    pub fn set(&self, plan: &RetryBudget) {
        self.percent.store(plan.percent, Relaxed);
        self.per_second.store(plan.per_second, Relaxed);
    }

    /// Counts the requests a worker began in a turn.
    pub fn deposit(&self, requests: u64, now_ms: u64) {
        slot(&mut self.slots.lock(), now_ms / 1000).requests += requests;
    }

    /// Takes one further attempt out of the budget, if it holds one.
    pub fn withdraw(&self, now_ms: u64) -> bool {
        let second = now_ms / 1000;
        let mut slots = self.slots.lock();
        let recent = slots.iter().filter(|s| s.second + WINDOW_S as u64 > second);
        let (requests, retries) = recent.fold((0, 0), |(a, b), s| (a + s.requests, b + s.retries));
        let [percent, per_second] = [&self.percent, &self.per_second].map(|bound| u64::from(bound.load(Relaxed)));
        let allowed = requests * percent / 100 + per_second * WINDOW_S as u64;
        if retries >= allowed {
            return false;
        }
        slot(&mut slots, second).retries += 1;
        true
    }
}

fn slot(slots: &mut [Slot; WINDOW_S], second: u64) -> &mut Slot {
    let slot = &mut slots[(second % WINDOW_S as u64) as usize];
    if slot.second != second {
        *slot = Slot { second, ..Slot::default() };
    }
    slot
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &Budget, now_ms: u64) -> usize {
        (0..1_000_000).take_while(|_| budget.withdraw(now_ms)).count()
    }

    #[test]
    fn retries_are_a_share_of_recent_requests_and_a_floor() {
        let budget = Budget::new(&RetryBudget { percent: 20, per_second: 1 });
        budget.deposit(1000, 5_000);
        assert_eq!(taken(&budget, 5_000), 200 + 10);
        assert_eq!(taken(&budget, 14_000), 0, "still the same window");
        assert_eq!(taken(&budget, 15_001), 10, "requests and retries of ten seconds ago are forgotten");
    }

    #[test]
    fn a_reload_changes_the_bounds_and_forgets_no_request() {
        let budget = Budget::new(&RetryBudget { percent: 0, per_second: 0 });
        budget.deposit(1000, 5_000);
        assert!(!budget.withdraw(5_000));
        budget.set(&RetryBudget { percent: 10, per_second: 0 });
        assert_eq!(taken(&budget, 5_000), 100);
    }

    #[test]
    fn a_budget_of_nothing_allows_nothing() {
        let budget = Budget::new(&RetryBudget { percent: 0, per_second: 0 });
        budget.deposit(1000, 0);
        assert!(!budget.withdraw(0));
    }
}
