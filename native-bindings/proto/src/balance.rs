//! Chooses a target of an origin. Smooth weighted round robin: each worker keeps its own turn, so no target sees the
//! workers march in step and no lock is shared.

/// One origin's turn in one worker.
#[derive(Debug, Default)]
pub struct RoundRobin {
    credit: Vec<i64>,
}

impl RoundRobin {
    /// Takes the next target whose bit is not set in `tried`. `weights` are the plan's; a weight of 0 is never chosen.
    /// Returns `None` when every target with a weight was tried. At most 64 targets can be marked as tried.
    pub fn choose(&mut self, weights: &[u32], tried: u64) -> Option<usize> {
        if let [_] = weights {
            return if tried & 1 == 0 { Some(0) } else { None };
        }
        self.credit.resize(weights.len(), 0);
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (place, &weight) in weights.iter().enumerate() {
            if weight == 0 || (place < 64 && tried >> place & 1 == 1) {
                continue;
            }
            self.credit[place] += i64::from(weight);
            total += i64::from(weight);
            if best.is_none_or(|b| self.credit[place] > self.credit[b]) {
                best = Some(place);
            }
        }
        let chosen = best?;
        self.credit[chosen] -= total;
        Some(chosen)
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
}
