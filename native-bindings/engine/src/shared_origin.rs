//! What all workers share about a target's connections of HTTP/2: which there are, how many streams each may still carry,
//! and who waits for one that is being opened. The session itself is its owner's (`origin_sessions.rs`); whoever opens a
//! stream does so through the handle here.
//!
//! A connection's count of streams and the word that it takes no more are one number, so that nobody gets a stream on a
//! connection whose owner has just found it idle and closes it.

use crate::http2::bell::Bell;
use crate::slab::Key;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::Request;
use parking_lot::{Mutex, RwLock};
use proto::fault::OriginFault;
use proto::identity::Bound;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed,
    Ordering::Release,
};

/// In `streams`: it takes no more.
const CLOSING: u32 = 1 << 31;

/// How a session ended, as its streams need to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Lost {
    /// It did not.
    No = 0,
    /// The peer closed the connection.
    Closed = 1,
    Reset = 2,
    /// What came is not HTTP/2, and never was.
    Mismatch = 3,
    /// The peer said by an alert of TLS that it does not want us.
    TurnedAway = 4,
}

/// One connection that speaks HTTP/2, as every worker sees it.
pub struct SharedOrigin {
    pub owner: u32,
    /// What the request that it was opened for brought to its identity.
    pub bound: Option<Box<Bound>>,
    pub https: bool,
    /// Its certificate, where it may be asked whether it is good for another name.
    pub certificate: Option<CertificateDer<'static>>,
    /// Opened ahead of any request.
    pub ahead: bool,
    /// Requests it may carry; 0 = no limit.
    used_max: u64,
    used: AtomicU64,
    bell: Arc<Bell>,
    handle: Mutex<Option<SendRequest<Bytes>>>,
    streams: AtomicU32,
    /// 1 before its peer has said.
    streams_max: AtomicU32,
    /// The peer's SETTINGS are here.
    ready: AtomicBool,
    /// The peer knows the extended CONNECT (RFC 8441).
    connects: AtomicBool,
    /// The last stream whose head left.
    opened: AtomicU32,
    /// Streams that the peer reset behind the end of their answers.
    complete: Mutex<Vec<u32>>,
    lost: AtomicU8,
}

impl SharedOrigin {
    #[must_use]
    pub fn new(owner: u32, bell: Arc<Bell>, handle: SendRequest<Bytes>, used_max: u64) -> Self {
        Self {
            owner,
            bound: None,
            https: false,
            certificate: None,
            ahead: false,
            used_max,
            used: AtomicU64::new(0),
            bell,
            handle: Mutex::new(Some(handle)),
            streams: AtomicU32::new(0),
            streams_max: AtomicU32::new(1),
            ready: AtomicBool::new(false),
            connects: AtomicBool::new(false),
            opened: AtomicU32::new(0),
            complete: Mutex::default(),
            lost: AtomicU8::new(0),
        }
    }

    /// Takes a place for one stream. `None`: it has none to give. Else how many requests it carried before.
    pub fn take_stream(&self) -> Option<u64> {
        let max = self.streams_max.load(Relaxed);
        let grow = |now: u32| (now < max.min(CLOSING)).then_some(now + 1);
        self.streams.fetch_update(AcqRel, Relaxed, grow).ok()?;
        let before = self.used.fetch_add(1, Relaxed);
        if self.used_max != 0 && before + 1 >= self.used_max {
            self.close();
        }
        Some(before)
    }

    /// Gives the place back. The owner is told when that was the last.
    fn give_stream(&self) {
        let before = self.streams.fetch_sub(1, AcqRel);
        if before & !CLOSING == 1 {
            self.bell.ring();
        }
    }

    #[must_use]
    pub fn streams(&self) -> u32 {
        self.streams.load(Acquire) & !CLOSING
    }

    #[must_use]
    pub fn has_room(&self) -> bool {
        self.streams.load(Relaxed) < self.streams_max.load(Relaxed).min(CLOSING)
    }

    /// No more streams; those under way go on.
    pub fn close(&self) {
        self.streams.fetch_or(CLOSING, AcqRel);
        self.bell.ring();
    }

    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.streams.load(Acquire) & CLOSING != 0
    }

    /// Closes it unless it has a stream. Returns whether it is closed by that, or was.
    pub fn close_if_idle(&self) -> bool {
        let closed = self.streams.compare_exchange(0, CLOSING, AcqRel, Acquire);
        closed.is_ok() || closed == Err(CLOSING)
    }

    /// Lets go of the handle, without which the session ends as soon as nothing is under way.
    pub fn let_go(&self) {
        let handle = self.handle.lock().take();
        drop(handle);
    }

    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// It has carried all that it may.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.used_max != 0 && self.used() >= self.used_max
    }

    #[must_use]
    pub fn connects(&self) -> bool {
        self.connects.load(Relaxed)
    }

    /// Takes what the peer's SETTINGS say.
    pub fn take_settings(&self) {
        let handle = self.handle.lock();
        let Some(handle) = handle.as_ref() else { return };
        let max = u32::try_from(handle.current_max_send_streams()).unwrap_or(u32::MAX);
        self.streams_max.store(max, Relaxed);
        self.connects.store(handle.is_extended_connect_protocol_enabled(), Relaxed);
        self.ready.store(true, Release);
    }

    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Acquire)
    }

    /// Opens a stream for a request that has a place.
    pub fn open(&self, request: Request<()>, end: bool) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let Some(mut handle) = self.handle.lock().clone() else { return Err(Reason::REFUSED_STREAM.into()) };
        handle.send_request(request, end)
    }

    /// Rings its owner's bell.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// The owner sent heads up to this stream.
    pub fn set_opened(&self, stream: u32) {
        self.opened.store(stream, Release);
    }

    /// Whether nothing of a stream ever left.
    #[must_use]
    pub fn never_left(&self, stream: u32) -> bool {
        stream > self.opened.load(Acquire)
    }

    /// Notes streams whose answers are complete although they were reset. Said before they learn of it.
    pub fn note_complete(&self, streams: &mut Vec<u32>) {
        if !streams.is_empty() {
            self.complete.lock().append(streams);
        }
    }

    /// Whether a reset stream's answer is complete; asked once.
    #[must_use]
    pub fn take_complete(&self, stream: u32) -> bool {
        let mut complete = self.complete.lock();
        let place = complete.iter().position(|one| *one == stream);
        place.map(|place| complete.swap_remove(place)).is_some()
    }

    /// It is over. Said before its streams learn of it.
    pub fn set_lost(&self, lost: Lost) {
        self.streams.fetch_or(CLOSING, AcqRel);
        let _ = self.lost.compare_exchange(0, lost as u8, AcqRel, Relaxed);
    }

    #[must_use]
    pub fn lost(&self) -> Lost {
        let all = [Lost::No, Lost::Closed, Lost::Reset, Lost::Mismatch, Lost::TurnedAway];
        all[usize::from(self.lost.load(Acquire)) % all.len()]
    }
}

/// A place on a connection; given back when it is dropped, whoever dropped it.
pub struct StreamPlace(pub Arc<SharedOrigin>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.give_stream();
    }
}

/// What an opening came to, for those who waited for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// It speaks HTTP/2 and has said how many streams it takes; or it is gone for no fault of the target's: ask again.
    Again,
    Failed(OriginFault),
}

/// A connection that is being opened and may come to speak HTTP/2.
#[derive(Default)]
pub struct Opening {
    pub bound: Option<Box<Bound>>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    exchanges: Vec<(u32, Key)>,
    outcome: Option<Opened>,
}

impl Opening {
    fn of(bound: Option<Box<Bound>>) -> Arc<Self> {
        Arc::new(Self { bound, ..Self::default() })
    }

    /// Joins those who wait; false when it is settled.
    pub fn join(&self, worker: u32, exchange: Key) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.outcome.is_none() {
            waiting.exchanges.push((worker, exchange));
        }
        waiting.outcome.is_none()
    }

    /// Settles it. Returns who waited; nobody when it was settled before.
    pub fn settle(&self, outcome: Opened) -> Vec<(u32, Key)> {
        let mut waiting = self.waiting.lock();
        if waiting.outcome.is_some() {
            return Vec::new();
        }
        waiting.outcome = Some(outcome);
        std::mem::take(&mut waiting.exchanges)
    }

    #[must_use]
    pub fn outcome(&self) -> Option<Opened> {
        self.waiting.lock().outcome
    }
}

/// What `join_or_begin` came to.
pub enum Joined {
    Theirs(Arc<Opening>),
    Own(Arc<Opening>),
}

fn find_opening(openings: &[Arc<Opening>], worker: u32, exchange: Key, bound: Option<&Bound>) -> Option<Arc<Opening>> {
    openings.iter().filter(|one| one.bound.as_deref() == bound).find(|one| one.join(worker, exchange)).cloned()
}

/// A target's connections of HTTP/2.
#[derive(Default)]
pub struct Multiplexed {
    /// Length of `connections`, readable without its lock.
    any: AtomicU32,
    connections: RwLock<Vec<Arc<SharedOrigin>>>,
    opening: Mutex<Vec<Arc<Opening>>>,
    /// ALPN settled on HTTP/1 when a connection was last opened.
    fell_back: AtomicBool,
}

impl Multiplexed {
    /// The first connection for which `which` holds that has a place for a stream, the worker's own before others'; with
    /// the place, and how many requests it carried before.
    pub fn take_stream(&self, worker: u32, which: impl Fn(&SharedOrigin) -> bool) -> Option<(StreamPlace, u64)> {
        if self.any.load(Relaxed) == 0 {
            return None;
        }
        let connections = self.connections.read();
        let found = |own: bool| {
            let fitting = connections.iter().filter(|one| (one.owner == worker) == own && one.has_room() && which(one));
            let taken =
                |one: &Arc<SharedOrigin>| one.take_stream().map(|before| (StreamPlace(Arc::clone(one)), before));
            fitting.filter_map(taken).next()
        };
        found(true).or_else(|| found(false))
    }

    pub fn add(&self, shared: &Arc<SharedOrigin>) {
        let mut connections = self.connections.write();
        connections.push(Arc::clone(shared));
        self.any.store(connections.len() as u32, Relaxed);
    }

    pub fn remove(&self, shared: &Arc<SharedOrigin>) {
        let mut connections = self.connections.write();
        connections.retain(|one| !Arc::ptr_eq(one, shared));
        self.any.store(connections.len() as u32, Relaxed);
    }

    /// Takes out every connection of a worker that died.
    pub fn take_all_of(&self, worker: u32) -> Vec<Arc<SharedOrigin>> {
        let mut connections = self.connections.write();
        let (taken, kept) = connections.drain(..).partition(|one| one.owner == worker);
        *connections = kept;
        self.any.store(connections.len() as u32, Relaxed);
        taken
    }

    /// Whether a connection has a place for a stream now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.all().iter().any(|one| one.has_room())
    }

    /// Every connection there is.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<SharedOrigin>> {
        if self.any.load(Relaxed) == 0 { Vec::new() } else { self.connections.read().clone() }
    }

    /// Joins an opening under way that is for the same. `None`: there is none to wait for.
    pub fn join(&self, worker: u32, exchange: Key, bound: Option<&Bound>) -> Option<Arc<Opening>> {
        find_opening(&self.opening.lock(), worker, exchange, bound)
    }

    /// As `join`; where there is nothing to join, an opening begins that is the exchange's own, so that of two who come at
    /// once one opens and one waits.
    pub fn join_or_begin(&self, worker: u32, exchange: Key, bound: Option<&Bound>) -> Joined {
        let mut openings = self.opening.lock();
        if let Some(opening) = find_opening(&openings, worker, exchange, bound) {
            return Joined::Theirs(opening);
        }
        let opening = Opening::of(bound.cloned().map(Box::new));
        openings.push(Arc::clone(&opening));
        Joined::Own(opening)
    }

    pub fn begin_opening(&self, bound: Option<Box<Bound>>) -> Arc<Opening> {
        let opening = Opening::of(bound);
        self.opening.lock().push(Arc::clone(&opening));
        opening
    }

    pub fn end_opening(&self, opening: &Arc<Opening>) {
        self.opening.lock().retain(|one| !Arc::ptr_eq(one, opening));
    }

    #[must_use]
    pub fn fell_back(&self) -> bool {
        self.fell_back.load(Relaxed)
    }

    pub fn set_fell_back(&self, fell_back: bool) {
        self.fell_back.store(fell_back, Relaxed);
    }
}

#[cfg(test)]
#[path = "shared_origin_tests.rs"]
mod tests;
