//! What is told of the cache's part in an exchange: Cache-Status (RFC 9211), X-Cache, and counters.

use crate::io::Io;
use crate::slab::Key;
use crate::stats::Counter;
use crate::worker::Worker;
use proto::cache::cache_status::{Report, write_cache_status, x_cache};
use proto::cache::judge::{Decision, What};
use proto::cache::why::Why;
use proto::http1::encode::CacheFields;
use proto::plan::CachePolicy;

/// What became of a request, in words for the log.
#[must_use]
pub fn outcome(decision: Decision, collapsed: bool, stored_status: Option<u16>) -> &'static str {
    match (decision.what, decision.why) {
        (What::Bypass, _) => "bypass",
        (What::GatewayTimeout, _) => "refused",
        (_, Why::IfError | Why::OriginDown | Why::WhileRevalidating | Why::ClientMaxStale) => "stale",
        _ if collapsed => "coalesced",
        (What::Hit(_) | What::HitAndRevalidate(_), _) => "hit",
        (What::Validate, _) if stored_status == Some(304) => "revalidated",
        (What::Validate | What::Miss, _) => "miss",
    }
}

/// The value of our member of Cache-Status; empty where the route tells none.
pub(crate) fn write_status(out: &mut Vec<u8>, policy: &CachePolicy, name: &str, report: &Report<'_>) {
    if policy.cache_status {
        write_cache_status(out, name.as_bytes(), report);
    }
}

/// The fields that go with an answer.
pub(crate) fn fields<'a>(
    policy: &CachePolicy,
    decision: Decision,
    age_s: Option<u64>,
    status: &'a [u8],
) -> CacheFields<'a> {
    CacheFields {
        age_s,
        status,
        x_cache: if policy.x_cache { x_cache(decision.what) } else { "" },
        surrogate_control: policy.surrogate_control,
    }
}

impl<I: Io> Worker<I> {
    /// Cache-Status of an exchange that was not answered from what is stored.
    pub(crate) fn told_of(&self, exchange: Key) -> String {
        let told = || {
            let ongoing = self.exchanges.get(exchange)?;
            let side = ongoing.cached.as_ref()?;
            let plan = &ongoing.plan.plan;
            let policy = plan.routes[ongoing.route as usize].cache.as_ref()?;
            let report = Report {
                decision: side.decision,
                ttl_s: None,
                forwarded_status: None,
                stored: side.stored,
                collapsed: side.collapsed,
                key: policy.cache_status_key.then_some(&side.target),
            };
            let mut out = Vec::new();
            write_status(&mut out, policy, &plan.name, &report);
            String::from_utf8(out).ok()
        };
        told().unwrap_or_default()
    }

    /// Counts an answer out of what is stored.
    pub(crate) fn count_served(&mut self, decision: Decision, collapsed: bool, bytes: u64) {
        self.row.one(match outcome(decision, collapsed, None) {
            "stale" => Counter::CacheStale,
            "coalesced" => Counter::CacheCoalesced,
            "hit" => Counter::CacheHits,
            _ => Counter::CacheRevalidated,
        });
        self.row.add(Counter::CacheBytesServed, bytes);
    }
}
