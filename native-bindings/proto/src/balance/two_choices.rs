//! Two random choices: two different targets are drawn in proportion to their weights, and the one where the request is
//! likely to be answered sooner gets it. Workers need not know of each other's choices, and a target that just became
//! the best is not run down by all of them at once, as with the least of all.

use super::hash::mix;
use super::{Asked, Candidate, Group, Policy};

/// Sets the second draw apart from the first.
const SECOND_DRAW: u64 = 0x9e37_79b9_7f4a_7c15;

/// It keeps nothing: the dice are all it needs.
#[derive(Debug, Default)]
pub struct TwoChoices;

impl Policy for TwoChoices {
    fn choose_among(&mut self, group: &Group<'_>, asked: &Asked) -> Option<usize> {
        let (first, one) = draw(group, scale(mix(asked.dice), group.weight), None)?;
        let rest = group.weight - u64::from(one.weight);
        let (second, other) = draw(group, scale(mix(asked.dice ^ SECOND_DRAW), rest), Some(first))?;
        let mean = group.weight / u64::from(group.usable);
        Some(if is_better(other, one, mean) { second } else { first })
    }
}

/// Dice as a number below `below`.
const fn scale(dice: u64, below: u64) -> u64 {
    ((dice as u128 * below as u128) >> 64) as u64
}

/// The member in whose stretch of the added-up weights `at` lies, `without` left out.
fn draw<'a>(group: &Group<'a>, mut at: u64, without: Option<usize>) -> Option<(usize, &'a Candidate)> {
    group.members().filter(|&(place, _)| Some(place) != without).find(|(_, one)| {
        let found = at < u64::from(one.weight);
        at = at.wrapping_sub(u64::from(one.weight));
        found
    })
}

/// Whether `other`, drawn second, is better than `one`. An unknown latency counts as the other's: a target that has just
/// come is neither flooded nor shunned for what nobody knows. Equals: a warm one, else the first drawn, which keeps the
/// shares at the weights.
fn is_better(other: &Candidate, one: &Candidate, mean: u64) -> bool {
    let (first, second) = match (one.latency_us, other.latency_us) {
        (0, 0) => (1, 1),
        (0, known) | (known, 0) => (known, known),
        both => both,
    };
    // Both crosswise by the other's weight. (2^32 - 1)^4 fits, and a mean is at most 2^32 - 1.
    let cost_of_one = u128::from(first) * load(one, mean) * u128::from(other.weight);
    let cost_of_other = u128::from(second) * load(other, mean) * u128::from(one.weight);
    cost_of_other < cost_of_one || (cost_of_other == cost_of_one && other.warm && !one.warm)
}

/// `inflight · mean / weight + 1`, times the weight: requests under way as seen by a target of mean weight, and this one.
/// With equal weights it is `inflight + 1`. Left as plain `inflight + 1`, two targets of different weights would be
/// drawn every time and loaded alike, and a target in slow start would take half.
fn load(candidate: &Candidate, mean: u64) -> u128 {
    u128::from(candidate.inflight) * u128::from(mean) + u128::from(candidate.weight)
}
