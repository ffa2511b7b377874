//! Bytes that a socket did not take yet. Write first, keep what is left, wait for room only then; as long as anything
//! is kept, whoever feeds this socket stops reading, so an outbox never holds more than one read made of one scratch buffer.

use crate::blocks::Blocks;
use crate::http2::stream::Stream;
use crate::io::{Io, Trouble};
use crate::link::{Link, Ways};
use proto::http1::encode::{LAST_CHUNK, write_chunk_header};

/// A body piece up to this size is copied behind its head: one plain write costs less than gathering parts.
pub const COPY_BYTES_MAX: usize = 8 * 1024;

/// Writes what goes around a piece of a chunked body: the size before it into `out`; its end, and with the last piece
/// the last chunk and the trailers, into `tail`.
pub fn frame_chunk(out: &mut Vec<u8>, tail: &mut Vec<u8>, data: &[u8], done: bool, trailers: &[u8]) {
    if !data.is_empty() {
        write_chunk_header(out, data.len());
        tail.extend_from_slice(b"\r\n");
    }
    if done {
        tail.extend_from_slice(LAST_CHUNK);
        tail.extend_from_slice(trailers);
        tail.extend_from_slice(b"\r\n");
    }
}

/// What one socket has still to take.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    at: usize,
    /// What is in here is TLS: the application's bytes were counted when they were sealed.
    counted: bool,
}

/// What a write came to, in bytes.
#[derive(Clone, Copy, Default)]
pub struct Flushed {
    /// Taken by the kernel.
    pub taken: usize,
    /// The application's own that nobody has counted yet: of these, or all that were sealed.
    pub uncounted: usize,
}

impl Outbox {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Writes all parts in order, keeping what does not fit. `last`: the connection is closed or shut right behind them,
    /// unless something had to be kept.
    pub fn send<I: Io>(
        &mut self,
        io: &mut I,
        link: &mut Link<I::Socket>,
        blocks: &mut Blocks,
        parts: &[&[u8]],
        last: bool,
    ) -> Result<Flushed, Trouble> {
        let (session, socket) = match link.ways() {
            Ways::Plain(socket) => {
                let taken = self.put(io, socket, blocks, parts, last)?;
                return Ok(Flushed { taken, uncounted: taken });
            }
            Ways::Sealed(session, socket) => (session, socket),
            Ways::Stream(stream) => return self.put_on_stream(stream, blocks, parts, last),
        };
        let mut sealed = std::mem::take(&mut blocks.sealed);
        sealed.clear();
        let result = match session.seal(parts, last, &mut sealed) {
            Ok(()) => self.put(io, socket, blocks, &[sealed.as_bytes()], last),
            Err(trouble) => {
                session.failed = Some(trouble);
                Err(Trouble::Tls)
            }
        };
        blocks.sealed = sealed;
        self.counted = true;
        // Counted are the application's bytes, once, when they are sealed: what is left of a record says nothing of them.
        result.map(|taken| Flushed { taken, uncounted: parts.iter().map(|part| part.len()).sum() })
    }

    /// Writes bytes that are the wire's own already: words of a handshake.
    pub fn send_raw<I: Io>(
        &mut self,
        io: &mut I,
        socket: &I::Socket,
        blocks: &mut Blocks,
        bytes: &[u8],
    ) -> Result<usize, Trouble> {
        self.counted = true;
        self.put(io, socket, blocks, &[bytes], false)
    }

    /// What the stream's window has no room for waits here. The connection counts the bytes when they are in its frames.
    fn put_on_stream(
        &mut self,
        stream: &mut Stream,
        blocks: &mut Blocks,
        parts: &[&[u8]],
        last: bool,
    ) -> Result<Flushed, Trouble> {
        self.counted = true;
        let mut skip = 0;
        if self.is_empty() {
            skip = match stream.write(parts, last) {
                Err(Trouble::WouldBlock) => 0,
                other => other?,
            };
        }
        self.keep(blocks, parts, skip);
        Ok(Flushed { taken: skip, uncounted: 0 })
    }

    /// Keeps the parts but for their first bytes.
    fn keep(&mut self, blocks: &mut Blocks, parts: &[&[u8]], mut skip: usize) {
        for part in parts {
            let taken = skip.min(part.len());
            skip -= taken;
            blocks.append(&mut self.bytes, &part[taken..]);
        }
    }

    fn put<I: Io>(
        &mut self,
        io: &mut I,
        socket: &I::Socket,
        blocks: &mut Blocks,
        parts: &[&[u8]],
        last: bool,
    ) -> Result<usize, Trouble> {
        let mut skip = 0;
        if self.is_empty() {
            let result = match parts {
                _ if last => io.write_last(socket, parts),
                [one] => io.write(socket, one),
                _ => io.write_parts(socket, parts),
            };
            skip = match result {
                Err(Trouble::WouldBlock) => 0,
                other => other?,
            };
        }
        self.keep(blocks, parts, skip);
        Ok(skip)
    }

    /// Writes what was kept; the buffer goes back when nothing is left.
    pub fn flush<I: Io>(
        &mut self,
        io: &mut I,
        link: &mut Link<I::Socket>,
        blocks: &mut Blocks,
    ) -> Result<Flushed, Trouble> {
        let counted = self.counted;
        let flushed = |taken| Flushed { taken, uncounted: if counted { 0 } else { taken } };
        let mut total = 0;
        while self.at < self.bytes.len() {
            let waiting = &self.bytes[self.at..];
            let result = match link.ways() {
                Ways::Plain(socket) | Ways::Sealed(_, socket) => io.write(socket, waiting),
                Ways::Stream(stream) => stream.write(&[waiting], stream.ends_without_trailers()),
            };
            match result {
                Ok(written) => {
                    self.at += written;
                    total += written;
                }
                Err(Trouble::WouldBlock) => return Ok(flushed(total)),
                Err(trouble) => return Err(trouble),
            }
        }
        self.clear(blocks);
        if let Some(stream) = link.stream_mut() {
            stream.finish();
        }
        Ok(flushed(total))
    }

    pub fn clear(&mut self, blocks: &mut Blocks) {
        self.at = 0;
        blocks.release(&mut self.bytes);
    }
}
