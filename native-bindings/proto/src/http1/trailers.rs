//! The trailer section of a chunked body (RFC 9112 7.1.2), read in pieces, with the strict rules of field lines.
//! A trailer comes after the decisions a head leads to, so fields that frame, route, authenticate or modify a message
//! are dropped (RFC 9110 6.5.1): merging them late would undo those decisions.

use crate::fault::WireFault;
use crate::http1::field_lines::read_line;
use crate::http1::fields::{FieldKind, eq_ignore_case};
use crate::limits::{HEAD_BYTES_CEILING, HeadLimits};

/// Reads trailer lines. The caller's vector holds the finished lines and, behind them, what has arrived of the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TrailerLines {
    /// Bytes of the caller's vector that are not ours or finished lines; set when the section begins.
    finished: usize,
    /// Raw bytes of the section so far.
    bytes: u32,
    lines: u32,
    began: bool,
}

impl TrailerLines {
    /// Reads from `bytes`; returns how many were used and whether the section ended.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
        out: &mut Vec<u8>,
    ) -> Result<(usize, bool), WireFault> {
        if !self.began {
            *self = Self { finished: out.len(), began: true, ..Self::default() };
        }
        debug_assert!(self.finished <= out.len());
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let end = memchr::memchr(b'\n', rest).map(|n| n + 1);
            let wanted = end.unwrap_or(rest.len());
            // Nothing beyond the limit is looked at, so that the same bytes meet the same fault however they arrive.
            let longest = limits.head_bytes.min(HEAD_BYTES_CEILING) as usize;
            let room = longest - self.bytes as usize;
            // Most sections are nothing but the empty line, which needs no place in the caller's vector.
            if out.len() == self.finished && rest.starts_with(b"\r\n") && room >= 2 {
                self.bytes += 2;
                return Ok((at + 2, true));
            }
            let piece = &rest[..wanted.min(room)];
            self.bytes += piece.len() as u32;
            at += piece.len();
            let before = out.len();
            out.extend_from_slice(piece);
            refuse_bare_cr(&out[before.saturating_sub(1).max(self.finished)..])?;
            if piece.len() < wanted {
                return Err(WireFault::TrailerTooLarge);
            }
            if end.is_some() && self.finish_line(limits, out)? {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    /// A whole line stands at the end of `out`: keeps it in normal form, or drops it. True for the empty line.
    fn finish_line(&mut self, limits: &HeadLimits, out: &mut Vec<u8>) -> Result<bool, WireFault> {
        let line = &out[self.finished..];
        match line {
            b"\r\n" => {
                out.truncate(self.finished);
                return Ok(true);
            }
            [b'\n'] => return Err(WireFault::BareLf),
            [b' ' | b'\t', ..] => return Err(WireFault::Trailer),
            _ => {}
        }
        self.lines += 1;
        if self.lines > limits.field_count {
            return Err(WireFault::TrailerTooLarge);
        }
        let (field, _) = match read_line(line, 0) {
            Ok(Some(found)) => found,
            Err(WireFault::BareLf) => return Err(WireFault::BareLf),
            // The line ends in LF, so nothing can be missing.
            Ok(None) | Err(_) => return Err(WireFault::Trailer),
        };
        if !may_be_trailer(field.kind, field.name.of(line)) {
            out.truncate(self.finished);
            return Ok(false);
        }
        if !field.plain {
            // The name stays where it is; the value moves to its place behind ": ".
            let colon = self.finished + field.name.end();
            let value = self.finished + field.value.at as usize..self.finished + field.value.end();
            if value.start < colon + 2 {
                out.insert(colon + 1, b' ');
                out.truncate(value.end + 1);
            } else {
                out.copy_within(value.clone(), colon + 2);
                out[colon + 1] = b' ';
                out.truncate(colon + 2 + value.len());
            }
            out.extend_from_slice(b"\r\n");
        }
        self.finished = out.len();
        Ok(false)
    }
}

/// A CR is bare as soon as another byte than LF follows. `piece` is the end of a line, which holds a LF only as its last.
fn refuse_bare_cr(piece: &[u8]) -> Result<(), WireFault> {
    match memchr::memchr(b'\r', piece).and_then(|at| piece.get(at + 1)) {
        None | Some(b'\n') => Ok(()),
        Some(_) => Err(WireFault::BareCr),
    }
}

/// Names that decide something about the message they trail, besides those we know as kinds.
const NEVER_TRAILERS: &[&[u8]] = &[b"range", b"pragma", b"age", b"expires", b"vary", b"warning"];
const NEVER_TRAILER_PREFIXES: &[&[u8]] = &[b"content-", b"if-", b"proxy-", b"x-forwarded-"];

fn may_be_trailer(kind: FieldKind, name: &[u8]) -> bool {
    // RFC 9530 2 puts Content-Digest into trailers; it says something of the content but decides nothing.
    if eq_ignore_case(name, b"content-digest") {
        return true;
    }
    kind == FieldKind::Other
        && !NEVER_TRAILERS.iter().any(|known| eq_folded(name, known))
        && !NEVER_TRAILER_PREFIXES.iter().any(|p| name.len() >= p.len() && eq_folded(&name[..p.len()], p))
}

/// Compares as a server would that reads `_` and `.` as `-`.
fn eq_folded(name: &[u8], known: &[u8]) -> bool {
    let fold = |b: u8| if matches!(b, b'_' | b'.') { b'-' } else { b.to_ascii_lowercase() };
    name.len() == known.len() && name.iter().zip(known).all(|(&n, &k)| fold(n) == k)
}
