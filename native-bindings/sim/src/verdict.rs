//! Judges what a client gets: whose answer it is, in which order, every byte of it, and whether its end is true.

use crate::content::{answer_key, first_wrong, tunnel_key};
use crate::ledger::{Ledger, Mood, fail, say};
use crate::net;
use crate::reader::{Event, Frame, Head, Reader};
use crate::requests::Wanted;
use std::collections::VecDeque;

struct Waiting {
    id: u64,
    wanted: Wanted,
    head_only: bool,
    upgrade: bool,
    told_to_go_on: bool,
}

/// The answer that is being read.
enum Answer {
    None,
    Interim,
    /// Of the proxy's own making.
    Own,
    Origin {
        id: u64,
        execution: u64,
        bytes: u64,
        seen: u64,
    },
    Tunnel {
        id: u64,
        seen: u64,
    },
}

pub struct Verdict {
    client: u32,
    mood: Mood,
    http10: bool,
    reader: Reader,
    waiting: VecDeque<Waiting>,
    answer: Answer,
    /// An answer said that the connection ends with it.
    pub closing: bool,
}

impl Verdict {
    #[must_use]
    pub fn new(client: u32, mood: Mood, http10: bool) -> Self {
        let waiting = VecDeque::new();
        Self { client, mood, http10, reader: Reader::default(), waiting, answer: Answer::None, closing: false }
    }

    /// A request is being sent.
    pub fn expect(&mut self, id: u64, wanted: Wanted, ledger: &Ledger) {
        let Some(ask) = ledger.ask(id) else { return };
        let (head_only, upgrade) = (ask.method == "HEAD", ask.upgrade);
        self.waiting.push_back(Waiting { id, wanted, head_only, upgrade, told_to_go_on: false });
    }

    #[must_use]
    pub fn awaits(&self) -> bool {
        !self.waiting.is_empty()
    }

    #[must_use]
    pub fn awaits_upgrade(&self) -> bool {
        self.waiting.iter().any(|w| w.upgrade)
    }

    #[must_use]
    pub fn may_continue(&self, id: u64) -> bool {
        self.waiting.front().is_some_and(|w| w.id == id && w.told_to_go_on)
    }

    #[must_use]
    pub fn tunnelling(&self) -> bool {
        self.tunnel_id().is_some()
    }

    #[must_use]
    pub fn tunnel_id(&self) -> Option<u64> {
        if let Answer::Tunnel { id, .. } = self.answer { Some(id) } else { None }
    }

    pub fn take(&mut self, bytes: &[u8], ledger: &mut Ledger) {
        self.reader.feed(bytes);
        loop {
            match self.reader.next() {
                Ok(Some(Event::Head(head))) => self.head(&head, ledger),
                Ok(Some(Event::Data(data))) => self.data(&data),
                Ok(Some(Event::End(trailers))) => self.complete(&trailers, ledger),
                Ok(None) => return,
                Err(what) => {
                    fail(format!("client {} was sent what is no answer: {what}", self.client));
                    return;
                }
            }
        }
    }

    /// The proxy ended the connection.
    pub fn end(&mut self, reset: bool, ledger: &mut Ledger) {
        if self.reader.ends_with_close() && !reset {
            self.complete(&[], ledger);
        } else if let Answer::Tunnel { id, seen } = self.answer {
            let down = ledger.ask(id).map_or(0, |ask| ask.down_bytes);
            if self.mood == Mood::Calm && seen != down {
                fail(format!("client {}: its tunnel ended after {seen} of {down} bytes", self.client));
            }
        } else if !self.reader.between_messages() {
            ledger.tally.cut_answers += 1;
        }
        if self.mood == Mood::Calm && self.awaits() && !self.closing {
            fail(format!("client {} lost its connection while it waited for an answer", self.client));
        }
    }

    fn head(&mut self, head: &Head, ledger: &mut Ledger) {
        say(|| format!("  client {} sees {} id {:?}", self.client, head.start, head.get("x-id")));
        let status: u16 = head.second().parse().unwrap_or(0);
        if self.closing && status >= 200 {
            fail(format!("client {}: an answer came behind one that closes", self.client));
        }
        let Some(front) = self.waiting.front_mut() else {
            if status != 408 {
                fail(format!("client {}: an answer came that nobody asked for: {}", self.client, head.start));
            }
            self.closing = true;
            self.answer = Answer::Own;
            self.reader.frame(head.told().ok().flatten().unwrap_or(Frame::Length(0)));
            return;
        };
        let (id, wanted) = (front.id, front.wanted);
        if head.number("x-id").is_some_and(|seen| seen != id) {
            fail(format!("client {}: the answer to {:?} came for request {id}", self.client, head.get("x-id")));
        }
        match status {
            101 => {
                let upgrade = front.upgrade;
                if !upgrade || head.number("x-id") != Some(id) {
                    fail(format!("client {}: 101 came for request {id}", self.client));
                }
                net::with(|net| net.answered.insert(id));
                self.waiting.pop_front();
                ledger.tally.tunnels += 1;
                self.answer = Answer::Tunnel { id, seen: 0 };
                self.reader.frame(Frame::Raw);
            }
            100..=199 => {
                front.told_to_go_on |= status == 100;
                if self.http10 {
                    fail(format!("client {}: an interim answer came to one that speaks 1.0", self.client));
                }
                self.answer = Answer::Interim;
                self.reader.frame(Frame::Length(0));
            }
            _ => self.final_head(head, status, id, wanted, ledger),
        }
    }

    fn final_head(&mut self, head: &Head, status: u16, id: u64, wanted: Wanted, ledger: &mut Ledger) {
        self.closing |= head.get("connection").is_some_and(|value| value.contains("close"));
        net::with(|net| net.answered.insert(id));
        self.answer = match (head.number("x-id"), head.number("x-execution")) {
            (Some(_), Some(execution)) => {
                self.judge_execution(id, execution, wanted, ledger);
                Answer::Origin { id, execution, bytes: head.number("x-bytes").unwrap_or(u64::MAX), seen: 0 }
            }
            _ if head.get("x-stray").is_some() => {
                ledger.tally.stray_races += 1;
                if !net::with(|net| net.attempts.contains_key(&id)) {
                    fail(format!("client {}: request {id} was answered before any of it was sent", self.client));
                }
                Answer::Own
            }
            _ => {
                self.judge_own(head, status, id, wanted, ledger);
                Answer::Own
            }
        };
        let head_only = self.waiting.front().is_some_and(|w| w.head_only);
        let bodiless = head_only || status == 204 || status == 304;
        let told = match head.told() {
            Ok(told) => told,
            Err(what) => {
                fail(format!("client {}: the answer to {id} has {what}", self.client));
                None
            }
        };
        if told == Some(Frame::Chunked) && self.http10 {
            fail(format!("client {}: a chunked answer came to one that speaks 1.0", self.client));
        }
        if told.is_none() && !bodiless && !self.http10 {
            fail(format!("client {}: the answer to {id} has no length although the client speaks 1.1", self.client));
        }
        self.reader.frame(if bodiless { Frame::Length(0) } else { told.unwrap_or(Frame::UntilClose) });
    }

    fn judge_execution(&self, id: u64, execution: u64, wanted: Wanted, ledger: &mut Ledger) {
        let Some(ask) = ledger.ask(id) else { return };
        let begun = ask.executions.get(execution as usize).is_some_and(|e| e.begun);
        if wanted != Wanted::Origin && !ask.broken_body {
            fail(format!("client {}: an origin answered request {id}, which is not for origins", self.client));
        } else if !begun {
            fail(format!("client {}: the answer to {id} is of execution {execution}, which was not", self.client));
        }
    }

    fn judge_own(&self, head: &Head, status: u16, id: u64, wanted: Wanted, ledger: &mut Ledger) {
        ledger.tally.own_answers += 1;
        let who = self.client;
        if head.get("server") != Some("simproxy") {
            fail(format!("client {who}: nobody owns the answer to {id}: {}", head.start));
        }
        let Some(ask) = ledger.ask(id) else { return };
        let must_succeed = match self.mood {
            Mood::Calm => true,
            Mood::Stale => ask.is_repeatable() && ask.body_bytes <= net::with(|net| net.held_max) && !ask.upgrade,
            Mood::Wild => false,
        };
        match wanted {
            Wanted::Own(own) if own == status || self.mood == Mood::Wild && matches!(status, 408 | 503) => {}
            Wanted::Own(own) => fail(format!("client {who}: request {id} was answered {status}, not {own}")),
            Wanted::Refusal => {
                ledger.tally.refusals += 1;
                if status < 400 || !self.closing {
                    fail(format!("client {who}: request {id} was not refused: {}", head.start));
                }
            }
            Wanted::Origin if must_succeed => {
                fail(format!("client {who}: {} {id} was answered {}, with no reason", ask.method, head.start));
            }
            Wanted::Origin if !matches!(status, 400 | 408 | 413 | 431 | 502..=504) => {
                fail(format!("client {who}: request {id} was answered {}", head.start));
            }
            Wanted::Origin => {}
        }
    }

    fn data(&mut self, data: &[u8]) {
        let (key, at, id) = match &mut self.answer {
            Answer::Origin { id, execution, seen, .. } => (answer_key(*id, *execution), seen, *id),
            Answer::Tunnel { id, seen } => (tunnel_key(*id, false), seen, *id),
            Answer::None | Answer::Interim | Answer::Own => return,
        };
        if let Some(wrong) = first_wrong(key, *at, data) {
            fail(format!("client {}: byte {wrong} of the answer to {id} is wrong", self.client));
        }
        *at += data.len() as u64;
    }

    /// The answer looks complete: is it?
    fn complete(&mut self, trailers: &[(String, String)], ledger: &mut Ledger) {
        let answer = std::mem::replace(&mut self.answer, Answer::None);
        if matches!(answer, Answer::Interim) {
            return;
        }
        self.waiting.pop_front();
        ledger.tally.answered += 1;
        let Answer::Origin { id, execution, bytes, seen } = answer else { return };
        if seen != bytes {
            fail(format!("client {}: the answer to {id} looks complete with {seen} of {bytes} bytes", self.client));
        }
        if trailers.iter().any(|(name, value)| name == "X-Trail" && *value != id.to_string()) {
            fail(format!("client {}: the answer to {id} came with trailers {trailers:?}", self.client));
        }
        let whole = ledger.execution(id, execution).is_some_and(|e| e.whole);
        if !whole {
            fail(format!("client {}: the answer to {id} looks complete, but its origin cut it", self.client));
        }
    }
}
