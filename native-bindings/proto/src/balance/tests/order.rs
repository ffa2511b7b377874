//! Which targets may be chosen at all: usable ones, the sticky one first, lowest tier, our zone if it is strong enough.

use super::super::{Asked, Candidate};
use super::{Dice, POLICIES, policy, target, targets};

/// The rule again, as plainly as it can be written.
fn allowed(candidates: &[Candidate], asked: &Asked) -> Vec<usize> {
    let usable: Vec<usize> =
        (0..candidates.len()).filter(|&i| candidates[i].weight > 0 && !candidates[i].tried).collect();
    if let Some(&sticky) = usable.iter().find(|&&i| Some(candidates[i].name_hash) == asked.sticky) {
        return vec![sticky];
    }
    let lowest = usable.iter().map(|&i| candidates[i].tier).min();
    let tier: Vec<usize> = usable.into_iter().filter(|&i| Some(candidates[i].tier) == lowest).collect();
    let near: Vec<usize> = tier.iter().copied().filter(|&i| candidates[i].same_zone).collect();
    let weight = |places: &[usize]| places.iter().map(|&i| u64::from(candidates[i].weight)).sum::<u64>();
    if weight(&near) > 0 && weight(&near) >= weight(&tier) - weight(&near) { near } else { tier }
}

fn assert_allowed(chosen: Option<usize>, candidates: &[Candidate], asked: &Asked, says: &dyn Fn() -> String) {
    let allowed = allowed(candidates, asked);
    match chosen {
        Some(place) => assert!(allowed.contains(&place), "{}: {place} is not in {allowed:?}", says()),
        None => assert!(allowed.is_empty(), "{}: none of {allowed:?}", says()),
    }
}

#[test]
fn every_arrangement_of_tiers_zones_and_usability_of_four_targets() {
    const KINDS: u32 = 3 * 2 * 3;
    let mut dice = Dice(1);
    let mut balancers: Vec<_> = (0..POLICIES).map(policy).collect();
    for arrangement in 0..KINDS.pow(4) {
        let candidates: Vec<Candidate> = (0..4)
            .map(|place| {
                let kind = arrangement / KINDS.pow(place) % KINDS;
                let mut one = target(u64::from(place), [0, 1, 1][kind as usize % 3] * (place + 1));
                one.tried = kind % 3 == 1;
                one.same_zone = kind / 3 % 2 == 1;
                one.tier = (kind / 6) as u8;
                one
            })
            .collect();
        let asked = dice.asked();
        for (which, balancer) in balancers.iter_mut().enumerate() {
            let chosen = balancer.choose(&candidates, &asked);
            assert_allowed(chosen, &candidates, &asked, &|| format!("policy {which}, arrangement {arrangement}"));
        }
    }
}

#[test]
fn no_policy_ever_chooses_an_unusable_target() {
    for seed in 0..4_000 {
        let mut dice = Dice(seed);
        let mut balancers: Vec<_> = (0..POLICIES).map(policy).collect();
        for _ in 0..6 {
            let heaviest = [2, 100, u32::MAX][dice.below(3) as usize];
            let mut candidates = targets(&dice.weights(0, 9, heaviest));
            for one in &mut candidates {
                one.weight = if dice.one_in(4) { 0 } else { one.weight };
                one.tried = dice.one_in(4);
                one.tier = dice.below(3) as u8 * 127;
                one.same_zone = dice.one_in(2);
                one.warm = dice.one_in(2);
                one.inflight = [0, dice.below(5), dice.roll() as u32, u32::MAX][dice.below(4) as usize];
                one.latency_us = [0, dice.below(100_000), u32::MAX][dice.below(3) as usize];
            }
            let mut asked = dice.asked();
            if !candidates.is_empty() && dice.one_in(3) {
                asked.sticky = Some(candidates[dice.below(candidates.len() as u32) as usize].name_hash);
            }
            for (which, balancer) in balancers.iter_mut().enumerate() {
                let chosen = balancer.choose(&candidates, &asked);
                assert_allowed(chosen, &candidates, &asked, &|| format!("policy {which}, seed {seed}"));
            }
        }
    }
}

#[test]
fn our_zone_is_preferred_from_half_of_the_weight_on() {
    let mut candidates = targets(&[2, 1, 1]);
    candidates[0].same_zone = true;
    for which in 0..POLICIES {
        let mut dice = Dice(7);
        let mut balancer = policy(which);
        assert!((0..50).all(|_| balancer.choose(&candidates, &dice.asked()) == Some(0)), "policy {which}");
        candidates[2].weight = 2;
        let chosen: Vec<_> = (0..50).map(|_| balancer.choose(&candidates, &dice.asked())).collect();
        candidates[2].weight = 1;
        // Least connections without connections is right to prefer the heavy ones.
        let reached = (0..3).filter(|&place| chosen.contains(&Some(place))).count();
        assert!(reached >= 2, "policy {which} reached {reached}");
    }
}

#[test]
fn a_sticky_target_is_kept_across_tier_and_zone_and_takes_nobodys_turn() {
    let mut candidates = targets(&[1, 1, 1]);
    candidates[0].same_zone = true;
    candidates[2].tier = 9;
    for which in 0..POLICIES {
        let mut dice = Dice(3);
        let (mut with, mut without) = (policy(which), policy(which));
        for _ in 0..20 {
            let asked = dice.asked();
            let sticky = Asked { sticky: Some(candidates[2].name_hash), ..asked };
            assert_eq!(with.choose(&candidates, &sticky), Some(2), "policy {which}");
            assert_eq!(with.choose(&candidates, &asked), without.choose(&candidates, &asked), "policy {which}");
        }
    }
}

#[test]
fn a_sticky_target_that_may_not_be_used_is_as_none() {
    let usable = targets(&[3, 2, 1, 2]);
    let (mut tried, mut down) = (usable.clone(), usable.clone());
    tried[1].tried = true;
    down[1].weight = 0;
    let name = usable[1].name_hash;
    for which in 0..POLICIES {
        for (candidates, sticky) in [(&tried, name), (&down, name), (&usable, 12_345)] {
            let mut dice = Dice(5);
            let (mut with, mut without) = (policy(which), policy(which));
            for _ in 0..100 {
                let asked = dice.asked();
                let chosen = with.choose(candidates, &Asked { sticky: Some(sticky), ..asked });
                assert!(chosen.is_some(), "policy {which}");
                assert_eq!(chosen, without.choose(candidates, &asked), "policy {which}");
            }
        }
    }
}

#[test]
fn one_target_and_none() {
    for which in 0..POLICIES {
        let mut balancer = policy(which);
        let asked = Asked::default();
        assert_eq!(balancer.choose(&[], &asked), None);
        assert_eq!(balancer.choose(&targets(&[1]), &asked), Some(0));
        assert_eq!(balancer.choose(&targets(&[0]), &asked), None);
        assert_eq!(balancer.choose(&[Candidate { tried: true, ..target(0, 1) }], &asked), None);
        assert_eq!(balancer.choose(&targets(&[0, 5, 0]), &asked), Some(1));
    }
}
