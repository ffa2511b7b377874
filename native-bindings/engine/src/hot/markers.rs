//! Targets whose last answer could not be stored ("hit for miss"): for a while nobody waits for another's fetch of them.
//! Hashes only, so that a flood of answers that cannot be stored costs little, and bounded.

use crate::hot::place::ByHash;
use std::collections::VecDeque;

/// Markers one shard keeps; the oldest goes first.
const MARKERS_MAX: usize = 2048;

/// See the file.
#[derive(Default)]
pub(super) struct Markers {
    until_ms: ByHash<u64>,
    order: VecDeque<(u64, u64)>,
}

impl Markers {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.until_ms.is_empty()
    }

    pub(super) fn mark(&mut self, key: u64, until_ms: u64) {
        self.until_ms.insert(key, until_ms);
        self.order.push_back((key, until_ms));
        if self.order.len() > MARKERS_MAX {
            self.forget_oldest();
        }
    }

    pub(super) fn is_marked(&self, key: u64, now_ms: u64) -> bool {
        self.until_ms.get(&key).is_some_and(|until_ms| now_ms < *until_ms)
    }

    pub(super) fn unmark(&mut self, key: u64) {
        self.until_ms.remove(&key);
    }

    /// An entry of `order` that was marked anew, or unmarked, says nothing any more.
    fn forget_oldest(&mut self) {
        let Some((key, until_ms)) = self.order.pop_front() else { return };
        if self.until_ms.get(&key) == Some(&until_ms) {
            self.until_ms.remove(&key);
        }
    }

    /// Lets go of what is over at the front of the order.
    pub(super) fn sweep(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|(_, until_ms)| *until_ms <= now_ms) {
            self.forget_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_ends_with_its_time_and_a_new_one_outlives_the_old() {
        let mut markers = Markers::default();
        markers.mark(1, 100);
        assert!(markers.is_marked(1, 99) && !markers.is_marked(1, 100) && !markers.is_marked(2, 0));
        markers.mark(1, 200);
        markers.sweep(150);
        assert!(markers.is_marked(1, 150));
        markers.sweep(200);
        assert!(markers.is_empty() && markers.order.is_empty());
    }

    #[test]
    fn a_flood_of_them_is_bounded() {
        let mut markers = Markers::default();
        (0..3 * MARKERS_MAX as u64).for_each(|key| markers.mark(key, 1_000));
        assert_eq!(markers.until_ms.len(), MARKERS_MAX);
        assert!(markers.is_marked(3 * MARKERS_MAX as u64 - 1, 0) && !markers.is_marked(0, 0));
    }
}
