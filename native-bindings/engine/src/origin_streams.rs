//! Streams to targets that speak HTTP/2: how a request gets a place on a connection that others use too, how it waits for
//! one that is being opened, and what the end of a stream means. Whichever worker a request is on, its stream is opened
//! and read there; the connection's owner (`origin_sessions.rs`) moves the bytes.

use crate::forward::Found;
use crate::http2::bell::Bell;
use crate::http2::stream::{Broke, Stream};
use crate::http2::text;
use crate::io::{Io, Token};
use crate::link::Link;
use crate::origin::{Origin, OriginState, Place, Speaks};
use crate::outbox::{Outbox, frame_chunk};
use crate::pool::Lease;
use crate::shared_origin::{Lost, SharedOrigin, StreamPlace};
use crate::slab::Key;
use crate::stats::Counter;
use crate::streams::is_stream;
use crate::target::TargetShared;
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::fault::OriginFault;
use proto::http1::body::ChunkReader;
use proto::http1::framing::AnswerBody;
use proto::identity::Bound;
use proto::plan::{OriginHttp, ReusePolicy};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl<I: Io> Worker<I> {
    /// Settles whether a request may go over HTTP/2, and gives it a stream if one is free.
    pub(crate) fn take_stream(&mut self, exchange: Key, target: &Arc<TargetShared>) -> bool {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return false };
        let plan = Rc::clone(&ongoing.plan);
        let origin = &plan.origins[ongoing.origin_index as usize];
        // Authentication that is bound to a connection wants one of its own, and HTTP/1 (RFC 4559).
        ongoing.http1 |= ongoing.owner.is_some() || (ongoing.core.upgrade && !ongoing.websocket);
        ongoing.http1 &= target.identity.http != OriginHttp::Http2;
        let fresh = !ongoing.is_repeatable() && ongoing.policy().unrepeatable == ReusePolicy::Fresh;
        if ongoing.http1 || fresh || !origin.shares {
            return false;
        }
        let unused = !ongoing.is_repeatable() && ongoing.policy().unrepeatable == ReusePolicy::Standby;
        let (bound, websocket) = (ongoing.bound.as_deref(), ongoing.websocket);
        let fits = |target: &TargetShared, one: &SharedOrigin| {
            (!websocket || one.connects()) && (!unused || one.used() == 0) && is_bound_alike(target, one, bound)
        };
        let find = |target: &Arc<TargetShared>| {
            let taken = target.multiplexed.take_stream(self.index, |one| fits(target, one))?;
            Some((Arc::clone(target), taken))
        };
        let others = || {
            let kept = origin.targets.iter().filter(|t| origin.any_address && t.shared.state().keeps_connections());
            kept.map(|t| &t.shared).find_map(find)
        };
        let Some((target, (place, before))) = find(target).or_else(others) else { return false };
        self.promise(exchange, &target, place, before);
        true
    }

    /// What HTTP/2 has for a request: a stream, or somebody's connection to wait for. `None`: it has to get one as any other
    /// request has.
    pub(crate) fn seek_stream(&mut self, exchange: Key, target: &Arc<TargetShared>, fresh: bool) -> Option<Found> {
        if !fresh && self.take_stream(exchange, target) {
            return Some(Found::Connection);
        }
        if self.lacks_connect(exchange, target) {
            // HTTP/1 has its own way to a WebSocket, where that may be spoken.
            if target.identity.http == OriginHttp::Http2 {
                return Some(self.attempt_failed(exchange, OriginFault::ProtocolMismatch));
            }
            self.exchanges.get_mut(exchange)?.http1 = true;
        }
        let ongoing = self.exchanges.get_mut(exchange)?;
        if ongoing.websocket && target.identity.http == OriginHttp::Either {
            ongoing.http1 = true;
        }
        if fresh || !self.join_opening(exchange, target) {
            return None;
        }
        let has_stream = self.exchanges.get(exchange).is_some_and(|ongoing| ongoing.on_stream);
        Some(if has_stream { Found::Connection } else { Found::Later })
    }

    /// A new connection's first stream is for the request that it was opened for. Whether a WebSocket may be asked for, its
    /// target has yet to say.
    pub(crate) fn take_first_stream(&mut self, exchange: Key, shared: &Arc<SharedOrigin>) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.origin = Key::NONE;
        let target = Arc::clone(ongoing.target_shared());
        if ongoing.websocket {
            ongoing.joined = target.multiplexed.join(self.index, exchange, shared.bound.as_deref());
            if ongoing.joined.is_some() {
                self.await_opening(exchange);
            } else {
                self.attempt_failed(exchange, OriginFault::ProtocolMismatch);
            }
            return;
        }
        if let Some(before) = shared.take_stream() {
            self.promise(exchange, &target, StreamPlace(Arc::clone(shared)), before);
            self.send_held(exchange);
        }
    }

    /// Whether a WebSocket is asked of a target that has said it knows none over HTTP/2.
    pub(crate) fn lacks_connect(&self, exchange: Key, target: &TargetShared) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange).filter(|ongoing| ongoing.websocket) else { return false };
        let known = |one: &Arc<SharedOrigin>| one.is_ready() && one.bound.as_deref() == ongoing.bound.as_deref();
        target.multiplexed.all().iter().any(|one| known(one) && !one.connects())
    }

    /// Gives an exchange a place on a connection: a slot of its own, in which its stream is opened when it is sent.
    fn promise(&mut self, exchange: Key, target: &Arc<TargetShared>, place: StreamPlace, before: u64) {
        let ahead = before == 0 && place.0.ahead;
        if ahead {
            target.standby.fetch_sub(1, Relaxed);
        }
        let now_ms = self.now_ms();
        let bound = place.0.bound.clone();
        let lease =
            Lease { target: Arc::clone(target), opened_ms: now_ms, requests: before + 1, age_due_ms: NEVER, bound };
        let timer = self.wheel.add(0);
        let key = self.origins.insert(Origin {
            place: Place::Promised,
            state: OriginState::Active,
            exchange,
            lease,
            timer,
            outbox: Outbox::default(),
            input: Vec::new(),
            active_ms: now_ms,
            since_ms: 0,
            readable: false,
            read_closed: false,
            surplus: false,
            speaks: Speaks::Stream(place),
        });
        self.wheel.set_owner(timer, Token::Origin(key).pack());
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.origin = key;
            ongoing.on_stream = true;
            ongoing.core.reused = before > 0;
            if ahead {
                ongoing.why_new = Counter::NewStandby;
            }
        }
    }

    /// Opens the stream of an exchange with the head of its request, and what is here of the body.
    pub(crate) fn open_origin_stream(&mut self, exchange: Key, head: &[u8], data: &[u8]) {
        let now_ms = self.now_ms();
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let key = ongoing.origin;
        let Some(origin) = self.origins.get_mut(key) else { return };
        let Speaks::Stream(StreamPlace(shared)) = &origin.speaks else { return };
        let done = ongoing.core.upload_done() && !ongoing.is_replaying();
        let bare = done && data.is_empty() && ongoing.trailers.is_empty() && !ongoing.websocket;
        let scheme = if shared.https { "https" } else { "http" };
        let request = text::read_request(head, scheme, ongoing.websocket);
        let opened = request.and_then(|request| shared.open(request, bare).ok());
        let Some((response, send)) = opened else {
            // Nothing left, and whoever called is in the middle of something: the next pass says so.
            self.again.push(Token::Origin(key));
            return;
        };
        let bell = Bell::new(&self.host.rungs[self.index as usize]);
        bell.set_name(Token::Origin(key));
        let mut stream = Stream::to_origin(Key::NONE, bell, response, send);
        stream.connect = ongoing.websocket;
        if stream.connect {
            stream.accept = text::websocket_accept(head);
        }
        if bare {
            stream.end_sent();
        }
        origin.place = Place::Held(Link::on_stream(stream));
        // It has to be asked once before its bell rings.
        origin.readable = true;
        origin.active_ms = now_ms;
        self.again.push(Token::Origin(key));
        ongoing.core.sent_any = true;
        ongoing.bytes_sent += head.len() as u64;
        self.wheel.arm(origin.timer, now_ms + ongoing.first_byte_ms());
        self.row.one(Counter::OriginHttp2Streams);
        if !bare && !(data.is_empty() && (!done || ongoing.websocket)) {
            self.send_on_stream(exchange, data, done);
        }
    }

    /// Sends body bytes on the stream of an exchange; `done` ends the request, with its trailers.
    pub(crate) fn send_on_stream(&mut self, exchange: Key, data: &[u8], done: bool) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let key = ongoing.origin;
        let bare = ongoing.trailers.is_empty();
        let Some(Place::Held(link)) = self.origins.get_mut(key).map(|origin| &mut origin.place) else { return };
        let Some(stream) = link.stream_mut() else { return };
        if done {
            stream.end_with(&ongoing.trailers);
        }
        if !data.is_empty() {
            ongoing.bytes_sent += data.len() as u64;
            self.send_to_origin_ending(exchange, &[data], done && bare);
        }
        let Some(origin) = self.origins.get_mut(key).filter(|origin| origin.outbox.is_empty()) else { return };
        if let Place::Held(link) = &mut origin.place {
            if let Some(stream) = link.stream_mut() {
                stream.finish();
            }
        }
    }

    /// A bell rang for a stream: something came on it, or its window grew.
    pub(crate) fn origin_stream_rang(&mut self, key: Key) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let Place::Held(link) = &mut origin.place else { return };
        let Some(stream) = link.stream_mut() else { return };
        stream.bell.hush();
        origin.readable = true;
        if !origin.outbox.is_empty() && !self.flush_origin(key) {
            return;
        }
        self.origin_go(key);
    }

    /// The stream of an exchange could not be opened: its connection takes no more.
    pub(crate) fn stream_refused(&mut self, exchange: Key) {
        if self.exchanges.get(exchange).is_some_and(|ongoing| ongoing.core.stage == Stage::Sent) {
            self.row.one(Counter::OriginHttp2Unprocessed);
            self.attempt_failed(exchange, OriginFault::Unprocessed);
        }
    }

    /// Whether the stream of an exchange has ended and brought nothing but what was read of it. A head that ends its stream
    /// must end ours, too: gRPC's statuses without a message are told by that.
    pub(crate) fn stream_is_over(&self, exchange: Key, body: AnswerBody) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange).filter(|ongoing| ongoing.on_stream) else { return false };
        let Some(Place::Held(link)) = self.origins.get(ongoing.origin).map(|origin| &origin.place) else {
            return false;
        };
        let over = link.stream().is_some_and(|stream| stream.has_ended() && stream.trailers.is_empty());
        over && ongoing.core.upload_done() && !matches!(body, AnswerBody::Length(1..))
    }

    /// The stream said that the answer is over: complete, with its trailers.
    pub(crate) fn answer_ended(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let Some(origin) = self.origins.get_mut(ongoing.origin) else { return };
        origin.readable = false;
        let Place::Held(link) = &mut origin.place else { return };
        let mut last = link.stream_mut().map(|stream| std::mem::take(&mut stream.trailers)).unwrap_or_default();
        let plan = Rc::clone(&ongoing.plan);
        if !last.is_empty() {
            let read = ChunkReader::new().decode(&mut last, &plan.head_limits, &mut ongoing.answer_trailers);
            if let Err(fault) = read {
                self.answer_malformed(exchange, fault);
                return;
            }
        }
        let key = ongoing.client;
        let trailers = std::mem::take(&mut ongoing.answer_trailers);
        if is_stream(&self.clients, key) {
            self.answer_on_stream(key, &[], &[], true, &trailers);
        } else if ongoing.answer_chunked {
            let last = (self.draining && !self.idle_stays) || !ongoing.core.keep_alive;
            let (mut out, mut tail) = (Vec::new(), Vec::new());
            frame_chunk(&mut out, &mut tail, &[], true, &trailers);
            self.send_to_client(key, &[&tail], last);
        }
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.core.complete_download();
        }
        self.finish(exchange);
    }

    /// The stream broke, alone or with its connection.
    pub(crate) fn stream_broke(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let Some(origin) = self.origins.get_mut(ongoing.origin) else { return };
        origin.readable = false;
        let (Speaks::Stream(place), Place::Held(link)) = (&origin.speaks, &origin.place) else { return };
        let Some(stream) = link.stream() else { return };
        let begun = ongoing.core.stage != Stage::Sent;
        let complete = begun && place.0.take_complete(stream.id);
        let short = matches!(ongoing.core.answer_body, AnswerBody::Length(told) if ongoing.core.download_bytes < told);
        let said_so = stream.broke == Some(Broke::Answered) && !short;
        if complete || begun && said_so {
            // It was answered whole, and its target wants no more of the request. Node.js says so before the end of the stream
            // when nobody has read the request; where a length was told, that decides.
            self.answer_ended(exchange);
            return;
        }
        let lost = place.0.lost();
        let broke = match stream.broke {
            Some(Broke::Lost | Broke::Malformed) if lost != Lost::Mismatch && place.0.never_left(stream.id) => {
                Broke::Unprocessed
            }
            broke => broke.unwrap_or(Broke::Reset),
        };
        let fault = match (broke, begun, lost) {
            (Broke::Malformed, true, _) => OriginFault::BodyMalformed,
            (_, true, _) => OriginFault::BodyTruncated,
            (Broke::Unprocessed | Broke::Http1, false, _) => OriginFault::Unprocessed,
            (_, false, Lost::Mismatch) => OriginFault::ProtocolMismatch,
            (_, false, Lost::TurnedAway) => OriginFault::TlsAlert,
            (Broke::Malformed, false, _) => OriginFault::MalformedHeaders,
            (Broke::Lost, false, Lost::Closed) => OriginFault::EofBeforeHeaders,
            (Broke::Lost | Broke::Reset | Broke::Answered, false, _) => OriginFault::ResetBeforeHeaders,
        };
        if broke == Broke::Http1 {
            // RFC 9113 7: what the target asks for instead.
            ongoing.http1 = true;
        }
        if fault == OriginFault::Unprocessed {
            self.row.one(Counter::OriginHttp2Unprocessed);
        }
        self.attempt_failed(exchange, fault);
    }
}

/// Whether a connection is one that a request may be put on: opened for the same, or, where only the name it was asked for
/// differs, with a certificate that is good for the new name as well (S0-10).
fn is_bound_alike(target: &TargetShared, one: &SharedOrigin, wanted: Option<&Bound>) -> bool {
    let known = one.bound.as_deref();
    if known == wanted {
        return true;
    }
    let (Some(known), Some(wanted)) = (known, wanted) else { return false };
    let (Some(first), Some(name)) = (known.sni.as_deref(), wanted.sni.as_deref()) else { return false };
    let (Some(tls), Some(certificate)) = (target.tls.get(), &one.certificate) else { return false };
    known.host == wanted.host
        && known.owner == wanted.owner
        && !first.is_empty()
        && !name.is_empty()
        && tls.is_good_for(certificate, name)
}
