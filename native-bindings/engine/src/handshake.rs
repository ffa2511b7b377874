//! Handshakes of both sides, step by step as bytes come. A client's ends in its first request, a target's in an
//! established connection; what goes wrong has a name, and is never blamed on the other side without proof.

use crate::answer::Own;
use crate::client::ClientState;
use crate::io::{Io, Token};
use crate::link::Shake;
use crate::log::PeerText;
use crate::multiplexed::ALPN;
use crate::origin::{OriginState, Place, Speaks};
use crate::slab::Key;
use crate::stats::{Counter, Histogram};
use crate::tls::{Session, TlsTrouble};
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::fault::OriginFault;
use rustls::AlertDescription;
use std::sync::Arc;

/// Handshakes that go on in one pass. Each costs as much as twenty requests; the others wait for the next pass, so that a
/// crowd at the door does not keep those inside waiting.
const SHAKES_MAX: u32 = 8;
/// For a target whose origin is no longer in the plan.
const HANDSHAKE_MS: u32 = 5000;

/// The fault a failed handshake with a target is.
#[must_use]
pub fn handshake_fault(trouble: &TlsTrouble) -> OriginFault {
    match trouble {
        TlsTrouble::Verify(_) => OriginFault::TlsVerify,
        // RFC 7301 3.2: nothing of what we speak is spoken there.
        TlsTrouble::Alert(AlertDescription::NoApplicationProtocol) => OriginFault::ProtocolMismatch,
        TlsTrouble::Alert(_) | TlsTrouble::Peer(_) | TlsTrouble::PlainHttp => OriginFault::TlsAlert,
        TlsTrouble::Eof => OriginFault::TlsEof,
        TlsTrouble::Timeout => OriginFault::TlsTimeout,
        TlsTrouble::Local(_) => OriginFault::TlsLocalError,
    }
}

impl<I: Io> Worker<I> {
    pub(crate) fn begin_pass(&mut self) {
        self.shakes = 0;
    }

    /// Puts TLS between a new client's socket and everybody else, where its listener says so.
    pub(crate) fn secure_client(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(Some(rules)) = self.plan.tls.listeners.get(usize::from(client.listener)) else { return };
        client.link.tls = Some(Box::new(Session::server(Arc::clone(rules))));
        client.state = ClientState::Handshake;
        self.row.less(Counter::ClientIdle);
        self.row.one(Counter::TlsShaking);
        self.wheel.arm(client.timer, self.now_us / 1000 + u64::from(rules.plan.handshake_ms));
    }

    /// Goes on with a client's handshake, and with its first request once that is over.
    pub(crate) fn shake_client(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if !client.readable {
            return;
        }
        if self.shakes >= SHAKES_MAX {
            self.again.push(Token::Client(key));
            return;
        }
        self.shakes += 1;
        match client.link.shake(&mut self.io, &mut self.blocks, &mut client.outbox, client.read_closed) {
            Ok(Shake::Waiting) => client.readable = client.read_closed,
            Ok(Shake::Done) => {
                client.state = ClientState::Idle;
                self.row.less(Counter::TlsShaking);
                self.row.one(Counter::TlsHandshakes);
                if client.link.tls.as_ref().is_some_and(|session| session.is_resumed()) {
                    self.row.one(Counter::TlsResumed);
                }
                let took = self.now_us.saturating_sub(client.since_ms * 1000);
                self.row.record(Histogram::Handshake, took);
                self.row.one(Counter::ClientIdle);
                self.wheel.arm(client.timer, self.now_us / 1000 + u64::from(self.plan.plan.timeouts.client_head_ms));
                // What came behind the last of the handshake has no event of its own.
                client.readable = true;
                if client.link.tls.as_ref().is_some_and(|session| session.alpn() == Some(ALPN)) {
                    self.begin_http2(key, &[]);
                }
                self.client_go(key);
            }
            Err(trouble) => self.refuse_handshake(key, &trouble),
        }
    }

    /// A client's handshake failed: it is told by alert (which is in the outbox) or, where it spoke HTTP, in HTTP.
    pub(crate) fn refuse_handshake(&mut self, key: Key, trouble: &TlsTrouble) {
        self.row.one(Counter::TlsFailed);
        let Some(client) = self.clients.get_mut(key) else { return };
        let peer = PeerText { ip: &client.ip, port: client.port, tls: client.link.tls.as_deref() };
        self.log.handshake_failed(&peer, trouble);
        // What comes from here on is nobody's, and is thrown away unread.
        client.link.drop_tls(&mut self.blocks);
        client.state = ClientState::Head;
        self.row.less(Counter::TlsShaking);
        if *trouble == TlsTrouble::PlainHttp {
            self.write_own(key, &Own::refusal(400, "This port speaks HTTPS, and the request was plain HTTP."));
        }
        self.close_after_answer(key, Counter::ClientCloseTls);
    }

    /// A connection to a target is there: begins TLS where that is spoken. Returns whether it is established by that.
    pub(crate) fn secure_origin(&mut self, key: Key) -> bool {
        let Some(origin) = self.origins.get_mut(key) else { return false };
        let target = Arc::clone(&origin.lease.target);
        let Some(tls) = target.tls.get() else { return true };
        let http1 = matches!(origin.speaks, Speaks::Http1);
        let made = Session::client(tls, target.identity.server_name(origin.lease.bound.as_deref()), http1);
        let Place::Held(link) = &mut origin.place else { return false };
        let begun = made.and_then(|session| link.secure(session, &mut self.io, &mut self.blocks, &mut origin.outbox));
        match begun {
            Ok(()) => {
                origin.state = OriginState::Handshake;
                let plan = self.plan.origin_named(&target.identity.origin).and_then(|o| o.tls.as_ref());
                let wait_ms = plan.map_or(HANDSHAKE_MS, |tls| tls.handshake_ms);
                self.wheel.arm(origin.timer, self.now_us / 1000 + u64::from(wait_ms));
            }
            Err(trouble) => self.origin_handshake_failed(key, &trouble),
        }
        false
    }

    /// Goes on with a target's handshake.
    pub(crate) fn shake_origin(&mut self, key: Key) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let Place::Held(link) = &mut origin.place else { return };
        match link.shake(&mut self.io, &mut self.blocks, &mut origin.outbox, origin.read_closed) {
            Ok(Shake::Waiting) => {}
            Ok(Shake::Done) => {
                self.row.one(Counter::OriginTlsHandshakes);
                if link.tls.as_ref().is_some_and(|session| session.is_resumed()) {
                    self.row.one(Counter::OriginTlsResumed);
                }
                self.wheel.arm(origin.timer, NEVER);
                self.origin_established(key);
            }
            Err(trouble) => self.origin_handshake_failed(key, &trouble),
        }
    }

    pub(crate) fn origin_handshake_failed(&mut self, key: Key, trouble: &TlsTrouble) {
        let Some(origin) = self.origins.get(key) else { return };
        let exchange = origin.exchange;
        let fault = handshake_fault(trouble);
        if exchange.is_none() {
            // Opened ahead of any request, so no attempt counts it.
            self.row.origin_fault(fault);
        }
        self.log.origin_handshake_failed(&origin.lease, fault, trouble);
        self.opening_failed(key, fault);
        self.forget_connecting(key);
        self.attempt_failed(exchange, fault);
    }
}
