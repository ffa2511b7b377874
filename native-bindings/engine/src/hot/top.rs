//! What is asked for most, and what is kept of one target: for the admin API and `explain`.

use crate::hot::HotCache;
use crate::hot::entry::Entry;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// A row of the list of most used targets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Top {
    pub target: Box<[u8]>,
    pub hits: u64,
    pub bytes: u64,
}

/// Hits, bytes, target: the order of the list.
type Row = (u64, u64, Box<[u8]>);

impl HotCache {
    /// The targets with most hits, those first. Walks over everything, a shard at a time.
    #[must_use]
    pub fn top(&self, count: usize) -> Vec<Top> {
        let mut best: BinaryHeap<Reverse<Row>> = BinaryHeap::new();
        for room in &self.rooms {
            for slot in room.shard.read().slots() {
                let kept = || slot.entries().filter(|entry| entry.slot().is_some());
                let Some(first) = kept().next() else { continue };
                let hits = kept().map(|entry| u64::from(entry.hits())).sum();
                if best.len() == count && best.peek().is_none_or(|least| hits <= least.0.0) {
                    continue;
                }
                best.push(Reverse((hits, kept().map(|entry| entry.weight()).sum(), first.target.clone())));
                if best.len() > count {
                    best.pop();
                }
            }
        }
        let rows = best.into_sorted_vec().into_iter();
        rows.map(|Reverse((hits, bytes, target))| Top { target, hits, bytes }).collect()
    }

    /// What is stored of a target, whatever its extras and variants.
    #[must_use]
    pub fn variants_of(&self, target: &[u8]) -> Vec<Arc<Entry>> {
        let (place, epoch) = (self.place(target), self.purges.epoch());
        let shard = self.shard(place).read();
        let all = shard.slot(place).into_iter().flat_map(|slot| slot.entries());
        all.filter(|entry| *entry.target == *target && self.purges.is_live(entry, epoch)).cloned().collect()
    }
}
