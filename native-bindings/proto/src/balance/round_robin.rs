//! Smooth weighted round robin: over one round (the sum of the weights over their greatest common divisor) each target
//! gets exactly its weight, spread as evenly as it goes. Each worker keeps its own turn, so no target sees the workers
//! march in step and no lock is shared.

use super::{Asked, Group, Policy};

/// No credit and no debt exceeds this many rounds. With weights that stay it is never reached (whoever always serves the
/// greatest of n credits owes none more than ln n + 1 rounds), so it changes no share. Weights that shrink leave credits
/// in the old measure: without the bound, one whose weight fell from 65,535 to 1 could starve for thousands of rounds.
const CREDIT_ROUNDS_MAX: i64 = 16;

/// One origin's turn in one worker.
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// By place: what is owed to a target, in weight. Their sum is 0 while weights stay.
    credit: Vec<i64>,
}

impl RoundRobin {
    /// Takes the next target whose bit is not set in `tried`. `weights` are the plan's; a weight of 0 is never chosen.
    /// Returns `None` when every target with a weight was tried. At most 64 targets can be marked as tried.
    pub fn choose(&mut self, weights: &[u32], tried: u64) -> Option<usize> {
        if let [_] = weights {
            return if tried & 1 == 0 { Some(0) } else { None };
        }
        let untried = |place: usize| place >= 64 || tried >> place & 1 == 0;
        let usable = weights.iter().copied().enumerate().filter(|&(place, weight)| weight > 0 && untried(place));
        let total = usable.clone().map(|(_, weight)| u64::from(weight)).sum();
        self.advance(weights.len(), usable, total)
    }

    /// Everybody earns its weight, and who has most pays for the turn.
    fn advance(&mut self, places: usize, usable: impl Iterator<Item = (usize, u32)>, total: u64) -> Option<usize> {
        self.credit.resize(places, 0);
        let round = i64::try_from(total).ok()?;
        let bound = CREDIT_ROUNDS_MAX * round;
        let mut best: Option<(usize, i64)> = None;
        for (place, weight) in usable {
            let credit = self.credit[place].clamp(-bound, bound) + i64::from(weight);
            self.credit[place] = credit;
            if best.is_none_or(|(_, most)| credit > most) {
                best = Some((place, credit));
            }
        }
        let (chosen, _) = best?;
        self.credit[chosen] -= round;
        Some(chosen)
    }
}

impl Policy for RoundRobin {
    fn choose_among(&mut self, group: &Group<'_>, _asked: &Asked) -> Option<usize> {
        self.advance(group.places(), group.members().map(|(place, one)| (place, one.weight)), group.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_weights_exactly_over_one_round() {
        let mut turn = RoundRobin::default();
        let mut taken = [0; 3];
        for _ in 0..600 {
            taken[turn.choose(&[1, 2, 3], 0).unwrap()] += 1;
        }
        assert_eq!(taken, [100, 200, 300]);
    }

    #[test]
    fn a_tried_target_is_not_chosen_again() {
        let mut turn = RoundRobin::default();
        let first = turn.choose(&[1, 1], 0).unwrap();
        let second = turn.choose(&[1, 1], 1 << first).unwrap();
        assert_ne!(first, second);
        assert_eq!(turn.choose(&[1, 1], 0b11), None);
    }

    #[test]
    fn weight_zero_takes_nothing() {
        let mut turn = RoundRobin::default();
        assert!((0..10).all(|_| turn.choose(&[0, 1], 0) == Some(1)));
    }

    #[test]
    fn credits_are_allocated_once_for_the_most_targets() {
        let mut turn = RoundRobin::default();
        turn.choose(&[1; 40], 0);
        let (first, capacity) = (turn.credit.as_ptr(), turn.credit.capacity());
        for targets in (2..=40).chain((2..=40).rev()) {
            turn.choose(&[1; 40][..targets], 0b1);
            assert_eq!((turn.credit.as_ptr(), turn.credit.capacity()), (first, capacity));
        }
    }

    #[test]
    fn after_weights_shrank_nobody_starves_for_the_old_ones() {
        let mut turn = RoundRobin::default();
        for _ in 0..1_000 {
            turn.choose(&[65_535, 65_534, 1], 0);
        }
        let mut taken = [0; 3];
        for _ in 0..300 {
            taken[turn.choose(&[1, 1, 1], 0).unwrap()] += 1;
        }
        assert!(taken.iter().all(|&n| (80..=120).contains(&n)), "{taken:?}");
    }
}
