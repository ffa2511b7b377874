//! A connection as bytes: its socket and, where it speaks TLS, the session between the socket and everybody else; or, in
//! place of both, a stream on a connection of HTTP/2. What the socket does not take at once waits in an outbox, already
//! sealed, so that order is kept and nothing is sealed twice.

use crate::blocks::Blocks;
use crate::http2::stream::Stream;
use crate::io::{Io, Peek, Ready, Trouble};
use crate::outbox::Outbox;
use crate::tls::{Session, TlsTrouble};
use h2::Reason;

/// Read at least this much from a socket that speaks TLS, or a record might never become whole.
const READ_BYTES_MIN: usize = 18 * 1024;

/// Reads of the socket that one call makes room for. A peer may fill its records with what is not the application's (key
/// updates, padding), and none of that may keep the others waiting.
const READS_MAX: u32 = 2;

/// One connection's way to the wire.
pub struct Link<S> {
    carrier: Carrier<S>,
    pub tls: Option<Box<Session>>,
    /// The last read stopped before the socket was empty.
    stopped: bool,
    /// An event told that the peer's end has come. No event tells of it again.
    ended: bool,
}

/// What carries a connection's bytes.
enum Carrier<S> {
    Socket(S),
    /// A stream of a connection that other streams share.
    Stream(Box<Stream>),
}

/// A connection's way out.
pub enum Ways<'a, S> {
    Plain(&'a S),
    Sealed(&'a mut Session, &'a S),
    Stream(&'a mut Stream),
}

/// How far a handshake is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shake {
    Done,
    /// The peer has to say more.
    Waiting,
}

impl<S> Link<S> {
    pub fn plain(socket: S) -> Self {
        Self { carrier: Carrier::Socket(socket), tls: None, stopped: false, ended: false }
    }

    pub fn on_stream(stream: Stream) -> Self {
        Self { carrier: Carrier::Stream(Box::new(stream)), tls: None, stopped: false, ended: false }
    }

    /// Its own socket; a stream has none.
    #[must_use]
    pub fn socket(&self) -> Option<&S> {
        match &self.carrier {
            Carrier::Socket(socket) => Some(socket),
            Carrier::Stream(_) => None,
        }
    }

    /// What its bytes pass on their way out.
    #[inline]
    pub fn ways(&mut self) -> Ways<'_, S> {
        match (&mut self.carrier, &mut self.tls) {
            (Carrier::Socket(socket), None) => Ways::Plain(socket),
            (Carrier::Socket(socket), Some(session)) => Ways::Sealed(session, socket),
            (Carrier::Stream(stream), _) => Ways::Stream(stream),
        }
    }

    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.carrier, Carrier::Stream(_))
    }

    #[must_use]
    pub fn stream(&self) -> Option<&Stream> {
        match &self.carrier {
            Carrier::Socket(_) => None,
            Carrier::Stream(stream) => Some(stream),
        }
    }

    pub fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.carrier {
            Carrier::Socket(_) => None,
            Carrier::Stream(stream) => Some(stream),
        }
    }
}

impl<S: Send> Link<S> {
    pub fn connect_result<I: Io<Socket = S>>(&self, io: &mut I) -> Result<(), Trouble> {
        self.socket().map_or(Ok(()), |socket| io.connect_result(socket))
    }

    /// What is seen on a connection at rest. `thorough`: a FIN too, which costs more.
    pub fn peek<I: Io<Socket = S>>(&self, io: &mut I, thorough: bool) -> Peek {
        match self.socket() {
            Some(socket) if thorough => io.peek(socket),
            Some(socket) if io.has_unread(socket) => Peek::StrayBytes,
            _ => Peek::Quiet,
        }
    }

    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Takes in what an event told of the socket.
    pub fn handle_event(&mut self, event: &Ready) {
        self.ended |= event.read_closed || event.dead;
    }

    /// Whether another read finds more after one of `count` bytes into room for `room`. The peer's word that it sends
    /// nothing more counts, and so does a failure behind what was read, for they have no event of their own.
    #[must_use]
    pub fn may_hold_more(&self, count: usize, room: usize) -> bool {
        let failed = self.tls.as_ref().is_some_and(|session| session.failed.is_some());
        let streams = self.stream().is_some_and(Stream::may_hold_more);
        count == room || self.stopped || failed || streams || self.peer_ended()
    }

    /// Whether the peer has said by TLS's word that it sends nothing more.
    #[must_use]
    pub fn peer_ended(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.peer_ended())
    }

    /// Reads the application's bytes. `Ok(0)` is the peer's end: its FIN, or, with TLS, its word. A FIN without that word
    /// is `Trouble::Cut`. Whether that was all there was, says `may_hold_more`.
    pub fn read<I: Io<Socket = S>>(
        &mut self,
        io: &mut I,
        blocks: &mut Blocks,
        outbox: &mut Outbox,
        buf: &mut [u8],
    ) -> Result<usize, Trouble> {
        match (&mut self.carrier, &self.tls) {
            (Carrier::Stream(stream), _) => stream.read(buf),
            (Carrier::Socket(socket), None) => io.read(socket, buf),
            (Carrier::Socket(_), Some(_)) => self.read_sealed(io, blocks, outbox, buf),
        }
    }

    fn read_sealed<I: Io<Socket = S>>(
        &mut self,
        io: &mut I,
        blocks: &mut Blocks,
        outbox: &mut Outbox,
        buf: &mut [u8],
    ) -> Result<usize, Trouble> {
        let (Carrier::Socket(socket), Some(session)) = (&self.carrier, self.tls.as_mut()) else {
            return Err(Trouble::WouldBlock);
        };
        let mut len = session.fetch(buf, blocks);
        let mut reads = 0;
        self.stopped = false;
        while len < buf.len() && !session.peer_ended() && session.failed.is_none() {
            let ask = (buf.len() - len).max(READ_BYTES_MIN);
            match read_records(session, socket, io, blocks, outbox, ask, &mut buf[len..]) {
                Ok(Came::Records { opened, drained }) => {
                    len += opened;
                    reads += 1;
                    // Half a record with the end behind it is read up to that end.
                    if drained && (len > 0 || !self.ended) {
                        break;
                    }
                    if reads == READS_MAX {
                        self.stopped = true;
                        break;
                    }
                }
                Ok(Came::Fin) if session.is_open() => return if len > 0 { Ok(len) } else { Err(Trouble::Cut) },
                Ok(Came::Fin) => session.failed = Some(TlsTrouble::Eof),
                Err(Trouble::Tls) => len += session.fetch(&mut buf[len..], blocks),
                Err(Trouble::WouldBlock) if len > 0 => return Ok(len),
                Err(trouble) => return Err(trouble),
            }
        }
        if self.stopped && len == 0 {
            // Two buffers of records, and nothing in them for anybody.
            session.failed = Some(TlsTrouble::Peer("records without content".into()));
        }
        match () {
            () if len > 0 => Ok(len),
            () if session.failed.is_some() => Err(Trouble::Tls),
            () if session.peer_ended() => Ok(0),
            () => Err(Trouble::WouldBlock),
        }
    }

    /// Goes on with the handshake, as far as the bytes that came allow.
    /// `ended`: the peer's end is known to have come. No event tells of it again, so it is read up to.
    pub fn shake<I: Io<Socket = S>>(
        &mut self,
        io: &mut I,
        blocks: &mut Blocks,
        outbox: &mut Outbox,
        ended: bool,
    ) -> Result<Shake, TlsTrouble> {
        while self.tls.as_ref().is_some_and(|session| !session.is_open()) {
            // No room for the application's bytes: what comes with the last of the handshake waits in the session.
            match self.read_handshake(io, blocks, outbox) {
                Ok(more) if more || ended || self.tls.as_ref().is_some_and(|session| session.is_open()) => {}
                Ok(_) | Err(Trouble::WouldBlock) => return Ok(Shake::Waiting),
                Err(trouble) => {
                    let said = self.tls.as_ref().and_then(|session| session.failed.clone());
                    return Err(said.unwrap_or(match trouble {
                        Trouble::Local(errno) => TlsTrouble::Local(format!("errno {errno}")),
                        _ => TlsTrouble::Eof,
                    }));
                }
            }
        }
        Ok(Shake::Done)
    }

    /// Reads once. Returns whether the socket may hold more.
    fn read_handshake<I: Io<Socket = S>>(
        &mut self,
        io: &mut I,
        blocks: &mut Blocks,
        outbox: &mut Outbox,
    ) -> Result<bool, Trouble> {
        let (Carrier::Socket(socket), Some(session)) = (&self.carrier, self.tls.as_mut()) else { return Ok(false) };
        match read_records(session, socket, io, blocks, outbox, READ_BYTES_MIN, &mut [])? {
            Came::Records { drained, .. } => Ok(!drained),
            Came::Fin => {
                session.failed = Some(TlsTrouble::Eof);
                Err(Trouble::Tls)
            }
        }
    }

    /// Puts a session between the socket and everybody else, and says its first words.
    pub fn secure<I: Io<Socket = S>>(
        &mut self,
        session: Session,
        io: &mut I,
        blocks: &mut Blocks,
        outbox: &mut Outbox,
    ) -> Result<(), TlsTrouble> {
        let session = self.tls.insert(Box::new(session));
        let mut words = Vec::new();
        session.begin(&mut words)?;
        if let Carrier::Socket(socket) = &self.carrier {
            let _ = outbox.send_raw(io, socket, blocks, &words);
        }
        Ok(())
    }

    /// What unread bytes are on a connection at rest. The session's own (tickets, key updates) are taken, and are quiet.
    pub fn look_inside<I: Io<Socket = S>>(&mut self, io: &mut I, blocks: &mut Blocks) -> Peek {
        if !self.is_tls() {
            return Peek::StrayBytes;
        }
        let (mut outbox, mut buf) = (Outbox::default(), [0u8; 1]);
        let read = self.read(io, blocks, &mut outbox, &mut buf);
        let replied = outbox.is_empty();
        if !replied {
            self.break_off();
        }
        outbox.clear(blocks);
        match read {
            // A reply that does not fit at once: the connection is not fit for another request.
            Err(Trouble::WouldBlock) if replied => Peek::Quiet,
            Ok(1..) => Peek::StrayBytes,
            Ok(0) | Err(_) => Peek::Closed,
        }
    }

    /// Nothing more is written: says so in TLS, then by FIN. The outbox must be empty.
    pub fn end_writing<I: Io<Socket = S>>(&mut self, io: &mut I, blocks: &mut Blocks) {
        self.say_end(io, blocks);
        match &mut self.carrier {
            Carrier::Socket(socket) => io.shutdown_write(socket),
            Carrier::Stream(stream) => stream.end_writing(),
        }
    }

    fn say_end<I: Io<Socket = S>>(&mut self, io: &mut I, blocks: &mut Blocks) {
        let (Carrier::Socket(socket), Some(session)) = (&self.carrier, self.tls.as_mut()) else { return };
        let mut sealed = std::mem::take(&mut blocks.sealed);
        sealed.clear();
        if session.end(&mut sealed).is_ok() && !sealed.as_bytes().is_empty() {
            // Where the kernel has no room for these few bytes, the peer sees the FIN alone.
            let _ = io.write(socket, sealed.as_bytes());
        }
        blocks.sealed = sealed;
    }

    /// Forgets to say in TLS that this side is done: half a record is on the wire, and nothing may follow it.
    pub fn break_off(&mut self) {
        if let Some(session) = self.tls.as_mut() {
            session.break_off();
        }
    }

    /// Ends TLS on this connection; what still comes is read as it is.
    pub fn drop_tls(&mut self, blocks: &mut Blocks) {
        if let Some(mut session) = self.tls.take() {
            session.release(blocks);
        }
    }

    /// Closes, after saying so in TLS. A stream that is let go before its end is reset by that.
    pub fn close<I: Io<Socket = S>>(mut self, io: &mut I, blocks: &mut Blocks) {
        self.say_end(io, blocks);
        self.drop_tls(blocks);
        if let Carrier::Socket(socket) = self.carrier {
            io.close(socket);
        }
    }

    /// Closes with a reset, so that the peer cannot take what it got for complete. `reason` is what a stream's is told.
    pub fn reset<I: Io<Socket = S>>(mut self, io: &mut I, blocks: &mut Blocks, reason: Reason) {
        self.drop_tls(blocks);
        match self.carrier {
            Carrier::Socket(socket) => io.reset(socket),
            Carrier::Stream(mut stream) => stream.reset(reason),
        }
    }
}

/// What one read of a socket that speaks TLS brought.
enum Came {
    /// `opened` bytes of the application; `drained`: the socket held no more.
    Records {
        opened: usize,
        drained: bool,
    },
    Fin,
}

/// Reads once, at most `ask` bytes behind those the session has seen, and opens them. What the session says back is sent.
/// `Trouble::Tls`: the session failed, and says how.
fn read_records<I: Io>(
    session: &mut Session,
    socket: &I::Socket,
    io: &mut I,
    blocks: &mut Blocks,
    outbox: &mut Outbox,
    ask: usize,
    buf: &mut [u8],
) -> Result<Came, Trouble> {
    let mut wire = std::mem::take(&mut blocks.wire);
    let held = session.pending().len();
    if wire.len() < held + ask {
        wire.resize(held + ask, 0);
    }
    wire[..held].copy_from_slice(session.pending());
    let came = match io.read(socket, &mut wire[held..held + ask]) {
        Ok(0) => Ok(Came::Fin),
        Ok(count) => {
            let mut reply = Vec::new();
            let opened = session.open(&mut wire[..held + count], buf, blocks, &mut reply);
            if !reply.is_empty() {
                // A peer that is gone is noticed by its own event.
                let _ = outbox.send_raw(io, socket, blocks, &reply);
            }
            opened.map(|opened| Came::Records { opened, drained: count < ask }).map_err(|trouble| {
                session.failed = Some(trouble);
                Trouble::Tls
            })
        }
        Err(trouble) => Err(trouble),
    };
    blocks.wire = wire;
    came
}
