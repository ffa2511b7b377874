//! What the store is to write, on its way to the thread that does: bounded, for a disk that is slower than the network
//! loses writes and nothing else. What must be removed is never lost.

use crate::hot::Entry;
use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Entries that may wait for the store.
const WRITES_MAX: usize = 8192;

/// What the store is to do.
pub enum Write {
    Put(Arc<Entry>),
    /// One answer is no more.
    Remove {
        target: Box<[u8]>,
        variant: Box<[u8]>,
    },
    /// Nothing of this target that was asked for before `stamp` is any more.
    RemoveTarget {
        target: Box<[u8]>,
        stamp: u64,
    },
    RemoveTag {
        tag: Box<[u8]>,
        stamp: u64,
    },
}

/// See the file.
pub struct StoreQueue {
    /// There is a store, and it works.
    open: AtomicBool,
    /// Each with what it weighed when it came.
    puts: ArrayQueue<(Arc<Entry>, u64)>,
    /// What the entries that wait weigh, and may weigh: they are in memory, whether the hot cache keeps them or not.
    bytes: AtomicU64,
    bytes_max: AtomicU64,
    removals: Mutex<Vec<Write>>,
    lost: AtomicU64,
}

impl Default for StoreQueue {
    fn default() -> Self {
        Self {
            open: AtomicBool::new(false),
            puts: ArrayQueue::new(WRITES_MAX),
            bytes: AtomicU64::new(0),
            bytes_max: AtomicU64::new(0),
            removals: Mutex::default(),
            lost: AtomicU64::new(0),
        }
    }
}

impl StoreQueue {
    /// Says whether there is a store that can be asked and written to, and how many bytes may wait for it.
    pub fn set_open(&self, open: bool, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Relaxed);
        self.open.store(open, Relaxed);
    }

    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    pub fn put(&self, entry: &Arc<Entry>) {
        if !self.is_open() {
            return;
        }
        let weight = entry.weight();
        let waiting = self.bytes.fetch_add(weight, Relaxed);
        let has_room = waiting + weight <= self.bytes_max.load(Relaxed);
        if !has_room || self.puts.push((Arc::clone(entry), weight)).is_err() {
            self.bytes.fetch_sub(weight, Relaxed);
            self.lost.fetch_add(1, Relaxed);
        }
    }

    pub fn remove(&self, entry: &Entry) {
        self.removal(|| Write::Remove { target: entry.target.clone(), variant: variant_id(entry) });
    }

    pub fn remove_target(&self, target: &[u8], stamp: u64) {
        self.removal(|| Write::RemoveTarget { target: target.into(), stamp });
    }

    pub fn remove_tag(&self, tag: &[u8], stamp: u64) {
        self.removal(|| Write::RemoveTag { tag: tag.into(), stamp });
    }

    fn removal(&self, write: impl FnOnce() -> Write) {
        if self.is_open() {
            self.removals.lock().push(write());
        }
    }

    /// Takes what waits, up to so many bytes of content; all removals come first.
    pub fn take(&self, bytes_max: u64) -> Vec<Write> {
        let mut writes = std::mem::take(&mut *self.removals.lock());
        let mut bytes = 0;
        while bytes < bytes_max {
            let Some((entry, weight)) = self.puts.pop() else { break };
            self.bytes.fetch_sub(weight, Relaxed);
            bytes += weight;
            writes.push(Write::Put(entry));
        }
        writes
    }

    /// Entries that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.puts.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty()
    }

    /// Writes that found no room.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

/// What tells the answers of one target apart.
#[must_use]
pub fn variant_id(entry: &Entry) -> Box<[u8]> {
    [&entry.extras, &b"\0"[..], &entry.variant].concat().into()
}
