//! Remembers which keys left a short time ago, and nothing of what they held: a key that comes back soon after it left
//! was let go too early.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// Keys are keyed hashes already (an attacker cannot choose them), so they are not hashed again.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only u64 keys come here; anything else would still be hashed, if badly.
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// See the file. The oldest is forgotten first.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    /// Keys with the number of their latest entry in `order`.
    keys: HashMap<u64, u64, BuildHasherDefault<AsItIs>>,
    order: VecDeque<(u64, u64)>,
    next: u64,
}

impl Ghost {
    /// Remembers a key, and at most `most` keys in all.
    pub(super) fn note(&mut self, key: u64, most: usize) {
        self.keys.insert(key, self.next);
        self.order.push_back((key, self.next));
        self.next += 1;
        // Entries whose key was taken or noted again are dead; the bound on `order` sweeps them out.
        while self.keys.len() > most || self.order.len() > 2 * most.max(1) {
            let Some((key, number)) = self.order.pop_front() else { return };
            if self.keys.get(&key) == Some(&number) {
                self.keys.remove(&key);
            }
        }
    }

    /// Whether the key left a short time ago; it is forgotten then.
    pub(super) fn take(&mut self, key: u64) -> bool {
        self.keys.remove(&key).is_some()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}
