//! Entity tags and dates as validators (RFC 9110 8.8): what is one, which are strong, and when two are the same.

use crate::cache::record::Record;
use crate::http1::fields::trim_ows;

/// `[W/]"…"` without anything that may not stand inside (RFC 9110 8.8.3).
#[must_use]
pub fn is_entity_tag(text: &[u8]) -> bool {
    let opaque = text.strip_prefix(b"W/").unwrap_or(text);
    match opaque.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(inside) => inside.iter().all(|b| matches!(b, 0x21 | 0x23..=0x7e | 0x80..)),
        None => false,
    }
}

#[must_use]
pub fn is_strong(tag: &[u8]) -> bool {
    tag.starts_with(b"\"")
}

/// Strong comparison (RFC 9110 8.8.3.2).
#[must_use]
pub fn same_strong(a: &[u8], b: &[u8]) -> bool {
    is_strong(a) && a == b
}

/// Weak comparison.
#[must_use]
pub fn same_weak(a: &[u8], b: &[u8]) -> bool {
    let opaque = |tag: &'_ [u8]| tag.strip_prefix(b"W/").map_or(tag.len(), <[u8]>::len);
    !a.is_empty() && !b.is_empty() && a[a.len() - opaque(a)..] == b[b.len() - opaque(b)..]
}

/// The entity tags of a list; commas inside of quotes divide nothing. What is no entity tag is left out.
pub fn entity_tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let mut inside = false;
            let is_end = |b: &u8| {
                inside ^= *b == b'"';
                *b == b',' && !inside
            };
            let end = rest.iter().position(is_end).unwrap_or(rest.len());
            let tag = trim_ows(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
            if is_entity_tag(tag) {
                return Some(tag);
            }
        }
    })
}

/// Whether the date is a strong validator: its answer was made at least a second later, so that nothing can have changed
/// within that second (RFC 9110 8.8.2.2).
#[must_use]
pub const fn has_strong_date(record: &Record) -> bool {
    match record.last_modified_s {
        Some(modified_s) => !record.date_repaired && modified_s < record.date_s,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_as_rfc_9110_shows_it() {
        // The table of RFC 9110 8.8.3.2.
        for (a, b, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            assert_eq!(same_strong(a.as_bytes(), b.as_bytes()), strong, "{a} {b}");
            assert_eq!(same_weak(a.as_bytes(), b.as_bytes()), weak, "{a} {b}");
        }
        assert!(!same_weak(b"", b""));
    }

    #[test]
    fn a_tag_is_quoted_and_a_list_is_divided_outside_of_quotes() {
        for tag in ["\"\"", "\"a\"", "W/\"a,b\"", "\"\u{fc}\""] {
            assert!(is_entity_tag(tag.as_bytes()), "{tag}");
        }
        for text in ["", "a", "\"", "w/\"a\"", "W\"a\"", "\"a b\"", "\"a\"b\"", "\"a", "*"] {
            assert!(!is_entity_tag(text.as_bytes()), "{text}");
        }
        let tags: Vec<_> = entity_tags(b"\"a,b\", W/\"c\" ,, bad, \"d\"").collect();
        assert_eq!(tags, [b"\"a,b\"".as_slice(), b"W/\"c\"", b"\"d\""]);
        assert_eq!(entity_tags(b"\"a").count(), 0);
    }
}
