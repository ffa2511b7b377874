//! Connections of clients that speak HTTP/2: bytes go to the session and come from it, requests become streams
//! (`streams.rs`), limits end the connection, and bells say what can go on. One connection's client slot is in the state
//! MULTIPLEXED for as long as its session lives; each of its streams has a slot of its own.

use crate::client::ClientState;
use crate::http2::session::{Next, Over, Session};
use crate::io::{Io, Token, Trouble};
use crate::slab::Key;
use crate::stats::Counter;
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::http2::Limit;
use proto::http2::meter::PREFACE;
use proto::plan::Limits;
use std::sync::atomic::Ordering::Relaxed;

/// Reads of one connection in one pass; the others are looked at before it goes on.
const READS_MAX: u32 = 4;
/// How often the list of bells is walked in one pass: what one wakes may wake another.
const ROUNDS_MAX: u32 = 8;
/// What ALPN calls HTTP/2.
pub(crate) const ALPN: &[u8] = b"h2";

/// How far bytes are the preface that an HTTP/2 connection begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Greeting {
    Other,
    Partial,
    Http2,
}

pub(crate) fn greeting(bytes: &[u8]) -> Greeting {
    match bytes.len().min(PREFACE.len()) {
        seen if bytes[..seen] != PREFACE[..seen] => Greeting::Other,
        seen if seen < PREFACE.len() => Greeting::Partial,
        _ => Greeting::Http2,
    }
}

/// Longest header list that is read (RFC 9113 6.5.2: each field counts 32 bytes more than its name and value). Twice what
/// a head may have, so that a head beyond its limit is refused by us, with an answer and a line in the log; the library
/// says no more than 431.
const fn list_bytes(limits: &Limits) -> u32 {
    2 * limits.head_bytes + 32 * limits.field_count
}

impl<I: Io> Worker<I> {
    /// A connection that turned out to speak HTTP/2. `bytes` are what came of it so far.
    pub(crate) fn begin_http2(&mut self, key: Key, bytes: &[u8]) {
        let now_ms = self.now_ms();
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.state == ClientState::Idle {
            self.row.less(Counter::ClientIdle);
        }
        client.state = ClientState::Multiplexed;
        let (plan, rung) = (&self.plan.plan, &self.rung);
        let token = Token::Client(key);
        let mut session = Box::new(Session::new(&plan.http2, list_bytes(&plan.limits), rung, token, now_ms));
        let passed = session.feed(bytes, now_ms);
        if self.draining || self.plan.is_gone(client.listener) {
            session.leave();
        }
        client.http2 = Some(session);
        self.row.one(Counter::Http2Opened);
        self.row.one(Counter::Http2Open);
        self.wheel.arm(client.timer, now_ms + u64::from(plan.timeouts.client_head_ms));
        self.count_limit(passed);
        self.drive(key);
    }

    /// Reads what came on a connection of HTTP/2, and goes on with it.
    pub(crate) fn read_frames(&mut self, key: Key) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let (mut passed, now_ms) = (None, self.now_ms());
        for _ in 0..READS_MAX {
            let Some(client) = self.clients.get_mut(key) else { break };
            let Some(session) = client.http2.as_mut() else { break };
            if !client.readable || passed.is_some() || session.wire.0.borrow().is_behind() {
                break;
            }
            match client.link.read(&mut self.io, &mut self.blocks, &mut client.outbox, &mut scratch) {
                Ok(count) if count > 0 => {
                    client.readable = client.link.may_hold_more(count, scratch.len()) || client.read_closed;
                    self.row.add(Counter::ClientBytesIn, count as u64);
                    passed = session.feed(&scratch[..count], now_ms);
                }
                Err(Trouble::WouldBlock) => client.readable = false,
                // Its FIN, with or without TLS's word, or a failure: streams that are not answered end with it.
                Ok(_) | Err(_) => {
                    client.readable = false;
                    session.end();
                }
            }
        }
        self.scratch = scratch;
        self.count_limit(passed);
        self.drive(key);
    }

    /// Lets the session go on, takes the requests it has, and sends what it has to say.
    pub(crate) fn drive(&mut self, key: Key) {
        let over = loop {
            let Some(session) = self.clients.get_mut(key).and_then(|client| client.http2.as_mut()) else { return };
            match session.go() {
                Next::Wait => break None,
                Next::Request(asked) => self.open_stream(key, *asked),
                Next::Over(over) => break Some(over),
            }
        };
        self.send_frames(key);
        match over {
            Some(over) => self.end_session(key, over),
            None => self.arm_session(key),
        }
    }

    /// Gives what the session wrote to the socket; the session waits while the socket takes nothing.
    fn send_frames(&mut self, key: Key) {
        let now_ms = self.now_ms();
        loop {
            let Some(client) = self.clients.get_mut(key) else { return };
            let Some(session) = client.http2.as_mut().filter(|_| client.outbox.is_empty()) else { return };
            let (output, passed) = session.take_output(now_ms);
            self.row.add(Counter::Http2Refused, session.take_refused());
            if output.is_empty() {
                return;
            }
            match client.outbox.send(&mut self.io, &mut client.link, &mut self.blocks, &[&output], false) {
                Ok(flushed) => self.row.add(Counter::ClientBytesOut, flushed.uncounted as u64),
                // The kernel reports a reset connection by an event, which ends the session in its turn.
                Err(_) => client.outbox.clear(&mut self.blocks),
            }
            if !client.outbox.is_empty() {
                let due = now_ms + u64::from(self.plan.plan.timeouts.client_write_ms);
                self.wheel.arm(client.timer, due);
            }
            session.wire.0.borrow_mut().take_back(output);
            self.count_limit(passed);
            // What it held back for want of room can go on.
            let Some(session) = self.clients.get_mut(key).and_then(|client| client.http2.as_mut()) else { return };
            match session.go() {
                Next::Wait => {}
                Next::Request(asked) => self.open_stream(key, *asked),
                // Its end is handled by whoever answers the bell.
                Next::Over(_) => session.bell.ring(),
            }
        }
    }

    /// The socket took all that waited for it: the session goes on, and with it the streams that waited.
    pub(crate) fn session_flushed(&mut self, key: Key) {
        self.drive(key);
        self.resume_streams(key);
    }

    /// What the connection waits for now.
    fn arm_session(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(session) = client.http2.as_mut() else { return };
        if client.readable && !session.wire.0.borrow().is_behind() {
            self.again.push(Token::Client(key));
        }
        let timeouts = &self.plan.plan.timeouts;
        let now_ms = self.now_us / 1000;
        match (session.awaits_head(), session.head_since_ms) {
            (true, None) => session.head_since_ms = Some(now_ms),
            (false, Some(_)) => session.head_since_ms = None,
            _ => {}
        }
        let due_ms = if !client.outbox.is_empty() {
            // Set when it began to wait, and whenever the socket takes something.
            return;
        } else if let Some(since_ms) = session.head_since_ms {
            since_ms + u64::from(timeouts.client_head_ms)
        } else if session.streams.is_empty() {
            session.wire.0.borrow_mut().rest();
            // Whatever comes meanwhile, PING and the like, is no use of the connection.
            *session.idle_since_ms.get_or_insert(now_ms) + u64::from(timeouts.client_idle_ms)
        } else {
            NEVER
        };
        self.wheel.arm(client.timer, due_ms);
    }

    /// The connection's timer ran out.
    pub(crate) fn session_due(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let blocked = !client.outbox.is_empty();
        let Some(session) = client.http2.as_mut().filter(|_| !blocked) else {
            self.reset_client(key, Counter::ClientCloseTimeout);
            return;
        };
        let why = match session.awaits_head() {
            true => Counter::ClientCloseTimeout,
            false => Counter::ClientCloseIdle,
        };
        session.shut();
        session.why = Some(why);
        self.drive(key);
    }

    /// The proxy stops, or the client's listener is gone: the client is told, and what it has asked is answered.
    pub(crate) fn drain_session(&mut self, key: Key) {
        if let Some(session) = self.clients.get_mut(key).and_then(|client| client.http2.as_mut()) {
            session.leave();
        }
    }

    /// The session is over: nothing more is read, its streams end, and the connection closes when all is sent.
    fn end_session(&mut self, key: Key, over: Over) {
        self.end_streams(key);
        let now_ms = self.now_ms();
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(mut session) = client.http2.take() else { return };
        // Its last word, GOAWAY mostly, may stand behind what the socket has still to take.
        let (last, _) = session.take_output(now_ms);
        if !last.is_empty() {
            match client.outbox.send(&mut self.io, &mut client.link, &mut self.blocks, &[&last], false) {
                Ok(flushed) => self.row.add(Counter::ClientBytesOut, flushed.uncounted as u64),
                Err(_) => client.outbox.clear(&mut self.blocks),
            }
        }
        self.row.less(Counter::Http2Open);
        if over == Over::Calm && session.meter.is_in_block() && !session.meter_calmed() {
            // The library has a limit of its own for the frames of a header block.
            self.row.one(Counter::Http2LimitContinuations);
        }
        client.state = ClientState::Head;
        let why = session.why.unwrap_or(match over {
            Over::Calm => Counter::ClientCloseHttp2Calm,
            Over::Broken => Counter::ClientCloseHttp2Error,
            Over::ByPeer => Counter::ClientCloseByClient,
            Over::Done if self.draining => Counter::ClientCloseDrain,
            Over::Done if session.leaving => Counter::ClientCloseNotKept,
            Over::Done => Counter::ClientCloseByClient,
        });
        self.close_after_answer(key, why);
    }

    /// The connection is gone, or about to be: whoever waits for an answer on it does so in vain.
    pub(crate) fn end_streams(&mut self, key: Key) {
        let Some(session) = self.clients.get_mut(key).and_then(|client| client.http2.as_mut()) else { return };
        let streams = std::mem::take(&mut session.streams);
        for stream in streams.into_values() {
            self.client_gone(stream);
        }
    }

    fn count_limit(&self, passed: Option<Limit>) {
        let Some(limit) = passed else { return };
        self.row.one(match limit {
            Limit::Resets => Counter::Http2LimitResets,
            Limit::OwnResets => Counter::Http2LimitOwnResets,
            Limit::Settings => Counter::Http2LimitSettings,
            Limit::Pings => Counter::Http2LimitPings,
            Limit::WindowUpdates => Counter::Http2LimitWindowUpdates,
            Limit::EmptyFrames => Counter::Http2LimitEmptyFrames,
            Limit::Priorities => Counter::Http2LimitPriorities,
            Limit::Continuations => Counter::Http2LimitContinuations,
        });
    }

    /// Goes on with the connections and streams whose bells rang: streams first, so that what they say leaves with
    /// their connection's next piece.
    #[inline]
    pub(crate) fn answer_bells(&mut self) {
        // Without HTTP/2 this is all it costs.
        if self.host.multiplexes.load(Relaxed) {
            self.rung.look();
            self.answer_rung();
            self.ring_others();
        } else if self.rung.any() {
            self.answer_rung();
        }
    }

    fn answer_rung(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.rung.any() {
                return;
            }
            let mut names = std::mem::take(&mut self.rang);
            self.rung.take(&mut names);
            for name in &names {
                match Token::unpack(*name) {
                    Token::Client(key) => self.stream_rang(key),
                    Token::Origin(key) => self.origin_stream_rang(key),
                    Token::Exchange(key) => {
                        self.cache_rang(key);
                        self.opening_settled(key, false);
                    }
                    _ => {}
                }
            }
            for name in names.drain(..) {
                match Token::unpack(name) {
                    Token::Client(key) => self.session_rang(key),
                    Token::Origin(key) => self.origin_session_rang(key),
                    _ => {}
                }
            }
            self.rang = names;
        }
        self.io.ring(self.index);
    }

    fn session_rang(&mut self, key: Key) {
        if let Some(session) = self.clients.get(key).and_then(|client| client.http2.as_ref()) {
            session.bell.hush();
            self.drive(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_known_by_every_byte_of_it() {
        assert_eq!(greeting(PREFACE), Greeting::Http2);
        assert_eq!(greeting(&[&PREFACE[..], b"more"].concat()), Greeting::Http2);
        for seen in 0..PREFACE.len() {
            assert_eq!(greeting(&PREFACE[..seen]), Greeting::Partial);
            let mut other = PREFACE.to_vec();
            other[seen] ^= 1;
            assert_eq!(greeting(&other), Greeting::Other);
        }
    }
}
