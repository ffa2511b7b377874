//! What is whole is weighed and kept within the budget; what was never whole, or is too much, leaves.

use crate::hot::entry::Entry;
use crate::hot::generation::Standing;
use crate::hot::place::{HashKey, Place};
use crate::hot::shard::{Gone, Shard};
use crate::hot::slot::with_variant;
use crate::hot::{HotCache, Room, Wanted};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl HotCache {
    /// Keeps an entry whose body is whole, in place of the one it replaces, and makes room. `false`: it is purged
    /// already, there is a newer one, or it is heavier than half of the budget.
    pub fn keep(&self, entry: &Arc<Entry>) -> bool {
        self.keep_if(entry, || true)
    }

    /// `may`: asked when nothing can change at its place any more.
    fn keep_if(&self, entry: &Arc<Entry>, may: impl FnOnce() -> bool) -> bool {
        debug_assert!(entry.body.whole_content().is_some(), "only what is whole is kept");
        let (mut gone, room) = (Gone::default(), self.room(entry.place));
        let weight = entry.weight();
        let mut shard = room.shard.write();
        let may = weight <= self.bytes_max / 2 && may() && self.may_come_in(&shard, entry);
        let kept = may && Self::is_newest(&shard, entry);
        if !kept {
            shard.remove(entry, &mut gone);
        } else if entry.slot().is_none() {
            self.put(&mut shard, entry, &mut gone);
            self.kept_bytes.fetch_add(weight, Relaxed);
            self.entries.fetch_add(1, Relaxed);
            room.entries.fetch_add(1, Relaxed);
        }
        drop(shard);
        if kept {
            entry.body.uncount();
        }
        self.settle(room, &gone);
        self.make_room();
        kept
    }

    /// Keeps an answer that the store gave back: it was asked for at `as_of`, and purged there what had been purged until
    /// then.
    pub fn keep_stored(&self, entry: &Arc<Entry>, as_of: u64) -> bool {
        entry.set_as_of(as_of);
        self.keep(entry)
    }

    /// Keeps what a validation made of an entry, unless that was purged or left meanwhile: an origin that says "not
    /// modified" does not bring back what was purged. The stamp of the new one is of the validation's request.
    pub fn renew(&self, old: &Entry, entry: &Arc<Entry>) -> bool {
        entry.set_content_stamp(old.content_stamp());
        self.keep_if(entry, || !old.is_dead())
    }

    /// Whether an entry is purged, wherever it is: for those who hold one.
    #[must_use]
    pub fn is_purged(&self, entry: &Entry) -> bool {
        self.shard(entry.place).read().standing(entry) == Standing::Gone || self.purges.is_purged(entry)
    }

    /// None of the same variant that is whole came later.
    fn is_newest(shard: &Shard, entry: &Entry) -> bool {
        let is_newer = |other: &Arc<Entry>| {
            other.slot().is_some() && other.record.came_ms > entry.record.came_ms && entry.is_same_variant(other)
        };
        shard.slot(entry.place).is_none_or(|slot| !slot.entries().any(is_newer))
    }

    fn put(&self, shard: &mut Shard, entry: &Arc<Entry>, gone: &mut Gone) {
        let is_replaced = |other: &&Arc<Entry>| other.slot().is_some() && entry.is_same_variant(other);
        let old = shard.slot(entry.place).and_then(|slot| slot.entries().find(is_replaced)).cloned();
        if !shard.has(entry) {
            shard.insert(entry, gone);
        }
        // Unless it had to go just now, for a change of what the target varies by.
        match old.filter(|old| old.slot().is_some()) {
            Some(old) => shard.replace(&old, entry, gone),
            None => shard.weigh(entry, gone),
        }
        shard.markers.unmark(marker_key(&self.key, entry.place, &entry.extras, &entry.variant));
    }

    /// Takes an entry out: its fill failed, or it must not be kept.
    pub fn forget(&self, entry: &Entry) {
        let (mut gone, room) = (Gone::default(), self.room(entry.place));
        room.shard.write().remove(entry, &mut gone);
        self.settle(room, &gone);
    }

    /// Lets entries leave until the budget holds. `false`: what is being filled alone is more than the budget.
    pub fn make_room(&self) -> bool {
        while self.bytes() > self.bytes_max {
            let Some(room) = self.next_room() else { return false };
            let mut gone = Gone::default();
            if room.shard.write().evict(&mut gone) {
                self.evictions.fetch_add(1, Relaxed);
            }
            self.settle(room, &gone);
        }
        true
    }

    /// The next shard that has its share of entries or more. By their number and not by their bytes: an object larger
    /// than a shard's share must not be the first to leave. Shards that have less are passed over, so that they do not
    /// drift apart.
    fn next_room(&self) -> Option<&Room> {
        let share = (self.entries() / self.rooms.len() as u64).max(1);
        let mut rooms = self.rooms.iter().map(|_| &self.rooms[self.cursor.fetch_add(1, Relaxed) % self.rooms.len()]);
        rooms.find(|room| room.entries.load(Relaxed) >= share)
    }

    /// For a while nobody waits for another's fetch of this.
    pub fn mark_uncacheable(&self, wanted: &Wanted<'_>, now_ms: u64, until_ms: u64) {
        let mut shard = self.shard(wanted.place).write();
        let latest = shard.slot(wanted.place).and_then(|slot| slot.latest_set()).cloned();
        let key = with_variant(latest.as_ref(), wanted.asked, |variant| {
            marker_key(&self.key, wanted.place, wanted.extras, variant)
        });
        shard.markers.sweep(now_ms);
        shard.markers.mark(key, until_ms);
        shard.change(wanted.place);
    }

    pub(super) fn is_marked(&self, shard: &Shard, wanted: &Wanted<'_>, now_ms: u64) -> bool {
        let is_marked = |variant: &[u8]| {
            let key = marker_key(&self.key, wanted.place, wanted.extras, variant);
            shard.markers.is_marked(key, now_ms)
        };
        let sets = shard.slot(wanted.place).and_then(|slot| slot.sets());
        is_marked(&[])
            || sets.is_some_and(|sets| sets.iter().any(|set| with_variant(Some(set), wanted.asked, is_marked)))
    }

    /// A hit.
    #[inline]
    pub fn touch(&self, entry: &Entry) {
        entry.add_hits(1);
    }

    /// Weights of all that is kept, and what is being filled.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.kept_bytes.load(Relaxed).saturating_add(self.growing_bytes.load(Relaxed))
    }

    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries.load(Relaxed)
    }

    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Relaxed)
    }
}

/// A target that varies by nothing and has no extras is marked by its place.
fn marker_key(key: &HashKey, place: Place, extras: &[u8], variant: &[u8]) -> u64 {
    let part = |bytes: &[u8]| if bytes.is_empty() { 0 } else { key.hash(bytes) };
    place.0 ^ part(extras).rotate_left(1) ^ part(variant).rotate_left(2)
}
