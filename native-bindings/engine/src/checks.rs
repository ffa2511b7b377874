//! Active checks of targets: each target's by one worker, each on a connection of its own that never sees the pool. What
//! a result means is judged in `control/health.ts`; here it becomes a note.
//!
//! ```text
//! state       promises                                    left for
//! RESTING     no socket; its timer is the next check      CONNECTING; gone (another plan, the proxy stops)
//! CONNECTING  a connection is being opened                HANDSHAKE (TLS), ASKING, RESTING (verdict, target drains), gone
//! HANDSHAKE   TLS is being established                    ASKING, RESTING (verdict, target drains), gone
//! ASKING      the request leaves, the answer is read      RESTING (verdict, target drains), gone
//! ```

use crate::handshake::handshake_fault;
use crate::io::{Io, Ready, SocketOptions, Token, Trouble};
use crate::link::{Link, Shake};
use crate::outbox::Outbox;
use crate::slab::Key;
use crate::stats::Counter;
use crate::target::TargetShared;
use crate::tls::{Session, TlsTrouble};
use crate::wheel::TimerId;
use crate::worker::Worker;
use proto::fault::OriginFault;
use proto::identity::{asked_name, name_of_host};
use proto::plan::{HealthCheck, HealthProbe, Origin};
use proto::probe::{self, Answer, Wanted, WhyBad};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

/// However wide the jitter, the next check comes no sooner than this share of the interval.
const SOONEST_PERCENT: u64 = 10;

enum State<S> {
    Resting,
    Connecting { link: Link<S> },
    Handshake { link: Link<S>, outbox: Outbox },
    Asking { link: Link<S>, outbox: Outbox, answer: Answer },
}

/// The checks of one target, for as long as a plan asks for them.
pub struct Check<S> {
    target: Arc<TargetShared>,
    /// Its places in the plan's origins and in that origin's targets.
    origin: usize,
    place: usize,
    asked: HealthCheck,
    timer: TimerId,
    began_us: u64,
    state: State<S>,
}

/// What ends a check: a verdict over the target, or a lack of our own that says nothing about it (S1-03).
enum End {
    Good,
    Bad(WhyBad),
    NotMade,
}

impl<I: Io> Worker<I> {
    /// Makes the checks those of the present plan. Targets that are checked as before notice nothing of a new plan, so
    /// that plans which follow each other fast (names with short lives) do not keep anybody from being checked. What is
    /// listed twice, or as a name and as its address, is one target and gets one check.
    pub(crate) fn take_checks(&mut self) {
        let plan = Rc::clone(&self.plan);
        let mut known = self.checks.keys();
        let mut taken = HashSet::new();
        for (origin, (asked, compiled)) in plan.plan.origins.iter().zip(&plan.origins).enumerate() {
            let Some(asked) = asked.health.as_ref().filter(|_| !self.draining) else { continue };
            for (place, target) in compiled.targets.iter().enumerate() {
                let number = target.shared.number;
                if number % plan.plan.workers != self.index || !taken.insert(number) {
                    continue;
                }
                let is_it = |c: &Check<I::Socket>| c.target.number == number && c.asked == *asked;
                let found = known.iter().position(|key| self.checks.get(*key).is_some_and(is_it));
                match found.and_then(|at| self.checks.get_mut(known.swap_remove(at))) {
                    Some(check) => (check.origin, check.place) = (origin, place),
                    None => self.add_check(origin, place, asked, &target.shared),
                }
            }
        }
        for key in known {
            self.remove_check(key);
        }
    }

    fn add_check(&mut self, origin: usize, place: usize, asked: &HealthCheck, target: &Arc<TargetShared>) {
        let timer = self.wheel.add(0);
        let (target, asked, state) = (Arc::clone(target), asked.clone(), State::Resting);
        let first_ms = self.now_ms() + self.dice.up_to(spread_ms(&asked));
        let key = self.checks.insert(Check { target, origin, place, asked, timer, began_us: 0, state });
        self.wheel.set_owner(timer, Token::Check(key).pack());
        self.wheel.arm(timer, first_ms);
    }

    fn remove_check(&mut self, key: Key) {
        self.rest_check(key);
        if let Some(check) = self.checks.remove(key) {
            self.wheel.remove(check.timer);
        }
    }

    /// No target is checked any more: the worker drains or ends.
    pub(crate) fn end_checks(&mut self) {
        for key in self.checks.keys() {
            self.remove_check(key);
        }
    }

    /// Checks under way of targets that are out of use for good end without a verdict.
    pub(crate) fn rest_checks_of_gone(&mut self) {
        for key in self.checks.keys() {
            let Some(check) = self.checks.get(key) else { continue };
            if !check.target.state().keeps_connections() && !matches!(check.state, State::Resting) {
                self.rest_check(key);
                self.arm_next_check(key);
            }
        }
    }

    /// Closes what the check has open.
    fn rest_check(&mut self, key: Key) {
        let Some(check) = self.checks.get_mut(key) else { return };
        match std::mem::replace(&mut check.state, State::Resting) {
            State::Resting => {}
            State::Connecting { link } => link.close(&mut self.io, &mut self.blocks),
            State::Handshake { mut link, mut outbox } | State::Asking { mut link, mut outbox, .. } => {
                if !outbox.is_empty() {
                    link.break_off();
                }
                outbox.clear(&mut self.blocks);
                link.close(&mut self.io, &mut self.blocks);
            }
        }
    }

    /// The next check is an interval after the last began, however that went.
    fn arm_next_check(&mut self, key: Key) {
        let Some(check) = self.checks.get(key) else { return };
        let (interval, spread) = (u64::from(check.asked.interval_ms), spread_ms(&check.asked));
        let wait_ms = (interval - spread + self.dice.up_to(2 * spread)).max(interval * SOONEST_PERCENT / 100);
        self.wheel.arm(check.timer, (check.began_us / 1000 + wait_ms).max(self.now_us / 1000 + 1));
    }

    #[must_use]
    pub(crate) fn is_checking(&self, key: Key) -> bool {
        self.checks.get(key).is_some_and(|check| !matches!(check.state, State::Resting))
    }

    /// The timer of a target's checks: it is time for one, or the one under way took too long.
    pub(crate) fn check_due(&mut self, key: Key) {
        let Some(check) = self.checks.get_mut(key) else { return };
        match check.state {
            State::Resting => self.begin_check(key),
            State::Connecting { .. } => self.end_check(key, &End::Bad(WhyBad::ConnectTimeout)),
            State::Handshake { .. } => self.end_check(key, &End::Bad(WhyBad::Tls(OriginFault::TlsTimeout))),
            State::Asking { .. } => self.end_check(key, &End::Bad(WhyBad::Timeout)),
        }
    }

    fn begin_check(&mut self, key: Key) {
        let plan = Rc::clone(&self.plan);
        let began_us = self.now_us;
        let Some(check) = self.checks.get_mut(key) else { return };
        check.began_us = began_us;
        if !check.target.state().keeps_connections() {
            self.arm_next_check(key);
            return;
        }
        let origin = &plan.plan.origins[check.origin];
        let socket = match self.io.connect_from(check.target.identity.target, origin.local_address) {
            Ok(socket) => socket,
            Err(trouble) => {
                self.end_check(key, &connect_end(trouble));
                return;
            }
        };
        self.io.tune(&socket, &socket_options(origin));
        // A watch that cannot be had leaves a connection without events; the timer ends it.
        let _ = self.io.watch(&socket, Token::Check(key));
        let wait_ms = origin.connect_ms.min(check.asked.timeout_ms);
        check.state = State::Connecting { link: Link::plain(socket) };
        self.wheel.arm(check.timer, began_us / 1000 + u64::from(wait_ms));
    }

    pub(crate) fn check_ready(&mut self, key: Key, event: &Ready) {
        let Some(check) = self.checks.get_mut(key) else { return };
        match &mut check.state {
            State::Resting => {}
            State::Connecting { link } if event.writable || event.dead => match link.connect_result(&mut self.io) {
                Ok(()) => {
                    link.handle_event(event);
                    self.secure_check(key);
                    if event.read_closed {
                        self.shake_check(key, true);
                    }
                }
                Err(trouble) => self.end_check(key, &connect_end(trouble)),
            },
            State::Connecting { .. } => {}
            State::Handshake { link, outbox } => {
                link.handle_event(event);
                // A target that takes no more of the handshake shows it in what is read.
                let _ = outbox.flush(&mut self.io, link, &mut self.blocks);
                self.shake_check(key, event.read_closed);
            }
            State::Asking { link, outbox, .. } => {
                link.handle_event(event);
                if event.writable && outbox.flush(&mut self.io, link, &mut self.blocks).is_err() {
                    // The target reads no more; it may have answered all the same, or its reset is read now.
                    outbox.clear(&mut self.blocks);
                }
                self.read_verdict(key);
            }
        }
    }

    /// The connection is there: TLS is begun where the origin speaks it, under the same identity as any request's.
    fn secure_check(&mut self, key: Key) {
        let plan = Rc::clone(&self.plan);
        let Some(check) = self.checks.get_mut(key) else { return };
        let Some(tls) = check.target.tls.get() else {
            self.ask_target(key);
            return;
        };
        let origin = &plan.plan.origins[check.origin];
        let host = check_host(&check.asked, &origin.targets[check.place].label).to_owned();
        let asked = asked_name(origin, host.as_bytes(), Some(name_of_host(&host)));
        // A request of a check is one of HTTP/1; a check that asks nothing shakes hands as requests do.
        let http1 = matches!(check.asked.probe, HealthProbe::Http { .. });
        let made = Session::client(tls, asked.as_deref().unwrap_or(check.target.identity.server_name(None)), http1);
        let State::Connecting { mut link } = std::mem::replace(&mut check.state, State::Resting) else { return };
        let mut outbox = Outbox::default();
        let begun = made.and_then(|session| link.secure(session, &mut self.io, &mut self.blocks, &mut outbox));
        check.state = State::Handshake { link, outbox };
        let handshake_ms = origin.tls.as_ref().map_or(check.asked.timeout_ms, |tls| tls.handshake_ms);
        let wait_ms = handshake_ms.min(check.asked.timeout_ms);
        self.wheel.arm(check.timer, self.now_us / 1000 + u64::from(wait_ms));
        if begun.is_err() {
            self.end_check(key, &End::NotMade);
        }
    }

    fn shake_check(&mut self, key: Key, ended: bool) {
        let Some(check) = self.checks.get_mut(key) else { return };
        let State::Handshake { link, outbox } = &mut check.state else { return };
        match link.shake(&mut self.io, &mut self.blocks, outbox, ended) {
            Ok(Shake::Waiting) => {}
            Ok(Shake::Done) => self.ask_target(key),
            Err(TlsTrouble::Local(_)) => self.end_check(key, &End::NotMade),
            Err(trouble) => self.end_check(key, &End::Bad(WhyBad::Tls(handshake_fault(&trouble)))),
        }
    }

    /// The connection can carry a request: that is all, or one is sent.
    fn ask_target(&mut self, key: Key) {
        let plan = Rc::clone(&self.plan);
        let Some(check) = self.checks.get_mut(key) else { return };
        let HealthProbe::Http { path, .. } = &check.asked.probe else {
            self.end_check(key, &End::Good);
            return;
        };
        let label = &plan.plan.origins[check.origin].targets[check.place].label;
        let request = probe::request(path, check_host(&check.asked, label));
        let (mut link, mut outbox) = match std::mem::replace(&mut check.state, State::Resting) {
            State::Connecting { link } => (link, Outbox::default()),
            State::Handshake { link, outbox } => (link, outbox),
            State::Resting | State::Asking { .. } => return,
        };
        let sent = outbox.send(&mut self.io, &mut link, &mut self.blocks, &[&request], false);
        self.wheel.arm(check.timer, check.began_us / 1000 + u64::from(check.asked.timeout_ms));
        check.state = State::Asking { link, outbox, answer: Answer::default() };
        if sent.is_err() {
            self.end_check(key, &End::Bad(WhyBad::Reset));
        } else {
            self.read_verdict(key);
        }
    }

    /// Reads until there is a verdict or nothing more to read; how much that may be is bounded by what an answer may hold.
    fn read_verdict(&mut self, key: Key) {
        let plan = Rc::clone(&self.plan);
        let Some(check) = self.checks.get_mut(key) else { return };
        let HealthProbe::Http { statuses, body_contains, .. } = &check.asked.probe else { return };
        let State::Asking { link, outbox, answer } = &mut check.state else { return };
        let wanted = Wanted { statuses, text: body_contains };
        let mut head = self.answer_head.take().unwrap_or_default();
        let mut scratch = std::mem::take(&mut self.scratch);
        let end = loop {
            match link.read(&mut self.io, &mut self.blocks, outbox, &mut scratch) {
                Ok(0) => break Some(End::Bad(answer.end())),
                Ok(count) => match answer.take(&mut scratch[..count], &mut head, &plan.head_limits, wanted) {
                    None => {}
                    Some(Ok(())) => break Some(End::Good),
                    Some(Err(why)) => break Some(End::Bad(why)),
                },
                Err(Trouble::WouldBlock) => break None,
                // In TLS 1.3 a certificate of ours is judged when the handshake is over for us.
                Err(Trouble::Tls) => break Some(End::Bad(WhyBad::Tls(OriginFault::TlsAlert))),
                Err(_) => break Some(End::Bad(WhyBad::Reset)),
            }
        };
        self.scratch = scratch;
        self.answer_head = Some(head);
        if let Some(end) = end {
            self.end_check(key, &end);
        }
    }

    /// A check is over: its connection closes at once, its result is told, the next one is set.
    fn end_check(&mut self, key: Key, end: &End) {
        self.rest_check(key);
        let micros = self.io.now_us();
        let Some(check) = self.checks.get(key) else { return };
        let micros = micros.saturating_sub(check.began_us);
        match end {
            End::NotMade => {
                self.row.one(Counter::ChecksNotMade);
                self.log.check_not_made(check.target.number);
            }
            End::Good => {
                self.row.one(Counter::Checks);
                self.log.check(check.target.number, micros, None);
            }
            End::Bad(why) => {
                self.row.one(Counter::Checks);
                self.row.one(Counter::ChecksFailed);
                self.log.check(check.target.number, micros, Some(*why));
            }
        }
        self.arm_next_check(key);
    }
}

/// Whose name a check asks for.
fn check_host<'a>(asked: &'a HealthCheck, label: &'a str) -> &'a str {
    match &asked.probe {
        HealthProbe::Http { host, .. } if !host.is_empty() => host,
        _ => label,
    }
}

fn spread_ms(asked: &HealthCheck) -> u64 {
    u64::from(asked.interval_ms) * u64::from(asked.jitter_percent.min(100)) / 100
}

fn socket_options(origin: &Origin) -> SocketOptions {
    SocketOptions { keepalive_ms: origin.tcp_keepalive_ms, user_timeout_ms: origin.tcp_user_timeout_ms }
}

fn connect_end(trouble: Trouble) -> End {
    match trouble {
        Trouble::Refused | Trouble::Reset => End::Bad(WhyBad::ConnectRefused),
        Trouble::Unreachable => End::Bad(WhyBad::ConnectUnreachable),
        Trouble::TimedOut => End::Bad(WhyBad::ConnectTimeout),
        Trouble::Local(_) | Trouble::WouldBlock | Trouble::Cut | Trouble::Tls => End::NotMade,
    }
}
