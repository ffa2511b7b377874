//! What holds for target choice, tried on seeded random origins. A failure names its seed.

mod cost;
mod hashing;
mod order;
mod parts;
mod shares;

use super::hash::mix;
use super::{Asked, Balancer, Candidate};
use crate::plan::{Balance, HashBy};

const POLICIES: usize = 4;

fn policy(which: usize) -> Balancer {
    Balancer::new(&match which {
        0 => Balance::RoundRobin,
        1 => Balance::LeastConnections,
        2 => Balance::TwoChoices,
        _ => Balance::ConsistentHash { by: HashBy::Path, bound_percent: 125 },
    })
}

fn consistent(bound_percent: u32) -> Balancer {
    Balancer::new(&Balance::ConsistentHash { by: HashBy::Path, bound_percent })
}

/// A target that may be used, the `name`th.
fn target(name: u64, weight: u32) -> Candidate {
    Candidate {
        weight,
        inflight: 0,
        latency_us: 0,
        tier: 0,
        same_zone: false,
        name_hash: mix(name + 1),
        tried: false,
        warm: false,
    }
}

fn targets(weights: &[u32]) -> Vec<Candidate> {
    (0..).zip(weights).map(|(name, &weight)| target(name, weight)).collect()
}

/// Small seeded dice: the same seed gives the same test on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, n: u32) -> u32 {
        ((u128::from(self.roll()) * u128::from(n)) >> 64) as u32
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn asked(&mut self) -> Asked {
        Asked { key_hash: self.roll(), sticky: None, dice: self.roll() }
    }

    /// Between `least` and `most` targets with weights up to `heaviest`.
    fn weights(&mut self, least: u32, most: u32, heaviest: u32) -> Vec<u32> {
        (0..least + self.below(most - least + 1)).map(|_| 1 + self.below(heaviest)).collect()
    }

    fn shuffle<T>(&mut self, what: &mut [T]) {
        for end in (1..what.len()).rev() {
            what.swap(end, self.below(end as u32 + 1) as usize);
        }
    }
}

/// Asserts that `taken` lies around `expected`, as often as chance lets it: five standard deviations of a binomial, and
/// `slack` of it.
fn assert_near(taken: u32, all: u32, share: f64, slack: f64, what: &str) {
    let expected = f64::from(all) * share;
    let off = (f64::from(taken) - expected).abs();
    let allowed = 5.0 * (expected * (1.0 - share)).sqrt() + slack * expected + 1.0;
    assert!(off <= allowed, "{what}: {taken} of {all}, expected {expected:.0} ± {allowed:.0}");
}
