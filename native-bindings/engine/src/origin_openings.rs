//! Connections that are being opened and may come to speak HTTP/2: what they turn out to speak, and the requests that wait
//! for one instead of opening as many. Those that speak it are `origin_sessions.rs`.

use crate::forward::Found;
use crate::io::{Io, Token};
use crate::multiplexed::ALPN;
use crate::origin::{Place, Speaks};
use crate::shared_origin::{Joined, Opened, Opening};
use crate::slab::Key;
use crate::target::TargetShared;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::fault::OriginFault;
use proto::plan::OriginHttp;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a connection that is just established turned out to speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    Http1,
    Http2,
    /// Not what the plan insists on.
    Other,
}

impl<I: Io> Worker<I> {
    /// What an established connection speaks: what ALPN said, or what the plan knows.
    pub(crate) fn settle_version(&mut self, key: Key) -> Version {
        let Some(origin) = self.origins.get_mut(key) else { return Version::Http1 };
        if !matches!(origin.speaks, Speaks::Asking(_)) {
            return Version::Http1;
        }
        let Place::Held(link) = &origin.place else { return Version::Http1 };
        if link.tls.as_ref().is_none_or(|session| session.alpn() == Some(ALPN)) {
            return Version::Http2;
        }
        let target = Arc::clone(&origin.lease.target);
        if target.identity.http == OriginHttp::Http2 {
            return Version::Other;
        }
        target.multiplexed.set_fell_back(true);
        self.settle_opening(key, Opened::Again);
        if let Some(origin) = self.origins.get_mut(key) {
            origin.speaks = Speaks::Http1;
        }
        Version::Http1
    }

    /// A connection to a target is opened and does not speak what it must.
    pub(crate) fn version_refused(&mut self, key: Key) {
        let Some(exchange) = self.origins.get(key).map(|origin| origin.exchange) else { return };
        if exchange.is_none() {
            self.row.origin_fault(OriginFault::ProtocolMismatch);
        }
        self.opening_failed(key, OriginFault::ProtocolMismatch);
        self.forget_connecting(key);
        self.attempt_failed(exchange, OriginFault::ProtocolMismatch);
    }

    /// Tells those who wait for a connection what came of it.
    pub(crate) fn settle_opening(&mut self, key: Key, outcome: Opened) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let opening = match &mut origin.speaks {
            Speaks::Asking(opening) => Arc::clone(opening),
            Speaks::Http2(session) => match session.opening.take() {
                Some(opening) => opening,
                None => return,
            },
            Speaks::Http1 | Speaks::Stream(_) => return,
        };
        let target = Arc::clone(&origin.lease.target);
        self.tell_opening(&target, &opening, outcome);
    }

    pub(crate) fn opening_failed(&mut self, key: Key, fault: OriginFault) {
        self.settle_opening(key, Opened::Failed(fault));
    }

    /// Joins those who wait for a connection to this target that is being opened and may carry many streams, or gets a
    /// stream after all. Else the opening is the exchange's.
    pub(crate) fn join_opening(&mut self, exchange: Key, target: &Arc<TargetShared>) -> bool {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return false };
        let origin = &ongoing.plan.origins[ongoing.origin_index as usize];
        if ongoing.http1 || !origin.shares || target.multiplexed.fell_back() {
            return false;
        }
        match target.multiplexed.join_or_begin(self.index, exchange, ongoing.bound.as_deref()) {
            Joined::Theirs(opening) => {
                ongoing.joined = Some(opening);
                self.await_opening(exchange);
                true
            }
            Joined::Own(opening) => {
                ongoing.begun = Some(opening);
                self.host.multiplexes.store(true, Relaxed);
                // One that was under way may have ended meanwhile, and well.
                let taken = self.take_stream(exchange, target);
                if taken {
                    self.abandon_opening(exchange, target);
                }
                taken
            }
        }
    }

    /// The connection that the exchange had begun to open is not opened after all: whoever waits for it asks again.
    pub(crate) fn abandon_opening(&mut self, exchange: Key, target: &TargetShared) {
        let begun = self.exchanges.get_mut(exchange).and_then(|ongoing| ongoing.begun.take());
        if let Some(opening) = begun {
            self.tell_opening(target, &opening, Opened::Again);
        }
    }

    /// Ends an opening, and tells those who wait what came of it.
    pub(crate) fn tell_opening(&self, target: &TargetShared, opening: &Arc<Opening>, outcome: Opened) {
        target.multiplexed.end_opening(opening);
        for (worker, exchange) in opening.settle(outcome) {
            self.host.rungs[worker as usize].ring(Token::Exchange(exchange).pack());
        }
    }

    /// The exchange waits for somebody else's connection, no longer than one may take to be opened.
    pub(crate) fn await_opening(&mut self, exchange: Key) {
        let now_ms = self.now_ms();
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let plan = ongoing.origin_plan();
        let handshake_ms = plan.tls.as_ref().map_or(0, |tls| tls.handshake_ms);
        let wait_ms = u64::from(plan.connect_ms) * 2 + u64::from(handshake_ms);
        ongoing.core.stage = Stage::Connecting;
        ongoing.times.connect_us = self.now_us;
        ongoing.wait_due_ms = now_ms + wait_ms;
        self.arm_exchange(exchange);
    }

    /// What the exchange waited for is settled, or took too long.
    pub(crate) fn opening_settled(&mut self, exchange: Key, too_late: bool) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let Some(opening) = ongoing.joined.take() else { return };
        let outcome = match opening.outcome() {
            None if too_late => Opened::Failed(OriginFault::ConnectTimeout),
            None => {
                ongoing.joined = Some(opening);
                return;
            }
            Some(outcome) => outcome,
        };
        self.end_waiting(exchange);
        match outcome {
            Opened::Failed(fault) => {
                self.attempt_failed(exchange, fault);
            }
            Opened::Again => {
                let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
                // The attempt that it had begun goes on.
                ongoing.attempts = ongoing.attempts.saturating_sub(1);
                ongoing.core.attempts = ongoing.core.attempts.saturating_sub(1);
                ongoing.core.stage = Stage::Choosing;
                if self.connect_to_target(exchange, false) == Found::Connection {
                    self.send_held(exchange);
                }
            }
        }
    }
}
