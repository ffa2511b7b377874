//! The view this room has of a message: bytes, and where its field lines are. Everything here reads; nothing decides.

use crate::http1::fields::{FieldKind, KindSet, eq_ignore_case, is_nominated, trim_ows};
use crate::http1::framing::{AnswerBody, AnswerFraming};
use crate::http1::head::{Field, RequestHead, ResponseHead};
use crate::plan::CachePolicy;

/// The field lines of a message.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    pub bytes: &'a [u8],
    pub fields: &'a [Field],
    pub kinds: KindSet,
}

impl<'a> Lines<'a> {
    /// The values of all lines of a kind, in their order.
    pub fn values(self, kind: FieldKind) -> impl Iterator<Item = &'a [u8]> {
        let wanted = if self.kinds.has(kind) { self.fields } else { &[] };
        wanted.iter().filter(move |f| f.kind == kind).map(move |f| f.value.of(self.bytes))
    }

    /// The values of all lines of this name.
    pub fn named<'n>(self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        let is_named = move |f: &&Field| eq_ignore_case(f.name.of(self.bytes), name);
        self.fields.iter().filter(is_named).map(move |f| f.value.of(self.bytes))
    }

    /// The value of a field that may stand there once only: of lines that say the same, that; of others, nothing.
    #[must_use]
    pub fn single(self, kind: FieldKind) -> Single<'a> {
        let mut values = self.values(kind).map(trim_ows);
        let Some(first) = values.next() else { return Single::Absent };
        if values.all(|other| other == first) { Single::Value(first) } else { Single::Conflicting }
    }

    /// All lines of this name as one value (RFC 9110 5.3); the vector is used only where there are several.
    #[must_use]
    pub fn joined(self, name: &[u8], room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let mut values = self.named(name);
        let first = values.next()?;
        let Some(second) = values.next() else { return Some(first) };
        room.clear();
        room.extend_from_slice(first);
        for value in std::iter::once(second).chain(values) {
            room.extend_from_slice(b", ");
            room.extend_from_slice(value);
        }
        Some(room)
    }
}

/// See [`Lines::single`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Single<'a> {
    Absent,
    Value(&'a [u8]),
    Conflicting,
}

impl<'a> Single<'a> {
    #[must_use]
    pub const fn value(self) -> Option<&'a [u8]> {
        match self {
            Single::Value(value) => Some(value),
            Single::Absent | Single::Conflicting => None,
        }
    }
}

/// A request as the cache sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub bytes: &'a [u8],
    pub head: &'a RequestHead,
}

impl<'a> Asked<'a> {
    #[must_use]
    pub fn lines(self) -> Lines<'a> {
        Lines { bytes: self.bytes, fields: &self.head.fields, kinds: self.head.kinds }
    }

    /// The values of all lines of this name, as the origin will see them: a field that Connection names stays behind, and
    /// if it counted all the same, one client could have the answer to a request without it stored for those with it.
    pub fn sent_on<'n>(self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        let nominated = self.head.kinds.has(FieldKind::Connection) && is_nominated(self.bytes, &self.head.fields, name);
        self.lines().named(name).filter(move |_| !nominated)
    }

    /// Names and values of its cookies (RFC 6265 4.2.1); a pair without `=` has an empty value.
    pub fn cookies(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let pairs = self.lines().values(FieldKind::Cookie).flat_map(|value| value.split(|&b| b == b';'));
        pairs.map(trim_ows).filter(|pair| !pair.is_empty()).map(split_pair)
    }

    /// Parameters of its query as they stand, each with its name.
    pub fn parameters(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        parameters(self.head.query.of(self.bytes))
    }
}

/// An answer as the cache sees it.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    pub bytes: &'a [u8],
    pub head: &'a ResponseHead,
}

impl<'a> Answered<'a> {
    #[must_use]
    pub fn lines(self) -> Lines<'a> {
        Lines { bytes: self.bytes, fields: &self.head.fields, kinds: self.head.kinds }
    }
}

/// `name=value` at its first `=`.
#[must_use]
pub fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (trim_ows(&pair[..at]), trim_ows(&pair[at + 1..])),
        None => (pair, b""),
    }
}

/// The parameters of a query between `&`, each with its name; empty ones are skipped.
pub fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let whole = query.split(|&b| b == b'&').filter(|parameter| !parameter.is_empty());
    whole.map(|parameter| (memchr::memchr(b'=', parameter).map_or(parameter, |at| &parameter[..at]), parameter))
}

/// When a request was sent and when its answer's head came, in ms since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    pub asked_ms: u64,
    pub answered_ms: u64,
}

/// An answer that came, with all that is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    pub asked: Asked<'a>,
    /// The path of the request in its normal form, as routes see it.
    pub path: &'a [u8],
    pub answered: Answered<'a>,
    /// What `decide_answer` of `http1/framing.rs` settled: nobody reads Content-Length or Connection again.
    pub framing: &'a AnswerFraming,
    pub times: Times,
    pub policy: &'a CachePolicy,
    /// Longest lifetime it may have, whatever else says: of an answer by another origin than the route's own.
    pub lifetime_s_max: Option<u32>,
}

impl Arrival<'_> {
    /// Bytes of its content, where it says so.
    #[must_use]
    pub const fn length(&self) -> Option<u64> {
        match self.framing.body {
            AnswerBody::Length(n) => Some(n),
            AnswerBody::None => self.framing.length_told,
            AnswerBody::Chunked | AnswerBody::UntilClose => None,
        }
    }
}
