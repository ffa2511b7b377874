//! The plan: the operator's settings compiled in TypeScript (`src/config/plan.ts`) into the one document that crosses
//! the border, decoded here into types. Times are milliseconds and sizes bytes unless a name says otherwise; a zero in
//! a field that says so means "no limit". Nothing here is changed after decoding: workers share one plan behind an `Arc`.

use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// The only document version this core runs.
pub const PLAN_VERSION: u32 = 1;
/// Most edge workers one process may have; bit sets over workers rest on it.
pub const WORKERS_MAX: u32 = 256;

/// The whole document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    pub version: u32,
    /// Pseudonym in `Via` and name in `Server` of proxy-made answers.
    pub name: String,
    pub workers: u32,
    pub listeners: Vec<Listener>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub pool: Pool,
    pub forwarding: Forwarding,
    pub origins: Vec<Origin>,
    /// In order of precedence: the first that matches takes the request.
    pub routes: Vec<Route>,
    pub access_log: bool,
}

/// Where clients connect.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    pub name: String,
    #[serde(deserialize_with = "address_text")]
    pub address: IpAddr,
    /// 0 asks the kernel for a free port.
    pub port: u16,
    pub backlog: u32,
}

/// What one client may ask of us.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    pub request_line_bytes: u32,
    pub head_bytes: u32,
    pub field_count: u32,
    pub chunk_extension_bytes: u32,
    /// Request body; 0 = no limit.
    pub request_body_bytes: u64,
    /// Requests of one connection answered while more of them already wait in our buffer; the one after gets `close`.
    pub pipelined_requests: u32,
    /// Unread request body that is read and thrown away after an early answer before the connection is closed instead.
    pub drain_bytes: u64,
    /// Request body kept for one repeat on a fresh connection.
    pub replay_body_bytes: u32,
    /// Client connections of the whole process; 0 = no limit.
    pub client_connections: u32,
    /// Requests on one client connection; 0 = no limit.
    pub client_requests: u64,
}

/// How long clients and tunnels may keep us waiting.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// From the first byte of a head (or the start of the connection) to its end.
    pub client_head_ms: u32,
    /// Between two reads of a request body.
    pub client_body_ms: u32,
    /// Between two requests.
    pub client_idle_ms: u32,
    /// While the client takes nothing of an answer that waits for it.
    pub client_write_ms: u32,
    /// How long a closing connection is still read so that the last answer is not lost to a reset.
    pub client_linger_ms: u32,
    /// While neither side of a tunnel sends; 0 = no limit.
    pub tunnel_idle_ms: u32,
    /// How long the origin's 100 (Continue) is waited for before the body is sent anyway.
    pub continue_ms: u32,
}

/// Bounds of the origin pool that hold over all origins.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pool {
    /// 1 … workers.
    pub shards: u32,
    pub steal: bool,
    /// Origin connections of the whole process; 0 = no limit.
    pub connections: u32,
    /// Requests that may wait for a connection, per target.
    pub queue_length: u32,
    pub queue_wait_ms: u32,
}

/// What origins are told about the client.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Forwarding {
    /// Add `Via` to requests and answers.
    pub via: bool,
    /// Set `X-Forwarded-For`, `-Proto` and `-Host`.
    pub x_forwarded: bool,
    /// Set `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// Peers whose forwarding fields are kept and extended; from all others they are dropped.
    pub trusted: Vec<Cidr>,
}

/// A range of addresses of one family.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cidr {
    #[serde(deserialize_with = "address_text")]
    pub address: IpAddr,
    pub prefix_bits: u8,
}

/// A service behind us, with its own times and limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origin {
    pub name: String,
    pub targets: Vec<Target>,
    /// What the origin sees as Host.
    pub host: HostPolicy,
    pub connect_ms: u32,
    pub first_byte_ms: u32,
    pub between_bytes_ms: u32,
    pub idle_ms: u32,
    /// 0 = no limit.
    pub age_ms: u32,
    /// Requests on one connection; 0 = no limit.
    pub requests: u64,
    /// Connections to one target, idle ones included; 0 = no limit.
    pub target_connections: u32,
    /// Idle connections to one target over all shards.
    pub target_idle: u32,
}

/// One address of an origin, resolved.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// As the operator wrote it, for logs: `name:port`.
    pub label: String,
    #[serde(deserialize_with = "address_text")]
    pub address: IpAddr,
    pub port: u16,
    pub weight: u32,
}

impl Target {
    #[must_use]
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Where the Host that an origin sees comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum HostPolicy {
    /// What the client asked for.
    Client,
    /// The target's label.
    Target,
    Literal {
        value: String,
    },
}

/// What a request must be, and what happens to it then. All conditions must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    pub name: String,
    /// Lower case, without port: exact names or `*.example.org`; empty = any.
    pub hosts: Vec<String>,
    pub path: PathMatch,
    /// Empty = any.
    pub methods: Vec<String>,
    pub headers: Vec<HeaderMatch>,
    pub action: Action,
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
    },
    Answer {
        status: u16,
        fields: Vec<FieldLine>,
        #[serde(with = "bytes")]
        body: Vec<u8>,
    },
    Redirect {
        status: u16,
        /// `{host}`, `{path}` (with its query) stand for the request's own.
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

/// An address as text: msgpack is a binary format, for which serde would read an enum.
fn address_text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| serde::de::Error::custom(format_args!("{text} is not an IP address")))
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

impl Plan {
    /// Everything a worker rests on that types alone do not say. TypeScript has checked the settings and named every
    /// complaint; this is the second lock, so it stops at the first one.
    pub fn check(&self) -> Result<(), String> {
        let ensure = |holds: bool, says: &str| if holds { Ok(()) } else { Err(says.to_owned()) };
        ensure(self.version == PLAN_VERSION, "plan: this version of the document is not known")?;
        ensure(self.workers >= 1 && self.workers <= WORKERS_MAX, "plan.workers: must be 1 to 256")?;
        ensure(self.pool.shards >= 1 && self.pool.shards <= self.workers, "plan.pool.shards: must be 1 to workers")?;
        ensure(
            self.limits.head_bytes <= crate::limits::HEAD_BYTES_CEILING
                && self.limits.request_line_bytes <= self.limits.head_bytes,
            "plan.limits: headBytes must be at most 61440 and requestLineBytes at most headBytes",
        )?;
        ensure(!self.listeners.is_empty(), "plan.listeners: at least one is needed")?;
        ensure(
            !self.name.is_empty() && self.name.bytes().all(crate::http1::fields::is_token_byte),
            "plan.name: must be a token",
        )?;
        for origin in &self.origins {
            ensure(!origin.targets.is_empty(), "plan.origins: an origin needs a target")?;
            ensure(origin.targets.iter().any(|t| t.weight > 0), "plan.origins: a target needs a weight above 0")?;
        }
        for route in &self.routes {
            if let Action::Forward { origin, .. } = &route.action {
                ensure(
                    (*origin as usize) < self.origins.len(),
                    "plan.routes: a route names an origin that is not there",
                )?;
            }
        }
        Ok(())
    }
}
