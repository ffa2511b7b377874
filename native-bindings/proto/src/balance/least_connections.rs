//! Least connections: the target with the fewest requests under way for its weight, this one counted. As each target is
//! served as fast as it answers, a slow one gets less. With hardly anything under way a light target gets little or
//! nothing: the first request of a heavy one weighs less.

use super::{Asked, Candidate, Group, Policy};

/// One origin's turn among equals in one worker.
#[derive(Debug, Default)]
pub struct LeastConnections {
    /// The place after the last one chosen: where the search begins, so that equals take turns.
    start: usize,
}

impl Policy for LeastConnections {
    fn choose_among(&mut self, group: &Group<'_>, _asked: &Asked) -> Option<usize> {
        let start = if self.start < group.places() { self.start } else { 0 };
        let mut best: Option<(usize, &Candidate)> = None;
        for place in (start..group.places()).chain(0..start) {
            let Some(one) = group.member(place) else { continue };
            if best.is_none_or(|(_, least)| is_less_busy(one, least)) {
                best = Some((place, one));
            }
        }
        let (chosen, _) = best?;
        self.start = chosen + 1;
        Some(chosen)
    }
}

/// Whether `(inflight + 1) / weight` is smaller, compared crosswise: 2^32 · (2^32 - 1) still fits.
const fn is_less_busy(one: &Candidate, other: &Candidate) -> bool {
    (one.inflight as u64 + 1) * (other.weight as u64) < (other.inflight as u64 + 1) * (one.weight as u64)
}
