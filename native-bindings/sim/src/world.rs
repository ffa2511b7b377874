//! One run: workers, network and peers on one agenda, from the first connection to the last timer. After every turn
//! the books and the buffers are judged; at the end nothing may be left.

use crate::actor::Actor;
use crate::books::{Books, clean_block, judge_memory, judge_spool};
use crate::checks;
use crate::client::Client;
use crate::dice::Dice;
use crate::kernel::{SimIo, Socket};
use crate::ledger::{Ledger, Mood, Tally, dice, fail, say};
use crate::multiplexer::{self, Multiplexer};
use crate::net::{self, What};
use crate::origin::OriginPeer;
use crate::secure;
use crate::settings;
use crate::trust;
use engine::host::{Host, Message};
use engine::spool::PIECE_BYTES;
use engine::stats::{Counter, Row};
use engine::target::TargetState;
use engine::worker::{Worker, settle};
use proto::plan::Plan;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub const WORKERS_MAX: usize = 3;
const STEPS_MAX: u64 = 150_000;
/// Several bodies at once through one small buffer take longer.
const STEPS_OF_STREAMS_MAX: u64 = 1_000_000;
/// Polls of one turn: its passes are bounded.
const POLLS_MAX: u64 = 8;
/// Turns in a row that found nothing to do, and the time within which so many are a busy loop: a timer that was put off
/// is looked at in vain, but no sooner than a tick later.
const IDLE_TURNS_MAX: u32 = 40;
const IDLE_TURNS_US: u64 = 100_000;
/// A record, and what sealing adds to what is sent.
const RECORD_ROOM_BYTES: usize = 18 * 1024;
/// When clients come; when whoever is still there is sent home.
const ARRIVALS_US: u64 = 3_000_000;
const HOME_US: u64 = 2_000_000_000;

pub struct World {
    mood: Mood,
    host: Arc<Host<Socket>>,
    /// The plan as it was drawn, and the same without checks.
    plans: [Plan; 3],
    workers: Vec<Worker<SimIo>>,
    words: &'static [AtomicU64],
    actors: Vec<Actor>,
    ledger: Ledger,
    idle_turns: u32,
    busy_at_us: u64,
    /// Connections handed to each worker.
    handed: Vec<u64>,
    clients_to_come: u32,
    home_at_us: u64,
    pub steps: u64,
}

impl World {
    #[must_use]
    pub fn new(seed: u64, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let mood = settings::mood(&mut dice);
        let knobs = settings::knobs(&mut dice, mood);
        let mut plan = settings::plan(&mut dice, mood);
        secure::begin(seed, mood, &mut plan);
        multiplexer::begin(seed, &mut plan);
        let (workers, clients) = (plan.workers, dice.between(1, 10) as u32);
        let executions_max = 1 + plan.origins.iter().map(|o| o.targets.len()).max().unwrap_or(0);
        net::with(|net| {
            net.reset(dice, knobs.clone(), workers, traced);
            net.attempts_max = executions_max as u32;
            net.held_max = settings::held_max(&plan);
        });
        say(|| format!("seed {seed}: {mood:?}, {clients} clients, {knobs:?}\n{plan:#?}"));
        let probes = plan.origins.iter().filter_map(|o| Some((o.name.clone(), o.health.clone()?.probe))).collect();
        let plans = [plan.clone(), checks::without(&plan), settings::with_fewer_targets(&plan)];
        let host = Arc::new(Host::new(plan).expect("a plan that can be run"));
        let mut world = Self {
            mood,
            host,
            plans,
            workers: Vec::new(),
            words: clean_block(),
            actors: Vec::new(),
            ledger: Ledger { executions_max, probes, ..Ledger::default() },
            idle_turns: 0,
            busy_at_us: 0,
            handed: vec![0; workers as usize],
            clients_to_come: clients,
            home_at_us: 1_000_000_000 + HOME_US,
            steps: 0,
        };
        for number in 0..workers {
            let worker = world.hire(number);
            world.workers.push(worker);
        }
        net::with(|net| net.plan(0, What::Chaos));
        world
    }

    /// Runs to the end; the tally, or what went wrong.
    pub fn run(&mut self) -> Result<Tally, String> {
        let steps_max = if multiplexer::is_spoken() { STEPS_OF_STREAMS_MAX } else { STEPS_MAX };
        while let Some(what) = net::with(|net| net.next()) {
            self.steps += 1;
            self.step(what);
            let failure = net::with(|net| net.failure.take());
            if let Some(failure) = failure {
                return Err(failure);
            }
            if self.steps > steps_max {
                return Err(format!("no rest after {steps_max} steps"));
            }
        }
        self.judge_end()?;
        Books(self.words).tell(&mut self.ledger.tally);
        self.ledger.tally.steps = self.steps;
        (self.ledger.tally.file_reads, self.ledger.tally.digest) = net::with(|net| (net.disk.reads, net.digest));
        Ok(self.ledger.tally)
    }

    fn hire(&self, number: u32) -> Worker<SimIo> {
        let row = Row::of_block(self.words, number as usize).expect("the block has a row for every worker");
        let mut worker = Worker::new(SimIo { worker: number }, Arc::clone(&self.host), number, row);
        worker.log().lines().clear();
        worker
    }

    fn step(&mut self, what: What) {
        match what {
            What::Deliver(end) => net::with(|net| net.deliver(end)),
            What::Edge(end) => net::with(|net| net.edge(end)),
            What::Dial(end) => {
                net::with(|net| net.dialled(end));
                self.take_arrivals();
            }
            What::Wake(actor) => self.actors[actor as usize].act(&mut self.ledger),
            What::Turn(worker) => self.turn(worker),
            What::Clock(worker, serial) => net::with(|net| {
                let seat = &mut net.seats[worker as usize];
                if seat.clock_serial == serial {
                    seat.clock_fired = true;
                    net.schedule(worker);
                }
            }),
            What::Chaos => self.chaos(),
        }
    }

    fn take_arrivals(&mut self) {
        for (end, target) in net::with(|net| std::mem::take(&mut net.arrivals)) {
            checks::note_connection(&mut self.ledger.checkups, target);
            let check = net::with(|net| net.is_check(end));
            trust::note_connection(&mut self.ledger.doubted, target, check);
            let number = self.actors.len() as u32;
            net::with(|net| net.ends[end as usize].owner = number);
            self.actors.push(Actor::Origin(OriginPeer::new(end, number, target, self.mood)));
            net::with(|net| net.plan(0, What::Wake(number)));
        }
    }

    fn turn(&mut self, number: u32) {
        net::with(|net| {
            let seat = &mut net.seats[number as usize];
            (seat.scheduled, seat.polls, seat.events, seat.calls) = (false, 0, 0, 0);
        });
        say(|| format!("w{number} turn"));
        let asked = self.host.workers[number as usize].panic_asked.load(Relaxed);
        if asked {
            self.lose(number);
        } else {
            self.workers[number as usize].turn();
            self.workers[number as usize].log().lines().clear();
            let notes = std::mem::take(self.workers[number as usize].log().notes());
            checks::hear(&notes, &self.host, self.mood, &mut self.ledger);
            trust::hear(&notes, self.mood);
        }
        net::with(|net| {
            if net.has_ready(number) {
                net.schedule(number);
            }
        });
        self.judge_turn(number);
    }

    /// A worker dies as the addon lets it die: it closes what it held, its books are settled, another takes its seat.
    fn lose(&mut self, number: u32) {
        say(|| format!("w{number} is lost"));
        self.host.workers[number as usize].panic_asked.store(false, Relaxed);
        self.ledger.tally.workers_lost += 1;
        let census = self.workers[number as usize].census();
        let at_rest = census.clients + census.exchanges + census.connecting + census.active == 0;
        // One that dies too badly to close anything leaves what rests in the pool to whoever settles its books.
        if !at_rest || dice(|d| d.chance(300)) {
            self.workers[number as usize].close_all();
        }
        let row = Row::of_block(self.words, number as usize).expect("the block has a row for every worker");
        settle::<SimIo>(&self.host, number, row);
        self.handed[number as usize] = row.get(Counter::ClientAccepted);
        net::with(|net| {
            let seat = &mut net.seats[number as usize];
            seat.clock_serial += 1;
            seat.late.clear();
            seat.clock_fired = false;
        });
        let next = self.hire(number);
        self.workers[number as usize] = next;
    }

    fn judge_turn(&mut self, number: u32) {
        let (open, polls, moved, buffer) = net::with(|net| {
            let seat = &net.seats[number as usize];
            (net.open_of_proxy(), seat.polls, seat.events + seat.calls, net.knobs.buffer_bytes)
        });
        if polls > POLLS_MAX {
            fail(format!("worker {number} polled {polls} times in one turn"));
        }
        let now = net::with(|net| net.now_us);
        if moved > 0 || now > self.busy_at_us + IDLE_TURNS_US {
            (self.idle_turns, self.busy_at_us) = (0, now);
        }
        self.idle_turns += u32::from(moved == 0);
        if self.idle_turns > IDLE_TURNS_MAX {
            fail(format!("{} turns in a row had nothing to do", self.idle_turns));
        }
        let handed: u64 = self.handed.iter().sum();
        let on_hand = handed.saturating_sub(Books(self.words).sum(Counter::ClientAccepted)) as usize;
        let held: Vec<_> = self.workers.iter().map(Worker::census).collect();
        if held[number as usize].put_off > 0 && !net::with(|net| net.has_ready(number)) {
            fail(format!("worker {number} put work off, and nothing will wake it"));
        }
        if let Err(what) = Books(self.words).judge(&held, open, on_hand) {
            fail(what);
        }
        for census in &held {
            let plan = self.host.plan();
            let limits = &plan.limits;
            let replay = settings::REPLAY_BYTES as usize;
            let file_piece = if plan.spool.folder.is_empty() { 0 } else { PIECE_BYTES as usize };
            let head_bytes = limits.head_bytes as usize;
            let sealed = if secure::is_spoken() { RECORD_ROOM_BYTES } else { 0 };
            // What came on a stream is read at once, up to its window, however little the network carries at a time.
            let window = if multiplexer::is_spoken() { plan.http2.stream_window_bytes as usize } else { 0 };
            let piece = sealed + (buffer as usize).max(window);
            let (http2, cached) = (multiplexer::is_spoken(), settings::cached_piece(&plan));
            if let Err(what) = judge_memory(census, piece, head_bytes, replay, file_piece, http2, cached) {
                fail(what);
            }
        }
        if let Err(what) = checks::judge(&Books(self.words), &self.host, &self.ledger) {
            fail(what);
        }
        let (total, most) = (self.host.spool_bytes.load(Relaxed), self.host.plan().spool.total_bytes);
        let on_disk = net::with(|net| net.disk.bytes);
        if let Err(what) = judge_spool(Books(self.words).sum(Counter::SpoolBytes), total, on_disk, most) {
            fail(what);
        }
    }

    /// Once in a while: a client comes, a worker dies, a clock jumps, the proxy drains; at last everybody goes home.
    fn chaos(&mut self) {
        let now = net::with(|net| net.now_us);
        if now >= self.home_at_us {
            self.go_home();
            return;
        }
        if self.clients_to_come > 0 {
            self.clients_to_come -= 1;
            self.let_client_in();
        } else if self.all_clients_gone() {
            self.home_at_us = now;
        }
        if self.mood == Mood::Wild {
            match dice(|d| d.below(150)) {
                0..=2 => {
                    let worker = dice(|d| d.below(self.workers.len() as u64)) as u32;
                    self.host.workers[worker as usize].panic_asked.store(true, Relaxed);
                    net::with(|net| net.schedule(worker));
                }
                3 => net::with(|net| {
                    net.now_us += net.dice().skewed(20_000_000);
                    net.say(|| "everything stood still".to_owned());
                }),
                4 => self.drain(),
                5..=7 => self.install(dice(|d| d.below(3)) as usize),
                8..=9 => self.set_some_state(),
                _ => {}
            }
        } else if dice(|d| d.chance(100)) {
            // Targets go and come back while nothing else is wrong: no request may notice.
            self.install(dice(|d| d.below(2)) as usize * 2);
        }
        net::with(|net| {
            let back = net.dice().skewed(4_000_000_000);
            net.wall_offset_ms = 1_700_000_000_000 - 2_000_000_000 + back;
        });
        let gap = if self.clients_to_come > 0 { ARRIVALS_US / 10 } else { 2_000_000 };
        let gap = dice(|d| gap / 20 + d.skewed(gap));
        net::with(|net| net.plan(gap, What::Chaos));
    }

    fn all_clients_gone(&self) -> bool {
        self.actors.iter().all(Actor::is_gone)
    }

    fn drain(&self) {
        say(|| "the proxy drains".to_owned());
        self.host.drain(dice(|d| d.chance(500)));
        self.ring_all();
    }

    fn ring_all(&self) {
        for worker in 0..self.workers.len() as u32 {
            net::with(|net| {
                net.seats[worker as usize].bell = true;
                net.schedule(worker);
            });
        }
    }

    /// One of the plans takes the place of the present one.
    fn install(&self, place: usize) {
        say(|| format!("plan {place} is installed"));
        let installed = self.host.install(self.plans[place].clone(), net::with(|net| net.now_us / 1000));
        assert_eq!(installed, Ok(()));
        self.ring_all();
    }

    /// Somebody who judges health, or an operator, gives a target another state.
    fn set_some_state(&self) {
        let targets = self.host.pool.all_targets();
        let target = dice(|d| Arc::clone(d.pick(&targets)));
        let states = [TargetState::Up, TargetState::Up, TargetState::Down, TargetState::Suspect, TargetState::Draining];
        let state = dice(|d| *d.pick(&states));
        say(|| format!("target {} is {}", target.number, state.token()));
        self.host.set_target_state(target.number, state, net::with(|net| net.now_us / 1000));
        self.ring_all();
    }

    fn go_home(&mut self) {
        for actor in &mut self.actors {
            if let (Mood::Calm, Some(number)) = (self.mood, actor.misses_answer()) {
                fail(format!("client {number} never got its answer"));
            }
            actor.send_home();
        }
        // Checks go on for as long as the proxy does, or until a plan does without them.
        match checks::are_asked(&self.plans[0]) {
            true if dice(|d| d.chance(500)) => self.drain(),
            true => self.install(1),
            false => {}
        }
        self.home_at_us = u64::MAX;
    }

    /// What the acceptor does: the connection goes into a worker's inbox and its bell rings.
    fn let_client_in(&mut self) {
        if self.host.is_draining() {
            return;
        }
        let number = self.actors.len() as u32;
        let address = Ipv4Addr::new(10, 1, (number >> 8) as u8, number as u8);
        let (end, socket) = net::with(|net| {
            let (peer, own) = net.open_pair(number);
            (peer, Socket::new(own, net.run))
        });
        let worker = dice(|d| d.below(self.workers.len() as u64)) as u32;
        let peer = SocketAddr::new(IpAddr::V4(address), 40_000);
        say(|| format!("client {number} comes to worker {worker}"));
        if self.host.inboxes[worker as usize].push(Message::Client { socket, peer, listener: 0 }).is_ok() {
            self.handed[worker as usize] += 1;
        }
        net::with(|net| {
            net.seats[worker as usize].bell = true;
            net.schedule(worker);
        });
        let (ip, mood, ledger) = (address.to_string(), self.mood, &mut self.ledger);
        self.actors.push(if multiplexer::is_wanted() {
            Actor::Multiplexer(Box::new(Multiplexer::new(number, end, &ip, mood, ledger)))
        } else {
            Actor::Client(Client::new(number, end, &ip, mood, ledger))
        });
    }

    fn judge_end(&mut self) -> Result<(), String> {
        if let Some(place) = self.workers.iter().position(|worker| !worker.is_empty()) {
            return Err(format!("worker {place} holds {:?} after everybody has left", self.workers[place].census()));
        }
        Books(self.words).judge_end()?;
        trust::judge(&Books(self.words), self.mood, &self.ledger)?;
        let (open, files) = net::with(|net| (net.open_of_proxy(), net.disk.files));
        match (open, files) {
            (0, 0) => Ok(()),
            _ => Err(format!("{open} sockets and {files} files are open after everybody has left")),
        }
    }
}
