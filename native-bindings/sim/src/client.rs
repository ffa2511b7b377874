//! A client: sends its requests in pieces, one after another or pipelined, reads at its own pace, leaves as it likes,
//! and judges every byte that comes back.

use crate::ledger::{Ledger, Mood, dice, fail, say};
use crate::line::{Came, Leave, Line};
use crate::net::{self, What};
use crate::requests::{self, Shot, Wanted};
use crate::secure::{self, Kind, Visitor};
use crate::verdict::Verdict;
use std::collections::VecDeque;

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
struct Manner {
    pipelines: bool,
    /// Sends in pieces, with gaps.
    drips: bool,
    /// Bytes read at once, with gaps; 0 = all at once.
    reads: usize,
    http10: bool,
    /// Sends its FIN right after its last request.
    half_closes: bool,
}

pub struct Client {
    pub number: u32,
    line: Line,
    /// Nothing of its may be heard, and so it may be told nothing.
    uninvited: bool,
    mood: Mood,
    manner: Manner,
    shots: VecDeque<Shot>,
    /// Bytes of the first shot that are sent.
    sent: usize,
    pub verdict: Verdict,
    send_at_us: u64,
    read_at_us: u64,
    /// When it stops waiting for 100 (Continue).
    patience_us: Option<u64>,
    abort_at_us: Option<u64>,
    leave_at_us: Option<u64>,
    fin_sent: bool,
    tunnel_sent: u64,
    pub gone: bool,
}

impl Client {
    #[must_use]
    pub fn new(number: u32, end: u32, ip: &str, mood: Mood, ledger: &mut Ledger) -> Self {
        let now = net::with(|net| net.now_us);
        let manner = dice(|d| Manner {
            pipelines: d.chance(350),
            drips: d.chance(300),
            reads: if d.chance(150) { d.between(40, 900) as usize } else { 0 },
            http10: d.chance(200),
            half_closes: d.chance(150),
        });
        let count = dice(|d| d.between(1, 6));
        let mut shots: VecDeque<Shot> =
            (0..count).map(|_| dice(|d| requests::make(d, ledger, mood, ip, manner.http10))).collect();
        let (line, kind) = enter(end, &mut shots, ledger);
        let abort = mood == Mood::Wild && dice(|d| d.chance(200));
        let abort_at_us = abort.then(|| now + dice(|d| d.skewed(5_000_000)));
        if let Some(at) = abort_at_us {
            net::with(|net| net.plan(at - now, What::Wake(number)));
        }
        net::with(|net| net.plan(0, What::Wake(number)));
        Self {
            number,
            line,
            uninvited: kind == Kind::Uninvited,
            mood,
            manner,
            shots,
            sent: 0,
            verdict: Verdict::new(number, mood, manner.http10),
            send_at_us: now,
            read_at_us: now,
            patience_us: None,
            abort_at_us,
            leave_at_us: None,
            fin_sent: false,
            tunnel_sent: 0,
            gone: false,
        }
    }

    pub fn act(&mut self, ledger: &mut Ledger) {
        if self.gone {
            self.line.linger();
            return;
        }
        let now = net::with(|net| net.now_us);
        if self.abort_at_us.is_some_and(|at| at <= now) {
            self.leave("aborts", if dice(|d| d.chance(500)) { Leave::Cut } else { Leave::Politely });
            return;
        }
        self.read(ledger, now);
        if !self.gone {
            self.send(ledger, now);
        }
        if !self.gone {
            self.end(now);
        }
    }

    /// Everybody goes home.
    pub fn send_home(&mut self) {
        if !self.gone {
            self.leave("goes home", Leave::Politely);
        }
    }

    fn read(&mut self, ledger: &mut Ledger, now: u64) {
        if self.read_at_us > now {
            return;
        }
        let slow = self.manner.reads;
        let most = if slow == 0 { usize::MAX } else { slow };
        let Came { bytes, any, end, cut } = self.line.take(most);
        if self.line.is_void() && !self.uninvited {
            self.uninvited = true;
            void(&mut self.shots, ledger);
        }
        if self.uninvited && !bytes.is_empty() {
            fail(format!("client {}, which was not let in, was told something", self.number));
        }
        if slow != 0 && any {
            let gap = dice(|d| if d.chance(20) { d.skewed(3_000_000) } else { d.skewed(3_000) });
            self.read_at_us = now + gap;
            net::with(|net| net.plan(gap, What::Wake(self.number)));
        }
        self.verdict.take(&bytes, ledger);
        if end || cut {
            self.verdict.end(cut, ledger);
            if self.verdict.tunnelling() && !cut && self.mood != Mood::Wild {
                return;
            }
            self.leave("sees the end", Leave::Idle);
        }
    }

    fn send(&mut self, ledger: &mut Ledger, now: u64) {
        while self.send_at_us <= now && !self.fin_sent {
            if self.verdict.tunnelling() {
                self.send_tunnel(ledger);
                return;
            }
            let Some(shot) = self.shots.front() else { break };
            // After an upgrade nobody may send more before the answer is known.
            let waits = !self.manner.pipelines || self.verdict.awaits_upgrade();
            if self.sent == 0 && waits && self.verdict.awaits() {
                return;
            }
            let (id, hold_at) = (shot.id, shot.hold_at);
            let held = hold_at.filter(|at| self.holds(*at, id, now));
            let Some(shot) = self.shots.front() else { break };
            let stop = held.unwrap_or(shot.bytes.len());
            if stop <= self.sent {
                return;
            }
            let mut stop = stop;
            if self.manner.drips {
                let left = stop - self.sent;
                stop = self.sent + 1 + dice(|d| d.below(left as u64)) as usize;
            }
            let taken = self.line.send(&shot.bytes[self.sent..stop], false);
            say(|| format!("  client {} sends {taken} of request {}", self.number, shot.id));
            if self.sent == 0 && taken > 0 {
                self.verdict.expect(shot.id, shot.wanted, ledger);
            }
            self.sent += taken;
            if self.sent == shot.bytes.len() {
                if let Some(ask) = ledger.ask_mut(shot.id) {
                    ask.sent_whole = true;
                }
                let last = self.shots.pop_front().is_some_and(|shot| shot.last);
                if last && self.mood != Mood::Wild {
                    self.shots.clear();
                }
                self.sent = 0;
                self.patience_us = None;
            }
            if taken == 0 {
                return;
            }
            if self.manner.drips {
                let gap = dice(|d| if d.chance(15) { d.skewed(3_000_000) } else { d.skewed(2_000) });
                self.send_at_us = now + gap;
                net::with(|net| net.plan(gap, What::Wake(self.number)));
            }
        }
    }

    /// Whether the client still waits to be told to send its body.
    fn holds(&mut self, at: usize, id: u64, now: u64) -> bool {
        if self.sent > at || self.verdict.may_continue(id) {
            return false;
        }
        let due = *self.patience_us.get_or_insert_with(|| {
            let wait = dice(|d| d.skewed(4_000_000));
            net::with(|net| net.plan(wait, What::Wake(self.number)));
            now + wait
        });
        due > now
    }

    fn send_tunnel(&mut self, ledger: &mut Ledger) {
        let Some(id) = self.verdict.tunnel_id() else { return };
        let Some(ask) = ledger.ask_mut(id) else { return };
        let mut bytes = Vec::new();
        let left = ask.up_bytes - self.tunnel_sent;
        crate::content::fill(crate::content::tunnel_key(id, true), self.tunnel_sent, left as usize, &mut bytes);
        let taken = self.line.send(&bytes, false);
        self.tunnel_sent += taken as u64;
        if self.tunnel_sent == ask.up_bytes {
            ask.tunnel_whole = true;
            self.fin_sent = true;
            self.line.send_fin();
        }
    }

    /// Nothing left to send and nothing to wait for.
    fn end(&mut self, now: u64) {
        if !self.shots.is_empty() || self.sent > 0 || self.verdict.tunnelling() {
            // An answer that closes ends the conversation, whatever was still to be said.
            if self.verdict.closing && !self.verdict.awaits() && self.manner.pipelines {
                self.leave("is told to close", Leave::Idle);
            }
            return;
        }
        if self.manner.half_closes && !self.fin_sent {
            self.fin_sent = true;
            say(|| format!("  client {} half-closes", self.number));
            self.line.send_fin();
        }
        if self.verdict.awaits() {
            return;
        }
        match self.leave_at_us {
            None => {
                let wait = dice(|d| if d.chance(300) { d.skewed(60_000_000) } else { d.skewed(5_000) });
                self.leave_at_us = Some(now + wait);
                net::with(|net| net.plan(wait, What::Wake(self.number)));
            }
            Some(at) if at <= now => {
                self.leave("has done", if dice(|d| d.chance(150)) { Leave::Cut } else { Leave::Idle })
            }
            Some(_) => {}
        }
    }

    /// What a client that nobody disturbs never got.
    #[must_use]
    pub fn misses_answer(&self) -> bool {
        self.verdict.awaits() && !self.verdict.closing
    }

    fn leave(&mut self, why: &str, how: Leave) {
        self.gone = true;
        say(|| format!("  client {} {why}", self.number));
        self.line.leave(how);
    }
}

/// None of these requests may be heard.
fn void(shots: &mut VecDeque<Shot>, ledger: &mut Ledger) {
    for shot in shots {
        if let Some(ask) = ledger.ask_mut(shot.id) {
            ask.illegal = true;
        }
        (shot.wanted, shot.hold_at) = (Wanted::Refusal, None);
    }
}

/// The client's way to the network. Where TLS is spoken, some clients may be heard by nobody, and send accordingly.
fn enter(end: u32, shots: &mut VecDeque<Shot>, ledger: &mut Ledger) -> (Line, Kind) {
    let Some(Visitor { session, manner, kind, field }) = secure::visitor() else {
        return (Line::plain(end), Kind::Guest);
    };
    say(|| format!("  it speaks TLS: {kind:?}, {manner:?}"));
    for shot in shots.iter_mut() {
        if let Some(ask) = ledger.ask_mut(shot.id) {
            ask.client_cert.clone_from(&field);
        }
    }
    if kind != Kind::Guest {
        void(shots, ledger);
    }
    if kind == Kind::Plain {
        shots.truncate(1);
        shots[0].bytes = format!("GET /r/{} HTTP/1.1\r\nHost: sim\r\n\r\n", shots[0].id).into_bytes();
        return (Line::plain(end), kind);
    }
    if kind == Kind::Garbage {
        shots.clear();
    }
    net::with(|net| net.seal(end));
    (Line::sealed(end, session, manner), kind)
}
