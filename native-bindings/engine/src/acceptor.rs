//! The acceptor: takes connections from the listening sockets and hands each to the least loaded worker that is alive
//! and keeps emptying its inbox. A full inbox means the next worker; all full, or the limit reached, means a refusal. A
//! proxy of one worker has no acceptor: see `alone.rs`.

use crate::host::{Host, Message};
use crate::io::Trouble;
use crate::listening::{Accepted, Listening};
use crate::stats::{Counter, Row};
use crate::sys::{self, SysShared};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Connections taken from one listening socket before the others are looked at.
pub(crate) const TAKE_MAX: u32 = 64;
/// Rounds in which those are taken who have connected to a listener before it goes.
pub(crate) const LAST_ROUNDS_MAX: u32 = 64;
/// A worker that leaves its inbox unread for this long is stuck in something and gets no new sockets.
const STUCK_MS: u64 = 500;

/// The listening sockets and the inboxes they fill; one a proxy, in a thread of its own.
pub struct Acceptor {
    host: Arc<Host<OwnedFd>>,
    shared: Arc<SysShared>,
    rows: Vec<Row>,
    own_row: Row,
    listening: Listening,
    set: OwnedFd,
    rung: Vec<bool>,
    /// Client connections of the process; 0 = no limit.
    clients_max: u32,
    /// What was seen of the plan and of the listening sockets.
    generation: u32,
    listening_seen: u32,
    next: usize,
}

impl Acceptor {
    /// `rows`: one of each worker, then the acceptor's own.
    pub fn new(
        host: Arc<Host<OwnedFd>>,
        shared: Arc<SysShared>,
        rows: Vec<Row>,
        own_row: Row,
    ) -> Result<Self, Trouble> {
        let set = epoll::create(CreateFlags::CLOEXEC).map_err(sys::trouble)?;
        let listening = Listening::default();
        let bell = EventData::new_u64(u64::MAX);
        epoll::add(&set, shared.acceptor_bell(), bell, EventFlags::IN | EventFlags::ET).map_err(sys::trouble)?;
        let rung = vec![false; rows.len()];
        let (generation, clients_max) = (host.generation.load(Relaxed), host.plan().limits.client_connections);
        let (listening_seen, next) = (0, 0);
        let mut made =
            Self { host, shared, rows, own_row, listening, set, rung, clients_max, generation, listening_seen, next };
        made.renew_listening()?;
        Ok(made)
    }

    /// The descriptor an event loop watches to learn that connections wait.
    #[must_use]
    pub fn epoll(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }

    /// Takes what waits, in bounded numbers. While the proxy stops: whoever has connected is still taken, then the
    /// listening sockets close.
    pub fn turn(&mut self) {
        self.take_waiting();
        self.take_changes();
        if self.host.is_draining() {
            self.listening.close();
            self.clear_bell();
        }
        for worker in 0..self.rung.len() {
            if std::mem::take(&mut self.rung[worker]) {
                self.shared.ring(worker as u32);
            }
        }
    }

    /// Another limit or other listeners, if there are any. Whoever has connected to one that goes is still taken.
    fn take_changes(&mut self) {
        if self.shared.take_acceptor_ring() {
            self.clear_bell();
        }
        let generation = self.host.generation.load(Relaxed);
        if generation != self.generation {
            self.generation = generation;
            self.clients_max = self.host.plan().limits.client_connections;
        }
        if self.shared.listening.changes() != self.listening_seen {
            (0..LAST_ROUNDS_MAX).take_while(|_| self.take_waiting() > 0).count();
            // Where no descriptor is left for them it is tried again at the next turn.
            if self.renew_listening().is_err() {
                self.own_row.one(Counter::AcceptorErrors);
            }
        }
    }

    fn renew_listening(&mut self) -> Result<(), Trouble> {
        self.listening_seen = self.listening.renew(&self.shared.listening, self.set.as_fd(), u64::from)?;
        Ok(())
    }

    /// An edge-triggered event stays ready until it was fetched. (Listening sockets need no fetching: they are ready for
    /// as long as somebody waits.)
    fn clear_bell(&mut self) {
        let mut events = Vec::with_capacity(self.listening.count() + 1);
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let _ = epoll::wait(&self.set, rustix::buffer::spare_capacity(&mut events), Some(&at_once));
    }

    /// Returns how many it took.
    fn take_waiting(&mut self) -> u32 {
        let mut all = 0;
        // With one socket to listen on, somebody waits for certain the first time: that is what woke us.
        let woken = self.listening.count() == 1;
        for number in 0..self.listening.places() {
            for taken in 0..TAKE_MAX {
                match self.listening.accept(number, woken && taken == 0) {
                    Accepted::One { socket, peer } => {
                        self.own_row.one(Counter::AcceptorTaken);
                        all += 1;
                        self.hand_over(Message::Client { socket, peer, listener: number as u16 });
                    }
                    Accepted::Nobody => break,
                    Accepted::Failed => self.own_row.one(Counter::AcceptorErrors),
                }
            }
        }
        all
    }

    fn hand_over(&mut self, message: Message<OwnedFd>) {
        let limit = u64::from(self.clients_max);
        if limit != 0 && self.open_clients() >= limit {
            self.own_row.one(Counter::AcceptorLimit);
            return;
        }
        let mut message = message;
        for worker in self.by_load() {
            let shared = &self.host.workers[worker];
            if self.host.inboxes[worker].is_empty() {
                // From now on the worker has something to fetch, so from now on it can be late.
                shared.beat_ms.store(sys::monotonic_ms(), Relaxed);
            }
            match self.host.inboxes[worker].push(message) {
                Ok(()) => {
                    self.rung[worker] = true;
                    return;
                }
                Err(back) => message = back,
            }
        }
        // Dropped, which closes it: the client sees a refusal instead of a silence.
        self.own_row.one(Counter::AcceptorFull);
    }

    /// Workers that may be given a socket, least loaded first; equals take turns.
    fn by_load(&mut self) -> impl Iterator<Item = usize> + use<> {
        let count = self.rows.len();
        self.next = (self.next + 1) % count;
        let now_ms = sys::monotonic_ms();
        let mut candidates: Vec<(u64, usize)> = (0..count)
            .map(|step| (self.next + step) % count)
            .filter(|worker| self.takes_sockets(*worker, now_ms))
            .map(|worker| (self.load(worker), worker))
            .collect();
        candidates.sort_by_key(|(load, _)| *load);
        candidates.into_iter().map(|(_, worker)| worker)
    }

    fn load(&self, worker: usize) -> u64 {
        let open = self.rows[worker].get(Counter::ClientOpen) as i64;
        open.max(0) as u64 + self.host.inboxes[worker].len() as u64
    }

    fn takes_sockets(&self, worker: usize, now_ms: u64) -> bool {
        let shared = &self.host.workers[worker];
        let waiting = !self.host.inboxes[worker].is_empty();
        shared.alive.load(Relaxed) && !(waiting && now_ms > shared.beat_ms.load(Relaxed) + STUCK_MS)
    }

    fn open_clients(&self) -> u64 {
        (0..self.rows.len()).map(|worker| self.load(worker)).sum()
    }
}
