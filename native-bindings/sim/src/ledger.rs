//! What was asked, executed and answered, by identity: the record that both kinds of peers are judged by.

use crate::checks::Checkups;
use crate::dice::{Dice, mix};
use crate::net;
use crate::trust::Doubted;
use proto::plan::HealthProbe;
use std::collections::HashMap;
use std::net::SocketAddr;

/// How hostile a run is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// Nobody does anything wrong: every request must be answered by an origin.
    Calm,
    /// Origins close idle connections, also just as a request comes; what may be repeated must succeed all the same.
    Stale,
    Wild,
}

/// One request as its client means it.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub method: &'static str,
    /// The client's address, which the origin must be told.
    pub ip: String,
    /// The certificate that the origin must be told of.
    pub client_cert: Option<String>,
    pub body_bytes: u64,
    pub upgrade: bool,
    /// Bytes a tunnel carries from client to origin, and back.
    pub up_bytes: u64,
    pub down_bytes: u64,
    /// Its head must be refused: no origin may see it.
    pub illegal: bool,
    /// Its body must be refused: no origin may take it for complete.
    pub broken_body: bool,
    /// The client gave all of it to the network.
    pub sent_whole: bool,
    /// The same for the tunnel behind it.
    pub tunnel_whole: bool,
    pub executions: Vec<Execution>,
}

/// One arrival of a request at an origin.
#[derive(Clone, Debug)]
pub struct Execution {
    pub target: SocketAddr,
    /// The origin gave all of the answer to the network.
    pub whole: bool,
    /// Bytes of an answer were given to the network.
    pub begun: bool,
}

impl Ask {
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS")
    }
}

#[derive(Default)]
pub struct Ledger {
    pub asks: Vec<Ask>,
    pub tally: Tally,
    pub checkups: Checkups,
    pub doubted: Doubted,
    /// By origin: how it is checked.
    pub probes: HashMap<String, HealthProbe>,
    /// Most executions of a request that may be repeated: one a target, and one repeat.
    pub executions_max: usize,
}

/// What came of a run, to see that the runs are worth something.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    pub asked: u64,
    pub executed: u64,
    pub repeated: u64,
    pub answered: u64,
    pub own_answers: u64,
    pub refusals: u64,
    pub cut_answers: u64,
    pub tunnels: u64,
    pub stray_races: u64,
    pub stolen: u64,
    pub reused: u64,
    pub queued: u64,
    /// Bodies that went on in a file, such that could not, and reads of files.
    pub spooled: u64,
    pub spool_refused: u64,
    pub file_reads: u64,
    /// Checks that came to a verdict, and those of them that found fault.
    pub checks: u64,
    pub checks_bad: u64,
    pub workers_lost: u64,
    /// TLS with clients, and with targets.
    pub handshakes: [u64; 2],
    pub resumed: [u64; 2],
    pub shakes_failed: [u64; 2],
    /// Certificates that were doubted.
    pub doubted: u64,
    pub turns: u64,
    pub steps: u64,
    /// Of what happened and when: the same for the same seeds.
    pub digest: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.asked += other.asked;
        self.executed += other.executed;
        self.repeated += other.repeated;
        self.answered += other.answered;
        self.own_answers += other.own_answers;
        self.refusals += other.refusals;
        self.cut_answers += other.cut_answers;
        self.tunnels += other.tunnels;
        self.stray_races += other.stray_races;
        self.stolen += other.stolen;
        self.reused += other.reused;
        self.queued += other.queued;
        self.spooled += other.spooled;
        self.spool_refused += other.spool_refused;
        self.file_reads += other.file_reads;
        self.checks += other.checks;
        self.checks_bad += other.checks_bad;
        self.workers_lost += other.workers_lost;
        for side in [0, 1] {
            self.handshakes[side] += other.handshakes[side];
            self.resumed[side] += other.resumed[side];
            self.shakes_failed[side] += other.shakes_failed[side];
        }
        self.doubted += other.doubted;
        self.turns += other.turns;
        self.steps += other.steps;
        self.digest = mix(self.digest ^ other.digest);
    }
}

impl Ledger {
    pub fn add(&mut self, ask: Ask) -> u64 {
        self.tally.asked += 1;
        self.asks.push(ask);
        (self.asks.len() - 1) as u64
    }

    #[must_use]
    pub fn ask(&self, id: u64) -> Option<&Ask> {
        self.asks.get(usize::try_from(id).ok()?)
    }

    pub fn ask_mut(&mut self, id: u64) -> Option<&mut Ask> {
        self.asks.get_mut(usize::try_from(id).ok()?)
    }

    /// A request's head arrived at an origin. Returns the number of the execution.
    pub fn execute(&mut self, id: u64, target: SocketAddr) -> Option<u64> {
        let most = self.executions_max;
        let ask = self.asks.get_mut(usize::try_from(id).ok()?)?;
        if ask.illegal {
            fail(format!("request {id}, which must be refused, reached {target}"));
        }
        if !ask.executions.is_empty() {
            self.tally.repeated += 1;
            if !ask.is_repeatable() {
                fail(format!("{} {id} was executed twice, at {target} after {}", ask.method, ask.executions[0].target));
            } else if ask.executions.len() >= most {
                fail(format!("{} {id} was executed more than {most} times", ask.method));
            }
        }
        self.tally.executed += 1;
        ask.executions.push(Execution { target, whole: false, begun: false });
        Some((ask.executions.len() - 1) as u64)
    }

    pub fn execution(&mut self, id: u64, number: u64) -> Option<&mut Execution> {
        self.ask_mut(id)?.executions.get_mut(usize::try_from(number).ok()?)
    }
}

pub fn fail(what: String) {
    net::with(|net| net.fail(what));
}

pub fn say(line: impl FnOnce() -> String) {
    net::with(|net| net.say(line));
}

/// Throws the run's dice.
pub fn dice<T>(throw: impl FnOnce(&mut Dice) -> T) -> T {
    net::with(|net| throw(net.dice()))
}
