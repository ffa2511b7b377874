//! An exchange and its client part: the exchange goes on for all who wait for its answer, the client becomes the reader of
//! what is kept, or leaves. And exchanges that never had a client: they renew what is stored.

use crate::cached::side::{CacheSide, Found, Role};
use crate::exchange::{Asking, Ongoing};
use crate::hot::{Entry, Joined, Waiter, Wanted};
use crate::io::{Io, Token};
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use proto::cache::judge::What;
use proto::cache::message::Asked;
use proto::cache::validation::decide_ask;
use proto::exchange::{Download, Exchange};
use proto::http1::framing::RequestFraming;
use proto::http1::head::{Parsed, RequestHead, Version};
use std::rc::Rc;
use std::sync::Arc;

impl<I: Io> Worker<I> {
    pub(crate) fn waiter_of(&self, exchange: Key) -> Waiter {
        Waiter { worker: self.index, token: Token::Exchange(exchange).pack() }
    }

    /// Puts the client of an exchange into one of its own; the other goes on without. Returns the client's.
    pub(crate) fn part(&mut self, exchange: Key) -> Key {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Key::NONE };
        let Some(side) = ongoing.cached.as_ref() else { return Key::NONE };
        let mut reader = CacheSide::passing(side.decision.why, side.who, side.secure, &side.path);
        (reader.decision, reader.wants, reader.collapsed) = (side.decision, side.wants, side.collapsed);
        (reader.found, reader.stored, reader.target) = (side.found.clone(), side.stored, side.target.clone());
        reader.forwarded_status = side.forwarded_status;
        let key = ongoing.client;
        let mut of_client = ongoing.for_client();
        of_client.cached = Some(Box::new(reader));
        let mut head = self.blocks.take(ongoing.head.len());
        head.extend_from_slice(&ongoing.head);
        of_client.head = head;
        ongoing.client = Key::NONE;
        let of_client = self.boxed(of_client);
        let of_client = self.exchanges.insert(of_client);
        if let Some(client) = self.clients.get_mut(key) {
            client.exchange = of_client;
        }
        self.row.one(Counter::ExchangesOpen);
        self.arm_exchange(of_client);
        of_client
    }

    /// The client of an exchange leaves. If others wait for its answer, the exchange goes on for them. Returns the exchange
    /// that ends.
    pub(crate) fn leave_to_others(&mut self, exchange: Key) -> Key {
        let Some(side) = self.exchanges.get(exchange).and_then(|o| o.cached.as_ref()) else { return exchange };
        match side.flight() {
            Some(flight) if side.fill.is_none() && flight.waiters() > 0 => self.part(exchange),
            _ => exchange,
        }
    }

    /// Begins to renew what an exchange is answered with, unless somebody does that already.
    pub(crate) fn revalidate(&mut self, exchange: Key, head: &RequestHead, bytes: &[u8]) {
        let now_ms = self.log.unix_ms;
        let stamp = self.host.hot.stamp(now_ms * 1000);
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let (Some(side), Some(policy)) = (ongoing.cached.as_ref(), ongoing.cache_policy()) else { return };
        let Some(found) = side.found.clone() else { return };
        let plan = Rc::clone(&ongoing.plan);
        let asked = Asked { bytes, head };
        let mut own = CacheSide::passing(side.decision.why, side.who, side.secure, &side.path);
        own.decision.what = What::Validate;
        own.ask = decide_ask(asked, What::Validate, side.decision.why, Some(&found.entry.record), policy);
        (own.place, own.target, own.extras) = (side.place, side.target.clone(), side.extras.clone());
        (own.found, own.stamp, own.asked_ms, own.background) = (Some(found), stamp, now_ms, true);
        let framing = RequestFraming { keep_alive: true, ..RequestFraming::default() };
        let core = Exchange::new(head.method, Version::Http11, &framing);
        let asking = Asking {
            client: Key::NONE,
            route: ongoing.route,
            origin_index: ongoing.origin_index,
            began_us: self.now_us,
        };
        let mut renewing = Ongoing::new(core, plan, head, &framing, asking);
        renewing.nominated = ongoing.nominated;
        renewing.head = self.blocks.take(bytes.len());
        renewing.head.extend_from_slice(bytes);
        renewing.cached = Some(Box::new(own));
        self.take_policy(&mut renewing, head);
        let renewing = self.boxed(renewing);
        let renewing = self.exchanges.insert(renewing);
        self.row.one(Counter::ExchangesOpen);
        let waiter = self.waiter_of(renewing);
        let Some(side) = self.exchanges.get_mut(renewing).and_then(|o| o.cached.as_mut()) else { return };
        let wanted = Wanted { place: side.place, target: &side.target, extras: &side.extras, asked };
        let seen = self.host.hot.look_up(&wanted, now_ms);
        let is_same = |entry: &Arc<Entry>| side.found.as_ref().is_some_and(|found| Arc::ptr_eq(&found.entry, entry));
        if !seen.entry.as_ref().is_some_and(is_same) {
            // Somebody has renewed it meanwhile, or it is gone.
            self.forget_exchange(renewing);
            return;
        }
        match self.host.hot.join(&wanted, &seen, waiter) {
            Joined::Lead(flight) => {
                side.role = Role::Leads(flight);
                self.row.one(Counter::CacheBackground);
                self.bind(renewing);
                self.arm_exchange(renewing);
                // Not from within another one's way: its request leaves in the next pass.
                self.again.push(Token::Exchange(renewing));
            }
            Joined::Follow(flight) => {
                flight.leave(waiter);
                self.forget_exchange(renewing);
            }
            Joined::LookAgain => self.forget_exchange(renewing),
        }
    }

    /// Asks the origin again, without conditions: what it said last was about something that is not stored.
    pub(crate) fn ask_again(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let origin = std::mem::replace(&mut ongoing.origin, Key::NONE);
        if let Some(side) = ongoing.cached.as_mut() {
            (side.ask, side.found) = (proto::cache::validation::Ask::Whole, None);
        }
        self.close_origin(origin, Counter::OriginCloseNotKept);
        self.repeat(exchange);
    }

    /// The head of an exchange's request, parsed, with its bytes taken out; to be given back by `put_head`.
    pub(crate) fn take_head(&mut self, exchange: Key) -> Option<(Box<RequestHead>, Vec<u8>)> {
        let ongoing = self.exchanges.get_mut(exchange)?;
        let bytes = std::mem::take(&mut ongoing.head);
        let mut head = self.head.take().unwrap_or_default();
        let parsed = head.parse(&bytes, &ongoing.plan.head_limits);
        debug_assert!(matches!(parsed, Ok(Parsed::Complete)));
        Some((head, bytes))
    }

    pub(crate) fn put_head(&mut self, exchange: Key, (head, bytes): (Box<RequestHead>, Vec<u8>)) {
        self.head = Some(head);
        match self.exchanges.get_mut(exchange) {
            Some(ongoing) => ongoing.head = bytes,
            None => self.blocks.give(bytes),
        }
    }

    /// What an exchange found, in case its origin fails.
    pub(crate) fn found_by(&self, exchange: Key) -> Option<Found> {
        self.exchanges.get(exchange)?.cached.as_ref()?.found.clone()
    }
}

impl Ongoing {
    /// One for its client alone: what is known of the request and of its answer so far goes with it, connections do not.
    fn for_client(&self) -> Self {
        let head =
            RequestHead { method_span: self.method, host: self.host, target: self.url, ..RequestHead::default() };
        let asking = Asking {
            client: self.client,
            route: self.route,
            origin_index: self.origin_index,
            began_us: self.times.began_us,
        };
        let framing = RequestFraming::default();
        let mut one = Self::new(self.core.clone(), Rc::clone(&self.plan), &head, &framing, asking);
        one.core.download = Download::UntilClose;
        one.target = self.target;
        one.total_due_ms = self.total_due_ms;
        (one.times, one.faults, one.half_closed) = (self.times, self.faults, self.half_closed);
        (one.attempts, one.escalations, one.why_new) = (self.attempts, self.escalations, self.why_new);
        (one.room, one.room_max) = (self.room, self.room_max);
        one
    }
}
