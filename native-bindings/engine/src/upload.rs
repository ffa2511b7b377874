//! Moves request bodies from client to origin. Reading stops as soon as the origin's outbox holds something and goes on
//! when that ran empty, so a body of any size passes in bounded memory.

use crate::io::{Io, Token, Trouble};
use crate::origin::Place;
use crate::outbox::frame_chunk;
use crate::slab::Key;
use crate::stats::Counter;
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::exchange::{Continue, Stage, UploadFault};
use proto::fault::ClientFault;
use proto::http1::framing::RequestBody;
use proto::plan::HalfClose;
use std::rc::Rc;

/// Reads of one connection in one pass; the others are looked at before it goes on.
const READS_MAX: u32 = 8;

impl<I: Io> Worker<I> {
    /// Passes request body bytes on for as long as there are some and the origin takes them.
    pub(crate) fn upload_go(&mut self, exchange: Key) {
        for _ in 0..READS_MAX {
            let Some(ongoing) = self.exchanges.get(exchange) else { return };
            let running = matches!(ongoing.core.stage, Stage::Sent | Stage::Relaying) && !ongoing.write_broke;
            let paused = self.origins.get(ongoing.origin).is_none_or(|o| !o.outbox.is_empty());
            if !running || paused {
                return;
            }
            if ongoing.is_replaying() {
                self.replay_piece(exchange);
                continue;
            }
            let key = ongoing.client;
            let Some(client) = self.clients.get_mut(key) else { return };
            if ongoing.core.upload_done() || !client.readable {
                return;
            }
            let mut scratch = std::mem::take(&mut self.scratch);
            let result = client.link.read(&mut self.io, &mut self.blocks, &mut client.outbox, &mut scratch);
            match result {
                Ok(count) if count > 0 => {
                    client.readable = client.link.may_hold_more(count, scratch.len()) || client.read_closed;
                    if !client.link.is_stream() {
                        self.row.add(Counter::ClientBytesIn, count as u64);
                    }
                    self.take_body(exchange, key, &mut scratch[..count]);
                }
                Err(Trouble::WouldBlock) => client.readable = false,
                Ok(_) if client.link.is_stream() => self.end_body(exchange, key),
                // A body that ends short, or a reset: there is no request any more, so there will be no answer.
                Ok(_) | Err(_) => self.abandon(exchange, ClientFault::Gone, Counter::ClientCloseByClient),
            }
            self.scratch = scratch;
        }
        if let Some(ongoing) = self.exchanges.get(exchange) {
            self.again.push(Token::Client(ongoing.client));
        }
    }

    /// Body bytes arrived while the request is being sent.
    fn take_body(&mut self, exchange: Key, key: Key, bytes: &mut [u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let plan = Rc::clone(&ongoing.plan);
        let bound = ongoing.request_body_bytes();
        let taken = ongoing.core.take_upload(bytes, &plan.head_limits, bound, &mut ongoing.trailers);
        let piece = match taken {
            Ok(piece) => piece,
            Err(fault) => {
                self.upload_failed(exchange, key, fault);
                return;
            }
        };
        if piece.consumed < bytes.len() {
            if let Some(client) = self.clients.get_mut(key) {
                self.blocks.append(&mut client.input, &bytes[piece.consumed..]);
            }
        }
        ongoing.core.heard_body(&piece);
        let data = &bytes[piece.data];
        self.keep(exchange, data);
        self.send_body(exchange, data, piece.done);
        self.arm_for_upload(exchange);
        // The FIN may have come together with the last of the body.
        if piece.done && self.clients.get(key).is_some_and(|c| c.read_closed) {
            self.client_half_closed(key);
        }
    }

    /// The stream that brings the body said that it is over.
    fn end_body(&mut self, exchange: Key, key: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let Some(client) = self.clients.get_mut(key) else { return };
        client.readable = false;
        let mut last = client.link.stream_mut().map(|stream| std::mem::take(&mut stream.trailers)).unwrap_or_default();
        let plan = Rc::clone(&ongoing.plan);
        match ongoing.core.end_upload(&mut last, &plan.head_limits, &mut ongoing.trailers) {
            Ok(()) => {
                self.send_body(exchange, &[], true);
                self.arm_for_upload(exchange);
            }
            Err(fault) => self.upload_failed(exchange, key, fault),
        }
    }

    fn upload_failed(&mut self, exchange: Key, key: Key, fault: UploadFault) {
        let begun = self.exchanges.get(exchange).is_some_and(|ongoing| ongoing.core.stage == Stage::Relaying);
        if begun {
            self.abandon(exchange, ClientFault::Gone, Counter::ClientCloseRefused);
        } else {
            self.forget_exchange(exchange);
            self.refuse_upload(key, fault);
        }
    }

    /// Tells the origin that the client will send nothing more, where the route says so and as soon as the request is out.
    /// A connection that was half-closed is not used again.
    pub(crate) fn propagate_fin(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        if !ongoing.half_closed || ongoing.policy().half_close != HalfClose::Propagate || ongoing.fin_sent {
            return;
        }
        if !matches!(ongoing.core.stage, Stage::Sent | Stage::Relaying) || !ongoing.core.upload_done() {
            return;
        }
        let Some(origin) = self.origins.get_mut(ongoing.origin) else { return };
        let sent = origin.outbox.is_empty() && !ongoing.is_replaying();
        if let (Place::Held(link), true) = (&mut origin.place, sent) {
            link.end_writing(&mut self.io, &mut self.blocks);
            ongoing.fin_sent = true;
        }
    }

    /// Writes a piece of the request body, framed for the origin.
    pub(crate) fn send_body(&mut self, exchange: Key, data: &[u8], done: bool) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        if ongoing.on_stream {
            self.send_on_stream(exchange, data, done);
            return;
        }
        if ongoing.core.body != RequestBody::Chunked {
            if !data.is_empty() {
                self.send_to_origin(exchange, &[data]);
            }
            return;
        }
        let mut out = std::mem::take(&mut self.out);
        let mut tail = std::mem::take(&mut self.tail);
        out.clear();
        tail.clear();
        frame_chunk(&mut out, &mut tail, data, done, &ongoing.trailers);
        if !data.is_empty() || done {
            self.send_to_origin(exchange, &[&out, data, &tail]);
        }
        self.out = out;
        self.tail = tail;
    }

    /// Sets the client's timer to what the exchange expects of it next.
    pub(crate) fn arm_for_upload(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let Some(client) = self.clients.get(ongoing.client) else { return };
        let timeouts = &ongoing.plan.plan.timeouts;
        let wait = if !client.outbox.is_empty() {
            timeouts.client_write_ms
        } else if ongoing.core.upload_done() {
            self.wheel.arm(client.timer, NEVER);
            return;
        } else if ongoing.core.expect == Continue::Awaited {
            timeouts.continue_ms
        } else {
            timeouts.client_body_ms
        };
        self.wheel.arm(client.timer, self.now_us / 1000 + u64::from(wait));
    }

    /// The client's timer ran out during an exchange. `blocked`: an answer waits for the client to take it.
    pub(crate) fn exchange_due(&mut self, exchange: Key, blocked: bool) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let key = ongoing.client;
        if blocked {
            self.abandon(exchange, ClientFault::WriteTimeout, Counter::ClientCloseTimeout);
            return;
        }
        if ongoing.core.upload_done() {
            return;
        }
        if ongoing.core.expect == Continue::Awaited && ongoing.core.stage == Stage::Relaying {
            // RFC 9110 10.1.1: answered before it was told to go on, the client owes no body, and the answer is under
            // way: an interim one would stand in its middle. The connection ends with it.
            return;
        }
        if ongoing.core.expect == Continue::Awaited {
            // The origin keeps silent about 100 (Continue); waiting for each other for ever helps nobody.
            ongoing.core.expect = Continue::Told;
            self.row.one(Counter::Answers1xx);
            self.send_interim(key, b"HTTP/1.1 100 Continue\r\n\r\n");
            self.arm_for_upload(exchange);
            return;
        }
        let waits_for_origin = !matches!(ongoing.core.stage, Stage::Sent | Stage::Relaying)
            || ongoing.is_replaying()
            || self.origins.get(ongoing.origin).is_some_and(|o| !o.outbox.is_empty());
        if waits_for_origin {
            self.arm_for_upload(exchange);
        } else if ongoing.core.stage == Stage::Relaying {
            self.abandon(exchange, ClientFault::BodyTimeout, Counter::ClientCloseTimeout);
        } else {
            self.forget_exchange(exchange);
            self.refuse_client(key, ClientFault::BodyTimeout, Counter::ClientCloseTimeout);
        }
    }
}
