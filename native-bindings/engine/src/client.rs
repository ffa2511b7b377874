//! A client's connection: takes it over, reads heads, waits, drains, lingers, closes.
//!
//! ```text
//! state     promises                                            left for
//! ANNOUNCING the PROXY header of its listener has not come       HANDSHAKE, IDLE, closed
//! HANDSHAKE TLS is not established                              IDLE, CLOSING (failed), closed
//! IDLE      no byte of a request is here                        HEAD, EXCHANGE, closed
//! HEAD      part of a head is in `input`                        EXCHANGE, CLOSING (refused), closed
//! EXCHANGE  `exchange` names a live exchange                    IDLE, DRAINING, CLOSING, TUNNEL
//! MULTIPLEXED `http2` speaks HTTP/2 on it, each stream is a client of its own    CLOSING, closed
//! DRAINING  the answer is out, the rest of a body is unread     IDLE, closed
//! CLOSING   what is in `outbox` is the last we write            LINGERING, closed
//! LINGERING our FIN is out; what comes is thrown away           closed
//! TUNNEL    bytes pass both ways under `exchange`               closed
//! ```

use crate::http2::session::Session;
use crate::io::{Io, Ready, Token};
use crate::ip_text::IpText;
use crate::link::Link;
use crate::outbox::Outbox;
use crate::slab::Key;
use crate::stats::Counter;
use crate::streams::Who;
use crate::streams::reason_of;
use crate::tls::TlsTrouble;
use crate::wheel::TimerId;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::fault::ClientFault;
use proto::plan::HalfClose;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

/// Where a client's connection is; the map is above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientState {
    Announcing,
    Handshake,
    Idle,
    Head,
    Exchange,
    Multiplexed,
    Draining { left: u64 },
    Closing { why: Counter },
    Lingering { left: u64, why: Counter },
    Tunnel,
}

impl ClientState {
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Announcing => "announcing",
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::Head => "head",
            Self::Exchange => "exchange",
            Self::Multiplexed => "multiplexed",
            Self::Draining { .. } => "draining",
            Self::Closing { .. } => "closing",
            Self::Lingering { .. } => "lingering",
            Self::Tunnel => "tunnel",
        }
    }
}

/// A client's connection as its worker holds it.
pub struct Client<S> {
    pub link: Link<S>,
    pub state: ClientState,
    pub exchange: Key,
    pub http2: Option<Box<Session>>,
    /// Bytes that came and are not handled: a partial head, or what follows the present request.
    pub input: Vec<u8>,
    /// How much of `input` a parser has seen.
    pub parsed: usize,
    pub outbox: Outbox,
    pub timer: TimerId,
    pub requests: u64,
    /// Requests in a row that were here before the answer to the one before them had left.
    pub pipelined: u32,
    pub ip: IpText,
    pub port: u16,
    pub listener: u16,
    pub readable: bool,
    pub read_closed: bool,
    pub trusted: bool,
    /// It said that nothing follows its present request.
    pub said_last: bool,
    /// Unique in the process, for connections that belong to it.
    pub number: u64,
    /// Origin connections carry its authentication.
    pub owns: bool,
    pub since_ms: u64,
}

impl<S> Client<S> {
    /// One that has said nothing yet.
    pub(crate) fn new(link: Link<S>, state: ClientState, timer: TimerId, who: Who, since_ms: u64) -> Self {
        Self {
            link,
            state,
            exchange: Key::NONE,
            http2: None,
            input: Vec::new(),
            parsed: 0,
            outbox: Outbox::default(),
            timer,
            requests: 0,
            pipelined: 0,
            ip: who.ip,
            port: who.port,
            listener: who.listener,
            readable: true,
            read_closed: false,
            trusted: who.trusted,
            said_last: false,
            number: who.number,
            owns: false,
            since_ms,
        }
    }
}

impl<I: Io> Worker<I> {
    /// Takes over an accepted socket and looks at once whether its request is already here.
    pub(crate) fn take_client(&mut self, socket: I::Socket, peer: SocketAddr, listener: u16) {
        let address = peer.ip().to_canonical();
        let timer = self.wheel.add(0);
        let who = Who {
            ip: IpText::new(address),
            port: peer.port(),
            listener,
            trusted: self.plan.trusts(address),
            number: self.next_client_number(),
        };
        let key =
            self.clients.insert(Client::new(Link::plain(socket), ClientState::Idle, timer, who, self.now_us / 1000));
        self.row.one(Counter::ClientAccepted);
        self.row.one(Counter::ClientOpen);
        self.host.clients_open.fetch_add(1, Relaxed);
        self.row.one(Counter::ClientIdle);
        self.keep_cache();
        self.watch_descriptors();
        self.wheel.set_owner(timer, Token::Client(key).pack());
        self.wheel.arm(timer, self.now_ms() + u64::from(self.plan.plan.timeouts.client_head_ms));
        let socket = self.clients.get(key).and_then(|client| client.link.socket());
        if socket.is_none_or(|socket| self.io.watch(socket, Token::Client(key)).is_err()) {
            self.close_client(key, Counter::ClientCloseError);
            return;
        }
        self.begin_client(key);
        self.client_go(key);
    }

    pub(crate) fn client_ready(&mut self, key: Key, event: &Ready) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.readable |= event.readable || event.read_closed;
        client.read_closed |= event.read_closed;
        client.link.handle_event(event);
        if event.dead {
            self.client_gone(key);
            return;
        }
        if event.read_closed && client.state == ClientState::Exchange && !self.client_half_closed(key) {
            return;
        }
        let Some(client) = self.clients.get_mut(key) else { return };
        if event.writable && !client.outbox.is_empty() && !self.flush_client(key) {
            return;
        }
        self.client_go(key);
    }

    /// The client's FIN came while its answer is awaited or on its way. What that means is the route's to say, but only
    /// once the whole request is here: a body that ends short is the end of it. Returns false when the exchange ended.
    pub(crate) fn client_half_closed(&mut self, key: Key) -> bool {
        let Some(client) = self.clients.get(key) else { return false };
        let exchange = client.exchange;
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return true };
        if ongoing.half_closed || !ongoing.core.upload_done() || !client.input.is_empty() {
            return true;
        }
        ongoing.half_closed = true;
        self.row.one(Counter::HalfClosed);
        match ongoing.policy().half_close {
            HalfClose::Finish => true,
            HalfClose::Abort if ongoing.core.stage == Stage::Relaying => true,
            HalfClose::Abort => {
                self.abandon(exchange, ClientFault::Gone, Counter::ClientCloseByClient);
                false
            }
            HalfClose::Propagate => {
                self.propagate_fin(exchange);
                true
            }
        }
    }

    /// Goes on with whatever the connection's state has to do.
    pub(crate) fn client_go(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        match client.state {
            ClientState::Announcing => self.read_announcement(key),
            ClientState::Handshake => self.shake_client(key),
            ClientState::Idle | ClientState::Head => {
                // The next request waits until the last answer has left: that bounds what one client can make us hold.
                if client.outbox.is_empty() {
                    self.read_heads(key);
                }
            }
            ClientState::Exchange => {
                let exchange = client.exchange;
                self.upload_go(exchange);
            }
            ClientState::Multiplexed => {
                self.read_frames(key);
                self.resume_streams(key);
            }
            ClientState::Tunnel => {
                let exchange = client.exchange;
                self.tunnel_go(exchange);
            }
            ClientState::Draining { .. } | ClientState::Lingering { .. } => self.throw_away(key),
            ClientState::Closing { .. } => {}
        }
    }

    /// Writes what waits for the client. Returns false when the connection ended by it.
    pub(crate) fn flush_client(&mut self, key: Key) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        let flushed = client.outbox.flush(&mut self.io, &mut client.link, &mut self.blocks);
        match flushed {
            Ok(flushed) => {
                self.row.add(Counter::ClientBytesOut, flushed.uncounted as u64);
                if client.link.is_stream() {
                    self.settle_held(key);
                }
                let Some(client) = self.clients.get_mut(key) else { return false };
                if !client.outbox.is_empty() {
                    if flushed.taken > 0 {
                        let due = self.now_us / 1000 + u64::from(self.plan.plan.timeouts.client_write_ms);
                        self.wheel.arm(client.timer, due);
                    }
                    return true;
                }
                self.client_flushed(key)
            }
            Err(_) => {
                self.client_gone(key);
                false
            }
        }
    }

    /// The outbox ran empty: whoever was paused by it goes on.
    fn client_flushed(&mut self, key: Key) -> bool {
        let Some(client) = self.clients.get_mut(key) else { return false };
        match client.state {
            ClientState::Closing { why } => {
                self.end_writing(key, why);
                false
            }
            ClientState::Exchange => {
                let exchange = client.exchange;
                self.arm_for_upload(exchange);
                self.download_go(exchange);
                true
            }
            ClientState::Idle => {
                let due = self.now_us / 1000 + u64::from(self.plan.plan.timeouts.client_idle_ms);
                self.wheel.arm(client.timer, due);
                true
            }
            ClientState::Multiplexed => {
                self.session_flushed(key);
                self.clients.get(key).is_some()
            }
            ClientState::Announcing
            | ClientState::Handshake
            | ClientState::Head
            | ClientState::Draining { .. }
            | ClientState::Lingering { .. }
            | ClientState::Tunnel => true,
        }
    }

    /// The connection is free for its next request.
    pub(crate) fn client_free(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.state = ClientState::Idle;
        client.exchange = Key::NONE;
        client.parsed = 0;
        self.row.one(Counter::ClientIdle);
        let timeouts = &self.plan.plan.timeouts;
        let wait = if client.outbox.is_empty() { timeouts.client_idle_ms } else { timeouts.client_write_ms };
        self.wheel.arm(client.timer, self.now_us / 1000 + u64::from(wait));
    }

    /// The socket is dead, or takes no more.
    pub(crate) fn client_gone(&mut self, key: Key) {
        let Some(client) = self.clients.get(key) else { return };
        match client.state {
            ClientState::Exchange => {
                let exchange = client.exchange;
                self.abandon(exchange, ClientFault::Gone, Counter::ClientCloseError);
            }
            ClientState::Tunnel => {
                let exchange = client.exchange;
                self.end_tunnel(exchange);
            }
            ClientState::Closing { why } | ClientState::Lingering { why, .. } => self.close_client(key, why),
            ClientState::Multiplexed => self.close_client(key, Counter::ClientCloseError),
            ClientState::Announcing => self.close_client(key, Counter::ClientCloseByClient),
            ClientState::Handshake => self.refuse_handshake(key, &TlsTrouble::Eof),
            ClientState::Idle => self.close_client(key, Counter::ClientCloseByClient),
            ClientState::Head | ClientState::Draining { .. } => self.close_client(key, Counter::ClientCloseError),
        }
    }

    pub(crate) fn client_due(&mut self, key: Key) {
        let Some(client) = self.clients.get(key) else { return };
        let blocked = !client.outbox.is_empty();
        match client.state {
            ClientState::Announcing => self.refuse_announcement(key),
            ClientState::Handshake => self.refuse_handshake(key, &TlsTrouble::Timeout),
            ClientState::Idle if blocked => self.reset_client(key, Counter::ClientCloseTimeout),
            ClientState::Idle => self.close_client(key, Counter::ClientCloseIdle),
            ClientState::Head => self.refuse_client(key, ClientFault::HeadTimeout, Counter::ClientCloseTimeout),
            ClientState::Exchange => {
                let exchange = client.exchange;
                self.exchange_due(exchange, blocked);
            }
            ClientState::Multiplexed => self.session_due(key),
            ClientState::Tunnel => {
                let exchange = client.exchange;
                self.end_tunnel(exchange);
            }
            ClientState::Draining { .. } => self.close_client(key, Counter::ClientCloseTimeout),
            ClientState::Closing { .. } => self.reset_client(key, Counter::ClientCloseTimeout),
            ClientState::Lingering { why, .. } => self.close_client(key, why),
        }
    }

    /// While the proxy stops: an idle connection has nothing to wait for, once it may no longer ask.
    pub(crate) fn close_if_idle(&mut self, key: Key) {
        let idle = |c: &Client<I::Socket>| c.state == ClientState::Idle && c.outbox.is_empty() && c.input.is_empty();
        if self.clients.get(key).is_some_and(idle) {
            if !self.idle_stays {
                self.close_client(key, Counter::ClientCloseDrain);
            }
        } else {
            self.drain_session(key);
        }
    }

    pub(crate) fn close_client(&mut self, key: Key, why: Counter) {
        if let Some(link) = self.remove_client(key, why, false) {
            link.close(&mut self.io, &mut self.blocks);
        }
    }

    pub(crate) fn reset_client(&mut self, key: Key, why: Counter) {
        if let Some(link) = self.remove_client(key, why, true) {
            link.reset(&mut self.io, &mut self.blocks, reason_of(why));
        }
    }

    fn remove_client(&mut self, key: Key, why: Counter, reset: bool) -> Option<Link<I::Socket>> {
        self.end_streams(key);
        let mut client = self.clients.remove(key)?;
        match client.state {
            ClientState::Idle => self.row.less(Counter::ClientIdle),
            ClientState::Handshake => self.row.less(Counter::TlsShaking),
            ClientState::Multiplexed => self.row.less(Counter::Http2Open),
            _ => {}
        }
        if let Some(stream) = client.link.stream() {
            self.forget_stream(stream, !client.outbox.is_empty(), why, reset);
        } else {
            self.row.less(Counter::ClientOpen);
            self.host.clients_open.fetch_sub(1, Relaxed);
            self.row.one(why);
        }
        if client.owns {
            self.close_owned(client.number);
        }
        self.wheel.remove(client.timer);
        self.blocks.release(&mut client.input);
        if !client.outbox.is_empty() {
            client.link.break_off();
        }
        client.outbox.clear(&mut self.blocks);
        Some(client.link)
    }
}
