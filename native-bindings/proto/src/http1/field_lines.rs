//! Field lines of a head (RFC 9112 5): one pass from the line after the start line to the empty line. A line is
//! either read whole or refused by the first byte that proves it wrong.

use crate::fault::WireFault;
use crate::http1::fields::{CLASS, FieldKind, KindSet, classify_marked, is_token_byte, valid_host};
use crate::http1::head::{Field, Span};
use crate::limits::HeadLimits;

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = ONES * 0x80;

/// The first byte from `at` that may not stand in a field value: a control other than HTAB. `bytes.len()` if none.
#[inline]
pub(super) fn value_end(bytes: &[u8], mut at: usize) -> usize {
    // Eight bytes at a time. A borrow can only raise marks above the first true one, so the lowest mark is exact.
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let deletes = word ^ (ONES * 0x7f);
        let low = word.wrapping_sub(ONES * 0x20) & !word;
        let stops = (low | (deletes.wrapping_sub(ONES) & !deletes)) & TOPS;
        if stops == 0 {
            at += 8;
            continue;
        }
        at += (stops.trailing_zeros() / 8) as usize;
        if bytes[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    let is_stop = |&b: &u8| (b < 0x20 && b != b'\t') || b == 0x7f;
    bytes[at.min(bytes.len())..].iter().position(is_stop).map_or(bytes.len(), |n| at + n)
}

/// The verdict on the byte at `at`, where no line may end and nothing else fits either: LF and CR are named as what
/// they are, a CRLF is `at_line_end`, anything else `otherwise`. `Ok(None)` = it takes more bytes to say.
pub(super) fn stray<T>(
    bytes: &[u8],
    at: usize,
    at_line_end: WireFault,
    otherwise: WireFault,
) -> Result<Option<T>, WireFault> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(b'\n'), _) => Err(WireFault::BareLf),
        (Some(b'\r'), Some(b'\n')) => Err(at_line_end),
        (Some(b'\r'), Some(_)) => Err(WireFault::BareCr),
        (Some(_), _) => Err(otherwise),
    }
}

/// The place after the CRLF that must stand at `at`; `otherwise` if another byte does.
#[inline]
pub(super) fn line_end(bytes: &[u8], at: usize, otherwise: WireFault) -> Result<Option<usize>, WireFault> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        _ => stray(bytes, at, otherwise, otherwise),
    }
}

/// Reads field lines from `at` until the empty line; returns the place after it and the kinds met, `None` if more
/// bytes are needed. In a `REQUEST` the first Host is left in `host`, checked.
#[inline]
pub(super) fn read<const REQUEST: bool>(
    bytes: &[u8],
    mut at: usize,
    limits: &HeadLimits,
    fields: &mut Vec<Field>,
    host: &mut Option<Span>,
) -> Result<Option<(usize, KindSet)>, WireFault> {
    let mut kinds = KindSet::EMPTY;
    loop {
        match bytes.get(at) {
            None => return Ok(None),
            Some(b'\r' | b'\n') => {
                return Ok(line_end(bytes, at, WireFault::BareCr)?.map(|end| (end, kinds)));
            }
            // RFC 9112 5.2: a folded line is refused, also one that folds the start line.
            Some(b' ' | b'\t') => return Err(WireFault::ObsFold),
            Some(_) if fields.len() >= limits.field_count as usize => return Err(WireFault::TooManyFields),
            Some(_) => {}
        }
        let Some((field, next)) = read_line(bytes, at)? else { return Ok(None) };
        if REQUEST && field.kind == FieldKind::Host {
            if host.is_some() {
                return Err(WireFault::HostDuplicate);
            }
            if !valid_host(field.value.of(bytes)) {
                return Err(WireFault::HostInvalid);
            }
            *host = Some(field.value);
        }
        kinds = kinds.with(field.kind);
        fields.push(field);
        at = next;
    }
}

/// One field line at `at`, and the place after it.
#[inline]
pub(super) fn read_line(bytes: &[u8], at: usize) -> Result<Option<(Field, usize)>, WireFault> {
    let mut marks = 0;
    let mut colon = at;
    while let Some(&b) = bytes.get(colon) {
        if !is_token_byte(b) {
            break;
        }
        marks |= CLASS[b as usize];
        colon += 1;
    }
    if bytes.get(colon) != Some(&b':') || colon == at {
        return refuse_name(bytes, colon);
    }
    let mut from = colon + 1;
    let mut plain = bytes.get(from) == Some(&b' ');
    if plain {
        from += 1;
    }
    while let Some(b' ' | b'\t') = bytes.get(from) {
        plain = false;
        from += 1;
    }
    let stop = value_end(bytes, from);
    let Some(next) = line_end(bytes, stop, WireFault::FieldValue)? else { return Ok(None) };
    let mut to = stop;
    while to > from && matches!(bytes[to - 1], b' ' | b'\t') {
        plain = false;
        to -= 1;
    }
    let kind = classify_marked(&bytes[at..colon], marks);
    Ok(Some((Field { name: Span::between(at, colon), value: Span::between(from, to), kind, plain }, next)))
}

/// A field name that is not directly followed by its colon.
#[cold]
fn refuse_name<T>(bytes: &[u8], at: usize) -> Result<Option<T>, WireFault> {
    let mut colon = at;
    while let Some(b' ' | b'\t') = bytes.get(colon) {
        colon += 1;
    }
    match bytes.get(colon) {
        // RFC 9112 5.1: white space before the colon is how a field is hidden from one of two readers.
        Some(b':') if colon > at => Err(WireFault::SpaceBeforeColon),
        _ => stray(bytes, colon, WireFault::FieldName, WireFault::FieldName),
    }
}
