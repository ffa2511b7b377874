//! The memory between an HTTP/2 session and the connection that carries it: what came is read from here, what is to go
//! is written here, and whoever drives the session moves both on. Never more than a bounded piece waits in it.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Frames that wait for the connection; beyond them the session waits, and with it all its streams.
const OUTPUT_BYTES_MAX: usize = 128 * 1024;

/// Bytes a session may leave lying before its connection is read again.
const UNREAD_BYTES_MAX: usize = 64 * 1024;

/// Both directions of one connection.
#[derive(Default)]
pub struct Pipe {
    input: Vec<u8>,
    read: usize,
    ended: bool,
    pub output: Vec<u8>,
}

impl Pipe {
    /// Bytes came.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.read == self.input.len() {
            self.input.clear();
            self.read = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// Nothing more will come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Bytes that the session has not taken.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.input.len() - self.read
    }

    /// Whether the session has left so much lying that nothing more is read for it.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.unread() > UNREAD_BYTES_MAX
    }

    /// Takes the vector of an output back, to be written into again.
    pub fn take_back(&mut self, mut output: Vec<u8>) {
        output.clear();
        if self.output.is_empty() {
            self.output = output;
        }
    }

    /// Lets go of what a burst made it grow to.
    pub fn rest(&mut self) {
        if self.unread() == 0 {
            (self.input, self.read) = (Vec::new(), 0);
        }
        if self.output.is_empty() {
            self.output = Vec::new();
        }
    }
}

/// One end of a pipe, as the session holds it.
#[derive(Clone, Default)]
pub struct Wire(pub Rc<RefCell<Pipe>>);

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.borrow_mut();
        let count = pipe.unread().min(buf.remaining());
        if count == 0 && !pipe.ended {
            // Nobody is woken by what comes: whoever feeds the pipe drives the session.
            return Poll::Pending;
        }
        let at = pipe.read;
        buf.put_slice(&pipe.input[at..at + count]);
        pipe.read += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.borrow_mut();
        if pipe.output.len() >= OUTPUT_BYTES_MAX {
            return Poll::Pending;
        }
        pipe.output.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.borrow_mut();
        if pipe.output.len() >= OUTPUT_BYTES_MAX {
            return Poll::Pending;
        }
        parts.iter().for_each(|part| pipe.output.extend_from_slice(part));
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
