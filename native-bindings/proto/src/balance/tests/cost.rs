//! What a choice costs. `cargo test --release -p millrace-proto what_a_choice_costs -- --nocapture` prints it.

use super::{Dice, POLICIES, policy, targets};
use std::hint::black_box;
use std::time::Instant;

const NAMES: [&str; POLICIES] = ["round robin", "least connections", "two choices", "consistent hash"];
const ROUNDS: u32 = 7;

/// The best of some rounds in ns, which is what the work costs when nobody disturbs it.
fn ns_per_choice(which: usize, count: usize, weight: impl Fn(usize) -> u32) -> f64 {
    let mut dice = Dice(4);
    let mut candidates = targets(&(0..count).map(weight).collect::<Vec<_>>());
    candidates.iter_mut().for_each(|one| (one.inflight, one.latency_us) = (10 + dice.below(3), 900 + dice.below(200)));
    let mut balancer = policy(which);
    let choices = (100_000 / count as u32).clamp(100, 10_000);
    let round = || {
        let began = Instant::now();
        for _ in 0..choices {
            black_box(balancer.choose(black_box(&candidates), &dice.asked()));
        }
        began.elapsed().as_secs_f64() * 1e9 / f64::from(choices)
    };
    std::iter::repeat_with(round).take(ROUNDS as usize).fold(f64::INFINITY, f64::min)
}

#[test]
fn what_a_choice_costs() {
    for (which, name) in NAMES.into_iter().enumerate() {
        let equal: Vec<f64> = [1, 4, 64, 1_000].map(|count| ns_per_choice(which, count, |_| 256)).to_vec();
        let mixed = ns_per_choice(which, 1_000, |place| 1 + (place as u32 * 7) % 256);
        println!("{name:<18} ns for 1, 4, 64, 1000 targets: {equal:>9.1?}; 1000 of all weights: {mixed:.1}");
        // Far above any machine's figure, and far below what anything but one pass over the targets would take.
        assert!(equal[3].max(mixed) < 300_000.0, "{name} is not one pass over the targets");
    }
}
