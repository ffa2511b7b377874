//! Purges as generations: a purge notes a stamp, and each entry finds out when it is next looked at. So purging 100,000
//! entries by their tag costs one note, and a hit one compare: each entry remembers the epoch it was looked at in.

use crate::hot::entry::Entry;
use crate::hot::generation::{Generation, Standing};
use crate::hot::place::ByHash;
use crate::hot::prefixes::Prefixes;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

/// Tags and prefixes that are remembered one by one; when there are more, all entries are looked at once.
pub(super) const TAGS_MAX: usize = 65_536;
pub(super) const PREFIXES_MAX: usize = 1024;

/// What a generation is for.
pub(super) enum Key<'a> {
    Everything,
    Tag(u64),
    Prefix(&'a [u8]),
}

#[derive(Default)]
struct Books {
    everything: Generation,
    tags: ByHash<Generation>,
    prefixes: Prefixes,
    /// What was asked for up to then and is not in yet is not let in: the notes that concern it may be gone.
    floor: u64,
    /// The stamp of the latest note.
    latest: u64,
}

/// See the file.
pub(super) struct Purges {
    /// Rises with each note.
    epoch: AtomicU64,
    books: RwLock<Books>,
}

impl Default for Purges {
    fn default() -> Self {
        Self { epoch: AtomicU64::new(1), books: RwLock::default() }
    }
}

impl Purges {
    #[inline]
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    /// `true`: there are too many notes; whoever noted this looks at all entries, then calls `forget_until`.
    pub(super) fn note(&self, key: &Key<'_>, soft: bool, stamp: u64, now_ms: u64) -> bool {
        let mut books = self.books.write();
        books.latest = books.latest.max(stamp);
        match key {
            Key::Everything => books.everything.note(soft, stamp, now_ms),
            Key::Tag(tag) => books.tags.entry(*tag).or_default().note(soft, stamp, now_ms),
            Key::Prefix(prefix) => books.prefixes.generation(prefix).note(soft, stamp, now_ms),
        }
        self.epoch.fetch_add(1, Release);
        books.tags.len() > TAGS_MAX || books.prefixes.len() > PREFIXES_MAX
    }

    /// Whether an entry may still be given out, at this epoch or a later one. One that is purged dies; one that is stale
    /// by a purge learns since when.
    #[inline]
    pub(super) fn is_live(&self, entry: &Entry, epoch: u64) -> bool {
        (entry.checked() >= epoch || self.check(entry, &self.books.read())) && !entry.is_dead()
    }

    /// The same of an entry that comes in: no note that concerns it may be forgotten.
    pub(super) fn may_come_in(&self, entry: &Entry) -> bool {
        !self.is_purged(entry) && !entry.is_dead()
    }

    /// Whether it is purged, or nobody can tell any more.
    pub(super) fn is_purged(&self, entry: &Entry) -> bool {
        let books = self.books.read();
        entry.as_of() <= books.floor || !self.check(entry, &books)
    }

    #[cold]
    fn check(&self, entry: &Entry, books: &Books) -> bool {
        let epoch = self.epoch();
        let tags = entry.tags.iter().filter_map(|tag| books.tags.get(tag));
        let all = tags.chain(books.prefixes.of(&entry.target));
        let standing = all.fold(books.everything.standing(entry.age()), |standing, generation| {
            standing.and(generation.standing(entry.age()))
        });
        match standing {
            Standing::Gone => entry.die(),
            Standing::Soft(since_ms) => entry.soften(since_ms),
            Standing::Live => {}
        }
        entry.set_checked(epoch);
        standing != Standing::Gone
    }

    /// The epoch, and the stamp of the latest note.
    pub(super) fn now(&self) -> (u64, u64) {
        let books = self.books.read();
        (self.epoch(), books.latest)
    }

    /// All entries were looked at in this epoch or later: notes up to this stamp are needed no more.
    pub(super) fn forget_until(&self, stamp: u64) {
        let mut books = self.books.write();
        books.floor = books.floor.max(stamp);
        books.tags.retain(|_, generation| !generation.is_over(stamp));
        books.prefixes.retain(|generation| !generation.is_over(stamp));
    }
}
