//! What an HTTP health check asks, and how its answer is read and judged: as strictly as any answer that is passed on.
//!
//! ```text
//! state    promises                                     left for
//! HEAD     interim answers at most                      BODY, a verdict
//! BODY     head and status are well, text is looked for a verdict
//! ```

use crate::exchange::{AtEof, Download};
use crate::fault::{OriginFault, WireFault};
use crate::http1::framing::decide_answer;
use crate::http1::head::{Method, Parsed, ResponseHead, worth_parsing_again};
use crate::limits::HeadLimits;
use crate::plan::StatusRange;
use std::borrow::Cow;

/// Content in which a text is looked for; what lies behind it is not read.
pub const CONTENT_BYTES_MAX: usize = 64 * 1024;
/// Interim answers read before an origin is taken for broken.
const INTERIM_MAX: u8 = 8;

/// Why a check is bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhyBad {
    ConnectRefused,
    ConnectUnreachable,
    ConnectTimeout,
    /// The handshake failed, in this way.
    Tls(OriginFault),
    Timeout,
    Reset,
    EofBeforeHeaders,
    Status(u16),
    Malformed(WireFault),
    BodyTruncated,
    BodyMismatch,
}

impl WhyBad {
    /// The word for notes and health.
    #[must_use]
    pub fn token(self) -> Cow<'static, str> {
        match self {
            Self::Status(status) => Cow::Owned(format!("status_{status}")),
            Self::ConnectRefused => Cow::Borrowed("connect_refused"),
            Self::ConnectUnreachable => Cow::Borrowed("connect_unreachable"),
            Self::ConnectTimeout => Cow::Borrowed("connect_timeout"),
            Self::Tls(fault) => Cow::Borrowed(fault.token()),
            Self::Timeout => Cow::Borrowed("timeout"),
            Self::Reset => Cow::Borrowed("reset"),
            Self::EofBeforeHeaders => Cow::Borrowed("eof_before_headers"),
            Self::Malformed(_) => Cow::Borrowed("malformed"),
            Self::BodyTruncated => Cow::Borrowed("body_truncated"),
            Self::BodyMismatch => Cow::Borrowed("body_mismatch"),
        }
    }
}

/// The request of a check.
#[must_use]
pub fn request(path: &str, host: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: millrace-check\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// What an answer must be.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub statuses: &'a [StatusRange],
    /// Empty = anything.
    pub text: &'a str,
}

/// An answer being read.
#[derive(Default)]
pub struct Answer {
    /// A partial head; later the content in which a text is looked for.
    held: Vec<u8>,
    interim: u8,
    body: Option<Download>,
    trailers: Vec<u8>,
}

impl Answer {
    /// Takes bytes that arrived. `None`: more are needed for a verdict.
    pub fn take(
        &mut self,
        bytes: &mut [u8],
        head: &mut ResponseHead,
        limits: &HeadLimits,
        wanted: Wanted<'_>,
    ) -> Option<Result<(), WhyBad>> {
        if self.body.is_some() {
            return self.take_body(bytes, limits, wanted);
        }
        let before = self.held.len();
        self.held.extend_from_slice(bytes);
        if !worth_parsing_again(before, &self.held) {
            return None;
        }
        loop {
            match head.parse(&self.held, limits) {
                Ok(Parsed::Partial) => return None,
                Err(fault) => return Some(Err(WhyBad::Malformed(fault))),
                Ok(Parsed::Complete) => {}
            }
            match head.status {
                101 => return Some(Err(WhyBad::Malformed(WireFault::UpgradeUnasked))),
                100..=199 => {
                    self.interim += 1;
                    if self.interim > INTERIM_MAX {
                        return Some(Err(WhyBad::Malformed(WireFault::Surplus)));
                    }
                    self.held.drain(..head.len);
                }
                status => return self.judge_head(status, head, limits, wanted),
            }
        }
    }

    /// The final head is here.
    fn judge_head(
        &mut self,
        status: u16,
        head: &ResponseHead,
        limits: &HeadLimits,
        wanted: Wanted<'_>,
    ) -> Option<Result<(), WhyBad>> {
        let framing = match decide_answer(&self.held[..head.len], head, Method::Get) {
            Ok(framing) => framing,
            Err(fault) => return Some(Err(WhyBad::Malformed(fault))),
        };
        if !StatusRange::any_holds(wanted.statuses, status) {
            return Some(Err(WhyBad::Status(status)));
        }
        if wanted.text.is_empty() {
            return Some(Ok(()));
        }
        let mut rest = self.held.split_off(head.len);
        self.held.clear();
        self.body = Some(Download::of(framing.body));
        self.take_body(&mut rest, limits, wanted)
    }

    fn take_body(&mut self, bytes: &mut [u8], limits: &HeadLimits, wanted: Wanted<'_>) -> Option<Result<(), WhyBad>> {
        let body = self.body.as_mut()?;
        let piece = match body.take(bytes, limits, &mut self.trailers) {
            Ok(piece) => piece,
            Err(fault) => return Some(Err(WhyBad::Malformed(fault))),
        };
        let text = wanted.text.as_bytes();
        let room = CONTENT_BYTES_MAX - self.held.len();
        let content = &bytes[piece.data];
        // What was looked through without success need not be again, but for the beginning of a text at its end.
        let from = (self.held.len() + 1).saturating_sub(text.len());
        self.held.extend_from_slice(&content[..content.len().min(room)]);
        if memchr::memmem::find(&self.held[from..], text).is_some() {
            return Some(Ok(()));
        }
        let over = piece.done || self.held.len() == CONTENT_BYTES_MAX;
        over.then_some(Err(WhyBad::BodyMismatch))
    }

    /// The target's bytes ended before there was a verdict.
    #[must_use]
    pub fn end(&self) -> WhyBad {
        match self.body.as_ref().map(Download::at_eof) {
            None => WhyBad::EofBeforeHeaders,
            Some(AtEof::Truncated) => WhyBad::BodyTruncated,
            Some(AtEof::Complete) => WhyBad::BodyMismatch,
        }
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
