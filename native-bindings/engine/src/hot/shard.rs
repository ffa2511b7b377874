//! One part of the hot cache, under one lock: the slots of its places, the queues that say who leaves, and markers.

use crate::hot::Wanted;
use crate::hot::body::Body;
use crate::hot::entry::Entry;
use crate::hot::flight::Flight;
use crate::hot::generation::{Generation, Standing};
use crate::hot::markers::Markers;
use crate::hot::place::{ByHash, Place};
use crate::hot::recent::Recent;
use crate::hot::slot;
use proto::cache::eviction::{S3Fifo, Slot};
use std::sync::{Arc, Weak};

/// Smaller tables of places stay as they are.
const TABLE_MIN: usize = 256;

/// What left, dropped by its owner when no lock is held, and what it weighed.
#[derive(Default)]
pub(super) struct Gone {
    pub entries: Vec<Arc<Entry>>,
    /// Of those that were weighed.
    pub bytes: u64,
    pub weighed: u64,
}

/// What a look-up in a shard came to.
pub(super) struct Found {
    pub entry: Option<Arc<Entry>>,
    pub others: bool,
    pub changes: u64,
}

/// See the file.
#[derive(Default)]
pub(super) struct Shard {
    slots: ByHash<slot::Slot>,
    queues: S3Fifo,
    /// By slot of the queues.
    kept: Vec<Option<Arc<Entry>>>,
    pub(super) markers: Markers,
    recent: Recent,
    /// Bodies that others may read while they grow; those that are gone are swept out.
    growing: Vec<Weak<Body>>,
    /// Number of the last change of any slot.
    changes: u64,
}

impl Shard {
    pub(super) fn slot(&self, place: Place) -> Option<&slot::Slot> {
        self.slots.get(&place.0)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &slot::Slot> {
        self.slots.values()
    }

    pub(super) fn find(&self, wanted: &Wanted<'_>, mut is_live: impl FnMut(&Entry) -> bool) -> Found {
        let Some(slot) = self.slots.get(&wanted.place.0) else {
            return Found { entry: None, others: false, changes: 0 };
        };
        let entry = slot.select(wanted, &mut is_live).cloned();
        let is_other = |entry: &Arc<Entry>| entry.is_of(wanted.target, wanted.extras) && is_live(entry);
        let others = entry.is_none() && slot.entries().any(is_other);
        Found { entry, others, changes: slot.changes }
    }

    /// The flight to follow, or to lead (`true`). `None`: something changed since `changes`.
    pub(super) fn join(&mut self, wanted: &Wanted<'_>, changes: u64, leader: u32) -> Option<(Arc<Flight>, bool)> {
        let now = self.slots.get(&wanted.place.0).map_or(0, |slot| slot.changes);
        if now != changes {
            return None;
        }
        let slot = self.slots.entry(wanted.place.0).or_default();
        let (flight, leads) = slot.join(wanted, leader);
        if leads {
            slot.add_flight(Arc::clone(&flight));
        }
        Some((flight, leads))
    }

    pub(super) fn remove_flight(&mut self, flight: &Arc<Flight>) {
        if let Some(slot) = self.slots.get_mut(&flight.place.0) {
            slot.remove_flight(flight);
            if slot.is_empty() {
                self.slots.remove(&flight.place.0);
            }
        }
    }

    /// What a purge of its target says of an entry that is not in yet.
    pub(super) fn standing(&self, entry: &Entry) -> Standing {
        self.recent.standing(entry.place, entry.age(), entry.as_of())
    }

    pub(super) fn has(&self, entry: &Entry) -> bool {
        self.slots.get(&entry.place.0).is_some_and(|slot| slot.entries().any(|one| std::ptr::eq(&**one, entry)))
    }

    /// Puts an entry into its slot.
    pub(super) fn insert(&mut self, entry: &Arc<Entry>, gone: &mut Gone) {
        self.changes += 1;
        let slot = self.slots.entry(entry.place.0).or_default();
        slot.changes = self.changes;
        let from = gone.entries.len();
        slot.insert(entry, &mut gone.entries);
        for place in from..gone.entries.len() {
            let entry = Arc::clone(&gone.entries[place]);
            self.unweigh(&entry, gone);
        }
    }

    /// Remembers a body that grows for as long as anybody has it.
    pub(super) fn note_growing(&mut self, body: &Arc<Body>) {
        if self.growing.len() == self.growing.capacity() {
            self.growing.retain(|body| body.strong_count() > 0);
        }
        self.growing.push(Arc::downgrade(body));
    }

    pub(super) fn growing(&self) -> impl Iterator<Item = Arc<Body>> {
        self.growing.iter().filter_map(Weak::upgrade)
    }

    /// Weighs an entry that is in its slot.
    pub(super) fn weigh(&mut self, entry: &Arc<Entry>, gone: &mut Gone) {
        debug_assert!(entry.slot().is_none());
        let slot = self.queues.insert(entry.place.0 ^ variant_bits(entry), entry.weight());
        entry.set_slot(Some(slot));
        let place = slot.0 as usize;
        if self.kept.len() <= place {
            self.kept.resize(place + 1, None);
        }
        self.kept[place] = Some(Arc::clone(entry));
        let Some(slot) = self.slots.get(&entry.place.0) else { return };
        entry.set_alone(slot.has_one());
        if let Some(oldest) = slot.surplus().cloned() {
            self.remove(&oldest, gone);
        }
    }

    /// Puts an entry that is in its slot in the place of an older one: it keeps its place in the queues and its uses.
    pub(super) fn replace(&mut self, old: &Entry, entry: &Arc<Entry>, gone: &mut Gone) {
        let Some(slot) = old.slot() else { return };
        old.die();
        self.left(slot, gone);
        entry.inherit(old);
        entry.set_slot(Some(slot));
        self.queues.reweigh(slot, entry.weight());
        self.kept[slot.0 as usize] = Some(Arc::clone(entry));
        gone.entries.extend(self.delist(old));
        entry.set_alone(self.slots.get(&entry.place.0).is_some_and(slot::Slot::has_one));
    }

    fn unweigh(&mut self, entry: &Entry, gone: &mut Gone) {
        entry.die();
        if let Some(slot) = entry.slot() {
            self.queues.remove(slot);
            self.left(slot, gone);
        }
    }

    /// What was at a slot of the queues is no longer.
    fn left(&mut self, slot: Slot, gone: &mut Gone) -> Option<Arc<Entry>> {
        let entry = self.kept[slot.0 as usize].take()?;
        entry.set_slot(None);
        gone.bytes += entry.weight();
        gone.weighed += 1;
        Some(entry)
    }

    /// Takes an entry out of everything.
    pub(super) fn remove(&mut self, entry: &Entry, gone: &mut Gone) {
        self.unweigh(entry, gone);
        gone.entries.extend(self.delist(entry));
    }

    fn delist(&mut self, entry: &Entry) -> Option<Arc<Entry>> {
        let slot = self.slots.get_mut(&entry.place.0)?;
        let gone = slot.remove(entry)?;
        self.changes += 1;
        slot.changes = self.changes;
        if slot.is_empty() {
            self.slots.remove(&entry.place.0);
            self.shrink();
        }
        Some(gone)
    }

    /// A table that was made for many small entries is not kept for a few large ones.
    fn shrink(&mut self) {
        if self.slots.capacity() > TABLE_MIN && self.slots.len() < self.slots.capacity() / 8 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }

    /// Lets the one leave that the queues name. `false`: there is none.
    pub(super) fn evict(&mut self, gone: &mut Gone) -> bool {
        let kept = &self.kept;
        let uses = |slot: Slot| kept[slot.0 as usize].as_ref().map_or(0, |entry| entry.take_uses());
        let Some(slot) = self.queues.evict_with(uses) else { return false };
        let Some(entry) = self.left(slot, gone) else { return false };
        entry.die();
        self.delist(&entry);
        gone.entries.push(entry);
        true
    }

    /// Takes out everything at a place that `is_wanted`.
    pub(super) fn remove_where(&mut self, place: Place, is_wanted: impl Fn(&Entry) -> bool, gone: &mut Gone) {
        let Some(slot) = self.slots.get(&place.0) else { return };
        let found: Vec<_> = slot.entries().filter(|entry| is_wanted(entry)).cloned().collect();
        found.iter().for_each(|entry| self.remove(entry, gone));
    }

    pub(super) fn note_purge(&mut self, place: Place, soft: bool, stamp: u64, now_ms: u64) {
        let note = |generation: &mut Generation| generation.note(soft, stamp, now_ms);
        self.recent.note(place, stamp, note);
    }

    pub(super) fn change(&mut self, place: Place) {
        self.changes += 1;
        if let Some(slot) = self.slots.get_mut(&place.0) {
            slot.changes = self.changes;
            slot.entries().for_each(|entry| entry.set_alone(false));
        }
    }
}

/// Tells variants of a target apart in the memory of what left. No secret: the place is.
fn variant_bits(entry: &Entry) -> u64 {
    let parts = [&entry.extras, &entry.variant];
    parts.into_iter().filter(|part| !part.is_empty()).fold(0, |bits, part| {
        part.iter().fold(bits, |bits, b| (bits.rotate_left(5) ^ u64::from(*b)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    })
}
