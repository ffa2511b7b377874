//! Moves answers from origin to client. Reading stops as soon as the client's outbox holds something and goes on when
//! that ran empty; an answer that ends before its end never looks whole. Heads are read in `answer_heads.rs`.

use crate::client::ClientState;
use crate::io::{Io, Token, Trouble};
use crate::origin::Place;
use crate::outbox::{COPY_BYTES_MAX, frame_chunk};
use crate::slab::Key;
use crate::stats::Counter;
use crate::streams::is_stream;
use crate::tls::TlsTrouble;
use crate::worker::Worker;
use proto::exchange::{AtEof, Piece, Stage};
use proto::fault::{OriginFault, WireFault};
use std::rc::Rc;

/// Reads of one connection in one pass; the others are looked at before it goes on.
const READS_MAX: u32 = 8;
/// The least that is read at once for a client that takes little.
const ROOM_MIN: u32 = 64 * 1024;

impl<I: Io> Worker<I> {
    /// Takes answer bytes for as long as there are some and the client takes them.
    pub(crate) fn download_go(&mut self, exchange: Key) {
        if self.exchanges.get(exchange).is_some_and(|o| o.cached.as_ref().is_some_and(|side| side.reading.is_some())) {
            self.reading_go(exchange);
            return;
        }
        for _ in 0..READS_MAX {
            let Some(ongoing) = self.exchanges.get(exchange) else { return };
            if !matches!(ongoing.core.stage, Stage::Sent | Stage::Relaying) {
                return;
            }
            let fills = ongoing.client == Key::NONE && self.fill_waits(exchange);
            let client_takes = self.client_takes(ongoing.client, ongoing.core.stage == Stage::Sent);
            let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
            let key = ongoing.origin;
            let Some(origin) = self.origins.get_mut(key) else { return };
            let Place::Held(link) = &mut origin.place else { return };
            if !origin.readable || !client_takes || fills {
                return;
            }
            let mut scratch = std::mem::take(&mut self.scratch);
            let room = (ongoing.room as usize).min(scratch.len());
            match link.read(&mut self.io, &mut self.blocks, &mut origin.outbox, &mut scratch[..room]) {
                Ok(count) if count > 0 => {
                    // Behind an answer, TLS's word of the end makes the connection one that is not kept.
                    origin.read_closed |= link.peer_ended();
                    origin.readable = link.may_hold_more(count, room) || origin.read_closed;
                    origin.active_ms = self.now_us / 1000;
                    ongoing.bytes_received += count as u64;
                    if !link.is_stream() {
                        self.row.add(Counter::OriginBytesIn, count as u64);
                    }
                    if ongoing.core.stage == Stage::Sent {
                        self.take_answer(exchange, &mut scratch[..count]);
                    } else {
                        self.take_answer_body(exchange, &mut scratch[..count]);
                    }
                }
                Ok(_) => self.origin_ended(exchange, None),
                Err(Trouble::WouldBlock) => {
                    origin.readable = false;
                    if ongoing.write_broke && ongoing.core.stage == Stage::Sent {
                        self.attempt_failed(exchange, OriginFault::WriteError);
                    }
                }
                Err(trouble) => self.origin_ended(exchange, Some(trouble)),
            }
            self.scratch = scratch;
        }
        if let Some(ongoing) = self.exchanges.get(exchange) {
            self.again.push(Token::Origin(ongoing.origin));
        }
    }

    /// Bytes of an answer's body.
    fn take_answer_body(&mut self, exchange: Key, bytes: &mut [u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let plan = Rc::clone(&ongoing.plan);
        let taken = ongoing.core.take_download(bytes, &plan.head_limits, &mut ongoing.answer_trailers);
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        self.pass_piece(exchange, out, bytes, taken);
    }

    /// Writes what is in `out`, then a piece of the body framed for the client; ends the exchange with its last piece.
    pub(crate) fn pass_piece(&mut self, exchange: Key, out: Vec<u8>, bytes: &[u8], taken: Result<Piece, WireFault>) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let (key, origin_key) = (ongoing.client, ongoing.origin);
        let (data, done, fault) = match taken {
            Ok(piece) => {
                if piece.consumed < bytes.len() {
                    if let Some(origin) = self.origins.get_mut(origin_key) {
                        origin.surplus = true;
                    }
                }
                match ongoing.room_left(piece.data.len()) {
                    // An answer of no known length is cut at the limit, and never ends as if it were whole (S4-04).
                    Some(room) => (&bytes[piece.data][..room], false, Some(Cut::TooLarge)),
                    None => (&bytes[piece.data], piece.done, None),
                }
            }
            Err(fault) => (&bytes[..0], false, Some(Cut::Malformed(fault))),
        };
        let length = data.len();
        if key == Key::NONE {
            self.out = out;
            self.fill_piece(exchange, data);
        } else {
            let trailers = if done { std::mem::take(&mut ongoing.answer_trailers) } else { Vec::new() };
            self.write_piece(exchange, out, data, done, &trailers);
        }
        self.piece_passed(exchange, fault, done, length);
    }

    /// Writes what is in `out`, then a piece of the body framed for the client; `done` ends the message.
    pub(crate) fn write_piece(&mut self, exchange: Key, mut out: Vec<u8>, data: &[u8], done: bool, trailers: &[u8]) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let (key, chunked) = (ongoing.client, ongoing.answer_chunked);
        let last = done && ((self.draining && !self.idle_stays) || !ongoing.core.keep_alive);
        if is_stream(&self.clients, key) {
            self.answer_on_stream(key, &out, data, done, trailers);
            self.out = out;
            return;
        }
        self.tail.clear();
        if chunked {
            frame_chunk(&mut out, &mut self.tail, data, done, trailers);
        }
        let tail = std::mem::take(&mut self.tail);
        if data.len() <= COPY_BYTES_MAX {
            out.extend_from_slice(data);
            out.extend_from_slice(&tail);
            if !out.is_empty() {
                self.send_to_client(key, &[&out], last);
            }
        } else if out.is_empty() && tail.is_empty() {
            self.send_to_client(key, &[data], last);
        } else {
            self.send_to_client(key, &[&out, data, &tail], last);
        }
        self.tail = tail;
        self.out = out;
    }

    /// A piece of the answer was handed over; what follows it.
    fn piece_passed(&mut self, exchange: Key, fault: Option<Cut>, done: bool, passed: usize) {
        match fault {
            Some(Cut::TooLarge) => {
                self.attempt_failed(exchange, OriginFault::AnswerTooLarge);
            }
            Some(Cut::Malformed(fault)) => self.answer_malformed(exchange, fault),
            None if done => self.finish(exchange),
            None => self.await_more(exchange, passed),
        }
    }

    /// More of the answer is to come. For a client that leaves most of a piece in our hands, smaller ones are read.
    fn await_more(&mut self, exchange: Key, passed: usize) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let (client, origin) = (ongoing.client, ongoing.origin);
        let left = self.clients.get(client).map_or(0, |c| c.outbox.len());
        if left > passed / 2 {
            ongoing.room = (ongoing.room / 2).max(ROOM_MIN);
        } else if left == 0 && ongoing.room < ongoing.room_max {
            ongoing.room = (ongoing.room * 2).min(ongoing.room_max);
        }
        if let Some(origin) = self.origins.get(origin) {
            self.wheel.arm(origin.timer, self.now_us / 1000 + ongoing.between_bytes_ms());
        }
    }

    /// The origin's end of the connection came: by its word (None), by a FIN alone where TLS has a word for it, or broken.
    fn origin_ended(&mut self, exchange: Key, trouble: Option<Trouble>) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        if ongoing.on_stream {
            match trouble {
                None => self.answer_ended(exchange),
                Some(_) => self.stream_broke(exchange),
            }
            return;
        }
        if let Some(origin) = self.origins.get_mut(ongoing.origin) {
            origin.read_closed = true;
            origin.readable = false;
        }
        if ongoing.core.stage == Stage::Sent {
            let begun = self.origins.get(ongoing.origin).is_some_and(|o| !o.input.is_empty());
            let fault = match (begun, ongoing.write_broke, trouble) {
                (true, _, _) => OriginFault::MalformedHeaders,
                (_, _, Some(Trouble::Tls)) if self.is_turned_away(exchange) => OriginFault::TlsAlert,
                (_, true, _) => OriginFault::WriteError,
                (_, _, None | Some(Trouble::Cut)) => OriginFault::EofBeforeHeaders,
                _ => OriginFault::ResetBeforeHeaders,
            };
            self.attempt_failed(exchange, fault);
            return;
        }
        if trouble.is_some() || ongoing.core.download_at_eof() == AtEof::Truncated {
            self.attempt_failed(exchange, OriginFault::BodyTruncated);
            return;
        }
        let key = ongoing.client;
        if is_stream(&self.clients, key) {
            self.answer_on_stream(key, &[], &[], true, &[]);
        } else if ongoing.answer_chunked {
            let last = !ongoing.core.keep_alive;
            self.send_to_client(key, &[b"0\r\n\r\n"], last);
        }
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.core.complete_download();
        }
        self.finish(exchange);
    }

    /// Whether the origin said by an alert, before it answered anything, that it does not want this connection. In TLS 1.3
    /// the handshake is over for a client before its certificate is judged.
    fn is_turned_away(&mut self, exchange: Key) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange).filter(|o| !o.core.reused) else { return false };
        let Some(origin) = self.origins.get(ongoing.origin) else { return false };
        let Place::Held(link) = &origin.place else { return false };
        let Some(trouble) = link.tls.as_ref().and_then(|session| session.failed.as_ref()) else { return false };
        if !matches!(trouble, TlsTrouble::Alert(_)) {
            return false;
        }
        self.log.origin_handshake_failed(&origin.lease, OriginFault::TlsAlert, trouble);
        true
    }

    /// The origin's timer ran out while an exchange runs on it.
    pub(crate) fn answer_due(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let Some(origin) = self.origins.get(ongoing.origin) else { return };
        let (wait_ms, fault, excused) = if ongoing.core.stage == Stage::Sent {
            // An origin need not answer what it has not been sent; the client's own timer watches over the body.
            let unsent = !ongoing.core.upload_done() && origin.outbox.is_empty() && !ongoing.write_broke;
            (ongoing.first_byte_ms(), OriginFault::HeaderTimeout, unsent)
        } else {
            let slow_client = self.clients.get(ongoing.client).is_some_and(|c| !c.outbox.is_empty());
            (ongoing.between_bytes_ms(), OriginFault::BodyTimeout, slow_client)
        };
        let now_ms = self.now_us / 1000;
        let due_ms = if excused { now_ms } else { origin.active_ms } + wait_ms;
        if due_ms > now_ms {
            self.wheel.arm(origin.timer, due_ms);
        } else {
            self.attempt_failed(exchange, fault);
        }
    }

    /// The answer cannot be completed: the client must not take it for whole (RFC 9112 8).
    pub(crate) fn break_answer(&mut self, exchange: Key) {
        let Some(ongoing) = self.end_exchange(exchange) else { return };
        let key = ongoing.client;
        if key != Key::NONE {
            self.row.one(Counter::AnswersBroken);
        }
        if ongoing.answer_until_close || is_stream(&self.clients, key) {
            // Without a length a FIN would look like the end; a stream is reset in any case.
            self.reset_client(key, Counter::ClientCloseBroken);
        } else if self.clients.get(key).is_some_and(|c| c.state == ClientState::Exchange) {
            self.close_after_answer(key, Counter::ClientCloseBroken);
        }
        self.recycle(ongoing);
    }
}

/// Why an answer ends before its end.
enum Cut {
    TooLarge,
    Malformed(WireFault),
}
