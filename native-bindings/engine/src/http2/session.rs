//! The HTTP/2 of one client connection: the crate's server behind the few words the worker needs. Told what came, it
//! says which requests there are and what is to be sent; it never touches a socket. The crate's interface ends here.

use crate::http2::bell::{Bell, Rung};
use crate::http2::wire::Wire;
use crate::io::Token;
use crate::slab::Key;
use crate::stats::Counter;
use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use proto::http2::{Limit, Meter};
use proto::plan::Http2 as Http2Plan;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Streams remembered after a reset of ours, for the frames that still come for them.
const RESETS_REMEMBERED: usize = 64;
/// Streams that a client opened and reset before we looked. The meter ends such a client sooner, whatever it does.
const UNSEEN_RESETS_MAX: usize = 4096;

/// A request that came: its head, its body to come, and the way of its answer.
pub type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// Everything that was to be answered is.
    Done,
    /// The peer ended the connection, with or without a word.
    ByPeer,
    /// The peer broke the protocol.
    Broken,
    /// The peer passed a limit.
    Calm,
}

/// What a session does next.
pub enum Next {
    /// Nothing, before more comes or a bell rings.
    Wait,
    Request(Box<Asked>),
    Over(Over),
}

/// One client connection that speaks HTTP/2.
pub struct Session {
    state: State,
    pub wire: Wire,
    pub meter: Meter,
    pub bell: Arc<Bell>,
    waker: Waker,
    /// Streams under way, by their number.
    pub streams: BTreeMap<u32, Key>,
    /// Those of them that wait for the connection.
    pub paused: Vec<Key>,
    /// Bytes that wait in the outboxes of its streams.
    pub held: usize,
    /// Since when a preface, the first SETTINGS or the rest of a header block is awaited.
    pub head_since_ms: Option<u64>,
    /// Since when it is without streams, if that is known.
    pub idle_since_ms: Option<u64>,
    /// Why it ends, where that is not the client's doing.
    pub why: Option<Counter>,
    /// No more streams are taken: it drains.
    pub leaving: bool,
    calm: bool,
}

enum State {
    /// The client's preface and our SETTINGS are on their way.
    Greeting(Pin<Box<Handshake<Wire, Bytes>>>),
    Open(Box<Connection<Wire, Bytes>>),
    Over(Over),
}

impl Session {
    /// A session whose client's preface is still to come. `list_bytes`: longest header list that is read at all.
    #[must_use]
    pub fn new(plan: &Http2Plan, list_bytes: u32, rung: &Arc<Rung>, token: Token, now_ms: u64) -> Self {
        let wire = Wire::default();
        let handshake = Builder::new()
            .max_concurrent_streams(plan.streams)
            .initial_window_size(plan.stream_window_bytes)
            .initial_connection_window_size(plan.connection_window_bytes)
            .max_header_list_size(list_bytes)
            .max_send_buffer_size(plan.stream_buffer_bytes as usize)
            .max_concurrent_reset_streams(RESETS_REMEMBERED)
            .reset_stream_duration(Duration::from_secs(1))
            .max_pending_accept_reset_streams(UNSEEN_RESETS_MAX)
            .max_local_error_reset_streams(None)
            .enable_connect_protocol()
            .handshake(wire.clone());
        let bell = Bell::new(rung);
        bell.set_name(token);
        Self {
            state: State::Greeting(Box::pin(handshake)),
            wire,
            meter: Meter::new(*plan, true, now_ms),
            waker: bell.waker(),
            bell,
            streams: BTreeMap::new(),
            paused: Vec::new(),
            held: 0,
            head_since_ms: Some(now_ms),
            idle_since_ms: None,
            why: None,
            leaving: false,
            calm: false,
        }
    }

    /// Bytes came. The limit they passed, if they did; they are not looked at then.
    pub fn feed(&mut self, bytes: &[u8], now_ms: u64) -> Option<Limit> {
        let passed = self.meter.heard(bytes, now_ms);
        match passed {
            None => self.wire.0.borrow_mut().feed(bytes),
            Some(_) => self.calm_down(),
        }
        passed
    }

    /// The client's end of the connection came.
    pub fn end(&mut self) {
        self.wire.0.borrow_mut().end();
    }

    /// Goes on as far as what came and what may be sent allow.
    pub fn go(&mut self) -> Next {
        let mut cx = Context::from_waker(&self.waker);
        if let State::Greeting(handshake) = &mut self.state {
            match handshake.as_mut().poll(&mut cx) {
                Poll::Pending => return Next::Wait,
                Poll::Ready(Ok(mut connection)) => {
                    if self.leaving {
                        connection.graceful_shutdown();
                    }
                    self.state = State::Open(Box::new(connection));
                }
                Poll::Ready(Err(error)) => return self.over(why(&error)),
            }
        }
        let State::Open(connection) = &mut self.state else {
            let State::Over(over) = self.state else { return Next::Wait };
            return Next::Over(over);
        };
        match connection.poll_accept(&mut cx) {
            Poll::Pending => Next::Wait,
            Poll::Ready(Some(Ok(asked))) => Next::Request(Box::new(asked)),
            Poll::Ready(Some(Err(error))) => self.over(why(&error)),
            Poll::Ready(None) => self.over(Over::Done),
        }
    }

    fn over(&mut self, over: Over) -> Next {
        let over = if self.calm { Over::Calm } else { over };
        self.state = State::Over(over);
        Next::Over(over)
    }

    /// What is to be sent, up to a bounded piece.
    pub fn take_output(&mut self, now_ms: u64) -> (Vec<u8>, Option<Limit>) {
        let output = std::mem::take(&mut self.wire.0.borrow_mut().output);
        let passed = if self.calm { None } else { self.meter.said(&output, now_ms) };
        if passed.is_some() {
            self.calm_down();
        }
        (output, passed)
    }

    /// Streams refused since this was last asked.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.meter.refused)
    }

    /// Ends it now: a request that is on its way was not processed, and its client is told so.
    pub fn shut(&mut self) {
        match &mut self.state {
            State::Open(connection) => connection.abrupt_shutdown(Reason::NO_ERROR),
            State::Greeting(_) => self.state = State::Over(Over::Done),
            State::Over(_) => {}
        }
    }

    /// Takes no more requests; those under way are answered (RFC 9113 6.8: GOAWAY twice).
    pub fn leave(&mut self) {
        self.leaving = true;
        if let State::Open(connection) = &mut self.state {
            connection.graceful_shutdown();
        }
        self.bell.ring();
    }

    /// Tells a client that asks too much of us, and ends.
    fn calm_down(&mut self) {
        self.calm = true;
        match &mut self.state {
            State::Open(connection) => connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
            State::Greeting(_) => self.state = State::Over(Over::Calm),
            State::Over(_) => {}
        }
    }

    /// Whether it ends because of a limit that the meter saw passed.
    #[must_use]
    pub const fn meter_calmed(&self) -> bool {
        self.calm
    }

    /// Whether the client's preface and first SETTINGS are still to come, or half a header block is.
    #[must_use]
    pub fn awaits_head(&self) -> bool {
        matches!(self.state, State::Greeting(_)) || !self.meter.has_greeted() || self.meter.is_in_block()
    }
}

fn why(error: &h2::Error) -> Over {
    match error.reason() {
        Some(Reason::ENHANCE_YOUR_CALM) if error.is_library() => Over::Calm,
        _ if error.is_library() => Over::Broken,
        _ => Over::ByPeer,
    }
}
