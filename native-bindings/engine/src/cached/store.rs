//! Answers on disk. Whoever leads a fetch asks the store first; questions leave once a turn, all in one batch, and the
//! answers come back the same way. What is found goes to memory, where it is judged like everything else.

use crate::cached::fill::parse_stored;
use crate::cached::searches::Searches;
use crate::hot::{Body, Entry, NewEntry};
use crate::io::Io;
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use proto::cache::key::{Target, write_target};
use proto::cache::record::Record;
use proto::cache::vary::VarySet;
use proto::exchange::Stage;
use proto::plan::Plan;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// How long the store is waited for; then the origin is asked.
const STORE_WAIT_MS: u64 = 1_000;

/// What the store keeps of an entry beside its content. Written as MessagePack, a map by field names.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    record: Record,
    vary: VarySet,
    extras: Box<[u8]>,
    variant: Box<[u8]>,
    head: Box<[u8]>,
    tags: Box<[Box<[u8]>]>,
    /// By which purges measure it.
    stamp: u64,
}

/// One stored answer, as the store gives it back.
pub struct StoredVariant<'a> {
    pub meta: &'a [u8],
    pub body: &'a [u8],
    /// Since when a purge has it be stale.
    pub soft_since_ms: Option<u64>,
}

/// Questions to the store that have no answer yet.
#[derive(Default)]
pub(crate) struct Questions {
    asked: HashMap<u32, Key>,
    next: u32,
    /// For the next batch: of each its ticket, the length of its target, and that.
    batch: Vec<u8>,
}

/// What the store is told of an entry.
#[must_use]
pub fn encode_meta(entry: &Entry) -> Vec<u8> {
    let meta = Meta {
        record: entry.record.clone(),
        vary: entry.vary.clone(),
        extras: entry.extras.clone(),
        variant: entry.variant.clone(),
        head: entry.head.clone(),
        tags: entry.tag_names.clone(),
        stamp: entry.content_stamp(),
    };
    rmp_serde::to_vec_named(&meta).unwrap_or_default()
}

/// The keys under which a URL may be stored: one for each way in which routes of the plan make keys.
#[must_use]
pub fn target_keys(plan: &Plan, searches: &Searches, url: &str) -> Vec<Vec<u8>> {
    let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
    let secure = scheme.eq_ignore_ascii_case("https");
    if !secure && !scheme.eq_ignore_ascii_case("http") {
        return Vec::new();
    }
    let rest = rest.split('#').next().unwrap_or(rest);
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, place) = rest.split_at(at);
    let (path, query) = match place.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (place, None),
    };
    let path = if path.is_empty() { b"/" } else { path.as_bytes() };
    let target = Target { secure, host: host.as_bytes(), path, query };
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for policy in plan.routes.iter().filter_map(|route| route.cache.as_ref()) {
        let mut key = Vec::new();
        if !write_target(&target, &policy.key, &mut key) {
            continue;
        }
        if policy.no_vary_search {
            // What was stored before its path said anything lies under the key as it is.
            keys.push(key.clone());
            searches.apply(&mut key);
        }
        keys.push(key);
    }
    keys.sort();
    keys.dedup();
    keys
}

impl<I: Io> Worker<I> {
    /// Asks the store about an exchange that would go to the origin. `false`: there is nobody to ask.
    pub(crate) fn ask_store(&mut self, exchange: Key) -> bool {
        if !self.host.store.is_open() {
            return false;
        }
        let due_ms = self.now_ms() + STORE_WAIT_MS;
        let questions = &mut self.questions;
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return false };
        let Some(side) = ongoing.cached.as_mut() else { return false };
        questions.next = questions.next.wrapping_add(1);
        questions.asked.insert(questions.next, exchange);
        questions.batch.extend_from_slice(&questions.next.to_le_bytes());
        questions.batch.extend_from_slice(&(side.target.len() as u32).to_le_bytes());
        questions.batch.extend_from_slice(&side.target);
        side.ticket = Some(questions.next);
        ongoing.core.stage = Stage::Waiting;
        ongoing.wait_due_ms = due_ms;
        self.row.one(Counter::StoreAsked);
        self.arm_exchange(exchange);
        true
    }

    /// The questions since they were last taken: of each its ticket (u32, little end first), the length of its target
    /// (the same), and the target. Empty = none.
    pub fn take_store_questions(&mut self, out: &mut Vec<u8>) {
        out.clear();
        std::mem::swap(out, &mut self.questions.batch);
    }

    /// What the store has for a question; nothing, if it has nothing or cannot tell.
    pub fn give_store_answer(&mut self, ticket: u32, found: &[StoredVariant<'_>]) {
        let Some(exchange) = self.questions.asked.remove(&ticket) else { return };
        let Some(ongoing) = self.exchanges.get_mut(exchange) else { return };
        let Some(side) = ongoing.cached.as_mut().filter(|side| side.ticket == Some(ticket)) else { return };
        side.ticket = None;
        let (place, target, stamp) = (side.place, side.target.clone(), side.stamp);
        let mut any = false;
        for variant in found {
            let Some(entry) = self.entry_of_store(variant, (place, &target)) else { continue };
            any |= self.host.hot.keep_stored(&entry, stamp);
        }
        if !any {
            self.go_to_origin(exchange);
            return;
        }
        self.row.one(Counter::StoreFound);
        self.land_lead(exchange);
        self.go_on_from_memory(exchange);
    }

    fn entry_of_store(
        &self,
        stored: &StoredVariant<'_>,
        (place, target): (crate::hot::Place, &[u8]),
    ) -> Option<Arc<Entry>> {
        let mut meta: Meta = rmp_serde::from_slice(stored.meta).ok()?;
        if let Some(since_ms) = stored.soft_since_ms {
            meta.record.expire(since_ms);
        }
        let parsed = parse_stored(&meta.head)?;
        let tags = meta.tags.iter().map(|tag| self.host.hot.tag(tag)).collect();
        Some(Entry::new(NewEntry {
            place,
            target: target.into(),
            extras: meta.extras,
            vary: meta.vary,
            variant: meta.variant,
            record: meta.record,
            head: meta.head,
            parsed,
            body: Arc::new(Body::whole(stored.body)),
            tags,
            tag_names: meta.tags,
            stamp: meta.stamp,
        }))
    }

    /// The exchange ends, or waits no more.
    pub(crate) fn forget_question(&mut self, ticket: Option<u32>) {
        if let Some(ticket) = ticket {
            self.questions.asked.remove(&ticket);
        }
    }
}
