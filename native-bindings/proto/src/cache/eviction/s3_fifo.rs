//! S3-FIFO, by bytes (Yang et al., SOSP 2023). What is new enters a small queue and leaves it soon unless it is used
//! again; what was used, or comes back soon after it left, enters the main queue, where each use buys one more round. So
//! a scan passes through the small queue and displaces nothing, and a hit is one store: no list is touched.
//!
//! ```text
//! insert ──► SMALL ──used──────────────► MAIN ──used──┐
//!              │                          ▲ │ ▲───────┘ one round less
//!              └──unused──► leaves, its key │ └──unused──► leaves
//!                           is remembered ──┘ (when it comes back)
//! ```

use crate::cache::eviction::ghost::Ghost;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Part of the bytes that the small queue may hold.
const SMALL_PERCENT: u64 = 10;
/// Uses in the small queue that open the main one.
const USES_TO_STAY: u8 = 1;
/// Rounds in the main queue that uses can buy.
const USES_MAX: u8 = 3;
/// "No slot" in a link.
const NONE: u32 = u32::MAX;

/// Names what was inserted until it leaves or is removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Slot(pub u32);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Free,
    Small,
    Main,
}

#[derive(Debug)]
struct Node {
    key: u64,
    bytes: u64,
    uses: AtomicU8,
    place: Place,
    /// Towards the tail, which leaves next.
    older: u32,
    newer: u32,
}

/// A queue through the nodes.
#[derive(Clone, Copy, Debug)]
struct Queue {
    newest: u32,
    oldest: u32,
    bytes: u64,
    count: usize,
}

const EMPTY: Queue = Queue { newest: NONE, oldest: NONE, bytes: 0, count: 0 };

/// See the file.
#[derive(Debug)]
pub struct S3Fifo {
    nodes: Vec<Node>,
    free: Vec<u32>,
    small: Queue,
    main: Queue,
    ghost: Ghost,
}

impl Default for S3Fifo {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), small: EMPTY, main: EMPTY, ghost: Ghost::default() }
    }
}

impl S3Fifo {
    /// Bytes of everything that is in.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.small.bytes + self.main.bytes
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.small.count + self.main.count
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in what has this (keyed) hash and weighs so much.
    pub fn insert(&mut self, key: u64, bytes: u64) -> Slot {
        let place = if self.ghost.take(key) { Place::Main } else { Place::Small };
        let node = Node { key, bytes, uses: AtomicU8::new(0), place, older: NONE, newer: NONE };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.nodes[slot as usize] = node;
                slot
            }
            None => {
                self.nodes.push(node);
                // Slots are numbered by u32, of which one says "none": more entries than memory could hold.
                u32::try_from(self.nodes.len() - 1).unwrap_or(NONE - 1)
            }
        };
        self.push(place, slot);
        Slot(slot)
    }

    /// A use: nothing but a store, so that many readers may do it at once.
    #[inline]
    pub fn touch(&self, slot: Slot) {
        let uses = &self.nodes[slot.0 as usize].uses;
        let seen = uses.load(Relaxed);
        // A lost count of two at once changes nothing that matters.
        if seen < USES_MAX {
            uses.store(seen + 1, Relaxed);
        }
    }

    /// What is at a slot weighs something else now; it stays where it is.
    pub fn reweigh(&mut self, slot: Slot, bytes: u64) {
        let node = &mut self.nodes[slot.0 as usize];
        debug_assert!(node.place != Place::Free);
        let (place, before) = (node.place, std::mem::replace(&mut node.bytes, bytes));
        let queue = self.queue(place);
        queue.bytes = queue.bytes - before + bytes;
    }

    /// Takes out what was purged or replaced.
    pub fn remove(&mut self, slot: Slot) {
        debug_assert!(self.nodes[slot.0 as usize].place != Place::Free);
        self.unlink(slot.0);
        self.free(slot.0);
    }

    /// Lets one leave; `None` if nothing is in.
    pub fn evict(&mut self) -> Option<Slot> {
        self.evict_with(|_| 0)
    }

    /// The same, where uses are counted elsewhere: `take_uses` says how often a slot was used since it was last asked.
    pub fn evict_with(&mut self, mut take_uses: impl FnMut(Slot) -> u8) -> Option<Slot> {
        loop {
            let from_small =
                self.small.count > 0 && (self.main.count == 0 || self.small.bytes * 100 > self.bytes() * SMALL_PERCENT);
            let slot = if from_small { self.small.oldest } else { self.main.oldest };
            if slot == NONE {
                return None;
            }
            let node = &self.nodes[slot as usize];
            let uses = node.uses.load(Relaxed).saturating_add(take_uses(Slot(slot))).min(USES_MAX);
            let key = node.key;
            self.unlink(slot);
            match from_small {
                true if uses >= USES_TO_STAY => self.enter_main(slot, 0),
                false if uses > 0 => self.enter_main(slot, uses - 1),
                _ => {
                    if from_small {
                        self.ghost.note(key, self.main.count.max(self.small.count));
                    }
                    self.free(slot);
                    return Some(Slot(slot));
                }
            }
        }
    }

    fn enter_main(&mut self, slot: u32, uses: u8) {
        self.nodes[slot as usize].uses.store(uses, Relaxed);
        self.push(Place::Main, slot);
    }

    fn queue(&mut self, place: Place) -> &mut Queue {
        if place == Place::Small { &mut self.small } else { &mut self.main }
    }

    fn push(&mut self, place: Place, slot: u32) {
        let bytes = self.nodes[slot as usize].bytes;
        let queue = self.queue(place);
        let before = queue.newest;
        queue.newest = slot;
        if queue.oldest == NONE {
            queue.oldest = slot;
        }
        queue.bytes += bytes;
        queue.count += 1;
        let node = &mut self.nodes[slot as usize];
        (node.place, node.older, node.newer) = (place, before, NONE);
        if before != NONE {
            self.nodes[before as usize].newer = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Node { place, older, newer, bytes, .. } = self.nodes[slot as usize];
        if older != NONE {
            self.nodes[older as usize].newer = newer;
        }
        if newer != NONE {
            self.nodes[newer as usize].older = older;
        }
        let queue = self.queue(place);
        if queue.oldest == slot {
            queue.oldest = newer;
        }
        if queue.newest == slot {
            queue.newest = older;
        }
        debug_assert!(queue.bytes >= bytes && queue.count > 0);
        queue.bytes -= bytes;
        queue.count -= 1;
    }

    fn free(&mut self, slot: u32) {
        self.nodes[slot as usize].place = Place::Free;
        self.free.push(slot);
    }
}

#[cfg(test)]
#[path = "s3_fifo_tests.rs"]
mod tests;
