//! Ranges (RFC 9110 14): what a `Range` asks for of a content of known length, which part a 206 is, and how parts grow
//! together (RFC 9111 3.4). A request that asks for more pieces than are worth it gets the whole, which is what RFC
//! 9110 14.2 offers against abuse.

use crate::cache::message::{Lines, Single};
use crate::http1::encode::write_decimal;
use crate::http1::fields::{FieldKind, eq_ignore_case, list_items, trim_ows};
use serde::{Deserialize, Serialize};

/// Most ranges of one request.
pub const RANGES_MAX: usize = 8;

/// Bytes `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ByteRange {
    pub first: u64,
    pub last: u64,
}

impl ByteRange {
    /// Never 0: the last byte is not before the first.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a range of no bytes does not exist")]
    pub const fn len(self) -> u64 {
        self.last - self.first + 1
    }
}

/// What a request for ranges gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// There is no Range, or one that is to be ignored.
    Whole,
    Ranges(Ranges),
    /// 416: nothing of what is asked for exists.
    Unsatisfiable,
}

/// One range, or several for a multipart answer, in the order they were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    list: [ByteRange; RANGES_MAX],
    count: u8,
}

impl Ranges {
    #[must_use]
    pub fn as_slice(&self) -> &[ByteRange] {
        &self.list[..usize::from(self.count)]
    }
}

/// One piece of a Range field before the length is known.
#[derive(Clone, Copy)]
enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

/// What `value` asks of a content of `length` bytes (RFC 9110 14.1.2). Another unit, a list that is not one, and more
/// ranges or bytes than the whole has, all mean the whole.
#[must_use]
pub fn decide_ranges(value: &[u8], length: u64) -> Wanted {
    let Some(specs) = specs_of(value) else { return Wanted::Whole };
    let mut ranges = Ranges { list: [ByteRange::default(); RANGES_MAX], count: 0 };
    let mut any = false;
    let mut bytes = 0_u64;
    for spec in list_items(specs) {
        let Some(spec) = parse_spec(spec) else { return Wanted::Whole };
        any = true;
        let Some(range) = resolve(spec, length) else { continue };
        if usize::from(ranges.count) == RANGES_MAX {
            return Wanted::Whole;
        }
        ranges.list[usize::from(ranges.count)] = range;
        ranges.count += 1;
        bytes = bytes.saturating_add(range.len());
    }
    match ranges.count {
        0 if any => Wanted::Unsatisfiable,
        0 => Wanted::Whole,
        _ if bytes > length => Wanted::Whole,
        _ => Wanted::Ranges(ranges),
    }
}

fn specs_of(value: &[u8]) -> Option<&[u8]> {
    let equals = memchr::memchr(b'=', value)?;
    eq_ignore_case(trim_ows(&value[..equals]), b"bytes").then(|| &value[equals + 1..])
}

fn parse_spec(text: &[u8]) -> Option<Spec> {
    let dash = memchr::memchr(b'-', text)?;
    let (first, last) = (&text[..dash], &text[dash + 1..]);
    match (first.is_empty(), last.is_empty()) {
        (true, _) => Some(Spec::Last(number(last)?)),
        (false, true) => Some(Spec::From(number(first)?)),
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::Between(first, last))
        }
    }
}

/// Digits only; what is larger than any content counts as that.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u64, |n, digit| n.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

fn resolve(spec: Spec, length: u64) -> Option<ByteRange> {
    let end = length.checked_sub(1)?;
    match spec {
        Spec::From(first) | Spec::Between(first, _) if first > end => None,
        Spec::From(first) => Some(ByteRange { first, last: end }),
        Spec::Between(first, last) => Some(ByteRange { first, last: last.min(end) }),
        Spec::Last(0) => None,
        Spec::Last(count) => Some(ByteRange { first: length.saturating_sub(count), last: end }),
    }
}

/// The part of a whole that a stored 206 holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub range: ByteRange,
    /// Bytes of the whole, if the origin knows them.
    pub whole: Option<u64>,
}

impl Part {
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a part of no bytes does not exist")]
    pub const fn len(self) -> u64 {
        self.range.len()
    }

    /// Whether it is everything there is.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.range.first == 0 && self.whole == Some(self.len())
    }

    /// The one range that `value` asks for, if this part holds all of it. Without the length of the whole only a range
    /// with both ends can be told.
    #[must_use]
    pub fn holds(self, value: &[u8]) -> Option<ByteRange> {
        let range = match self.whole {
            Some(whole) => match decide_ranges(value, whole) {
                Wanted::Ranges(ranges) if ranges.count == 1 => ranges.list[0],
                _ => return None,
            },
            None => match parse_spec(trim_ows(specs_of(value)?))? {
                Spec::Between(first, last) => ByteRange { first, last },
                Spec::From(_) | Spec::Last(_) => return None,
            },
        };
        (self.range.first <= range.first && range.last <= self.range.last).then_some(range)
    }

    /// Both parts as one, if they touch and are of one whole. The caller has compared their strong validators.
    #[must_use]
    pub fn joined(self, other: Self) -> Option<Self> {
        let (a, b) = if self.range.first <= other.range.first { (self, other) } else { (other, self) };
        let whole = match (a.whole, b.whole) {
            (Some(x), Some(y)) if x != y => return None,
            (known, other) => known.or(other),
        };
        if b.range.first > a.range.last.saturating_add(1) {
            return None;
        }
        let last = a.range.last.max(b.range.last);
        Some(Self { range: ByteRange { first: a.range.first, last }, whole })
    }

    /// What is missing of the whole behind or before it: one range, to be asked for with `If-Range`.
    #[must_use]
    pub fn missing(self) -> Option<Missing> {
        match (self.range.first, self.whole) {
            (0, Some(whole)) if self.len() == whole => None,
            (0, _) => Some(Missing::From(self.range.last + 1)),
            (first, Some(whole)) if self.range.last + 1 == whole => Some(Missing::Before(first)),
            _ => Some(Missing::Both),
        }
    }
}

/// See [`Part::missing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// `bytes=N-`
    From(u64),
    /// `bytes=0-(N-1)`
    Before(u64),
    /// The part lies in the middle: asking for the whole is cheaper than asking twice.
    Both,
}

/// Which part a 206 is (RFC 9110 14.4), by its one Content-Range. A multipart answer has none.
#[must_use]
pub fn part_of(lines: Lines<'_>) -> Option<Part> {
    let Single::Value(value) = lines.single(FieldKind::ContentRange) else { return None };
    let (unit, rest) = value.split_at_checked(6)?;
    if !eq_ignore_case(unit, b"bytes ") {
        return None;
    }
    let slash = memchr::memchr(b'/', rest)?;
    let (range, whole) = (&rest[..slash], &rest[slash + 1..]);
    let Some(Spec::Between(first, last)) = parse_spec(range) else { return None };
    let whole = if whole == b"*" { None } else { Some(number(whole)?) };
    // Larger than this no content is, and sums below stay sums.
    let fits = last < 1 << 62 && whole.is_none_or(|whole| last < whole && whole < 1 << 62);
    fits.then_some(Part { range: ByteRange { first, last }, whole })
}

/// Writes `Content-Range` of one part.
pub fn write_content_range(out: &mut Vec<u8>, range: ByteRange, length: Option<u64>) {
    out.extend_from_slice(b"bytes ");
    write_decimal(out, range.first);
    out.push(b'-');
    write_decimal(out, range.last);
    out.push(b'/');
    match length {
        Some(length) => write_decimal(out, length),
        None => out.push(b'*'),
    }
}

/// A multipart/byteranges body (RFC 9110 14.6) in pieces: before each range its head, at the end `write_end`.
#[derive(Clone, Copy, Debug)]
pub struct Multipart<'a> {
    /// Random: content that could know it beforehand could forge parts.
    pub boundary: u64,
    /// Content-Type of the whole; empty = none.
    pub content_type: &'a [u8],
    pub length: u64,
}

impl Multipart<'_> {
    pub fn write_head(&self, out: &mut Vec<u8>, range: ByteRange) {
        out.extend_from_slice(format!("\r\n--{:016x}\r\n", self.boundary).as_bytes());
        if !self.content_type.is_empty() {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(self.content_type);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Content-Range: ");
        write_content_range(out, range, Some(self.length));
        out.extend_from_slice(b"\r\n\r\n");
    }

    pub fn write_end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("\r\n--{:016x}--\r\n", self.boundary).as_bytes());
    }

    /// Bytes of the whole multipart body.
    #[must_use]
    pub fn content_length(&self, ranges: &Ranges) -> u64 {
        let mut room = Vec::new();
        ranges.as_slice().iter().for_each(|range| self.write_head(&mut room, *range));
        self.write_end(&mut room);
        room.len() as u64 + ranges.as_slice().iter().map(|range| range.len()).sum::<u64>()
    }

    /// The value of the answer's Content-Type.
    pub fn write_type(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("multipart/byteranges; boundary={:016x}", self.boundary).as_bytes());
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
