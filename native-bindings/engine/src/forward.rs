//! Finds a target and a connection for an exchange, and sends the request on it. Reuse, waiting in line and making room
//! are decided here; what a connection does with the request is `origin.rs`.

use crate::exchange::Ongoing;
use crate::host::Message;
use crate::io::{Io, Peek, Token};
use crate::origin::{Origin, OriginState, Place};
use crate::outbox::Outbox;
use crate::pool::{Lease, Taken};
use crate::slab::Key;
use crate::stats::Counter;
use crate::target::{TargetShared, Waiter};
use crate::wheel::NEVER;
use crate::worker::Worker;
use proto::exchange::Stage;
use proto::fault::OriginFault;
use proto::http1::encode::{Forwarding, LAST_CHUNK, RequestEncoding, encode_request, write_chunk_header};
use proto::http1::framing::RequestBody;
use proto::http1::head::{RequestHead, TargetForm};
use proto::plan::{Action, HostPolicy, Rewrite};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A body piece up to this size is copied behind its head: one plain write costs less than gathering two parts.
const COPY_BYTES_MAX: usize = 8 * 1024;

/// What `find_connection` came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// The exchange has a connection that takes its request now.
    Connection,
    /// One is being opened, or the exchange waits in line.
    Later,
    /// The exchange was answered with a fault.
    Ended,
}

impl<I: Io> Worker<I> {
    /// Chooses a target that was not tried and gets a connection to it.
    pub(crate) fn find_connection(&mut self, exchange: Key) -> Found {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        let origin_index = ongoing.origin_index as usize;
        let weights = &ongoing.plan.origins[origin_index].weights;
        let Some(target) = self.turns[origin_index].choose(weights, ongoing.core.tried) else {
            self.answer_fault(exchange, OriginFault::NoTarget);
            return Found::Ended;
        };
        ongoing.target = target as u32;
        if target < 64 {
            ongoing.core.tried |= 1 << target;
        }
        self.connect_to_target(exchange, false)
    }

    /// Gets a connection to the chosen target: an idle one unless `fresh`, else a new one, else a place in line.
    pub(crate) fn connect_to_target(&mut self, exchange: Key, fresh: bool) -> Found {
        let Some(ongoing) = self.exchanges.get(exchange) else { return Found::Ended };
        let target =
            Arc::clone(&ongoing.plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].shared);
        let mut why_new = if fresh { Counter::NewRepeat } else { Counter::NewNoIdle };
        if !fresh {
            match self.reuse(exchange, &target) {
                Ok(()) => return Found::Connection,
                Err(why) => why_new = why,
            }
        }
        // Whoever came first is served first: a newcomer does not take the place somebody waits for.
        if target.waiting.load(Relaxed) == 0 && self.find_place(exchange, &target, fresh) {
            return self.open_connection(exchange, target, why_new);
        }
        self.wait_in_line(exchange, &target)
    }

    /// Takes idle connections until one is fit for this request. A request that must not be repeated is worth one look
    /// at the socket; any other is repeated if the connection proves dead.
    fn reuse(&mut self, exchange: Key, target: &Arc<TargetShared>) -> Result<(), Counter> {
        let mut why_new = Counter::NewNoIdle;
        while let Some(taken) = self.host.pool.checkout(self.index, target) {
            self.row.less(Counter::OriginIdle);
            let Some(ongoing) = self.exchanges.get(exchange) else { return Err(why_new) };
            let spent = taken.lease.age_due_ms <= self.now_ms();
            let must_live = !ongoing.core.method.is_idempotent();
            let peek = if must_live { self.io.peek(&taken.socket) } else { Peek::Quiet };
            let why_not = match peek {
                Peek::Quiet if spent => Counter::OriginCloseAge,
                Peek::Quiet => {
                    self.adopt(exchange, taken);
                    return Ok(());
                }
                Peek::StrayBytes => Counter::OriginCloseStray,
                Peek::Closed => Counter::OriginCloseByOrigin,
            };
            why_new = Counter::NewStale;
            self.discard_taken(taken, why_not);
        }
        Err(why_new)
    }

    /// A connection out of the pool becomes this exchange's.
    fn adopt(&mut self, exchange: Key, taken: Taken<I::Socket>) {
        let Taken { socket, mut lease, worker, slot } = taken;
        lease.requests += 1;
        let key = if worker == self.index {
            let origin = self.origins.get_mut(slot).expect("a resting connection keeps its slot");
            origin.place = Place::Held(socket);
            origin.lease = lease;
            slot
        } else {
            self.row.one(Counter::OriginStolen);
            self.io.unwatch(&socket, worker);
            self.new_origin(socket, lease)
        };
        if let Some(origin) = self.origins.get_mut(key) {
            origin.state = OriginState::Active;
            origin.exchange = exchange;
            origin.reused = true;
        }
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            ongoing.origin = key;
            ongoing.core.reused = true;
        }
    }

    /// A slot for a connection this worker has just opened or stolen, watched from now on.
    fn new_origin(&mut self, socket: I::Socket, lease: Lease) -> Key {
        let timer = self.wheel.add(0);
        let key = self.origins.insert(Origin {
            place: Place::Held(socket),
            state: OriginState::Connecting,
            exchange: Key::NONE,
            lease,
            timer,
            outbox: Outbox::default(),
            input: Vec::new(),
            active_ms: self.now_us / 1000,
            readable: false,
            read_closed: false,
            surplus: false,
            reused: false,
        });
        self.wheel.set_owner(timer, Token::Origin(key).pack());
        if let Some(Place::Held(socket)) = self.origins.get(key).map(|o| &o.place) {
            // A watch that cannot be had leaves a connection without events; its timers end it.
            let _ = self.io.watch(socket, Token::Origin(key));
        }
        key
    }

    /// Ends a connection that was taken out of the pool and is not used after all.
    pub(crate) fn discard_taken(&mut self, taken: Taken<I::Socket>, why: Counter) {
        if taken.worker == self.index {
            if let Some(origin) = self.origins.remove(taken.slot) {
                self.wheel.remove(origin.timer);
            }
        }
        self.io.close(taken.socket);
        self.count_origin_closed(&taken.lease.target, why);
    }

    /// Room for one more connection, if need be by closing one that is idle.
    fn find_place(&mut self, exchange: Key, target: &TargetShared, fresh: bool) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange) else { return false };
        let target_max = ongoing.origin_plan().target_connections;
        if self.host.pool.ask_for_place(target, target_max) {
            return true;
        }
        let pool = &self.host.pool;
        let idle = if pool.is_full() {
            pool.take_oldest(self.index, None)
        } else if fresh || pool.is_split() {
            pool.take_oldest(self.index, Some(target))
        } else {
            None
        };
        let Some(idle) = idle else { return false };
        self.row.less(Counter::OriginIdle);
        self.discard_taken(idle, Counter::OriginCloseEvicted);
        self.host.pool.ask_for_place(target, target_max)
    }

    fn open_connection(&mut self, exchange: Key, target: Arc<TargetShared>, why_new: Counter) -> Found {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        ongoing.core.stage = Stage::Connecting;
        ongoing.core.reused = false;
        ongoing.times.connect_us = self.now_us;
        let address = ongoing.plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].address;
        let (connect_ms, age_ms) = (ongoing.origin_plan().connect_ms, ongoing.origin_plan().age_ms);
        self.row.one(why_new);
        let now_ms = self.now_ms();
        match self.io.connect(address) {
            Ok(socket) => {
                let age_due_ms = if age_ms == 0 { NEVER } else { now_ms + u64::from(age_ms) };
                let lease = Lease { target, opened_ms: now_ms, requests: 1, age_due_ms };
                let key = self.new_origin(socket, lease);
                if let Some(origin) = self.origins.get_mut(key) {
                    origin.exchange = exchange;
                    self.wheel.arm(origin.timer, now_ms + u64::from(connect_ms));
                }
                if let Some(ongoing) = self.exchanges.get_mut(exchange) {
                    ongoing.origin = key;
                }
                Found::Later
            }
            Err(trouble) => {
                self.host.pool.give_up_place(&target);
                self.row.one(Counter::OriginConnectFailed);
                self.call_waiters(&target);
                self.attempt_failed(exchange, crate::origin::connect_fault(trouble))
            }
        }
    }

    /// Waits for a connection of the target, first come first served.
    fn wait_in_line(&mut self, exchange: Key, target: &TargetShared) -> Found {
        let waiter = Waiter { worker: self.index, exchange };
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return Found::Ended };
        let called_before = ongoing.timer.is_some();
        let pool = &ongoing.plan.plan.pool;
        let (length_max, wait_ms) = (pool.queue_length, pool.queue_wait_ms);
        if !target.wait(waiter, length_max, called_before) {
            return self.attempt_failed(exchange, OriginFault::PoolFull);
        }
        ongoing.core.stage = Stage::Queued;
        if !called_before {
            let timer = self.wheel.add(Token::Exchange(exchange).pack());
            self.wheel.arm(timer, self.now_us / 1000 + u64::from(wait_ms));
            ongoing.timer = Some(timer);
            self.row.one(Counter::Queued);
            self.row.one(Counter::QueueLength);
        }
        // A place may have become free between asking for it and joining the line, and nobody would call for it again.
        let target_max = self.exchanges.get(exchange).map_or(0, |o| o.origin_plan().target_connections);
        let free = target_max == 0 || target.open.load(Relaxed) < target_max || target.idle_total() > 0;
        if free && !self.host.pool.is_full() {
            self.call_waiters(target);
        }
        Found::Later
    }

    /// The exchange was called out of the line.
    pub(crate) fn called(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        if ongoing.core.stage != Stage::Queued {
            return;
        }
        ongoing.core.stage = Stage::Choosing;
        let target =
            Arc::clone(&ongoing.plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].shared);
        let found = match self.reuse(exchange, &target) {
            Ok(()) => Found::Connection,
            Err(why) if self.find_place(exchange, &target, false) => self.open_connection(exchange, target, why),
            Err(_) => self.wait_in_line(exchange, &target),
        };
        match found {
            Found::Connection => {
                self.end_waiting(exchange);
                self.send_held(exchange);
            }
            Found::Later => {
                if self.exchanges.get(exchange).is_some_and(|o| o.core.stage != Stage::Queued) {
                    self.end_waiting(exchange);
                }
            }
            Found::Ended => {}
        }
    }

    pub(crate) fn end_waiting(&mut self, exchange: Key) {
        let timer = self.exchanges.get_mut(exchange).and_then(|o| o.timer.take());
        if let Some(timer) = timer {
            self.wheel.remove(timer);
            self.row.less(Counter::QueueLength);
        }
    }

    pub(crate) fn queue_wait_over(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        if ongoing.core.stage == Stage::Queued {
            self.leave_line(exchange);
            self.attempt_failed(exchange, OriginFault::PoolFull);
        }
    }

    /// Leaves the line without having been served; passes a call on that was already made.
    pub(crate) fn leave_line(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let target =
            Arc::clone(&ongoing.plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize].shared);
        let was_queued = ongoing.core.stage == Stage::Queued;
        self.end_waiting(exchange);
        if was_queued && !target.leave(Waiter { worker: self.index, exchange }) {
            self.call_waiters(&target);
        }
    }

    /// A connection or a place became free: whoever waits longest is called, on whichever worker it is.
    pub(crate) fn call_waiters(&mut self, target: &TargetShared) {
        let elsewhere = if target.waiting.load(Relaxed) == 0 { self.host.pool.any_waiting() } else { None };
        let target = elsewhere.as_deref().unwrap_or(target);
        if target.waiting.load(Relaxed) == 0 {
            return;
        }
        if let Some(waiter) = target.call_next() {
            let message = Message::Called { exchange: waiter.exchange };
            if self.host.inboxes[waiter.worker as usize].push(message).is_err() {
                // Its worker is drowning; the waiter keeps its place and its wait limit.
                target.wait(waiter, u32::MAX, true);
                return;
            }
            self.io.ring(waiter.worker);
        }
    }

    /// Keeps body bytes until there is a connection to send them on.
    pub(crate) fn hold(&mut self, exchange: Key, data: &[u8]) {
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            self.blocks.append(&mut ongoing.kept, data);
        }
    }

    /// Sends a request whose head and first body bytes were kept.
    pub(crate) fn send_held(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let bytes = std::mem::take(&mut ongoing.head);
        let kept = std::mem::take(&mut ongoing.kept);
        let mut head = self.head.take().unwrap_or_default();
        let parsed = head.parse(&bytes, &ongoing.plan.head_limits);
        debug_assert!(matches!(parsed, Ok(proto::http1::head::Parsed::Complete)));
        self.send_request(exchange, &head, &bytes, &kept);
        self.head = Some(head);
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.head = bytes;
        if ongoing.may_keep_body() {
            ongoing.kept = kept;
        } else {
            ongoing.kept_whole &= kept.is_empty();
            self.blocks.give(kept);
        }
        // What the client sent meanwhile waits in its socket.
        self.upload_go(exchange);
    }

    /// Writes the request's head, and what is here of its body, to the connection the exchange has.
    pub(crate) fn send_request(&mut self, exchange: Key, head: &RequestHead, bytes: &[u8], data: &[u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        ongoing.core.stage = Stage::Sent;
        ongoing.core.attempts = ongoing.core.attempts.saturating_add(1);
        ongoing.times.sent_us = self.now_us;
        self.row.one(Counter::OriginRequests);
        self.row.one(if ongoing.core.reused { Counter::OriginReused } else { Counter::OriginNew });
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let client = self.clients.get(ongoing.client);
        let forwarding = Forwarding {
            trusted_peer: client.is_some_and(|c| c.trusted),
            x_forwarded: ongoing.plan.plan.forwarding.x_forwarded,
            forwarded: ongoing.plan.plan.forwarding.forwarded,
            client_ip: client.map_or(&[], |c| c.ip.as_bytes()),
            client_is_v6: client.is_some_and(|c| c.ip.is_v6),
            proto: b"http",
        };
        encode_for_origin(&mut out, &mut self.path, ongoing, head, bytes, forwarding);
        let chunked = ongoing.core.body == RequestBody::Chunked;
        let done = ongoing.core.upload_done();
        self.tail.clear();
        if chunked {
            if !data.is_empty() {
                write_chunk_header(&mut out, data.len());
                self.tail.extend_from_slice(b"\r\n");
            }
            if done {
                self.tail.extend_from_slice(LAST_CHUNK);
                self.tail.extend_from_slice(&ongoing.trailers);
                self.tail.extend_from_slice(b"\r\n");
            }
        }
        let tail = std::mem::take(&mut self.tail);
        if data.len() <= COPY_BYTES_MAX {
            out.extend_from_slice(data);
            out.extend_from_slice(&tail);
            self.send_to_origin(exchange, &[&out]);
        } else {
            self.send_to_origin(exchange, &[&out, data, &tail]);
        }
        self.tail = tail;
        self.out = out;
    }

    /// Remembers body bytes for a repeat, as long as the method may be repeated and the bound holds.
    pub(crate) fn keep(&mut self, exchange: Key, data: &[u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        if data.is_empty() || !ongoing.kept_whole {
            return;
        }
        if ongoing.may_keep_body() {
            self.blocks.append(&mut ongoing.kept, data);
        } else {
            ongoing.kept_whole = false;
            self.blocks.release(&mut ongoing.kept);
        }
    }
}

/// The request as the origin is to see it: route's rewrite, Host by policy, forwarding fields, framing anew.
fn encode_for_origin(
    out: &mut Vec<u8>,
    path_room: &mut Vec<u8>,
    ongoing: &Ongoing,
    head: &RequestHead,
    bytes: &[u8],
    forwarding: Forwarding<'_>,
) {
    let plan = &ongoing.plan.plan;
    let (rewrite, edits) = match ongoing.action() {
        Action::Forward { rewrite, request_fields, .. } => (rewrite.as_ref(), request_fields.as_slice()),
        Action::Answer { .. } | Action::Redirect { .. } => (None, [].as_slice()),
    };
    let target = &ongoing.plan.origins[ongoing.origin_index as usize].targets[ongoing.target as usize];
    let asked = head.host.of(bytes);
    let host = match &ongoing.origin_plan().host {
        HostPolicy::Client if !asked.is_empty() => asked,
        _ => &target.host,
    };
    let path = match (head.target_form, rewrite) {
        (TargetForm::Origin, None) => head.target.of(bytes),
        (TargetForm::Asterisk, _) => b"*",
        _ => {
            write_path(path_room, head, bytes, rewrite);
            path_room
        }
    };
    encode_request(
        out,
        bytes,
        head,
        &RequestEncoding {
            path,
            host,
            body: ongoing.core.body,
            upgrade: ongoing.core.upgrade,
            expect_continue: ongoing.core.expect != proto::exchange::Continue::NotAsked,
            nominated: ongoing.nominated,
            via: plan.forwarding.via.then_some(plan.name.as_bytes()),
            received_version: head.version,
            forwarding,
            edits,
            te_trailers: ongoing.te_trailers,
        },
    );
}

/// Path and query in origin-form, after the route's rewrite.
fn write_path(out: &mut Vec<u8>, head: &RequestHead, bytes: &[u8], rewrite: Option<&Rewrite>) {
    out.clear();
    let path = head.path.of(bytes);
    match rewrite {
        Some(Rewrite::Path { to }) => out.extend_from_slice(to.as_bytes()),
        Some(Rewrite::Prefix { from, to }) => {
            let rest = path.strip_prefix(from.as_bytes()).unwrap_or(path);
            out.extend_from_slice(to.as_bytes());
            if !out.ends_with(b"/") && !rest.starts_with(b"/") && !rest.is_empty() {
                out.push(b'/');
            }
            let doubled = out.ends_with(b"/") && rest.starts_with(b"/");
            out.extend_from_slice(&rest[usize::from(doubled)..]);
        }
        None => out.extend_from_slice(path),
    }
    if !out.starts_with(b"/") {
        out.insert(0, b'/');
    }
    if head.has_query {
        out.push(b'?');
        out.extend_from_slice(head.query.of(bytes));
    }
}
