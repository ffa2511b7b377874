//! One stored answer, or one that is being stored. What it says never changes; what happened to it does: uses, purges,
//! its end.

use crate::hot::body::Body;
use crate::hot::content::ARC_BYTES;
use crate::hot::generation::Age;
use crate::hot::place::Place;
use proto::cache::eviction;
use proto::cache::record::Record;
use proto::cache::vary::VarySet;
use proto::http1::head::{Field, ResponseHead};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// What an answer is stored with.
pub struct NewEntry {
    pub place: Place,
    /// What `write_target` of `proto/cache/key.rs` makes of the request.
    pub target: Box<[u8]>,
    /// What `write_key` adds to it: fields and cookies of the route's key. Mostly empty.
    pub extras: Box<[u8]>,
    pub vary: VarySet,
    /// The request's key for `vary`; empty when it does not vary.
    pub variant: Box<[u8]>,
    pub record: Record,
    /// As it is stored, with the empty line that ends it.
    pub head: Box<[u8]>,
    /// Of `head`.
    pub parsed: ResponseHead,
    pub body: Arc<Body>,
    /// Keyed hashes of its tags and groups: `HotCache::tag`.
    pub tags: Box<[u64]>,
    /// The same as they are, for the store.
    pub tag_names: Box<[Box<[u8]>]>,
    /// The clock of purges (`HotCache::stamp`) when its request was sent, so that a purge since then concerns it.
    pub stamp: u64,
}

/// In `slot`: it is not weighed.
const NO_SLOT: u32 = u32::MAX;

/// See the file. Its `NewEntry` is there to read through it.
pub struct Entry {
    new: NewEntry,
    dead: AtomicBool,
    /// Whole, and all that is known of its target: whoever asks for that gets this.
    alone: AtomicBool,
    /// The stamp of the request that brought its content, where that was renewed since.
    content_stamp: AtomicU64,
    /// Up to which stamp others saw to it that it is not purged: the store, of what it gave back.
    as_of: AtomicU64,
    /// The purge epoch it was last looked at in.
    checked: AtomicU64,
    /// Since when it is stale by a purge; 0 = it is not.
    soft_since_ms: AtomicU64,
    hits: AtomicU32,
    /// Hits that eviction has counted.
    hits_counted: AtomicU32,
    /// Where it is in its shard's queues.
    slot: AtomicU32,
}

impl Deref for Entry {
    type Target = NewEntry;

    #[inline]
    fn deref(&self) -> &NewEntry {
        &self.new
    }
}

impl Entry {
    #[must_use]
    pub fn new(mut new: NewEntry) -> Arc<Self> {
        new.parsed.fields.shrink_to_fit();
        let (content_stamp, as_of) = (AtomicU64::new(new.stamp), AtomicU64::new(new.stamp));
        Arc::new(Self {
            new,
            content_stamp,
            as_of,
            dead: AtomicBool::new(false),
            alone: AtomicBool::new(false),
            checked: AtomicU64::new(0),
            soft_since_ms: AtomicU64::new(0),
            hits: AtomicU32::new(0),
            hits_counted: AtomicU32::new(0),
            slot: AtomicU32::new(NO_SLOT),
        })
    }

    /// All bytes that it takes: its own, and what tables and the allocator need for it. The same from when its body is
    /// whole.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let content = match self.body.whole_content() {
            Some(content) => content.weigh(block),
            None => self.body.length_so_far(),
        };
        let names: u64 = self.tag_names.iter().map(|name| block(name.len())).sum();
        let parts = [
            size_of::<Self>() + ARC_BYTES,
            size_of::<Body>() + ARC_BYTES,
            self.target.len(),
            self.extras.len(),
            self.variant.len(),
            self.record.etag.len(),
            self.head.len(),
            size_of_val(self.tags.iter().as_slice()),
            size_of_val(self.tag_names.iter().as_slice()),
            self.parsed.fields.len() * size_of::<Field>(),
        ];
        let names_of_vary: u64 = self.vary.names().map(|name| block(name.len()) + size_of::<Box<[u8]>>() as u64).sum();
        TABLE_BYTES + content + names + names_of_vary + parts.into_iter().map(block).sum::<u64>()
    }

    /// Removed, replaced, failed or purged: nobody new is given it.
    #[must_use]
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Acquire)
    }

    #[inline]
    pub(super) fn is_alone(&self) -> bool {
        self.alone.load(Acquire)
    }

    pub(super) fn set_alone(&self, alone: bool) {
        self.alone.store(alone, Release);
    }

    pub(super) fn die(&self) {
        self.set_alone(false);
        self.dead.store(true, Release);
    }

    /// Since when it is stale by a purge.
    #[must_use]
    #[inline]
    pub fn soft_since_ms(&self) -> Option<u64> {
        Some(self.soft_since_ms.load(Relaxed)).filter(|since| *since != 0)
    }

    /// The first of several counts.
    pub(super) fn soften(&self, since_ms: u64) {
        let earlier = |now: u64| (now == 0 || since_ms < now).then_some(since_ms.max(1));
        let _ = self.soft_since_ms.fetch_update(Release, Relaxed, earlier);
    }

    /// The stamp by which hard purges measure it: of the request that brought its content.
    #[must_use]
    pub fn content_stamp(&self) -> u64 {
        self.content_stamp.load(Relaxed)
    }

    pub(super) fn set_content_stamp(&self, stamp: u64) {
        self.content_stamp.store(stamp, Relaxed);
    }

    pub(super) fn age(&self) -> Age {
        Age { content: self.content_stamp(), validated: self.stamp }
    }

    pub(super) fn as_of(&self) -> u64 {
        self.as_of.load(Relaxed)
    }

    pub(super) fn set_as_of(&self, stamp: u64) {
        self.as_of.fetch_max(stamp, Relaxed);
    }

    #[inline]
    pub(super) fn checked(&self) -> u64 {
        self.checked.load(Acquire)
    }

    pub(super) fn set_checked(&self, epoch: u64) {
        self.checked.fetch_max(epoch, Release);
    }

    #[must_use]
    pub fn hits(&self) -> u32 {
        self.hits.load(Relaxed)
    }

    #[inline]
    pub(super) fn add_hits(&self, hits: u32) {
        self.hits.fetch_add(hits, Relaxed);
    }

    /// It takes the place of this one, and so its uses.
    pub(super) fn inherit(&self, old: &Self) {
        self.hits.fetch_add(old.hits(), Relaxed);
        self.hits_counted.store(old.hits_counted.load(Relaxed), Relaxed);
    }

    /// Hits since it was last asked. Only under the shard's lock.
    pub(super) fn take_uses(&self) -> u8 {
        let hits = self.hits();
        let before = self.hits_counted.swap(hits, Relaxed);
        u8::try_from(hits.wrapping_sub(before)).unwrap_or(u8::MAX)
    }

    pub(super) fn slot(&self) -> Option<eviction::Slot> {
        Some(self.slot.load(Relaxed)).filter(|slot| *slot != NO_SLOT).map(eviction::Slot)
    }

    pub(super) fn set_slot(&self, slot: Option<eviction::Slot>) {
        self.slot.store(slot.map_or(NO_SLOT, |slot| slot.0), Relaxed);
    }

    /// The same answer under the same key.
    pub(super) fn is_same_variant(&self, other: &Self) -> bool {
        self.variant == other.variant && self.is_of(&other.target, &other.extras)
    }

    #[inline]
    pub(super) fn is_of(&self, target: &[u8], extras: &[u8]) -> bool {
        is_same(&self.target, target) && is_same(&self.extras, extras)
    }

    #[inline]
    pub(super) fn is_variant(&self, variant: &[u8]) -> bool {
        is_same(&self.variant, variant)
    }
}

/// Nothing is compared with nothing without asking the C library: its vector code would read, masked, at the address that
/// Rust gives empty slices, where no page is, and that costs a trap inside of the CPU, as much as all else of a hit.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

/// What the tables of a shard need for one entry (its slot in the map, the nodes of the queues, the memory of what left,
/// and the room that tables keep free), and what the allocator loses between blocks: as `tests/hot_cache_zipf.rs` measures.
const TABLE_BYTES: u64 = 320;

/// What the allocator takes for so many bytes: a word before them, all rounded up.
pub(super) fn block(bytes: usize) -> u64 {
    if bytes == 0 { 0 } else { ((bytes as u64 + 8 + 15) & !15).max(32) }
}
