//! Connections to targets that speak HTTP/2, as the worker that owns one drives it: bytes go to the session and come from
//! it, bells say what can go on, and a connection without streams rests here until its time is over. Its streams are
//! `origin_streams.rs`.

use crate::http2::outgoing::{Outgoing, Over};
use crate::io::{Io, Ready, Token, Trouble};
use crate::origin::{OriginState, Place, Speaks};
use crate::shared_origin::{Lost, Opened, SharedOrigin};
use crate::slab::Key;
use crate::stats::Counter;
use crate::tls::TlsTrouble;
use crate::worker::Worker;
use std::sync::Arc;

/// Reads of one connection in one pass; the others are looked at before it goes on.
const READS_MAX: u32 = 4;

impl<I: Io> Worker<I> {
    /// An established connection speaks HTTP/2: it gets a session, and the request it was opened for its first stream.
    pub(crate) fn begin_session(&mut self, key: Key) {
        let (now_ms, plan) = (self.now_ms(), std::rc::Rc::clone(&self.plan));
        let Some(origin) = self.origins.get_mut(key) else { return };
        let target = Arc::clone(&origin.lease.target);
        let exchange = std::mem::replace(&mut origin.exchange, Key::NONE);
        let Place::Held(link) = &origin.place else { return };
        let asked = plan.origin_named(&target.identity.origin);
        let shares = asked.is_none_or(|origin| proto::identity::is_shared(&origin.match_on));
        let used_max = if shares { asked.map_or(0, |origin| origin.requests) } else { 1 };
        let share = |bell, handle| {
            let mut shared = SharedOrigin::new(self.index, bell, handle, used_max);
            shared.bound = origin.lease.bound.clone();
            shared.https = link.is_tls();
            shared.certificate = link.tls.as_ref().and_then(|tls| tls.peer_certificate().cloned());
            shared.ahead = origin.lease.requests == 0;
            shared
        };
        let rung = &self.host.rungs[self.index as usize];
        let (limits, token) = (&plan.plan.limits, Token::Origin(key));
        let made = Outgoing::new(&plan.plan.http2, limits.head_bytes, rung, token, now_ms, share);
        let Some(mut session) = made else { return };
        let shared = Arc::clone(&session.shared);
        if let Speaks::Asking(opening) = &origin.speaks {
            session.opening = Some(Arc::clone(opening));
        }
        (origin.state, origin.speaks) = (OriginState::Multiplexed, Speaks::Http2(Box::new(session)));
        let wait_ms = asked.map_or(0, |origin| origin.connect_ms);
        self.wheel.arm(origin.timer, now_ms + u64::from(wait_ms));
        self.row.one(Counter::OriginHttp2Opened);
        target.multiplexed.set_fell_back(false);
        self.take_first_stream(exchange, &shared);
        if shares {
            target.multiplexed.add(&shared);
        }
        if let Some(origin) = self.origins.get_mut(key) {
            origin.readable = true;
        }
        self.read_session(key);
    }

    /// Something happened on a session's socket.
    pub(crate) fn session_ready(&mut self, key: Key, event: &Ready) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        if event.writable && !origin.outbox.is_empty() {
            let Place::Held(link) = &mut origin.place else { return };
            match origin.outbox.flush(&mut self.io, link, &mut self.blocks) {
                Ok(flushed) => self.row.add(Counter::OriginBytesOut, flushed.uncounted as u64),
                // What is read says how it ended.
                Err(_) => origin.outbox.clear(&mut self.blocks),
            }
        }
        self.read_session(key);
    }

    /// Reads what came on a session's connection, and goes on with it.
    pub(crate) fn read_session(&mut self, key: Key) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let now_ms = self.now_ms();
        for _ in 0..READS_MAX {
            let Some(origin) = self.origins.get_mut(key) else { break };
            let (Speaks::Http2(session), Place::Held(link)) = (&mut origin.speaks, &mut origin.place) else { break };
            if !origin.readable || session.is_broken() || session.wire.0.borrow().is_behind() {
                break;
            }
            match link.read(&mut self.io, &mut self.blocks, &mut origin.outbox, &mut scratch) {
                Ok(count) if count > 0 => {
                    origin.readable = link.may_hold_more(count, scratch.len()) || origin.read_closed;
                    origin.active_ms = now_ms;
                    self.row.add(Counter::OriginBytesIn, count as u64);
                    session.feed(&scratch[..count], now_ms);
                }
                Err(Trouble::WouldBlock) => origin.readable = false,
                ended => {
                    origin.readable = false;
                    let alert = link.tls.as_ref().and_then(|session| session.failed.as_ref());
                    session.end(match ended {
                        // In TLS 1.3 a certificate of ours is judged when the handshake is over for us.
                        _ if !session.ready && matches!(alert, Some(TlsTrouble::Alert(_))) => Lost::TurnedAway,
                        Ok(_) | Err(Trouble::Cut) => Lost::Closed,
                        Err(_) => Lost::Reset,
                    });
                }
            }
        }
        self.scratch = scratch;
        self.drive_session(key);
    }

    /// A bell rang for a session: streams were opened, written to, read from, or given up. One that had none is read from
    /// first: what it said meanwhile, its end above all, counts before anything is sent.
    pub(crate) fn origin_session_rang(&mut self, key: Key) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let Some(session) = origin.session() else { return };
        session.bell.hush();
        if session.idle_since_ms.is_some() && session.shared.streams() > 0 {
            origin.readable = true;
            self.read_session(key);
        } else {
            self.drive_session(key);
        }
    }

    /// Lets the session go on, sends what it has to say, and learns what its peer said.
    pub(crate) fn drive_session(&mut self, key: Key) {
        let Some(session) = self.origins.get_mut(key).and_then(|origin| origin.session()) else { return };
        if session.shared.is_closing() && session.shared.streams() == 0 {
            session.shared.let_go();
        }
        let mut over = session.go();
        over = self.send_session(key).or(over);
        self.learn_from(key);
        match over {
            Some(over) => self.session_over(key, over),
            None => self.arm_origin_session(key),
        }
    }

    /// Gives what the session wrote to the socket; the session waits while the socket takes nothing.
    fn send_session(&mut self, key: Key) -> Option<Over> {
        let now_ms = self.now_ms();
        let mut over = None;
        loop {
            let origin = self.origins.get_mut(key)?;
            let (Speaks::Http2(session), Place::Held(link)) = (&mut origin.speaks, &mut origin.place) else {
                return over;
            };
            if !origin.outbox.is_empty() {
                return over;
            }
            let output = session.take_output(now_ms);
            if output.is_empty() {
                return over;
            }
            match origin.outbox.send(&mut self.io, link, &mut self.blocks, &[&output], false) {
                Ok(sent) => self.row.add(Counter::OriginBytesOut, sent.uncounted as u64),
                Err(_) => {
                    // What is read says how it ended, and what the target said before it did.
                    origin.outbox.clear(&mut self.blocks);
                    origin.readable = true;
                    self.again.push(Token::Origin(key));
                }
            }
            session.wire.0.borrow_mut().take_back(output);
            // What it held back for want of room can go on.
            over = session.go().or(over);
        }
    }

    /// What the target's frames say about the connection itself.
    fn learn_from(&mut self, key: Key) {
        let Some(session) = self.origins.get_mut(key).and_then(|origin| origin.session()) else { return };
        if session.meter.leaving && !session.left {
            session.left = true;
            self.row.one(Counter::OriginHttp2Goaway);
        }
        if session.meter.has_greeted() {
            session.shared.take_settings();
            if !session.ready {
                session.ready = true;
                self.settle_opening(key, Opened::Again);
            }
        }
    }

    /// What the connection waits for now.
    fn arm_origin_session(&mut self, key: Key) {
        let now_ms = self.now_ms();
        let Some(origin) = self.origins.get_mut(key) else { return };
        let (age_due_ms, target) = (origin.lease.age_due_ms, Arc::clone(&origin.lease.target));
        let (timer, readable) = (origin.timer, origin.readable);
        let Some(session) = origin.session() else { return };
        if readable && !session.wire.0.borrow().is_behind() {
            self.again.push(Token::Origin(key));
        }
        let busy = session.shared.streams() > 0;
        match (busy, session.idle_since_ms) {
            (false, None) => {
                session.idle_since_ms = Some(now_ms);
                session.wire.0.borrow_mut().rest();
                self.row.one(Counter::OriginIdle);
            }
            (true, Some(_)) => {
                session.idle_since_ms = None;
                self.row.less(Counter::OriginIdle);
            }
            _ => {}
        }
        let (since_ms, is_closing) = (session.idle_since_ms, session.shared.is_closing());
        if !session.ready {
            // Its peer's SETTINGS have the time that was set when it began.
            return;
        }
        let idle_ms = self.plan.origin_named(&target.identity.origin).map_or(0, |origin| origin.idle_ms);
        let why = match () {
            () if busy => None,
            () if !target.state().keeps_connections() => Some(Counter::OriginCloseTarget),
            () if self.draining => Some(Counter::OriginCloseDrain),
            () if self.scarce => Some(Counter::OriginCloseScarce),
            () => None,
        };
        if let Some(why) = why {
            self.close_session(key, why);
            return;
        }
        let idle_due_ms = since_ms.map(|since_ms| since_ms + u64::from(idle_ms));
        let age_due_ms = if is_closing { crate::wheel::NEVER } else { age_due_ms };
        self.wheel.arm(timer, idle_due_ms.unwrap_or(age_due_ms).min(age_due_ms));
    }

    /// The connection's timer ran out.
    pub(crate) fn origin_session_due(&mut self, key: Key) {
        let now_ms = self.now_ms();
        let Some(origin) = self.origins.get_mut(key) else { return };
        let aged = origin.lease.age_due_ms <= now_ms;
        let Some(session) = origin.session() else { return };
        if !session.ready {
            // Silence where SETTINGS must come first (RFC 9113 3.4).
            session.shared.set_lost(Lost::Mismatch);
            self.session_over(key, Over::Broken);
        } else {
            self.close_session(key, if aged { Counter::OriginCloseAge } else { Counter::OriginCloseIdle });
        }
    }

    /// Rings the workers for whom this one's doing rang bells.
    pub(crate) fn ring_others(&mut self) {
        for worker in 0..self.host.rungs.len() as u32 {
            if worker != self.index && self.host.rungs[worker as usize].must_ring() {
                self.io.ring(worker);
            }
        }
    }
}
