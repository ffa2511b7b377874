//! THE state machine of one exchange: one request, its attempts, one answer. It is told what arrived and says what that
//! means; the engine moves the bytes. A stream of HTTP/2 is the same machine with other framing around it.
//!
//! ```text
//! stage        promises                                     left for
//! CHOOSING     framing settled, route known, no target      WAITING, QUEUED, CONNECTING, SENT, PAUSING, ENDED (answered by us)
//! PAUSING      an attempt failed, the next waits its time   CHOOSING, ENDED (client gone, too late)
//! WAITING      another one's answer, or what is stored, is awaited   CHOOSING, RELAYING, ENDED
//! QUEUED       a target is chosen, its connections are full CONNECTING, SENT, ENDED (wait limit, client gone)
//! CONNECTING   a connection is being opened for us          SENT, CHOOSING (fault, retry), ENDED
//! SENT         the head was written, no byte came back      RELAYING, CHOOSING (fault, retry), TUNNELLING, ENDED
//! RELAYING     the answer's head went to the client         ENDED (complete, or broken beyond repair)
//! TUNNELLING   101 went to the client, bytes pass untouched ENDED
//! ENDED        one outcome was recorded; nothing may follow
//! ```
//! Upload and download advance on their own: an origin may answer while the body still arrives (RFC 9112 9.3).

use crate::fault::{ClientFault, WireFault};
use crate::http1::body::ChunkReader;
use crate::http1::framing::{AnswerBody, AnswerFraming, RequestBody, RequestFraming};
use crate::http1::head::{Method, Version};
use crate::limits::HeadLimits;
use std::ops::Range;

/// Where an exchange is; the map is above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Choosing,
    Waiting,
    Pausing,
    Queued,
    Connecting,
    Sent,
    Relaying,
    Tunnelling,
    Ended,
}

/// How much of the request body is still to come from the client.
#[derive(Clone, Copy, Debug)]
pub enum Upload {
    Done,
    Length {
        left: u64,
    },
    Chunked(ChunkReader),
    /// A body whose end the stream says that brings it.
    Stream,
}

/// How much of the answer body is still to come from the origin.
#[derive(Clone, Copy, Debug)]
pub enum Download {
    Done,
    Length { left: u64 },
    Chunked(ChunkReader),
    UntilClose,
}

impl Download {
    /// A body of this framing, nothing of which has come.
    #[must_use]
    pub fn of(body: AnswerBody) -> Self {
        match body {
            AnswerBody::None | AnswerBody::Length(0) => Self::Done,
            AnswerBody::Length(left) => Self::Length { left },
            AnswerBody::Chunked => Self::Chunked(ChunkReader::new()),
            AnswerBody::UntilClose => Self::UntilClose,
        }
    }

    /// Takes body bytes that arrived. Bytes beyond `consumed` belong to no answer.
    pub fn take(&mut self, buf: &mut [u8], limits: &HeadLimits, trailers: &mut Vec<u8>) -> Result<Piece, WireFault> {
        let piece = match self {
            Self::Done => Piece { consumed: 0, data: 0..0, done: true },
            Self::Length { left } => take_length(left, buf.len()),
            Self::Chunked(reader) => take_chunked(reader, buf, limits, trailers)?,
            Self::UntilClose => Piece { consumed: buf.len(), data: 0..buf.len(), done: false },
        };
        if piece.done {
            *self = Self::Done;
        }
        Ok(piece)
    }

    /// What the end of the origin's bytes means.
    #[must_use]
    pub const fn at_eof(&self) -> AtEof {
        match self {
            Self::Done | Self::UntilClose => AtEof::Complete,
            Self::Length { .. } | Self::Chunked(_) => AtEof::Truncated,
        }
    }
}

/// What the client's `Expect: 100-continue` still needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Continue {
    NotAsked,
    /// The client waits for a word; nobody has given it.
    Awaited,
    /// The client was told to go on, by the origin or by us.
    Told,
}

/// A step through a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the input that belong to this body.
    pub consumed: usize,
    /// The content among them, as one range of the input.
    pub data: Range<usize>,
    /// The body is complete.
    pub done: bool,
}

/// How the answer is framed towards the client, settled once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerPlan {
    pub body: AnswerBody,
    /// The connection ends after this answer, and the answer says so.
    pub close: bool,
}

/// What the end of the origin's bytes means for the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtEof {
    Complete,
    Truncated,
}

/// One exchange, without its connections and buffers.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub stage: Stage,
    pub method: Method,
    pub version: Version,
    pub upload: Upload,
    pub download: Download,
    pub expect: Continue,
    /// Whether the client may send another request on its connection; only ever goes from true to false.
    pub keep_alive: bool,
    /// The request asked to switch protocols.
    pub upgrade: bool,
    /// Framing of the request body as it was decided; `upload` is what is left of it.
    pub body: RequestBody,
    pub answer_body: AnswerBody,
    pub attempts: u8,
    pub reused: bool,
    /// One repeat on a fresh connection was made.
    pub repeated: bool,
    /// At least one byte of the present attempt's request was taken by the kernel.
    pub sent_any: bool,
    /// Targets tried, one bit each (the first 64).
    pub tried: u64,
    /// Content bytes of the request received so far.
    pub upload_bytes: u64,
    /// Content bytes of the answer received so far.
    pub download_bytes: u64,
    /// Status of the final answer; 0 before.
    pub status: u16,
}

impl Exchange {
    #[must_use]
    pub fn new(method: Method, version: Version, framing: &RequestFraming) -> Self {
        let upload = match framing.body {
            RequestBody::None | RequestBody::Length(0) => Upload::Done,
            RequestBody::Length(left) => Upload::Length { left },
            RequestBody::Chunked => Upload::Chunked(ChunkReader::new()),
        };
        Self {
            stage: Stage::Choosing,
            method,
            version,
            upload,
            download: Download::Done,
            expect: if framing.expect_continue { Continue::Awaited } else { Continue::NotAsked },
            keep_alive: framing.keep_alive,
            upgrade: framing.upgrade,
            body: framing.body,
            answer_body: AnswerBody::None,
            attempts: 0,
            reused: false,
            repeated: false,
            sent_any: false,
            tried: 0,
            upload_bytes: 0,
            download_bytes: 0,
            status: 0,
        }
    }

    #[must_use]
    pub const fn upload_done(&self) -> bool {
        matches!(self.upload, Upload::Done)
    }

    #[must_use]
    pub const fn download_done(&self) -> bool {
        matches!(self.download, Download::Done)
    }

    /// Takes request body bytes that arrived. `body_bytes_max` 0 = no limit.
    pub fn take_upload(
        &mut self,
        buf: &mut [u8],
        limits: &HeadLimits,
        body_bytes_max: u64,
        trailers: &mut Vec<u8>,
    ) -> Result<Piece, UploadFault> {
        let piece = match &mut self.upload {
            Upload::Done => Piece { consumed: 0, data: 0..0, done: true },
            Upload::Length { left } => take_length(left, buf.len()),
            Upload::Chunked(reader) => take_chunked(reader, buf, limits, trailers)?,
            Upload::Stream => Piece { consumed: buf.len(), data: 0..buf.len(), done: false },
        };
        self.upload_bytes += piece.data.len() as u64;
        let announced = if let Upload::Chunked(reader) = &self.upload { reader.announced() } else { 0 };
        if body_bytes_max != 0 && self.upload_bytes.saturating_add(announced) > body_bytes_max {
            return Err(UploadFault::TooLarge(ClientFault::BodyTooLarge));
        }
        if piece.done {
            self.upload = Upload::Done;
        }
        Ok(piece)
    }

    /// The request came on a stream, whose frames say where its body ends.
    pub fn on_stream(&mut self) {
        self.version = Version::Http2;
        if matches!(self.upload, Upload::Chunked(_)) {
            self.upload = Upload::Stream;
        }
    }

    /// The stream said that the body is over, with these trailers as the last part of a chunked body. They are judged as
    /// all trailers are. A body that is shorter than it was said to be is none.
    pub fn end_upload(
        &mut self,
        last: &mut [u8],
        limits: &HeadLimits,
        trailers: &mut Vec<u8>,
    ) -> Result<(), UploadFault> {
        if let Upload::Length { left: 1.. } = self.upload {
            return Err(UploadFault::Wire(WireFault::LengthInvalid));
        }
        if !last.is_empty() {
            ChunkReader::new().decode(last, limits, trailers)?;
        }
        self.upload = Upload::Done;
        Ok(())
    }

    /// A client that sends its body was told to go on, or did not care to wait.
    pub fn heard_body(&mut self, piece: &Piece) {
        if self.expect == Continue::Awaited && !piece.data.is_empty() {
            self.expect = Continue::Told;
        }
    }

    /// Takes answer body bytes that arrived. Bytes beyond `consumed` belong to no answer.
    pub fn take_download(
        &mut self,
        buf: &mut [u8],
        limits: &HeadLimits,
        trailers: &mut Vec<u8>,
    ) -> Result<Piece, WireFault> {
        if matches!((self.answer_body, self.download), (AnswerBody::None, Download::UntilClose)) && !buf.is_empty() {
            // Only on a stream is the end awaited of what has no content.
            return Err(WireFault::Surplus);
        }
        let piece = self.download.take(buf, limits, trailers)?;
        self.download_bytes += piece.data.len() as u64;
        Ok(piece)
    }

    /// The origin's final head came. Settles how the answer reaches the client (RFC 9112 6.3, 9.3). `may_keep` is
    /// what the connection's own limits and a running drain say; `drain_bytes_max` bounds the unread request body for
    /// whose sake a connection is worth keeping.
    pub fn handle_answer_head(
        &mut self,
        status: u16,
        framing: &AnswerFraming,
        may_keep: bool,
        drain_bytes_max: u64,
    ) -> AnswerPlan {
        debug_assert!(matches!(self.stage, Stage::Sent));
        self.stage = Stage::Relaying;
        self.status = status;
        self.answer_body = framing.body;
        self.download = Download::of(framing.body);
        let body = match (framing.body, self.version) {
            (AnswerBody::Chunked | AnswerBody::UntilClose, Version::Http11 | Version::Http2) => AnswerBody::Chunked,
            (AnswerBody::Chunked | AnswerBody::UntilClose, Version::Http10) => AnswerBody::UntilClose,
            (same, _) => same,
        };
        let drainable = match self.upload {
            Upload::Done => true,
            Upload::Length { left } => left <= drain_bytes_max,
            Upload::Chunked(_) | Upload::Stream => false,
        };
        // A client that was never told to go on may send its body or the next request: nobody can tell which
        // (RFC 9110 10.1.1), so the connection cannot be kept.
        let undecided = self.expect == Continue::Awaited && !self.upload_done();
        self.keep_alive =
            self.keep_alive && may_keep && drainable && !undecided && !matches!(body, AnswerBody::UntilClose);
        AnswerPlan { body, close: !self.keep_alive }
    }

    /// The answer came on a stream: its frames say where it ends, and a length was held against them where they were read.
    /// `over`: they said so already.
    pub fn end_by_stream(&mut self, over: bool) {
        self.download = if over { Download::Done } else { Download::UntilClose };
    }

    /// The origin's connection ended. Only an answer without any length is completed by that (RFC 9112 8).
    #[must_use]
    pub const fn download_at_eof(&self) -> AtEof {
        self.download.at_eof()
    }

    /// The end of the origin's bytes was the end of its answer.
    pub fn complete_download(&mut self) {
        debug_assert!(self.download_at_eof() == AtEof::Complete);
        self.download = Download::Done;
    }

    /// Makes the exchange ready for another attempt: nothing of the failed one remains but what it taught.
    pub fn begin_again(&mut self, fresh: bool) {
        debug_assert!(!matches!(self.stage, Stage::Relaying | Stage::Tunnelling | Stage::Ended));
        self.stage = Stage::Choosing;
        self.sent_any = false;
        self.reused = false;
        self.repeated |= fresh;
    }
}

/// Why request body bytes were refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UploadFault {
    Wire(WireFault),
    TooLarge(ClientFault),
}

impl From<WireFault> for UploadFault {
    fn from(fault: WireFault) -> Self {
        Self::Wire(fault)
    }
}

fn take_length(left: &mut u64, available: usize) -> Piece {
    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= take as u64;
    Piece { consumed: take, data: 0..take, done: *left == 0 }
}

fn take_chunked(
    reader: &mut ChunkReader,
    buf: &mut [u8],
    limits: &HeadLimits,
    trailers: &mut Vec<u8>,
) -> Result<Piece, WireFault> {
    let decoded = reader.decode(buf, limits, trailers)?;
    Ok(Piece { consumed: decoded.consumed, data: decoded.data, done: decoded.done })
}
