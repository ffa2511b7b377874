//! Consistent hash: who keeps his target when targets come, go and change, and that nobody is overloaded. And the hashes
//! themselves.

use super::super::{Asked, Candidate, hash_key, target_hash};
use super::{Dice, assert_near, consistent, target, targets};
use crate::plan::Target;
use std::collections::HashSet;

const KEYS: u64 = 20_000;

/// The name of the target of each key.
fn owners(candidates: &[Candidate]) -> Vec<u64> {
    let mut balancer = consistent(125);
    let asked = |key: u64| Asked { key_hash: hash_key(&key.to_le_bytes()), ..Asked::default() };
    let chosen = (0..KEYS).map(|key| balancer.choose(candidates, &asked(key)).expect("all are usable"));
    chosen.map(|place| candidates[place].name_hash).collect()
}

#[test]
fn only_the_keys_of_a_target_that_leaves_move_and_they_spread() {
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let all = targets(&dice.weights(3, 40, [1, 9][(seed % 2) as usize]));
        let before = owners(&all);
        let leaving = all[dice.below(all.len() as u32) as usize];
        let total: u32 = all.iter().map(|one| one.weight).sum();
        let rest: Vec<_> = all.iter().copied().filter(|one| one.name_hash != leaving.name_hash).collect();
        let mut absent = all.clone();
        absent.iter_mut().for_each(|one| one.tried = one.name_hash == leaving.name_hash);
        let after = owners(&rest);
        assert_eq!(after, owners(&absent), "seed {seed}: gone, down and tried are one");
        let moved: Vec<_> = (0..before.len()).filter(|&key| before[key] != after[key]).collect();
        assert!(moved.iter().all(|&key| before[key] == leaving.name_hash), "seed {seed}");
        let share = f64::from(leaving.weight) / f64::from(total);
        assert_near(moved.len() as u32, KEYS as u32, share, 0.0, &format!("seed {seed}: moved"));
        for one in &rest {
            let inherited = moved.iter().filter(|&&key| after[key] == one.name_hash).count();
            let share = f64::from(one.weight) / f64::from(total - leaving.weight);
            assert_near(inherited as u32, moved.len() as u32, share, 0.0, &format!("seed {seed}: inherited"));
        }
    }
}

#[test]
fn keys_move_only_to_a_target_that_comes() {
    for targets_before in [1_u64, 2, 4, 16, 64] {
        let before: Vec<_> = (0..targets_before).map(|name| target(name, 1)).collect();
        let mut after = before.clone();
        after.insert(before.len() / 2, target(999, 1));
        let pairs: Vec<_> = owners(&before).into_iter().zip(owners(&after)).filter(|(was, is)| was != is).collect();
        assert!(pairs.iter().all(|&(_, is)| is == target(999, 1).name_hash));
        let share = 1.0 / (targets_before + 1) as f64;
        assert_near(pairs.len() as u32, KEYS as u32, share, 0.0, &format!("to one after {targets_before}"));
    }
}

#[test]
fn a_weight_that_grows_takes_keys_and_gives_none() {
    let mut candidates = targets(&[256; 6]);
    let name = candidates[3].name_hash;
    candidates[3].weight = 1;
    let mut before = owners(&candidates);
    for weight in [8, 64, 128, 256, 1_000] {
        candidates[3].weight = weight;
        let after = owners(&candidates);
        let moved: Vec<_> = before.iter().zip(&after).filter(|(was, is)| was != is).collect();
        assert!(!moved.is_empty() && moved.iter().all(|&(_, &is)| is == name), "at {weight}");
        before = after;
    }
}

#[test]
fn the_order_of_targets_means_nothing() {
    let mut dice = Dice(8);
    let mut candidates = targets(&dice.weights(20, 20, 7));
    let before = owners(&candidates);
    for _ in 0..3 {
        dice.shuffle(&mut candidates);
        assert_eq!(owners(&candidates), before);
    }
}

/// Most requests a target may have, this one included; by the definition, in whole numbers of a hundredth of a request.
fn most(candidates: &[Candidate], one: &Candidate, bound_percent: u32) -> u64 {
    let all: u64 = candidates.iter().map(|one| u64::from(one.inflight)).sum::<u64>() + 1;
    let weights: u64 = candidates.iter().map(|one| u64::from(one.weight)).sum();
    (u64::from(bound_percent.max(100)) * all * u64::from(one.weight)).div_ceil(100 * weights)
}

#[test]
fn the_bound_is_never_exceeded_whatever_is_asked_for() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let bound = [0, 100, 101, 125, 200, 400][dice.below(6) as usize];
        let mut candidates = targets(&dice.weights(2, 12, 6));
        let mut balancer = consistent(bound);
        let mut under_way = Vec::new();
        for _ in 0..400 {
            // Half of the requests are for one key.
            let key_hash = if dice.one_in(2) { 42 } else { dice.roll() };
            let chosen =
                balancer.choose(&candidates, &Asked { key_hash, ..Asked::default() }).expect("somebody has room");
            let bound = most(&candidates, &candidates[chosen], bound);
            candidates[chosen].inflight += 1;
            assert!(
                u64::from(candidates[chosen].inflight) <= bound,
                "seed {seed}: {} of {bound}",
                candidates[chosen].inflight
            );
            under_way.push(chosen);
            while under_way.len() > 60 || (!under_way.is_empty() && dice.one_in(3)) {
                candidates[under_way.swap_remove(dice.below(under_way.len() as u32) as usize)].inflight -= 1;
            }
        }
    }
}

#[test]
fn a_full_target_is_passed_over_for_the_next_of_each_key_and_for_no_longer_than_it_is_full() {
    let mut candidates = targets(&[1; 5]);
    let before = owners(&candidates);
    candidates.iter_mut().for_each(|one| one.inflight = 10);
    assert_eq!(owners(&candidates), before, "evenly loaded is not overloaded");
    candidates[2].inflight = 14;
    let after = owners(&candidates);
    let full = candidates[2].name_hash;
    candidates[2].tried = true;
    // The bound counts only who takes part, and evenly loaded ones stay below it.
    assert_eq!(after, owners(&candidates), "full is passed over as tried is");
    assert!(before.iter().zip(&after).all(|(was, is)| (was == is) == (*was != full)));
    candidates[2].tried = false;
    candidates[2].inflight = 13;
    assert_eq!(owners(&candidates), before, "13 of ⌈1.25 · 54 / 5⌉ is not full");
}

#[test]
fn hashes_are_the_same_for_ever() {
    // Computed by another program from the description; a change of these sends every client to another target.
    let expected: [(&[u8], u64); 5] = [
        (b"", 0xe2d0_1ee2_d681_5c85),
        (b"a", 0x199e_c851_bf7f_91fb),
        (b"192.0.2.7", 0xa567_d8d0_7bb7_6555),
        (b"/index.html", 0xf0ce_c0a1_bff7_39d0),
        (b"12345678", 0x6165_1c17_32d1_6637),
    ];
    for (key, hash) in expected {
        assert_eq!(hash_key(key), hash, "{key:?}");
    }
}

#[test]
fn similar_keys_have_unlike_hashes() {
    let mut seen = HashSet::new();
    let mut bits = [0_u32; 64];
    for number in 0..50_000_u32 {
        let key = format!("/assets/{number}.js");
        assert!(seen.insert(hash_key(key.as_bytes())), "{key}");
        let one_bit_off = hash_key(&[&key.as_bytes()[..key.len() - 1], b"r"].concat());
        let differing = hash_key(key.as_bytes()) ^ one_bit_off;
        bits.iter_mut().enumerate().for_each(|(bit, flips)| *flips += (differing >> bit & 1) as u32);
    }
    for (bit, flips) in bits.into_iter().enumerate() {
        assert_near(flips, 50_000, 0.5, 0.0, &format!("bit {bit}"));
    }
    for len in 0..70 {
        assert!(
            seen.insert(hash_key(&vec![0; len])) && (len == 0 || seen.insert(hash_key(&vec![1; len]))),
            "{len} bytes"
        );
    }
}

#[test]
fn every_address_of_a_name_is_a_target_of_its_own() {
    let at = |label: &str, address: &str, port| Target {
        label: label.to_owned(),
        name: String::new(),
        address: address.parse().expect("an address"),
        port,
        weight: 1,
        tier: 0,
        zone: String::new(),
    };
    let different = [
        at("app:80", "192.0.2.1", 80),
        at("app:80", "192.0.2.2", 80),
        at("app:80", "2001:db8::1", 80),
        at("app:81", "192.0.2.1", 81),
        at("other:80", "192.0.2.1", 80),
    ];
    assert_eq!(different.iter().map(target_hash).collect::<HashSet<_>>().len(), different.len());
    let elsewhere = Target { weight: 9, tier: 2, zone: "b".to_owned(), ..at("app:80", "192.0.2.1", 80) };
    assert_eq!(target_hash(&elsewhere), target_hash(&different[0]));
}
