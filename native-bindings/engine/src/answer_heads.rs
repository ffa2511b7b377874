//! Reads answers' heads: interim ones are passed on, the final one is judged by the route's rules (retry, escalation,
//! size), its framing towards the client is settled anew, and what came of the body goes with it.

use crate::begin::offers_connection_scheme;
use crate::cached::answer::{Judged, Kept};
use crate::cached::told::fields;
use crate::exchange::Ongoing;
use crate::io::Io;
use crate::slab::Key;
use crate::stats::{Counter, Histogram};
use crate::worker::Worker;
use proto::exchange::{AnswerPlan, Continue, Piece};
use proto::fault::{OriginFault, WireFault};
use proto::http1::encode::{AnswerEncoding, CacheFields, encode_answer, encode_interim};
use proto::http1::fields::{FieldKind, eq_ignore_case, value_of};
use proto::http1::framing::{AnswerBody, AnswerFraming, decide_answer};
use proto::http1::head::{Field, Parsed, ResponseHead, Version};
use proto::plan::{Action, ConnectionAuth, FieldEdit, Plan};
use std::borrow::Cow;
use std::rc::Rc;

/// Interim answers passed on before an origin is taken for broken.
const INTERIM_MAX: u8 = 32;

impl<I: Io> Worker<I> {
    /// Bytes of an answer's head, perhaps with what follows it.
    pub(crate) fn take_answer(&mut self, exchange: Key, fresh: &mut [u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        if !ongoing.core.sent_any {
            // What came before the first byte of the request left is no answer to it, whatever it looks like.
            self.attempt_failed(exchange, OriginFault::WriteError);
            return;
        }
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
            let (asked, client) = (ongoing.core.upgrade, ongoing.client);
            let (head_bytes, rest) = bytes[at..].split_at_mut(head.len);
            match head.status {
                101 if asked && self.switches_as_asked(client, head, head_bytes) => {
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

    /// Whether a switch goes where it was asked to go. To an extended CONNECT it is a WebSocket or nothing: the client
    /// would take anything else for one. Of HTTP/1, the client reads the answer's Upgrade itself.
    fn switches_as_asked(&self, client: Key, head: &ResponseHead, bytes: &[u8]) -> bool {
        let to_websocket = || {
            let upgrade = value_of(bytes, &head.fields, FieldKind::Upgrade);
            upgrade.is_some_and(|value| eq_ignore_case(value, b"websocket"))
        };
        !self.asked_to_connect(client) || to_websocket()
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
        self.send_interim(key, &out);
        self.out = out;
        self.arm_for_upload(exchange);
        true
    }

    /// The final head: its framing is settled and regenerated, and what came of the body goes with it.
    fn begin_answer(&mut self, exchange: Key, head: &ResponseHead, bytes: &[u8], rest: &mut [u8]) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let framing = match framing_of(bytes, head, ongoing) {
            Ok(framing) => framing,
            Err(fault) => {
                self.answer_malformed(exchange, fault);
                return;
            }
        };
        let (failures, client) = (ongoing.faults.count, ongoing.client);
        if ongoing.core.upgrade && (200..300).contains(&head.status) && self.asked_to_connect(client) {
            // To such a client 200 would say that its WebSocket is open (RFC 8441 5).
            self.answer_malformed(exchange, WireFault::UpgradeIgnored);
            return;
        }
        if head.status >= 400 && self.status_failed(exchange, head.status, retry_after_ms(bytes, head)) {
            return;
        }
        if self.is_too_large(exchange, &framing) {
            self.attempt_failed(exchange, OriginFault::AnswerTooLarge);
            return;
        }
        // A status that the route counts as a failure stays one when nothing can take its answer's place.
        let good = self.exchanges.get(exchange).is_some_and(|o| o.faults.count == failures);
        self.answer_is_usable(exchange, head, bytes, good);
        self.release_spool(exchange);
        let judged = match self.exchanges.get(exchange).is_some_and(|o| o.cached.is_some()) {
            true => self.judge_answer(exchange, head, bytes, &framing),
            false => Judged::Pass,
        };
        match judged {
            Judged::Pass => self.pass_answer(exchange, (head, bytes), rest, &framing, None),
            Judged::Keep(kept) => self.pass_answer(exchange, (head, bytes), rest, &framing, Some(kept)),
            Judged::AskAgain => self.ask_again(exchange),
            Judged::Instead(serve) => {
                let reader = if client == Key::NONE { Key::NONE } else { self.part(exchange) };
                self.throw_answer(exchange, head.status, rest, &framing);
                self.serve(reader, &serve);
            }
        }
    }

    /// The client gets the answer; if it is kept, what came of its content goes there too.
    fn pass_answer(
        &mut self,
        exchange: Key,
        (head, bytes): (&ResponseHead, &[u8]),
        rest: &mut [u8],
        framing: &AnswerFraming,
        kept: Option<Kept>,
    ) {
        let may_keep = self.may_keep_client(exchange, head.status, framing);
        let Some((told, taken)) = self.settle_answer(exchange, head.status, rest, framing, may_keep) else { return };
        // What is here whole is kept before anything is told of it.
        let kept = match (kept, &taken) {
            (Some(kept), Ok(piece)) if piece.done && !kept.recut => {
                self.keep_whole(exchange, kept, &rest[piece.data.clone()]);
                None
            }
            (kept, _) => kept,
        };
        let told_by_cache = self.told_of(exchange);
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let (plan, client) = (Rc::clone(&ongoing.plan), ongoing.client);
        ongoing.promise_broken = framing.promise_broken;
        if framing.promise_broken {
            self.log.promise_broken(ongoing);
        }
        ongoing.answer_chunked = told.body == AnswerBody::Chunked;
        ongoing.answer_until_close = told.body == AnswerBody::UntilClose;
        let http10 = ongoing.core.version == Version::Http10;
        let on_stream = ongoing.on_stream;
        let date = self.log.date();
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let hsts = self.hsts_for(client, &plan);
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let edits = answer_edits(ongoing);
        let cached = match (&ongoing.cached, ongoing.cache_policy()) {
            (Some(side), Some(policy)) => fields(policy, side.decision, None, told_by_cache.as_bytes()),
            _ => CacheFields::default(),
        };
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
                nominated: framing.options.nominated,
                edits: &edits,
                date: Some(&date),
                hsts: hsts.as_bytes(),
                cached,
                ..plain_encoding(&plan.plan, head, on_stream)
            },
        );
        if client != Key::NONE {
            self.count_answer(head.status);
        }
        match kept {
            Some(kept) if taken.is_ok() => self.begin_fill(exchange, kept, out, rest, taken),
            _ => self.pass_piece(exchange, out, rest, taken),
        }
    }

    /// Settles where the answer ends, on both sides, and takes what came of it with its head.
    fn settle_answer(
        &mut self,
        exchange: Key,
        status: u16,
        rest: &mut [u8],
        framing: &AnswerFraming,
        may_keep: bool,
    ) -> Option<(AnswerPlan, Result<Piece, WireFault>)> {
        let over = rest.is_empty() && self.stream_is_over(exchange, framing.body);
        let ongoing = self.exchanges.get_mut(exchange)?;
        let plan = Rc::clone(&ongoing.plan);
        let told = ongoing.core.handle_answer_head(status, framing, may_keep, plan.plan.limits.drain_bytes);
        if ongoing.on_stream {
            ongoing.core.end_by_stream(over);
        }
        ongoing.answer_keeps = framing.keep_alive;
        ongoing.keeps_ms = framing.keep_alive_timeout_s.map(closes_before_ms);
        let taken = ongoing.core.take_download(rest, &plan.head_limits, &mut ongoing.answer_trailers);
        Some((told, taken))
    }

    /// Nobody gets this answer: what is stored took its place. Its connection may be of use still.
    fn throw_answer(&mut self, exchange: Key, status: u16, rest: &mut [u8], framing: &AnswerFraming) {
        let Some((_, taken)) = self.settle_answer(exchange, status, rest, framing, false) else { return };
        let out = std::mem::take(&mut self.out);
        self.pass_piece(exchange, out, rest, taken);
    }

    /// A usable head came: its target did well if the answer is `good`, and is known a little better.
    fn answer_is_usable(&mut self, exchange: Key, head: &ResponseHead, bytes: &[u8], good: bool) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let plan = Rc::clone(&ongoing.plan);
        let target = &plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].shared;
        let waited_us = ongoing.times.first_byte_us.saturating_sub(ongoing.times.sent_us);
        let watched = ongoing.counted.is_some();
        // A challenge that authenticates the connection binds it to this client from here on (S4-11).
        let rule = ongoing.policy().connection_auth;
        let challenged = head.kinds.has(FieldKind::WwwAuthenticate) && rule != ConnectionAuth::Never;
        let binds = |f: &Field| f.kind == FieldKind::WwwAuthenticate && offers_connection_scheme(f.value.of(bytes));
        if challenged && ongoing.owner.is_none() && head.fields.iter().any(binds) {
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
        if good {
            self.tally(target, watched.then_some(waited_us));
        }
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
}

/// How the answer is framed; on a stream the stream says where it ends, which is no promise of its connection's.
#[inline]
fn framing_of(bytes: &[u8], head: &ResponseHead, ongoing: &Ongoing) -> Result<AnswerFraming, WireFault> {
    let mut decided = decide_answer(bytes, head, ongoing.core.method);
    if let (true, Ok(framing)) = (ongoing.on_stream, &mut decided) {
        (framing.keep_alive, framing.promise_broken, framing.keep_alive_timeout_s) = (true, false, None);
    }
    decided
}

/// What the route changes in an answer's fields, and the cookie that brings its client back.
fn answer_edits(ongoing: &Ongoing) -> Cow<'_, [FieldEdit]> {
    let edits = match &ongoing.plan.plan.routes[ongoing.route as usize].action {
        Action::Forward { answer_fields, .. } => answer_fields.as_slice(),
        Action::Answer { .. } | Action::Redirect { .. } => &[],
    };
    match ongoing.sticky_edit() {
        None => Cow::Borrowed(edits),
        Some(edit) => edits.iter().cloned().chain([edit]).collect(),
    }
}

/// What every answer of an origin is passed on with: no body, nothing about the connection, our name on its way.
pub(crate) fn plain_encoding<'a>(plan: &'a Plan, head: &ResponseHead, on_stream: bool) -> AnswerEncoding<'a> {
    AnswerEncoding {
        via: plan.forwarding.via.then_some(plan.name.as_bytes()),
        received_version: if on_stream { Version::Http2 } else { head.version },
        ..AnswerEncoding::default()
    }
}

/// How long Retry-After asks to wait, when it says so in seconds; its other form, a date, is left alone.
fn retry_after_ms(bytes: &[u8], head: &ResponseHead) -> Option<u64> {
    let value = value_of(bytes, &head.fields, FieldKind::RetryAfter)?;
    let seconds: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(seconds.saturating_mul(1000))
}

/// An origin that says how long it keeps an idle connection is left before that time is over, so that the close is ours
/// and meets no request: a second before, or half the time of one that keeps for less than two.
fn closes_before_ms(keeps_s: u32) -> u32 {
    let keeps_ms = keeps_s.saturating_mul(1000);
    keeps_ms - (keeps_ms / 2).min(1000)
}
