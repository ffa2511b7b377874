//! What holds of every head that was accepted, request or answer.

use proto::http1::fields::{FieldKind, KindSet, classify, is_token};
use proto::http1::head::{Field, Parsed};
use proto::limits::HeadLimits;
use std::fmt::Debug;

use super::cuts;

/// What a parser said of some bytes: the head as text (all its parts), or that more is needed, or a fault.
pub type Verdict<F> = Result<Option<(usize, String)>, F>;

/// The verdict on a prefix must be the final one, or "more is needed" until it can be given.
pub fn same_however_it_arrives<F: PartialEq + Debug + Copy>(bytes: &[u8], read: impl Fn(&[u8]) -> Verdict<F>) {
    let whole = read(bytes);
    let mut refused = None;
    for cut in cuts(bytes.len()) {
        let part = read(&bytes[..cut]);
        match (&part, &whole) {
            (Ok(None), _) if refused.is_none() => {}
            (Ok(Some((len, _))), Ok(Some(_))) => {
                assert!(cut >= *len, "complete after {cut} bytes although the head has {len}");
                assert_eq!(part, whole, "what follows the head changed it, at {cut}");
            }
            (Err(fault), Err(_)) => {
                assert_eq!(part, whole, "another fault after {cut} bytes");
                refused = Some(*fault);
            }
            _ => panic!("{part:?} after {cut} bytes, {whole:?} in the end"),
        }
        if let (Ok(None), Ok(Some((len, _)))) = (&part, &whole) {
            assert!(cut < *len, "still partial after {cut} bytes although the head has {len}");
        }
    }
}

pub fn fields_are_what_they_claim(
    bytes: &[u8],
    fields: &[Field],
    kinds: KindSet,
    len: usize,
    start_line_end: usize,
    limits: &HeadLimits,
) {
    assert!(len <= bytes.len() && len <= limits.head_bytes as usize);
    assert!(bytes[..len].ends_with(b"\r\n\r\n"));
    assert!(fields.len() <= limits.field_count as usize);
    let mut at = start_line_end;
    let mut met = KindSet::EMPTY;
    for field in fields {
        let (name, value) = (field.name.of(bytes), field.value.of(bytes));
        assert!(is_token(name), "the name {} is no token", name.escape_ascii());
        assert_eq!(field.name.at as usize, at, "a line does not begin where the one before it ended");
        assert_eq!(bytes[field.name.end()], b':');
        assert!(value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f)), "a control in a value");
        assert!(!value.starts_with(b" ") && !value.ends_with(b" "), "white space around a value");
        assert!(!value.starts_with(b"\t") && !value.ends_with(b"\t"), "white space around a value");
        assert_eq!(field.kind, classify(name));
        let normal = [name, b": ", value, b"\r\n"].concat();
        at = bytes[at..].windows(2).position(|two| two == b"\r\n").map_or(usize::MAX, |n| at + n + 2);
        assert_eq!(field.plain, bytes[field.name.at as usize..at] == normal, "`plain` is not what it says");
        if field.plain {
            assert_eq!(field.line(), field.name.at as usize..at);
        }
        met = met.with(field.kind);
    }
    assert_eq!(at + 2, len, "the head does not end behind its last line");
    assert_eq!(met, kinds);
    let is_host = |f: &&Field| f.kind == FieldKind::Host;
    assert_eq!(kinds.has(FieldKind::Host), fields.iter().find(is_host).is_some());
}

/// Parsing a partial head only when `worth_parsing_again` says so must not miss its end.
pub fn no_end_is_missed(bytes: &[u8], worth: fn(usize, &[u8]) -> bool, parse: impl Fn(&[u8]) -> Option<Parsed>) {
    let mut before = 0;
    for cut in cuts(bytes.len() + 1).filter(|&cut| cut > 0) {
        let now = &bytes[..cut];
        let is_complete = parse(now) == Some(Parsed::Complete);
        assert!(!is_complete || worth(before, now), "the end between {before} and {cut} would be missed");
        if is_complete {
            return;
        }
        before = cut;
    }
}
