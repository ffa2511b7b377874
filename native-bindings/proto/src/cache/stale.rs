//! When an answer that is not fresh may be used all the same (RFC 9111 4.2.4, RFC 5861), in this order: the origin is
//! known to be down, the client takes it, it may be used while it is validated; and, once the origin was asked in vain,
//! because it failed. Whether any of it may be at all was settled when the record was made.

use crate::cache::record::Record;
use crate::cache::request_directives::RequestDirectives;
use crate::cache::why::Why;

/// Why a stale record may be used before anybody is asked; `None` = ask.
#[must_use]
pub fn decide_before(record: &Record, wants: RequestDirectives, origin_down: bool, now_ms: u64) -> Option<Why> {
    debug_assert!(!record.is_fresh(now_ms));
    if origin_down && now_ms < record.if_error_until_ms {
        return Some(Why::OriginDown);
    }
    let stale_s = now_ms.saturating_sub(record.fresh_until_ms) / 1000;
    if !record.never_stale && wants.max_stale_s.is_some_and(|most| stale_s <= u64::from(most)) {
        return Some(Why::ClientMaxStale);
    }
    (now_ms < record.while_revalidate_until_ms).then_some(Why::WhileRevalidating)
}

/// Whether it may be used because the origin failed: no answer came, or one of [`is_error`].
#[must_use]
pub fn may_follow_error(record: &Record, wants: RequestDirectives, now_ms: u64) -> bool {
    // What the client refused before, it refuses now.
    !wants.no_cache && !record.always_validate && (record.is_fresh(now_ms) || now_ms < record.if_error_until_ms)
}

/// Statuses that count as failures (RFC 5861 4).
#[must_use]
pub const fn is_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}
