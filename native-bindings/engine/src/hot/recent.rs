//! The targets of a shard that were purged last: an answer that was asked for before and comes in after is not let in.
//! Of targets that are forgotten, nothing that was asked for before is.

use crate::hot::generation::{Age, Generation, Standing};
use crate::hot::place::{ByHash, Place};
use std::collections::VecDeque;

/// Targets one shard remembers.
const RECENT_MAX: usize = 1024;

/// See the file.
#[derive(Default)]
pub(super) struct Recent {
    by_place: ByHash<Generation>,
    order: VecDeque<(u64, u64)>,
    floor: u64,
}

impl Recent {
    pub(super) fn note(&mut self, place: Place, stamp: u64, note: impl FnOnce(&mut Generation)) {
        note(self.by_place.entry(place.0).or_default());
        self.order.push_back((place.0, stamp));
        if self.order.len() > RECENT_MAX {
            let Some((place, stamp)) = self.order.pop_front() else { return };
            self.floor = self.floor.max(stamp);
            if !self.order.iter().any(|(other, _)| *other == place) {
                self.by_place.remove(&place);
            }
        }
    }

    /// What purges say of an answer that was not purged up to `as_of`.
    pub(super) fn standing(&self, place: Place, age: Age, as_of: u64) -> Standing {
        if as_of <= self.floor {
            return Standing::Gone;
        }
        self.by_place.get(&place.0).map_or(Standing::Live, |generation| generation.standing(age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(recent: &Recent, place: u64, stamp: u64) -> Standing {
        recent.standing(Place(place), Age::of(stamp), stamp)
    }

    #[test]
    fn what_was_asked_for_before_a_purge_is_not_let_in_after_it() {
        let mut recent = Recent::default();
        recent.note(Place(1), 10, |generation| generation.note(false, 10, 0));
        assert_eq!(standing(&recent, 1, 10), Standing::Gone);
        assert_eq!(standing(&recent, 1, 11), Standing::Live);
        assert_eq!(standing(&recent, 2, 5), Standing::Live);
    }

    #[test]
    fn it_is_bounded_and_what_is_forgotten_is_refused() {
        let mut recent = Recent::default();
        for stamp in 1..=RECENT_MAX as u64 + 10 {
            recent.note(Place(stamp), stamp, |generation| generation.note(false, stamp, 0));
        }
        assert_eq!((recent.by_place.len(), recent.floor), (RECENT_MAX, 10));
        assert_eq!(standing(&recent, 1, 10), Standing::Gone);
        assert_eq!(standing(&recent, 1, 11), Standing::Live);
    }
}
