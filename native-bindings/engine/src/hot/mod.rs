//! The hot cache: stored answers in memory, shared by all workers of the process.
//!
//! A target's place (`place.rs`) names its shard and its slot (`shard.rs`, `slot.rs`). There its entries are (`entry.rs`),
//! whole or with a body that still grows (`body.rs`), and the fetches under way that others follow (`flight.rs`). All
//! shards share one budget of bytes: whoever brings something in makes room, a shard after the other. Purges are
//! generations (`purges.rs`).
//!
//! Nothing here knows sockets, the store or the time, and nobody is rung: waiters are handed back.

pub mod body;
pub mod content;
pub mod entry;
pub mod flight;
mod generation;
mod growing;
mod keep;
mod lost;
mod markers;
pub mod near;
pub mod place;
mod prefixes;
mod purge;
mod purges;
mod recent;
mod shard;
mod slot;
mod top;
pub mod waiter;

pub use body::{Body, Read, ReaderId};
pub use content::Content;
pub use entry::{Entry, NewEntry};
pub use flight::{Flight, Landed};
pub use near::Near;
pub use place::{HashKey, Place};
pub use purge::Purge;
pub use top::Top;
pub use waiter::Waiter;

use generation::Standing;
use parking_lot::RwLock;
use proto::cache::message::Asked;
use purges::Purges;
use shard::{Found, Gone, Shard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What a request looks for.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub place: Place,
    /// What `write_target` made of it.
    pub target: &'a [u8],
    /// What `write_key` added.
    pub extras: &'a [u8],
    pub asked: Asked<'a>,
}

/// What a look-up found.
#[derive(Default)]
pub struct Seen {
    pub entry: Option<Arc<Entry>>,
    /// Since when a purge made it stale.
    pub soft_since_ms: Option<u64>,
    /// Nothing for this request, but for others of the same key.
    pub others: bool,
    /// An answer a short time ago could not be stored.
    pub uncacheable: bool,
    changes: u64,
    /// Of purges, where an entry was found.
    epoch: Option<u64>,
}

/// What `join` came to.
pub enum Joined {
    Lead(Arc<Flight>),
    Follow(Arc<Flight>),
    /// Something changed since the look-up.
    LookAgain,
}

/// A shard, alone on its cache lines.
#[repr(align(128))]
#[derive(Default)]
struct Room {
    shard: RwLock<Shard>,
    /// Entries that are weighed.
    entries: AtomicU64,
}

/// See the file.
pub struct HotCache {
    key: HashKey,
    rooms: Box<[Room]>,
    bytes_max: u64,
    /// Weights of what is whole.
    kept_bytes: AtomicU64,
    /// Bytes of bodies that grow.
    growing_bytes: Arc<AtomicU64>,
    entries: AtomicU64,
    evictions: AtomicU64,
    /// Whose turn it is to make room.
    cursor: AtomicUsize,
    purges: Purges,
    clock: AtomicU64,
}

impl HotCache {
    #[must_use]
    pub fn new(bytes_max: u64, shards: u32) -> Self {
        Self::with_key(bytes_max, shards, HashKey::random())
    }

    /// With a key that is known, for runs that are repeated.
    #[must_use]
    pub fn with_key(bytes_max: u64, shards: u32, key: HashKey) -> Self {
        Self {
            key,
            rooms: (0..shards.max(1)).map(|_| Room::default()).collect(),
            bytes_max,
            kept_bytes: AtomicU64::new(0),
            growing_bytes: Arc::default(),
            entries: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            cursor: AtomicUsize::new(0),
            purges: Purges::default(),
            clock: AtomicU64::new(0),
        }
    }

    #[must_use]
    pub fn place(&self, target: &[u8]) -> Place {
        Place(self.key.hash(target))
    }

    #[must_use]
    pub fn tag(&self, tag: &[u8]) -> u64 {
        self.key.hash(tag)
    }

    /// The clock of purges: rises with each call, and over restarts because it does not lag behind the time.
    #[must_use]
    pub fn stamp(&self, unix_us: u64) -> u64 {
        let next = |last: u64| (last + 1).max(unix_us);
        let before = self.clock.fetch_update(Relaxed, Relaxed, |last| Some(next(last)));
        next(before.unwrap_or_else(|last| last))
    }

    fn room(&self, place: Place) -> &Room {
        // Tables look at the lowest and the highest bits.
        let spread = (place.0 >> 24) as usize;
        &self.rooms[spread % self.rooms.len()]
    }

    fn shard(&self, place: Place) -> &RwLock<Shard> {
        &self.room(place).shard
    }

    /// The entry that a request selects: the newest of those that would do, whole or growing.
    #[must_use]
    pub fn look_up(&self, wanted: &Wanted<'_>, now_ms: u64) -> Seen {
        let epoch = self.purges.epoch();
        let mut any_dead = false;
        let is_live = |entry: &Entry| {
            let live = self.purges.is_live(entry, epoch);
            any_dead |= !live;
            live && entry.body.may_enter()
        };
        let shard = self.shard(wanted.place).read();
        let found = shard.find(wanted, is_live);
        let uncacheable = !shard.markers.is_empty() && self.is_marked(&shard, wanted, now_ms);
        drop(shard);
        if any_dead {
            self.bury(wanted.place);
        }
        let Found { entry, others, changes } = found;
        let (soft_since_ms, epoch) =
            (entry.as_ref().and_then(|entry| entry.soft_since_ms()), entry.as_ref().map(|_| epoch));
        Seen { entry, soft_since_ms, others, uncacheable, changes, epoch }
    }

    /// An entry that was found before may still be given out, and is not stale by a purge.
    #[inline]
    fn is_current(&self, entry: &Entry) -> bool {
        self.purges.is_live(entry, self.purges.epoch()) && entry.soft_since_ms().is_none()
    }

    /// Takes dead entries out of a slot.
    #[cold]
    fn bury(&self, place: Place) {
        let mut gone = Gone::default();
        let room = self.room(place);
        room.shard.write().remove_where(place, Entry::is_dead, &mut gone);
        self.settle(room, &gone);
    }

    /// Gives back what entries weighed that left.
    fn settle(&self, room: &Room, gone: &Gone) {
        if gone.weighed > 0 {
            room.entries.fetch_sub(gone.weighed, Relaxed);
            self.kept_bytes.fetch_sub(gone.bytes, Relaxed);
            self.entries.fetch_sub(gone.weighed, Relaxed);
        }
    }

    /// Leads or follows the fetch for a request.
    #[must_use]
    pub fn join(&self, wanted: &Wanted<'_>, seen: &Seen, waiter: Waiter) -> Joined {
        if seen.epoch.is_some_and(|epoch| epoch != self.purges.epoch()) {
            return Joined::LookAgain;
        }
        let joined = self.shard(wanted.place).write().join(wanted, seen.changes, waiter.worker);
        match joined {
            None => Joined::LookAgain,
            Some((flight, true)) => Joined::Lead(flight),
            Some((flight, false)) if flight.wait(waiter) == Landed::Open => Joined::Follow(flight),
            Some(_) => Joined::LookAgain,
        }
    }

    /// The flight is over. Those who wait are moved into `out`.
    pub fn land(&self, flight: &Arc<Flight>, landed: Landed, out: &mut Vec<Waiter>) {
        self.shard(flight.place).write().remove_flight(flight);
        flight.land(landed, out);
    }

    /// Lists an entry whose body grows: others may read it. `false`: nobody else may have it, because it is purged
    /// already, or because too many answers for its target are on their way.
    pub fn list(&self, entry: &Arc<Entry>) -> bool {
        let (mut gone, room) = (Gone::default(), self.room(entry.place));
        let listed = {
            let mut shard = room.shard.write();
            let is_listed = shard.has(entry);
            let is_full = !is_listed && shard.slot(entry.place).is_some_and(slot::Slot::lists_no_more);
            let may = self.may_come_in(&shard, entry) && !is_full;
            if may && !is_listed {
                shard.insert(entry, &mut gone);
                shard.note_growing(&entry.body);
            }
            may
        };
        if listed {
            entry.body.count_in(&self.growing_bytes);
        }
        self.settle(room, &gone);
        listed
    }

    /// No purge since its request was sent took it. What is listed was found by every purge since then; of what is not,
    /// the notes must still be there.
    fn may_come_in(&self, shard: &Shard, entry: &Entry) -> bool {
        if shard.has(entry) {
            return self.purges.is_live(entry, self.purges.epoch());
        }
        match shard.standing(entry) {
            Standing::Gone => return false,
            Standing::Soft(since_ms) => entry.soften(since_ms),
            Standing::Live => {}
        }
        self.purges.may_come_in(entry)
    }
}
