//! One edge worker: a turn takes what is ready, does it, and returns without ever waiting. The way of a request reads
//! on in `client.rs` and `heads.rs` (bytes to heads), `begin.rs` (route), `forward.rs` (target and connection),
//! `send.rs` and `upload.rs` (request), `origin.rs` (attempt), `download.rs` (answer), `finish.rs` (outcome).
//!
//! No `&mut` of one connection lives across a step that may close another: steps take keys and look again.

use crate::blocks::Blocks;
use crate::cached::ready_heads::AtHand;
use crate::cached::store::Questions;
use crate::checks::Check;
use crate::client::{Client, ClientState};
use crate::compiled::Compiled;
use crate::dice::Dice;
use crate::exchange::Ongoing;
use crate::host::{Host, Message};
use crate::hot::Waiter;
use crate::http2::bell::Rung;
use crate::io::{Io, Ready, Token};
use crate::keeper::Tally;
use crate::log::Log;
use crate::origin::Origin;
use crate::shared_origin::Lost;
use crate::slab::{Key, Slab};
use crate::stats::{Counter, Histogram, Row};
use crate::target::TargetShared;
use crate::wheel::{TimerId, Wheel};
use proto::balance::{Balancer, Candidate};
use proto::http1::head::{RequestHead, ResponseHead};
use proto::limits::SCRATCH_BYTES;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Passes over ready sockets in one turn; what is still ready then waits for the next, so JavaScript gets its share.
const PASSES_MAX: u32 = 8;
/// Inbox messages taken in one turn.
const INBOX_TAKE_MAX: u32 = 256;

/// Everything one edge worker owns.
pub struct Worker<I: Io> {
    pub(crate) io: I,
    pub(crate) index: u32,
    pub(crate) host: Arc<Host<I::Socket>>,
    pub(crate) plan: Rc<Compiled>,
    pub(crate) row: Row,
    pub(crate) clients: Slab<Client<I::Socket>>,
    pub(crate) origins: Slab<Origin<I::Socket>>,
    /// Boxed, because an exchange is large and moves from hand to hand when it ends.
    pub(crate) exchanges: Slab<Box<Ongoing>>,
    /// Boxes of exchanges that are over.
    #[allow(clippy::vec_box, reason = "they go into the slab as boxes")]
    pub(crate) boxes: Vec<Box<Ongoing>>,
    pub(crate) checks: Slab<Check<I::Socket>>,
    pub(crate) wheel: Wheel,
    pub(crate) blocks: Blocks,
    /// What is read lies here while it is handled. Taken out by whoever reads, put back before anybody else does.
    pub(crate) scratch: Vec<u8>,
    /// Heads being written.
    pub(crate) out: Vec<u8>,
    /// What follows a body piece: chunk ends and trailers.
    pub(crate) tail: Vec<u8>,
    pub(crate) trailers: Vec<u8>,
    pub(crate) path: Vec<u8>,
    /// The key of a request on a caching route.
    pub(crate) key_room: Vec<u8>,
    pub(crate) questions: Questions,
    /// For hits; taken out by whoever serves one. None before the first.
    pub(crate) at_hand: Option<Box<AtHand>>,
    /// Whom to ring because of what is stored.
    pub(crate) waiters: Vec<Waiter>,
    /// Parsed heads; taken out by whoever reads one.
    pub(crate) head: Option<Box<RequestHead>>,
    pub(crate) answer_head: Option<Box<ResponseHead>>,
    /// By origin: whose turn it is.
    pub(crate) turns: Vec<Balancer>,
    /// Targets as a balancer sees them, while it looks.
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) dice: Dice,
    /// Handshakes that went on in this pass.
    pub(crate) shakes: u32,
    /// By target number, and the targets that have something to tell.
    pub(crate) tallies: Vec<Tally>,
    pub(crate) tallied: Vec<Arc<TargetShared>>,
    pub(crate) requests_told: u64,
    pub(crate) client_numbers: u64,
    /// What this worker has seen of the host's plan and targets.
    pub(crate) generation: u32,
    pub(crate) targets_changed: u32,
    pub(crate) keeper: TimerId,
    /// Descriptors run short: nothing idle is kept.
    pub(crate) scarce: bool,
    /// 0 = not known, so never short.
    pub(crate) descriptors_max: u64,
    /// Connections that stopped before they were drained, or have bytes in hand: looked at in the next pass.
    pub(crate) again: Vec<Token>,
    /// What of HTTP/2 can go on.
    pub(crate) rung: Arc<Rung>,
    /// Bells of HTTP/2 that rang, while they are answered.
    pub(crate) rang: Vec<u64>,
    pub(crate) log: Log,
    pub(crate) now_us: u64,
    pub(crate) draining: bool,
    /// While draining: idle clients may still ask once (`drain.rs`).
    pub(crate) idle_stays: bool,
    again_spare: Vec<Token>,
    ready: Vec<Ready>,
    due: Vec<u64>,
    departed: Vec<Key>,
    /// What the clock was last set to.
    wake_ms: Option<u64>,
}

impl<I: Io> Worker<I> {
    pub fn new(mut io: I, host: Arc<Host<I::Socket>>, index: u32, row: Row) -> Self {
        let generation = host.generation.load(Relaxed);
        let plan = Rc::new(Compiled::new(host.current()));
        let now_us = io.now_us();
        let mut wheel = Wheel::new(now_us / 1000);
        let keeper = wheel.add(Token::Keeper.pack());
        wheel.arm(keeper, now_us / 1000);
        host.workers[index as usize].beat_ms.store(now_us / 1000, Relaxed);
        host.workers[index as usize].generation.store(generation, Relaxed);
        host.workers[index as usize].alive.store(true, Relaxed);
        let mut worker = Self {
            index,
            row,
            clients: Slab::default(),
            origins: Slab::default(),
            exchanges: Slab::default(),
            boxes: Vec::new(),
            checks: Slab::default(),
            wheel,
            keeper,
            scarce: false,
            descriptors_max: io.descriptors_max(),
            candidates: Vec::new(),
            shakes: 0,
            dice: Dice::new(now_us ^ u64::from(index) << 32),
            tallies: Vec::new(),
            tallied: Vec::new(),
            requests_told: row.get(Counter::Requests),
            client_numbers: 0,
            generation,
            targets_changed: host.targets_changed.load(Relaxed),
            blocks: Blocks::default(),
            scratch: vec![0; SCRATCH_BYTES],
            out: Vec::with_capacity(SCRATCH_BYTES / 4),
            tail: Vec::with_capacity(1024),
            trailers: Vec::new(),
            path: Vec::with_capacity(1024),
            key_room: Vec::with_capacity(1024),
            questions: Questions::default(),
            at_hand: None,
            waiters: Vec::new(),
            head: None,
            answer_head: None,
            turns: plan.plan.origins.iter().map(|o| Balancer::new(&o.balance)).collect(),
            again: Vec::new(),
            rung: Arc::clone(&host.rungs[index as usize]),
            rang: Vec::new(),
            again_spare: Vec::new(),
            log: Log::new(plan.plan.access_log),
            draining: host.is_draining(),
            idle_stays: host.is_draining() && host.idle_stays(),
            ready: Vec::with_capacity(512),
            due: Vec::new(),
            departed: Vec::new(),
            wake_ms: None,
            now_us,
            plan,
            host,
            io,
        };
        worker.take_checks();
        worker
    }

    /// Does everything that is ready, in bounded passes. Never waits.
    pub fn turn(&mut self) {
        let began_us = self.io.now_us();
        self.now_us = began_us;
        self.panic_if_asked();
        let unix_ms = self.io.unix_ms();
        self.log.begin_turn(unix_ms);
        self.free_departed();
        self.take_changes();
        if self.host.is_draining() {
            self.go_on_leaving();
        }
        let mut handled = 0;
        for pass in 0..PASSES_MAX {
            self.begin_pass();
            let mut ready = std::mem::take(&mut self.ready);
            let more = !self.io.poll_ready(&mut ready);
            handled += ready.len() as u64;
            for event in ready.drain(..) {
                self.handle_ready(&event);
            }
            self.ready = ready;
            self.go_again();
            self.answer_bells();
            if self.again.is_empty() && more {
                break;
            }
            if pass + 1 == PASSES_MAX {
                self.io.ring(self.index);
            }
            self.now_us = self.io.now_us();
        }
        self.handle_due_timers();
        // What a timer put off has no event to wait for.
        self.go_again();
        self.answer_bells();
        if !self.again.is_empty() {
            self.io.ring(self.index);
        }
        self.tell_tallies();
        self.set_clock();
        let spent = self.io.now_us().saturating_sub(began_us);
        self.row.one(Counter::Turns);
        self.row.add(Counter::Events, handled);
        self.row.add(Counter::TurnMicros, spent);
        self.row.record(Histogram::Turn, spent);
        self.row.add(Counter::LogLines, self.log.take_line_count());
        self.row.add(Counter::LogLinesLost, self.log.take_lost());
    }

    /// Lines written since they were last taken: access log and notes.
    pub fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Closes everything that is this worker's; for a worker that stops while others go on.
    pub fn close_all(&mut self) {
        self.host.workers[self.index as usize].alive.store(false, Relaxed);
        self.end_checks();
        for key in self.exchanges.keys() {
            self.forget_exchange(key);
        }
        for key in self.clients.keys() {
            let reason = if self.draining { Counter::ClientCloseDrain } else { Counter::ClientCloseWorkerLost };
            // Without a length a FIN would make half an answer look whole.
            let cut = |c: &Client<I::Socket>| c.state == ClientState::Exchange || !c.outbox.is_empty();
            if self.clients.get(key).is_some_and(cut) {
                self.reset_client(key, reason);
            } else {
                self.close_client(key, reason);
            }
        }
        let reason = if self.draining { Counter::OriginCloseDrain } else { Counter::OriginCloseWorkerLost };
        for key in self.origins.keys() {
            self.close_origin(key, reason);
        }
        self.ring_others();
        while let Some(message) = self.host.inboxes[self.index as usize].pop() {
            if let Message::Client { socket, .. } = message {
                self.io.close(socket);
            }
        }
    }

    /// Nothing is open or under way: what must hold when every peer has gone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.exchanges.is_empty()
    }

    fn handle_ready(&mut self, event: &Ready) {
        match event.token {
            Token::Client(key) => self.client_ready(key, event),
            Token::Origin(key) => self.origin_ready(key, event),
            Token::Bell => self.empty_inbox(),
            Token::Clock => self.wake_ms = None,
            Token::Check(key) => self.check_ready(key, event),
            Token::Listener(listener) => {
                self.take_waiting(listener, true);
            }
            Token::Exchange(_) | Token::Keeper => {}
        }
    }

    fn empty_inbox(&mut self) {
        self.io.hush();
        self.host.workers[self.index as usize].beat_ms.store(self.now_ms(), Relaxed);
        for _ in 0..INBOX_TAKE_MAX {
            match self.host.inboxes[self.index as usize].pop() {
                Some(Message::Client { socket, peer, listener }) => {
                    // Its listener may be one of a plan that came during this turn.
                    self.take_changes();
                    self.take_client(socket, peer, listener);
                }
                Some(Message::Dump { ticket }) => self.dump(ticket),
                Some(Message::Called { exchange, target }) => self.called(exchange, target),
                None => return,
            }
        }
        self.io.ring(self.index);
    }

    fn go_again(&mut self) {
        // What is put off while this list is walked belongs to the next pass.
        let spare = std::mem::take(&mut self.again_spare);
        let mut list = std::mem::replace(&mut self.again, spare);
        for token in list.drain(..) {
            match token {
                Token::Client(key) => self.client_go(key),
                Token::Origin(key) => self.origin_go(key),
                Token::Exchange(key) => self.exchange_go(key),
                Token::Check(_) | Token::Listener(_) | Token::Bell | Token::Clock | Token::Keeper => {}
            }
        }
        self.again_spare = list;
    }

    fn handle_due_timers(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.expire(self.now_ms(), &mut due);
        for owner in due.drain(..) {
            match Token::unpack(owner) {
                Token::Client(key) => self.client_due(key),
                Token::Origin(key) => self.origin_due(key),
                Token::Exchange(key) => self.exchange_timer_due(key),
                Token::Keeper => self.look_after(),
                Token::Check(key) => self.check_due(key),
                Token::Listener(_) | Token::Bell | Token::Clock => {}
            }
        }
        self.due = due;
    }

    fn set_clock(&mut self) {
        let next = self.wheel.next_ms();
        let later = matches!((self.wake_ms, next), (Some(set), Some(next)) if set <= next);
        if later || self.wake_ms == next {
            return;
        }
        // Nothing left to wait for: a clock that is already set fires once more and finds nothing.
        if next.is_some() {
            self.io.wake_at_ms(next);
            self.wake_ms = next;
        }
    }

    /// Frees slots whose connection another worker took.
    fn free_departed(&mut self) {
        let mut departed = std::mem::take(&mut self.departed);
        self.host.pool.drain_departed(self.index, &mut departed);
        for key in departed.drain(..) {
            if let Some(origin) = self.origins.remove(key) {
                self.wheel.remove(origin.timer);
            }
        }
        self.departed = departed;
    }

    fn panic_if_asked(&self) {
        let asked = &self.host.workers[self.index as usize].panic_asked;
        if asked.load(Relaxed) {
            asked.store(false, Relaxed);
            panic!("a test asked worker {} to panic", self.index);
        }
    }
}

/// Settles the books of a worker that died without closing its connections: what rested in the pool under its number is
/// closed, its gauges return to zero, and the losses are counted. Called before its replacement starts.
pub fn settle<I: Io>(host: &Host<I::Socket>, worker: u32, row: Row) {
    host.workers[worker as usize].alive.store(false, Relaxed);
    for idle in host.pool.take_all_of(worker) {
        host.pool.give_up_place(&idle.lease.target);
        if idle.lease.requests == 0 {
            idle.lease.target.standby.fetch_sub(1, Relaxed);
        }
        row.less(Counter::OriginIdle);
        row.less(Counter::OriginOpen);
        row.one(Counter::OriginCloseWorkerLost);
    }
    // Connections that others had streams on are gone; whoever had one fails when its worker next looks.
    for target in host.pool.all_targets() {
        for shared in target.multiplexed.take_all_of(worker) {
            shared.set_lost(Lost::Reset);
            host.pool.give_up_place(&target);
            if shared.ahead && shared.used() == 0 {
                target.standby.fetch_sub(1, Relaxed);
            }
            row.less(Counter::OriginOpen);
            row.one(Counter::OriginCloseWorkerLost);
        }
    }
    // What lay in its inbox is lost with it: sockets close as they are dropped. A call that was meant for one of its
    // requests is heard by nobody, so those who wait behind it are called by the next connection that becomes free.
    while host.inboxes[worker as usize].pop().is_some() {}
    host.pool.forget_waiters_of(worker);
    // Nor does anybody wait for what it was fetching; their keepers bring them to look.
    let mut waiters = Vec::new();
    host.hot.forget_worker(worker, &mut waiters);
    waiters.iter().for_each(|waiter| host.rungs[waiter.worker as usize].ring(waiter.token));
    // The files went with the thread that held them.
    row.add(Counter::SpoolBytes, row.get(Counter::SpoolBytes).wrapping_neg());
}
