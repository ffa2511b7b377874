//! What follows a failed attempt: one failure event is made, counted and noted, then the rules are asked in their order
//! — again on a fresh connection, the next target, another origin, the answer. Nothing else reacts to failures.

use crate::exchange::Ongoing;
use crate::forward::Found;
use crate::io::{Io, Token};
use crate::slab::Key;
use crate::stats::Counter;
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::failure::{Failure, Phase};
use proto::fault::{OriginFault, WireFault};
use proto::plan::{Escalation, StatusRange};
use proto::retry::{Facts, Next, WhyNoRetry, backoff_ms, decide_next, never_again};

/// Says to the proxies behind us that a request came here by escalation, so that two of them never throw it to and fro.
pub const ESCALATED: &str = "X-Millrace-Escalated";

impl<I: Io> Worker<I> {
    /// An attempt ended without a usable answer. Decides what follows, and does it.
    pub(crate) fn attempt_failed(&mut self, exchange: Key, class: OriginFault) -> Found {
        let Some(failure) = self.note_failure(exchange, class) else { return Found::Ended };
        let next = self.decide(exchange, &failure);
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        let origin = std::mem::replace(&mut ongoing.origin, Key::NONE);
        self.close_origin(origin, Counter::OriginCloseFault);
        match next {
            Next::FreshConnection => {
                self.row.one(Counter::Repeats);
                self.begin_again(exchange, true);
                self.go_on(exchange, true)
            }
            Next::NextTarget => {
                self.row.one(Counter::NextTargets);
                self.try_next_target(exchange, &failure)
            }
            Next::Answer(why) => match self.escalation_for(exchange, &failure) {
                Some(origin) => self.escalate(exchange, origin),
                None => self.give_up(exchange, &failure, why),
            },
        }
    }

    /// An answer came whose status may count as a failure. Returns whether another attempt takes its place.
    pub(crate) fn status_failed(&mut self, exchange: Key, status: u16, retry_after_ms: Option<u64>) -> bool {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return false };
        let retried = StatusRange::any_holds(&ongoing.policy().retry.statuses, status);
        let escalated = ongoing.policy().escalate.iter().any(|rule| StatusRange::any_holds(&rule.statuses, status));
        if !retried && !escalated {
            return false;
        }
        ongoing.core.status = status;
        ongoing.retry_after_ms = retry_after_ms.filter(|_| ongoing.policy().retry.retry_after);
        let Some(failure) = self.note_failure(exchange, OriginFault::Status) else { return false };
        let next = match retried {
            false => Next::Answer(WhyNoRetry::NoOtherTarget),
            true if self.asks_to_wait_too_long(exchange) => Next::Answer(WhyNoRetry::TooLate),
            true => self.decide(exchange, &failure),
        };
        let origin = self.escalation_for(exchange, &failure);
        if next != Next::NextTarget && origin.is_none() {
            if let (true, Next::Answer(why), Some(ongoing)) = (retried, next, self.exchanges.get_mut(exchange)) {
                ongoing.faults.no_retry = Some(why);
            }
            return false;
        }
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            let connection = std::mem::replace(&mut ongoing.origin, Key::NONE);
            ongoing.core.status = 0;
            self.close_origin(connection, Counter::OriginCloseFault);
        }
        match origin {
            _ if next == Next::NextTarget => {
                self.row.one(Counter::NextTargets);
                self.try_next_target(exchange, &failure);
            }
            Some(origin) => {
                self.escalate(exchange, origin);
            }
            None => {}
        }
        true
    }

    /// Whether the answer asks for a longer wait than the exchange has time for; without a time for all of it, than an
    /// answer's first byte is waited for. Its client is better served by the answer then.
    fn asks_to_wait_too_long(&self, exchange: Key) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange) else { return false };
        let left_ms = match ongoing.total_due_ms {
            NEVER => ongoing.first_byte_ms(),
            due_ms => due_ms.saturating_sub(self.now_us / 1000),
        };
        ongoing.retry_after_ms.is_some_and(|asked_ms| asked_ms >= left_ms) && self.untried_targets(ongoing) == 0
    }

    /// Makes the one event of this failure and shows it to all who count.
    fn note_failure(&mut self, exchange: Key, class: OriginFault) -> Option<Failure> {
        let now_us = self.now_us;
        let ongoing = self.exchanges.get_mut(exchange)?;
        // What kept a target from being chosen is not that of the first in the list.
        let targeted = ongoing.attempts > 0 && class != OriginFault::NoTarget;
        let failure = Failure {
            class,
            phase: phase_of(ongoing),
            target: targeted.then(|| ongoing.target_shared().number),
            reused: ongoing.core.reused,
            bytes_sent: ongoing.bytes_sent,
            bytes_received: ongoing.bytes_received,
            attempt: ongoing.core.attempts.max(1),
            elapsed_us: now_us.saturating_sub(ongoing.times.began_us),
            wire: ongoing.faults.wire,
            status: ongoing.core.status,
        };
        ongoing.faults.origin = Some(class);
        ongoing.faults.phase = Some(failure.phase);
        ongoing.faults.count = ongoing.faults.count.saturating_add(1);
        self.row.origin_fault(class);
        self.row.one(Counter::Failures);
        let rung = failure.rung();
        if targeted {
            let target = std::sync::Arc::clone(ongoing.target_shared());
            target.count_failure(rung);
            self.log.failure(&failure, rung, &target, now_us / 1000);
        }
        Some(failure)
    }

    /// Asks the rules of retry. The budget is asked last, and only for an attempt that would be made after one that reached
    /// its target: what never got through burdened nobody, and another target in its place is no load beyond the request.
    fn decide(&self, exchange: Key, failure: &Failure) -> Next {
        let Some(ongoing) = self.exchanges.get(exchange) else { return Next::Answer(WhyNoRetry::TooLate) };
        let facts = self.facts(ongoing);
        let next = decide_next(failure, &facts);
        let now_ms = self.now_us / 1000;
        if next == Next::NextTarget && facts.sent_any && !self.host.budget.withdraw(now_ms) {
            self.row.one(Counter::BudgetSpent);
            return decide_next(failure, &Facts { budget_allows: false, ..facts });
        }
        next
    }

    fn facts(&self, ongoing: &Ongoing) -> Facts {
        Facts {
            method: ongoing.core.method,
            keyed: ongoing.keyed,
            sent_any: ongoing.core.sent_any,
            body_replayable: ongoing.kept_whole,
            repeated: ongoing.core.repeated,
            untried_targets: self.untried_targets(ongoing),
            attempts_left: ongoing.policy().retry.attempts.saturating_sub(u32::from(ongoing.attempts)),
            budget_allows: true,
            too_late: ongoing.total_due_ms <= self.now_us / 1000,
        }
    }

    /// Another target, at once; or the same again after a pause, when all were tried.
    fn try_next_target(&mut self, exchange: Key, failure: &Failure) -> Found {
        self.begin_again(exchange, false);
        let Some(ongoing) = self.exchanges.get(exchange) else { return Found::Ended };
        if self.untried_targets(ongoing) > 0 {
            return self.go_on(exchange, false);
        }
        let retry = &ongoing.policy().retry;
        let asked = ongoing.retry_after_ms;
        let wait_ms = backoff_ms(failure.attempt, retry.backoff_ms, retry.backoff_max_ms, asked, self.dice.roll());
        let due_ms = self.now_us / 1000 + wait_ms;
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        ongoing.core.tried = 0;
        ongoing.retry_after_ms = None;
        ongoing.core.stage = Stage::Pausing;
        ongoing.wait_due_ms = due_ms;
        self.arm_exchange(exchange);
        Found::Later
    }

    /// The pause before another attempt is over.
    pub(crate) fn pause_over(&mut self, exchange: Key) {
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.core.stage = Stage::Choosing;
            ongoing.wait_due_ms = NEVER;
            self.go_on(exchange, false);
        }
    }

    /// The origin a rule sends this outcome to: each origin once, within what the method allows (S2-05 … S2-07).
    fn escalation_for(&self, exchange: Key, failure: &Failure) -> Option<u32> {
        let ongoing = self.exchanges.get(exchange)?;
        if ongoing.escalated_before || matches!(failure.phase, Phase::Body) {
            return None;
        }
        let facts = self.facts(ongoing);
        // A local lack here says nothing against asking elsewhere; all other bars hold for another origin too.
        let barred = never_again(failure, &facts).is_some_and(|why| why != WhyNoRetry::LocalFault);
        let repeatable = ongoing.core.method.is_idempotent() || ongoing.keyed;
        let fits = |rule: &&Escalation| {
            let outcome = if failure.class == OriginFault::Status {
                StatusRange::any_holds(&rule.statuses, failure.status)
            } else {
                rule.faults.iter().any(|token| token == failure.class.token())
            };
            let unvisited = rule.origin < 64 && ongoing.visited >> rule.origin & 1 == 0;
            outcome && unvisited && (repeatable || (rule.any_method && !facts.sent_any))
        };
        if !facts.body_replayable || (barred && (!repeatable || facts.too_late)) {
            return None;
        }
        ongoing.policy().escalate.iter().find(fits).map(|rule| rule.origin)
    }

    /// Begins anew at another origin: targets, names, times and identity are that origin's from here on.
    fn escalate(&mut self, exchange: Key, origin: u32) -> Found {
        self.row.one(Counter::Escalations);
        self.begin_again(exchange, false);
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        ongoing.core.tried = 0;
        ongoing.core.repeated = false;
        ongoing.visited |= 1 << ongoing.origin_index | 1 << origin;
        ongoing.escalations += 1;
        ongoing.attempts = 0;
        ongoing.origin_index = origin;
        ongoing.target = 0;
        ongoing.retry_after_ms = None;
        self.bind(exchange);
        self.go_on(exchange, false)
    }

    /// Asks the same origin once more, about something else.
    pub(crate) fn repeat(&mut self, exchange: Key) {
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.core.tried = 0;
        }
        self.begin_again(exchange, false);
        self.go_on(exchange, false);
    }

    fn begin_again(&mut self, exchange: Key, fresh: bool) {
        self.end_waiting(exchange);
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.count_out();
            ongoing.replay_from_start();
            ongoing.core.begin_again(fresh);
            if fresh {
                // The repeat after a stale connection is not one of the route's attempts.
                ongoing.attempts = ongoing.attempts.saturating_sub(1);
            }
            (ongoing.on_stream, ongoing.joined) = (false, None);
            ongoing.write_broke = false;
            ongoing.fin_sent = false;
            ongoing.bytes_sent = 0;
            ongoing.bytes_received = 0;
            ongoing.interim = 0;
            ongoing.times.first_byte_us = 0;
        }
    }

    /// Another attempt. One that has its connection at once sends its request in the next pass: whoever noticed the
    /// fault may be in the middle of handing over this request's body.
    fn go_on(&mut self, exchange: Key, fresh: bool) -> Found {
        let found = if fresh { self.connect_to_target(exchange, true) } else { self.find_connection(exchange) };
        if found == Found::Connection {
            self.again.push(Token::Exchange(exchange));
            return Found::Later;
        }
        found
    }

    /// The pass has come for an exchange that got its connection in the one before. A kept one that spoke or closed
    /// meanwhile was looked at too early: what it said is nobody's answer, and the exchange gets another.
    pub(crate) fn exchange_go(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        if let Some(side) = ongoing.cached.as_ref() {
            if side.reading.is_some() {
                self.reading_go(exchange);
                return;
            }
            if side.background && ongoing.origin == Key::NONE && ongoing.core.stage == Stage::Choosing {
                self.go_to_origin(exchange);
                return;
            }
        }
        let Some(origin) = self.origins.get(ongoing.origin).filter(|_| ongoing.core.stage == Stage::Choosing) else {
            return;
        };
        if !ongoing.core.reused || !(origin.readable || origin.read_closed) {
            self.send_held(exchange);
            return;
        }
        let why = if origin.read_closed { Counter::OriginCloseByOrigin } else { Counter::OriginCloseStray };
        self.close_origin(ongoing.origin, why);
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.origin = Key::NONE;
            ongoing.core.reused = false;
            ongoing.attempts = ongoing.attempts.saturating_sub(1);
        }
        if self.connect_to_target(exchange, false) == Found::Connection {
            self.again.push(Token::Exchange(exchange));
        }
    }

    fn give_up(&mut self, exchange: Key, failure: &Failure, why: WhyNoRetry) -> Found {
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.faults.no_retry = Some(why);
        }
        self.end_waiting(exchange);
        if failure.phase == Phase::Body {
            self.break_answer(exchange);
        } else if !self.answer_stale(exchange) {
            self.answer_fault(exchange, failure.class);
        }
        Found::Ended
    }

    /// The origin's bytes are not an answer.
    pub(crate) fn answer_malformed(&mut self, exchange: Key, wire: WireFault) {
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.faults.wire = Some(wire);
            let begun = ongoing.core.stage == Stage::Relaying;
            let fault = if begun { OriginFault::BodyMalformed } else { OriginFault::MalformedHeaders };
            self.attempt_failed(exchange, fault);
        }
    }

    /// Sets the exchange's own timer to what comes first: the end of its wait, or of the time for all of it.
    pub(crate) fn arm_exchange(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let due_ms = ongoing.wait_due_ms.min(ongoing.total_due_ms);
        if due_ms == NEVER && ongoing.timer.is_none() {
            return;
        }
        let timer = *ongoing.timer.get_or_insert_with(|| self.wheel.add(Token::Exchange(exchange).pack()));
        self.wheel.arm(timer, due_ms);
    }

    pub(crate) fn exchange_timer_due(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let now_ms = self.now_us / 1000;
        if ongoing.total_due_ms <= now_ms {
            self.leave_line(exchange);
            self.attempt_failed(exchange, OriginFault::TotalTimeout);
            return;
        }
        match ongoing.core.stage {
            Stage::Queued => self.queue_wait_over(exchange),
            Stage::Pausing => self.pause_over(exchange),
            Stage::Waiting => self.stop_waiting(exchange),
            Stage::Connecting if ongoing.joined.is_some() && ongoing.wait_due_ms <= now_ms => {
                self.opening_settled(exchange, true);
            }
            _ => self.arm_exchange(exchange),
        }
    }
}

const fn phase_of(ongoing: &Ongoing) -> Phase {
    match ongoing.core.stage {
        Stage::Choosing | Stage::Waiting | Stage::Pausing | Stage::Queued | Stage::Ended => Phase::Choosing,
        Stage::Connecting => Phase::Connecting,
        Stage::Sent if ongoing.write_broke => Phase::Sending,
        Stage::Sent => Phase::AwaitingHead,
        Stage::Relaying | Stage::Tunnelling => Phase::Body,
    }
}
