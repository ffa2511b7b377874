//! What one exchange has to do with the cache.

use crate::cached::reading::Reading;
use crate::hot::{Entry, Flight, Place, Seen};
use crate::streams::Who;
use proto::cache::judge::{Decision, What};
use proto::cache::record::Record;
use proto::cache::request_directives::RequestDirectives;
use proto::cache::validation::Ask;
use proto::cache::why::Why;
use std::borrow::Cow;
use std::sync::Arc;

/// See the file. Of a request that passes the cache by, only the verdict and who asks are there.
pub struct CacheSide {
    /// The verdict on the request.
    pub decision: Decision,
    pub wants: RequestDirectives,
    pub place: Place,
    pub target: Box<[u8]>,
    /// What the route adds to the key of its target.
    pub extras: Box<[u8]>,
    /// The path in its normal form, which rules are about.
    pub path: Box<[u8]>,
    pub secure: bool,
    /// Whose request it is, for when that client has left.
    pub who: Who,
    pub ask: Ask,
    /// What the request selected, and since when a purge has it be stale.
    pub found: Option<Found>,
    /// What else the look-up told: what has changed since.
    pub seen: Seen,
    /// The purge clock, and the wall clock in ms, when the request was sent.
    pub stamp: u64,
    pub asked_ms: u64,
    pub role: Role,
    /// Its question to the store, while that has no answer, and whether it had one.
    pub ticket: Option<u32>,
    pub asked_store: bool,
    /// Rounds it waited for others; then it goes alone.
    pub rounds: u8,
    /// It waited for another one's answer.
    pub collapsed: bool,
    /// Nobody waits for it: it renews what is stored.
    pub background: bool,
    /// Its answer is kept.
    pub stored: bool,
    /// What the origin said, once it did.
    pub forwarded_status: Option<u16>,
    /// A stored part that its answer may complete.
    pub joins: Option<Arc<Entry>>,
    /// What it writes to, until that is whole.
    pub fill: Option<Arc<Entry>>,
    /// What it reads out to its client.
    pub reading: Option<Box<Reading>>,
}

/// What was found, as it is to be judged.
#[derive(Clone)]
pub struct Found {
    pub entry: Arc<Entry>,
    pub soft_since_ms: Option<u64>,
}

/// What others have to do with it.
#[derive(Clone, Default)]
pub enum Role {
    #[default]
    Alone,
    /// Others wait for its answer.
    Leads(Arc<Flight>),
    /// It waits for another one's.
    Follows(Arc<Flight>),
}

impl CacheSide {
    /// Of a request that passes the cache by.
    #[must_use]
    pub fn passing(why: Why, who: Who, secure: bool, path: &[u8]) -> Self {
        Self {
            decision: Decision { what: What::Bypass, why },
            wants: RequestDirectives::default(),
            place: Place(0),
            target: Box::default(),
            extras: Box::default(),
            path: path.into(),
            secure,
            who,
            ask: Ask::AsSent,
            found: None,
            seen: Seen::default(),
            stamp: 0,
            asked_ms: 0,
            role: Role::Alone,
            ticket: None,
            asked_store: false,
            rounds: 0,
            collapsed: false,
            background: false,
            stored: false,
            forwarded_status: None,
            joins: None,
            fill: None,
            reading: None,
        }
    }

    /// Whether it goes on where a client asked for something that is not here.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self.decision.what, What::Bypass)
    }

    #[must_use]
    pub const fn flight(&self) -> Option<&Arc<Flight>> {
        match &self.role {
            Role::Leads(flight) => Some(flight),
            Role::Alone | Role::Follows(_) => None,
        }
    }
}

/// The record to judge by.
pub(crate) fn judged(found: &Found) -> Cow<'_, Record> {
    judged_as(&found.entry, found.soft_since_ms)
}

/// The record of an entry: stale since a purge said so, and with the length that came to light when it was whole.
pub(crate) fn judged_as(entry: &Entry, soft_since_ms: Option<u64>) -> Cow<'_, Record> {
    let record = &entry.record;
    let length = match (record.length, record.part, entry.body.whole_content()) {
        (None, None, Some(content)) => Some(content.length()),
        _ => record.length,
    };
    if soft_since_ms.is_none() && length == record.length {
        return Cow::Borrowed(record);
    }
    let mut record = Record { length, ..record.clone() };
    if let Some(since_ms) = soft_since_ms {
        record.expire(since_ms);
    }
    Cow::Owned(record)
}
