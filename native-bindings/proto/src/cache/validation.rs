//! What the origin is asked when a stored answer does not do (RFC 9111 4.3.1): which of the client's conditions go on,
//! and which of ours take their place.

use crate::cache::judge::What;
use crate::cache::message::Asked;
use crate::cache::range::Missing;
use crate::cache::record::Record;
use crate::cache::validator::is_strong;
use crate::cache::why::Why;
use crate::http1::encode::{write_field, write_http_date};
use crate::http1::fields::{FieldKind, KindSet};
use crate::http1::head::Method;
use crate::plan::{CachePolicy, PartialUse};

/// How a request goes to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// As the client sent it, conditions and all.
    AsSent,
    /// For the whole, where the client asked for a range: what comes fills the store, and the range is cut from it.
    Whole,
    /// Whether the stored answer is still right.
    Validate,
    /// For what a stored part lacks of the whole.
    Rest(Missing),
}

/// Fields of the client that ours take the place of.
const CONDITIONS: KindSet = KindSet::of(&[
    FieldKind::IfMatch,
    FieldKind::IfNoneMatch,
    FieldKind::IfModifiedSince,
    FieldKind::IfUnmodifiedSince,
    FieldKind::IfRange,
    FieldKind::Range,
]);
const RANGE: KindSet = KindSet::of(&[FieldKind::Range, FieldKind::IfRange]);

impl Ask {
    /// Fields of the client that are not sent on.
    #[must_use]
    pub const fn drops(self) -> KindSet {
        match self {
            Self::AsSent => KindSet::EMPTY,
            Self::Whole => RANGE,
            Self::Validate | Self::Rest(_) => CONDITIONS,
        }
    }
}

/// How the request goes on after this verdict.
#[must_use]
pub fn decide_ask(asked: Asked<'_>, what: What, why: Why, record: Option<&Record>, policy: &CachePolicy) -> Ask {
    let has_range = asked.head.kinds.has(FieldKind::Range) && asked.head.method == Method::Get;
    match (what, record) {
        (What::Validate | What::HitAndRevalidate(_), Some(record)) if record.has_validator() => Ask::Validate,
        (What::Validate | What::HitAndRevalidate(_), _) => Ask::Whole,
        (What::Miss, Some(record)) if why == Why::PartMissing && !has_range && is_strong(&record.etag) => {
            match record.part.and_then(|part| part.missing()) {
                Some(missing @ (Missing::From(_) | Missing::Before(_))) => Ask::Rest(missing),
                _ => Ask::AsSent,
            }
        }
        (What::Miss, _) if has_range && policy.partial == PartialUse::Fill && why != Why::Precondition => Ask::Whole,
        _ => Ask::AsSent,
    }
}

/// Writes our conditions as field lines.
pub fn write_conditions(out: &mut Vec<u8>, ask: Ask, record: &Record) {
    match ask {
        Ask::AsSent | Ask::Whole => {}
        Ask::Validate => {
            if !record.etag.is_empty() {
                write_field(out, b"If-None-Match", &record.etag);
            }
            if let Some(modified_s) = record.last_modified_s {
                let mut date = [0; 29];
                write_http_date(&mut date, modified_s);
                write_field(out, b"If-Modified-Since", &date);
            }
        }
        Ask::Rest(missing) => {
            let range = match missing {
                Missing::From(first) => format!("bytes={first}-"),
                Missing::Before(end) => format!("bytes=0-{}", end - 1),
                Missing::Both => return,
            };
            write_field(out, b"Range", range.as_bytes());
            write_field(out, b"If-Range", &record.etag);
        }
    }
}

/// Whether a 206 may be put together with a stored part (RFC 9111 3.4): both have the same strong validator.
#[must_use]
pub fn may_join(stored: &Record, new: &Record) -> bool {
    let same_tag = is_strong(&stored.etag) && stored.etag == new.etag;
    let touches = stored.part.zip(new.part).and_then(|(a, b)| a.joined(b)).is_some();
    same_tag && touches
}
