//! Hashes that are the same in every process and on every machine, so that two proxies send one key to one target and a
//! cookie is understood after a restart.
//!
//! They need not resist collisions, and a secret seed would break the agreement between proxies. Whoever wants to burden
//! one target need not look for keys that collide: repeating one key does it. What protects the target is the bound of
//! `ConsistentHash`, which counts requests and not keys. Nothing here is looked up in a table that collisions fill.

use crate::plan::Target;

/// Odd, with half of its bits set: the fraction of the golden ratio, and that of the square root of 3.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0xbb67_ae85_84ca_a73b;

/// Hash of the key of a request. Eight bytes at a time, little-endian, the rest padded with zeros; the length keeps
/// `a` and `a\0` apart.
#[must_use]
pub fn hash_key(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    let mut hash = GOLDEN;
    for word in words {
        hash = fold(hash ^ little_endian(word), SECOND);
    }
    mix(fold(hash ^ little_endian(rest), SECOND) ^ bytes.len() as u64)
}

/// `Candidate::name_hash` of a target: its label and its address. The label alone would not do, for a name stands for all
/// its addresses, which then share one label.
#[must_use]
pub fn target_hash(target: &Target) -> u64 {
    let address = match target.address {
        std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
        std::net::IpAddr::V6(address) => address,
    };
    let place = hash_key(&address.octets()) ^ u64::from(target.port);
    mix(hash_key(target.label.as_bytes()) ^ mix(place))
}

/// At most eight bytes as a number.
fn little_endian(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Both halves of the product, one over the other.
const fn fold(one: u64, other: u64) -> u64 {
    let product = one as u128 * other as u128;
    product as u64 ^ (product >> 64) as u64
}

/// SplitMix64's last step: one to one, and each bit of the result hangs on every bit.
pub(super) const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
