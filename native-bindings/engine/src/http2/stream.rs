//! One stream of HTTP/2 as the rest of the engine sees a connection: read, written as far as the peer's window reaches,
//! ended, reset. The same for both sides: on a client's connection a stream brings a request and takes an answer, on an
//! origin's the other way round.

use crate::http2::bell::Bell;
use crate::http2::text;
use crate::io::Trouble;
use crate::slab::Key;
use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::StatusCode;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// One stream under way.
pub struct Stream {
    /// The slot of the connection it is on.
    pub parent: Key,
    pub id: u32,
    /// An extended CONNECT (RFC 8441): what passes on it is a WebSocket's.
    pub connect: bool,
    pub bell: Arc<Bell>,
    /// What waited in its outbox when its connection last counted.
    pub held: usize,
    waker: Waker,
    heads: Heads,
    /// What its body is written to, once its head is out.
    send: Option<SendStream<Bytes>>,
    /// What its peer's body comes from, once the peer's head is here.
    body: Option<RecvStream>,
    /// Text of heads that came, and how much of it was read. Always read before the body.
    came: Vec<u8>,
    read: usize,
    /// Body bytes that came and were not read; the peer's window is given back as they are.
    left: Bytes,
    /// The peer's trailers as the last part of a chunked body.
    pub trailers: Vec<u8>,
    /// How it broke, if it did.
    pub broke: Option<Broke>,
    /// What a WebSocket's answer has to say to a client of HTTP/1 (RFC 6455 4.2.2).
    pub accept: String,
    ended: bool,
    /// It ends as soon as what waits before it was taken: with these trailer lines, or without any.
    end: Option<Vec<u8>>,
    end_sent: bool,
}

/// How a stream broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broke {
    /// The peer said that it did not look at it (RFC 9113 8.7).
    Unprocessed,
    /// The peer wants it over HTTP/1.1.
    Http1,
    /// The peer has answered and wants no more of the request (RFC 9113 8.1).
    Answered,
    /// What came on it, or on its connection, is not HTTP/2.
    Malformed,
    Reset,
    /// Its connection ended.
    Lost,
}

impl Broke {
    fn of(error: &h2::Error) -> Self {
        match error.reason() {
            _ if error.is_library() => Self::Malformed,
            _ if error.is_go_away() => Self::Unprocessed,
            Some(Reason::REFUSED_STREAM) => Self::Unprocessed,
            Some(Reason::HTTP_1_1_REQUIRED) => Self::Http1,
            Some(Reason::NO_ERROR) => Self::Answered,
            _ if error.is_io() => Self::Lost,
            _ => Self::Reset,
        }
    }
}

/// Who sends the first head.
enum Heads {
    /// The peer did; ours is to be sent.
    Answering(SendResponse<Bytes>),
    /// We did; the peer's is to come.
    Asking(ResponseFuture),
    /// Both were.
    Over,
}

impl Stream {
    /// A stream that a client opened.
    #[must_use]
    pub fn of_client(parent: Key, bell: Arc<Bell>, respond: SendResponse<Bytes>, body: RecvStream) -> Self {
        let (id, ended) = (respond.stream_id().as_u32(), body.is_end_stream());
        let mut stream = Self::new(parent, id, bell, Heads::Answering(respond), None, Some(body));
        stream.ended = ended;
        // The bell is shown to the state machine once, or nobody would hear of a reset.
        stream.is_gone();
        stream
    }

    /// A stream that we opened at an origin.
    #[must_use]
    pub fn to_origin(parent: Key, bell: Arc<Bell>, response: ResponseFuture, send: SendStream<Bytes>) -> Self {
        let id = send.stream_id().as_u32();
        Self::new(parent, id, bell, Heads::Asking(response), Some(send), None)
    }

    fn new(
        parent: Key,
        id: u32,
        bell: Arc<Bell>,
        heads: Heads,
        send: Option<SendStream<Bytes>>,
        body: Option<RecvStream>,
    ) -> Self {
        Self {
            parent,
            id,
            connect: false,
            held: 0,
            waker: bell.waker(),
            bell,
            heads,
            send,
            body,
            came: Vec::new(),
            read: 0,
            left: Bytes::new(),
            trailers: Vec::new(),
            broke: None,
            accept: String::new(),
            ended: false,
            end: None,
            end_sent: false,
        }
    }

    /// Whether the peer's message is here to its end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended && self.left.is_empty()
    }

    /// Whether another read may find something without anybody ringing.
    #[must_use]
    pub fn may_hold_more(&self) -> bool {
        !self.left.is_empty() || self.read < self.came.len() || self.ended || self.broke.is_some()
    }

    /// Whether the peer reset it, or its connection broke.
    pub fn is_gone(&mut self) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        match (&mut self.heads, &mut self.send) {
            (_, Some(send)) => send.poll_reset(&mut cx).is_ready(),
            (Heads::Answering(respond), None) => respond.poll_reset(&mut cx).is_ready(),
            _ => false,
        }
    }

    /// Reads what the peer sent: on an origin's stream first the text of its answer's head, then the body. `Ok(0)` is the
    /// end of its message.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, Trouble> {
        self.take_heads()?;
        let mut len = take(&self.came[self.read..], buf);
        self.read += len;
        if self.read == self.came.len() {
            (self.came, self.read) = (Vec::new(), 0);
        }
        while len < buf.len() && self.came.is_empty() {
            if self.left.is_empty() {
                match self.next_piece() {
                    Ok(true) => {}
                    Ok(false) => break,
                    // What came before it broke is read first.
                    Err(_) if len > 0 => break,
                    Err(trouble) => return Err(trouble),
                }
            }
            let count = take(&self.left, &mut buf[len..]);
            self.left = self.left.slice(count..);
            len += count;
            self.give_window(count);
        }
        match len {
            0 if self.ended => Ok(0),
            0 if !buf.is_empty() => Err(Trouble::WouldBlock),
            len => Ok(len),
        }
    }

    /// Takes the heads of an answer as they come.
    fn take_heads(&mut self) -> Result<(), Trouble> {
        let mut cx = Context::from_waker(&self.waker);
        let Heads::Asking(response) = &mut self.heads else { return Ok(()) };
        while let Poll::Ready(Some(interim)) = response.poll_informational(&mut cx) {
            match interim {
                // RFC 9113 8.6: there is no such switch here.
                Ok(head) if head.status() == StatusCode::SWITCHING_PROTOCOLS => return self.break_by(Broke::Malformed),
                Ok(head) => text::write_answer(&mut self.came, &head),
                Err(error) => return self.break_by(Broke::of(&error)),
            }
        }
        match Pin::new(response).poll(&mut cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(answer)) => {
                if self.connect && answer.status() == StatusCode::OK {
                    text::write_upgrade(&mut self.came, &answer, &self.accept);
                } else {
                    text::write_answer(&mut self.came, &answer);
                }
                let body = answer.into_body();
                self.ended = body.is_end_stream();
                (self.heads, self.body) = (Heads::Over, Some(body));
                Ok(())
            }
            Poll::Ready(Err(error)) => self.break_by(Broke::of(&error)),
        }
    }

    fn break_by(&mut self, broke: Broke) -> Result<(), Trouble> {
        self.broke = Some(broke);
        Err(Trouble::Reset)
    }

    /// Takes the next piece of the body into `left`. Returns whether there was one.
    fn next_piece(&mut self) -> Result<bool, Trouble> {
        let mut cx = Context::from_waker(&self.waker);
        let Some(body) = self.body.as_mut().filter(|_| !self.ended) else { return Ok(false) };
        let error = match body.poll_data(&mut cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Some(Ok(piece))) => {
                self.left = piece;
                // An empty frame is a piece as well, and says nothing.
                return Ok(true);
            }
            Poll::Ready(Some(Err(error))) => error,
            Poll::Ready(None) => match body.poll_trailers(&mut cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(trailers)) => {
                    if let Some(trailers) = trailers {
                        text::write_trailers(&mut self.trailers, &trailers);
                    }
                    self.ended = true;
                    return Ok(false);
                }
                Poll::Ready(Err(error)) => error,
            },
        };
        self.break_by(Broke::of(&error)).map(|()| false)
    }

    fn give_window(&mut self, count: usize) {
        if let Some(body) = &mut self.body {
            // It fails only for a stream that is over, whose window nobody needs.
            let _ = body.flow_control().release_capacity(count);
        }
    }

    /// Sends an interim answer's head.
    pub fn send_interim(&mut self, head: &[u8]) {
        if let Heads::Answering(respond) = &mut self.heads {
            // A stream that is over by now says so by its bell.
            let _ = respond.send_informational(text::read_answer(head, false));
        }
    }

    /// Sends the answer's head. `end`: there is nothing behind it.
    pub fn send_head(&mut self, head: &[u8], end: bool) {
        let Heads::Answering(respond) = &mut self.heads else { return };
        if let Ok(send) = respond.send_response(text::read_answer(head, self.connect), end) {
            self.send = Some(send);
        }
        self.heads = Heads::Over;
        self.end_sent = end;
        self.is_gone();
    }

    /// Writes body bytes as far as the peer's window reaches, and asks to be told when it reaches further. `last`: nothing
    /// comes behind them.
    pub fn write(&mut self, parts: &[&[u8]], last: bool) -> Result<usize, Trouble> {
        let mut cx = Context::from_waker(&self.waker);
        let Some(send) = self.send.as_mut().filter(|_| !self.end_sent) else { return Err(Trouble::Reset) };
        let all: usize = parts.iter().map(|part| part.len()).sum();
        let mut written = 0;
        while written < all {
            send.reserve_capacity(all - written);
            let room = match send.capacity() {
                0 => match send.poll_capacity(&mut cx) {
                    Poll::Pending => break,
                    // It was told and taken back; asking again settles it.
                    Poll::Ready(Some(Ok(0))) => continue,
                    Poll::Ready(Some(Ok(room))) => room,
                    Poll::Ready(_) => return Err(Trouble::Reset),
                },
                room => room,
            };
            let piece = cut(parts, written, room.min(all - written));
            written += piece.len();
            let end = last && written == all;
            send.send_data(piece, end).map_err(|_| Trouble::Reset)?;
            self.end_sent = end;
        }
        if written == 0 && all > 0 { Err(Trouble::WouldBlock) } else { Ok(written) }
    }

    /// Nothing follows what was written but these trailer lines. It is said by `finish`, when all before it was taken.
    pub fn end_with(&mut self, trailers: &[u8]) {
        self.end = Some(trailers.to_vec());
    }

    /// Whether what is in the outbox is the last of the message.
    #[must_use]
    pub fn ends_without_trailers(&self) -> bool {
        self.end.as_ref().is_some_and(Vec::is_empty)
    }

    /// Says the end, if it is settled and everything before it was taken.
    pub fn finish(&mut self) {
        let Some(trailers) = self.end.take() else { return };
        let Some(send) = self.send.as_mut().filter(|_| !self.end_sent) else { return };
        self.end_sent = true;
        // A stream that is over by now says so by its bell.
        let _ = match trailers.is_empty() {
            true => send.send_data(Bytes::new(), true),
            false => send.send_trailers(text::read_trailers(&trailers)),
        };
    }

    /// Its head was all there is of our side.
    pub fn end_sent(&mut self) {
        self.end_sent = true;
    }

    /// Ends our side at once.
    pub fn end_writing(&mut self) {
        self.end = Some(Vec::new());
        self.finish();
    }

    /// Ends it in both directions; the peer is told why.
    pub fn reset(&mut self, reason: Reason) {
        match (&mut self.heads, &mut self.send) {
            (_, Some(send)) => send.send_reset(reason),
            (Heads::Answering(respond), None) => respond.send_reset(reason),
            _ => {}
        }
    }
}

impl Drop for Stream {
    /// What was never read is given back to the connection, whose window all its streams share.
    fn drop(&mut self) {
        let count = self.left.len();
        self.give_window(count);
    }
}

fn take(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    to[..count].copy_from_slice(&from[..count]);
    count
}

/// `count` bytes of the parts, from `at` on, as one piece of their own.
fn cut(parts: &[&[u8]], at: usize, count: usize) -> Bytes {
    let (mut skip, mut piece) = (at, BytesMut::with_capacity(count));
    for part in parts {
        let from = skip.min(part.len());
        skip -= from;
        let more = (part.len() - from).min(count - piece.len());
        piece.extend_from_slice(&part[from..from + more]);
    }
    piece.freeze()
}
