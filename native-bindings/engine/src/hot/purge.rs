//! Purges by what they are for. They are effective when the call returns, for what is kept and for what is under way.

use crate::hot::HotCache;
use crate::hot::entry::Entry;
use crate::hot::purges::Key;
use crate::hot::shard::Gone;

/// What a purge is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Purge {
    /// What `write_target` makes of a request for it.
    Url(Box<[u8]>),
    Prefix(Box<[u8]>),
    Tag(Box<[u8]>),
    Everything,
}

impl HotCache {
    /// Purges what was asked for up to `stamp`: hard, it is gone; soft, it is stale from now on. Returns how many entries
    /// of a URL that were; 0 for all others, whose entries find out when they are looked at.
    pub fn purge(&self, what: &Purge, soft: bool, stamp: u64, now_ms: u64) -> u64 {
        let key = match what {
            Purge::Url(target) => return self.purge_target(target, soft, stamp, now_ms),
            Purge::Prefix(prefix) => Key::Prefix(prefix),
            Purge::Tag(tag) => Key::Tag(self.tag(tag)),
            Purge::Everything => Key::Everything,
        };
        if self.purges.note(&key, soft, stamp, now_ms) {
            self.check_all();
        }
        0
    }

    /// Everything stored under a target leaves, and what is being fetched for it is not kept.
    pub fn invalidate(&self, target: &[u8], stamp: u64) {
        self.purge_target(target, false, stamp, 0);
    }

    fn purge_target(&self, target: &[u8], soft: bool, stamp: u64, now_ms: u64) -> u64 {
        let place = self.place(target);
        let stamp_of = |entry: &Entry| if soft { entry.stamp } else { entry.content_stamp() };
        let is_older = |entry: &Entry| stamp_of(entry) <= stamp && *entry.target == *target;
        let (mut gone, room) = (Gone::default(), self.room(place));
        let mut shard = room.shard.write();
        shard.note_purge(place, soft, stamp, now_ms);
        let softened = match shard.slot(place).filter(|_| soft) {
            Some(slot) => {
                let older = slot.entries().filter(|entry| is_older(entry));
                older.inspect(|entry| entry.soften(now_ms)).count() as u64
            }
            None => 0,
        };
        if soft {
            shard.change(place);
        } else {
            shard.remove_where(place, is_older, &mut gone);
        }
        drop(shard);
        self.settle(room, &gone);
        softened + gone.entries.len() as u64
    }

    /// Looks at all entries, a shard after the other, so that the notes until now may be forgotten.
    fn check_all(&self) {
        let (epoch, stamp) = self.purges.now();
        for room in &self.rooms {
            let dead: Vec<_> = {
                let shard = room.shard.read();
                let all = shard.slots().flat_map(|slot| slot.entries());
                all.filter(|entry| !self.purges.is_live(entry, epoch)).cloned().collect()
            };
            let mut gone = Gone::default();
            for some in dead.chunks(64) {
                let mut shard = room.shard.write();
                some.iter().for_each(|entry| shard.remove(entry, &mut gone));
            }
            self.settle(room, &gone);
        }
        self.purges.forget_until(stamp);
    }
}
