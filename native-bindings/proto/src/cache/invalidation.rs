//! What else an unsafe method makes stale (RFC 9111 4.4): the targets that `Location` and `Content-Location` name, if they
//! are of the same origin as the request; others are none of its business.

use crate::cache::key::Target;
use crate::cache::message::Answered;
use crate::http1::fields::{FieldKind, eq_ignore_case, parse_host};
use crate::route::normalise_path;

/// Writes path and query of each target that the answer names beside its own, one after another; calls `found` with each.
pub fn named_targets(target: &Target<'_>, answered: Answered<'_>, mut found: impl FnMut(&[u8], Option<&[u8]>)) {
    let lines = answered.lines();
    let references = lines.values(FieldKind::Location).chain(lines.named(b"Content-Location"));
    let mut path = Vec::new();
    for reference in references {
        if let Some(query) = resolve(target, reference, &mut path) {
            found(&path, query);
        }
    }
}

/// Resolves a reference (RFC 3986 5.2): its path goes to `path`, its query is returned. `None` = it is of another origin
/// or no reference.
fn resolve<'r>(target: &Target<'_>, reference: &'r [u8], path: &mut Vec<u8>) -> Option<Option<&'r [u8]>> {
    let reference = &reference[..memchr::memchr(b'#', reference).unwrap_or(reference.len())];
    let (scheme, rest) = split_scheme(reference);
    if scheme.is_some_and(|scheme| !eq_ignore_case(scheme, if target.secure { b"https" } else { b"http" })) {
        return None;
    }
    let (reference_path, query) = match rest.strip_prefix(b"//") {
        Some(rest) => {
            let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
            if !is_same_host(&rest[..end], target) {
                return None;
            }
            split_query(&rest[end..])
        }
        // A scheme without an authority is no target of HTTP.
        None if scheme.is_some() => return None,
        None => split_query(rest),
    };
    let mut whole = Vec::new();
    match reference_path {
        [] if rest.starts_with(b"//") => whole.push(b'/'),
        [] => whole.extend_from_slice(target.path),
        [b'/', ..] => whole.extend_from_slice(reference_path),
        _ => {
            let folder = memchr::memrchr(b'/', target.path).map_or(0, |slash| slash + 1);
            whole.extend_from_slice(&target.path[..folder]);
            whole.extend_from_slice(reference_path);
        }
    }
    if !whole.starts_with(b"/") {
        whole.insert(0, b'/');
    }
    normalise_path(&whole, path);
    Some(query)
}

fn split_scheme(reference: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let end = reference.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')));
    match end {
        Some(end) if end > 0 && reference[end] == b':' => (Some(&reference[..end]), &reference[end + 1..]),
        _ => (None, reference),
    }
}

fn split_query(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

fn is_same_host(authority: &[u8], target: &Target<'_>) -> bool {
    let default = if target.secure { 443 } else { 80 };
    match (parse_host(authority), parse_host(target.host)) {
        (Some((a, a_port)), Some((b, b_port))) => {
            eq_ignore_case(a, b) && a_port.unwrap_or(default) == b_port.unwrap_or(default)
        }
        _ => false,
    }
}
