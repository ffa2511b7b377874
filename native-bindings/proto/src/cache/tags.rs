//! Tags an origin gives its answers, to purge by: the words of `Cache-Tag` (commas between them) and `Surrogate-Key`
//! (spaces), or whichever fields the route names.

use crate::cache::message::Answered;
use crate::http1::fields::{eq_ignore_case, trim_ows};
use crate::plan::CachePolicy;

/// Tags of one answer that are heeded, and their longest name.
pub const TAGS_MAX: usize = 256;
pub const TAG_BYTES_MAX: usize = 256;

/// Calls `take` with each tag, in the order and as often as they come. A tag that is too long is none: cut short, it
/// could be another one.
pub fn tags_of<'a>(answered: Answered<'a>, policy: &CachePolicy, take: impl FnMut(&'a [u8])) {
    let lines = policy.tag_fields.iter().flat_map(|name| {
        let spaced = eq_ignore_case(name.as_bytes(), b"Surrogate-Key");
        answered.lines().named(name.as_bytes()).map(move |value| (value, spaced)).collect::<Vec<_>>()
    });
    let words = lines.flat_map(|(value, spaced)| {
        value.split(move |&b| if spaced { matches!(b, b' ' | b'\t') } else { b == b',' }).map(trim_ows)
    });
    words.filter(|tag| !tag.is_empty() && tag.len() <= TAG_BYTES_MAX).take(TAGS_MAX).for_each(take);
}
