//! What one worker was given last, so that the next hit on it touches nothing that other workers touch: no lock, no count
//! of references, no count of hits but now and then.
//!
//! Only what answers every request for its target lies here: a whole entry that is the only one of its slot, varies by
//! nothing and has no marker. The entry itself says whether that is still so (`Entry::is_alone`), and a purge is told by
//! its epoch as everywhere.

use crate::hot::entry::Entry;
use crate::hot::{HotCache, Wanted};
use std::sync::Arc;

/// Entries one worker has near.
const NEAR_MAX: usize = 256;
/// Larger ones are left out: what is near is kept in memory although it may have left the cache.
const NEAR_BYTES_MAX: u64 = 64 * 1024;
/// Hits that are told at once, enough for the eviction; then every so many.
const HITS_TOLD_AT_ONCE: u32 = 4;
const HITS_TOLD: u32 = 16;

struct Held {
    entry: Arc<Entry>,
    hits: u32,
    /// Given out since another one wanted its room.
    used: bool,
}

/// See the file.
pub struct Near {
    rooms: Box<[Option<Held>]>,
}

impl Default for Near {
    fn default() -> Self {
        Self { rooms: (0..NEAR_MAX).map(|_| None).collect() }
    }
}

impl Near {
    /// The entry for a request, if it is near and may still be given out. A hit: nobody needs to touch it.
    #[inline]
    #[must_use]
    pub fn look_up(&mut self, cache: &HotCache, wanted: &Wanted<'_>) -> Option<&Arc<Entry>> {
        let held = self.rooms[room_of(wanted)].as_mut()?;
        let entry = &held.entry;
        let is_it = entry.place == wanted.place && entry.is_of(wanted.target, wanted.extras);
        if !is_it || !entry.is_alone() || !cache.is_current(entry) {
            return None;
        }
        held.used = true;
        held.hits = held.hits.wrapping_add(1);
        if held.hits <= HITS_TOLD_AT_ONCE {
            entry.add_hits(1);
        } else if held.hits % HITS_TOLD == 0 {
            entry.add_hits(HITS_TOLD);
        }
        Some(&held.entry)
    }

    /// Has what a look-up found near from now on, if it is of the kind. What lies in its room and was used stays once
    /// more: many that come in turn would else displace each other each time.
    pub fn note(&mut self, wanted: &Wanted<'_>, entry: &Arc<Entry>) {
        let room = &mut self.rooms[room_of(wanted)];
        let stays = room.as_mut().is_some_and(|held| std::mem::take(&mut held.used) && held.entry.is_alone());
        if !stays && entry.is_alone() && entry.weight() <= NEAR_BYTES_MAX {
            *room = Some(Held { entry: Arc::clone(entry), hits: 0, used: false });
        }
    }

    /// Lets go of what is no longer in the cache; now and then, so that nothing stays in memory for long.
    pub fn sweep(&mut self) {
        for room in &mut self.rooms {
            if room.as_ref().is_some_and(|held| !held.entry.is_alone()) {
                *room = None;
            }
        }
    }
}

fn room_of(wanted: &Wanted<'_>) -> usize {
    // Other bits than those that name the shard.
    (wanted.place.0 >> 48) as usize % NEAR_MAX
}
