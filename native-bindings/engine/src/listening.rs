//! Listening sockets: opening them, handing them to whoever takes connections, and taking one connection at a time from
//! them, also where no descriptor is left.

use crate::io::Trouble;
use crate::sys::trouble;
use parking_lot::Mutex;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::{Errno, FdFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, acceptfrom_with, socket_with, sockopt};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

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

/// A listening socket at the place of its listener in the plan; none where that is gone.
pub type Socket = Option<OwnedFd>;

/// The listening sockets of a proxy. The one thread that takes connections from them holds copies, and takes others when
/// they changed.
#[derive(Default)]
pub struct Sockets {
    held: Mutex<Vec<Socket>>,
    changes: AtomicU32,
    /// The change that the thread which holds copies has come to.
    taken: AtomicU32,
}

impl Sockets {
    /// Others in the place of the present ones; those that are not among them close as soon as nobody has a copy.
    pub fn put(&self, sockets: Vec<Socket>) {
        *self.held.lock() = sockets;
        self.changes.fetch_add(1, AcqRel);
    }

    /// Rises with each change. What was done before a change is seen by whoever has seen it.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.changes.load(Acquire)
    }

    /// Whether the thread that takes connections has the sockets as they are.
    #[must_use]
    pub fn are_taken(&self) -> bool {
        self.taken.load(Acquire) == self.changes()
    }

    /// Copies of all of them, and which change they are of.
    pub fn copies(&self) -> Result<(Vec<Socket>, u32), Trouble> {
        // Asked before: what changes meanwhile is another change.
        let changes = self.changes();
        let held = self.held.lock();
        let copies = held.iter().map(|one| one.as_ref().map(OwnedFd::try_clone).transpose());
        let copies = copies.collect::<std::io::Result<Vec<Socket>>>();
        copies.map(|copies| (copies, changes)).map_err(|error| Trouble::Local(error.raw_os_error().unwrap_or(0)))
    }

    /// Their numbers, at their places.
    #[must_use]
    pub fn descriptors(&self) -> Vec<Option<RawFd>> {
        self.held.lock().iter().map(|one| one.as_ref().map(AsRawFd::as_raw_fd)).collect()
    }

    fn handle_taken(&self, change: u32) {
        self.taken.store(change, Release);
    }
}

/// The listening sockets of a proxy, as the one thread holds them that takes connections from them.
pub struct Listening {
    sockets: Vec<Socket>,
    /// Held so that one descriptor can be freed to take and refuse a connection when none are left.
    spare: Option<OwnedFd>,
}

impl Default for Listening {
    fn default() -> Self {
        Self { sockets: Vec::new(), spare: spare() }
    }
}

impl Listening {
    /// Places, those of listeners that are gone included.
    #[must_use]
    pub fn places(&self) -> usize {
        self.sockets.len()
    }

    /// Sockets.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sockets.iter().flatten().count()
    }

    /// Takes the sockets of the proxy as they are now; those that are gone close. Returns which change that was.
    pub fn renew(&mut self, from: &Sockets, set: BorrowedFd<'_>, data: impl Fn(u16) -> u64) -> Result<u32, Trouble> {
        let (sockets, change) = from.copies()?;
        self.unwatch(set);
        self.sockets = sockets;
        self.watch(set, data)?;
        from.handle_taken(change);
        Ok(change)
    }

    /// Adds every socket to an epoll set, level-triggered: ready for as long as somebody waits.
    fn watch(&self, set: BorrowedFd<'_>, data: impl Fn(u16) -> u64) -> Result<(), Trouble> {
        for (number, socket) in self.sockets.iter().enumerate() {
            let Some(socket) = socket else { continue };
            epoll::add(set, socket, EventData::new_u64(data(number as u16)), EventFlags::IN).map_err(trouble)?;
        }
        Ok(())
    }

    /// Ends what `watch` began.
    pub fn unwatch(&self, set: BorrowedFd<'_>) {
        for socket in self.sockets.iter().flatten() {
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
        let Some(Some(socket)) = self.sockets.get(number) else { return Accepted::Nobody };
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

/// Makes a listening socket that another process opened one of ours, and says where it listens.
pub fn adopt(socket: &OwnedFd, backlog: u32) -> Result<SocketAddr, std::io::Error> {
    let place = place_of(socket)?;
    rustix::io::fcntl_setfd(socket, FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(socket, true)?;
    sockopt::set_tcp_nodelay(socket, true)?;
    set_backlog(socket, backlog)?;
    Ok(place)
}

/// Where a descriptor listens for TCP connections; anything else is an error that says so.
pub fn place_of(socket: impl AsFd) -> Result<SocketAddr, std::io::Error> {
    let socket = socket.as_fd();
    if sockopt::socket_type(socket)? != SocketType::STREAM || !sockopt::socket_acceptconn(socket)? {
        return Err(std::io::Error::other("it is no listening stream socket"));
    }
    let place = rustix::net::getsockname(socket)?;
    SocketAddr::try_from(place).map_err(|_| std::io::Error::other("it has no address of TCP"))
}

/// Opens a listening socket. What it accepts inherits TCP_NODELAY, which saves a call for each connection.
pub fn listen(at: SocketAddr, backlog: u32) -> Result<(OwnedFd, SocketAddr), std::io::Error> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::bind(&socket, &at)?;
    set_backlog(&socket, backlog)?;
    let address = place_of(&socket)?;
    Ok((socket, address))
}

/// Another number of connections that may wait to be taken.
pub fn set_backlog(socket: &OwnedFd, backlog: u32) -> Result<(), std::io::Error> {
    Ok(rustix::net::listen(socket, i32::try_from(backlog).unwrap_or(i32::MAX))?)
}
