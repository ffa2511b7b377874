//! How connections to targets that speak HTTP/2 end: when their time or their target's is over, when their place is wanted
//! elsewhere, when their peer leaves or breaks the protocol. What ends them is said to the peer where it still listens.

use crate::http2::outgoing::{Over, goaway};
use crate::io::Io;
use crate::origin::{OriginState, Place, Speaks};
use crate::shared_origin::{Lost, Opened};
use crate::slab::Key;
use crate::stats::Counter;
use crate::target::TargetShared;
use crate::worker::Worker;
use h2::Reason;
use proto::fault::OriginFault;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl<I: Io> Worker<I> {
    /// No more streams on this connection: it is closed when those under way are over, at once if there are none.
    pub(crate) fn close_session(&mut self, key: Key, why: Counter) {
        let Some(session) = self.origins.get_mut(key).and_then(|origin| origin.session()) else { return };
        session.why.get_or_insert(why);
        session.shared.close();
        if session.shared.streams() == 0 {
            self.drive_session(key);
        }
    }

    /// As `close_session` for every connection for which `which` holds.
    pub(crate) fn close_sessions(&mut self, why: Counter, which: impl Fn(&TargetShared) -> bool) {
        for key in self.origins.keys() {
            let origin = self.origins.get(key).filter(|origin| origin.state == OriginState::Multiplexed);
            if origin.is_some_and(|origin| which(&origin.lease.target)) {
                self.close_session(key, why);
            }
        }
    }

    /// Ends a connection of HTTP/2 without streams whose place is wanted: to another target where the limit of the origin
    /// or of all is what stands in the way. Its owner closes it, and calls who waits.
    pub(crate) fn let_session_go(&mut self, wanted: &TargetShared) {
        if !self.host.multiplexes.load(Relaxed) {
            return;
        }
        let full = self.host.pool.is_full();
        for target in self.host.pool.all_targets() {
            let sibling = Arc::ptr_eq(&target.origin, &wanted.origin);
            let found = target.multiplexed.all().into_iter().find(|one| (full || sibling) && one.close_if_idle());
            if let Some(shared) = found {
                shared.ring();
                return;
            }
        }
    }

    /// Lets every session of this worker see what changed: the worker drains, or descriptors are short.
    pub(crate) fn ring_sessions(&mut self) {
        for key in self.origins.keys() {
            if let Some(session) = self.origins.get_mut(key).and_then(|origin| origin.session()) {
                session.bell.ring();
            }
        }
    }

    pub(crate) fn session_over(&mut self, key: Key, over: Over) {
        let Some(origin) = self.origins.get_mut(key) else { return };
        let (Speaks::Http2(session), Place::Held(link)) = (&mut origin.speaks, &mut origin.place) else { return };
        let lost = session.shared.lost();
        let why = match over {
            Over::Broken => Counter::OriginCloseFault,
            Over::ByPeer => Counter::OriginCloseByOrigin,
            Over::Done if session.meter.leaving => Counter::OriginCloseByOrigin,
            Over::Done if session.shared.is_spent() => Counter::OriginCloseRequests,
            Over::Done => Counter::OriginCloseEvicted,
        };
        let why = session.why.unwrap_or(why);
        if session.is_broken() && origin.outbox.is_empty() {
            let words = goaway(Reason::ENHANCE_YOUR_CALM);
            let _ = origin.outbox.send(&mut self.io, link, &mut self.blocks, &[&words], true);
        }
        match lost {
            Lost::Mismatch => self.opening_failed(key, OriginFault::ProtocolMismatch),
            Lost::TurnedAway => self.opening_failed(key, OriginFault::TlsAlert),
            Lost::Closed | Lost::Reset | Lost::No => self.settle_opening(key, Opened::Again),
        }
        self.end_origin_session(key, why);
    }

    /// Closes the connection; streams on it fail.
    pub(crate) fn end_origin_session(&mut self, key: Key, why: Counter) {
        self.settle_opening(key, Opened::Again);
        let Some(mut origin) = self.origins.remove(key) else { return };
        self.wheel.remove(origin.timer);
        let Speaks::Http2(session) = origin.speaks else { return };
        if session.idle_since_ms.is_some() {
            self.row.less(Counter::OriginIdle);
        }
        let shared = Arc::clone(&session.shared);
        origin.lease.target.multiplexed.remove(&shared);
        // Counted before anybody can know of its end.
        origin.lease.requests = if shared.ahead { shared.used() } else { shared.used().max(1) };
        drop(session);
        self.count_origin_closed(&origin.lease, why);
        let unsent = !origin.outbox.is_empty();
        origin.outbox.clear(&mut self.blocks);
        if let Place::Held(mut link) = origin.place {
            if unsent {
                link.break_off();
            }
            link.close(&mut self.io, &mut self.blocks);
        }
    }
}
