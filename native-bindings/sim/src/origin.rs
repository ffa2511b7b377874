//! A connection as a target sees it: reads requests with its own strict reader, executes them, answers by a script,
//! and while idle closes, speaks out of turn, or lies in wait for the next request to close under it.

use crate::answers::{self, Out, STRAY, STRAY_408, Script};
use crate::checks;
use crate::content::{first_wrong, request_key, tunnel_key};
use crate::ledger::{Ask, Ledger, Mood, dice, fail, say};
use crate::line::{Came, Leave, Line};
use crate::net::{self, What};
use crate::reader::{Event, Frame, Head, Reader};
use crate::secure;
use std::collections::VecDeque;
use std::net::SocketAddr;

pub struct OriginPeer {
    line: Line,
    number: u32,
    target: SocketAddr,
    mood: Mood,
    reader: Reader,
    /// The request that is being read: identity and execution.
    current: Option<(u64, u64)>,
    upload_bytes: u64,
    tunnel: bool,
    answered: bool,
    script: VecDeque<(u64, Out)>,
    /// When the first step of the script is due, and how much of it is sent.
    due_us: Option<u64>,
    sent: usize,
    served: u32,
    /// It was opened for a check.
    check: bool,
    /// The next byte of a request is answered by closing.
    trap: Option<Out>,
    idle_due_us: Option<u64>,
    gone: bool,
}

impl OriginPeer {
    #[must_use]
    pub fn new(end: u32, number: u32, target: SocketAddr, mood: Mood) -> Self {
        let mut peer = Self {
            line: secure::host(target).map_or_else(
                || Line::plain(end),
                |(session, manner)| {
                    say(|| format!("  it speaks TLS: {manner:?}"));
                    Line::sealed(end, session, manner)
                },
            ),
            number,
            target,
            mood,
            reader: Reader::default(),
            current: None,
            upload_bytes: 0,
            tunnel: false,
            answered: false,
            script: VecDeque::new(),
            due_us: None,
            sent: 0,
            served: 0,
            check: false,
            trap: None,
            idle_due_us: None,
            gone: false,
        };
        if mood == Mood::Wild && dice(|d| d.chance(20)) {
            peer.idle_due_us = Some(net::with(|net| net.now_us) + dice(|d| d.skewed(2_000_000)));
        }
        peer
    }

    pub fn act(&mut self, ledger: &mut Ledger) {
        if self.gone {
            self.line.linger();
            return;
        }
        self.read(ledger);
        self.write(ledger);
        self.idle();
    }

    fn read(&mut self, ledger: &mut Ledger) {
        let trapped = self.trap.take_if(|_| self.line.holds_unread());
        if let Some(out) = trapped {
            say(|| format!("  origin {} springs its trap: {out:?}", self.number));
            self.leave_idle(&out);
            return;
        }
        let Came { bytes, end, cut, .. } = self.line.take(usize::MAX);
        if !bytes.is_empty() {
            self.idle_due_us = None;
            self.reader.feed(&bytes);
        }
        loop {
            match self.reader.next() {
                Ok(Some(event)) => self.handle(event, ledger),
                Ok(None) => break,
                Err(what) => {
                    fail(format!("the proxy wrote what is no request to {}: {what}", self.target));
                    break;
                }
            }
            if self.gone {
                return;
            }
        }
        if cut || end && !self.tunnel {
            // The proxy never closes one direction only, outside a tunnel.
            self.leave(&Out::Close);
        } else if end {
            self.end_of_tunnel(ledger);
        }
    }

    fn handle(&mut self, event: Event, ledger: &mut Ledger) {
        match event {
            Event::Head(head) => self.begin(&head, ledger),
            Event::Data(data) => {
                let Some((id, _)) = self.current else { return };
                let key = if self.tunnel { tunnel_key(id, true) } else { request_key(id) };
                // What comes before the break in a broken body is content of its own.
                let known = ledger.ask(id).is_some_and(|ask| !ask.broken_body);
                if let Some(at) = first_wrong(key, self.upload_bytes, &data).filter(|_| known) {
                    fail(format!("byte {at} of the body of request {id} is wrong at {}", self.target));
                }
                self.upload_bytes += data.len() as u64;
                if self.mood == Mood::Wild && !self.tunnel && dice(|d| d.chance(40)) {
                    // The close of an answer that has no length would be its end.
                    let closes = dice(|d| d.chance(500)) && !self.answered;
                    self.leave(if closes { &Out::Close } else { &Out::Reset });
                }
            }
            Event::End(trailers) => self.complete(&trailers, ledger),
        }
    }

    fn begin(&mut self, head: &Head, ledger: &mut Ledger) {
        say(|| format!("  origin {} got {}", self.number, head.start));
        let path = head.second().split('?').next().unwrap_or("");
        if path == "/check" || self.check {
            self.answer_check(head, ledger);
            return;
        }
        let id = path.strip_prefix("/r/").and_then(|id| id.parse::<u64>().ok());
        let Some((id, ask)) = id.and_then(|id| ledger.ask(id).map(|ask| (id, ask.clone()))) else {
            fail(format!("a request that nobody made reached {}: {}", self.target, head.start));
            self.leave(&Out::Reset);
            return;
        };
        if self.script.iter().any(|(_, out)| matches!(out, Out::Whole(..))) {
            fail(format!("request {id} came to {} before the answer to the last had left", self.target));
        }
        judge_head(head, id, &ask);
        if secure::target(self.target) == Some(true) {
            fail(format!("request {id} came to {}, which nobody may believe", self.target));
        }
        let bytes = dice(answers::size);
        let Some(execution) = ledger.execute(id, self.target) else { return };
        self.current = Some((id, execution));
        (self.upload_bytes, self.answered) = (0, false);
        self.served += 1;
        match head.told() {
            Ok(told) => self.reader.frame(told.unwrap_or(Frame::Length(0))),
            Err(what) => {
                fail(format!("request {id} came to {} with {what}", self.target));
                self.leave(&Out::Reset);
                return;
            }
        }
        let promised = head.told().ok().flatten();
        if promised.is_some_and(|f| f != Frame::Chunked && f != Frame::Length(ask.body_bytes)) {
            fail(format!("request {id} came to {} with another length: {promised:?}", self.target));
        }
        if head.get("expect").is_some() && dice(|d| d.chance(700)) {
            self.push(vec![(dice(|d| d.skewed(3_000)), Out::Bytes(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()))]);
        }
        let odds = if head.get("expect").is_some() { 300 } else { 70 };
        let early = self.mood == Mood::Wild && dice(|d| d.chance(odds));
        if early {
            self.answered = true;
            let script = dice(|d| answers::script(d, self.mood, id, execution, &ask, bytes));
            self.push(script);
        }
    }

    fn answer_check(&mut self, head: &Head, ledger: &mut Ledger) {
        if self.served > 0 || std::mem::replace(&mut self.check, true) {
            fail(format!("a check and a request came to {} on one connection: {}", self.target, head.start));
        }
        checks::judge_head(head, self.target);
        self.reader.frame(Frame::Length(0));
        self.answered = true;
        let script = dice(|d| checks::answer(d, self.mood, self.target, &mut ledger.checkups));
        self.push(script);
    }

    fn complete(&mut self, trailers: &[(String, String)], ledger: &mut Ledger) {
        let Some((id, execution)) = self.current else { return };
        let Some(ask) = ledger.ask(id).cloned() else { return };
        if ask.broken_body {
            fail(format!("request {id}, whose body must be refused, came complete to {}", self.target));
        } else if self.upload_bytes != ask.body_bytes {
            fail(format!("request {id} ended after {} of {} bytes", self.upload_bytes, ask.body_bytes));
        } else if !ask.sent_whole {
            fail(format!("request {id} came complete to {}, but its client never finished it", self.target));
        }
        if trailers.iter().any(|(name, value)| name == "X-Trail" && *value != id.to_string()) {
            fail(format!("request {id} came with trailers {trailers:?}"));
        }
        if ask.upgrade && !self.answered && (self.mood == Mood::Calm || dice(|d| d.chance(800))) {
            self.switch(id, execution, ask.down_bytes);
        } else if !std::mem::replace(&mut self.answered, true) {
            let bytes = dice(answers::size);
            let script = dice(|d| answers::script(d, self.mood, id, execution, &ask, bytes));
            self.push(script);
        }
    }

    fn switch(&mut self, id: u64, execution: u64, down_bytes: u64) {
        let fields = format!("X-Id: {id}\r\nX-Execution: {execution}\r\nConnection: upgrade\r\nUpgrade: sim/1\r\n");
        let mut bytes = format!("HTTP/1.1 101 Switching\r\n{fields}\r\n").into_bytes();
        crate::content::fill(tunnel_key(id, false), 0, down_bytes as usize, &mut bytes);
        let cut = dice(|d| d.below(bytes.len() as u64 + 1)) as usize;
        let (front, rest) = bytes.split_at(cut);
        let gap = dice(|d| d.skewed(3_000));
        self.push(vec![
            (gap, Out::Bytes(front.to_vec())),
            (gap, Out::Bytes(rest.to_vec())),
            (0, Out::Whole(id, execution)),
        ]);
        self.tunnel = true;
        self.answered = true;
        // The reader waits for a next head; what comes is the tunnel's.
        self.reader.tunnel();
    }

    fn end_of_tunnel(&mut self, ledger: &Ledger) {
        let Some(ask) = self.current.and_then(|(id, _)| ledger.ask(id)) else { return };
        if self.upload_bytes != ask.up_bytes && ask.tunnel_whole && self.mood == Mood::Calm {
            fail(format!("a tunnel brought {} of {} bytes to its origin", self.upload_bytes, ask.up_bytes));
        }
        if self.script.is_empty() {
            self.leave(&Out::Close);
        }
    }

    fn push(&mut self, script: Script) {
        self.script.extend(script);
        if self.due_us.is_none() {
            self.plan_next();
        }
    }

    fn plan_next(&mut self) {
        let Some((gap, _)) = self.script.front() else {
            self.due_us = None;
            return;
        };
        let gap = *gap;
        self.due_us = Some(net::with(|net| {
            net.plan(gap, What::Wake(self.number));
            net.now_us + gap
        }));
    }

    fn write(&mut self, ledger: &mut Ledger) {
        let now = net::with(|net| net.now_us);
        while !self.gone && self.due_us.is_some_and(|due| due <= now) {
            let Some((_, out)) = self.script.front().cloned() else { break };
            match &out {
                Out::Bytes(bytes) | Out::Stray(bytes) => {
                    let stray = matches!(out, Out::Stray(_));
                    let sent = self.line.send(&bytes[self.sent..], stray);
                    self.sent += sent;
                    if let Some(execution) = self.current.and_then(|(id, n)| ledger.execution(id, n)) {
                        execution.begun |= sent > 0 && self.answered && !stray;
                    }
                    if self.sent < bytes.len() {
                        return;
                    }
                    self.sent = 0;
                }
                Out::Whole(id, number) => {
                    if let Some(execution) = ledger.execution(*id, *number) {
                        execution.whole = true;
                    }
                }
                Out::Close | Out::Reset => self.leave(&out),
            }
            self.script.pop_front();
            self.plan_next();
            if self.script.is_empty() && self.check {
                // It is the proxy that ends the connection, unless the script did.
            } else if self.script.is_empty() && !self.tunnel {
                self.rest(now);
            } else if self.script.is_empty() {
                self.line.send_fin();
                if self.line.peer_ended() {
                    self.leave(&Out::Close);
                }
            }
        }
    }

    /// The answer has left: what will the connection do while nobody asks?
    fn rest(&mut self, now: u64) {
        let (idle, trap) = match self.mood {
            Mood::Calm => (0, 0),
            // It has only told its client to go on.
            Mood::Stale if !self.answered => (0, 0),
            Mood::Stale => (300, 200),
            Mood::Wild => (150, 60),
        };
        if dice(|d| d.chance(trap)) {
            self.trap = Some(if dice(|d| d.chance(500)) { Out::Close } else { Out::Reset });
        } else if dice(|d| d.chance(idle)) {
            let gap = dice(|d| if d.chance(700) { d.skewed(20_000) } else { d.skewed(3_000_000) });
            self.idle_due_us = Some(now + gap);
            net::with(|net| net.plan(gap, What::Wake(self.number)));
        }
    }

    fn idle(&mut self) {
        let now = net::with(|net| net.now_us);
        if self.gone || !self.reader.between_messages() || self.idle_due_us.is_none_or(|due| due > now) {
            return;
        }
        self.idle_due_us = None;
        let wild = self.mood == Mood::Wild;
        match dice(|d| d.below(10)) {
            0..=1 if wild => self.stray(dice(|d| *d.pick(STRAY))),
            2..=3 if wild => {
                self.stray(STRAY_408);
                self.leave(&Out::Close);
            }
            4..=5 if wild => self.leave(&Out::Reset),
            _ => self.leave_idle(&Out::Close),
        }
    }

    fn stray(&mut self, text: &str) {
        say(|| format!("  origin {} speaks out of turn: {text:?}", self.number));
        self.line.send(text.as_bytes(), true);
    }

    fn leave(&mut self, how: &Out) {
        self.gone = true;
        self.script.clear();
        say(|| format!("  origin {} leaves: {how:?}", self.number));
        self.line.leave(if matches!(how, Out::Reset) { Leave::Cut } else { Leave::Politely });
    }

    /// As `leave`, when nothing is on its way that TLS's word would have to end.
    fn leave_idle(&mut self, how: &Out) {
        self.gone = true;
        self.script.clear();
        say(|| format!("  origin {} leaves: {how:?}", self.number));
        self.line.leave(if matches!(how, Out::Reset) { Leave::Cut } else { Leave::Idle });
    }
}

fn judge_head(head: &Head, id: u64, ask: &Ask) {
    let (method, ip) = (ask.method, ask.ip.as_str());
    let is = |name: &str, wanted: &[&str]| head.all(name).collect::<Vec<_>>() == wanted;
    if !head.start.starts_with(method) || !head.start.ends_with(" HTTP/1.1") {
        fail(format!("request {id} came as {:?}", head.start));
    } else if !is("x-forwarded-for", &[ip]) {
        fail(format!("request {id} of {ip} came as one of {:?}", head.get("x-forwarded-for")));
    } else if head.get("x-hop").is_some() || head.get("x-real-ip").is_some() || head.get("keep-alive").is_some() {
        fail(format!("request {id} came with fields that were not for its origin"));
    } else if !is("client-cert", ask.client_cert.as_deref().as_slice()) {
        fail(format!("request {id} came with the certificate of another client, or without its own"));
    } else if head.all("host").count() != 1 {
        fail(format!("request {id} came without exactly one Host"));
    }
}
