//! The border between the engine and the store, which is JavaScript's: what the store is to write, what it is asked, and
//! what it answers, each a batch in one piece of bytes. Numbers are little end first; `src/shared/store-border.ts` is the
//! other half.

use crate::{Running, fault, running};
use engine::cached::store::{StoredVariant, encode_meta, target_keys};
use engine::hot::{Entry, Purge};
use engine::json::{Json, list, quoted};
use engine::store_queue::{Write, variant_id};
use napi::Result;
use napi::bindgen_prelude::{Buffer, Uint8Array};
use napi_derive::napi;
use std::sync::PoisonError;
use std::time::{SystemTime, UNIX_EPOCH};

const PUT: u8 = 0;
const REMOVE: u8 = 1;
const REMOVE_TARGET: u8 = 2;
const REMOVE_TAG: u8 = 3;

fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Says whether the store is open: asked, and told what to write; so many bytes may wait for it.
#[napi(catch_unwind)]
pub fn store_set_open(host: u32, open: bool, queue_bytes: f64) -> Result<()> {
    running(host)?.host.store.set_open(open, queue_bytes as u64);
    Ok(())
}

/// Takes what the store is to write, up to about so many bytes; null = nothing waits.
#[napi(catch_unwind)]
pub fn store_take(host: u32, bytes_max: u32) -> Result<Option<Buffer>> {
    let running = running(host)?;
    let mut out = Vec::new();
    for write in running.host.store.take(u64::from(bytes_max)) {
        match &write {
            // One that was removed after it was handed over is not written: its removal may be before it in the batch.
            Write::Put(entry) if entry.is_dead() => {}
            Write::Put(entry) => write_put(&mut out, entry),
            Write::Remove { target, variant } => {
                out.push(REMOVE);
                write_bytes(&mut out, target);
                write_bytes(&mut out, variant);
            }
            Write::RemoveTarget { target, stamp } => {
                out.push(REMOVE_TARGET);
                out.extend_from_slice(&(*stamp as f64).to_le_bytes());
                write_bytes(&mut out, target);
            }
            Write::RemoveTag { tag, stamp } => {
                out.push(REMOVE_TAG);
                out.extend_from_slice(&(*stamp as f64).to_le_bytes());
                write_bytes(&mut out, tag);
            }
        }
    }
    Ok((!out.is_empty()).then(|| out.into()))
}

/// Nothing, if its content is not whole after all.
fn write_put(out: &mut Vec<u8>, entry: &Entry) {
    let Some(content) = entry.body.whole_content() else { return };
    out.push(PUT);
    // Microseconds since 1970 for some centuries: a double holds them exactly.
    out.extend_from_slice(&(entry.stamp as f64).to_le_bytes());
    write_bytes(out, &entry.target);
    write_bytes(out, &variant_id(entry));
    write_bytes(out, &encode_meta(entry));
    out.extend_from_slice(&(entry.tag_names.len() as u32).to_le_bytes());
    for tag in &entry.tag_names {
        write_bytes(out, tag);
    }
    out.extend_from_slice(&(content.length() as f64).to_le_bytes());
    let mut at = 0;
    while at < content.length() {
        let piece = content.at(at);
        out.extend_from_slice(piece);
        at += piece.len() as u64;
    }
}

/// Entries that wait for the store, and writes that found no room.
#[napi(catch_unwind)]
pub fn store_waiting(host: u32) -> Result<Vec<f64>> {
    let running = running(host)?;
    Ok(vec![running.host.store.len() as f64, running.host.store.lost() as f64])
}

/// What the store has for questions of a worker: of each its ticket, how many variants, and of each variant since when it
/// is stale by a purge (a double, ms since 1970; 0 = it is not), its meta and its body.
#[napi(catch_unwind)]
pub fn store_answer(host: u32, worker: u32, answers: Uint8Array) -> Result<()> {
    let running = running(host)?;
    let waiting = running.answers.get(worker as usize).ok_or_else(|| fault("there is no such worker"))?;
    waiting.lock().unwrap_or_else(PoisonError::into_inner).push(answers.to_vec());
    running.sys.ring(worker);
    Ok(())
}

/// A batch of answers, read from its beginning.
struct Answers<'a>(&'a [u8]);

impl<'a> Answers<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length as usize)
    }

    fn variant(&mut self) -> Option<StoredVariant<'a>> {
        let since_ms = f64::from_le_bytes(self.take(8)?.try_into().ok()?) as u64;
        let soft_since_ms = Some(since_ms).filter(|since| *since != 0);
        Some(StoredVariant { soft_since_ms, meta: self.bytes()?, body: self.bytes()? })
    }

    fn answer(&mut self) -> Option<(u32, Vec<StoredVariant<'a>>)> {
        let ticket = self.number()?;
        let count = self.number()?;
        Some((ticket, (0..count).map_while(|_| self.variant()).collect()))
    }
}

/// Hands each answer of these batches to the worker they are for.
pub(crate) fn for_each_answer(running: &Running, worker: u32, mut give: impl FnMut(u32, &[StoredVariant<'_>])) {
    let Some(waiting) = running.answers.get(worker as usize) else { return };
    let batches = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
    for batch in batches {
        let mut answers = Answers(&batch);
        while let Some((ticket, found)) = answers.answer() {
            give(ticket, &found);
        }
    }
}

/// The keys under which a URL may be stored, as bytes; empty = no route caches, or it is no URL.
#[napi(catch_unwind)]
pub fn cache_keys(host: u32, url: String) -> Result<Vec<Buffer>> {
    let host = &running(host)?.host;
    Ok(target_keys(&host.plan(), &host.searches, &url).into_iter().map(Buffer::from).collect())
}

/// Purges memory; what is not newer than the clock that is returned is gone, or stale if it is soft. `what` is `target`,
/// `prefix`, `tag` or `all`.
#[napi(catch_unwind)]
pub fn cache_purge(host: u32, what: String, name: Uint8Array, soft: bool) -> Result<f64> {
    let running = running(host)?;
    let name: Box<[u8]> = name.to_vec().into();
    let purge = match what.as_str() {
        "target" => Purge::Url(name),
        "prefix" => Purge::Prefix(name),
        "tag" => Purge::Tag(name),
        "all" => Purge::Everything,
        _ => return Err(fault("a purge is of a target, a prefix, a tag or all")),
    };
    let now_us = unix_us();
    let stamp = running.host.hot.stamp(now_us);
    running.host.hot.purge(&purge, soft, stamp, now_us / 1000);
    Ok(stamp as f64)
}

/// What memory holds of a target, as a JSON list.
#[napi(catch_unwind)]
pub fn cache_entries(host: u32, target: Uint8Array) -> Result<String> {
    let running = running(host)?;
    let now_ms = unix_us() / 1000;
    Ok(list(running.host.hot.variants_of(&target), |entry| {
        let record = &entry.record;
        let tags = list(entry.tag_names.iter(), |tag| quoted(tag));
        let stale = entry.soft_since_ms().is_some() || !record.is_fresh(now_ms);
        Json::default()
            .text("variant", &String::from_utf8_lossy(&entry.variant))
            .number("status", record.status)
            .number("ageS", record.age_s(now_ms))
            .raw("ttlS", &record.ttl_s(now_ms).to_string())
            .flag("stale", stale)
            .number("hits", entry.hits())
            .number("bytes", entry.weight())
            .raw("tags", &tags)
            .end()
    }))
}

/// The targets with most hits, as a JSON list.
#[napi(catch_unwind)]
pub fn cache_top(host: u32, count: u32) -> Result<String> {
    let running = running(host)?;
    Ok(list(running.host.hot.top(count as usize), |row| {
        Json::default()
            .text("target", &String::from_utf8_lossy(&row.target))
            .number("hits", row.hits)
            .number("bytes", row.bytes)
            .end()
    }))
}
