//! The line before a chunk's data (RFC 9112 7.1 and 7.1.1), one byte at a time:
//! `chunk-size *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF`.
//! Extensions are checked although they are dropped: a neighbour that ends the line elsewhere ends the body elsewhere.

use crate::fault::WireFault;
use crate::http1::fields::is_token_byte;
use crate::limits::CHUNK_SIZE_DIGITS_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineState {
    Size {
        digits: u8,
    },
    /// White space after the size: an extension must follow.
    SizeGap,
    /// After `;`.
    NameStart,
    Name,
    NameGap,
    /// After `=`.
    ValueStart,
    Token,
    Quoted,
    QuotedPair,
    /// After the closing quote.
    QuotedEnd,
    ValueGap,
    /// A CR where the line may not end: the next byte tells which fault it is.
    Faulty(WireFault),
    /// After the CR that ends the line.
    End,
}

impl LineState {
    /// Whether the byte that led here belongs to the extensions.
    pub(super) const fn is_extension(self) -> bool {
        !matches!(self, Self::Size { .. } | Self::End | Self::Faulty(_))
    }
}

/// Moves the line by one byte. `size` is the chunk's size so far, set to 0 by the first digit.
#[inline]
pub(super) fn step_line(line: LineState, b: u8, size: &mut u64) -> Result<LineState, WireFault> {
    use LineState as L;
    if let L::Size { digits } = line {
        return step_size(digits, b, size);
    }
    let is_gap = b == b' ' || b == b'\t';
    let is_token = is_token_byte(b);
    match (line, b) {
        (L::Faulty(fault), b'\n') => Err(fault),
        (L::Faulty(_), _) => Err(WireFault::BareCr),
        (_, b'\n') => Err(WireFault::BareLf),
        (L::Name | L::Token | L::QuotedEnd, b'\r') => Ok(L::End),
        // "5 \r\n": the white space belongs to no extension.
        (L::SizeGap, b'\r') => Ok(L::Faulty(WireFault::ChunkSize)),
        (_, b'\r') => Ok(L::Faulty(WireFault::ChunkExtension)),
        (L::Quoted, b'"') => Ok(L::QuotedEnd),
        (L::Quoted, b'\\') => Ok(L::QuotedPair),
        (L::Quoted | L::QuotedPair, _) if b == b'\t' || (b >= b' ' && b != 0x7f) => Ok(L::Quoted),
        (L::SizeGap | L::Name | L::NameGap | L::Token | L::QuotedEnd | L::ValueGap, b';') => Ok(L::NameStart),
        (L::Name | L::NameGap, b'=') => Ok(L::ValueStart),
        (L::ValueStart, b'"') => Ok(L::Quoted),
        (L::NameStart | L::Name, _) if is_token => Ok(L::Name),
        (L::ValueStart | L::Token, _) if is_token => Ok(L::Token),
        (L::SizeGap | L::NameStart | L::NameGap | L::ValueStart | L::ValueGap, _) if is_gap => Ok(line),
        (L::Name, _) if is_gap => Ok(L::NameGap),
        (L::Token | L::QuotedEnd, _) if is_gap => Ok(L::ValueGap),
        (L::SizeGap, _) => Err(WireFault::ChunkSize),
        _ => Err(WireFault::ChunkExtension),
    }
}

#[inline]
fn step_size(digits: u8, b: u8, size: &mut u64) -> Result<LineState, WireFault> {
    let digit = match b {
        b'0'..=b'9' => b - b'0',
        b'a'..=b'f' => b - b'a' + 10,
        b'A'..=b'F' => b - b'A' + 10,
        b'\n' => return Err(WireFault::BareLf),
        b'\r' if digits > 0 => return Ok(LineState::End),
        b'\r' => return Ok(LineState::Faulty(WireFault::ChunkSize)),
        b';' if digits > 0 => return Ok(LineState::NameStart),
        b' ' | b'\t' if digits > 0 => return Ok(LineState::SizeGap),
        _ => return Err(WireFault::ChunkSize),
    };
    let before = if digits == 0 { 0 } else { *size };
    // 63 bits, so that the size is a length everywhere.
    if u32::from(digits) == CHUNK_SIZE_DIGITS_MAX || before > (i64::MAX as u64) >> 4 {
        return Err(WireFault::ChunkSize);
    }
    *size = before << 4 | u64::from(digit);
    Ok(LineState::Size { digits: digits + 1 })
}
