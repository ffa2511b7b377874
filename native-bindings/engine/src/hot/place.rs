//! Where a target is kept: a keyed hash of it. The key is secret and of one process, so that nobody can make up targets
//! that collide (SipHash-1-3, as Rust's own maps use it).

use proto::cache::eviction::AsItIs;
use std::hash::{BuildHasher, RandomState};

/// The place of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Place(pub u64);

/// Secret of one process.
#[derive(Clone, Copy)]
pub struct HashKey([u64; 2]);

impl HashKey {
    #[must_use]
    pub const fn new(key: [u64; 2]) -> Self {
        Self(key)
    }

    /// From the randomness that the process's maps are seeded with.
    #[must_use]
    pub fn random() -> Self {
        Self([0_u64, 1].map(|half| RandomState::new().hash_one(half)))
    }

    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        siphash::<1, 3>(self.0, bytes)
    }
}

fn siphash<const ROUNDS: usize, const LAST_ROUNDS: usize>(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let mut take = |word: u64| {
        v[3] ^= word;
        (0..ROUNDS).for_each(|_| round(&mut v));
        v[0] ^= word;
    };
    let words = bytes.chunks_exact(8);
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = bytes.len() as u8;
    for word in words {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        take(u64::from_le_bytes(eight));
    }
    take(u64::from_le_bytes(last));
    v[2] ^= 0xff;
    (0..LAST_ROUNDS).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline]
fn round(v: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *v;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *v = [a, b, c, d];
}

/// A map by keyed hash.
pub(super) type ByHash<T> = std::collections::HashMap<u64, T, std::hash::BuildHasherDefault<AsItIs>>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hasher};

    #[test]
    fn it_is_siphash() {
        // The vectors of the paper: SipHash-2-4, key 00 01 … 0f, of no byte and of 00 01 … 0e.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let bytes: Vec<u8> = (0..15).collect();
        assert_eq!(siphash::<2, 4>(key, &[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(siphash::<2, 4>(key, &bytes), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn with_the_rounds_of_rusts_own_maps() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in [0, 1, 7, 8, 9, 63, 64, 256] {
            let mut theirs = DefaultHasher::new();
            theirs.write(&bytes[..length]);
            assert_eq!(HashKey::new([0, 0]).hash(&bytes[..length]), theirs.finish(), "{length} bytes");
        }
    }

    #[test]
    fn two_processes_have_two_keys() {
        assert_ne!(HashKey::random().hash(b"/"), HashKey::random().hash(b"/"));
    }
}
