//! How long a target keeps idle connections: as far as it said so, and as far as its closes showed. Is told what came;
//! never closes a connection itself.
//!
//! A close alone shows no habit: a restart closes connections that had rested any time. So closes are heard like this:
//! - What rested while another was closed belongs to the same event. An event has one voice, or none when its closes
//!   differ: it was a restart then, and what its first close made believed is taken back.
//! - Two events that agree are believed.
//! - What is believed is forgotten after a while. We close first by then, so nothing would ever say that it is outdated.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Shorter idle times are not learned: no origin closes so soon on purpose.
const LEARNED_IDLE_MS_MIN: u32 = 100;
/// We leave a connection this part of its time earlier than its origin; closes whose times differ by no more agree.
const MARGIN_PART: u64 = 5;
/// How long closes are believed, and how long one may wait for another to agree. An origin with such a habit shows it
/// anew by two closes in so long a time; one that was only restarted has its reuse back.
const BELIEVED_MS: u64 = 10 * 60 * 1000;

#[derive(Default)]
pub struct LearnedIdle {
    /// 0 = unknown.
    told_ms: AtomicU32,
    seen_ms: AtomicU32,
    /// Monotonic ms at which `seen_ms` is forgotten.
    seen_until_ms: AtomicU64,
    closes: Mutex<Closes>,
}

#[derive(Default)]
struct Closes {
    /// The present event.
    event: Option<Event>,
    /// The last one before it that had a voice.
    witness: Option<Voice>,
}

#[derive(Clone, Copy)]
struct Event {
    began_ms: u64,
    /// The shortest idle time of its closes; `None`: they differ.
    idle_ms: Option<u64>,
    /// What was believed before it, and until when.
    before: (u32, u64),
}

#[derive(Clone, Copy)]
struct Voice {
    at_ms: u64,
    idle_ms: u64,
}

impl LearnedIdle {
    /// The target closed a connection that rested since then.
    pub fn handle_closed(&self, since_ms: u64, now_ms: u64) {
        let mut closes = self.closes.lock();
        let idle_ms = now_ms.saturating_sub(since_ms);
        if let Some(event) = closes.event.as_mut().filter(|event| since_ms < event.began_ms) {
            event.idle_ms = event.idle_ms.filter(|known| agree(*known, idle_ms)).map(|known| known.min(idle_ms));
            if event.idle_ms.is_none() {
                self.believe(event.before);
            }
            return;
        }
        if let Some(Event { began_ms: at_ms, idle_ms: Some(idle_ms), .. }) = closes.event {
            closes.witness = Some(Voice { at_ms, idle_ms });
        }
        let before = (self.seen_ms.load(Relaxed), self.seen_until_ms.load(Relaxed));
        let idle_ms = Some(idle_ms).filter(|idle_ms| leave_after(*idle_ms) >= LEARNED_IDLE_MS_MIN);
        closes.event = Some(Event { began_ms: now_ms, idle_ms, before });
        if let (Some(idle_ms), Some(witness)) = (idle_ms, closes.witness) {
            if agree(idle_ms, witness.idle_ms) && now_ms.saturating_sub(witness.at_ms) <= BELIEVED_MS {
                let leaves_ms = leave_after(idle_ms.min(witness.idle_ms));
                let known_ms = self.seen_ms(now_ms);
                if known_ms == 0 || leaves_ms <= known_ms {
                    self.believe((leaves_ms, now_ms + BELIEVED_MS));
                }
            }
        }
    }

    fn believe(&self, (idle_ms, until_ms): (u32, u64)) {
        self.seen_until_ms.store(until_ms, Relaxed);
        self.seen_ms.store(idle_ms, Relaxed);
    }

    /// What closes showed; 0 = nothing, or too long ago.
    fn seen_ms(&self, now_ms: u64) -> u32 {
        if now_ms < self.seen_until_ms.load(Relaxed) { self.seen_ms.load(Relaxed) } else { 0 }
    }

    /// The target said how long it keeps idle connections.
    pub fn handle_told(&self, keeps_ms: u32) {
        if self.told_ms.load(Relaxed) != keeps_ms {
            self.told_ms.store(keeps_ms, Relaxed);
        }
    }

    /// The shorter of what it said and what its closes showed: a promise does not undo an observation. 0 = unknown.
    #[must_use]
    pub fn known_ms(&self, now_ms: u64) -> u32 {
        match (self.told_ms.load(Relaxed), self.seen_ms(now_ms)) {
            (told, 0) => told,
            (0, seen) => seen,
            (told, seen) => told.min(seen),
        }
    }

    /// How long a connection may rest, given what the operator allows.
    #[must_use]
    pub fn idle_ms(&self, configured_ms: u32, now_ms: u64) -> u32 {
        match self.known_ms(now_ms) {
            0 => configured_ms,
            known => known.min(configured_ms),
        }
    }
}

fn agree(one_ms: u64, other_ms: u64) -> bool {
    one_ms.abs_diff(other_ms) <= one_ms.max(other_ms) / MARGIN_PART
}

/// When to leave a connection that the origin would close after `idle_ms`.
fn leave_after(idle_ms: u64) -> u32 {
    u32::try_from(idle_ms - idle_ms / MARGIN_PART).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "learned_tests.rs"]
mod tests;
