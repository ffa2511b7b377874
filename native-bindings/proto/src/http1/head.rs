//! Request and response heads: where everything is in the bytes, checked strictly (RFC 9112 2-5) and stricter where
//! that is allowed. `parse` is told all bytes of the message so far and is told them again when more have come: it
//! keeps nothing between calls but its vector. Never decides framing (framing.rs).

use crate::fault::WireFault;
use crate::http1::fields::{FieldKind, KindSet};
use crate::http1::{field_lines, start_line};
use crate::limits::{HEAD_BYTES_CEILING, HeadLimits};
use std::ops::Range;

/// A range inside the head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub at: u16,
    pub len: u16,
}

const _: () = assert!(HEAD_BYTES_CEILING <= u16::MAX as u32); // every place in a head fits a Span

impl Span {
    pub const EMPTY: Self = Self { at: 0, len: 0 };

    /// `from..to` of a head; both are within `HEAD_BYTES_CEILING`, because `parse` looks no further.
    #[inline]
    pub(super) const fn between(from: usize, to: usize) -> Self {
        debug_assert!(from <= to && to <= u16::MAX as usize);
        Self { at: from as u16, len: (to - from) as u16 }
    }

    #[must_use]
    #[inline]
    pub fn of(self, head: &[u8]) -> &[u8] {
        &head[self.range()]
    }

    #[must_use]
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    #[must_use]
    #[inline]
    pub const fn range(self) -> Range<usize> {
        self.at as usize..self.end()
    }

    /// The place after the last byte.
    #[must_use]
    #[inline]
    pub const fn end(self) -> usize {
        self.at as usize + self.len as usize
    }
}

/// One field line.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: Span,
    /// Without the white space around it.
    pub value: Span,
    pub kind: FieldKind,
    /// The line is exactly `Name: value` CRLF, so it may be copied as it stands.
    pub plain: bool,
}

impl Field {
    /// The whole line with its CRLF; only true of a plain line.
    #[must_use]
    #[inline]
    pub fn line(&self) -> Range<usize> {
        debug_assert!(self.plain);
        self.name.at as usize..self.value.end() + 2
    }
}

/// The protocol versions we speak; `HTTP/1.2` and later minors are answered as 1.1 (RFC 9110 2.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Default)]
pub enum Version {
    Http10,
    #[default]
    Http11,
    /// Never read from text: the head came on a stream, and its text was written from it.
    Http2,
}

/// Request methods (RFC 9110 9), case-sensitive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Trace,
    Connect,
    Patch,
    Other,
}

impl Method {
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Safe methods (RFC 9110 9.2.1).
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Idempotent methods (RFC 9110 9.2.2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }
}

/// The four forms of a request target (RFC 9112 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TargetForm {
    #[default]
    Origin,
    Absolute,
    Authority,
    Asterisk,
}

/// What `parse` says of bytes it did not refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parsed {
    Complete,
    /// Valid so far; more is needed.
    Partial,
}

/// A request head. Its spans mean something only after `parse` said `Complete`, and only for the bytes it was told.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub method: Method,
    pub method_span: Span,
    pub target_form: TargetForm,
    /// The whole request target, as sent.
    pub target: Span,
    /// Without query. Of absolute-form what follows the authority; empty when nothing does (which means `/`), and for
    /// asterisk-form and authority-form.
    pub path: Span,
    /// Without `?`.
    pub query: Span,
    pub has_query: bool,
    /// The path has no `%`, no `//` and no segment `.` or `..`: normalising would not change it.
    pub path_plain: bool,
    /// Of absolute-form, else empty.
    pub authority: Span,
    pub version: Version,
    /// `host[:port]` the request is for: the target's authority in absolute-form (RFC 9112 3.2.2), else Host. Empty
    /// only for an HTTP/1.0 request without Host.
    pub host: Span,
    pub fields: Vec<Field>,
    /// The kinds found among the fields.
    pub kinds: KindSet,
    /// Bytes of the head, with the empty line that ends it and the one that was ignored before it.
    pub len: usize,
}

/// A response head; the same rules.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    pub version: Version,
    pub status: u16,
    pub reason: Span,
    pub fields: Vec<Field>,
    pub kinds: KindSet,
    pub len: usize,
}

impl RequestHead {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a request head from all the bytes of the message so far; what follows the head is not looked at. Reports
    /// a fault as soon as the bytes prove it, whether or not the head is complete.
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, WireFault> {
        self.fields.clear();
        let seen = within_limit(bytes, limits);
        let Some(at) = start_line::read_request_line(self, seen, limits)? else { return incomplete(bytes, limits) };
        let mut host = None;
        let found = field_lines::read::<true>(seen, at, limits, &mut self.fields, &mut host)?;
        let Some((end, kinds)) = found else { return incomplete(bytes, limits) };
        self.host = match (host, self.target_form) {
            // RFC 9112 3.2: no Host in a 1.1 request is answered with 400.
            (None, _) if self.version == Version::Http11 => return Err(WireFault::HostMissing),
            (_, TargetForm::Absolute) => self.authority,
            (host, _) => host.unwrap_or(Span::EMPTY),
        };
        self.kinds = kinds;
        self.len = end;
        Ok(Parsed::Complete)
    }
}

impl ResponseHead {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a response head; see `RequestHead::parse`.
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, WireFault> {
        self.fields.clear();
        let seen = within_limit(bytes, limits);
        let Some(at) = start_line::read_status_line(self, seen)? else { return incomplete(bytes, limits) };
        let found = field_lines::read::<false>(seen, at, limits, &mut self.fields, &mut None)?;
        let Some((end, kinds)) = found else { return incomplete(bytes, limits) };
        self.kinds = kinds;
        self.len = end;
        Ok(Parsed::Complete)
    }
}

fn head_limit(limits: &HeadLimits) -> usize {
    limits.head_bytes.min(HEAD_BYTES_CEILING) as usize
}

fn within_limit<'a>(bytes: &'a [u8], limits: &HeadLimits) -> &'a [u8] {
    &bytes[..bytes.len().min(head_limit(limits))]
}

/// A head that does not end within the limit is too large whatever comes next.
fn incomplete(bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, WireFault> {
    if bytes.len() >= head_limit(limits) { Err(WireFault::HeadTooLarge) } else { Ok(Parsed::Partial) }
}

/// A partial head is read again at least once in so many bytes, because the limits it may have passed are not known here.
const REPARSE_BYTES: usize = 1024;

/// A cheap look at the bytes that came (from `before`) for a head that was partial: whether parsing again can tell
/// anything new. A peer that sends byte by byte then costs one parse a line, not one a byte.
#[must_use]
pub fn worth_parsing_again(before: usize, bytes: &[u8]) -> bool {
    if before == 0 || before / REPARSE_BYTES != bytes.len() / REPARSE_BYTES {
        return true;
    }
    let new = &bytes[before.min(bytes.len())..];
    if new.is_empty() {
        return false;
    }
    // Without a LF in what is new, a CR is bare unless it is the very last byte.
    memchr::memchr2(b'\n', 0, new).is_some()
        || bytes[before - 1] == b'\r'
        || memchr::memchr(b'\r', new).is_some_and(|at| at + 1 < new.len())
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
