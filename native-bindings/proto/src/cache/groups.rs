//! Cache groups (RFC 9875): the groups an answer belongs to, and the groups whose answers the answer to an unsafe method
//! makes stale. Groups are of one origin: the name of one is only compared with names from the same scheme, host and
//! port, so whoever keeps them puts those before it.

use crate::cache::message::{Answered, Arrival};
use crate::cache::structured::{Bare, Member, parse_list, unescaped};

/// Groups of one answer that are heeded (RFC 9875 2 asks for 128) and their longest name (it asks for 32 characters).
pub const GROUPS_MAX: usize = 128;
pub const GROUP_BYTES_MAX: usize = 128;

/// The groups of an answer that is stored.
#[must_use]
pub fn groups_of(answered: Answered<'_>) -> Vec<Vec<u8>> {
    read(answered, b"Cache-Groups")
}

/// The groups that an answer makes stale: none unless its method is unsafe (RFC 9875 3) and it succeeded.
#[must_use]
pub fn groups_invalidated(arrival: &Arrival<'_>) -> Vec<Vec<u8>> {
    let succeeded = (200..400).contains(&arrival.answered.head.status);
    if !arrival.policy.groups || arrival.asked.head.method.is_safe() || !succeeded {
        return Vec::new();
    }
    read(arrival.answered, b"Cache-Group-Invalidation")
}

/// A list of strings; a field that is none, or holds anything else, says nothing.
fn read(answered: Answered<'_>, name: &[u8]) -> Vec<Vec<u8>> {
    let mut room = Vec::new();
    let Some(text) = answered.lines().joined(name, &mut room) else { return Vec::new() };
    let mut groups = Vec::new();
    let mut all_strings = true;
    let list = parse_list(text, |member| match member {
        Member::Item(Bare::String(name)) if groups.len() < GROUPS_MAX && name.len() <= GROUP_BYTES_MAX => {
            groups.push(unescaped(name));
        }
        Member::Item(Bare::String(_)) => {}
        _ => all_strings = false,
    });
    if list.is_ok() && all_strings { groups } else { Vec::new() }
}
