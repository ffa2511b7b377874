//! Reads a stored answer out to one client at that client's speed, whether it is whole or still arrives.

use crate::cached::serve::HeadOf;
use crate::hot::{Entry, Read, ReaderId, Waiter};
use crate::io::{Io, Token};
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use proto::cache::conditional::Serve;
use proto::cache::range::ByteRange;
use proto::exchange::Download;
use proto::http1::framing::AnswerBody;
use std::collections::VecDeque;
use std::sync::Arc;

/// Pieces for one client in one pass; the others are looked at before it goes on.
const PIECES_MAX: u32 = 8;
/// Bytes of one piece: what its socket does not take is copied.
pub const PIECE_BYTES_MAX: usize = 256 * 1024;

/// What is still to be given to a client.
pub struct Reading {
    pub entry: Arc<Entry>,
    /// Of content that still arrives.
    reader: Option<ReaderId>,
    /// Not yet sent.
    head: Vec<u8>,
    steps: VecDeque<Step>,
}

enum Step {
    /// What stands between parts.
    Text(Vec<u8>),
    Bytes {
        at: u64,
        /// `None` = wherever the content ends.
        end: Option<u64>,
    },
}

/// What comes next.
enum Piece {
    Text(Vec<u8>),
    Chunk { chunk: Arc<[u8]>, from: usize, length: usize },
    Stored { at: u64, length: usize },
    End(Arc<[u8]>),
    Wait,
    Failed,
}

impl Reading {
    /// The head and what follows it.
    pub(crate) fn of(head: &HeadOf<'_>, text: Vec<u8>, framed: AnswerBody, entry: Arc<Entry>) -> Self {
        let mut steps = VecDeque::new();
        let bytes =
            |range: &ByteRange, base: u64| Step::Bytes { at: range.first - base, end: Some(range.last + 1 - base) };
        let base = entry.record.part.map_or(0, |part| part.range.first);
        match head.serve {
            _ if framed == AnswerBody::None => {}
            Serve::NotModified | Serve::Unsatisfiable => {}
            Serve::Whole => steps.push_back(Step::Bytes { at: 0, end: None }),
            Serve::OfPart(range) => steps.push_back(bytes(range, base)),
            Serve::Ranges(ranges) => match ranges.as_slice() {
                [range] => steps.push_back(bytes(range, 0)),
                several => {
                    let parts = head.multipart();
                    for range in several {
                        let mut text = Vec::new();
                        parts.write_head(&mut text, *range);
                        steps.push_back(Step::Text(text));
                        steps.push_back(bytes(range, 0));
                    }
                    let mut text = Vec::new();
                    parts.write_end(&mut text);
                    steps.push_back(Step::Text(text));
                }
            },
        }
        Self { entry, reader: None, head: text, steps }
    }

    /// One that reads all content behind a head that was written elsewhere.
    pub(crate) fn behind(head: Vec<u8>, entry: Arc<Entry>) -> Self {
        let steps = VecDeque::from([Step::Bytes { at: 0, end: None }]);
        Self { entry, reader: None, head, steps }
    }

    /// Takes a place among the readers of content that still arrives. `false`: it is too late.
    pub(crate) fn enter(&mut self) -> bool {
        if self.entry.body.whole_content().is_some() || self.steps.is_empty() {
            return true;
        }
        self.reader = self.entry.body.enter();
        self.reader.is_some()
    }

    /// Gives the place up; whoever writes may want to know.
    pub(crate) fn leave(&mut self) -> Option<Waiter> {
        self.reader.take().and_then(|reader| self.entry.body.leave(reader))
    }

    fn next(&mut self, waiter: Waiter) -> (Piece, Option<Waiter>) {
        loop {
            let Some(step) = self.steps.front_mut() else { return (Piece::End(Arc::from([])), None) };
            match step {
                Step::Text(text) => {
                    let text = std::mem::take(text);
                    self.steps.pop_front();
                    return (Piece::Text(text), None);
                }
                Step::Bytes { at, end: Some(end) } if *at >= *end => {
                    self.steps.pop_front();
                }
                Step::Bytes { at, end } => {
                    let place = *at;
                    let most = end.map_or(u64::MAX, |end| end - place);
                    let bounded = |length: usize| {
                        let most = usize::try_from(most).unwrap_or(usize::MAX);
                        length.min(most).min(PIECE_BYTES_MAX)
                    };
                    // A reader that has begun to follow goes on as one: trailers are told to it alone.
                    if let (None, Some(content)) = (self.reader, self.entry.body.whole_content()) {
                        if place >= content.length() {
                            self.steps.pop_front();
                            continue;
                        }
                        let length = bounded(content.at(place).len());
                        *at += length as u64;
                        return (Piece::Stored { at: place, length }, None);
                    }
                    let Some(reader) = self.reader else { return (Piece::Failed, None) };
                    match self.entry.body.read(reader, place, waiter) {
                        Read::Bytes { chunk, from, writer } => {
                            let length = bounded(chunk.len() - from);
                            *at += length as u64;
                            return (Piece::Chunk { chunk, from, length }, writer);
                        }
                        Read::Wait { writer } => return (Piece::Wait, writer),
                        Read::Failed => return (Piece::Failed, None),
                        Read::End { trailers } => {
                            self.steps.pop_front();
                            if self.steps.is_empty() {
                                return (Piece::End(trailers), None);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whether nothing follows what was taken last, as far as that is known now.
    fn is_over(&self) -> bool {
        match (self.steps.front(), self.steps.len()) {
            (None, _) => true,
            (Some(Step::Bytes { at, end: Some(end) }), 1) => at >= end,
            (Some(Step::Bytes { at, end: None }), 1) => {
                self.reader.is_none() && self.entry.body.whole_content().is_some_and(|content| *at >= content.length())
            }
            _ => false,
        }
    }
}

impl<I: Io> Worker<I> {
    /// Gives the client what there is for as long as it takes it.
    pub(crate) fn reading_go(&mut self, exchange: Key) {
        let waiter = Waiter { worker: self.index, token: Token::Exchange(exchange).pack() };
        for _ in 0..PIECES_MAX {
            let Some(ongoing) = self.exchanges.get(exchange) else { return };
            let Some(reading) = ongoing.cached.as_ref().and_then(|side| side.reading.as_ref()) else { return };
            let first = !reading.head.is_empty();
            if !self.client_takes(ongoing.client, first) {
                return;
            }
            let Some(reading) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()?.reading.as_mut())
            else {
                return;
            };
            let mut out = std::mem::take(&mut self.out);
            out.clear();
            out.extend_from_slice(&std::mem::take(&mut reading.head));
            let (piece, writer) = reading.next(waiter);
            let over = reading.is_over();
            let entry = Arc::clone(&reading.entry);
            if let Some(writer) = writer {
                self.ring_waiter(writer);
            }
            match piece {
                Piece::Text(text) => self.give_piece(exchange, out, &text, (over, &[])),
                Piece::Chunk { chunk, from, length } => {
                    self.give_piece(exchange, out, &chunk[from..from + length], (over, &[]));
                }
                Piece::Stored { at, length } => {
                    let bytes = entry.body.whole_content().map_or(&[][..], |content| &content.at(at)[..length]);
                    self.give_piece(exchange, out, bytes, (over, &[]));
                }
                Piece::End(trailers) => self.give_piece(exchange, out, &[], (true, &trailers)),
                Piece::Wait => {
                    if out.is_empty() {
                        self.out = out;
                    } else {
                        self.give_piece(exchange, out, &[], (false, &[]));
                    }
                    return;
                }
                Piece::Failed => {
                    self.out = out;
                    self.break_answer(exchange);
                    return;
                }
            }
        }
        self.again.push(Token::Exchange(exchange));
    }

    /// Hands a piece over, with what stands before it in `out`; the last one ends the exchange.
    fn give_piece(&mut self, exchange: Key, out: Vec<u8>, data: &[u8], (done, trailers): (bool, &[u8])) {
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.core.download_bytes += data.len() as u64;
            if done {
                ongoing.core.download = Download::Done;
            }
        }
        self.row.add(Counter::CacheBytesServed, data.len() as u64);
        self.write_piece(exchange, out, data, done, trailers);
        if done {
            self.finish(exchange);
        }
    }

    /// Rings somebody who waits for what is stored: here, or on another worker.
    pub(crate) fn ring_waiter(&mut self, waiter: Waiter) {
        self.host.rungs[waiter.worker as usize].ring(waiter.token);
    }
}
