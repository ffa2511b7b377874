//! A client that speaks HTTP/2 with prior knowledge: several requests at once on one connection, bodies in pieces, windows
//! given back late, streams reset half-way. The library it speaks with is the one the proxy speaks with; what is judged is
//! not the frames but whose answer each stream gets, and every byte of it, by the same verdict as all clients'.

use crate::dice::{Dice, mix};
use crate::ledger::{Ledger, Mood, say};
use crate::line::{Came, Leave, Line};
use crate::net::{self, What};
use crate::requests::{self, Shot};
use crate::stream::{Stream, note_sent, request_of};
use crate::verdict::Verdict;
use bytes::Bytes;
use engine::http2::wire::Wire;
use h2::client::{Builder, Connection, SendRequest};
use proto::plan::Plan;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// One run in so many has a listener that takes HTTP/2.
const RUNS_PER_HTTP2: u64 = 4;

thread_local! {
    static DICE: RefCell<Option<Dice>> = const { RefCell::new(None) };
}

/// Begins a run: draws whether its listener takes HTTP/2. On dice of its own, so that a run without is what it was.
pub fn begin(seed: u64, plan: &mut Plan) {
    let mut dice = Dice::new(mix(seed ^ 0x68_7474_7032));
    let spoken = dice.below(RUNS_PER_HTTP2) == 0 && plan.listeners.iter().all(|listener| listener.tls.is_none());
    if spoken {
        plan.listeners[0].http2 = true;
        plan.http2.stream_window_bytes = 65_535;
        plan.http2.streams = *dice.pick(&[1, 2, 8, 128]);
        plan.http2.connection_buffer_bytes = *dice.pick(&[2_000, 100_000, 1_048_576]);
    }
    DICE.with(|held| *held.borrow_mut() = spoken.then_some(dice));
}

pub fn dice<T>(throw: impl FnOnce(&mut Dice) -> T) -> T {
    DICE.with(|held| throw(held.borrow_mut().as_mut().expect("a run with HTTP/2")))
}

/// Whether HTTP/2 is spoken in this run.
#[must_use]
pub fn is_spoken() -> bool {
    DICE.with(|held| held.borrow().is_some())
}

/// Whether the next client speaks HTTP/2.
#[must_use]
pub fn is_wanted() -> bool {
    DICE.with(|held| held.borrow_mut().as_mut().is_some_and(|dice| dice.chance(600)))
}

pub struct Multiplexer {
    pub number: u32,
    line: Line,
    mood: Mood,
    wire: Wire,
    /// What the line did not take yet.
    out: Vec<u8>,
    send: SendRequest<Bytes>,
    connection: Option<Connection<Wire, Bytes>>,
    shots: VecDeque<Shot>,
    streams: Vec<Stream>,
    at_once: usize,
    /// Gives windows back late.
    slow: bool,
    abort_at_us: Option<u64>,
    leave_at_us: Option<u64>,
    act_at_us: u64,
    /// When it looks again at what it still has to do.
    look_at_us: u64,
    pub gone: bool,
}

impl Multiplexer {
    #[must_use]
    pub fn new(number: u32, end: u32, ip: &str, mood: Mood, ledger: &mut Ledger) -> Self {
        let now = net::with(|net| net.now_us);
        let count = dice(|d| d.between(1, 12));
        let shots = (0..count).map(|_| dice(|d| requests::make_for_stream(d, ledger, mood, ip))).collect();
        let wild = mood == Mood::Wild;
        // With no window at all an answer is never taken, as hoarders do it.
        let least = if wild { 0 } else { 500 };
        let window = dice(|d| *d.pick(&[least, 500_u32, 65_535, 1_000_000]));
        let wire = Wire::default();
        let (send, connection) = begin_connection(&wire, window, if wild { 100 } else { 1 });
        let abort = wild && dice(|d| d.chance(200));
        let abort_at_us = abort.then(|| now + dice(|d| d.skewed(5_000_000)));
        if let Some(at) = abort_at_us {
            net::with(|net| net.plan(at - now, What::Wake(number)));
        }
        net::with(|net| net.plan(0, What::Wake(number)));
        say(|| format!("  it speaks HTTP/2, and opens its windows with {window}"));
        Self {
            number,
            line: Line::plain(end),
            mood,
            wire,
            out: Vec::new(),
            send,
            connection: Some(connection),
            shots,
            streams: Vec::new(),
            at_once: dice(|d| d.between(1, 8)) as usize,
            slow: window < 65_535 || dice(|d| d.chance(200)),
            abort_at_us,
            leave_at_us: None,
            act_at_us: now,
            look_at_us: 0,
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
        let Came { bytes, end, cut, .. } = self.line.take(usize::MAX);
        self.wire.0.borrow_mut().feed(&bytes);
        if end || cut {
            self.wire.0.borrow_mut().end();
        }
        let mut over = self.drive();
        self.open_streams(ledger, now);
        for stream in &mut self.streams {
            stream.go_on(self.slow, ledger);
        }
        over |= self.drive();
        self.streams.retain(|stream| !stream.over);
        self.flush();
        if over || end || cut {
            for stream in &mut self.streams {
                stream.verdict.end(true, ledger);
            }
            self.leave("sees the end", Leave::Idle);
            return;
        }
        self.rest(now);
    }

    /// Lets the connection go on. Returns whether it is over.
    fn drive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let Some(connection) = self.connection.as_mut() else { return true };
            match Pin::new(connection).poll(&mut cx) {
                Poll::Ready(end) => {
                    say(|| format!("  client {}: its HTTP/2 is over: {end:?}", self.number));
                    self.connection = None;
                    self.take_output();
                    return true;
                }
                Poll::Pending => {
                    // What it held back for want of room goes on when there is some.
                    if !self.take_output() {
                        return false;
                    }
                }
            }
        }
    }

    fn take_output(&mut self) -> bool {
        let output = std::mem::take(&mut self.wire.0.borrow_mut().output);
        self.out.extend_from_slice(&output);
        !output.is_empty()
    }

    fn flush(&mut self) {
        let taken = self.line.send(&self.out, false);
        self.out.drain(..taken);
    }

    fn open_streams(&mut self, ledger: &mut Ledger, now: u64) {
        let mut cx = Context::from_waker(Waker::noop());
        while self.act_at_us <= now && self.streams.len() < self.at_once && !self.shots.is_empty() {
            if !matches!(self.send.poll_ready(&mut cx), Poll::Ready(Ok(()))) {
                return;
            }
            let Some(shot) = self.shots.pop_front() else { return };
            let Some(ask) = ledger.ask(shot.id) else { continue };
            let (bytes, told) = (ask.body_bytes, dice(|d| d.chance(500)));
            let bare = bytes == 0 && dice(|d| d.chance(800));
            let request = request_of(&shot, (told && !bare).then_some(bytes));
            let Ok((response, send)) = self.send.send_request(request, bare) else { return };
            say(|| format!("  client {} asks {} with {bytes} bytes", self.number, shot.id));
            let mut verdict = Verdict::new(self.number, self.mood, false);
            verdict.expect(shot.id, shot.wanted, ledger);
            if bare {
                note_sent(shot.id, ledger);
            }
            let resets = self.mood == Mood::Wild && dice(|d| d.chance(100));
            self.streams.push(Stream {
                id: shot.id,
                send,
                response: Some(response),
                body: None,
                bytes,
                sent: 0,
                ended: bare,
                chunked: false,
                owed: 0,
                reset_after: resets.then(|| dice(|d| d.skewed(2_000))),
                received: 0,
                verdict,
                over: false,
            });
            if dice(|d| d.chance(200)) {
                let gap = dice(|d| d.skewed(50_000));
                self.act_at_us = now + gap;
                net::with(|net| net.plan(gap, What::Wake(self.number)));
            }
        }
    }

    /// Looks again soon while there is something to do, and leaves when there is nothing.
    fn rest(&mut self, now: u64) {
        let owes = self.streams.iter().any(|stream| stream.owed > 0 || !stream.ended);
        if owes && self.look_at_us <= now {
            let gap = dice(|d| 1 + d.skewed(20_000));
            self.look_at_us = now + gap;
            net::with(|net| net.plan(gap, What::Wake(self.number)));
        }
        if !self.streams.is_empty() || !self.shots.is_empty() {
            return;
        }
        match self.leave_at_us {
            None => {
                let wait = dice(|d| if d.chance(300) { d.skewed(60_000_000) } else { d.skewed(5_000) });
                self.leave_at_us = Some(now + wait);
                net::with(|net| net.plan(wait, What::Wake(self.number)));
            }
            Some(at) if at <= now => {
                self.leave("has done", if dice(|d| d.chance(150)) { Leave::Cut } else { Leave::Idle });
            }
            Some(_) => {}
        }
    }

    /// Everybody goes home.
    pub fn send_home(&mut self) {
        if !self.gone {
            self.leave("goes home", Leave::Politely);
        }
    }

    /// What a client that nobody disturbs never got.
    #[must_use]
    pub fn misses_answer(&self) -> bool {
        self.streams.iter().any(|stream| stream.verdict.awaits())
    }

    fn leave(&mut self, why: &str, how: Leave) {
        self.gone = true;
        say(|| format!("  client {} {why}", self.number));
        self.streams.clear();
        self.connection = None;
        self.line.leave(how);
    }
}

/// `guess`: streams it opens before it knows how many it may.
fn begin_connection(wire: &Wire, window: u32, guess: usize) -> (SendRequest<Bytes>, Connection<Wire, Bytes>) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut builder = Builder::new();
    builder
        .initial_window_size(window)
        .enable_push(false)
        .max_concurrent_reset_streams(1000)
        .initial_max_send_streams(guess);
    let handshake = builder.handshake::<_, Bytes>(wire.clone());
    match std::pin::pin!(handshake).poll(&mut cx) {
        Poll::Ready(Ok(made)) => made,
        _ => panic!("the library begins as soon as it may write"),
    }
}
