/**
 * Which series every counter and histogram of the stats layout becomes: one row each, or one row for all that begin
 * alike. Names are part of the product: a dashboard is built on them, so a row may be added, not renamed. A counter
 * without a row is a failing test (test/unit/metrics.test.ts).
 */

/** What a value is measured in; the last word of the series' name. */
export type Unit = "seconds" | "bytes";

/** A counter or gauge of the layout, or a family of them. */
export interface CounterRow {
  /** Its name; or how names begin, and `*`. The first row that fits counts. */
  readonly counter: string;
  /** Name of the series without `millrace_` and `_total`. */
  readonly series: string;
  /** Told for each worker; else the sum of all rows, the acceptor's among them. */
  readonly perWorker?: true;
  /** The label that says what stood for the star. */
  readonly label?: string;
  readonly unit?: Unit;
  /** What a value of the layout is multiplied by. */
  readonly scale?: number;
  /** Where the sentence of the layout does not do, because several counters share the series. */
  readonly help?: string;
}

/** A histogram of the layout. */
export interface HistogramRow {
  readonly histogram: string;
  readonly series: string;
  readonly unit?: Unit;
  readonly scale: number;
  /** Bounds lie between these values of the layout, two in each power of two. */
  readonly from: number;
  readonly to: number;
}

const MICROS = { unit: "seconds", scale: 1e-6 } as const;
const EACH = { perWorker: true } as const;
const CLIENT_BYTES = { unit: "bytes", ...EACH } as const;

export const COUNTER_ROWS: readonly CounterRow[] = [
  { counter: "client_connections_accepted", series: "client_connections", ...EACH },
  { counter: "client_connections_open", series: "client_connections_open", ...EACH },
  { counter: "client_connections_idle", series: "client_connections_idle", ...EACH },
  {
    counter: "client_closes_*",
    series: "client_connections_closed",
    label: "reason",
    help: "Client connections closed, by reason.",
  },
  { counter: "client_bytes_received", series: "client_received_bytes", ...CLIENT_BYTES },
  { counter: "client_bytes_sent", series: "client_sent_bytes", ...CLIENT_BYTES },
  { counter: "client_half_closes", series: "client_half_closes" },
  { counter: "half_closed_wasted_bytes", series: "half_closed_wasted_bytes", unit: "bytes" },
  { counter: "requests", series: "requests", ...EACH },
  { counter: "exchanges_open", series: "exchanges_open", ...EACH },
  { counter: "answers_1xx", series: "interim_answers" },
  { counter: "answers_own", series: "own_answers" },
  { counter: "answers_broken", series: "broken_answers", ...EACH },
  {
    counter: "answers_*",
    series: "answers",
    label: "class",
    help: "Final answers, by class of their status.",
    ...EACH,
  },
  { counter: "origin_requests", series: "origin_requests", ...EACH },
  { counter: "origin_requests_reused", series: "origin_requests_reused", ...EACH },
  { counter: "origin_requests_new", series: "origin_requests_new", ...EACH },
  {
    counter: "origin_new_*",
    series: "origin_requests_not_reused",
    label: "reason",
    help: "Requests sent to origins on a connection that had carried none before, by reason; all reasons make millrace_origin_requests_new_total.",
  },
  { counter: "origin_connections_opened", series: "origin_connections", ...EACH },
  { counter: "origin_connects_failed", series: "origin_connects_failed" },
  { counter: "origin_connections_open", series: "origin_connections_open", ...EACH },
  { counter: "origin_connections_idle", series: "origin_connections_idle", ...EACH },
  { counter: "origin_connections_stolen", series: "origin_connections_stolen", ...EACH },
  {
    counter: "origin_closes_*",
    series: "origin_connections_closed",
    label: "reason",
    help: "Origin connections closed, by reason.",
  },
  { counter: "origin_bytes_received", series: "origin_received_bytes", unit: "bytes", ...EACH },
  { counter: "origin_bytes_sent", series: "origin_sent_bytes", unit: "bytes", ...EACH },
  { counter: "origin_tls_handshakes", series: "origin_tls_handshakes" },
  { counter: "origin_tls_resumed", series: "origin_tls_resumed" },
  { counter: "origin_repeats", series: "origin_repeats" },
  { counter: "origin_next_targets", series: "origin_next_targets" },
  { counter: "origin_failures", series: "origin_failures", ...EACH },
  { counter: "retries_over_budget", series: "retries_over_budget" },
  { counter: "escalations", series: "escalations" },
  { counter: "origin_standby_opened", series: "origin_standby_opened" },
  { counter: "pool_queued", series: "pool_queued" },
  { counter: "pool_queue_length", series: "pool_queue_length" },
  { counter: "cache_hits", series: "cache_hits", ...EACH },
  { counter: "cache_stale", series: "cache_stale", ...EACH },
  { counter: "cache_coalesced", series: "cache_coalesced", ...EACH },
  { counter: "cache_revalidated", series: "cache_revalidated", ...EACH },
  { counter: "cache_misses", series: "cache_misses", ...EACH },
  { counter: "cache_bypassed", series: "cache_bypassed", ...EACH },
  { counter: "cache_stored", series: "cache_stored", ...EACH },
  { counter: "cache_background", series: "cache_background_renewals" },
  { counter: "cache_fills_failed", series: "cache_fills_failed" },
  { counter: "cache_fills_left", series: "cache_fills_left" },
  { counter: "cache_invalidations", series: "cache_invalidations" },
  { counter: "cache_bytes_served", series: "cache_served_bytes", unit: "bytes", ...EACH },
  { counter: "cache_store_asked", series: "cache_store_questions" },
  { counter: "cache_store_found", series: "cache_store_answers" },
  { counter: "cache_bytes", series: "cache_memory_bytes", unit: "bytes" },
  { counter: "cache_entries", series: "cache_memory_entries" },
  { counter: "cache_evicted", series: "cache_memory_evictions" },
  { counter: "tunnels", series: "tunnels" },
  { counter: "tunnels_open", series: "tunnels_open", ...EACH },
  { counter: "checks", series: "checks" },
  { counter: "checks_failed", series: "checks_failed" },
  { counter: "checks_not_made", series: "checks_not_made" },
  { counter: "spooled", series: "spooled_bodies" },
  { counter: "spool_bytes", series: "spool_bytes", unit: "bytes" },
  { counter: "spool_refused", series: "spool_refused" },
  { counter: "tls_handshakes", series: "client_tls_handshakes", ...EACH },
  { counter: "tls_resumed", series: "client_tls_resumed", ...EACH },
  { counter: "tls_handshakes_failed", series: "client_tls_handshakes_failed", ...EACH },
  { counter: "tls_handshakes_open", series: "client_tls_handshakes_open", ...EACH },
  { counter: "tls_name_mismatches", series: "client_tls_name_mismatches" },
  { counter: "http2_connections", series: "client_http2_connections", ...EACH },
  { counter: "http2_connections_open", series: "client_http2_connections_open", ...EACH },
  { counter: "http2_streams", series: "client_http2_streams", ...EACH },
  { counter: "http2_streams_open", series: "client_http2_streams_open", ...EACH },
  { counter: "http2_streams_refused", series: "client_http2_streams_refused" },
  { counter: "http2_streams_stalled", series: "client_http2_streams_stalled" },
  {
    counter: "http2_resets_*",
    series: "client_http2_resets",
    label: "by",
    help: "Streams of clients that ended before their answer was complete, by who ended them.",
  },
  {
    counter: "http2_limit_*",
    series: "client_http2_limits_passed",
    label: "limit",
    help: "HTTP/2 connections of clients ended with ENHANCE_YOUR_CALM, by the limit of http2 that was passed.",
  },
  { counter: "origin_http2_connections", series: "origin_http2_connections", ...EACH },
  { counter: "origin_http2_streams", series: "origin_http2_streams", ...EACH },
  { counter: "origin_http2_unprocessed", series: "origin_http2_streams_unprocessed" },
  { counter: "origin_http2_goaways", series: "origin_http2_goaways" },
  { counter: "turns", series: "turns", ...EACH },
  { counter: "turn_micros", series: "turn_busy_seconds", ...MICROS, help: "Seconds spent in turns.", ...EACH },
  { counter: "events", series: "events", ...EACH },
  { counter: "access_log_lines", series: "access_log_lines" },
  { counter: "access_log_lines_lost", series: "access_log_lines_lost" },
  { counter: "acceptor_accepted", series: "accepted_connections" },
  {
    counter: "acceptor_refused_*",
    series: "refused_connections",
    label: "reason",
    help: 'Connections refused before a worker had them: "full" = every worker\'s queue was, "limit" = limits.clientConnections.',
  },
  { counter: "acceptor_errors", series: "accept_errors" },
  {
    counter: "client_wire_fault_*",
    series: "client_wire_faults",
    label: "fault",
    help: "Messages of clients that broke a rule of HTTP, by the rule.",
  },
  {
    counter: "client_fault_*",
    series: "client_faults",
    label: "fault",
    help: "Exchanges that failed on the client's side, by class of the fault.",
  },
  {
    counter: "origin_fault_*",
    series: "origin_faults",
    label: "fault",
    help: "Attempts that failed on the origin's side, by class of the fault.",
  },
];

/** 32 µs to 67 s. */
const LATENCY = { ...MICROS, from: 32, to: 2 ** 26 } as const;

export const HISTOGRAM_ROWS: readonly HistogramRow[] = [
  { histogram: "exchange_micros", series: "exchange_duration_seconds", ...LATENCY },
  { histogram: "origin_first_byte_micros", series: "origin_first_byte_seconds", ...LATENCY },
  { histogram: "origin_connect_micros", series: "origin_connect_seconds", ...LATENCY },
  { histogram: "tls_handshake_micros", series: "client_tls_handshake_seconds", ...LATENCY },
  { histogram: "turn_length_micros", series: "turn_duration_seconds", ...MICROS, from: 4, to: 2 ** 20 },
  { histogram: "origin_connection_requests", series: "origin_connection_requests", scale: 1, from: 1, to: 2 ** 20 },
];

/** The row of a counter and what stands for its star, or null. */
export function rowOf(counter: string): { readonly row: CounterRow; readonly rest: string } | null {
  for (const row of COUNTER_ROWS) {
    if (row.counter === counter) return { row, rest: "" };
    const beginning = row.counter.endsWith("*") ? row.counter.slice(0, -1) : null;
    if (beginning !== null && counter.startsWith(beginning) && counter.length > beginning.length) {
      return { row, rest: counter.slice(beginning.length) };
    }
  }
  return null;
}
