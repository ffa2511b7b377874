//! Chunked bodies as they arrive (RFC 9112 7.1), decoded in place. Strict, so that no neighbour can see another end of the
//! body than we do; extensions are checked and dropped. Bodies of a known length are counted down in `exchange.rs`.
//!
//! The chunk reader's map (each byte moves it; `Faulty` waits for one byte to tell a bare CR from a misplaced CRLF):
//! ```text
//! SIZE -> (CR) SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE …
//! SIZE -> (";" or BWS) extension states -> (CR) SIZE_LF
//! SIZE_LF of a last chunk -> TRAILERS -> (empty line) DONE
//! ```

use crate::fault::WireFault;
use crate::http1::chunk_line::{LineState, step_line};
use crate::http1::trailers::TrailerLines;
use crate::limits::HeadLimits;
use std::ops::Range;

/// Decodes one chunked body, told its bytes in pieces of any size.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkReader {
    state: State,
    /// Data bytes of the current chunk that have not come yet; while its line is read, the size so far.
    left: u64,
    /// Bytes of chunk extensions so far in this body.
    extension_bytes: u32,
    trailers: TrailerLines,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Line(LineState),
    LineLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl Default for State {
    fn default() -> Self {
        Self::Line(LineState::Size { digits: 0 })
    }
}

/// What one call of `ChunkReader::decode` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input used: all of them unless the body ended.
    pub consumed: usize,
    /// Where in the input the body's bytes are now, moved together.
    pub data: Range<usize>,
    /// The last chunk and the trailers are read.
    pub done: bool,
}

impl ChunkReader {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Data bytes the present chunk has announced and not yet brought.
    #[must_use]
    pub fn announced(&self) -> u64 {
        if self.state == State::Data { self.left } else { 0 }
    }

    /// All data has come; trailers are awaited.
    #[must_use]
    pub fn in_trailers(&self) -> bool {
        self.state == State::Trailers
    }

    /// Decodes what there is of the body in `buf`, moving the data of several chunks together in place; the data of a
    /// single chunk stays where it is.
    ///
    /// Accepted trailer lines are appended to `trailers` as `Name: value` CRLF. Until the body is done its end may hold
    /// a line that has only partly arrived, so it must be handed in again as it was left, and read only when done.
    pub fn decode(
        &mut self,
        buf: &mut [u8],
        limits: &HeadLimits,
        trailers: &mut Vec<u8>,
    ) -> Result<Decoded, WireFault> {
        let mut data = 0..0;
        let mut at = 0;
        while at < buf.len() && self.state != State::Done {
            match self.state {
                State::Line(line) => at = self.read_line(line, buf, at, limits)?,
                State::Data => at = self.take_data(buf, at, &mut data),
                State::LineLf => {
                    expect(buf[at], b'\n', WireFault::BareCr)?;
                    self.state = if self.left == 0 { State::Trailers } else { State::Data };
                    at += 1;
                }
                State::DataCr => {
                    if buf[at] == b'\n' {
                        return Err(WireFault::BareLf);
                    }
                    expect(buf[at], b'\r', WireFault::ChunkEnd)?;
                    self.state = State::DataLf;
                    at += 1;
                }
                State::DataLf => {
                    expect(buf[at], b'\n', WireFault::BareCr)?;
                    self.state = State::default();
                    at += 1;
                }
                State::Trailers => {
                    let (used, done) = self.trailers.read(&buf[at..], limits, trailers)?;
                    at += used;
                    if done {
                        self.state = State::Done;
                    }
                }
                State::Done => {}
            }
        }
        Ok(Decoded { consumed: at, data, done: self.state == State::Done })
    }

    /// The chunk's line up to its CR.
    fn read_line(
        &mut self,
        mut line: LineState,
        buf: &[u8],
        mut at: usize,
        limits: &HeadLimits,
    ) -> Result<usize, WireFault> {
        while let Some(&b) = buf.get(at) {
            at += 1;
            let next = step_line(line, b, &mut self.left)?;
            if next == LineState::End {
                self.state = State::LineLf;
                return Ok(at);
            }
            if next.is_extension() {
                self.extension_bytes += 1;
                if self.extension_bytes > limits.chunk_extension_bytes {
                    return Err(WireFault::ChunkExtensionTooLong);
                }
            }
            line = next;
        }
        self.state = State::Line(line);
        Ok(at)
    }

    fn take_data(&mut self, buf: &mut [u8], at: usize, data: &mut Range<usize>) -> usize {
        let here = (buf.len() - at).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        debug_assert!(here > 0 && data.end <= at);
        if data.start == data.end {
            *data = at..at;
        }
        if data.end != at {
            buf.copy_within(at..at + here, data.end);
        }
        data.end += here;
        self.left -= here as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        at + here
    }
}

fn expect(byte: u8, wanted: u8, otherwise: WireFault) -> Result<(), WireFault> {
    if byte == wanted { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
