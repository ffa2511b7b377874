//! The stats block: one row of 64-bit words for each worker, written by that worker alone with plain stores and read by
//! the main thread. One table names every word; TypeScript's copy of it is generated from here.

use proto::fault::{ClientFault, OriginFault, WireFault};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Builds the counters: a place, a name, whether it falls as well as rises, and a sentence.
macro_rules! counters {
    ($($variant:ident $name:literal $kind:ident $says:literal;)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Counter { $(#[doc = $says] $variant,)* }

        /// Name, kind and meaning of each counter, in the order of the enum.
        pub const COUNTERS: &[(&str, Kind, &str)] = &[$(($name, Kind::$kind, $says),)*];
    };
}

/// Whether a word only rises.
impl Counter {
    /// The name without what it is a reason for: `no_idle` of `origin_new_no_idle`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        let name = COUNTERS[self as usize].0;
        name.strip_prefix("origin_new_").unwrap_or(name)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Counter,
    /// Rises and falls. A row of its own may stand below zero, since a connection stolen from one worker is closed by
    /// another: the sum over all rows is the truth.
    Gauge,
}

counters! {
    ClientAccepted "client_connections_accepted" Counter "Client connections taken over by this worker.";
    ClientOpen "client_connections_open" Gauge "Client connections that are open.";
    ClientIdle "client_connections_idle" Gauge "Client connections that wait for a request.";
    ClientCloseByClient "client_closes_by_client" Counter "Closed because the client closed first.";
    ClientCloseIdle "client_closes_idle_timeout" Counter "Closed because no request came in time.";
    ClientCloseTimeout "client_closes_timeout" Counter "Closed because a head, a body or a reader was too slow.";
    ClientCloseRefused "client_closes_refused" Counter "Closed after refusing a request.";
    ClientCloseNotKept "client_closes_not_kept" Counter "Closed after an answer that said so.";
    ClientCloseBroken "client_closes_broken_answer" Counter "Closed because an answer could not be completed.";
    ClientCloseError "client_closes_error" Counter "Closed by a reset or a socket error.";
    ClientCloseTls "client_closes_tls" Counter "Closed because the TLS handshake failed or took too long.";
    ClientCloseHttp2Calm "client_closes_http2_calm" Counter "HTTP/2 connections closed because their client passed a limit (ENHANCE_YOUR_CALM).";
    ClientCloseHttp2Error "client_closes_http2_error" Counter "HTTP/2 connections closed because their client broke the protocol.";
    ClientCloseTunnel "client_closes_tunnel_end" Counter "Closed at the end of a tunnel.";
    ClientCloseDrain "client_closes_drain" Counter "Closed while idle because the proxy stops.";
    ClientCloseWorkerLost "client_closes_worker_lost" Counter "Lost with their worker.";
    ClientBytesIn "client_bytes_received" Counter "Bytes received from clients.";
    ClientBytesOut "client_bytes_sent" Counter "Bytes sent to clients.";
    Requests "requests" Counter "Requests whose head was read and accepted.";
    ExchangesOpen "exchanges_open" Gauge "Requests whose answer is not finished.";
    Answers1xx "answers_1xx" Counter "Interim answers passed on.";
    Answers2xx "answers_2xx" Counter "Answers with a status of 200 to 299.";
    Answers3xx "answers_3xx" Counter "Answers with a status of 300 to 399.";
    Answers4xx "answers_4xx" Counter "Answers with a status of 400 to 499.";
    Answers5xx "answers_5xx" Counter "Answers with a status of 500 and above.";
    AnswersOwn "answers_own" Counter "Answers this proxy made itself.";
    AnswersBroken "answers_broken" Counter "Answers that ended before they were complete.";
    OriginRequests "origin_requests" Counter "Requests sent to origins.";
    OriginReused "origin_requests_reused" Counter "Of these, on a connection that had carried one before.";
    OriginNew "origin_requests_new" Counter "Of these, on a connection opened for them.";
    NewNoIdle "origin_new_no_idle" Counter "New because no idle connection was there.";
    NewStale "origin_new_stale" Counter "New because the idle connection proved dead when looked at.";
    NewRepeat "origin_new_repeat" Counter "New because the request is a repeat.";
    NewPolicy "origin_new_policy" Counter "New because the route gives requests like this a connection of their own.";
    NewStandby "origin_new_standby" Counter "On a connection that was opened ahead and had carried nothing.";
    NewNotShared "origin_new_not_shared" Counter "New because the origin's match rule shares nothing.";
    OriginOpened "origin_connections_opened" Counter "Origin connections that were established.";
    OriginConnectFailed "origin_connects_failed" Counter "Origin connections that could not be established.";
    OriginOpen "origin_connections_open" Gauge "Origin connections that are established.";
    OriginIdle "origin_connections_idle" Gauge "Origin connections that wait for a request.";
    OriginStolen "origin_connections_stolen" Counter "Idle connections taken from another worker.";
    OriginCloseByOrigin "origin_closes_by_origin" Counter "Closed by the origin while idle.";
    OriginCloseStray "origin_closes_stray_bytes" Counter "Closed because bytes came that no request had asked for.";
    OriginCloseNotKept "origin_closes_not_kept" Counter "Closed because the answer said so or had no length.";
    OriginCloseUnfinished "origin_closes_request_unfinished" Counter "Closed because the request was not sent whole.";
    OriginCloseIdle "origin_closes_idle_timeout" Counter "Closed by us after the idle time.";
    OriginCloseAge "origin_closes_age" Counter "Closed by us because of their age.";
    OriginCloseRequests "origin_closes_requests" Counter "Closed by us after their share of requests.";
    OriginCloseFault "origin_closes_fault" Counter "Closed because an attempt on them failed.";
    OriginCloseClientGone "origin_closes_client_gone" Counter "Closed because the client left during the answer.";
    OriginCloseEvicted "origin_closes_evicted" Counter "Closed to make room for another.";
    OriginCloseOwner "origin_closes_owner_gone" Counter "Closed because the client they belonged to left.";
    OriginCloseTarget "origin_closes_target_gone" Counter "Closed because their target drains or is no longer there.";
    OriginCloseScarce "origin_closes_descriptors_scarce" Counter "Closed while idle because descriptors run short.";
    OriginCloseTunnel "origin_closes_tunnel_end" Counter "Closed at the end of a tunnel.";
    OriginCloseDrain "origin_closes_drain" Counter "Closed because the proxy stops.";
    OriginCloseWorkerLost "origin_closes_worker_lost" Counter "Lost with their worker.";
    OriginBytesIn "origin_bytes_received" Counter "Bytes received from origins.";
    OriginBytesOut "origin_bytes_sent" Counter "Bytes sent to origins.";
    OriginTlsHandshakes "origin_tls_handshakes" Counter "TLS handshakes with targets that were completed.";
    OriginTlsResumed "origin_tls_resumed" Counter "Of these, shortened by a ticket.";
    Repeats "origin_repeats" Counter "Requests repeated on a fresh connection after a stale one.";
    NextTargets "origin_next_targets" Counter "Requests moved to another target after a fault.";
    Failures "origin_failures" Counter "Failed attempts: one event each.";
    BudgetSpent "retries_over_budget" Counter "Further attempts that were not made because the budget was spent.";
    Escalations "escalations" Counter "Requests sent on to another origin by a route's rule.";
    HalfClosed "client_half_closes" Counter "Clients that stopped sending before their answer was complete.";
    HalfClosedWasted "half_closed_wasted_bytes" Counter "Bytes given out of the cache to clients that had stopped sending and left before their answer was complete.";
    StandbyOpened "origin_standby_opened" Counter "Connections opened ahead of any request.";
    Queued "pool_queued" Counter "Requests that had to wait for a connection.";
    QueueLength "pool_queue_length" Gauge "Requests that wait for a connection now.";
    CacheHits "cache_hits" Counter "Requests answered out of the cache while the answer was fresh.";
    CacheStale "cache_stale" Counter "Requests answered out of the cache although the answer was stale.";
    CacheCoalesced "cache_coalesced" Counter "Requests that got the answer another one had fetched meanwhile.";
    CacheRevalidated "cache_revalidated" Counter "Requests answered out of the cache after the origin had said that the answer is still right.";
    CacheMisses "cache_misses" Counter "Requests on caching routes that went to the origin, or waited for one that did.";
    CacheBypassed "cache_bypassed" Counter "Requests on caching routes that passed the cache by.";
    CacheStored "cache_stored" Counter "Answers that were put into the cache, or renewed there.";
    CacheBackground "cache_background" Counter "Answers that were renewed while their clients got the stale one.";
    CacheFillsFailed "cache_fills_failed" Counter "Answers that were not kept because they did not come whole.";
    CacheFillsLeft "cache_fills_left" Counter "Answers whose transfer was ended because nobody waited for them any more.";
    CacheInvalidations "cache_invalidations" Counter "Requests of unsafe methods that made stored answers invalid.";
    CacheBytesServed "cache_bytes_served" Counter "Bytes of content given out of the cache.";
    StoreAsked "cache_store_asked" Counter "Questions to the store on disk.";
    StoreFound "cache_store_found" Counter "Of these, that it had something for.";
    CacheBytes "cache_bytes" Gauge "What the answers in memory weigh, in bytes.";
    CacheEntries "cache_entries" Gauge "Answers in memory.";
    CacheEvicted "cache_evicted" Counter "Answers that left memory to make room.";
    Tunnels "tunnels" Counter "Connections that switched protocols.";
    TunnelsOpen "tunnels_open" Gauge "Tunnels that are open.";
    Checks "checks" Counter "Active checks of targets that came to a result.";
    ChecksFailed "checks_failed" Counter "Of these, the bad ones.";
    ChecksNotMade "checks_not_made" Counter "Checks that this host could not make: no descriptors, ports or memory.";
    Spooled "spooled" Counter "Request bodies that went on in a file so that the request can be sent again.";
    SpoolBytes "spool_bytes" Gauge "Bytes of request bodies that lie in files.";
    SpoolRefused "spool_refused" Counter "Request bodies that could not be kept in a file: over a limit, or the disk failed.";
    TlsHandshakes "tls_handshakes" Counter "TLS handshakes with clients that were completed.";
    TlsResumed "tls_resumed" Counter "Of these, shortened by a ticket.";
    TlsFailed "tls_handshakes_failed" Counter "TLS handshakes with clients that failed.";
    TlsShaking "tls_handshakes_open" Gauge "TLS handshakes with clients that are under way.";
    TlsNameRefused "tls_name_mismatches" Counter "Requests whose Host falls under another client-certificate rule than their connection; refused where the listener says so.";
    Http2Opened "http2_connections" Counter "Client connections that came to speak HTTP/2.";
    Http2Open "http2_connections_open" Gauge "Of these, those that are open.";
    Http2Streams "http2_streams" Counter "Streams that clients opened with a request.";
    Http2StreamsOpen "http2_streams_open" Gauge "Streams of clients that are under way.";
    Http2Refused "http2_streams_refused" Counter "Streams refused because their client had too many open (REFUSED_STREAM).";
    Http2ResetByClient "http2_resets_by_client" Counter "Streams that ended because their client reset them or left.";
    Http2ResetByUs "http2_resets_by_us" Counter "Streams that we reset before their answer was complete.";
    Http2Stalled "http2_streams_stalled" Counter "Streams reset because their client gave no window for an answer that waited.";
    Http2LimitResets "http2_limit_resets" Counter "Connections closed for resetting too many streams (http2.resetsPerS).";
    Http2LimitOwnResets "http2_limit_own_resets" Counter "Connections closed for making us reset too many streams (http2.ownResetsPerS).";
    Http2LimitSettings "http2_limit_settings" Counter "Connections closed for too many SETTINGS (http2.settingsPerS).";
    Http2LimitPings "http2_limit_pings" Counter "Connections closed for too many PINGs (http2.pingsPerS).";
    Http2LimitWindowUpdates "http2_limit_window_updates" Counter "Connections closed for WINDOW_UPDATEs that no DATA explains (http2.windowUpdatesPerS).";
    Http2LimitEmptyFrames "http2_limit_empty_frames" Counter "Connections closed for too many frames without content (http2.emptyFramesPerS).";
    Http2LimitPriorities "http2_limit_priorities" Counter "Connections closed for too many PRIORITY or unknown frames (http2.prioritiesPerS).";
    Http2LimitContinuations "http2_limit_continuations" Counter "Connections closed for a header block of too many frames (http2.continuations).";
    OriginHttp2Opened "origin_http2_connections" Counter "Origin connections that came to speak HTTP/2.";
    OriginHttp2Streams "origin_http2_streams" Counter "Streams opened at origins, one for each request sent over HTTP/2.";
    OriginHttp2Unprocessed "origin_http2_unprocessed" Counter "Streams that an origin left unprocessed (GOAWAY, REFUSED_STREAM, or nothing of it had left); sent again whatever their method.";
    OriginHttp2Goaway "origin_http2_goaways" Counter "Origin connections whose other end said GOAWAY.";
    Turns "turns" Counter "Turns of the event loop that had work.";
    TurnMicros "turn_micros" Counter "Microseconds spent in turns.";
    Events "events" Counter "Ready sockets handled.";
    LogLines "access_log_lines" Counter "Access-log lines written.";
    LogLinesLost "access_log_lines_lost" Counter "Access-log lines lost because a turn's buffer was full.";
    AcceptorTaken "acceptor_accepted" Counter "Connections taken from listening sockets.";
    AcceptorFull "acceptor_refused_full" Counter "Connections refused because every worker's queue was full.";
    AcceptorLimit "acceptor_refused_limit" Counter "Connections refused by the limit on client connections.";
    AcceptorErrors "acceptor_errors" Counter "Connections that could not be accepted (descriptors, memory).";
}

macro_rules! histograms {
    ($($variant:ident $name:literal $says:literal;)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Histogram { $(#[doc = $says] $variant,)* }
        pub const HISTOGRAMS: &[(&str, &str)] = &[$(($name, $says),)*];
    };
}

histograms! {
    Exchange "exchange_micros" "From a request's complete head to its answer's last byte given to the kernel.";
    FirstByte "origin_first_byte_micros" "From a request sent to the first byte of its answer.";
    Connect "origin_connect_micros" "From a connection begun to its establishment.";
    Handshake "tls_handshake_micros" "From a client's connection to the end of its TLS handshake.";
    Turn "turn_length_micros" "Length of one turn.";
    OriginRequests "origin_connection_requests" "Requests a connection to an origin had carried when it was closed.";
}

/// Builds the words of a route, as `counters!` does.
macro_rules! route_words {
    ($($variant:ident $name:literal $says:literal;)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum RouteWord { $(#[doc = $says] $variant,)* }

        /// Name and meaning of each word of a route, in the order of the enum.
        pub const ROUTE_WORDS: &[(&str, &str)] = &[$(($name, $says),)*];
    };
}

route_words! {
    Requests "requests" "Requests that took the route.";
    Answers1xx "answers_1xx" "Final answers of 101: the protocol was switched.";
    Answers2xx "answers_2xx" "Answers with a status of 200 to 299.";
    Answers3xx "answers_3xx" "Answers with a status of 300 to 399.";
    Answers4xx "answers_4xx" "Answers with a status of 400 to 499.";
    Answers5xx "answers_5xx" "Answers with a status of 500 and above.";
    Micros "exchange_micros" "Time from complete heads to the ends of their answers.";
}

/// Places for routes: the last is shared by those for whom there is none of their own.
pub const ROUTE_SLOTS: usize = 64;

/// Buckets are exact below 2^SUB_BITS and hold one eighth of a power of two above.
pub const SUB_BITS: u32 = 3;
/// Enough for 2^36 µs, which is 19 hours.
pub const BUCKETS: usize = (36 - SUB_BITS as usize + 1) << SUB_BITS;

const WIRE_AT: usize = COUNTERS.len();
const CLIENT_AT: usize = WIRE_AT + WireFault::ALL.len();
const ORIGIN_AT: usize = CLIENT_AT + ClientFault::ALL.len();
const HISTOGRAMS_AT: usize = ORIGIN_AT + OriginFault::ALL.len();
const ROUTES_AT: usize = HISTOGRAMS_AT + HISTOGRAMS.len() * BUCKETS;
const USED_WORDS: usize = ROUTES_AT + ROUTE_SLOTS * ROUTE_WORDS.len();
/// Words of a row, a whole number of 128-byte lines so that no two workers write to one.
pub const ROW_WORDS: usize = USED_WORDS.div_ceil(16) * 16;

/// One worker's row. Only its worker writes to it; after a worker's death, whoever settles its books.
#[derive(Clone, Copy)]
pub struct Row(&'static [AtomicU64; ROW_WORDS]);

impl Row {
    /// Rows of a block; `None` when the block is too short.
    #[must_use]
    pub fn of_block(words: &'static [AtomicU64], row: usize) -> Option<Self> {
        let row = words.get(row * ROW_WORDS..(row + 1) * ROW_WORDS)?;
        row.try_into().ok().map(Row)
    }

    /// A block that lives as long as the process, for tests and the simulation.
    #[must_use]
    pub fn leak(rows: usize) -> &'static [AtomicU64] {
        Box::leak((0..rows * ROW_WORDS).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().into_boxed_slice())
    }

    #[inline]
    fn bump(self, at: usize, by: u64) {
        let word = &self.0[at];
        word.store(word.load(Relaxed).wrapping_add(by), Relaxed);
    }

    #[inline]
    pub fn add(self, counter: Counter, by: u64) {
        self.bump(counter as usize, by);
    }

    #[inline]
    pub fn one(self, counter: Counter) {
        self.bump(counter as usize, 1);
    }

    /// Lowers a gauge.
    #[inline]
    pub fn less(self, counter: Counter) {
        self.bump(counter as usize, u64::MAX);
    }

    #[must_use]
    pub fn get(self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Relaxed)
    }

    pub fn wire_fault(self, fault: WireFault) {
        self.bump(WIRE_AT + fault as usize, 1);
    }

    pub fn client_fault(self, fault: ClientFault) {
        self.bump(CLIENT_AT + fault as usize, 1);
    }

    pub fn origin_fault(self, fault: OriginFault) {
        self.bump(ORIGIN_AT + fault as usize, 1);
    }

    #[inline]
    pub fn record(self, histogram: Histogram, micros: u64) {
        self.bump(HISTOGRAMS_AT + histogram as usize * BUCKETS + bucket_of(micros), 1);
    }

    /// A request took the route that is counted at this place.
    #[inline]
    pub fn route_request(self, slot: u16) {
        self.route(slot, RouteWord::Requests, 1);
    }

    /// Such a request is over. A status of 0 = it got no final answer.
    #[inline]
    pub fn route_answer(self, slot: u16, status: u16, micros: u64) {
        self.route(slot, RouteWord::Micros, micros);
        let word = match status {
            0 => return,
            1..=199 => RouteWord::Answers1xx,
            200..=299 => RouteWord::Answers2xx,
            300..=399 => RouteWord::Answers3xx,
            400..=499 => RouteWord::Answers4xx,
            _ => RouteWord::Answers5xx,
        };
        self.route(slot, word, 1);
    }

    #[inline]
    fn route(self, slot: u16, word: RouteWord, by: u64) {
        let slot = usize::from(slot).min(ROUTE_SLOTS - 1);
        self.bump(ROUTES_AT + slot * ROUTE_WORDS.len() + word as usize, by);
    }
}

/// The bucket of a value: see `BUCKETS`.
#[must_use]
#[inline]
pub fn bucket_of(value: u64) -> usize {
    if value < 1 << SUB_BITS {
        return value as usize;
    }
    let exponent = 63 - value.leading_zeros();
    let sub = (value >> (exponent - SUB_BITS)) as usize & ((1 << SUB_BITS) - 1);
    ((((exponent - SUB_BITS + 1) as usize) << SUB_BITS) + sub).min(BUCKETS - 1)
}

/// The layout as JSON, from which TypeScript's copy is generated.
#[must_use]
pub fn layout_json() -> String {
    let mut counters: Vec<String> = Vec::with_capacity(HISTOGRAMS_AT);
    let mut push = |at: usize, name: &str, kind: Kind, says: &str| {
        let kind = if kind == Kind::Gauge { "gauge" } else { "counter" };
        counters.push(format!(r#"{{"name":"{name}","at":{at},"kind":"{kind}","says":"{says}"}}"#));
    };
    for (at, (name, kind, says)) in COUNTERS.iter().enumerate() {
        push(at, name, *kind, says);
    }
    for (place, fault) in WireFault::ALL.iter().enumerate() {
        push(WIRE_AT + place, &format!("client_wire_fault_{}", fault.token()), Kind::Counter, fault.sentence());
    }
    for (place, fault) in ClientFault::ALL.iter().enumerate() {
        push(CLIENT_AT + place, &format!("client_fault_{}", fault.token()), Kind::Counter, fault.sentence());
    }
    for (place, fault) in OriginFault::ALL.iter().enumerate() {
        push(ORIGIN_AT + place, &format!("origin_fault_{}", fault.token()), Kind::Counter, fault.sentence());
    }
    let histograms: Vec<String> = HISTOGRAMS
        .iter()
        .enumerate()
        .map(|(place, (name, says))| {
            let at = HISTOGRAMS_AT + place * BUCKETS;
            format!(r#"{{"name":"{name}","at":{at},"buckets":{BUCKETS},"subBits":{SUB_BITS},"says":"{says}"}}"#)
        })
        .collect();
    let words: Vec<String> =
        ROUTE_WORDS.iter().map(|(name, says)| format!(r#"{{"name":"{name}","says":"{says}"}}"#)).collect();
    format!(
        r#"{{"version":1,"rowWords":{ROW_WORDS},"counters":[{}],"histograms":[{}],"routes":{{"at":{ROUTES_AT},"slots":{ROUTE_SLOTS},"words":[{}]}}}}"#,
        counters.join(","),
        histograms.join(","),
        words.join(",")
    )
}

#[cfg(test)]
#[path = "stats_tests.rs"]
mod tests;
