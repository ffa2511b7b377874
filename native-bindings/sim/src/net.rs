//! The virtual network and kernel: connections with bounded buffers, packets on their way, one ready list a worker with
//! the edge-triggered rules of epoll, and the agenda of everything that is still to happen. One thread, one network.
//!
//! A read shorter than its buffer has drained the socket, an edge comes on arrival, FIN, reset and on room after a short
//! write, and what an event says is looked up when it is fetched: exactly what the engine may rest on, and no more.

pub use crate::agenda::What;
use crate::dice::{Dice, mix};
use crate::disk::Disk;
use crate::end::{Dial, End, Packet, Side};
use crate::secure;
use crate::sniff::Sniffer;
use engine::io::Trouble;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::net::SocketAddr;

/// How hostile network and kernel are; per mille unless a name says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Knobs {
    pub refuse: u32,
    pub blackhole: u32,
    pub connect_error: u32,
    pub stall: u32,
    pub split: u32,
    pub spurious: u32,
    pub late_event: u32,
    pub watch_fails: u32,
    pub slow_packet: u32,
    /// Files that cannot be made, writes that find the disk full, reads that fail.
    pub disk_full: u32,
    pub disk_broken: u32,
    /// Most bytes on their way to, or unread at, one end.
    pub buffer_bytes: u64,
    /// Events given out in one poll.
    pub batch: u64,
}

/// A worker as the kernel sees it.
#[derive(Default)]
pub struct Seat {
    pub queue: Vec<u32>,
    pub late: Vec<engine::io::Ready>,
    pub bell: bool,
    pub clock_fired: bool,
    pub clock_serial: u32,
    pub scheduled: bool,
    /// Number of the poll that was made last.
    pub poll: u64,
    /// Of the present turn: polls, events other than bell and clock, calls that moved something.
    pub polls: u64,
    pub events: u64,
    pub calls: u64,
}

#[derive(Default)]
pub struct Net {
    pub now_us: u64,
    pub wall_offset_ms: u64,
    pub dice: Option<Dice>,
    pub knobs: Knobs,
    pub ends: Vec<End>,
    pub seats: Vec<Seat>,
    /// Connections that reached a target: the target's end and its address.
    pub arrivals: Vec<(u32, SocketAddr)>,
    /// Number of the run, so that a socket from another run touches nothing.
    pub run: u32,
    /// By identity: how often the proxy began to send the request, and whose answer its client has seen begin.
    pub attempts: HashMap<u64, u32>,
    pub answered: HashSet<u64>,
    pub attempts_max: u32,
    /// The longest request body that is held for another attempt, in memory or in a file, whatever else is held.
    pub held_max: u64,
    pub disk: Disk,
    /// Connections that reached a target and were not for a check.
    pub reached: u64,
    pub failure: Option<String>,
    pub trace: Option<Vec<String>>,
    /// Of everything that happened and when: two runs of a seed must agree on it.
    pub digest: u64,
    agenda: BinaryHeap<Reverse<(u64, u64, What)>>,
    polls: u64,
    order: u64,
}

thread_local! {
    static NET: RefCell<Net> = RefCell::new(Net::default());
}

/// The network of this thread. Never held across a step of the engine.
pub fn with<T>(look: impl FnOnce(&mut Net) -> T) -> T {
    NET.with(|net| look(&mut net.borrow_mut()))
}

/// As `with`, for destructors, which may run at the thread's end.
pub fn with_if_there(look: impl FnOnce(&mut Net)) {
    let _ = NET.try_with(|net| {
        if let Ok(mut net) = net.try_borrow_mut() {
            look(&mut net);
        }
    });
}

impl Net {
    /// Begins a run.
    pub fn reset(&mut self, dice: Dice, knobs: Knobs, workers: u32, traced: bool) {
        let run = self.run + 1;
        *self = Net { dice: Some(dice), knobs, run, trace: traced.then(Vec::new), ..Net::default() };
        self.now_us = 1_000_000_000;
        self.wall_offset_ms = 1_700_000_000_000;
        self.seats.resize_with(workers as usize, Seat::default);
    }

    pub fn dice(&mut self) -> &mut Dice {
        self.dice.get_or_insert_with(|| Dice::new(0))
    }

    /// The first violation counts.
    pub fn fail(&mut self, what: String) {
        self.say(|| format!("VIOLATION {what}"));
        self.failure.get_or_insert(what);
    }

    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let at = self.now_us.saturating_sub(1_000_000_000);
            trace.push(format!("{:>5}.{:06} {}", at / 1_000_000, at % 1_000_000, line()));
        }
    }

    pub fn plan(&mut self, delay_us: u64, what: What) {
        self.order += 1;
        self.agenda.push(Reverse((self.now_us + delay_us, self.order, what)));
    }

    /// Goes on to what comes next; the clock never runs back.
    pub fn next(&mut self) -> Option<What> {
        let Reverse((at, _, what)) = self.agenda.pop()?;
        self.now_us = self.now_us.max(at);
        let (kind, of) = what.parts();
        self.digest = mix(self.digest ^ self.now_us << 8 ^ kind << 4 ^ u64::from(of));
        Some(what)
    }

    fn latency_us(&mut self) -> u64 {
        let slow = self.knobs.slow_packet;
        let dice = self.dice();
        if dice.chance(slow) { dice.below(80_000) } else { dice.below(250) }
    }

    /// A connection from outside the proxy: the peer's end and the proxy's.
    pub fn open_pair(&mut self, owner: u32) -> (u32, u32) {
        let peer = self.ends.len() as u32;
        let most = self.knobs.buffer_bytes;
        let sizes = [0, 1].map(|_| self.dice().between(most / 8, most).max(16) as usize);
        self.ends.push(End::new(Side::Peer, peer + 1, owner, sizes[0]));
        self.ends.push(End::new(Side::Proxy, peer, owner, sizes[1]));
        (peer, peer + 1)
    }

    /// The proxy begins a connection to a target.
    pub fn dial(&mut self, to: SocketAddr) -> Result<u32, Trouble> {
        let knobs = self.knobs.clone();
        if self.dice().chance(knobs.connect_error) {
            let troubles = [Trouble::Refused, Trouble::Unreachable, Trouble::Local(24)];
            return Err(*self.dice().pick(&troubles));
        }
        let (peer, own) = self.open_pair(u32::MAX);
        let outcome = match self.dice().below(1000) as u32 {
            n if n < knobs.refuse => Dial::Failing(Trouble::Refused),
            n if n < knobs.refuse + knobs.blackhole => Dial::Silent,
            _ => Dial::Pending(to),
        };
        self.ends[peer as usize].dial = outcome;
        self.ends[own as usize].sniffer = secure::target(to).map(|_| Box::new(Sniffer::of_target()));
        self.ends[own as usize].dial = outcome;
        let latency = self.latency_us();
        if outcome != Dial::Silent {
            self.plan(latency, What::Dial(own));
        }
        self.say(|| format!("p{own} dials {to}: {outcome:?}"));
        Ok(own)
    }

    /// A connection attempt comes to its end.
    pub fn dialled(&mut self, own: u32) {
        let (closed, dial, peer) = {
            let end = &self.ends[own as usize];
            (end.closed, end.dial, end.peer)
        };
        if closed {
            return;
        }
        match dial {
            Dial::Pending(to) => {
                self.ends[own as usize].dial = Dial::Done;
                self.ends[peer as usize].dial = Dial::Done;
                self.reached += u64::from(!self.ends[own as usize].check);
                self.arrivals.push((peer, to));
            }
            Dial::Failing(trouble) => self.ends[own as usize].dial = Dial::Failed(trouble),
            Dial::Silent | Dial::Failed(_) | Dial::Done => {}
        }
        self.edge(own);
    }

    /// Puts an end on its worker's ready list.
    pub fn edge(&mut self, end: u32) {
        let place = &mut self.ends[end as usize];
        let Some((worker, _)) = place.watch else { return };
        if place.closed || std::mem::replace(&mut place.queued, true) {
            return;
        }
        self.seats[worker as usize].queue.push(end);
        self.schedule(worker);
    }

    /// The worker's loop will take a turn.
    pub fn schedule(&mut self, worker: u32) {
        if !std::mem::replace(&mut self.seats[worker as usize].scheduled, true) {
            let slow = self.knobs.slow_packet / 8;
            let dice = self.dice();
            let wait = if dice.chance(slow) { dice.below(60_000) } else { dice.below(150) };
            self.plan(wait, What::Turn(worker));
        }
    }

    /// Whether something lies ready for the worker.
    #[must_use]
    pub fn has_ready(&self, worker: u32) -> bool {
        let seat = &self.seats[worker as usize];
        seat.bell || seat.clock_fired || !seat.late.is_empty() || !seat.queue.is_empty()
    }

    pub fn next_poll(&mut self) -> u64 {
        self.polls += 1;
        self.polls
    }

    fn notify(&mut self, end: u32) {
        match self.ends[end as usize].side {
            Side::Proxy => self.edge(end),
            Side::Peer => {
                let owner = self.ends[end as usize].owner;
                if owner != u32::MAX {
                    self.plan(0, What::Wake(owner));
                }
            }
        }
    }

    fn post(&mut self, to: u32, packet: Packet) {
        let latency = self.latency_us();
        let now = self.now_us;
        let end = &mut self.ends[to as usize];
        let at = (now + latency).max(end.last_at_us);
        end.last_at_us = at;
        end.wire.push_back((at, packet));
        self.plan(at - now, What::Deliver(to));
    }

    /// Everything that has arrived by now reaches the end.
    pub fn deliver(&mut self, to: u32) {
        let now = self.now_us;
        let end = &mut self.ends[to as usize];
        let mut told = false;
        while end.wire.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, packet)) = end.wire.pop_front() else { break };
            told |= end.arrive(packet);
        }
        if end.closed {
            // Bytes for nobody are answered with a reset.
            let (peer, must) = (end.peer, told && !std::mem::replace(&mut end.reset_sent, true));
            if must {
                self.post(peer, Packet::Reset);
            }
        } else if told {
            self.notify(to);
        }
    }

    /// Bytes of room for what this end sends.
    #[must_use]
    pub fn room(&self, from: u32) -> usize {
        let to = &self.ends[self.ends[from as usize].peer as usize];
        to.capacity.saturating_sub(to.unread() + to.on_the_wire)
    }

    /// Sends what there is room for.
    pub fn send(&mut self, from: u32, bytes: &[u8], stray: bool) -> Result<usize, Trouble> {
        let end = &self.ends[from as usize];
        if end.reset_in || end.fin_sent || matches!(end.dial, Dial::Failed(_)) {
            return Err(Trouble::Reset);
        }
        let room = if end.dial == Dial::Done { self.room(from) } else { 0 };
        let (stall, split, peer, side) = (self.knobs.stall, self.knobs.split, end.peer, end.side);
        let mut taken = bytes.len().min(room);
        if side == Side::Proxy && taken > 0 && self.dice().chance(stall) {
            taken = if self.dice().chance(500) { 0 } else { self.dice().below(taken as u64) as usize };
            let wait = self.dice().skewed(2_000_000);
            self.plan(wait, What::Edge(from));
        }
        self.ends[from as usize].short |= taken < bytes.len();
        if taken == 0 && !bytes.is_empty() {
            return Err(Trouble::WouldBlock);
        }
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let piece =
                if self.dice().chance(split) { 1 + self.dice().below(rest.len() as u64) as usize } else { rest.len() };
            self.ends[peer as usize].on_the_wire += piece;
            self.post(peer, Packet::Bytes { bytes: rest[..piece].to_vec(), stray });
            rest = &rest[piece..];
        }
        Ok(taken)
    }

    /// Takes what lies at an end, at most so much; whoever waits for room hears of it.
    pub fn take(&mut self, at: u32, most: usize) -> Vec<u8> {
        let end = &mut self.ends[at as usize];
        let taken = end.take(most);
        let peer = end.peer;
        if !taken.is_empty() && self.ends[peer as usize].short {
            let capacity = self.ends[at as usize].capacity;
            if self.room(peer) * 3 >= capacity || self.ends[at as usize].unread() == 0 {
                self.ends[peer as usize].short = false;
                match self.ends[peer as usize].side {
                    Side::Proxy => self.plan(0, What::Edge(peer)),
                    Side::Peer => self.notify(peer),
                }
            }
        }
        taken
    }

    pub fn send_fin(&mut self, from: u32) {
        let end = &mut self.ends[from as usize];
        if end.reset_in || end.dial != Dial::Done || std::mem::replace(&mut end.fin_sent, true) {
            return;
        }
        let peer = end.peer;
        self.post(peer, Packet::Fin);
    }

    /// Closes an end; one with unread bytes resets the connection, as TCP does.
    pub fn close(&mut self, end: u32) {
        let place = &self.ends[end as usize];
        if place.closed {
            return;
        }
        if place.unread() > 0 && !place.reset_in {
            self.reset_end(end);
            return;
        }
        self.send_fin(end);
        let place = &mut self.ends[end as usize];
        place.closed = true;
        place.watch = None;
        self.say(|| format!("{} closed", self_name(end)));
    }

    /// Closes with a reset. What was not delivered yet may be lost, from some point on.
    pub fn reset_end(&mut self, end: u32) {
        let place = &mut self.ends[end as usize];
        if std::mem::replace(&mut place.closed, true) {
            return;
        }
        place.watch = None;
        let (peer, reset_in, dial) = (place.peer, place.reset_in, place.dial);
        place.reset_sent = true;
        self.say(|| format!("{} reset", self_name(end)));
        if reset_in || dial != Dial::Done {
            return;
        }
        let kept = self.ends[peer as usize].wire.len() as u64;
        let kept = self.dice().below(kept + 1) as usize;
        self.ends[peer as usize].cut_wire(kept);
        self.post(peer, Packet::Reset);
    }

    /// Ends of the proxy's that are open.
    #[must_use]
    pub fn open_of_proxy(&self) -> usize {
        self.ends.iter().filter(|end| end.side == Side::Proxy && !end.closed).count()
    }
}

fn self_name(end: u32) -> String {
    format!("e{end}")
}
