//! Routes as the plan describes them: what a request must be, what happens to it, and by which policy.

use crate::plan::CachePolicy;
use serde::Deserialize;

/// What a request must be, and what happens to it then. All conditions must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    pub name: String,
    /// Place in the stats block where its requests are counted. Routes may share one: the last is for all that are too
    /// many.
    #[serde(default)]
    pub slot: u16,
    /// Lower case, without port: exact names or `*.example.org`; empty = any.
    pub hosts: Vec<String>,
    pub path: PathMatch,
    /// Empty = any.
    pub methods: Vec<String>,
    pub headers: Vec<HeaderMatch>,
    /// Only what came over TLS, or only what did not: to us, or to a trusted peer that says so. None = both.
    #[serde(default)]
    pub secure: Option<bool>,
    pub action: Action,
    /// `None` = nothing of it is cached.
    #[serde(default)]
    pub cache: Option<CachePolicy>,
}

/// Conditions on the path in its normal form, without the query.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum PathMatch {
    Any,
    Exact {
        value: String,
    },
    /// Matches whole segments: `/a` takes `/a` and `/a/b`, not `/ab`. A value ending in `/` takes what begins with it.
    Prefix {
        value: String,
    },
    /// `*` stands for one segment's characters, `**` for any characters.
    Pattern {
        value: String,
    },
}

/// A condition on a header field.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderMatch {
    /// Lower case.
    pub name: String,
    /// `None` = the field must be there, whatever it says.
    pub value: Option<String>,
}

/// What a route does with a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Action {
    Forward {
        /// Index into `Plan::origins`.
        origin: u32,
        rewrite: Option<Rewrite>,
        request_fields: Vec<FieldEdit>,
        answer_fields: Vec<FieldEdit>,
        #[serde(default)]
        policy: Box<ForwardPolicy>,
    },
    Answer {
        status: u16,
        fields: Vec<FieldLine>,
        #[serde(with = "bytes")]
        body: Vec<u8>,
    },
    Redirect {
        status: u16,
        /// `{host}` (with its port, if it has one), `{name}` (without), `{path}` (with its query) stand for the request's
        /// own.
        location: String,
    },
}

/// How the path is changed before it is forwarded.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Rewrite {
    /// Replace the matched prefix `from` by `to`; the query stays.
    Prefix { from: String, to: String },
    /// Replace the whole path; the query stays.
    Path { to: String },
}

/// A field of an answer that a route gives by itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldLine {
    pub name: String,
    pub value: String,
}

/// A change to header fields; edits are done in their order.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum FieldEdit {
    /// Remove every field of this name.
    Remove { name: String },
    /// Remove every field of this name, then add one.
    Set { name: String, value: String },
    /// Add one, whatever is there.
    Add { name: String, value: String },
}

/// What a route asks of connections, retries and other origins.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ForwardPolicy {
    pub unrepeatable: ReusePolicy,
    /// In place of the origin's.
    pub first_byte_ms: Option<u32>,
    pub between_bytes_ms: Option<u32>,
    pub total_ms: Option<u32>,
    pub retry: Retry,
    /// The first that fits an outcome sends the request to another origin.
    pub escalate: Vec<Escalation>,
    /// The first that fits a fault is the answer to it.
    pub answers: Vec<FaultAnswer>,
    pub half_close: HalfClose,
    pub connection_auth: ConnectionAuth,
    /// In place of `Limits::request_body_bytes`; 0 = no limit.
    pub request_body_bytes: Option<u64>,
    /// Longest answer body passed on; 0 = no limit.
    pub answer_body_bytes: u64,
}

/// Which connection a request gets that must not be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ReusePolicy {
    /// One opened for it; an idle one is closed in its place.
    Fresh,
    /// One that is ready and has carried nothing, else as `Fresh`.
    Standby,
    /// Any that looks alive.
    #[default]
    Reuse,
    /// One that carried an answer within this time, else as `Fresh`.
    ReuseIfRecent { within_ms: u32 },
}

/// Further attempts.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts in all, the first included; the one repeat after a stale connection is not counted.
    pub attempts: u32,
    /// Answers that count as failures, to be tried elsewhere.
    pub statuses: Vec<StatusRange>,
    /// Bound of one attempt, from its request to its answer's head; 0 = the first-byte time alone.
    pub per_try_ms: u32,
    /// Wait before the second attempt at a target that was tried; doubles, with full jitter.
    pub backoff_ms: u32,
    pub backoff_max_ms: u32,
    /// Wait as long as the answer's Retry-After asks, if the total time allows it.
    pub retry_after: bool,
    /// `Idempotency-Key` makes a request repeatable whatever its method.
    pub idempotency_key: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            statuses: Vec::new(),
            per_try_ms: 0,
            backoff_ms: 25,
            backoff_max_ms: 250,
            retry_after: true,
            idempotency_key: true,
        }
    }
}

/// Inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusRange {
    pub from: u16,
    pub to: u16,
}

impl StatusRange {
    #[must_use]
    pub fn any_holds(ranges: &[Self], status: u16) -> bool {
        ranges.iter().any(|r| r.from <= status && status <= r.to)
    }
}

/// Outcomes that send a request on to another origin.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Escalation {
    pub statuses: Vec<StatusRange>,
    /// Tokens of `OriginFault`.
    pub faults: Vec<String>,
    /// Index into `Plan::origins`.
    pub origin: u32,
    /// Also for requests that must not be sent twice, if nothing of them was sent.
    pub any_method: bool,
    /// Longest lifetime of its answers in the cache (S2-08), in seconds.
    #[serde(default = "escalated_cache_s")]
    pub cache_s: u32,
}

const fn escalated_cache_s() -> u32 {
    10
}

/// An operator's own words for a fault.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultAnswer {
    /// Tokens of `OriginFault`; empty = any.
    pub faults: Vec<String>,
    pub status: u16,
    pub fields: Vec<FieldLine>,
    #[serde(with = "bytes")]
    pub body: Vec<u8>,
}

/// What a client's FIN means while its answer is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HalfClose {
    /// It left: the exchange ends.
    Abort,
    /// It only stopped sending: it gets its answer.
    #[default]
    Finish,
    /// As `Finish`, and the origin is told by a FIN of ours.
    Propagate,
}

/// Which authentication binds an origin connection to one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConnectionAuth {
    /// Schemes that authenticate the connection (NTLM, Negotiate).
    #[default]
    Bound,
    /// Any Authorization.
    Any,
    /// None.
    Never,
}

/// A byte string in the document, whether it came as msgpack `bin` or `str`.
mod bytes {
    use serde::de::{Deserializer, Error, Visitor};
    use std::fmt;

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes or a string")
            }
            fn visit_bytes<E: Error>(self, v: &[u8]) -> Result<Self::Value, E> {
                Ok(v.to_vec())
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(v.as_bytes().to_vec())
            }
        }
        from.deserialize_any(Bytes)
    }
}
