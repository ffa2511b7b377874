//! The real kernel behind `io.rs`: epoll, sockets, timerfd, eventfd. Every system call of a worker is in this file,
//! `listening.rs` or `sys_file.rs`, and rustix makes each of them without `unsafe`.

use crate::io::{File, Io, Peek, Ready, SocketOptions, Token, Trouble};
use crate::listening::{Accepted, Listening, Sockets};
use crate::sys_file::SpoolFile;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, SocketType, connect, recv, send,
    sendmsg, shutdown, socket_with,
};
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime};
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Events taken from epoll in one call.
const READY_MAX: usize = 256;
/// Parts of one write.
const PARTS_MAX: usize = 8;

/// What all workers of one host share with the kernel. A worker's epoll and bell outlive the worker, so that its
/// replacement is found under the same number.
pub struct SysShared {
    epolls: Vec<OwnedFd>,
    bells: Vec<OwnedFd>,
    acceptor_bell: OwnedFd,
    /// Set after each ring: an edge-triggered event is ready until it was fetched.
    acceptor_rung: AtomicBool,
    pub listening: Sockets,
}

impl SysShared {
    pub fn new(workers: u32) -> Result<Self, Trouble> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let acceptor_bell = eventfd(0, flags).map_err(trouble)?;
        let mut shared = Self {
            epolls: Vec::new(),
            bells: Vec::new(),
            acceptor_bell,
            acceptor_rung: AtomicBool::default(),
            listening: Sockets::default(),
        };
        for _ in 0..workers {
            let set = epoll::create(CreateFlags::CLOEXEC).map_err(trouble)?;
            let bell = eventfd(0, flags).map_err(trouble)?;
            epoll::add(&set, &bell, EventData::new_u64(Token::Bell.pack()), EventFlags::IN | EventFlags::ET)
                .map_err(trouble)?;
            shared.epolls.push(set);
            shared.bells.push(bell);
        }
        Ok(shared)
    }

    pub fn ring(&self, worker: u32) {
        // A counter that cannot grow is a bell that already rings.
        let _ = rustix::io::write(&self.bells[worker as usize], &1u64.to_ne_bytes());
    }

    /// Wakes the acceptor because the plan, the listening sockets or the host's flags changed.
    pub fn ring_acceptor(&self) {
        let _ = rustix::io::write(&self.acceptor_bell, &1u64.to_ne_bytes());
        self.acceptor_rung.store(true, Relaxed);
    }

    /// Whether the acceptor's bell was rung since this was asked last.
    pub fn take_acceptor_ring(&self) -> bool {
        self.acceptor_rung.load(Relaxed) && self.acceptor_rung.swap(false, Relaxed)
    }

    #[must_use]
    pub fn acceptor_bell(&self) -> BorrowedFd<'_> {
        self.acceptor_bell.as_fd()
    }

    /// The descriptor an event loop watches to learn that the worker has something to do.
    #[must_use]
    pub fn epoll(&self, worker: u32) -> BorrowedFd<'_> {
        self.epolls[worker as usize].as_fd()
    }
}

/// One worker's way to the kernel.
pub struct SysIo {
    shared: Arc<SysShared>,
    worker: u32,
    clock: OwnedFd,
    events: Vec<epoll::Event>,
    /// Only the worker of a proxy that has no other takes connections itself.
    listening: Option<Listening>,
    /// What was seen of the changes of listening sockets.
    listening_seen: u32,
}

impl SysIo {
    pub fn new(shared: Arc<SysShared>, worker: u32) -> Result<Self, Trouble> {
        let clock =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
                .map_err(trouble)?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(shared.epoll(worker), &clock, EventData::new_u64(Token::Clock.pack()), flags).map_err(trouble)?;
        Ok(Self { shared, worker, clock, events: Vec::with_capacity(READY_MAX), listening: None, listening_seen: 0 })
    }

    /// Watches the listening sockets of the proxy besides everything else, from now on.
    pub fn listen(&mut self) -> Result<(), Trouble> {
        self.listening = Some(Listening::default());
        self.renew_listening()
    }
}

impl Drop for SysIo {
    fn drop(&mut self) {
        // The set outlives this worker, and others hold these sockets too, so their watches would go on.
        self.stop_listening();
    }
}

impl Io for SysIo {
    type Socket = OwnedFd;

    fn now_us(&mut self) -> u64 {
        micros(clock_gettime(ClockId::Monotonic))
    }

    fn unix_ms(&mut self) -> u64 {
        micros(clock_gettime(ClockId::RealtimeCoarse)) / 1000
    }

    fn poll_ready(&mut self, ready: &mut Vec<Ready>) -> bool {
        self.events.clear();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let set = self.shared.epoll(self.worker);
        let Ok(count) = epoll::wait(set, spare_capacity(&mut self.events), Some(&at_once)) else {
            // EINTR: whatever is ready stays ready.
            return true;
        };
        ready.extend(self.events.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            Ready {
                token: Token::unpack(data.u64()),
                readable: flags.contains(EventFlags::IN),
                writable: flags.contains(EventFlags::OUT),
                read_closed: flags.intersects(EventFlags::RDHUP | EventFlags::HUP),
                dead: flags.contains(EventFlags::ERR),
            }
        }));
        count == READY_MAX
    }

    fn watch(&mut self, socket: &OwnedFd, token: Token) -> Result<(), Trouble> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(self.shared.epoll(self.worker), socket, EventData::new_u64(token.pack()), flags).map_err(trouble)
    }

    fn unwatch(&mut self, socket: &OwnedFd, worker: u32) {
        // It was registered there when it was opened; nothing else removes it.
        let _ = epoll::delete(self.shared.epoll(worker), socket);
    }

    fn read(&mut self, socket: &OwnedFd, buf: &mut [u8]) -> Result<usize, Trouble> {
        loop {
            match recv(socket, &mut *buf, RecvFlags::empty()) {
                Ok((count, _)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(trouble(errno)),
            }
        }
    }

    fn write(&mut self, socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Trouble> {
        loop {
            match send(socket, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                other => return other.map_err(trouble),
            }
        }
    }

    fn write_parts(&mut self, socket: &OwnedFd, parts: &[&[u8]]) -> Result<usize, Trouble> {
        gather(socket, parts, SendFlags::NOSIGNAL)
    }

    fn write_last(&mut self, socket: &OwnedFd, parts: &[&[u8]]) -> Result<usize, Trouble> {
        gather(socket, parts, SendFlags::NOSIGNAL | SendFlags::MORE)
    }

    fn peek_bytes(&mut self, socket: &OwnedFd, buf: &mut [u8]) -> Result<usize, Trouble> {
        loop {
            match recv(socket, &mut *buf, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(trouble(errno)),
            }
        }
    }

    fn peek(&mut self, socket: &OwnedFd) -> Peek {
        let mut byte = [0u8; 1];
        match recv(socket, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((0, _)) => Peek::Closed,
            Ok(_) => Peek::StrayBytes,
            Err(Errno::AGAIN | Errno::INTR) => Peek::Quiet,
            Err(_) => Peek::Closed,
        }
    }

    fn has_unread(&mut self, socket: &OwnedFd) -> bool {
        // A socket that cannot be asked is no connection to use.
        rustix::io::ioctl_fionread(socket).map_or(true, |bytes| bytes > 0)
    }

    fn connect(&mut self, to: SocketAddr) -> Result<OwnedFd, Trouble> {
        self.connect_from(to, None)
    }

    fn connect_from(&mut self, to: SocketAddr, local: Option<IpAddr>) -> Result<OwnedFd, Trouble> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None).map_err(trouble)?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(trouble)?;
        if let Some(local) = local {
            rustix::net::bind(&socket, &SocketAddr::new(local, 0)).map_err(trouble)?;
        }
        match connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
            Err(errno) => Err(trouble(errno)),
        }
    }

    fn tune(&mut self, socket: &OwnedFd, options: &SocketOptions) {
        // A kernel that refuses one of these leaves a connection that works without it.
        if options.keepalive_ms > 0 {
            let silence = Duration::from_millis(u64::from(options.keepalive_ms)).max(Duration::from_secs(1));
            let _ = sockopt::set_socket_keepalive(socket, true);
            let _ = sockopt::set_tcp_keepidle(socket, silence);
            let _ = sockopt::set_tcp_keepintvl(socket, (silence / 3).max(Duration::from_secs(1)));
        }
        if options.user_timeout_ms > 0 {
            let _ = sockopt::set_tcp_user_timeout(socket, options.user_timeout_ms);
        }
    }

    fn connect_result(&mut self, socket: &OwnedFd) -> Result<(), Trouble> {
        match sockopt::socket_error(socket) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(errno)) | Err(errno) => Err(trouble(errno)),
        }
    }

    fn shutdown_write(&mut self, socket: &OwnedFd) {
        // Only a connection that is already gone refuses, and its end is an event.
        let _ = shutdown(socket, Shutdown::Write);
    }

    fn close(&mut self, socket: OwnedFd) {
        drop(socket);
    }

    fn reset(&mut self, socket: OwnedFd) {
        let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    }

    fn create_file(&mut self, folder: &str) -> Result<Box<dyn File>, Trouble> {
        Ok(Box::new(SpoolFile::create(folder)?))
    }

    fn wake_at_ms(&mut self, at_ms: Option<u64>) {
        // All zero disarms the clock; a time that has passed fires at once.
        let at = at_ms.unwrap_or(0);
        let it_value = Timespec { tv_sec: (at / 1000) as i64, tv_nsec: ((at % 1000) * 1_000_000) as i64 };
        let when = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        let _ = rustix::time::timerfd_settime(&self.clock, TimerfdTimerFlags::ABSTIME, &when);
    }

    fn ring(&self, worker: u32) {
        self.shared.ring(worker);
    }

    fn descriptors_max(&self) -> u64 {
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(0)
    }

    fn accept(&mut self, listener: u16, certain: bool) -> Accepted<OwnedFd> {
        self.listening.as_mut().map_or(Accepted::Nobody, |listening| listening.accept(usize::from(listener), certain))
    }

    fn listening_changed(&self) -> bool {
        self.listening.is_some() && self.shared.listening.changes() != self.listening_seen
    }

    fn renew_listening(&mut self) -> Result<(), Trouble> {
        let Some(listening) = &mut self.listening else { return Ok(()) };
        let (from, set) = (&self.shared.listening, self.shared.epoll(self.worker));
        self.listening_seen = listening.renew(from, set, |number| Token::Listener(number).pack())?;
        Ok(())
    }

    fn stop_listening(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.unwatch(self.shared.epoll(self.worker));
        }
    }

    fn hush(&mut self) {
        // Edge-triggered: an unread counter rings again at the next write, so there is nothing to take back.
    }
}

fn gather(socket: &OwnedFd, parts: &[&[u8]], flags: SendFlags) -> Result<usize, Trouble> {
    let mut slices = [IoSlice::new(&[]); PARTS_MAX];
    let count = parts.len().min(PARTS_MAX);
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    loop {
        let mut control = SendAncillaryBuffer::default();
        let sent = match parts {
            [one] => send(socket, one, flags),
            _ => sendmsg(socket, &slices[..count], &mut control, flags),
        };
        match sent {
            Err(Errno::INTR) => {}
            other => return other.map_err(trouble),
        }
    }
}

fn micros(at: Timespec) -> u64 {
    at.tv_sec as u64 * 1_000_000 + at.tv_nsec as u64 / 1000
}

/// Sorts an errno by whose fault it is.
#[must_use]
pub fn trouble(errno: Errno) -> Trouble {
    match errno {
        Errno::AGAIN => Trouble::WouldBlock,
        Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED | Errno::NOTCONN => Trouble::Reset,
        Errno::CONNREFUSED => Trouble::Refused,
        Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::HOSTDOWN => Trouble::Unreachable,
        Errno::TIMEDOUT => Trouble::TimedOut,
        other => Trouble::Local(other.raw_os_error()),
    }
}

/// The clock of `Io::now_us`, in milliseconds.
#[must_use]
pub fn monotonic_ms() -> u64 {
    micros(clock_gettime(ClockId::Monotonic)) / 1000
}

#[cfg(test)]
#[path = "sys_tests.rs"]
mod tests;
