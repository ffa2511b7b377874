//! The one door to the kernel. The worker is generic over it, so that a seeded simulation can run the whole worker on a
//! virtual clock and a hostile network. `sys.rs` is the real one.

use crate::listening::Accepted;
use crate::slab::Key;
use std::net::{IpAddr, SocketAddr};

/// What went wrong in a system call, as far as anybody decides by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Nothing to read, or no room to write, now.
    WouldBlock,
    /// The peer is gone: reset, or closed under our write.
    Reset,
    Refused,
    Unreachable,
    TimedOut,
    /// TLS: the peer's FIN came without its word that nothing follows, so bytes may be missing.
    Cut,
    /// The TLS session failed; it says how.
    Tls,
    /// This host's fault (descriptors, ports, memory, arguments), with the errno.
    Local(i32),
}

/// What a peek at an idle connection shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peek {
    Quiet,
    StrayBytes,
    Closed,
}

/// Whom an event or a timer is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    Client(Key),
    Origin(Key),
    Exchange(Key),
    /// Something lies in the worker's inbox.
    Bell,
    /// The clock reached the time asked for.
    Clock,
    /// The keeper's timer.
    Keeper,
    /// A check of a target: its connection and its timer.
    Check(Key),
    /// Somebody waits at this listening socket.
    Listener(u16),
}

impl Token {
    /// Kind, generation and index packed into what epoll carries.
    #[must_use]
    pub const fn pack(self) -> u64 {
        let (kind, key) = match self {
            Token::Client(key) => (1, key),
            Token::Origin(key) => (2, key),
            Token::Exchange(key) => (3, key),
            Token::Bell => (4, Key { index: 0, generation: 0 }),
            Token::Clock => (5, Key { index: 0, generation: 0 }),
            Token::Keeper => (6, Key { index: 0, generation: 0 }),
            Token::Check(key) => (7, key),
            Token::Listener(number) => (8, Key { index: number as u32, generation: 0 }),
        };
        kind << 56 | (key.generation as u64 & 0xff_ffff) << 32 | key.index as u64
    }

    #[must_use]
    pub const fn unpack(packed: u64) -> Token {
        let key = Key { index: packed as u32, generation: (packed >> 32) as u32 & 0xff_ffff };
        match packed >> 56 {
            1 => Token::Client(key),
            2 => Token::Origin(key),
            3 => Token::Exchange(key),
            4 => Token::Bell,
            5 => Token::Clock,
            7 => Token::Check(key),
            8 => Token::Listener(packed as u16),
            _ => Token::Keeper,
        }
    }
}

/// One socket that became ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub token: Token,
    pub readable: bool,
    pub writable: bool,
    /// The peer will send nothing more (its FIN is here, perhaps behind bytes still to be read).
    pub read_closed: bool,
    /// The connection failed: reset, or never established. (Both sides' FIN is no failure: bytes may still be unread.)
    pub dead: bool,
}

/// TCP's own timers of a connection; 0 = the system's.
#[derive(Clone, Copy, Default, Debug)]
pub struct SocketOptions {
    pub keepalive_ms: u32,
    pub user_timeout_ms: u32,
}

/// A file without a name, which nobody else can open; dropping it frees its bytes.
pub trait File {
    /// Writes all of it.
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), Trouble>;
    /// Fills `bytes`; a file that ends before that was meddled with.
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<(), Trouble>;
}

/// What a worker asks of the kernel. No call waits, but those of files may for a disk.
pub trait Io {
    /// A connected or connecting stream socket; dropping it closes it.
    type Socket: Send;

    /// Monotonic microseconds.
    fn now_us(&mut self) -> u64;
    /// Wall clock, milliseconds since 1970, for `Date` and the logs.
    fn unix_ms(&mut self) -> u64;
    /// Appends what is ready now, without waiting. Returns false when nothing more is known to be ready.
    fn poll_ready(&mut self, ready: &mut Vec<Ready>) -> bool;
    /// Watches a socket for everything, edge-triggered, for as long as it lives.
    fn watch(&mut self, socket: &Self::Socket, token: Token) -> Result<(), Trouble>;
    /// Ends another worker's watch over a socket that this worker took.
    fn unwatch(&mut self, socket: &Self::Socket, worker: u32);
    /// `Ok(0)` is the peer's FIN.
    fn read(&mut self, socket: &Self::Socket, buf: &mut [u8]) -> Result<usize, Trouble>;
    fn write(&mut self, socket: &Self::Socket, bytes: &[u8]) -> Result<usize, Trouble>;
    /// One system call for all parts, in order.
    fn write_parts(&mut self, socket: &Self::Socket, parts: &[&[u8]]) -> Result<usize, Trouble>;
    /// As `write_parts`, for bytes behind which the connection is closed or shut at once: the kernel may let them wait
    /// for the FIN, and so send one packet instead of two.
    fn write_last(&mut self, socket: &Self::Socket, parts: &[&[u8]]) -> Result<usize, Trouble> {
        self.write_parts(socket, parts)
    }
    /// Looks at bytes without taking them, for listeners that expect a PROXY header. `Ok(0)` is the peer's FIN.
    fn peek_bytes(&mut self, socket: &Self::Socket, buf: &mut [u8]) -> Result<usize, Trouble> {
        let _ = (socket, buf);
        Err(Trouble::WouldBlock)
    }
    fn peek(&mut self, socket: &Self::Socket) -> Peek;
    /// The cheaper question: whether bytes lie unread. Says nothing about a FIN.
    fn has_unread(&mut self, socket: &Self::Socket) -> bool {
        self.peek(socket) == Peek::StrayBytes
    }
    /// Begins a connection; its end is an event, its result `connect_result`.
    fn connect(&mut self, to: SocketAddr) -> Result<Self::Socket, Trouble>;
    /// The same from one of our addresses.
    fn connect_from(&mut self, to: SocketAddr, local: Option<IpAddr>) -> Result<Self::Socket, Trouble> {
        let _ = local;
        self.connect(to)
    }
    /// Sets what an origin's connections are to have beyond the usual.
    fn tune(&mut self, socket: &Self::Socket, options: &SocketOptions) {
        let _ = (socket, options);
    }
    fn connect_result(&mut self, socket: &Self::Socket) -> Result<(), Trouble>;
    fn shutdown_write(&mut self, socket: &Self::Socket);
    fn close(&mut self, socket: Self::Socket);
    /// Closes with a reset, so that the peer cannot take what it got for complete.
    fn reset(&mut self, socket: Self::Socket);
    /// Makes a file in this folder.
    fn create_file(&mut self, folder: &str) -> Result<Box<dyn File>, Trouble>;
    /// Asks for a `Token::Clock` event at this monotonic time; the latest call counts.
    fn wake_at_ms(&mut self, at_ms: Option<u64>);
    /// Wakes a worker because its inbox was filled.
    fn ring(&self, worker: u32);
    /// Descriptors this process may have; 0 = unknown, and then they are never short.
    fn descriptors_max(&self) -> u64 {
        0
    }
    /// Takes one connection from a listening socket that this worker watches itself. `certain`: an event has said that
    /// somebody waits.
    fn accept(&mut self, listener: u16, certain: bool) -> Accepted<Self::Socket> {
        let _ = (listener, certain);
        Accepted::Nobody
    }
    /// Whether listening sockets came or went since this worker took them.
    fn listening_changed(&self) -> bool {
        false
    }
    /// Takes them as they are now.
    fn renew_listening(&mut self) -> Result<(), Trouble> {
        Ok(())
    }
    /// Closes the listening sockets that this worker watches.
    fn stop_listening(&mut self) {}
    /// Takes the worker's own bell back before it reads its inbox.
    fn hush(&mut self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_way_through_epoll() {
        let key = Key { index: 0xffff_fff0, generation: 0xff_fffe };
        let keyed = [Token::Client(key), Token::Origin(key), Token::Exchange(key), Token::Check(key)];
        for token in keyed.into_iter().chain([Token::Bell, Token::Clock, Token::Keeper, Token::Listener(65_535)]) {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
