//! The HTTP/2 of one connection to a target: the crate's client behind the few words the worker needs. It never touches a
//! socket, and streams are opened past it, through what it shares (`shared_origin.rs`).

use crate::http2::bell::{Bell, Rung};
use crate::http2::wire::Wire;
use crate::io::Token;
use crate::shared_origin::{Lost, Opening, SharedOrigin};
use crate::stats::Counter;
use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, Connection, SendRequest};
use proto::http2::{Limit, Meter};
use proto::plan::Http2 as Http2Plan;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// Nothing is under way, and nobody wants anything any more.
    Done,
    ByPeer,
    /// The peer broke the protocol, or passed a limit.
    Broken,
}

/// One target connection that speaks HTTP/2.
pub struct Outgoing {
    connection: Connection<Wire, Bytes>,
    pub wire: Wire,
    pub meter: Meter,
    pub shared: Arc<SharedOrigin>,
    pub bell: Arc<Bell>,
    waker: Waker,
    /// Who waits until the peer has said how many streams it takes.
    pub opening: Option<Arc<Opening>>,
    /// The peer's SETTINGS are here.
    pub ready: bool,
    /// The peer's GOAWAY was counted.
    pub left: bool,
    /// Since when it has no stream.
    pub idle_since_ms: Option<u64>,
    /// Why it ends, where that is settled before it does.
    pub why: Option<Counter>,
    broken: bool,
}

impl Outgoing {
    /// A session on a connection that was just opened. `share` makes of the handle what others see.
    #[must_use]
    pub fn new(
        plan: &Http2Plan,
        head_bytes: u32,
        rung: &Arc<Rung>,
        token: Token,
        now_ms: u64,
        share: impl FnOnce(Arc<Bell>, SendRequest<Bytes>) -> SharedOrigin,
    ) -> Option<Self> {
        let wire = Wire::default();
        let handshake = Builder::new()
            .enable_push(false)
            .initial_max_send_streams(1)
            .initial_window_size(plan.stream_window_bytes)
            .initial_connection_window_size(plan.connection_window_bytes)
            .max_header_list_size(head_bytes)
            .max_send_buffer_size(plan.stream_buffer_bytes as usize)
            .handshake(wire.clone());
        // It writes its first words into memory and waits for nothing.
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok((handle, connection))) = pin!(handshake).poll(&mut cx) else { return None };
        let bell = Bell::new(rung);
        bell.set_name(token);
        Some(Self {
            connection,
            wire,
            meter: Meter::new(*plan, false, now_ms),
            shared: Arc::new(share(Arc::clone(&bell), handle)),
            waker: bell.waker(),
            bell,
            opening: None,
            ready: false,
            left: false,
            idle_since_ms: None,
            why: None,
            broken: false,
        })
    }

    /// Bytes came. The limit they passed, if they did; they are not looked at then.
    pub fn feed(&mut self, bytes: &[u8], now_ms: u64) -> Option<Limit> {
        let passed = self.meter.heard(bytes, now_ms);
        self.shared.note_complete(&mut self.meter.complete);
        if self.meter.leaving {
            // Before any of its streams learns of it, so that none of them is opened here anew.
            self.shared.close();
        }
        match passed {
            None => self.wire.0.borrow_mut().feed(bytes),
            Some(_) => self.broken = true,
        }
        passed
    }

    /// The target's end of the connection came.
    pub fn end(&mut self, lost: Lost) {
        self.shared.set_lost(lost);
        self.wire.0.borrow_mut().end();
    }

    /// Goes on as far as what came and what may be sent allow.
    pub fn go(&mut self) -> Option<Over> {
        if self.broken {
            return Some(Over::Broken);
        }
        let mut cx = Context::from_waker(&self.waker);
        let over = match Pin::new(&mut self.connection).poll(&mut cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) if self.shared.lost() == Lost::No => Some(Over::Done),
            Poll::Ready(Ok(())) => Some(Over::ByPeer),
            Poll::Ready(Err(error)) if error.is_library() => Some(Over::Broken),
            Poll::Ready(Err(_)) => Some(Over::ByPeer),
        };
        if over == Some(Over::Broken) && !self.ready {
            self.shared.set_lost(Lost::Mismatch);
        }
        over
    }

    /// What is to be sent, up to a bounded piece.
    pub fn take_output(&mut self, now_ms: u64) -> Vec<u8> {
        let output = std::mem::take(&mut self.wire.0.borrow_mut().output);
        self.broken |= self.meter.said(&output, now_ms).is_some();
        self.shared.set_opened(self.meter.opened);
        output
    }

    /// Whether the target is to be told that it asked too much: the crate's client cannot.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}

impl Drop for Outgoing {
    /// Whatever ends it, those who have streams on it must not wait for ever.
    fn drop(&mut self) {
        self.shared.set_lost(Lost::Reset);
        self.shared.let_go();
    }
}

/// A GOAWAY frame that says why, of one who processed nothing (RFC 9113 6.8).
#[must_use]
pub fn goaway(reason: Reason) -> [u8; 17] {
    let mut frame = [0; 17];
    frame[2] = 8;
    frame[3] = 7;
    frame[13..].copy_from_slice(&u32::from(reason).to_be_bytes());
    frame
}
