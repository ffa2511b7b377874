//! A connection to a target: its opening, and what an attempt on it comes to. Its rest in the pool is `resting.rs`.
//!
//! ```text
//! state       promises                                            left for
//! CONNECTING  `exchange` waits for it                             HANDSHAKE (TLS), ACTIVE, MULTIPLEXED, closed (fault)
//! HANDSHAKE   `exchange` waits for it                             ACTIVE, MULTIPLEXED, closed (fault)
//! ACTIVE      `exchange` runs on it, nobody else may              RESTING, TUNNEL, closed
//! RESTING     it lies in the pool; this slot only hears events    ACTIVE, closed, stolen (slot freed later)
//! TUNNEL      bytes pass both ways under `exchange`               closed
//! MULTIPLEXED a session of HTTP/2 owns it; its streams have       closed
//!             slots of their own, on whichever worker
//! ```
//! A stream's slot is ACTIVE from its first moment, then at most TUNNEL; it is no connection, and is counted as none.

use crate::http2::outgoing::Outgoing;
use crate::io::{Io, Ready, Token, Trouble};
use crate::link::Link;
use crate::origin_openings::Version;
use crate::outbox::Outbox;
use crate::pool::Lease;
use crate::shared_origin::{Opened, Opening, StreamPlace};
use crate::slab::Key;
use crate::stats::{Counter, Histogram};
use crate::tls::TlsTrouble;
use crate::wheel::{NEVER, TimerId};
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::fault::OriginFault;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Where an origin's connection is; the map is above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OriginState {
    Connecting,
    Handshake,
    Active,
    Resting,
    Tunnel,
    Multiplexed,
}

/// Where the socket is.
pub enum Place<S> {
    Held(Link<S>),
    /// In the worker's pool shard, under this key.
    Pool(Key),
    /// A stream that has its place on a connection and is not opened yet.
    Promised,
}

/// What is spoken on a connection, as far as it is known.
pub enum Speaks {
    Http1,
    /// Its handshake will tell, or nobody asks (prior knowledge); those who wait to hear.
    Asking(Arc<Opening>),
    Http2(Box<Outgoing>),
    /// It is a stream with a place on such a connection.
    Stream(StreamPlace),
}

/// An origin's connection as the worker that watches it holds it.
pub struct Origin<S> {
    pub place: Place<S>,
    pub state: OriginState,
    pub exchange: Key,
    pub lease: Lease,
    pub timer: TimerId,
    pub outbox: Outbox,
    /// A partial answer head.
    pub input: Vec<u8>,
    /// When bytes last passed in either direction.
    pub active_ms: u64,
    pub readable: bool,
    pub read_closed: bool,
    /// Bytes came beyond the answer.
    pub surplus: bool,
    /// When it came to rest.
    pub since_ms: u64,
    pub speaks: Speaks,
}

impl<S> Origin<S> {
    /// Bytes of the application lie opened and unread.
    pub(crate) fn holds_plain(&self) -> bool {
        match &self.place {
            Place::Held(link) => link.tls.as_ref().is_some_and(|session| session.has_plain()),
            Place::Pool(_) | Place::Promised => false,
        }
    }

    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.speaks, Speaks::Stream(_))
    }

    #[must_use]
    pub fn session(&mut self) -> Option<&mut Outgoing> {
        match &mut self.speaks {
            Speaks::Http2(session) => Some(session),
            _ => None,
        }
    }
}

/// The fault a failed `connect` is.
#[must_use]
pub fn connect_fault(trouble: Trouble) -> OriginFault {
    match trouble {
        Trouble::Refused | Trouble::Reset => OriginFault::ConnectRefused,
        Trouble::Unreachable => OriginFault::ConnectUnreachable,
        Trouble::TimedOut => OriginFault::ConnectTimeout,
        Trouble::Local(_) | Trouble::WouldBlock | Trouble::Cut | Trouble::Tls => OriginFault::LocalResource,
    }
}

impl<I: Io> Worker<I> {
    pub(crate) fn origin_ready(&mut self, key: Key, event: &Ready) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        origin.readable |= event.readable || event.read_closed || event.dead;
        origin.read_closed |= event.read_closed;
        if let Place::Held(link) = &mut origin.place {
            link.handle_event(event);
        }
        match origin.state {
            OriginState::Connecting if event.writable || event.dead => self.connection_settled(key),
            OriginState::Connecting => {}
            OriginState::Handshake => {
                if !event.writable || origin.outbox.is_empty() || self.flush_handshake(key) {
                    self.shake_origin(key);
                }
            }
            // A resting connection has nothing to say: whatever it says, it is of no more use (S0-13).
            OriginState::Resting if event.read_closed || event.dead => self.left_by_origin(key),
            OriginState::Resting if event.readable => self.look_at_resting(key),
            OriginState::Resting => {}
            OriginState::Multiplexed => self.session_ready(key, event),
            OriginState::Active | OriginState::Tunnel => {
                if event.writable && !origin.outbox.is_empty() && !self.flush_origin(key) {
                    return;
                }
                self.origin_go(key);
            }
        }
    }

    /// Goes on with what the connection has to do.
    pub(crate) fn origin_go(&mut self, key: Key) {
        let Some(origin) = self.origins.get(key) else { return };
        let (state, exchange) = (origin.state, origin.exchange);
        match state {
            OriginState::Active if matches!(origin.place, Place::Promised) => self.stream_refused(exchange),
            OriginState::Active => self.download_go(exchange),
            OriginState::Tunnel => self.tunnel_go(exchange),
            OriginState::Multiplexed => self.read_session(key),
            OriginState::Connecting | OriginState::Handshake | OriginState::Resting => {}
        }
    }

    fn connection_settled(&mut self, key: Key) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let Place::Held(link) = &origin.place else { return };
        let exchange = origin.exchange;
        if let Err(trouble) = link.connect_result(&mut self.io) {
            // The slot goes before the exchange decides: its next attempt may take that slot.
            if let Some(ongoing) = self.exchanges.get_mut(exchange) {
                ongoing.origin = Key::NONE;
            }
            let fault = connect_fault(trouble);
            self.opening_failed(key, fault);
            self.end_connecting(key);
            self.attempt_failed(exchange, fault);
            return;
        }
        if self.secure_origin(key) {
            self.origin_established(key);
        } else if self.origins.get(key).is_some_and(|origin| origin.read_closed) {
            // It ended with the event that told of the connection, and no event tells of that again.
            self.shake_origin(key);
        }
    }

    /// The connection can carry requests from here on.
    pub(crate) fn origin_established(&mut self, key: Key) {
        let version = self.settle_version(key);
        if version == Version::Other {
            self.version_refused(key);
            return;
        }
        let Some(origin) = self.origins.get_mut(key) else { return };
        let exchange = origin.exchange;
        origin.state = OriginState::Active;
        self.row.one(Counter::OriginOpened);
        self.row.one(Counter::OriginOpen);
        let began = self.exchanges.get(exchange).map_or(self.now_us, |o| o.times.connect_us);
        self.row.record(Histogram::Connect, self.now_us.saturating_sub(began));
        // What came with the handshake was said before anything was asked: whatever it looks like, it is no answer.
        let spoke = self.origins.get(key).is_some_and(Origin::holds_plain);
        match (exchange.is_none(), spoke) {
            // (In HTTP/2 it is its SETTINGS.)
            _ if version == Version::Http2 => self.begin_session(key),
            (false, false) => self.send_held(exchange),
            (false, true) => {
                self.attempt_failed(exchange, OriginFault::WriteError);
            }
            (true, false) => self.rest_standby(key),
            (true, true) => self.close_origin(key, Counter::OriginCloseStray),
        }
    }

    /// A connection that never came to be is taken off the books.
    pub(crate) fn end_connecting(&mut self, key: Key) {
        self.settle_opening(key, Opened::Again);
        let Some(mut origin) = self.origins.remove(key) else { return };
        self.wheel.remove(origin.timer);
        self.blocks.release(&mut origin.input);
        origin.outbox.clear(&mut self.blocks);
        if let Place::Held(link) = origin.place {
            link.close(&mut self.io, &mut self.blocks);
        }
        self.row.one(Counter::OriginConnectFailed);
        if origin.lease.requests == 0 {
            origin.lease.target.standby.fetch_sub(1, Relaxed);
        }
        self.host.pool.give_up_place(&origin.lease.target);
        self.call_waiters(&origin.lease.target);
    }

    /// Writes what waits for the origin. Returns false when the attempt ended by it.
    pub(crate) fn flush_origin(&mut self, key: Key) -> bool {
        let Some(origin) = self.origins.get_mut(key) else { return false };
        let Place::Held(link) = &mut origin.place else { return false };
        let exchange = origin.exchange;
        let flushed = origin.outbox.flush(&mut self.io, link, &mut self.blocks);
        // Before an error the kernel may have taken some.
        let sent = flushed.as_ref().map_or(true, |flushed| flushed.taken > 0);
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.core.sent_any |= sent;
        }
        match flushed {
            Ok(flushed) => {
                origin.active_ms = self.now_us / 1000;
                let drained = origin.outbox.is_empty();
                self.row.add(Counter::OriginBytesOut, flushed.uncounted as u64);
                if drained {
                    self.propagate_fin(exchange);
                    self.upload_go(exchange);
                }
                self.origins.get(key).is_some()
            }
            Err(_) => {
                // The request cannot be sent whole; what the origin answered before it stopped reading may be here.
                origin.outbox.clear(&mut self.blocks);
                self.write_broke(exchange);
                self.origins.get(key).is_some()
            }
        }
    }

    /// Writes words of a handshake that had to wait. Returns false when it failed by that.
    fn flush_handshake(&mut self, key: Key) -> bool {
        let Some(origin) = self.origins.get_mut(key) else { return false };
        let Place::Held(link) = &mut origin.place else { return false };
        if origin.outbox.flush(&mut self.io, link, &mut self.blocks).is_err() {
            self.origin_handshake_failed(key, &TlsTrouble::Eof);
            return false;
        }
        true
    }

    /// Gives request bytes to the origin's socket, or to its outbox.
    pub(crate) fn send_to_origin(&mut self, exchange: Key, parts: &[&[u8]]) {
        self.send_to_origin_ending(exchange, parts, false);
    }

    /// As `send_to_origin`; `last`: nothing of the request follows, and a stream can say so with these bytes.
    pub(crate) fn send_to_origin_ending(&mut self, exchange: Key, parts: &[&[u8]], last: bool) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let key = ongoing.origin;
        let Some(origin) = self.origins.get_mut(key) else { return };
        let Place::Held(link) = &mut origin.place else { return };
        let now_ms = self.now_us / 1000;
        origin.active_ms = now_ms;
        match origin.outbox.send(&mut self.io, link, &mut self.blocks, parts, last) {
            Ok(sent) => {
                ongoing.core.sent_any |= sent.taken > 0;
                ongoing.bytes_sent += sent.uncounted as u64;
                self.row.add(Counter::OriginBytesOut, sent.uncounted as u64);
                if ongoing.core.stage == Stage::Sent {
                    self.wheel.arm(origin.timer, now_ms + ongoing.first_byte_ms());
                }
            }
            Err(_) => self.write_broke(exchange),
        }
    }

    /// The origin takes no more of the request. It may have answered all the same (RFC 9112 9.5), so its side is read
    /// to the end before anything is decided; nothing more of the body is sent.
    fn write_broke(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.write_broke = true;
        if let Some(origin) = self.origins.get_mut(ongoing.origin) {
            origin.readable = true;
            self.again.push(Token::Origin(ongoing.origin));
        }
    }

    pub(crate) fn origin_due(&mut self, key: Key) {
        let Some(origin) = self.origins.get(key) else { return };
        let exchange = origin.exchange;
        match origin.state {
            OriginState::Multiplexed => self.origin_session_due(key),
            OriginState::Connecting => {
                self.opening_failed(key, OriginFault::ConnectTimeout);
                self.forget_connecting(key);
                self.attempt_failed(exchange, OriginFault::ConnectTimeout);
            }
            OriginState::Handshake => self.origin_handshake_failed(key, &TlsTrouble::Timeout),
            OriginState::Active => self.answer_due(exchange),
            OriginState::Tunnel => {}
            OriginState::Resting => {
                let Place::Pool(place) = &origin.place else { return };
                match self.host.pool.expiry_ms(self.index, *place) {
                    Some(expires_ms) if expires_ms <= self.now_ms() => {
                        let aged = origin.lease.age_due_ms <= self.now_ms();
                        let why = if aged { Counter::OriginCloseAge } else { Counter::OriginCloseIdle };
                        self.evict_resting(key, why);
                    }
                    Some(expires_ms) => self.wheel.arm(origin.timer, expires_ms),
                    None => {}
                }
            }
        }
    }

    /// As `end_connecting`, for an exchange that goes on without the connection.
    pub(crate) fn forget_connecting(&mut self, key: Key) {
        if let Some(ongoing) = self.origins.get(key).and_then(|o| self.exchanges.get_mut(o.exchange)) {
            ongoing.origin = Key::NONE;
        }
        self.end_connecting(key);
    }

    /// Ends a connection this worker holds.
    pub(crate) fn close_origin(&mut self, key: Key, why: Counter) {
        let Some(origin) = self.origins.get(key) else { return };
        match origin.state {
            OriginState::Connecting | OriginState::Handshake => self.end_connecting(key),
            OriginState::Resting => {
                self.evict_resting(key, why);
            }
            OriginState::Multiplexed => self.end_origin_session(key, why),
            OriginState::Active | OriginState::Tunnel => {
                let Some(mut origin) = self.origins.remove(key) else { return };
                self.wheel.arm(origin.timer, NEVER);
                self.wheel.remove(origin.timer);
                self.blocks.release(&mut origin.input);
                if !origin.is_stream() {
                    self.count_origin_closed(&origin.lease, why);
                }
                let target = origin.is_stream().then(|| Arc::clone(&origin.lease.target));
                let unsent = !origin.outbox.is_empty();
                origin.outbox.clear(&mut self.blocks);
                if let Place::Held(mut link) = origin.place {
                    if unsent {
                        link.break_off();
                    }
                    link.close(&mut self.io, &mut self.blocks);
                }
                if let Some(target) = target {
                    // The place of a stream is free; whoever waits for one is called behind that.
                    drop(origin.speaks);
                    self.call_waiters(&target);
                }
            }
        }
    }

    /// One established connection less, for this reason; whoever waits for its place is called.
    pub(crate) fn count_origin_closed(&mut self, lease: &Lease, why: Counter) {
        self.row.less(Counter::OriginOpen);
        self.row.one(why);
        self.row.record(Histogram::OriginRequests, lease.requests);
        if lease.requests == 0 {
            lease.target.standby.fetch_sub(1, Relaxed);
        }
        self.host.pool.give_up_place(&lease.target);
        self.call_waiters(&lease.target);
    }
}
