//! What is known about a stored answer, in absolute times, computed once when it is stored: judging a hit is then
//! comparing numbers. Times are milliseconds since 1970, moments of fields are seconds.

use crate::cache::range::Part;
use serde::{Deserialize, Serialize};

/// Where the lifetime of an answer comes from (RFC 9111 4.2.1), in words for logs and `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifetimeFrom {
    SMaxage,
    MaxAge,
    Expires,
    Heuristic,
    /// A rule of the route that bounds it, or gives one to what states none.
    Rule,
    /// A rule of the route that sets it, counted from when the answer came: its age before that does not matter.
    Force,
    /// Nothing says how long, or what says it is not valid.
    Nothing,
}

impl LifetimeFrom {
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::SMaxage => "s-maxage",
            Self::MaxAge => "max-age",
            Self::Expires => "expires",
            Self::Heuristic => "heuristic",
            Self::Rule => "rule",
            Self::Force => "force",
            Self::Nothing => "nothing",
        }
    }
}

/// See the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub status: u16,
    /// When it was made at the origin, as far as its age tells (RFC 9111 4.2.3): now minus this is its age.
    pub born_ms: u64,
    /// When its head came; the newest of several answers that would do is used.
    pub came_ms: u64,
    pub fresh_until_ms: u64,
    /// Until when it may be used while it is validated, in case of an error, and by clients that take stale answers.
    /// Never before `fresh_until_ms`; the same moment where it must not.
    pub while_revalidate_until_ms: u64,
    pub if_error_until_ms: u64,
    pub lifetime_from: LifetimeFrom,
    /// It must not be used without asking the origin, however fresh (`no-cache`).
    pub always_validate: bool,
    /// It must not be used once it is stale (RFC 9111 4.2.4).
    pub never_stale: bool,
    /// It said that a shared cache may keep what answers Authorization (RFC 9111 3.5).
    pub allows_authorized: bool,
    /// `immutable` (RFC 8246): a reload while it is fresh asks nobody.
    pub immutable: bool,
    /// Its Date field, or when it came if that is missing or no date (RFC 9110 6.6.1).
    pub date_s: u64,
    pub date_repaired: bool,
    pub last_modified_s: Option<u64>,
    /// Its ETag as it is written; empty = none.
    pub etag: Box<[u8]>,
    /// Bytes of its whole content, as far as they are known.
    pub length: Option<u64>,
    /// Which part of the whole it holds, if it is a 206.
    pub part: Option<Part>,
}

impl Record {
    /// The value of `Age`.
    #[must_use]
    pub const fn age_s(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.born_ms) / 1000
    }

    #[must_use]
    pub const fn is_fresh(&self, now_ms: u64) -> bool {
        now_ms < self.fresh_until_ms
    }

    /// Seconds it is still fresh; how long it has been stale, below zero.
    #[must_use]
    pub fn ttl_s(&self, now_ms: u64) -> i64 {
        let left = i128::from(self.fresh_until_ms) - i128::from(now_ms);
        i64::try_from(left.div_euclid(1000)).unwrap_or(i64::MAX)
    }

    #[must_use]
    pub fn has_validator(&self) -> bool {
        !self.etag.is_empty() || self.last_modified_s.is_some()
    }

    /// What a purge that leaves it usable in need makes of it: stale as of now.
    pub fn expire(&mut self, now_ms: u64) {
        let lost = self.fresh_until_ms.saturating_sub(now_ms);
        self.fresh_until_ms -= lost;
        self.while_revalidate_until_ms = self.while_revalidate_until_ms.saturating_sub(lost);
        self.if_error_until_ms = self.if_error_until_ms.saturating_sub(lost);
    }

    /// The bytes it takes beside its head and body.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.etag.len()
    }

    /// Times are in order: nothing is used longer than it may be.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.fresh_until_ms <= self.while_revalidate_until_ms && self.fresh_until_ms <= self.if_error_until_ms
    }
}
