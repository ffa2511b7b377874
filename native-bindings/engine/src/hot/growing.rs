//! A body while it grows: its chunks, who reads it and how far, and who waits. All of it under the body's lock.

use crate::hot::body::{Read, ReaderId};
use crate::hot::content::CHUNK_BYTES_MIN;
use crate::hot::waiter::Waiter;
use crate::slab::Slab;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A chunk smaller than this is joined with the next when that is not much larger, so that a body that comes in drops
/// is not held as drops.
const DROP_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    #[default]
    Open,
    Ended,
    Failed,
    /// Its content is elsewhere.
    Whole,
}

struct Reader {
    at: u64,
    waiter: Option<Waiter>,
    /// Known from when it read first.
    worker: Option<u32>,
}

/// See the file.
#[derive(Default)]
pub(super) struct Growing {
    stage: Stage,
    /// Each with where it starts.
    chunks: VecDeque<(u64, Arc<[u8]>)>,
    length: u64,
    readers: Slab<Reader>,
    narrow: bool,
    /// Where the slowest reader is, and how many are there.
    slowest: (u64, u32),
    trailers: Arc<[u8]>,
    writer: Option<Waiter>,
    /// The writer waits until less than so much is held.
    writer_below: Option<(Waiter, u64)>,
    meter: Option<Arc<AtomicU64>>,
    counted: u64,
}

impl Growing {
    pub(super) fn append(&mut self, chunk: Arc<[u8]>, out: &mut Vec<Waiter>) {
        debug_assert!(self.stage == Stage::Open);
        let start = self.length;
        self.length += chunk.len() as u64;
        // Of a narrow body without readers nothing is held.
        if !self.narrow || !self.readers.is_empty() {
            self.push(start, chunk);
        }
        self.recount();
        self.ring_readers(out);
    }

    fn push(&mut self, mut start: u64, mut chunk: Arc<[u8]>) {
        while let Some((before, last)) = self.chunks.back() {
            if last.len() >= DROP_BYTES || last.len() > 2 * chunk.len() {
                break;
            }
            chunk = crate::hot::content::join(&[Arc::clone(last), chunk]);
            start = *before;
            self.chunks.pop_back();
        }
        self.chunks.push_back((start, chunk));
    }

    /// The chunks at the end that are large enough together to be one, and where they start.
    pub(super) fn small_chunks(&self) -> Option<(u64, Vec<Arc<[u8]>>)> {
        if self.narrow {
            return None;
        }
        let is_small = |(_, chunk): &&(u64, Arc<[u8]>)| chunk.len() < CHUNK_BYTES_MIN;
        let count = self.chunks.iter().rev().take_while(is_small).count();
        let small = || self.chunks.iter().skip(self.chunks.len() - count);
        let bytes: usize = small().map(|(_, chunk)| chunk.len()).sum();
        if count < 2 || bytes < CHUNK_BYTES_MIN {
            return None;
        }
        small().next().map(|(start, _)| (*start, small().map(|(_, chunk)| Arc::clone(chunk)).collect()))
    }

    /// `count` chunks from `start` on are this one now.
    pub(super) fn replace(&mut self, start: u64, count: usize, one: Arc<[u8]>) {
        let Ok(place) = self.chunks.binary_search_by_key(&start, |(start, _)| *start) else { return };
        self.chunks.drain(place..place + count);
        self.chunks.insert(place, (start, one));
    }

    /// All of it, unless some was dropped or it is over.
    pub(super) fn all_chunks(&self) -> Option<Vec<Arc<[u8]>>> {
        let has_all = self.stage == Stage::Open && !self.narrow;
        has_all.then(|| self.chunks.iter().map(|(_, chunk)| Arc::clone(chunk)).collect())
    }

    pub(super) fn become_whole(&mut self, out: &mut Vec<Waiter>) {
        self.stage = Stage::Whole;
        self.ring_readers(out);
        self.chunks = VecDeque::new();
        self.readers = Slab::default();
        (self.writer, self.writer_below) = (None, None);
    }

    pub(super) fn end(&mut self, trailers: Arc<[u8]>, out: &mut Vec<Waiter>) {
        if self.stage == Stage::Open {
            (self.stage, self.trailers) = (Stage::Ended, trailers);
            self.ring_readers(out);
        }
    }

    pub(super) fn fail(&mut self, out: &mut Vec<Waiter>) {
        self.stage = Stage::Failed;
        self.chunks.clear();
        self.recount();
        self.ring_readers(out);
    }

    fn ring_readers(&mut self, out: &mut Vec<Waiter>) {
        out.extend(self.readers.values_mut().filter_map(|reader| reader.waiter.take()));
    }

    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn readers(&self) -> u32 {
        u32::try_from(self.readers.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn enter(&mut self) -> Option<ReaderId> {
        if self.narrow || self.stage != Stage::Open {
            return None;
        }
        self.slowest = if self.slowest.0 == 0 { (0, self.slowest.1 + 1) } else { (0, 1) };
        Some(ReaderId(self.readers.insert(Reader { at: 0, waiter: None, worker: None })))
    }

    pub(super) fn leave(&mut self, reader: ReaderId) -> Option<Waiter> {
        let gone = self.readers.remove(reader.0)?;
        self.passed(gone.at);
        let opened = self.opened_window();
        if self.readers.is_empty() { opened.or(self.writer) } else { opened }
    }

    pub(super) fn read(&mut self, reader: ReaderId, at: u64, waiter: Waiter) -> Read {
        if self.stage == Stage::Failed {
            return Read::Failed;
        }
        let Some(known) = self.readers.get_mut(reader.0) else { return Read::Failed };
        debug_assert!(at >= known.at && at <= self.length, "a reader neither goes back nor leaves bytes out");
        let before = std::mem::replace(&mut known.at, at);
        known.worker = Some(waiter.worker);
        known.waiter = (at >= self.length && self.stage == Stage::Open).then_some(waiter);
        if before != at {
            self.passed(before);
        }
        let writer = self.opened_window();
        if at < self.length {
            let place = self.chunks.partition_point(|(start, _)| *start <= at).saturating_sub(1);
            let Some((start, chunk)) = self.chunks.get(place) else { return Read::Failed };
            return Read::Bytes { chunk: Arc::clone(chunk), from: (at - start) as usize, writer };
        }
        match self.stage {
            Stage::Ended => Read::End { trailers: Arc::clone(&self.trailers) },
            _ => Read::Wait { writer },
        }
    }

    /// A reader is no longer at `at`.
    fn passed(&mut self, at: u64) {
        if at == self.slowest.0 {
            self.slowest.1 = self.slowest.1.saturating_sub(1);
            if self.slowest.1 == 0 {
                self.find_slowest();
                self.drop_passed();
            }
        }
    }

    fn find_slowest(&mut self) {
        self.slowest =
            self.readers.values_mut().fold((u64::MAX, 0), |(least, count), reader| match reader.at.cmp(&least) {
                std::cmp::Ordering::Less => (reader.at, 1),
                std::cmp::Ordering::Equal => (least, count + 1),
                std::cmp::Ordering::Greater => (least, count),
            });
    }

    pub(super) fn narrow(&mut self) {
        self.narrow = true;
        self.find_slowest();
        self.drop_passed();
    }

    fn drop_passed(&mut self) {
        if !self.narrow {
            return;
        }
        while let Some((start, chunk)) = self.chunks.front() {
            if start + chunk.len() as u64 > self.slowest.0 {
                break;
            }
            self.chunks.pop_front();
        }
        self.recount();
    }

    pub(super) fn held(&self) -> u64 {
        if !self.narrow || self.stage == Stage::Failed {
            return 0;
        }
        self.length.saturating_sub(self.slowest.0)
    }

    pub(super) fn set_writer(&mut self, writer: Waiter) {
        self.writer = Some(writer);
    }

    /// Readers of a lost worker leave. Whether it was the writer's.
    pub(super) fn lose_worker(&mut self, worker: u32, out: &mut Vec<Waiter>) -> bool {
        for key in self.readers.keys() {
            if self.readers.get(key).is_some_and(|reader| reader.worker == Some(worker)) {
                out.extend(self.leave(ReaderId(key)));
            }
        }
        self.writer.is_some_and(|writer| writer.worker == worker)
    }

    pub(super) fn writer_waits(&mut self, waiter: Waiter, below: u64) -> bool {
        let waits = self.stage == Stage::Open && self.held() >= below;
        self.writer_below = waits.then_some((waiter, below));
        waits
    }

    fn opened_window(&mut self) -> Option<Waiter> {
        let (_, below) = self.writer_below?;
        if self.held() >= below {
            return None;
        }
        self.writer_below.take().map(|(writer, _)| writer)
    }

    pub(super) fn count_in(&mut self, meter: &Arc<AtomicU64>) {
        if self.meter.is_none() {
            self.meter = Some(Arc::clone(meter));
            self.recount();
        }
    }

    /// Counts what is in memory now.
    fn recount(&mut self) {
        let Some(meter) = &self.meter else { return };
        let first = self.chunks.front().map_or(self.length, |(start, _)| *start);
        let now = if self.stage == Stage::Failed { 0 } else { self.length - first };
        // Two's complement: a difference below zero is taken away.
        meter.fetch_add(now.wrapping_sub(self.counted), Relaxed);
        self.counted = now;
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.fetch_sub(self.counted, Relaxed);
        }
    }
}
