//! The end of an exchange: one outcome is counted and logged, the origin's connection rests or closes, the client's is
//! free for the next request, drained, or closed.

use crate::client::ClientState;
use crate::exchange::Ongoing;
use crate::io::{Io, Token};
use crate::slab::Key;
use crate::stats::{Counter, Histogram};
use crate::streams::peer_of;
use crate::worker::Worker;
use proto::exchange::{Stage, Upload};
use proto::fault::ClientFault;
use proto::identity::{AfterExchange, WhyNotReusable, is_reusable};
use std::rc::Rc;

/// Boxes kept for further exchanges.
const BOXES_KEPT_MAX: usize = 256;

impl<I: Io> Worker<I> {
    /// The answer was handed over whole.
    pub(crate) fn finish(&mut self, exchange: Key) {
        let Some(ongoing) = self.end_exchange(exchange) else { return };
        let (key, keep, upload) = (ongoing.client, ongoing.core.keep_alive, ongoing.core.upload);
        self.recycle(ongoing);
        // A client that was promised one more request, and may still ask, keeps its connection for it.
        let leaves = self.draining && !self.idle_stays;
        self.after_answer(key, &upload, keep && !leaves);
    }

    /// The client left, or is sent away in the middle of an answer.
    pub(crate) fn abandon(&mut self, exchange: Key, fault: ClientFault, why: Counter) {
        let exchange = self.leave_to_others(exchange);
        self.row.client_fault(fault);
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.faults.client = Some(fault);
            let reads = ongoing.cached.as_ref().is_some_and(|side| side.reading.is_some());
            if ongoing.half_closed && reads {
                // S4-17: it had said its last, and did not hear us out.
                self.row.add(Counter::HalfClosedWasted, ongoing.core.download_bytes);
            }
        }
        let Some(ongoing) = self.end_exchange(exchange) else { return };
        let key = ongoing.client;
        let broken = ongoing.core.stage == Stage::Relaying && !ongoing.core.download_done();
        if broken {
            self.row.one(Counter::AnswersBroken);
        }
        self.recycle(ongoing);
        self.reset_client(key, why);
    }

    /// Ends an exchange whose client will be told why by somebody else.
    pub(crate) fn forget_exchange(&mut self, exchange: Key) {
        if let Some(ongoing) = self.end_exchange(exchange) {
            self.recycle(ongoing);
        }
    }

    /// Takes the exchange off the books and gives up or returns its connection.
    pub(crate) fn end_exchange(&mut self, exchange: Key) -> Option<Box<Ongoing>> {
        if self.exchanges.get(exchange)?.core.stage == Stage::Queued {
            self.leave_line(exchange);
        }
        self.end_waiting(exchange);
        let mut ongoing = self.exchanges.remove(exchange)?;
        self.leave_cache(exchange, &mut ongoing);
        ongoing.count_out();
        if let Some(timer) = ongoing.timer.take() {
            self.wheel.remove(timer);
        }
        self.row.less(Counter::ExchangesOpen);
        if ongoing.core.stage == Stage::Tunnelling {
            self.row.less(Counter::TunnelsOpen);
        }
        if ongoing.client == Key::NONE {
            // What goes on for the sake of the cache is nobody's request.
            self.log.ended_apart(&ongoing);
            self.leave_origin(&ongoing);
            return Some(ongoing);
        }
        let spent = self.now_us.saturating_sub(ongoing.times.began_us);
        self.row.record(Histogram::Exchange, spent);
        let slot = ongoing.plan.plan.routes[ongoing.route as usize].slot;
        self.row.route_answer(slot, ongoing.core.status, spent);
        if self.log.wants(&ongoing) {
            let client = peer_of(&self.clients, ongoing.client);
            self.log.exchange(self.now_us, client, &ongoing);
        }
        self.leave_origin(&ongoing);
        Some(ongoing)
    }

    /// Gives the exchange's buffers back, and keeps its box for another. What it held of its own goes now, and so does the
    /// plan it began under, which may be an old one.
    pub(crate) fn recycle(&mut self, mut ongoing: Box<Ongoing>) {
        self.blocks.release(&mut ongoing.head);
        self.blocks.release(&mut ongoing.kept);
        self.count_file_gone(ongoing.spool.take());
        if self.boxes.len() < BOXES_KEPT_MAX {
            (ongoing.trailers, ongoing.answer_trailers, ongoing.bound) = (Vec::new(), Vec::new(), None);
            ongoing.cached = None;
            if !Rc::ptr_eq(&ongoing.plan, &self.plan) {
                ongoing.plan = Rc::clone(&self.plan);
            }
            self.boxes.push(ongoing);
        }
    }

    /// An exchange in a box of one that is over, if there is any.
    pub(crate) fn boxed(&mut self, fresh: Ongoing) -> Box<Ongoing> {
        match self.boxes.pop() {
            Some(mut used) => {
                *used = fresh;
                used
            }
            None => Box::new(fresh),
        }
    }

    /// The exchange is done with its connection: it rests if the truth table says so.
    fn leave_origin(&mut self, ongoing: &Ongoing) {
        let key = ongoing.origin;
        let Some(origin) = self.origins.get(key) else { return };
        if origin.is_stream() {
            // It has no rest; its connection goes on.
            self.close_origin(key, Counter::OriginCloseNotKept);
            return;
        }
        let plan = Rc::clone(&ongoing.plan);
        let origin_plan = &plan.plan.origins[ongoing.origin_index as usize];
        let finished = ongoing.core.stage == Stage::Relaying && ongoing.core.download_done();
        if !finished {
            let tunnel = ongoing.core.stage == Stage::Tunnelling;
            self.close_origin(key, if tunnel { Counter::OriginCloseTunnel } else { Counter::OriginCloseClientGone });
            return;
        }
        let now_ms = self.now_ms();
        let verdict = is_reusable(&AfterExchange {
            answer_keeps: ongoing.answer_keeps && plan.plan.persistence.origin,
            answer_complete: finished,
            surplus_bytes: origin.surplus || origin.holds_plain(),
            read_closed: origin.read_closed,
            request_sent: ongoing.core.upload_done()
                && !ongoing.is_replaying()
                && origin.outbox.is_empty()
                && !ongoing.write_broke
                && !ongoing.fin_sent,
            requests: origin.lease.requests,
            requests_max: origin_plan.requests,
            aged: origin.lease.age_due_ms <= now_ms,
            draining: self.draining,
        });
        match verdict {
            Ok(()) if !plan.origins[ongoing.origin_index as usize].shares => {
                self.close_origin(key, Counter::OriginCloseNotKept);
            }
            Ok(()) => {
                if let Some(keeps_ms) = ongoing.keeps_ms.filter(|_| origin_plan.idle_learn) {
                    origin.lease.target.learned_idle.handle_told(keeps_ms);
                }
                self.rest(key, origin_plan.idle_ms, origin_plan.target_idle);
            }
            Err(why) => self.close_origin(key, close_reason(why)),
        }
    }

    /// What becomes of the client's connection when its answer was handed over.
    pub(crate) fn after_answer(&mut self, key: Key, upload: &Upload, keep: bool) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if !keep || client.link.is_stream() {
            self.close_after_answer(key, Counter::ClientCloseNotKept);
            return;
        }
        match upload {
            Upload::Length { left } => {
                client.state = ClientState::Draining { left: *left };
                let due = self.now_us / 1000 + u64::from(self.plan.plan.timeouts.client_body_ms);
                self.wheel.arm(client.timer, due);
                self.again.push(Token::Client(key));
            }
            Upload::Done | Upload::Chunked(_) | Upload::Stream => {
                debug_assert!(matches!(upload, Upload::Done));
                let more = !client.input.is_empty() || client.readable;
                self.client_free(key);
                if more {
                    self.again.push(Token::Client(key));
                }
            }
        }
    }
}

const fn close_reason(why: WhyNotReusable) -> Counter {
    match why {
        WhyNotReusable::AnswerUnfinished => Counter::OriginCloseClientGone,
        WhyNotReusable::NotKept => Counter::OriginCloseNotKept,
        WhyNotReusable::ClosedByOrigin => Counter::OriginCloseByOrigin,
        WhyNotReusable::SurplusBytes => Counter::OriginCloseStray,
        WhyNotReusable::RequestUnfinished => Counter::OriginCloseUnfinished,
        WhyNotReusable::RequestsSpent => Counter::OriginCloseRequests,
        WhyNotReusable::TooOld => Counter::OriginCloseAge,
        WhyNotReusable::Draining => Counter::OriginCloseDrain,
    }
}
