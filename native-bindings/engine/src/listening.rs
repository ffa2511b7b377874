//! Listening sockets: opening them, and taking one connection at a time from them, also where no descriptor is left.

use crate::io::Trouble;
use crate::sys::trouble;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, acceptfrom_with, socket_with, sockopt};
use std::net::{SocketAddr, TcpListener};

/// What became of taking one connection.
pub enum Accepted<S> {
    One {
        socket: S,
        peer: SocketAddr,
    },
    Nobody,
    /// Descriptors or memory are short; whoever waited was refused.
    Failed,
}

/// The listening sockets of a proxy, as the one thread holds them that takes connections from them.
pub struct Listening {
    sockets: Vec<OwnedFd>,
    /// Held so that one descriptor can be freed to take and refuse a connection when none are left.
    spare: Option<OwnedFd>,
}

impl Listening {
    #[must_use]
    pub fn new(sockets: Vec<OwnedFd>) -> Self {
        Self { sockets, spare: spare() }
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.sockets.len()
    }

    /// Adds every socket to an epoll set, level-triggered: ready for as long as somebody waits.
    pub fn watch(&self, set: BorrowedFd<'_>, data: impl Fn(u16) -> u64) -> Result<(), Trouble> {
        for (number, socket) in self.sockets.iter().enumerate() {
            epoll::add(set, socket, EventData::new_u64(data(number as u16)), EventFlags::IN).map_err(trouble)?;
        }
        Ok(())
    }

    /// Ends what `watch` began.
    pub fn unwatch(&self, set: BorrowedFd<'_>) {
        for socket in &self.sockets {
            // It was added by `watch`; a set that has forgotten it is what is wanted.
            let _ = epoll::delete(set, socket);
        }
    }

    /// Closes the sockets of this thread.
    pub fn close(&mut self) {
        self.sockets.clear();
    }

    /// Takes a connection, if one waits. `certain`: an event has said so. Otherwise it is asked first, which costs a tenth
    /// of an `accept` in vain, for which the kernel makes a socket before it looks.
    pub fn accept(&mut self, number: usize, certain: bool) -> Accepted<OwnedFd> {
        let Some(socket) = self.sockets.get(number) else { return Accepted::Nobody };
        if !certain && !somebody_waits(socket) {
            return Accepted::Nobody;
        }
        match accept(socket) {
            Ok((socket, peer)) => Accepted::One { socket, peer },
            Err(Trouble::WouldBlock) => Accepted::Nobody,
            Err(_) => {
                // Without this, the connection that cannot be taken would wake the thread for ever.
                self.spare = None;
                let _ = accept(socket);
                self.spare = spare();
                Accepted::Failed
            }
        }
    }
}

fn spare() -> Option<OwnedFd> {
    eventfd(0, EventfdFlags::CLOEXEC).ok()
}

fn somebody_waits(listener: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut asked, Some(&at_once)), Ok(1..))
}

fn accept(listener: &OwnedFd) -> Result<(OwnedFd, SocketAddr), Trouble> {
    loop {
        match acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok((socket, Some(peer))) => match SocketAddr::try_from(peer) {
                Ok(peer) => return Ok((socket, peer)),
                Err(_) => continue,
            },
            // The peer went away between its handshake and us.
            Ok((_, None)) | Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => {}
            Err(errno) => return Err(trouble(errno)),
        }
    }
}

/// Opens a listening socket. What it accepts inherits TCP_NODELAY, which saves a call for each connection.
pub fn listen(at: SocketAddr, backlog: u32) -> Result<(OwnedFd, SocketAddr), std::io::Error> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::bind(&socket, &at)?;
    rustix::net::listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((OwnedFd::from(listener), address))
}
