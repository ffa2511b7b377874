//! How the requests divide: by weight, as exactly as each policy promises.

use super::super::{Balancer, Candidate};
use super::{Dice, assert_near, policy, targets};
use std::collections::VecDeque;

/// Sends `requests` of which `width` are under way at any time and each lasts equally long. Returns who took how many,
/// not counting the first `width`.
fn serve(
    balancer: &mut Balancer,
    candidates: &mut [Candidate],
    requests: u32,
    width: u32,
    dice: &mut Dice,
) -> Vec<u32> {
    let mut taken = vec![0; candidates.len()];
    let mut under_way = VecDeque::new();
    for turn in 0..requests + width {
        let chosen = balancer.choose(candidates, &dice.asked()).expect("all are usable");
        candidates[chosen].inflight += 1;
        under_way.push_back(chosen);
        taken[chosen] += u32::from(turn >= width);
        if under_way.len() >= width as usize {
            candidates[under_way.pop_front().expect("one is under way")].inflight -= 1;
        }
    }
    taken
}

fn share(weights: &[u32], place: usize) -> f64 {
    f64::from(weights[place]) / weights.iter().map(|&w| f64::from(w)).sum::<f64>()
}

#[test]
fn round_robin_is_exact_over_every_round() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let heaviest = [1, 3, 40][dice.below(3) as usize];
        let weights = dice.weights(2, 60, heaviest);
        let (mut balancer, mut candidates) = (policy(0), targets(&weights));
        for _ in 0..3 {
            let round = weights.iter().sum();
            assert_eq!(serve(&mut balancer, &mut candidates, round, 0, &mut dice), weights, "seed {seed}");
        }
    }
}

#[test]
fn round_robin_spreads_a_weight_over_the_round() {
    let (mut balancer, candidates) = (policy(0), targets(&[5, 1, 1]));
    let mut dice = Dice(0);
    let order: Vec<_> = (0..7).filter_map(|_| balancer.choose(&candidates, &dice.asked())).collect();
    assert_eq!(order, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn round_robin_is_exact_again_after_others_were_away() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let weights = dice.weights(3, 12, 9);
        let (mut balancer, mut candidates) = (policy(0), targets(&weights));
        for _ in 0..200 {
            let away = dice.below(weights.len() as u32) as usize;
            candidates[away].tried = true;
            balancer.choose(&candidates, &dice.asked());
            candidates[away].tried = false;
        }
        let rounds = 50;
        let taken = serve(&mut balancer, &mut candidates, rounds * weights.iter().sum::<u32>(), 0, &mut dice);
        for (place, (&taken, &weight)) in taken.iter().zip(&weights).enumerate() {
            // What was owed before is paid, and no more.
            let owed = taken.abs_diff(rounds * weight);
            assert!(owed <= weights.iter().sum(), "seed {seed}: {taken} for {place} of {weights:?}");
        }
    }
}

#[test]
fn least_connections_share_by_weight_under_load_and_take_turns_without() {
    for seed in 0..30 {
        let mut dice = Dice(seed);
        let weights = dice.weights(2, 20, 10);
        let (mut balancer, mut candidates) = (policy(1), targets(&weights));
        let width = 20 * weights.iter().sum::<u32>();
        let taken = serve(&mut balancer, &mut candidates, 20_000, width, &mut dice);
        for (place, &taken) in taken.iter().enumerate() {
            assert_near(taken, 20_000, share(&weights, place), 0.08, &format!("seed {seed}, {place} of {weights:?}"));
        }
    }
    let (mut balancer, mut equals) = (policy(1), targets(&[4; 5]));
    assert_eq!(serve(&mut balancer, &mut equals, 1_000, 0, &mut Dice(0)), [200; 5]);
}

#[test]
fn least_connections_take_the_least_for_its_weight() {
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let mut candidates = targets(&dice.weights(2, 12, 5));
        candidates.iter_mut().for_each(|one| one.inflight = dice.below(30));
        let chosen = candidates[policy(1).choose(&candidates, &dice.asked()).expect("all are usable")];
        let busy = |one: &Candidate| f64::from(one.inflight + 1) / f64::from(one.weight);
        let least = candidates.iter().map(busy).fold(f64::INFINITY, f64::min);
        assert!((busy(&chosen) - least).abs() < 1e-9, "seed {seed}");
    }
}

#[test]
fn two_choices_share_by_weight_when_idle_and_under_load() {
    for seed in 0..30 {
        let mut dice = Dice(seed);
        let weights = dice.weights(2, 20, 10);
        let width = [0, 20 * weights.iter().sum::<u32>()][(seed % 2) as usize];
        let (mut balancer, mut candidates) = (policy(2), targets(&weights));
        let taken = serve(&mut balancer, &mut candidates, 40_000, width, &mut dice);
        for (place, &taken) in taken.iter().enumerate() {
            let what = format!("seed {seed}, {width} under way, {place} of {weights:?}");
            assert_near(taken, 40_000, share(&weights, place), if width == 0 { 0.0 } else { 0.1 }, &what);
        }
    }
}

#[test]
fn two_choices_take_the_faster_the_less_busy_then_the_warm_one() {
    let all = |first: Candidate, second: Candidate, seed| {
        let mut dice = Dice(seed);
        let mut balancer = policy(2);
        (0..200).map(|_| balancer.choose(&[first, second], &dice.asked()).expect("both are usable")).sum::<usize>()
    };
    let [one, other] = [targets(&[1, 1])[0], targets(&[1, 1])[1]];
    let fast = Candidate { latency_us: 900, ..other };
    assert_eq!(all(Candidate { latency_us: 1_000, ..one }, fast, 1), 200);
    assert_eq!(all(Candidate { inflight: 3, ..one }, Candidate { inflight: 2, ..other }, 2), 200);
    assert_eq!(all(one, Candidate { warm: true, ..other }, 3), 200);
    // Twice as fast is worth one request in two, and an unknown latency is worth the other's.
    assert_eq!(all(Candidate { latency_us: 1_000, inflight: 1, ..one }, Candidate { inflight: 0, ..fast }, 4), 200);
    assert_eq!(all(Candidate { latency_us: 1_000, ..one }, Candidate { inflight: 1, ..fast }, 5), 0);
    assert_eq!(all(Candidate { inflight: 1, ..one }, Candidate { latency_us: u32::MAX, ..other }, 6), 200);
    let drawn_first = all(one, other, 7);
    assert!((60..140).contains(&drawn_first), "{drawn_first}");
}

#[test]
fn two_choices_give_a_target_in_slow_start_no_more_than_its_weight() {
    let weights = [256, 3];
    let (mut balancer, mut candidates) = (policy(2), targets(&weights));
    let taken = serve(&mut balancer, &mut candidates, 20_000, 400, &mut Dice(9));
    assert!(taken[1] <= 20_000 / 50, "{taken:?}");
}

#[test]
fn consistent_hashes_share_by_weight() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let weights = dice.weights(2, 20, [1, 10, 1_000][(seed % 3) as usize]);
        let (mut balancer, mut candidates) = (policy(3), targets(&weights));
        let mut taken = vec![0; weights.len()];
        for _ in 0..40_000 {
            taken[balancer.choose(&candidates, &dice.asked()).expect("all are usable")] += 1;
        }
        for (place, &taken) in taken.iter().enumerate() {
            assert_near(taken, 40_000, share(&weights, place), 0.0, &format!("seed {seed}, {place} of {weights:?}"));
        }
        // Under load the bound only evens them out.
        let width = 20 * weights.len() as u32;
        for (place, taken) in serve(&mut balancer, &mut candidates, 20_000, width, &mut dice).into_iter().enumerate() {
            let most = share(&weights, place) * 1.25 + 2.0 / f64::from(width);
            assert!(f64::from(taken) <= 20_000.0 * most, "seed {seed}, {place} of {weights:?}: {taken}");
        }
    }
}
