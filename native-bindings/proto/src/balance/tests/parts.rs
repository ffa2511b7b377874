//! Slow start, panic and the smoothed latency.

use super::super::{EWMA_HALF_LIFE_US, Ewma, WEIGHT_UNIT, is_panicking, slow_start_weight};
use super::Dice;

#[test]
fn a_weight_ramps_evenly_and_is_never_lost() {
    assert_eq!(slow_start_weight(0, 5, 10), 0);
    assert_eq!(slow_start_weight(7, 0, 0), 7);
    assert_eq!(slow_start_weight(WEIGHT_UNIT, 5_000, 10_000), WEIGHT_UNIT / 2);
    assert_eq!(slow_start_weight(WEIGHT_UNIT, 0, 10_000), 1);
    assert_eq!(slow_start_weight(u32::MAX, u64::from(u32::MAX) - 1, u32::MAX), u32::MAX - 1);
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let heaviest = [3, 70_000, u32::MAX - 1][dice.below(3) as usize];
        let weight = 1 + dice.below(heaviest);
        let whole_ms = 1 + dice.below(1_000_000);
        let mut before = 0;
        for step in 0..=20 {
            let now = slow_start_weight(weight, u64::from(whole_ms) * step / 20, whole_ms);
            assert!((1..=weight).contains(&now) && now >= before, "seed {seed}");
            before = now;
        }
        assert_eq!(before, weight, "seed {seed}");
        assert_eq!(slow_start_weight(weight, u64::MAX, whole_ms), weight);
    }
}

#[test]
fn panic_begins_below_the_share_and_never_at_nought_percent() {
    assert!(!is_panicking(2, 4, 50) && is_panicking(1, 4, 50) && is_panicking(0, 1, 1));
    assert!(!is_panicking(0, 4, 0) && !is_panicking(0, 0, 50) && !is_panicking(4, 4, 100));
    assert!(is_panicking(u32::MAX - 1, u32::MAX, 100));
}

#[test]
fn a_latency_follows_its_samples_and_halves_the_past_in_about_five() {
    let mut latency = Ewma::default();
    assert_eq!(latency.latency_us(0), 0, "unknown");
    latency.record(0, 1_000);
    assert_eq!(latency.latency_us(0), 1_000, "the first sample is taken whole");
    for _ in 0..5 {
        latency.record(0, 3_000);
    }
    assert!((1_950..2_050).contains(&latency.latency_us(0)), "{}", latency.latency_us(0));
    for _ in 0..100 {
        latency.record(0, 3_000);
    }
    assert_eq!(latency.latency_us(0), 3_000);
}

#[test]
fn a_latency_ages_is_given_up_and_begins_anew() {
    let mut latency = Ewma::default();
    latency.record(1_000, 80_000);
    let after = |latency: &Ewma, halves: u64| latency.latency_us(1_000 + halves * EWMA_HALF_LIFE_US / 2);
    let seen: Vec<u32> = (0..7).map(|halves| after(&latency, halves)).collect();
    assert_eq!(seen, [80_000, 60_000, 40_000, 30_000, 20_000, 15_000, 0]);
    assert_eq!(latency.latency_us(0), 80_000, "a clock that is behind ages nothing");
    let mut late = latency;
    late.record(1_000 + EWMA_HALF_LIFE_US, 20_000);
    assert_eq!(late.latency_us(1_000 + EWMA_HALF_LIFE_US), 50_000, "after a half-life a sample counts half");
    latency.record(1_000 + 3 * EWMA_HALF_LIFE_US, 5);
    assert_eq!(latency.latency_us(1_000 + 3 * EWMA_HALF_LIFE_US), 5);
}

#[test]
fn a_known_latency_stays_within_its_samples() {
    for seed in 0..500 {
        let mut dice = Dice(seed);
        let (mut latency, mut now) = (Ewma::default(), 0);
        let (mut least, mut most) = (u32::MAX, 0);
        for _ in 0..60 {
            let sample = [0, dice.below(1_000), dice.roll() as u32, u32::MAX][dice.below(4) as usize];
            now += [0, 1, u64::from(dice.below(9_000_000))][dice.below(3) as usize];
            latency.record(now, sample);
            (least, most) = (least.min(sample), most.max(sample));
            assert!((least.max(1)..=most.max(1)).contains(&latency.latency_us(now)), "seed {seed}");
        }
    }
}
