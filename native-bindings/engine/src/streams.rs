//! Streams of HTTP/2 as clients: a request that came on one goes the way of every request, and its answer leaves by
//! frames instead of lines. A stream's slot lives from its request to its end; what it shares with the others (the
//! client's address, TLS, the socket) is its connection's.

use crate::client::{Client, ClientState};
use crate::http2::bell::Bell;
use crate::http2::session::Asked;
use crate::http2::stream::Stream;
use crate::http2::text;
use crate::io::{Io, Token};
use crate::ip_text::IpText;
use crate::link::Link;
use crate::log::PeerText;
use crate::slab::{Key, Slab};
use crate::stats::Counter;
use crate::tls::Session as TlsSession;
use crate::tls_client::base64;
use crate::worker::Worker;
use h2::Reason;
use h2::ext::Protocol;
use proto::fault::WireFault;
use proto::http1::head::Parsed;
use proto::limits::BLOCK_BYTES;
use std::net::{IpAddr, Ipv4Addr};

/// Body bytes that go along with a head, if they are here with it.
const FIRST_BODY_BYTES: usize = 8 * 1024;

/// Whose a connection is; its streams take that over.
#[derive(Clone, Copy)]
pub struct Who {
    pub ip: IpText,
    pub port: u16,
    pub listener: u16,
    pub trusted: bool,
    pub number: u64,
}

impl Who {
    /// Nobody any more.
    pub(crate) fn nobody() -> Self {
        Self { ip: IpText::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port: 0, listener: 0, trusted: false, number: 0 }
    }
}

/// The TLS of a client: its own, or that of the connection it is a stream of.
pub(crate) fn tls_of<S>(clients: &Slab<Client<S>>, key: Key) -> Option<&TlsSession> {
    let client = clients.get(key)?;
    match client.link.stream() {
        None => client.link.tls.as_deref(),
        Some(stream) => clients.get(stream.parent)?.link.tls.as_deref(),
    }
}

/// Whether a client is a stream of another's connection.
pub(crate) fn is_stream<S>(clients: &Slab<Client<S>>, key: Key) -> bool {
    clients.get(key).is_some_and(|client| client.link.is_stream())
}

/// As the log names a client.
pub(crate) fn peer_of<S>(clients: &Slab<Client<S>>, key: Key) -> Option<PeerText<'_>> {
    let client = clients.get(key)?;
    Some(PeerText { ip: &client.ip, port: client.port, tls: tls_of(clients, key) })
}

/// What a stream is reset with: CANCEL when its client took nothing for too long.
pub(crate) const fn reason_of(why: Counter) -> Reason {
    match why {
        Counter::ClientCloseTimeout => Reason::CANCEL,
        _ => Reason::INTERNAL_ERROR,
    }
}

impl<I: Io> Worker<I> {
    /// A request came on a connection: it gets a slot of its own and goes the way of every request.
    pub(crate) fn open_stream(&mut self, parent: Key, asked: Asked) {
        let (request, respond) = asked;
        let connect = request.extensions().get::<Protocol>().is_some();
        let (head, body) = request.into_parts();
        let ended = body.is_end_stream();
        let request = http::Request::from_parts(head, ());
        let nonce = if connect { self.nonce() } else { String::new() };
        let mut bytes = self.blocks.take(BLOCK_BYTES);
        let written = text::write_request(&mut bytes, &request, ended, &nonce);
        let bell = Bell::new(&self.rung);
        let mut stream = Stream::of_client(parent, bell, respond, body);
        stream.connect = connect;
        let Some(key) = self.new_stream(parent, stream) else { return };
        let mut head = self.head.take().unwrap_or_default();
        let parsed = written.map_err(text::Unwritable::fault).and_then(|()| head.parse(&bytes, &self.plan.head_limits));
        match parsed {
            Ok(Parsed::Complete) => {
                self.read_first_body(key, &mut bytes);
                self.begin(key, &head, &mut bytes);
            }
            // A head of our own writing is whole; only its length can make it seem otherwise.
            Ok(Parsed::Partial) => self.refuse_bytes(key, WireFault::HeadTooLarge),
            Err(fault) => self.refuse_bytes(key, fault),
        }
        self.head = Some(head);
        self.blocks.give(bytes);
    }

    /// A slot for a stream, which takes over what is known of its connection.
    fn new_stream(&mut self, parent: Key, stream: Stream) -> Option<Key> {
        let (id, bell) = (stream.id, std::sync::Arc::clone(&stream.bell));
        let timer = self.wheel.add(0);
        let limits = &self.plan.plan.limits;
        let age_max = u64::from(self.plan.plan.persistence.client_age_ms);
        let now_ms = self.now_us / 1000;
        let connection = self.clients.get_mut(parent)?;
        connection.requests += 1;
        let spent = limits.client_requests != 0 && connection.requests >= limits.client_requests;
        let aged = age_max != 0 && now_ms >= connection.since_ms + age_max;
        let leaves = !self.plan.plan.persistence.client || self.scarce || spent || aged;
        let who = Who {
            ip: connection.ip,
            port: connection.port,
            listener: connection.listener,
            trusted: connection.trusted,
            number: connection.number,
        };
        let client = Client::new(Link::on_stream(stream), ClientState::Head, timer, who, now_ms);
        let key = self.clients.insert(client);
        bell.set_name(Token::Client(key));
        self.wheel.set_owner(timer, Token::Client(key).pack());
        let session = self.clients.get_mut(parent)?.http2.as_mut()?;
        session.streams.insert(id, key);
        session.idle_since_ms = None;
        if leaves && !session.leaving {
            session.leave();
        }
        self.row.one(Counter::Http2Streams);
        self.row.one(Counter::Http2StreamsOpen);
        Some(key)
    }

    /// What is here of the body goes along with the head.
    fn read_first_body(&mut self, key: Key, bytes: &mut Vec<u8>) {
        let Some(stream) = self.clients.get_mut(key).and_then(|client| client.link.stream_mut()) else { return };
        if stream.has_ended() || stream.connect {
            return;
        }
        let head = bytes.len();
        bytes.resize(head + FIRST_BODY_BYTES, 0);
        let count = stream.read(&mut bytes[head..]).unwrap_or(0);
        bytes.truncate(head + count);
    }

    /// Random text for the key of a WebSocket's handshake (RFC 6455 4.1), which HTTP/2 does without.
    fn nonce(&mut self) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.dice.roll().to_ne_bytes());
        bytes[8..].copy_from_slice(&self.dice.roll().to_ne_bytes());
        base64(&bytes)
    }

    /// A stream can go on: something came, its window grew, or it was reset.
    pub(crate) fn stream_rang(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(stream) = client.link.stream_mut() else { return };
        stream.bell.hush();
        if stream.is_gone() {
            self.client_gone(key);
            return;
        }
        client.readable = true;
        if !client.outbox.is_empty() && !self.flush_client(key) {
            return;
        }
        self.client_go(key);
    }

    /// Whether a client takes more of its answer now. A stream also waits for its connection: for its socket, and for what
    /// all its streams hold; but not to begin (`first`), for a head needs no window, and one answer that its client leaves
    /// lying must not keep the others from it.
    pub(crate) fn client_takes(&mut self, key: Key, first: bool) -> bool {
        let Some(client) = self.clients.get(key) else { return true };
        let Some(stream) = client.link.stream() else { return client.outbox.is_empty() };
        if !client.outbox.is_empty() {
            return false;
        }
        let most = self.plan.plan.http2.connection_buffer_bytes as usize;
        let Some(connection) = self.clients.get_mut(stream.parent) else { return true };
        let blocked = !connection.outbox.is_empty();
        let Some(session) = connection.http2.as_mut() else { return true };
        let takes = !blocked && (first || session.held < most);
        if !takes && !session.paused.contains(&key) {
            session.paused.push(key);
        }
        takes
    }

    /// Goes on with the streams that waited for their connection.
    pub(crate) fn resume_streams(&mut self, parent: Key) {
        let Some(session) = self.clients.get_mut(parent).and_then(|client| client.http2.as_mut()) else { return };
        for key in std::mem::take(&mut session.paused) {
            let Some(client) = self.clients.get(key) else { continue };
            let exchange = client.exchange;
            match client.state {
                ClientState::Tunnel => self.tunnel_go(exchange),
                _ => self.download_go(exchange),
            }
        }
    }

    /// Keeps the connection's account of what its streams hold.
    pub(crate) fn settle_held(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let holds = client.outbox.len();
        let Some(stream) = client.link.stream_mut() else { return };
        let (parent, held) = (stream.parent, std::mem::replace(&mut stream.held, holds));
        self.hold_on_session(parent, held, holds);
    }

    fn hold_on_session(&mut self, parent: Key, before: usize, after: usize) {
        let most = self.plan.plan.http2.connection_buffer_bytes as usize;
        let Some(session) = self.clients.get_mut(parent).and_then(|client| client.http2.as_mut()) else { return };
        let was_full = session.held >= most;
        session.held = (session.held + after).saturating_sub(before);
        if was_full && session.held < most {
            self.again.push(Token::Client(parent));
        }
    }

    /// Sends a head, if there is one, and a piece of the body behind it; `done` ends the message, with trailer lines.
    pub(crate) fn answer_on_stream(&mut self, key: Key, head: &[u8], data: &[u8], done: bool, trailers: &[u8]) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(stream) = client.link.stream_mut() else { return };
        let bare = done && data.is_empty() && trailers.is_empty();
        if !head.is_empty() {
            stream.send_head(head, bare);
        }
        if done {
            stream.end_with(trailers);
        }
        let last = done && trailers.is_empty();
        if !data.is_empty() {
            self.send_to_client(key, &[data], last);
        }
        if let Some(client) = self.clients.get_mut(key).filter(|client| client.outbox.is_empty()) {
            if let Some(stream) = client.link.stream_mut() {
                stream.finish();
            }
        }
    }

    /// Sends an answer of our own, head and body in one text.
    pub(crate) fn own_answer_on_stream(&mut self, key: Key, text: &[u8]) {
        let head = memchr::memmem::find(text, b"\r\n\r\n").map_or(text.len(), |at| at + 4);
        self.answer_on_stream(key, &text[..head], &text[head..], true, &[]);
    }

    /// Sends an interim answer's head.
    pub(crate) fn send_interim(&mut self, key: Key, head: &[u8]) {
        let stream = self.clients.get_mut(key).and_then(|client| client.link.stream_mut());
        match stream {
            Some(stream) => stream.send_interim(head),
            None => self.send_to_client(key, &[head], false),
        }
    }

    /// Whether the client asked for a WebSocket by an extended CONNECT.
    pub(crate) fn asked_to_connect(&self, key: Key) -> bool {
        self.clients.get(key).and_then(|client| client.link.stream()).is_some_and(|stream| stream.connect)
    }

    /// A stream's slot is given up: its connection forgets it.
    pub(crate) fn forget_stream(&mut self, stream: &Stream, blocked: bool, why: Counter, reset: bool) {
        self.row.less(Counter::Http2StreamsOpen);
        match why {
            Counter::ClientCloseByClient | Counter::ClientCloseError => self.row.one(Counter::Http2ResetByClient),
            Counter::ClientCloseTimeout if blocked => self.row.one(Counter::Http2Stalled),
            _ if reset => self.row.one(Counter::Http2ResetByUs),
            _ => {}
        }
        self.hold_on_session(stream.parent, stream.held, 0);
        let parent = stream.parent;
        let Some(session) = self.clients.get_mut(parent).and_then(|client| client.http2.as_mut()) else { return };
        session.streams.remove(&stream.id);
        if session.streams.is_empty() {
            // Its idle time begins.
            session.bell.ring();
        }
    }
}
