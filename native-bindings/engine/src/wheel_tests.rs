//! What the wheel promises: nothing early, nothing lost, and late by a tick at most.

use super::*;

/// A small generator, so that a failure names its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

#[test]
fn a_timer_put_off_is_due_at_its_later_time() {
    let mut wheel = Wheel::new(0);
    let id = wheel.add(7);
    wheel.arm(id, 100);
    wheel.arm(id, 300);
    let mut due = Vec::new();
    wheel.expire(200, &mut due);
    assert!(due.is_empty());
    wheel.expire(304, &mut due);
    assert_eq!(due, [7]);
    assert_eq!(wheel.due_ms(id), NEVER);
}

#[test]
fn a_timer_brought_forward_is_due_at_its_earlier_time() {
    let mut wheel = Wheel::new(0);
    let id = wheel.add(7);
    wheel.arm(id, 60_000);
    wheel.arm(id, 40);
    let mut due = Vec::new();
    wheel.expire(44, &mut due);
    assert_eq!(due, [7]);
}

#[test]
fn a_disarmed_or_removed_timer_is_never_due() {
    let mut wheel = Wheel::new(0);
    let (off, gone) = (wheel.add(1), wheel.add(2));
    wheel.arm(off, 50);
    wheel.arm(gone, 50);
    wheel.arm(off, NEVER);
    wheel.remove(gone);
    let mut due = Vec::new();
    wheel.expire(100, &mut due);
    assert!(due.is_empty());
    assert_eq!(wheel.next_ms(), None);
}

#[test]
fn every_timer_is_due_once_never_early_and_at_most_two_ticks_late() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let start = dice.roll(1 << 40);
        let mut wheel = Wheel::new(start);
        let mut wanted: Vec<(u64, TimerId)> = Vec::new();
        for owner in 0..200 {
            let id = wheel.add(owner);
            let far = [300, 20_000, 2_000_000, 200_000_000][dice.roll(4) as usize];
            let due = start + dice.roll(far);
            wheel.arm(id, due);
            wanted.push((due, id));
        }
        let mut now = start;
        let mut seen = [false; 200];
        while seen.iter().any(|s| !s) {
            let next = wheel.next_ms().expect("something is armed");
            assert!(next + TICK_MS >= now, "seed {seed}: next {next} lies before {now}");
            let last = now;
            now = next.max(now + 1);
            let mut due = Vec::new();
            wheel.expire(now, &mut due);
            for owner in due {
                let at = wanted[owner as usize].0;
                assert!(!seen[owner as usize], "seed {seed}: due twice");
                assert!(at <= now, "seed {seed}: early");
                assert!(at + 2 * TICK_MS >= last.max(at), "seed {seed}");
                assert!(now <= at + 2 * TICK_MS, "seed {seed}: {} ms late", now - at);
                seen[owner as usize] = true;
            }
        }
    }
}

#[test]
fn a_clock_that_jumps_loses_nothing() {
    let mut wheel = Wheel::new(0);
    for owner in 0..100 {
        let id = wheel.add(owner);
        wheel.arm(id, owner * 977);
    }
    let mut due = Vec::new();
    wheel.expire(10_000_000, &mut due);
    assert_eq!(due.len(), 100);
}

#[test]
fn s3_13_a_million_timers_are_armed_put_off_and_cancelled_and_each_is_due_once() {
    const TIMERS: u64 = 1_000_000;
    let mut wheel = Wheel::new(0);
    let mut dice = Dice(13);
    let ids: Vec<TimerId> = (0..TIMERS).map(|owner| wheel.add(owner)).collect();
    let due_ms: Vec<u64> = (0..TIMERS).map(|_| 1 + dice.roll(600_000)).collect();
    for (id, due) in ids.iter().zip(&due_ms) {
        wheel.arm(*id, 50);
        wheel.arm(*id, *due);
    }
    // Every third is cancelled, and its place given to nobody.
    ids.iter().step_by(3).for_each(|id| wheel.remove(*id));
    let (mut due, mut fired) = (Vec::new(), 0);
    for now in (0..=601_000).step_by(250) {
        wheel.expire(now, &mut due);
        for owner in due.drain(..) {
            assert!(owner % 3 != 0, "timer {owner} was cancelled");
            let planned = due_ms[owner as usize];
            assert!(planned <= now && now < planned + 250 + 2 * TICK_MS, "timer {owner}: {planned} at {now}");
            fired += 1;
        }
    }
    assert_eq!(fired, TIMERS - TIMERS.div_ceil(3));
    assert_eq!(wheel.next_ms(), None);
}
