//! Whether the workers' books agree with themselves, with what the workers hold, and with what the kernel has open.

use crate::ledger::Tally;
use crate::world::WORKERS_MAX;
use engine::census::Census;
use engine::stats::{COUNTERS, Counter, Kind, ROW_WORDS, Row};
use proto::fault::{ClientFault, OriginFault, WireFault};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// All rows of a run's stats block.
pub struct Books<'a>(pub &'a [AtomicU64]);

impl Books<'_> {
    #[must_use]
    pub fn sum(&self, counter: Counter) -> u64 {
        self.at(counter as usize)
    }

    #[must_use]
    pub fn fault(&self, fault: OriginFault) -> u64 {
        self.at(COUNTERS.len() + WireFault::ALL.len() + ClientFault::ALL.len() + fault as usize)
    }

    /// The sum over all rows; a gauge of one row may stand below zero.
    fn at(&self, place: usize) -> u64 {
        self.0.chunks_exact(ROW_WORDS).fold(0, |sum, row| sum.wrapping_add(row[place].load(Relaxed)))
    }

    fn closes(&self, prefix: &str) -> u64 {
        let rows = COUNTERS.iter().enumerate().filter(|(_, (name, _, _))| name.starts_with(prefix));
        rows.map(|(place, _)| self.at(place)).sum()
    }

    /// Between two turns. `held`: what each worker holds. `open_ends`: connections the kernel has open for the proxy.
    /// `on_hand`: accepted connections that no worker has taken yet.
    pub fn judge(&self, held: &[Census], open_ends: usize, on_hand: usize) -> Result<(), String> {
        let total = |of: fn(&Census) -> usize| held.iter().map(of).sum::<usize>() as u64;
        let shared = |of: fn(&Census) -> usize| held.first().map_or(0, of) as u64;
        let (connecting, active, idle) = (total(|c| c.connecting), total(|c| c.active), shared(|c| c.pool_idle));
        let equal = [
            (
                "requests sent = reused + new",
                self.sum(Counter::OriginRequests),
                self.sum(Counter::OriginReused) + self.sum(Counter::OriginNew),
            ),
            (
                "opened = open + closes",
                self.sum(Counter::OriginOpened),
                self.sum(Counter::OriginOpen).wrapping_add(self.closes("origin_closes_")),
            ),
            (
                "accepted = open + closes",
                self.sum(Counter::ClientAccepted),
                self.sum(Counter::ClientOpen).wrapping_add(self.closes("client_closes_")),
            ),
            ("clients open", self.sum(Counter::ClientOpen), total(|c| c.clients)),
            ("clients idle", self.sum(Counter::ClientIdle), total(|c| c.clients_idle)),
            ("handshakes of clients", self.sum(Counter::TlsShaking), total(|c| c.clients_shaking)),
            ("sessions of HTTP/2", self.sum(Counter::Http2Open), total(|c| c.sessions)),
            ("streams of HTTP/2", self.sum(Counter::Http2StreamsOpen), total(|c| c.streams)),
            ("exchanges open", self.sum(Counter::ExchangesOpen), total(|c| c.exchanges)),
            ("tunnels open", self.sum(Counter::TunnelsOpen), total(|c| c.tunnels)),
            ("queue length", self.sum(Counter::QueueLength), total(|c| c.waiting)),
            ("origin connections idle", self.sum(Counter::OriginIdle), idle),
            ("origin connections open", self.sum(Counter::OriginOpen), active + idle),
            ("places of the pool", shared(|c| c.pool_open), connecting + active + idle),
            (
                "sockets of the kernel",
                open_ends as u64,
                total(|c| c.clients) + on_hand as u64 + connecting + active + idle + total(|c| c.checking),
            ),
        ];
        match equal.iter().find(|(_, left, right)| left != right) {
            Some((what, left, right)) => Err(format!("books: {what}: {} against {}", *left as i64, *right as i64)),
            None => Ok(()),
        }
    }

    /// When every peer has left and every timer ran out.
    pub fn judge_end(&self) -> Result<(), String> {
        for (place, (name, kind, _)) in COUNTERS.iter().enumerate() {
            let sum = self.at(place);
            // What is in the cache stays there.
            if name.starts_with("cache_") {
                continue;
            }
            if *kind == Kind::Gauge && sum != 0 {
                return Err(format!("books: {name} is {} after everybody has left", sum as i64));
            }
        }
        Ok(())
    }

    pub fn tell(&self, tally: &mut Tally) {
        tally.stolen = self.sum(Counter::OriginStolen);
        tally.reused = self.sum(Counter::OriginReused);
        tally.queued = self.sum(Counter::Queued);
        tally.spooled = self.sum(Counter::Spooled);
        tally.spool_refused = self.sum(Counter::SpoolRefused);
        tally.handshakes = [Counter::TlsHandshakes, Counter::OriginTlsHandshakes].map(|counter| self.sum(counter));
        tally.resumed = [Counter::TlsResumed, Counter::OriginTlsResumed].map(|counter| self.sum(counter));
        tally.doubted = self.fault(OriginFault::TlsVerify);
        let failed = [OriginFault::TlsAlert, OriginFault::TlsEof, OriginFault::TlsTimeout];
        let of_targets = failed.map(|fault| self.fault(fault)).iter().sum::<u64>() + tally.doubted;
        tally.shakes_failed = [self.sum(Counter::TlsFailed), of_targets];
        tally.turns = self.sum(Counter::Turns);
    }
}

/// The bytes in files, as the gauge, the process-wide sum and the disk have them, and never more than may be.
pub fn judge_spool(gauge: u64, total: u64, on_disk: u64, most: u64) -> Result<(), String> {
    if gauge != total || total != on_disk || total > most {
        return Err(format!("spool: {gauge} bytes by the books, {total} shared, {on_disk} on disk, {most} allowed"));
    }
    Ok(())
}

/// Frames that a session of HTTP/2 writes at once: what its pipe holds, and the one frame that finds it not yet full.
const SESSION_BYTES_MAX: usize = 160 * 1024;

/// No connection holds more than one read of what its peer may have on the way, of a file, or of what is cached, and one
/// head or answer of our own. Where TLS is spoken, what comes at once is a record, however little of it may be on the way.
pub fn judge_memory(
    census: &Census,
    buffer_bytes: usize,
    head_bytes: usize,
    replay_bytes: usize,
    file_piece: usize,
    http2: bool,
    cached: usize,
) -> Result<(), String> {
    let piece = buffer_bytes + head_bytes + 1024;
    let answer = piece.max(cached + head_bytes + 1024);
    let bounds = [
        ("a client's input", census.client_input_max, piece),
        // A session that is over leaves its last frames to its client.
        ("a client's outbox", census.client_outbox_max, if http2 { SESSION_BYTES_MAX.max(answer) } else { answer }),
        ("a session's outbox", census.session_outbox_max, SESSION_BYTES_MAX),
        ("an origin's input", census.origin_input_max, piece),
        ("an origin's outbox", census.origin_outbox_max, (piece + replay_bytes).max(file_piece + 1024)),
        ("a kept body", census.kept_max, piece + replay_bytes),
    ];
    match bounds.iter().find(|(_, held, most)| held > most) {
        Some((what, held, most)) => Err(format!("memory: {what} holds {held} bytes, more than {most}")),
        None => Ok(()),
    }
}

/// The stats block of this thread, all zero.
#[must_use]
pub fn clean_block() -> &'static [AtomicU64] {
    thread_local! {
        static BLOCK: &'static [AtomicU64] = Row::leak(WORKERS_MAX);
    }
    BLOCK.with(|words| {
        words.iter().for_each(|word| word.store(0, Relaxed));
        debug_assert_eq!(words.len(), WORKERS_MAX * ROW_WORDS);
        *words
    })
}
