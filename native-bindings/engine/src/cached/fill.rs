//! An answer on its way into the cache: what came of its content is kept for all who read it, and it stays if it came
//! whole.

use crate::cached::answer::Kept;
use crate::cached::parts::joined;
use crate::cached::reading::Reading;
use crate::cached::side::Found;
use crate::exchange::Ongoing;
use crate::hot::{Body, Entry, NewEntry};
use crate::io::Io;
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use proto::cache::conditional::{Serve, decide_serve};
use proto::cache::message::Asked;
use proto::cache::storable::{BodyEnd, decide_whole, is_too_large};
use proto::exchange::{Piece, Stage};
use proto::fault::WireFault;
use proto::http1::head::{Parsed, ResponseHead};
use proto::limits::{HEAD_BYTES_CEILING, HeadLimits};
use std::sync::Arc;

/// Bytes that are held for the slowest reader of what is too large to be kept.
const WINDOW_BYTES: u64 = 1024 * 1024;

impl<I: Io> Worker<I> {
    /// The whole answer is here: it is kept at once, and its client gets it the usual way.
    pub(crate) fn keep_whole(&mut self, exchange: Key, kept: Kept, content: &[u8]) {
        if !self.may_keep(exchange, &kept, content.len() as u64) {
            if let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) {
                side.stored = false;
            }
            return;
        }
        let Some(entry) = self.entry_of(exchange, kept, Body::whole(content)) else { return };
        self.keep_entry(exchange, &entry);
    }

    /// What only its end tells: whether it is as long as its part says, and not longer than is stored.
    fn may_keep(&self, exchange: Key, kept: &Kept, length: u64) -> bool {
        let Some(ongoing) = self.exchanges.get(exchange) else { return false };
        let fits = ongoing.cache_policy().is_none_or(|policy| !is_too_large(policy, length))
            && length <= self.host.hot.bytes_max() / 2;
        fits && decide_whole(ongoing.core.answer_body, BodyEnd::Whole, length, kept.record.part).is_ok()
    }

    /// Keeps an entry whose content is whole, and tells those who wait.
    pub(crate) fn keep_entry(&mut self, exchange: Key, entry: &Arc<Entry>) {
        let joins = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()?.joins.take());
        let joined = joins.and_then(|stored| joined(&stored, entry));
        let entry = joined.as_ref().unwrap_or(entry);
        let is_kept = self.host.hot.keep(entry);
        self.entry_kept(exchange, entry, is_kept);
    }

    /// An entry was kept, or is purged already.
    pub(crate) fn entry_kept(&mut self, exchange: Key, entry: &Arc<Entry>, is_kept: bool) {
        if is_kept {
            self.row.one(Counter::CacheStored);
            self.host.store.put(entry);
        }
        let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) else { return };
        side.stored = is_kept;
        // What was purged meanwhile is fetched by one of those who wait, not by all.
        self.land_lead(exchange);
    }

    pub(crate) fn entry_of(&self, exchange: Key, kept: Kept, body: Body) -> Option<Arc<Entry>> {
        let parsed = parse_stored(&kept.head)?;
        let side = self.exchanges.get(exchange)?.cached.as_ref()?;
        let tags = kept.tags.iter().map(|tag| self.host.hot.tag(tag)).collect();
        Some(Entry::new(NewEntry {
            parsed,
            place: side.place,
            target: side.target.clone(),
            extras: side.extras.clone(),
            vary: kept.vary,
            variant: kept.variant,
            record: *kept.record,
            head: kept.head,
            body: Arc::new(body),
            tags,
            tag_names: kept.tags,
            stamp: side.stamp,
        }))
    }

    /// The rest of an answer that is kept is still to come: from here on its exchange writes to the cache, and its client
    /// reads from there. `out` is the head for the client.
    pub(crate) fn begin_fill(
        &mut self,
        exchange: Key,
        kept: Kept,
        out: Vec<u8>,
        rest: &[u8],
        taken: Result<Piece, WireFault>,
    ) {
        let writer = self.waiter_of(exchange);
        let recut = kept.recut;
        let listed = self.entry_of(exchange, kept, Body::growing()).filter(|entry| self.host.hot.list(entry));
        let Some(entry) = listed else {
            self.land_lead(exchange);
            self.pass_piece(exchange, out, rest, taken);
            return;
        };
        entry.body.set_writer(writer);
        let has_client = self.exchanges.get(exchange).is_some_and(|o| o.client != Key::NONE);
        let reader = if has_client { self.part(exchange) } else { Key::NONE };
        let (mut chunked, mut until_close) = (false, false);
        if let Some(ongoing) = self.exchanges.get_mut(exchange) {
            (chunked, until_close) = (ongoing.answer_chunked, ongoing.answer_until_close);
        }
        if let Some(ongoing) = self.exchanges.get_mut(reader) {
            (ongoing.answer_chunked, ongoing.answer_until_close) = (chunked, until_close);
            if let Some(side) = ongoing.cached.as_mut().filter(|_| !recut) {
                let mut reading = Reading::behind(out.clone(), Arc::clone(&entry));
                let entered = reading.enter();
                debug_assert!(entered, "nobody has made it narrow yet");
                side.reading = Some(Box::new(reading));
            }
        }
        let Some(side) = self.exchanges.get_mut(exchange).and_then(|o| o.cached.as_mut()) else { return };
        side.fill = Some(Arc::clone(&entry));
        self.land_lead(exchange);
        self.pass_piece(exchange, out, rest, taken);
        if recut {
            self.serve_cut(reader, entry);
        } else {
            self.reading_go(reader);
        }
    }

    /// The client asked for a range, and the whole comes in its place: the range is cut from that.
    fn serve_cut(&mut self, reader: Key, entry: Arc<Entry>) {
        let now_ms = self.log.unix_ms;
        let Some(request) = self.take_head(reader) else { return };
        let asked = Asked { bytes: &request.1, head: &request.0 };
        let serve = decide_serve(asked, &entry.record, now_ms).unwrap_or(Serve::Whole);
        self.put_head(reader, request);
        if let Some(side) = self.exchanges.get_mut(reader).and_then(|o| o.cached.as_mut()) {
            side.found = Some(Found { entry, soft_since_ms: None });
        }
        self.serve(reader, &serve);
    }

    /// A piece of an answer whose exchange has no client any more.
    pub(crate) fn fill_piece(&mut self, exchange: Key, data: &[u8]) {
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let object_bytes = ongoing.cache_policy().map_or(0, |policy| policy.object_bytes);
        let Some(side) = ongoing.cached.as_mut() else { return };
        let Some(entry) = side.fill.clone() else { return };
        if data.is_empty() {
            return;
        }
        let mut waiters = std::mem::take(&mut self.waiters);
        entry.body.append(data, &mut waiters);
        self.ring_all(waiters);
        let received = entry.body.length_so_far();
        let too_large = (object_bytes != 0 && received > object_bytes) || received > self.host.hot.bytes_max() / 2;
        let has_room = self.host.hot.make_room();
        if (too_large || !has_room) && entry.body.may_enter() {
            // Nobody else may begin to read it; who does goes on.
            self.host.hot.forget(&entry);
            entry.body.narrow();
            if too_large {
                self.mark_too_large(exchange);
            }
        }
    }

    /// The next ones need not wait for each other in vain.
    fn mark_too_large(&mut self, exchange: Key) {
        let Some(request) = self.take_head(exchange) else { return };
        self.leave_marker(exchange, Asked { bytes: &request.1, head: &request.0 });
        self.put_head(exchange, request);
    }

    /// Whether as much lies ready for the slowest reader as may.
    pub(crate) fn fill_waits(&self, exchange: Key) -> bool {
        let Some(entry) = self.exchanges.get(exchange).and_then(|o| o.cached.as_ref()?.fill.as_ref()) else {
            return false;
        };
        !entry.body.may_enter()
            && entry.body.held() > WINDOW_BYTES
            && entry.body.writer_waits(self.waiter_of(exchange), WINDOW_BYTES / 2)
    }

    /// A reader left or moved on: perhaps there is nobody any more for whom it is worth going on.
    pub(crate) fn fill_rang(&mut self, exchange: Key) {
        let Some(ongoing) = self.exchanges.get(exchange) else { return };
        let Some(side) = ongoing.cached.as_ref() else { return };
        let Some(entry) = side.fill.as_ref() else { return };
        let is_wanted = side.background && entry.body.may_enter() || entry.body.readers() > 0;
        if !is_wanted && !is_worth_ending(ongoing, entry) && entry.body.fail_unless_read() {
            self.row.one(Counter::CacheFillsLeft);
            self.forget_exchange(exchange);
            return;
        }
        self.download_go(exchange);
    }

    /// The exchange that writes an entry ends: the entry is kept if it came whole.
    pub(crate) fn end_fill(&mut self, ongoing: &Ongoing, entry: &Arc<Entry>, joins: Option<Arc<Entry>>) {
        let body = ongoing.core.answer_body;
        let is_over = ongoing.core.stage == Stage::Relaying && ongoing.core.download_done();
        let received = entry.body.length_so_far();
        let end = if is_over { BodyEnd::Whole } else { BodyEnd::Broken };
        let is_whole = is_over && decide_whole(body, end, received, entry.record.part).is_ok();
        let mut waiters = std::mem::take(&mut self.waiters);
        if is_whole {
            entry.body.end(&ongoing.answer_trailers, &mut waiters);
            let joined = joins.and_then(|stored| joined(&stored, entry));
            if joined.is_some() {
                self.host.hot.forget(entry);
            }
            let entry = joined.as_ref().unwrap_or(entry);
            if entry.body.may_enter() && self.host.hot.keep(entry) {
                self.row.one(Counter::CacheStored);
                self.host.store.put(entry);
            }
        } else {
            self.row.one(Counter::CacheFillsFailed);
            self.host.hot.forget(entry);
            entry.body.fail(&mut waiters);
        }
        self.ring_all(waiters);
    }
}

/// Whether what is missing of an answer is worth getting for the sake of the next who asks.
fn is_worth_ending(ongoing: &Ongoing, entry: &Entry) -> bool {
    let Some(policy) = ongoing.cache_policy() else { return false };
    let received = entry.body.length_so_far();
    let Some(length) = entry.record.part.map_or(entry.record.length, |part| Some(part.len())) else { return false };
    let left = length.saturating_sub(received);
    entry.body.may_enter()
        && (left <= policy.coalesce.fill_bytes
            || received.saturating_mul(100) >= length.saturating_mul(u64::from(policy.coalesce.fill_percent)))
}

/// A stored head, parsed; `None` if it is none.
pub(crate) fn parse_stored(head: &[u8]) -> Option<ResponseHead> {
    let mut parsed = ResponseHead::new();
    let limits = HeadLimits { head_bytes: HEAD_BYTES_CEILING, field_count: u32::MAX, ..HeadLimits::default() };
    (parsed.parse(head, &limits) == Ok(Parsed::Complete)).then_some(parsed)
}
