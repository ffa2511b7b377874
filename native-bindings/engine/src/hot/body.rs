//! Content that may still grow: one writer, and readers who each go at their own speed. Whole content is read without a
//! lock (`content.rs`).
//!
//! ```text
//! GROWING   the writer appends; anybody may enter, from the first byte    end → WHOLE, fail → FAILED, narrow → NARROW
//! NARROW    too large to keep: what all readers have passed is dropped,   end → readers come to the end, fail → FAILED
//!           and nobody enters any more; the writer heeds how much is held
//! WHOLE     never changes again
//! FAILED    readers that wait or come back are told so
//! ```

use crate::hot::content::{Content, joined};
use crate::hot::growing::Growing;
use crate::hot::waiter::Waiter;
use crate::slab::Key;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, OnceLock};

/// Names a reader of one body until it leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReaderId(pub(super) Key);

/// What a reader gets.
#[derive(Debug)]
pub enum Read {
    /// Bytes from `from` of the chunk on. `writer`: whoever fills the body waits for readers and may go on.
    Bytes {
        chunk: Arc<[u8]>,
        from: usize,
        writer: Option<Waiter>,
    },
    /// Nothing there yet; the waiter is noted.
    Wait {
        writer: Option<Waiter>,
    },
    End {
        trailers: Arc<[u8]>,
    },
    Failed,
}

const GROWING: u8 = 0;
const NARROW: u8 = 1;
const WHOLE: u8 = 2;
const FAILED: u8 = 3;

/// See the file.
pub struct Body {
    state: AtomicU8,
    whole: OnceLock<Content>,
    growing: Mutex<Option<Box<Growing>>>,
}

impl Body {
    /// Complete at once, as one chunk.
    #[must_use]
    pub fn whole(bytes: &[u8]) -> Self {
        Self::of_chunks(vec![bytes.into()])
    }

    /// Complete at once, of chunks that were made elsewhere.
    #[must_use]
    pub fn of_chunks(chunks: Vec<Arc<[u8]>>) -> Self {
        Self::of_content(Content::of(chunks, Arc::default()))
    }

    /// Complete at once, with trailer fields.
    #[must_use]
    pub fn with_trailers(chunks: Vec<Arc<[u8]>>, trailers: &[u8]) -> Self {
        Self::of_content(Content::of(chunks, trailers.into()))
    }

    fn of_content(content: Content) -> Self {
        Self { state: AtomicU8::new(WHOLE), whole: content.into(), growing: Mutex::new(None) }
    }

    #[must_use]
    pub fn growing() -> Self {
        let growing = Mutex::new(Some(Box::default()));
        Self { state: AtomicU8::new(GROWING), whole: OnceLock::new(), growing }
    }

    /// Bytes that came. Those who wait are moved into `out`.
    pub fn append(&self, bytes: &[u8], out: &mut Vec<Waiter>) {
        if bytes.is_empty() {
            return;
        }
        let chunk: Arc<[u8]> = bytes.into();
        let small = {
            let mut lock = self.growing.lock();
            let Some(growing) = lock.as_deref_mut() else { return };
            growing.append(chunk, out);
            growing.small_chunks()
        };
        // Copied outside of the lock: only the writer adds chunks.
        if let Some((start, chunks)) = small {
            let one = crate::hot::content::join(&chunks);
            if let Some(growing) = self.growing.lock().as_deref_mut() {
                growing.replace(start, chunks.len(), one);
            }
        }
    }

    /// It is whole; `trailers` are the lines of its trailer fields.
    pub fn end(&self, trailers: &[u8], out: &mut Vec<Waiter>) {
        let chunks = self.growing.lock().as_deref().and_then(Growing::all_chunks);
        let content = chunks.map(|chunks| Content::of(joined(chunks), trailers.into()));
        let mut lock = self.growing.lock();
        let Some(growing) = lock.as_deref_mut() else { return };
        match content {
            Some(content) => {
                let _ = self.whole.set(content);
                self.state.store(WHOLE, Release);
                growing.become_whole(out);
            }
            None => growing.end(trailers.into(), out),
        }
    }

    /// It will never be whole.
    pub fn fail(&self, out: &mut Vec<Waiter>) {
        let mut lock = self.growing.lock();
        if let Some(growing) = lock.as_deref_mut().filter(|_| self.whole.get().is_none()) {
            self.state.store(FAILED, Release);
            growing.fail(out);
        }
    }

    /// The same, unless somebody reads it or it is whole: whether it failed by this. Nobody comes in between.
    #[must_use]
    pub fn fail_unless_read(&self) -> bool {
        let mut lock = self.growing.lock();
        let unread = lock.as_deref_mut().filter(|growing| growing.readers() == 0 && self.whole.get().is_none());
        let Some(growing) = unread else { return false };
        self.state.store(FAILED, Release);
        growing.fail(&mut Vec::new());
        true
    }

    /// A worker is lost: its readers leave, and what it wrote fails. Those who wait are moved into `out`.
    pub(super) fn lose_worker(&self, worker: u32, out: &mut Vec<Waiter>) {
        let is_writer = self.growing.lock().as_deref_mut().is_some_and(|growing| growing.lose_worker(worker, out));
        if is_writer {
            self.fail(out);
        }
    }

    /// The content, if it is whole. Takes no lock.
    #[must_use]
    #[inline]
    pub fn whole_content(&self) -> Option<&Content> {
        self.whole.get()
    }

    #[must_use]
    pub fn length_so_far(&self) -> u64 {
        match self.whole.get() {
            Some(content) => content.length(),
            None => self.growing.lock().as_deref().map_or(0, Growing::length),
        }
    }

    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state.load(Acquire) == FAILED
    }

    /// Whether a request that comes now may be given it: it is whole, or all that came is still there.
    #[must_use]
    #[inline]
    pub fn may_enter(&self) -> bool {
        matches!(self.state.load(Acquire), GROWING | WHOLE)
    }

    /// A reader from the first byte. `None`: too late, it was made narrow or failed.
    #[must_use]
    pub fn enter(&self) -> Option<ReaderId> {
        let mut lock = self.growing.lock();
        match lock.as_deref_mut() {
            Some(growing) if self.whole.get().is_none() => growing.enter(),
            _ => self.whole.get().map(|_| ReaderId(Key::NONE)),
        }
    }

    /// A reader leaves. Returns the writer if it wants to know: the last reader left, or the window opened.
    #[must_use]
    pub fn leave(&self, reader: ReaderId) -> Option<Waiter> {
        self.growing.lock().as_deref_mut().and_then(|growing| growing.leave(reader))
    }

    /// What is there from byte `at` on; everything before it the reader has done with.
    #[must_use]
    pub fn read(&self, reader: ReaderId, at: u64, waiter: Waiter) -> Read {
        if let Some(content) = self.whole.get() {
            return read_whole(content, at);
        }
        let mut lock = self.growing.lock();
        match (self.whole.get(), lock.as_deref_mut()) {
            (Some(content), _) => read_whole(content, at),
            (None, Some(growing)) => growing.read(reader, at, waiter),
            (None, None) => Read::Failed,
        }
    }

    #[must_use]
    pub fn readers(&self) -> u32 {
        self.growing.lock().as_deref().map_or(0, Growing::readers)
    }

    /// It turned out too large to keep: what all readers have passed is dropped from now on, and nobody may enter.
    pub fn narrow(&self) {
        let mut lock = self.growing.lock();
        if let Some(growing) = lock.as_deref_mut().filter(|_| self.may_enter() && self.whole.get().is_none()) {
            self.state.store(NARROW, Release);
            growing.narrow();
        }
    }

    /// Bytes that are held for the slowest reader. None unless it is narrow: what is kept anyway holds up nobody.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.growing.lock().as_deref().map_or(0, Growing::held)
    }

    /// Whom to ring when the last reader leaves.
    pub fn set_writer(&self, writer: Waiter) {
        if let Some(growing) = self.growing.lock().as_deref_mut() {
            growing.set_writer(writer);
        }
    }

    /// Notes whom to ring when less than `below` is held. `false`: that is so already.
    #[must_use]
    pub fn writer_waits(&self, waiter: Waiter, below: u64) -> bool {
        self.growing.lock().as_deref_mut().is_some_and(|growing| growing.writer_waits(waiter, below))
    }

    /// From now on the bytes of a growing body count there, until it is weighed or gone.
    pub(super) fn count_in(&self, meter: &Arc<AtomicU64>) {
        if let Some(growing) = self.growing.lock().as_deref_mut() {
            growing.count_in(meter);
        }
    }

    /// It is weighed elsewhere from now on.
    pub(super) fn uncount(&self) {
        debug_assert!(self.whole.get().is_some());
        let growing = self.growing.lock().take();
        drop(growing);
    }
}

fn read_whole(content: &Content, at: u64) -> Read {
    if at >= content.length() {
        return Read::End { trailers: Arc::clone(content.trailers()) };
    }
    let (chunk, from) = content.chunk_at(at);
    Read::Bytes { chunk: Arc::clone(chunk), from, writer: None }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
