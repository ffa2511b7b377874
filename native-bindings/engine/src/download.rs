//! Moves answers from origin to client: interim heads, the final head with its framing settled anew, and the body.
//! Reading stops as soon as the client's outbox holds something and goes on when that ran empty.

use crate::begin::is_connection_scheme;
use crate::client::ClientState;
use crate::io::{Io, Token, Trouble};
use crate::origin::Place;
use crate::outbox::{COPY_BYTES_MAX, frame_chunk};
use crate::slab::Key;
use crate::stats::{Counter, Histogram};
use crate::worker::Worker;
use proto::exchange::{AtEof, Continue, Piece, Stage};
use proto::fault::{OriginFault, WireFault};
use proto::http1::encode::{AnswerEncoding, encode_answer, encode_interim};
use proto::http1::fields::{FieldKind, value_of};
use proto::http1::framing::{AnswerBody, AnswerFraming, decide_answer};
use proto::http1::head::{Parsed, ResponseHead, Version};
use proto::limits::SCRATCH_BYTES;
use proto::plan::{Action, ConnectionAuth, FieldEdit};
use std::rc::Rc;

/// Reads of one connection in one pass; the others are looked at before it goes on.
const READS_MAX: u32 = 8;
/// Interim answers passed on before an origin is taken for broken.
const INTERIM_MAX: u8 = 32;
/// The least that is read at once for a client that takes little.
const ROOM_MIN: u32 = 64 * 1024;

impl<I: Io> Worker<I> {
    /// Takes answer bytes for as long as there are some and the client takes them.
    pub(crate) fn download_go(&mut self, exchange: Key) {
        for _ in 0..READS_MAX {
            let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
            if !matches!(ongoing.core.stage, Stage::Sent | Stage::Relaying) {
                return;
            }
            let client_takes = self.clients.get(ongoing.client).is_none_or(|c| c.outbox.is_empty());
            let key = ongoing.origin;
            let Some(origin) = self.origins.get_mut(key) else { return };
            let Place::Held(socket) = &origin.place else { return };
            if !origin.readable || !client_takes {
                return;
            }
            let mut scratch = std::mem::take(&mut self.scratch);
            let room = (ongoing.room as usize).min(scratch.len());
            match self.io.read(socket, &mut scratch[..room]) {
                Ok(count) if count > 0 => {
                    origin.readable = count == room || origin.read_closed;
                    origin.active_ms = self.now_us / 1000;
                    ongoing.bytes_received += count as u64;
                    self.row.add(Counter::OriginBytesIn, count as u64);
                    if ongoing.core.stage == Stage::Sent {
                        self.take_answer(exchange, &mut scratch[..count]);
                    } else {
                        self.take_answer_body(exchange, &mut scratch[..count]);
                    }
                }
                Ok(_) => self.origin_ended(exchange, false),
                Err(Trouble::WouldBlock) => {
                    origin.readable = false;
                    if ongoing.write_broke && ongoing.core.stage == Stage::Sent {
                        self.attempt_failed(exchange, OriginFault::WriteError);
                    }
                }
                Err(_) => self.origin_ended(exchange, true),
            }
            self.scratch = scratch;
        }
        if let Some(ongoing) = self.exchanges.get(exchange) {
            self.again.push(Token::Origin(ongoing.origin));
        }
    }

    /// Bytes of an answer's head, perhaps with what follows it.
    fn take_answer(&mut self, exchange: Key, fresh: &mut [u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        if ongoing.times.first_byte_us == 0 {
            ongoing.times.first_byte_us = self.now_us;
            let waited = self.now_us.saturating_sub(ongoing.times.sent_us);
            self.row.record(Histogram::FirstByte, waited);
        }
        let key = ongoing.origin;
        let Some(origin) = self.origins.get_mut(key) else { return };
        let mut head = self.answer_head.take().unwrap_or_default();
        if origin.input.is_empty() {
            let left = self.read_answer_heads(exchange, &mut head, fresh);
            if let (Some(left), Some(origin)) = (left, self.origins.get_mut(key)) {
                self.blocks.append(&mut origin.input, &fresh[left..]);
            }
        } else {
            let mut input = std::mem::take(&mut origin.input);
            input.extend_from_slice(fresh);
            let left = self.read_answer_heads(exchange, &mut head, &mut input);
            match (left, self.origins.get_mut(key)) {
                (Some(left), Some(origin)) => {
                    input.drain(..left);
                    origin.input = input;
                }
                _ => self.blocks.give(input),
            }
        }
        self.answer_head = Some(head);
    }

    /// Passes interim answers on until the final head. Returns where a partial head begins, if one is left.
    fn read_answer_heads(&mut self, exchange: Key, head: &mut ResponseHead, bytes: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let ongoing = self.exchanges.get_mut(exchange)?;
            match head.parse(&bytes[at..], &ongoing.plan.head_limits) {
                Ok(Parsed::Partial) => return Some(at),
                Err(fault) => {
                    self.answer_malformed(exchange, fault);
                    return None;
                }
                Ok(Parsed::Complete) => {}
            }
            let (head_bytes, rest) = bytes[at..].split_at_mut(head.len);
            match head.status {
                101 if ongoing.core.upgrade => {
                    self.begin_tunnel(exchange, head, head_bytes, rest);
                    return None;
                }
                101 => {
                    self.answer_malformed(exchange, WireFault::UpgradeUnasked);
                    return None;
                }
                100..=199 => {
                    if !self.pass_interim(exchange, head, head_bytes) {
                        return None;
                    }
                    at += head.len;
                }
                _ => {
                    self.begin_answer(exchange, head, head_bytes, rest);
                    return None;
                }
            }
        }
        None
    }

    /// RFC 9110 15.2: a proxy passes interim answers on, except to a client that cannot know them (1.0) and except a
    /// 100 that nobody waits for any more.
    fn pass_interim(&mut self, exchange: Key, head: &ResponseHead, bytes: &[u8]) -> bool {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return false };
        ongoing.interim += 1;
        if ongoing.interim > INTERIM_MAX {
            self.answer_malformed(exchange, WireFault::Surplus);
            return false;
        }
        let key = ongoing.client;
        let wanted = match (head.status, ongoing.core.expect) {
            (100, Continue::Awaited) => {
                ongoing.core.expect = Continue::Told;
                true
            }
            (100, _) => false,
            _ => true,
        };
        if !wanted || ongoing.core.version == Version::Http10 {
            return true;
        }
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        encode_interim(&mut out, bytes, head, true);
        self.row.one(Counter::Answers1xx);
        self.send_to_client(key, &[&out], false);
        self.out = out;
        self.arm_for_upload(exchange);
        true
    }

    /// The final head: its framing is settled and regenerated, and what came of the body goes with it.
    fn begin_answer(&mut self, exchange: Key, head: &ResponseHead, bytes: &[u8], rest: &mut [u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let plan = Rc::clone(&ongoing.plan);
        let framing = match decide_answer(bytes, head, ongoing.core.method) {
            Ok(framing) => framing,
            Err(fault) => {
                self.answer_malformed(exchange, fault);
                return;
            }
        };
        if head.status >= 400 && self.status_failed(exchange, head.status, retry_after_ms(bytes, head)) {
            return;
        }
        if self.is_too_large(exchange, &framing) {
            self.attempt_failed(exchange, OriginFault::AnswerTooLarge);
            return;
        }
        self.answer_is_usable(exchange, head, bytes);
        let may_keep = self.may_keep_client(exchange, head.status, &framing);
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let drain_bytes = plan.plan.limits.drain_bytes;
        let told = ongoing.core.handle_answer_head(head.status, &framing, may_keep, drain_bytes);
        ongoing.answer_keeps = framing.keep_alive;
        ongoing.keeps_ms = framing.keep_alive_timeout_s.map(closes_before_ms);
        ongoing.answer_chunked = told.body == AnswerBody::Chunked;
        ongoing.answer_until_close = told.body == AnswerBody::UntilClose;
        let taken = ongoing.core.take_download(rest, &plan.head_limits, &mut ongoing.answer_trailers);
        let http10 = ongoing.core.version == Version::Http10;
        let edits = match &plan.plan.routes[ongoing.route as usize].action {
            Action::Forward { answer_fields, .. } => answer_fields.as_slice(),
            Action::Answer { .. } | Action::Redirect { .. } => &[],
        };
        let stuck;
        let edits = match ongoing.sticky_edit() {
            None => edits,
            Some(edit) => {
                stuck = edits.iter().cloned().chain([edit]).collect::<Vec<FieldEdit>>();
                &stuck
            }
        };
        let date = self.log.date();
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        encode_answer(
            &mut out,
            bytes,
            head,
            &AnswerEncoding {
                body: told.body,
                length_told: framing.length_told,
                chunked_told: framing.chunked_told && !http10,
                close: told.close,
                keep_alive_http10: http10 && !told.close,
                upgrade: false,
                nominated: framing.options.nominated,
                via: plan.plan.forwarding.via.then_some(plan.plan.name.as_bytes()),
                received_version: head.version,
                edits,
                date: Some(&date),
            },
        );
        self.count_answer(head.status);
        self.pass_piece(exchange, out, rest, taken);
    }

    /// A usable head came: its target did well, and is known a little better.
    fn answer_is_usable(&mut self, exchange: Key, head: &ResponseHead, bytes: &[u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let plan = Rc::clone(&ongoing.plan);
        let target = &plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].shared;
        let waited_us = ongoing.times.first_byte_us.saturating_sub(ongoing.times.sent_us);
        let watched = ongoing.counted.is_some();
        // A challenge that authenticates the connection binds it to this client from here on (S4-11).
        let rule = ongoing.policy().connection_auth;
        let challenged = head.kinds.has(FieldKind::WwwAuthenticate) && rule != ConnectionAuth::Never;
        let challenge = || value_of(bytes, &head.fields, FieldKind::WwwAuthenticate);
        if challenged && ongoing.owner.is_none() && challenge().is_some_and(is_connection_scheme) {
            let client = self.clients.get_mut(ongoing.client);
            ongoing.owner = client.map(|client| {
                client.owns = true;
                client.number
            });
            self.bind(exchange);
            let bound = self.exchanges.get(exchange).map(|o| (o.origin, o.bound.clone()));
            if let Some((key, bound)) = bound {
                if let Some(origin) = self.origins.get_mut(key) {
                    origin.lease.bound = bound;
                }
            }
        }
        self.tally(target, watched.then_some(waited_us));
    }

    /// Squid's order of refusing a client the next request (S4-02), as far as the answer decides it.
    fn may_keep_client(&self, exchange: Key, status: u16, framing: &AnswerFraming) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange) else { return false };
        let errors = status < 400 || ongoing.plan.plan.persistence.after_errors;
        let owned = ongoing.owner.is_none() || framing.keep_alive;
        errors && owned && !self.draining && !self.scarce
    }

    fn is_too_large(&self, exchange: Key, framing: &AnswerFraming) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange) else { return false };
        let most = ongoing.policy().answer_body_bytes;
        matches!(framing.body, AnswerBody::Length(length) if most != 0 && length > most)
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
    fn pass_piece(&mut self, exchange: Key, mut out: Vec<u8>, bytes: &[u8], taken: Result<Piece, WireFault>) {
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
        self.tail.clear();
        if ongoing.answer_chunked {
            frame_chunk(&mut out, &mut self.tail, data, done, &ongoing.answer_trailers);
        }
        let last = done && (self.draining || !ongoing.core.keep_alive);
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
        match fault {
            Some(Cut::TooLarge) => {
                self.attempt_failed(exchange, OriginFault::AnswerTooLarge);
            }
            Some(Cut::Malformed(fault)) => self.answer_malformed(exchange, fault),
            None if done => self.finish(exchange),
            None => self.await_more(exchange, key, origin_key, data.len()),
        }
    }

    /// More of the answer is to come. For a client that leaves most of a piece in our hands, smaller ones are read.
    fn await_more(&mut self, exchange: Key, client: Key, origin: Key, passed: usize) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let left = self.clients.get(client).map_or(0, |c| c.outbox.len());
        if left > passed / 2 {
            ongoing.room = (ongoing.room / 2).max(ROOM_MIN);
        } else if left == 0 && (ongoing.room as usize) < SCRATCH_BYTES {
            ongoing.room *= 2;
        }
        if let Some(origin) = self.origins.get(origin) {
            self.wheel.arm(origin.timer, self.now_us / 1000 + ongoing.between_bytes_ms());
        }
    }

    /// The origin's end of the connection came, by FIN or by reset.
    fn origin_ended(&mut self, exchange: Key, reset: bool) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        if let Some(origin) = self.origins.get_mut(ongoing.origin) {
            origin.read_closed = true;
            origin.readable = false;
        }
        if ongoing.core.stage == Stage::Sent {
            let begun = self.origins.get(ongoing.origin).is_some_and(|o| !o.input.is_empty());
            let fault = match (begun, ongoing.write_broke, reset) {
                (true, _, _) => OriginFault::MalformedHeaders,
                (_, true, _) => OriginFault::WriteError,
                (_, _, true) => OriginFault::ResetBeforeHeaders,
                _ => OriginFault::EofBeforeHeaders,
            };
            self.attempt_failed(exchange, fault);
            return;
        }
        if reset || ongoing.core.download_at_eof() == AtEof::Truncated {
            self.attempt_failed(exchange, OriginFault::BodyTruncated);
            return;
        }
        let key = ongoing.client;
        if ongoing.answer_chunked {
            let last = !ongoing.core.keep_alive;
            self.send_to_client(key, &[b"0\r\n\r\n"], last);
        }
        ongoing_done(self.exchanges.get_mut(exchange));
        self.finish(exchange);
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
        self.row.one(Counter::AnswersBroken);
        let Some(ongoing) = self.end_exchange(exchange) else { return };
        let key = ongoing.client;
        if ongoing.answer_until_close {
            // Without a length a FIN would look like the end.
            self.reset_client(key, Counter::ClientCloseBroken);
        } else if self.clients.get(key).is_some_and(|c| c.state == ClientState::Exchange) {
            self.close_after_answer(key, Counter::ClientCloseBroken);
        }
        self.recycle(ongoing);
    }
}

/// An origin that says how long it keeps an idle connection is left before that time is over, so that the close is ours
/// and meets no request: a second before, or half the time of one that keeps for less than two.
fn closes_before_ms(keeps_s: u32) -> u32 {
    let keeps_ms = keeps_s.saturating_mul(1000);
    keeps_ms - (keeps_ms / 2).min(1000)
}

/// Why an answer ends before its end.
enum Cut {
    TooLarge,
    Malformed(WireFault),
}

/// How long Retry-After asks to wait, when it says so in seconds; its other form, a date, is left alone.
fn retry_after_ms(bytes: &[u8], head: &ResponseHead) -> Option<u64> {
    let value = value_of(bytes, &head.fields, FieldKind::RetryAfter)?;
    let seconds: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(seconds.saturating_mul(1000))
}

fn ongoing_done(ongoing: Option<&mut crate::exchange::Ongoing>) {
    if let Some(ongoing) = ongoing {
        ongoing.core.download = proto::exchange::Download::Done;
    }
}
