//! Tests of the queues. How well they choose is measured in `proto/tests/cache_eviction.rs`.

use super::*;

fn filled(keys: std::ops::Range<u64>) -> (S3Fifo, Vec<Slot>) {
    let mut policy = S3Fifo::default();
    let slots = keys.map(|key| policy.insert(key, 10)).collect();
    (policy, slots)
}

#[test]
fn what_is_never_used_leaves_in_the_order_it_came() {
    let (mut policy, slots) = filled(0..5);
    let left: Vec<Slot> = std::iter::from_fn(|| policy.evict()).collect();
    assert_eq!(left, slots);
    assert!(policy.is_empty() && policy.bytes() == 0);
}

#[test]
fn what_is_used_stays_and_each_use_buys_a_round() {
    let (mut policy, slots) = filled(0..10);
    for _ in 0..9 {
        policy.touch(slots[3]);
    }
    let left: Vec<Slot> = std::iter::from_fn(|| policy.evict()).collect();
    assert_eq!(left.len(), 10);
    assert_eq!(left.last(), Some(&slots[3]));
}

#[test]
fn a_scan_displaces_nothing_that_was_used() {
    let mut policy = S3Fifo::default();
    let used: Vec<Slot> = (0..90).map(|key| policy.insert(key, 10)).collect();
    used.iter().for_each(|slot| policy.touch(*slot));
    for key in 1_000..3_000 {
        policy.insert(key, 10);
        while policy.bytes() > 1_000 {
            let slot = policy.evict().expect("something is in");
            assert!(!used.contains(&slot), "a scan of {key} displaced {slot:?}");
        }
    }
}

#[test]
fn what_comes_back_soon_enters_the_main_queue() {
    let (mut policy, _) = filled(0..20);
    policy.evict().expect("key 0 leaves");
    assert_eq!(policy.ghost.len(), 1);
    let back = policy.insert(0, 10);
    assert_eq!(policy.nodes[back.0 as usize].place, Place::Main);
    assert_eq!(policy.ghost.len(), 0);
    let fresh = policy.insert(100, 10);
    assert_eq!(policy.nodes[fresh.0 as usize].place, Place::Small);
}

#[test]
fn uses_that_are_counted_elsewhere_buy_rounds_too() {
    let (mut policy, slots) = filled(0..10);
    let mut uses = 2;
    let take = |slot| if slot == slots[3] { std::mem::take(&mut uses) } else { 0 };
    let mut take = take;
    let left: Vec<Slot> = std::iter::from_fn(|| policy.evict_with(&mut take)).collect();
    assert_eq!((left.len(), left.last()), (10, Some(&slots[3])));
}

#[test]
fn what_weighs_something_else_stays_where_it_is() {
    let (mut policy, slots) = filled(0..3);
    policy.reweigh(slots[0], 1_000);
    assert_eq!(policy.bytes(), 1_020);
    assert_eq!(policy.evict(), Some(slots[0]));
    assert_eq!(policy.bytes(), 20);
}

#[test]
fn no_more_keys_are_remembered_than_are_in() {
    let mut policy = S3Fifo::default();
    for key in 0..10_000 {
        policy.insert(key, 1);
        while policy.len() > 100 {
            policy.evict();
        }
        assert!(policy.ghost.len() <= policy.len());
    }
}

#[test]
fn books_balance_whatever_is_done() {
    let mut seed = 1_u64;
    let mut dice = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut policy = S3Fifo::default();
    let mut held: Vec<(Slot, u64)> = Vec::new();
    for step in 0..50_000 {
        match dice(5) {
            0 | 1 => {
                let bytes = 1 + dice(1_000);
                held.push((policy.insert(dice(500), bytes), bytes));
            }
            2 if !held.is_empty() => policy.touch(held[dice(held.len() as u64) as usize].0),
            3 if !held.is_empty() => {
                let place = dice(held.len() as u64) as usize;
                policy.remove(held.swap_remove(place).0);
            }
            _ => {
                let slot = policy.evict();
                assert_eq!(slot.is_none(), held.is_empty(), "step {step}");
                held.retain(|(known, _)| Some(*known) != slot);
            }
        }
        assert_eq!(policy.len(), held.len(), "step {step}");
        assert_eq!(policy.bytes(), held.iter().map(|(_, bytes)| bytes).sum::<u64>(), "step {step}");
    }
}
