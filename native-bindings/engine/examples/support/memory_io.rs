//! A kernel of two sockets in memory, for counting instructions: it does what a real one would answer, at next to no
//! cost of its own, and always the same.

use engine::io::{File, Io, Peek, Ready, Token, Trouble};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

pub const CLIENT: usize = 0;
pub const ORIGIN: usize = 1;

/// What lies between the worker and its peers.
#[derive(Default)]
pub struct Wire {
    incoming: [&'static [u8]; 2],
    tokens: [Option<Token>; 2],
    /// Bytes the worker has written to each.
    pub written: [usize; 2],
    ready: Vec<Ready>,
    now_us: u64,
}

impl Wire {
    /// Bytes arrive for a socket that has none unread.
    pub fn arrive(&mut self, socket: usize, bytes: &'static [u8]) {
        assert!(self.incoming[socket].is_empty(), "the worker left bytes unread");
        self.incoming[socket] = bytes;
        self.event(socket, true);
    }

    pub fn ring(&mut self) {
        self.ready.push(Ready { token: Token::Bell, readable: true, writable: false, read_closed: false, dead: false });
    }

    /// The connection to the origin is established.
    pub fn establish(&mut self) {
        self.event(ORIGIN, false);
    }

    fn event(&mut self, socket: usize, readable: bool) {
        let token = self.tokens[socket].expect("a watched socket");
        self.ready.push(Ready { token, readable, writable: true, read_closed: false, dead: false });
    }
}

pub struct MemoryIo(pub Rc<RefCell<Wire>>);

impl Io for MemoryIo {
    type Socket = usize;

    fn now_us(&mut self) -> u64 {
        let mut wire = self.0.borrow_mut();
        wire.now_us += 10;
        wire.now_us
    }

    fn unix_ms(&mut self) -> u64 {
        784_111_777_000
    }

    fn poll_ready(&mut self, ready: &mut Vec<Ready>) -> bool {
        ready.append(&mut self.0.borrow_mut().ready);
        false
    }

    fn watch(&mut self, socket: &usize, token: Token) -> Result<(), Trouble> {
        self.0.borrow_mut().tokens[*socket] = Some(token);
        Ok(())
    }

    fn unwatch(&mut self, _socket: &usize, _worker: u32) {}

    fn read(&mut self, socket: &usize, buf: &mut [u8]) -> Result<usize, Trouble> {
        let bytes = std::mem::take(&mut self.0.borrow_mut().incoming[*socket]);
        if bytes.is_empty() {
            return Err(Trouble::WouldBlock);
        }
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write(&mut self, socket: &usize, bytes: &[u8]) -> Result<usize, Trouble> {
        self.0.borrow_mut().written[*socket] += bytes.len();
        Ok(bytes.len())
    }

    fn write_parts(&mut self, socket: &usize, parts: &[&[u8]]) -> Result<usize, Trouble> {
        let total = parts.iter().map(|part| part.len()).sum();
        self.0.borrow_mut().written[*socket] += total;
        Ok(total)
    }

    fn peek(&mut self, _socket: &usize) -> Peek {
        Peek::Quiet
    }

    fn connect(&mut self, _to: SocketAddr) -> Result<usize, Trouble> {
        Ok(ORIGIN)
    }

    fn connect_result(&mut self, _socket: &usize) -> Result<(), Trouble> {
        Ok(())
    }

    fn shutdown_write(&mut self, _socket: &usize) {}

    fn close(&mut self, _socket: usize) {}

    fn reset(&mut self, _socket: usize) {}

    fn create_file(&mut self, _folder: &str) -> Result<Box<dyn File>, Trouble> {
        Err(Trouble::Local(0))
    }

    fn wake_at_ms(&mut self, _at_ms: Option<u64>) {}

    fn ring(&self, _worker: u32) {
        self.0.borrow_mut().ring();
    }

    fn hush(&mut self) {}
}
